"""`scrub`, `drill` and the lines of `status` about them, as a user meets them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import run
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.snapshot import Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import LAB, NIGHT, draft, new_archive, noise, pack_of


@dataclass(frozen=True)
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Shell:
    """`strongroom` in a folder, without the second that a process of its own would take to start."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Done:
        code = run(arguments)
        said = self.capsys.readouterr()
        return Done(code, said.out, said.err)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """An archive without snapshots."""
    (tmp_path / "strongroom.toml").write_text("")
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


@pytest.fixture
def shell(bare: Shell) -> Shell:
    """Three snapshots of the last days, each with two packs of its own: content above 1 MiB, a small listing."""
    for night in range(3):
        keep(bare, night)
    return bare


def keep(shell: Shell, night: int) -> Snapshot:
    at = datetime.now(UTC) - timedelta(days=9) + night * NIGHT
    writer = Writer(Archive.open(LocalDisk(shell.folder / "archive")), LAB)
    writer.add("a.bin", BytesIO(noise(1 << 20, night)), promised=Promise())
    return writer.commit(draft(taken_at=at), clock=lambda: at)


def packs(shell: Shell) -> list[Path]:
    """Those of content, oldest first."""
    store = Archive.open(LocalDisk(shell.folder / "archive"))
    digests = [pack_of(store, found, "a.bin") for found in store.snapshots()]
    return [next((shell.folder / "archive").rglob(f"{digest}.pack")) for digest in digests]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def read_by(shell: Shell, told: Any) -> set[str]:
    """Digests of the packs that this scrub read and found good, as its record has them."""
    path = shell.folder / "archive" / "records" / told["record"][:6] / f"{told['record']}.json"
    good = set(json.loads(path.read_text())["good"])
    assert len(good) == told["packs_read"]
    return good


def test_scrub_reads_in_turns_and_status_tells_the_age(shell: Shell) -> None:
    """Without flags a share, the oldest pack first; the next scrub goes on; `status` says what is left."""
    before = shell.json("status")["upkeep"]
    first = shell.json("scrub")
    second = shell.json("scrub", "--read-data-subset", "1M")
    after = shell.json("status")["upkeep"]
    read = [read_by(shell, told) for told in (first, second)]
    contents = [path.stem for path in packs(shell)]
    nights = [set(found.manifest.packs) for found in Archive.open(LocalDisk(shell.folder / "archive")).snapshots()]
    left = [night - read[0] - read[1] for night in nights]
    days = 9 - next(
        number for number, unread in enumerate(left) if unread
    )  # two packs of a night come as they like

    assert (first["packs"], first["asked"], first["findings"]) == (6, "everything within 30 days", [])
    assert [{*contents} & one for one in read] == [{contents[0]}, {contents[1]}]
    assert read[0] <= nights[0]
    assert not read[0] & read[1]
    assert (before["packs"], before["never_read"], before["last_scrub"]) == (6, 6, None)
    assert (after["packs"], after["never_read"]) == (6, len(set.union(*left)))
    assert after["last_scrub"]["id"] == second["record"]
    assert before["oldest_unread_s"] // 86400 == 9
    assert after["oldest_unread_s"] // 86400 == days < 9
    said = shell.run("status").stdout
    assert f"oldest unread byte: {days} days" in said
    assert f"{after['never_read']} of 6 packs never read since they were written" in said


def test_damage_outside_of_todays_share_is_found_in_its_turn(shell: Shell) -> None:
    """A flipped byte in the newest pack: the oldest is read first; the third scrub ends with 4 and names it."""
    flip(packs(shell)[2])

    codes = [shell.run("scrub", "--read-data-subset", "1M").returncode for _ in range(3)]

    assert codes == [0, 0, 4]
    assert shell.run("scrub", "--all").returncode == 4
    assert "sha256" in shell.run("scrub").stderr


def test_the_bound_is_configured(shell: Shell) -> None:
    """What is older than that is read whatever the share; nonsense is told with its key."""
    config = shell.folder / "strongroom.toml"
    config.write_text("[upkeep]\nscrub_within_days = 8\n")
    assert shell.json("scrub")["packs_read"] == 4  # 9 and 8 days old; those of the third night are 7
    config.write_text("[upkeep]\nscrub_within_days = 0\n")
    done = shell.run("scrub")

    assert done.returncode == 2
    assert "upkeep.scrub_within_days = 0" in done.stderr


def test_max_duration_ends_the_reading(shell: Shell) -> None:
    """No time at all is a mistake, a second is enough to begin."""
    assert shell.json("scrub", "--all", "--max-duration", "1h")["packs_read"] == 6
    assert shell.run("scrub", "--max-duration", "0s").returncode == 2


def test_a_stray_file_among_the_packs_is_told_with_what_to_do_and_left(shell: Shell) -> None:
    """By scrub and doctor, each with its name; nobody deletes it."""
    stray = packs(shell)[0].with_name("notes.txt")
    stray.write_text("an editor's")
    name = stray.relative_to(shell.folder / "archive").as_posix()

    scrubbed, asked = shell.run("scrub"), shell.run("doctor")

    assert scrubbed.returncode == 4
    assert f"error: {name}: no file of an archive" in scrubbed.stderr
    assert "hint: move it out of the archive" in scrubbed.stderr
    assert f"1 file that is none of an archive: {name}; move it out" in asked.stdout
    assert stray.exists()


