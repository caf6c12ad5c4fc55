"""A catalog made anew: row for row the one that grew, whatever became of the old file, killed anywhere."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from storage import records
from storage.archive import Archive, Damaged
from storage.catalog import Catalog
from storage.decisions import Decision
from storage.errors import Busy, CatalogNewer
from storage.facts import differences, facts, same_names
from storage.finished import put
from storage.holder import this_process
from storage.jobs import InFlight
from storage.rebuild import Rebuilt, rebuild
from storage.records import Ended
from storage.rows import MAX_FILES
from storage.schema import SCHEMA
from storage.snapshot import ScopeKey
from storage.tables import File
from storage.verify import Quality
from tests.doubles import LAB, NIGHT, OFFICE, START, draft, drop, new_archive, overwrite, run_record, write
from tests.storage.test_catalog import ABROAD, DEAD, TTL, beginning, history, rows

NOW = START + 90 * NIGHT


def anew(path: Path, archive: Archive) -> Rebuilt:
    return rebuild(path, archive, now=NOW, damaged=[])


def in_flight(path: Path) -> tuple[object, ...]:
    """What only the catalog knows, read without the code under test."""
    with sqlite3.connect(path) as database:
        found = tuple(
            sorted(database.execute(query), key=repr)
            for query in ("select * from job", "select * from lease", "select * from fact")
        ) + tuple(database.execute("select * from run where ended_at = ''"))
    database.close()
    return found


def lived(path: Path, archive: Archive) -> None:
    """A catalog with a history, an open job, a run that died, a lease and a fact."""
    with Catalog.open(path) as catalog:
        history(archive, catalog)
        catalog.jobs.save_intent("job", LAB, {"kind": "group"}, now=START)
        catalog.jobs.mark_asked("job", now=START)
        dead = run_record("20260310-dead", key=ScopeKey("lab", "new"), started_at=START + 9 * NIGHT)
        catalog.begin_run(replace(beginning(dead), holder=DEAD))
        catalog.take_lease("credential", DEAD, now=START, ttl=TTL)
        catalog.note_fact("archive", archive.id)


def grow(archive: Archive, catalog: Catalog, seed: int) -> None:
    """A made-up history as the engine carries it: in any order, of sources that change what they are asked."""
    dice = random.Random(seed)
    keys = [LAB, ScopeKey("lab", "user 1"), OFFICE]
    for number in range(14):
        key, at = dice.choice(keys), START + dice.randrange(60) * NIGHT
        request = {"kind": "group", "variant": dice.randrange(3)}
        ended = dice.choice([Ended.VERIFIED, Ended.PARTIAL, Ended.FAILED, Ended.UNCHANGED])
        record = run_record(
            f"{at:%Y%m%d}-{number:04d}", key=key, request=request, started_at=at, ended_at=at + TTL, ended=ended,
            system=dice.choice(["rspace", "mayan"]),
        )  # fmt: skip
        if dice.random() < 0.9:
            catalog.begin_run(beginning(record))
        if ended.kept:
            found = write(archive, {"a": b"%d" % number}, key=key, night=(at - START).days, quality=Quality(ended))
            catalog.record_snapshot(found, archive.entries)
            record = replace(record, snapshot=found.id)
        archive.put_record(record.id, records.encode(record))
        catalog.record_run(record)
        live = archive.snapshots(key)
        if live and dice.random() < 0.3:
            gone = dice.choice(live)
            drop(archive, gone, now=at)
            catalog.record_forgotten(next(t for t in archive.tombstones(key) if t.id == gone.id))
    late = write(archive, {"z": b"z"}, key=ScopeKey("imported", "all"), night=3)  # a snapshot without a run
    catalog.record_snapshot(late, archive.entries)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_rebuilt_is_what_grew(tmp_path: Path, seed: int) -> None:
    """Every table, every finished row; and the archive's facts are those of both."""
    archive, path = new_archive(), tmp_path / "c.db"
    with Catalog.open(path) as catalog:
        grow(archive, catalog, seed)
        grown = catalog.facts(now=NOW)
    before = rows(path)
    made = anew(path, archive)

    assert rows(path) == before
    assert all(before.values())
    assert facts(archive) == grown
    assert (made.runs, made.lost, made.problems) == (14, (), ())
    assert made.kept is not None
    assert rows(made.kept) == before
    with Catalog.open(path) as catalog:
        assert differences(catalog, archive, now=NOW) == []
        assert same_names(catalog, archive)


