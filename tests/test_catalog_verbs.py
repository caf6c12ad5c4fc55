"""`catalog check` and `catalog rebuild` as a user meets them: what is wrong, in words, and the exit code."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from flows.cli.app import run
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.schema import SCHEMA
from tests.doubles import LAB, NIGHT, START, drop, overwrite, run_record
from tests.storage.test_catalog import beginning, history, night


class Home:
    """A folder with a configuration, an archive of a few nights, and its catalog."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.config = folder / "strongroom.toml"
        self.path = folder / "state" / "catalog.db"
        self._capsys = capsys
        assert run(["init", "--yes", "--no-encryption", "--config", str(self.config)]) == 0
        with self.catalog() as catalog:
            history(self.archive, catalog)
            catalog.note_fact("archive", self.archive.id)
        capsys.readouterr()

    @property
    def archive(self) -> Archive:
        return Archive.open(LocalDisk(self.folder / "archive"))

    def catalog(self) -> Catalog:
        return Catalog.open(self.path)

    def say(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        code = run([*arguments, "--config", str(self.config)])
        printed = self._capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    def sql(self, statement: str) -> None:
        """Forge rows."""
        with sqlite3.connect(self.path) as database:
            database.execute(statement)
        database.close()

    def mended(self) -> bool:
        """Whether a rebuild ends well, and after it nothing differs."""
        return self.say("catalog", "rebuild")[0] == 0 == self.say("catalog", "check")[0]


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, capsys)


def test_a_catalog_that_agrees_is_said_to(home: Home) -> None:
    """And nothing is changed by asking."""
    before = home.path.read_bytes()

    assert home.say("catalog", "check") == (0, "the catalog agrees with the archive")
    assert home.path.read_bytes() == before
    assert home.mended()


def test_rebuild_says_what_it_did(home: Home) -> None:
    """Counts, seconds, and where the old file is."""
    code, said = home.say("catalog", "rebuild", "--json")
    told = json.loads(said)

    assert code == 0
    assert (told["runs"], told["snapshots"], told["forgotten"], told["carried"]) == (6, 4, 1, 1)
    assert told["seconds_per_10000_runs"] > 0
    assert Path(told["old_catalog"]).exists()
    assert "6 runs, 4 snapshots, 1 forgotten" in home.say("catalog", "rebuild")[1]


def test_a_catalog_that_was_rolled_back(home: Home) -> None:
    """An older copy was put in its place: the archive has newer."""
    older = home.path.read_bytes()
    with home.catalog() as catalog:
        night(home.archive, catalog, 9)
    home.path.write_bytes(older)
    code, said = home.say("catalog", "check")

    assert code == 4
    assert (
        "catalog rolled back: chain lab/group 1234: ends at number 4; the archive is newer, it has number 5"
        in said
    )
    assert "the catalog lacks it: run 20260310-023000-lab" in said
    assert "archive rolled back" not in said
    assert "hint: `strongroom catalog rebuild`" in said
    assert home.mended()


def test_a_catalog_that_is_lost(home: Home) -> None:
    """Check says so and makes none; rebuild makes one, and so does any verb that needs it."""
    home.path.unlink()
    code, said = home.say("catalog", "check")

    assert (code, home.path.exists()) == (1, False)
    assert "no catalog is there" in said
    assert "strongroom catalog rebuild" in said
    assert home.mended()


def test_a_catalog_that_was_emptied(home: Home) -> None:
    """A new one without a row is told from one that lacks a few."""
    home.path.unlink()
    home.catalog().close()
    code, said = home.say("catalog", "check")

    assert code == 4
    assert "catalog emptied: catalog: knows nothing; the archive holds 5 snapshots, 6 runs" in said
    assert home.mended()