def test_scrub_of_a_named_archive_leaves_nothing(shell: Shell) -> None:
    """A copy has no history: it says so, and how to read all of it."""
    shutil.copytree(shell.folder / "archive", shell.folder / "copy")
    files = sorted((shell.folder / "copy").rglob("*"))

    done = shell.run("scrub", "--archive", "copy", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["record"] is None
    assert "no history is at hand" in done.stderr
    assert "no record was left" in done.stderr
    assert sorted((shell.folder / "copy").rglob("*")) == files


def test_scrub_goes_on_without_a_catalog_that_is_broken(shell: Shell) -> None:
    """The archive can be read without it."""
    shell.run("scrub")
    for left in (shell.folder / "state").glob("catalog.db*"):
        left.unlink()
    (shell.folder / "state" / "catalog.db").write_bytes(b"rot" * 2000)

    done = shell.run("scrub", "--all")

    assert done.returncode == 0
    assert "6 of 6 packs" in done.stdout
    assert "catalog.db" in done.stderr


def test_a_roll_back_is_told_by_the_catalog_and_by_what_was_noted_elsewhere(shell: Shell) -> None:
    """The archive is an older copy of itself again: exit code 4, number and day; with the catalog gone, too."""
    shutil.copytree(shell.folder / "archive", shell.folder / "older")
    newest = keep(shell, 3)
    noted = shell.folder / "noted.json"
    noted.write_text(shell.run("scrub", "--json").stdout)
    assert shell.run("scrub", "--expect", "noted.json").returncode == 0
    (record,) = shell.folder.rglob(json.loads(noted.read_text())["record"] + ".json")
    shutil.copy(record, shell.folder / "record.json")
    shutil.rmtree(shell.folder / "archive")
    (shell.folder / "older").rename(shell.folder / "archive")

    known = shell.run("scrub", "--json")
    (shell.folder / "state" / "catalog.db").unlink()
    unknown = shell.run("scrub")
    expected = [shell.run("scrub", "--expect", name) for name in ("noted.json", "record.json")]

    assert (known.returncode, unknown.returncode) == (4, 0)
    findings = json.loads(known.stdout)["findings"]
    assert findings[0]["snapshots"] == [newest.id]
    assert any(finding["problem"].startswith("archive rolled back: ") for finding in findings)
    for done in expected:
        assert done.returncode == 4
        assert f"number 4, id {newest.id[:12]} noted on {datetime.now(UTC):%Y-%m-}" in done.stderr
        assert "bring the newer archive back" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scrub", "--read-data-subset", "a lot"), "a share such as 5%"),
        (("scrub", "--read-data-subset", "8/7"), "a part such as 1/7"),
        (("scrub", "--max-duration", "soon"), "a duration such as 30m"),
        (("scrub", "--all", "--read-data-subset", "5%"), "ask for different things"),
        (("scrub", "--expect", "nowhere.json"), "No such file"),
        (("scrub", "--expect", "strongroom.toml"), "holds no heads of a scrub"),
        (("scrub", "--expect", "list.json"), "holds no heads of a scrub"),
        (("drill", "--archive", "archive"), "name a folder with --to"),
        (("drill", "abcdef"), "no snapshot has an id that begins so"),
    ],
)
def test_bad_input_is_told(bare: Shell, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, in words, and no record is left."""
    (bare.folder / "list.json").write_text('{"heads": {"lab": 3}}')

    done = bare.run(*arguments)

    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (bare.folder / "archive" / "records").exists()


def test_drill_gives_back_proves_times_and_leaves_nothing(shell: Shell) -> None:
    """The newest first, then the next; `status` says when and how long."""
    first, second = shell.json("drill"), shell.json("drill")

    assert (first["outcome"], first["files"], first["bytes"]) == ("passed", 1, 1 << 20)
    listed = [one["id"] for one in shell.json("snapshots")["snapshots"]]
    assert listed[1:] == [second["snapshot"], first["snapshot"]]
    assert list((shell.folder / "state" / "drill").iterdir()) == []
    last = shell.json("status")["upkeep"]["last_drill"]
    assert [last[name] for name in ("snapshot", "outcome", "seconds")] == [
        second[name] for name in ("snapshot", "outcome", "seconds")
    ]
    said = shell.run("status").stdout
    assert f"lab/group 1234 {second['snapshot'][:8]} passed, 1,048,576 bytes restored in" in said


def test_a_drill_that_fails_ends_with_4(shell: Shell) -> None:
    """And its problem is in the record and in the catalog."""
    flip(packs(shell)[2])

    done = shell.run("drill", "--to", "elsewhere", "--json")

    told = json.loads(done.stdout)
    assert (done.returncode, told["outcome"], told["files"]) == (4, "failed", 0)
    assert "a.bin" in told["problems"][0]
    assert list((shell.folder / "elsewhere").iterdir()) == []
    with sqlite3.connect(shell.folder / "state" / "catalog.db") as database:
        assert database.execute("select outcome, snapshot from drill").fetchall() == [("failed", told["snapshot"])]
    database.close()
    assert shell.run("drill").returncode == 0


def test_an_archive_without_snapshots_has_nothing_to_drill(bare: Shell) -> None:
    """Exit code 2; a scrub of it is well, and so is its status."""
    assert bare.run("drill").returncode == 2
    assert bare.run("scrub").returncode == 0
    assert bare.json("status")["upkeep"]["oldest_unread_at"] is None
