"""`strongroom init`, `key …` and `archive convert` as processes: what is asked for, what is said, what is left."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from storage import mark
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.keys import encode, new_keys, unlock, wrap
from storage.keytext import HOLDER, PAPER
from tests.doubles import START, noise, write
from tests.test_cli import Shell

PHRASE = "correct horse battery staple"
IMPORT = ("export.zip", "--source", "old-lab", "--scope", "user:7")
WORDS = b"Planted words that nobody may find"


class Desk(Shell):
    """A shell whose commands may be given an input and an environment."""

    def ask(self, *arguments: str, typed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments], cwd=self.folder, env={**self.environ, **environ},
            input=typed, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def archive_id(self) -> str:
        return mark.read(LocalDisk(self.folder / "archive")).id

    def holders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("key", "list")["holders"]
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    assert made.run("init", "--yes").returncode == 0
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as export:
        export.writestr("notebook.txt", WORDS * 400)
    done = made.run("import", *IMPORT)
    assert done.returncode == 14, done.stderr  # no export of RSpace's, so it is quarantined
    return made


def test_a_new_archive_is_encrypted_and_says_what_its_key_means(tmp_path: Path) -> None:
    """A key file for its owner only, outside of the archive; the way to a paper copy; doctor goes on warning."""
    done = Desk(tmp_path).run("init", "--yes")

    key = tmp_path / "strongroom.key"
    assert key.read_text().startswith(HOLDER)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "encrypted" in done.stdout and "key export --paper" in done.stderr
    assert key.read_text().split()[1] not in done.stdout + done.stderr
    doctor = Desk(tmp_path).run("doctor")
    assert doctor.returncode == 0
    assert "warn keys: encrypted; 1 can open it: this host (key file); no paper copy" in doctor.stdout


def test_nothing_of_an_export_is_found_in_the_archive(desk: Desk) -> None:
    """Neither content nor names; and yet it is listed, proven and restored by whoever has the key."""
    files = [path for path in (desk.folder / "archive").rglob("*") if path.is_file() and "about" not in path.parts]
    stored = [(path.relative_to(desk.folder).as_posix(), path.read_bytes()) for path in files]
    for word in (WORDS, b"export.zip", b"notebook", b"old-lab", b"user:7"):
        assert not [name for name, data in stored if word in data or word.decode() in name]
    assert desk.run("scrub", "--all").returncode == 0
    assert desk.run("restore", "latest", "--to", "out").returncode == 0
    assert (desk.folder / "out" / "export.zip").read_bytes() == (desk.folder / "export.zip").read_bytes()


def test_no_key_and_a_wrong_key_have_codes_of_their_own(desk: Desk) -> None:
    """15 and 16, each with its hint; whoever has the right one needs no configuration."""
    key = (desk.folder / "strongroom.key").read_text()
    listed = ("snapshots", "--archive", "archive")
    cases: tuple[tuple[dict[str, str], int, str], ...] = (
        ({}, 15, "STRONGROOM_KEY"),
        ({"STRONGROOM_KEY": PHRASE}, 16, "paper copy"),
        ({"STRONGROOM_KEY": key[:-9]}, 16, "line 3"),
        ({"STRONGROOM_KEY": ""}, 15, "empty"),
        ({"STRONGROOM_KEY_FILE": "none"}, 15, "No such file"),
        ({"STRONGROOM_KEY": key}, 0, ""),
        ({"STRONGROOM_KEY_FILE": "strongroom.key"}, 0, ""),
    )
    for environ, code, word in cases:
        done = desk.ask(*listed, **environ)
        assert (done.returncode, word in done.stderr) == (code, True), (environ.keys(), done.stderr)
        assert key.split()[1] not in done.stderr
    (desk.folder / "strongroom.key").rename(desk.folder / "elsewhere.key")
    done = desk.run("snapshots")
    assert (done.returncode, "strongroom.key cannot be read" in done.stderr) == (15, True)
    assert desk.run("doctor").returncode == 15


def test_a_plain_archive_in_the_place_of_an_encrypted_one_is_refused(desk: Desk) -> None:
    """Exchanged by whoever stores it: the next night writes nothing there in clear."""
    (desk.folder / "archive").rename(desk.folder / "taken")
    Archive.create(LocalDisk(desk.folder / "archive"), now=START)
    before = sorted((desk.folder / "archive").rglob("*"))

    done = desk.run("import", *IMPORT)

    assert (done.returncode, "is not encrypted" in done.stderr) == (2, True)
    assert sorted((desk.folder / "archive").rglob("*")) == before


def test_init_makes_no_plain_archive_unasked(tmp_path: Path) -> None:
    """A configuration without a key, a key inside of the archive, one beside --no-encryption: each is refused."""
    desk = Desk(tmp_path)
    for table, more, word in (
        ("", (), "--no-encryption"),
        ('key = { file = "archive/strongroom.key" }', (), "outside of it"),
        ('key = { file = "strongroom.key" }', ("--no-encryption",), "take [archive] key out"),
        ('key = { env = "NOT_SET_ANYWHERE" }', (), "put the key back"),
        ('key = { command = "echo short" }', (), "at least 12"),
    ):
        (tmp_path / "strongroom.toml").write_text(f'[archive]\nurl = "archive"\n{table}\n')
        done = desk.run("init", "--yes", *more)
        assert done.returncode in (2, 15) and word in done.stderr, (table, done.stderr)
        assert not (tmp_path / "archive" / "strongroom.json").exists()
        assert not (tmp_path / "strongroom.key").exists()
    (tmp_path / "strongroom.toml").write_text('[archive]\nurl = "archive"\n')
    assert "not encrypted" in desk.run("init", "--yes", "--no-encryption").stdout
    assert "ok   keys: not encrypted" in desk.run("doctor").stdout


def test_doctor_warns_of_a_plain_archive_for_data_about_people(tmp_path: Path) -> None:
    """Applicants' data in the clear are named by their source; encrypted, or of a lab, they are not."""
    desk = Desk(tmp_path)
    desk.run("init", "--yes", "--no-encryption")
    config = tmp_path / "strongroom.toml"
    lab = '[[source]]\nname = "lab"\nsystem = "rspace"\nurl = "http://127.0.0.1:9"\napi_key = { env = "NONE" }\n'
    config.write_text(config.read_text() + lab + lab.replace("lab", "people").replace("rspace", "webadmit"))

    keys = {finding["what"]: finding for finding in desk.json("doctor")["findings"]}["keys"]

    assert (keys["ok"], keys["detail"].startswith("not encrypted")) == (True, True)
    assert keys["warning"].startswith("people holds data about people")
    assert "convert" in keys["warning"]