def test_names_are_the_same_until_a_file_comes_or_goes(tmp_path: Path) -> None:
    """Each manifest, tombstone, record and decision counts, whichever of the two has more."""
    archive = new_archive()
    with Catalog.open(tmp_path / "c.db") as catalog:
        grow(archive, catalog, seed=1)
        decision = Decision("hold", OFFICE, 1, "0" * 64, START, "ada", "why")
        decision = archive.decide(decision)
        assert not same_names(catalog, archive)
        catalog.record_decision(decision)
        assert same_names(catalog, archive)
        names = [
            name for folder in ("snapshots/", "records/", "decisions/") for name in archive.backend.list(folder)
        ]
        for name in names:
            data = archive.backend.get(name)
            archive.backend.delete(name)
            assert not same_names(catalog, archive), name
            archive.backend.put_new(name, [data])
        assert same_names(catalog, archive)
    assert {"live", "gone"} == {"gone" if ".forgotten" in name else "live" for name in names}


def test_what_is_in_flight_is_carried_over(tmp_path: Path) -> None:
    """Jobs, leases, facts and runs without an end, with the scope that only such a run is of."""
    archive, path = new_archive(), tmp_path / "c.db"
    lived(path, archive)
    before, finished = in_flight(path), rows(path)
    made = anew(path, archive)

    assert in_flight(path) == before
    assert rows(path) == finished
    assert made.carried == 4


def test_a_run_that_died_behind_its_record_has_ended(tmp_path: Path) -> None:
    """The old catalog takes it for under way; the archive knows better."""
    archive, path = new_archive(), tmp_path / "c.db"
    record = run_record()
    with Catalog.open(path) as catalog:
        catalog.begin_run(replace(beginning(record), holder=DEAD))
    archive.put_record(record.id, records.encode(record))
    made = anew(path, archive)

    with Catalog.open(path) as catalog:
        assert [(run.id, run.ended) for run in catalog.runs()] == [(record.id, "verified")]
    assert made.carried == 0


def test_a_run_under_way_is_not_disturbed(tmp_path: Path) -> None:
    """By a process that lives, by a lease of another host that has not run out, by whoever has the file open."""
    archive, path = new_archive(), tmp_path / "c.db"
    lived(path, archive)
    with Catalog.open(path) as catalog:
        with pytest.raises(Busy, match="in use"):
            anew(path, archive)
        catalog.begin_run(replace(beginning(run_record("20260311-here")), holder=this_process()))
    with pytest.raises(Busy, match=r"20260311-here of lab/group 1234 is under way"):
        anew(path, archive)
    with Catalog.open(path) as catalog:
        catalog.record_run(run_record("20260311-here"))
        catalog.begin_run(replace(beginning(run_record("20260312-there")), holder=ABROAD))
        catalog.take_lease("another", ABROAD, now=NOW, ttl=TTL)
    with pytest.raises(Busy, match="20260312-there"):
        anew(path, archive)

    assert rebuild(path, archive, now=NOW + TTL, damaged=[]).carried == 6


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda data: b"hello " * 1000,
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut to its first page": lambda data: data[:4096],
    "pages of zeros": lambda data: data[:4096] + bytes(len(data) - 4096),
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_catalog_is_moved_aside_and_never_deleted(tmp_path: Path, kind: str) -> None:
    """A whole one is in its place, and its bytes are there under a dated name."""
    archive, path = new_archive(), tmp_path / "c.db"
    with Catalog.open(path) as catalog:
        history(archive, catalog)
    finished = rows(path)
    data = BROKEN[kind](path.read_bytes())
    path.write_bytes(data)
    made = anew(path, archive)

    assert rows(path) == finished
    assert made.kept == tmp_path / "c.db.20260530-023000"
    if data:  # an empty file is a new catalog to whoever opens it
        assert made.kept.read_bytes()[-4096:] == data[-4096:]
        assert made.problems


def test_of_a_damaged_catalog_is_carried_over_what_can_be_read(tmp_path: Path) -> None:
    """A table of finished things is gone; the job stays."""
    archive, path = new_archive(), tmp_path / "c.db"
    lived(path, archive)
    with sqlite3.connect(path) as database:
        database.execute("drop table lease")
        database.execute("drop table snapshot")
    database.close()
    made = anew(path, archive)

    with Catalog.open(path) as catalog:
        job: InFlight | None = catalog.jobs.open(LAB)
        assert differences(catalog, archive, now=NOW) == []
    assert job is not None
    assert job.asked_at == START
    assert any("no such table" in problem for problem in made.problems)


def test_a_newer_catalog_is_left_alone(tmp_path: Path) -> None:
    """What is in flight in it cannot be known."""
    archive, path = new_archive(), tmp_path / "c.db"
    lived(path, archive)
    with sqlite3.connect(path) as database:
        database.execute(f"pragma user_version = {SCHEMA + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(CatalogNewer):
        anew(path, archive)

    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"c.db", "c.db.lock"}