def test_a_catalog_that_was_cut(home: Home) -> None:
    """It cannot be opened: check says so, rebuild keeps it aside, says what was not carried over."""
    data = home.path.read_bytes()
    home.path.write_bytes(data[: len(data) // 2])
    code, said = home.say("catalog", "check")
    assert code == 1
    assert "malformed" in said
    assert "strongroom catalog rebuild" in said

    code, said = home.say("catalog", "rebuild")
    assert code == 0
    assert "malformed" in said
    assert "the old catalog is kept as" in said
    assert home.mended()


@pytest.mark.parametrize("verb", ["check", "rebuild"])
def test_a_catalog_of_a_newer_version(home: Home, verb: str) -> None:
    """Is left as it is."""
    home.sql(f"pragma user_version = {SCHEMA + 1}")
    code, said = home.say("catalog", verb)

    assert code == 1
    assert f"schema {SCHEMA + 1}, this version knows {SCHEMA}" in said
    assert "upgrade" in said


@pytest.mark.parametrize("verb", ["check", "rebuild"])
def test_a_catalog_of_another_archive(home: Home, verb: str) -> None:
    """Its jobs are about something else."""
    with home.catalog() as catalog:
        catalog.note_fact("archive", "0123456789")
    code, said = home.say("catalog", verb)

    assert code == 2
    assert "indexes archive 01234567" in said


def test_an_archive_that_was_rolled_back(home: Home) -> None:
    """An older copy was put in its place: the catalog has newer, and a rebuild would forget it."""
    shutil.copytree(home.folder / "archive", home.folder / "older")
    with home.catalog() as catalog:
        night(home.archive, catalog, 9)
    shutil.move(home.folder / "archive", home.folder / "newer")
    shutil.move(home.folder / "older", home.folder / "archive")
    code, said = home.say("catalog", "check")

    assert code == 4
    assert (
        "archive rolled back: chain lab/group 1234: ends at number 4; the catalog is newer, it knows number 5"
        in said
    )
    assert "neither live nor has it a tombstone" in said
    assert "run 20260310-023000-lab (lab/group 1234): ended verified by the catalog, without a record" in said
    assert "catalog rolled back" not in said
    assert "bring the missing files back from a copy" in said
    code, said = home.say("catalog", "rebuild")
    assert code == 4
    assert "the archive has not: snapshot lab/group 1234 number 5, run 20260310-023000-lab; 2 in all" in said


def test_an_archive_that_was_rolled_back_and_written_to_since(home: Home) -> None:
    """Another snapshot has the number that the catalog knows."""
    shutil.copytree(home.folder / "archive", home.folder / "older")
    with home.catalog() as catalog:
        night(home.archive, catalog, 9)
    shutil.rmtree(home.folder / "archive")
    shutil.move(home.folder / "older", home.folder / "archive")
    with Catalog.open(home.folder / "another.db") as catalog:
        night(home.archive, catalog, 10)
    code, said = home.say("catalog", "check")

    assert code == 4
    assert "archive rolled back: chain lab/group 1234: number 5 is" in said
    assert "the archive was rolled back, and written to since" in said


def test_an_archive_that_was_emptied(home: Home) -> None:
    """Only its mark is there."""
    for folder in ("snapshots", "records", "packs"):
        shutil.rmtree(home.folder / "archive" / folder)
    code, said = home.say("catalog", "check")

    assert code == 4
    assert "archive emptied: archive: holds nothing; the catalog knows 5 snapshots, 6 runs" in said
    assert "bring the missing files back from a copy" in said


def test_a_damaged_manifest_is_neither_lost_nor_rolled_back(home: Home) -> None:
    """It cannot be read, and scrub says whom it hits."""
    overwrite(home.archive.backend, home.archive.snapshots(LAB)[-1].name, b"rot")
    code, said = home.say("catalog", "check")

    assert code == 4
    assert "cannot be read: snapshot" in said
    assert "strongroom scrub" in said
    assert "rolled back" not in said


MADE_UP_RUN = """insert into run (id, source, scope, system, request, trigger, flow_run, job, started_at, holder,
    phase, ended_at, ended, reason, hint, snapshot, bytes_fetched)
    values ('20260401-made-up', 'lab', 'a', '', '{}', '', '', '', '', '', '', '2026', 'verified', '', '', '', 0)"""
MADE_UP_SNAPSHOT = """insert into snapshot
    select 'f00dfeed', source, scope, 9, run, taken_at, committed_at, quality, files, size, stored_bytes,
    '', '', '' from snapshot where number = 4"""


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        (
            "update snapshot set quality = 'verified' where number = 3",
            "quality: the catalog says 'verified', the arch",
        ),
        ("update snapshot set forgotten_at = '' where number = 1", "forgotten_at: the catalog says ''"),
        (
            "update run set ended = 'verified', exit_code = 0 where ended = 'failed'",
            "ended: the catalog says 'verif",
        ),
        ("update run set started_at = ended_at", "differs: run"),
        ("delete from snapshot where number = 2", "the catalog lacks it: snapshot"),
        ("delete from run where ended = 'failed'", "the catalog lacks it: run 20260306-x"),
        ("delete from 'check'", "checks: the catalog says ''"),
        ("update 'check' set outcome = 'passed'", "differs: run"),
        ("update file set sha256 = 'ab'", "file rows: the catalog says"),
        (
            "insert into file select snapshot, 'x', 1, 1, '', null, null, null from file limit 1",
            "file rows: the cat",
        ),
        ("insert into source values ('made up', 'rspace')", "the archive lacks it: source made up"),
        ("insert into scope values ('lab', 'made up', '{}')", "the archive lacks it: scope lab/made up"),
        ("update scope set request = '{}'", "request: the catalog says '{}'"),
        ("delete from scope", "the catalog lacks it: scope"),
        ("update source set system = 'other'", "system: the catalog says 'other'"),
        (MADE_UP_RUN, "20260401-made-up (lab/a): ended verified by the catalog, without a record in the archive"),
    ],
)
def test_forged_rows_show(home: Home, forged: str, words: str) -> None:
    """Whatever was changed, put in or taken out; and a rebuild mends it."""
    home.sql(forged)
    code, said = home.say("catalog", "check")

    assert code == 4
    assert words in said
    assert home.say("catalog", "rebuild")[0] in (0, 4)
    assert home.say("catalog", "check")[0] == 0