def test_holders_come_and_go(desk: Desk) -> None:
    """A passphrase from standard input, a second key file; one goes again, and the last may not."""
    assert desk.ask("key", "add", "Anna", typed=f"{PHRASE}\n").returncode == 0
    assert desk.run("key", "add", "cellar", "--file", "cellar.key").returncode == 0
    assert desk.ask("key", "add", "Bert", typed="short\n").returncode == 2
    assert desk.run("key", "add", "Bert", "--file", "archive/bert.key").returncode == 2
    assert not (desk.folder / "archive" / "bert.key").exists()
    assert [one["name"] for one in desk.holders()] == ["this host", "Anna", "cellar"]
    assert desk.ask("snapshots", "-a", "archive", STRONGROOM_KEY=PHRASE).returncode == 0

    assert desk.run("key", "remove", "Anna", "--yes").returncode == 0
    assert desk.run("key", "remove", "nobody", "--yes").returncode == 2
    assert desk.ask("snapshots", "-a", "archive", STRONGROOM_KEY=PHRASE).returncode == 16
    assert desk.run("key", "remove", "cellar", "--yes").returncode == 0
    used = desk.run("key", "remove", "this host", "--yes")
    assert (used.returncode, "is whose key you use" in used.stderr) == (2, True)
    (desk.folder / "page.txt").write_text(desk.run("key", "export", "--paper").stdout)
    paper = {"STRONGROOM_KEY_FILE": "page.txt"}
    last = desk.ask("key", "remove", "this host", "--yes", "-a", "archive", **paper)
    assert (last.returncode, "last holder" in last.stderr) == (2, True)