def test_what_the_archive_has_lost_is_told(tmp_path: Path) -> None:
    """The new catalog does not know it; the old one is kept."""
    archive, path = new_archive(), tmp_path / "c.db"
    lived(path, archive)
    newest = archive.snapshots(LAB)[-1]
    archive.backend.delete(newest.name)
    damaged: list[Damaged] = []
    overwrite(archive.backend, archive.snapshots(OFFICE)[0].name, b"rot")
    made = rebuild(path, archive, now=NOW, damaged=damaged)

    assert made.lost == (f"snapshot {LAB} number 4", f"snapshot {OFFICE} number 1")
    assert len(damaged) == 1
    assert made.kept is not None
    assert made.kept.exists()


# -- killed


def killed(path: Path, archive: Archive, step: int) -> bool:
    """Rebuild in a child, killed before its `step`-th commit or change of a name; whether it came so far."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def change(name: str, arguments: tuple[object, ...]) -> None:
        if name in ("os.link", "os.rename") or (name == "os.remove" and "c.db" in str(arguments[0])):
            count()

    try:
        event.listen(Engine, "commit", count)
        sys.addaudithook(change)
        anew(path, archive)
    finally:
        os._exit(0)


@pytest.mark.parametrize("broken", [False, True])
def test_killed_at_any_commit_the_old_or_the_new_catalog_is_there(
    tmp_path: Path, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is in flight; and the next rebuild ends well and leaves no half-made file."""
    monkeypatch.setattr("storage.catalog.BATCH", 2)
    archive = new_archive()
    lived(tmp_path / "whole.db", archive)
    original = (tmp_path / "whole.db").read_bytes()
    finished, flying = rows(tmp_path / "whole.db"), in_flight(tmp_path / "whole.db")
    if broken:
        original = original[:4096] + bytes(len(original) - 4096)
    step = deaths = 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / "c.db"
        path.write_bytes(original)
        if not killed(path, archive, step):
            break
        deaths += 1
        if not broken:
            assert (rows(path), in_flight(path)) == (finished, flying)
        else:
            assert path.read_bytes()[4096:8192] == original[4096:8192] or rows(path)["run"] == [
                row for row in finished["run"] if row[12]
            ]
        anew(path, archive)
        with Catalog.open(path) as catalog:
            assert differences(catalog, archive, now=NOW) == []
        names = {file.name for file in folder.iterdir()}
        assert not {name for name in names if ".new" in name}
        assert any(name.startswith("c.db.2026") for name in names)

    assert deaths > 10


# -- many files


def test_files_of_a_large_snapshot_have_no_rows_and_are_found(tmp_path: Path) -> None:
    """Its listing is asked, while it is young enough to matter; the small ones have rows."""
    archive = new_archive()
    with Catalog.open(tmp_path / "c.db") as catalog:
        large = write(archive, {f"{n:04d}": b"" for n in range(MAX_FILES + 1)})
        small = write(archive, {"small.zip": b"a"}, key=OFFICE)
        for found in (large, small):
            catalog.record_snapshot(found, archive.entries)

        assert catalog.holds_file("lab", "1000", archive, since=START)
        assert not catalog.holds_file("lab", "1000", archive, since=START + NIGHT)
        assert not catalog.holds_file("lab", "1001", archive, since=START)
        assert not catalog.holds_file("office", "1000", archive, since=START)
        assert catalog.holds_file("office", "small.zip", archive, since=START + NIGHT)
        assert differences(catalog, archive, now=NOW) == []
        drop(archive, large, now=START + NIGHT)
        assert not catalog.holds_file("lab", "1000", archive, since=START)
    assert len(rows(tmp_path / "c.db")["file"]) == 1


def test_rows_of_a_large_snapshot_that_an_earlier_version_wrote_are_no_difference(tmp_path: Path) -> None:
    """They go when the catalog is rebuilt."""
    archive = new_archive()
    with Catalog.open(tmp_path / "c.db") as catalog:
        large = write(archive, {f"{n:04d}": b"" for n in range(MAX_FILES + 1)})
        catalog.record_snapshot(large, archive.entries)
        row = {"snapshot": large.id, "path": "0000", "size": 0, "crc32": 0, "sha256": ""}
        with catalog._write() as session:
            put(session, File, [row])
        assert differences(catalog, archive, now=NOW) == []
    anew(tmp_path / "c.db", archive)

    assert rows(tmp_path / "c.db")["file"] == []


def test_the_newest_snapshot_is_the_last_committed_that_lives(tmp_path: Path) -> None:
    """Forgotten and damaged ones are passed over; older exports taken in later are newer."""
    archive = new_archive()
    assert archive.newest(LAB) is None
    found = [write(archive, {"a": b"%d" % number}, night=number) for number in (5, 9, 2, 7)]
    assert archive.newest(LAB) == found[3]
    drop(archive, found[3], now=NOW)
    assert archive.newest(LAB) == found[2]
    overwrite(archive.backend, found[2].name, b"rot")
    damaged: list[Damaged] = []

    assert archive.newest(LAB, damaged=damaged) == found[1]
    assert [bad.name for bad in damaged] == [found[2].name]
    assert draft().key == LAB
