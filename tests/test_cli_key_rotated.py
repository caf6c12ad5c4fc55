"""After a rotation: what is said to an older key, and by what a drill proves the newest one."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from tests.test_cli_key import IMPORT, Desk

OLDER = re.compile(r"archive: the key given is from before a rotation: it has 1 of 2 keys")
MADE_SINCE = "take a holder's key, or a paper copy, that was made since"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One snapshot, a page of paper, a rotation, and one more snapshot."""
    made = Desk(tmp_path)
    assert made.run("init", "--yes").returncode == 0
    taken_in(made, b"before")
    (tmp_path / "page.txt").write_text(made.run("key", "export", "--paper").stdout)
    assert made.run("key", "rotate", "--yes").returncode == 0
    taken_in(made, b"since")
    return made


def taken_in(desk: Desk, words: bytes, *more: str) -> None:
    """One more snapshot."""
    with zipfile.ZipFile(desk.folder / "export.zip", "w") as export:
        export.writestr("notebook.txt", words * 400)
    done = desk.run("import", *IMPORT, *more)
    assert done.returncode == 14, done.stderr  # no export of RSpace's, so it is quarantined


def older_key(desk: Desk) -> None:
    """Have the configuration name the page from before."""
    config = desk.folder / "strongroom.toml"
    (desk.folder / "page.txt").chmod(0o600)
    config.write_text(config.read_text().replace("strongroom.key", "page.txt"))


@pytest.mark.parametrize("catalog", [True, False], ids=["the catalog knows", "no catalog"])
def test_an_older_key_is_told_the_same_everywhere(desk: Desk, catalog: bool) -> None:
    """One message and one hint, in status, doctor and whatever writes; no half of a catalog is filled by it."""
    older_key(desk)
    if not catalog:
        (desk.folder / "state" / "catalog.db").unlink()

    for verb in ("status", "doctor", "scrub", "drill", "prune", "catalog check", "catalog rebuild",
                 "key export --paper", "key add Anna --file anna.key"):  # fmt: skip
        done = desk.run(*verb.split())
        said = re.sub(r"\s+", " ", done.stdout + done.stderr)
        assert done.returncode == 16, (verb, said)
        assert len(OLDER.findall(said)) == said.count(MADE_SINCE) == said.count("rotation") == 1, (verb, said)
    assert (desk.folder / "state" / "catalog.db").exists() is catalog


def test_what_an_older_key_does_not_find_may_be_there(desk: Desk) -> None:
    """A snapshot made since is not said to be unknown, by its id or as latest; one from before is given back."""
    before, since = (one["id"][:8] for one in desk.json("snapshots")["snapshots"])
    page = {"STRONGROOM_KEY_FILE": "page.txt"}
    at = ("-a", "archive")

    for verb in ("show", "restore", "ls", "dump"):
        for ref in (since, "latest"):
            done = desk.ask(verb, ref, *(("*",) if verb == "dump" else ()), *at, **page)
            assert (done.returncode, bool(OLDER.search(done.stderr))) == (16, True), (verb, ref, done.stderr)
            assert MADE_SINCE in done.stderr
    assert desk.ask("restore", before, *at, "--to", "out", **page).returncode == 0
    nowhere = desk.ask("show", since, "--source", "nobody", *at, **page)  # names tell that, by whichever key
    assert (nowhere.returncode, "no snapshot of source nobody" in nowhere.stderr) == (2, True)
    assert desk.run("show", "abcdef").returncode == 2  # by the newest key: it is not there
    for look in (["snapshots"], ["find", "notebook.txt"]):
        listed = desk.ask(*look, *at, **page)
        assert (listed.returncode, MADE_SINCE in listed.stderr, "scrub" in listed.stderr) == (4, True, False)
    for change in (["prune"], ["forget", "--keep-last", "1"], ["hold", before, "--reason", "x"]):
        refused = desk.ask(*change, *at, **page)
        assert (refused.returncode, MADE_SINCE in refused.stderr, "mend" in refused.stderr) == (16, True, False)


def test_a_drill_after_a_rotation_takes_what_needs_the_newest_key(tmp_path: Path) -> None:
    """One from before, of a later date, would prove nothing of it; where there is no other, that is said."""
    desk = Desk(tmp_path)
    assert desk.run("init", "--yes").returncode == 0
    taken_in(desk, b"before", "--at", "2026-03-02")
    assert ": passed;" in desk.run("drill").stdout
    assert desk.run("key", "rotate", "--yes").returncode == 0
    (tmp_path / "page.txt").write_text(desk.run("key", "export", "--paper").stdout)
    drill, key_drill = ("drill",), ("key", "drill", "--from", "page.txt")
    for verb in (drill, key_drill):
        assert ", by key 1 of 2" in desk.run(*verb).stdout
    assert "no snapshot needs key 2 yet" in desk.run(*key_drill).stderr

    taken_in(desk, b"since", "--at", "2026-03-01")
    taken_in(desk, b"since, again", "--at", "2026-02-01")
    newest = {one["id"] for one in desk.json("snapshots")["snapshots"] if one["taken_at"] < "2026-03-02"}
    done = desk.run(*key_drill)
    assert (", by key 2 of 2" in done.stdout, "yet" in done.stderr) == (True, False)
    told = desk.json(*key_drill)
    assert (told["snapshot"] in newest, told["snapshot_key"], told["keys"]) == (True, 2, 2)
    told = desk.json(*drill)
    assert (told["snapshot"] in newest, told["snapshot_key"], told["keys"]) == (True, 2, 2)
    assert {desk.json(*drill)["snapshot"] for _ in range(2)} - newest  # from then on all have their turn