def test_a_forged_snapshot_shows(home: Home) -> None:
    """One that never was, behind the end of its chain: as if the archive had lost it, for nobody can tell."""
    home.sql(MADE_UP_SNAPSHOT)
    code, said = home.say("catalog", "check", "--json")
    found = json.loads(said)["differences"]

    assert code == 4
    assert [(each["kind"], each["what"]) for each in found] == [
        ("archive rolled back", "chain lab/group 1234"),
        ("the archive lacks it", "snapshot f00dfeed (lab/group 1234 number 9)"),
    ]
    assert all(each["hint"] for each in found)


def test_what_a_run_under_way_does_is_no_difference(home: Home) -> None:
    """Its snapshot comes to the archive before it comes to the catalog; when it is over, its lack shows."""
    archive = home.archive
    with home.catalog() as catalog, Catalog.open(home.folder / "another.db") as elsewhere:
        found = night(archive, elsewhere, 9)
        record = run_record(found.manifest.draft.run_id, started_at=START + 9 * NIGHT)
        catalog.begin_run(beginning(record))
    # The night kept a snapshot under its draft's run id, which is the one under way; its record is another's.
    archive.backend.delete("records/202603/20260310-023000-lab.json")

    assert home.say("catalog", "check")[0] == 0
    with home.catalog() as catalog:
        catalog.record_run(record)
    assert home.say("catalog", "check")[0] == 4


def test_rebuild_refuses_while_a_run_is_under_way(home: Home) -> None:
    """Busy, exit code 11, and which run it is."""
    with home.catalog() as catalog:
        catalog.begin_run(beginning(run_record("20260401-now")))
    code, said = home.say("catalog", "rebuild")

    assert code == 11
    assert "run 20260401-now of lab/group 1234 is under way" in said


def test_a_forgetting_that_the_catalog_missed(home: Home) -> None:
    """The tombstone is in the archive: the row differs, and says so."""
    drop(home.archive, home.archive.snapshots(LAB)[0], now=START + 20 * NIGHT)
    code, said = home.say("catalog", "check")

    assert code == 4
    assert "forgotten_at: the catalog says ''" in said
    assert home.mended()


def test_a_long_list_is_printed_whole_and_the_last_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plainly, where there are many rows: the same cells; `--last` names the newest of each scope."""
    pretty = home.say("snapshots")[1]
    monkeypatch.setattr("flows.cli.console.MANY", 2)
    plain = home.say("snapshots")[1]
    last = json.loads(home.say("snapshots", "--last", "1", "--json")[1])["snapshots"]

    assert plain == pretty
    assert {(each["source"], each["number"]) for each in last} == {("lab", 4), ("office", 1)}