def test_a_lost_key_file_is_made_anew_by_paper(desk: Desk) -> None:
    """As the README says it; doctor warns of one that others can read."""
    (desk.folder / "typed.txt").write_text(desk.run("key", "export", "--paper").stdout)
    (desk.folder / "strongroom.key").unlink()
    paper = {"STRONGROOM_KEY_FILE": "typed.txt"}
    anew = ("key", "add", "this host, anew", "--file", "strongroom.key", "--archive", "archive")

    assert desk.ask(*anew, **paper).returncode == 0
    assert desk.run("key", "remove", "this host", "--yes").returncode == 0
    assert [one["name"] for one in desk.holders()] == ["this host, anew"]
    assert "can be read by others" not in desk.run("doctor").stdout
    (desk.folder / "strongroom.key").chmod(0o644)
    assert "strongroom.key can be read by others" in desk.run("doctor").stdout


def test_older_files_of_holders_do_not_undo_a_rotation(desk: Desk) -> None:
    """Put back by whoever stores the archive, they would have the next night encrypted with the old key."""
    keys = desk.folder / "archive" / "keys"
    old = {path.name: path.read_bytes() for path in keys.iterdir()}
    assert desk.run("key", "rotate", "--yes").returncode == 0
    new = {path.name: path.read_bytes() for path in keys.iterdir()}

    _exchange(keys, old)
    done = desk.run("import", *IMPORT)
    assert (done.returncode, "older files were put back in keys/" in done.stderr) == (16, True)
    _exchange(keys, new)
    assert desk.run("import", *IMPORT).returncode == 14


def test_a_planted_holder_is_told_and_stops_nothing(desk: Desk) -> None:
    """As if it held more keys: the night goes on, list and doctor name the file, and it is removed by its id."""
    planted = wrap((*new_keys(), *new_keys()), PHRASE, archive_id=desk.archive_id(), name="this host", now=START)
    (desk.folder / "archive" / planted.file).write_bytes(encode(planted))

    assert desk.run("import", *IMPORT).returncode == 14
    listed = desk.run("key", "list")
    assert (listed.returncode, f"{planted.file}: not proven to be of this archive" in listed.stderr) == (4, True)
    assert "nothing that is proven" in listed.stdout
    doctor = desk.run("doctor")
    assert doctor.returncode == 0
    assert "1 can open it: this host (key file)" in doctor.stdout and planted.file in doctor.stdout
    assert [one["proven"] for one in desk.holders()] == [False, True]
    (desk.folder / "strongroom.key").rename(desk.folder / "away.key")
    unproven = desk.run("key", "list")
    assert (unproven.returncode, "nothing is proven" in unproven.stderr) == (0, True)
    (desk.folder / "away.key").rename(desk.folder / "strongroom.key")
    gone = desk.run("key", "remove", planted.id, "--yes")
    assert (gone.returncode, "opens the archive no more" in gone.stdout, "rotate" in gone.stderr) == (
        0,
        False,
        False,
    )
    assert f"{planted.file} is removed: it was no proven holder's" in gone.stdout
    assert desk.run("key", "list").returncode == 0


def _exchange(folder: Path, files: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_paper_is_printed_proven_and_used(desk: Desk) -> None:
    """The lines as a file or typed; a QR picture that holds the same; after a rotation the old page is told."""
    done = desk.run("key", "export", "--paper", "--picture", "page.svg")
    assert done.returncode == 0 and PAPER in done.stdout
    assert stat.S_IMODE((desk.folder / "page.svg").stat().st_mode) == 0o600
    assert desk.run("key", "export", "--paper", "--picture", "page.svg").returncode == 2  # nothing is overwritten
    assert desk.run("key", "export", "--paper", "--picture", "page.txt").returncode == 2
    assert desk.run("key", "export").returncode == 2
    (desk.folder / "page.txt").write_text(done.stdout)
    lines = done.stdout.partition(f"{PAPER}\n")[2]

    assert desk.ask("key", "drill", typed=f"{PAPER}\n{lines}".lower()).returncode == 0
    headless = desk.ask("key", "drill", typed=lines)  # which would open nothing, where it is all that there is
    assert (headless.returncode, "first line is not there" in headless.stderr) == (16, True)
    assert desk.ask("key", "drill", typed=done.stdout).returncode == 0  # the whole page, piped
    (desk.folder / "scan.txt").write_text(done.stdout.replace("\n", "\n\n") + "\nPage 1 of 1, 2026-03-01 12:30\n")
    assert desk.run("key", "drill", "--from", "scan.txt").returncode == 0
    (desk.folder / "scan.txt").write_text(f"{PAPER}\n{lines.partition(' 4:')[0]}\nPage 1 of 1\n")
    torn = desk.run("key", "drill", "--from", "scan.txt")
    assert (torn.returncode, "line 4 is not there" in torn.stderr) == (16, True)
    wrong = lines.replace(lines[5], "A" if lines[5] != "A" else "B", 1)
    told = desk.ask("key", "drill", typed=f"{PAPER}\n{wrong}")
    assert (told.returncode, "line 1 is not as it was printed" in told.stderr) == (16, True)
    assert "the paper copy was proven on" in desk.run("doctor").stdout
    lost = {"STRONGROOM_KEY_FILE": "page.txt"}
    assert desk.ask("restore", "latest", "-a", "archive", "--to", "out", **lost).returncode == 0

    rotated = json.loads(desk.run("key", "rotate", "--yes", "--json").stdout)
    assert rotated["keys"] == 2
    old = desk.run("key", "drill", "--from", "page.txt")
    assert (old.returncode, "1 of 2 keys" in old.stderr) == (16, True)
    half = desk.ask("key", "export", "--paper", "-a", "archive", STRONGROOM_KEY_FILE="page.txt")
    assert (half.returncode, "1 of 2 keys" in half.stderr, PAPER in half.stdout) == (16, True, False)
    assert "from before a rotation" in desk.run("doctor").stdout
    assert desk.run("import", *IMPORT).returncode == 14
    assert desk.run("scrub", "--all").returncode == 0
    looked = desk.ask("snapshots", "-a", "archive", STRONGROOM_KEY_FILE="page.txt")
    assert (looked.returncode, looked.stderr.count("from before a rotation")) == (4, 1)
    assert "1 " in looked.stdout or "old-lab" in looked.stdout  # what was there before is listed


def test_paper_of_very_many_keys_is_lines_alone(desk: Desk) -> None:
    """Sixty are more than a QR code holds: that is told, no picture is made, and the lines are proven as ever."""
    secret, disk = (desk.folder / "strongroom.key").read_text(), LocalDisk(desk.folder / "archive")
    ring, (old,) = unlock(disk, desk.archive_id(), secret), disk.list("keys/")
    longer = (*ring, *(key for _ in range(59) for key in new_keys()))
    made = wrap(longer, secret, archive_id=desk.archive_id(), name="this host", now=START)
    disk.put_new(made.file, [encode(made)])
    disk.delete(old)

    done = desk.run("key", "export", "--paper")
    assert (done.returncode, "no picture: more keys than" in done.stderr) == (0, True)
    assert done.stdout.partition(PAPER)[2].count(":") == 156
    pictured = desk.run("key", "export", "--paper", "--picture", "page.svg")
    assert (pictured.returncode, "more keys than" in pictured.stderr) == (2, True)
    assert PAPER in pictured.stdout and not (desk.folder / "page.svg").exists()
    proven = desk.ask("key", "drill", "--json", typed=done.stdout)
    assert (proven.returncode, json.loads(proven.stdout)["keys"]) == (0, 60)


def test_a_plain_archive_is_converted_and_gone_on_with(tmp_path: Path) -> None:
    """Copied, proven, taken into the configuration: the same catalog, the same ids."""
    desk = Desk(tmp_path)
    assert desk.run("init", "--yes", "--no-encryption").returncode == 0
    write(Archive.open(LocalDisk(tmp_path / "archive")), {"a": noise(5000, 1)})
    assert desk.run("doctor").returncode == 0  # fills the catalog
    (before,) = desk.json("snapshots")["snapshots"]

    done = desk.run("archive", "convert", "sealed", "--file", "strongroom.key")
    assert done.returncode == 0, done.stderr
    assert 'url = "sealed" and key = { file = "strongroom.key" }' in done.stderr
    assert (
        json.loads(desk.run("archive", "convert", "sealed", "--file", "strongroom.key", "--json").stdout)["copied"]
        == 0
    )
    (tmp_path / "strongroom.toml").write_text('[archive]\nurl = "sealed"\nkey = { file = "strongroom.key" }\n')

    (after,) = desk.json("snapshots")["snapshots"]
    assert after == before
    assert desk.run("scrub", "--all").returncode == 0
    assert desk.run("catalog", "check").returncode == 0
    assert desk.run("doctor").returncode == 0
    assert desk.run("archive", "convert", "again", "--file", "x.key").returncode == 2
