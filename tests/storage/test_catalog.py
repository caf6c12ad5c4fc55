"""The catalog: filled anew row for row, leases that free themselves, and a file nobody else reads."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import records
from storage.archive import Archive, Damaged
from storage.catalog import Beginning, Catalog
from storage.errors import CatalogUnusable, ObjectCorrupt
from storage.holder import Holder, this_process
from storage.records import Ended, RunRecord
from storage.schema import SCHEMA
from storage.snapshot import ScopeKey, Snapshot, record_name
from storage.verify import Quality
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    draft,
    drop,
    new_archive,
    overwrite,
    run_record,
    write,
)

FINISHED = ["source", "scope", "run", "snapshot", "file", "check"]  # tables that the archive can fill
TTL = timedelta(minutes=10)
DEAD = replace(this_process(), started=this_process().started - 500)
ABROAD = replace(this_process(), host="elsewhere")


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of everything finished, read without the code under test."""
    with sqlite3.connect(path) as database:
        found = {name: sorted(database.execute(f'select * from "{name}"'), key=repr) for name in FINISHED}  # noqa: S608
    database.close()
    return found


def beginning(record: RunRecord) -> Beginning:
    return Beginning(
        record.id,
        record.key,
        record.system,
        record.request,
        record.trigger,
        record.flow_run,
        record.started_at,
        this_process(),
    )


def night(archive: Archive, catalog: Catalog, number: int, key: ScopeKey = LAB) -> Snapshot:
    """One run as the engine carries it: begun, kept, recorded in the archive, entered."""
    at = START + number * NIGHT
    quality = Quality.QUARANTINED if number % 3 == 2 else Quality.VERIFIED
    name = f"{at:%Y%m%d-%H%M%S}-{key.source}"
    record = run_record(name, key=key, request=draft().request, started_at=at, ended_at=at + TTL)
    catalog.begin_run(beginning(record))
    catalog.note_phase(record.id, "fetching", "a job")
    found = write(archive, {"a": b"%d" % number, "b/ü": b""}, key=key, night=number, quality=quality)
    record = replace(record, snapshot=found.id, ended=Ended(quality.value))
    archive.put_record(record.id, records.encode(record))
    catalog.record_run(record)
    catalog.record_snapshot(found, archive.entries)
    return found


def history(archive: Archive, catalog: Catalog) -> None:
    """Two scopes, a failed run, a forgotten snapshot."""
    for number in range(4):
        night(archive, catalog, number)
    night(archive, catalog, 1, OFFICE)
    at = START + 5 * NIGHT
    failed = run_record("20260306-x", started_at=at, ended=Ended.FAILED, exit_code=13, reason="no", hint="try")
    archive.put_record(failed.id, records.encode(failed))
    catalog.begin_run(beginning(failed))
    catalog.record_run(failed)
    drop(archive, archive.snapshots(LAB)[0], now=at)
    catalog.record_forgotten(archive.tombstones()[0])


def test_a_new_catalog_is_filled_row_for_row(tmp_path: Path) -> None:
    """Everything finished is the same, however it came in."""
    archive = new_archive()
    with Catalog.open(tmp_path / "one.db") as lived:
        history(archive, lived)
    with Catalog.open(tmp_path / "two.db") as filled:
        entered = filled.reindex(archive)

    assert entered == 11
    assert rows(tmp_path / "two.db") == rows(tmp_path / "one.db")
    assert all(rows(tmp_path / "two.db").values())


@pytest.mark.parametrize("missing", [set(), {0}, {1}, {0, 1, 2}])
def test_a_catalog_with_gaps_is_filled_up(tmp_path: Path, missing: set[int]) -> None:
    """Some runs entered, the others not: the same rows at the end, and nothing to enter after that."""
    archive = new_archive()
    with Catalog.open(tmp_path / "one.db") as lived:
        found = {number: night(archive, lived, number) for number in range(3)}
    with Catalog.open(tmp_path / "two.db") as partly:
        for number in sorted(found.keys() - missing):
            partly.record_snapshot(found[number], archive.entries)
            name = record_name(found[number].manifest.draft.run_id.rpartition("-")[0] + "-lab")
            record = records.decode(archive.backend.get(name), name)
            assert record is not None
            partly.record_run(record)

        assert partly.reindex(archive) == 2 * len(missing)
        assert partly.reindex(archive) == 0
    assert rows(tmp_path / "two.db") == rows(tmp_path / "one.db")


def test_an_older_run_that_is_entered_late_does_not_change_what_was_asked_last(tmp_path: Path) -> None:
    """Filling up goes by the time of runs, not by the order they come in."""
    late, early = (run_record(f"2026030{n}-x", started_at=START + n * NIGHT, request={"night": n}) for n in (2, 1))
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.record_run(late)
        catalog.record_run(early)

    assert rows(tmp_path / "c.db")["scope"] == [("lab", "group 1234", '{"night": 2}')]


def test_filling_anew_leaves_what_is_in_flight(tmp_path: Path) -> None:
    """An intent survives."""
    archive = new_archive()
    with Catalog.open(tmp_path / "c.db") as catalog:
        history(archive, catalog)
        catalog.jobs.save_intent("job", LAB, {"kind": "group"}, now=START)
        catalog.reindex(archive)
        job = catalog.jobs.open(LAB)

    assert job is not None
    assert (job.id, job.intent, job.asked_at, job.ref) == ("job", {"kind": "group"}, None, None)


def test_a_damaged_file_stops_filling_only_where_nobody_takes_it(tmp_path: Path) -> None:
    """With a list for what is damaged, the rest comes in."""
    archive = new_archive()
    with Catalog.open(tmp_path / "one.db") as lived:
        history(archive, lived)
    bad = [archive.snapshots(LAB)[0].name, next(archive.backend.list("records/"))]
    for name in bad:
        overwrite(archive.backend, name, b"rot")
    damaged: list[Damaged] = []
    with Catalog.open(tmp_path / "two.db") as filled:
        with pytest.raises(ObjectCorrupt):
            filled.reindex(archive)
        entered = filled.reindex(archive, damaged=damaged)

    assert sorted(found.name for found in damaged) == sorted(bad)
    assert entered == 9


def test_a_full_disk_is_told_without_the_rows_values(tmp_path: Path) -> None:
    """SQLite's error becomes ours: where, why, and nothing of what was to be written."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog._engine.dispose()
        (tmp_path / "c.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)

        with pytest.raises(CatalogUnusable) as caught:
            catalog.jobs.save_intent("j1", LAB, {"name": "RSpace-secret-name.zip"}, now=START)

    assert "secret-name" not in str(caught.value)
    assert caught.value.hint


def test_the_first_answer_that_said_ready_stands(tmp_path: Path) -> None:
    """A later one may promise less."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.jobs.save_intent("job", LAB, {}, now=START)
        catalog.jobs.mark_asked("job", now=START)
        catalog.jobs.save_ref("job", {"id": 1})
        catalog.jobs.save_status("job", {"size": 9})
        catalog.jobs.save_status("job", {"size": 1})
        job = catalog.jobs.get("job")
        assert (job.status, job.ref, job.asked_at) == ({"size": 9}, {"id": 1}, START)
        catalog.jobs.close("job", "kept", now=START)

        assert catalog.jobs.open(LAB) is None
        with pytest.raises(CatalogUnusable, match="not in the catalog"):
            catalog.jobs.get("other")


def test_runs_whose_process_is_gone_are_told(tmp_path: Path) -> None:
    """And those that still run are not."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        for name, holder in (("20260301-dead", DEAD), ("20260301-alive", this_process())):
            catalog.begin_run(replace(beginning(run_record(name)), holder=holder))

        assert [run.id for run in catalog.dead_runs(LAB)] == ["20260301-dead"]


# -- leases


def test_a_lease_is_had_by_one(tmp_path: Path) -> None:
    """Who asks second is told who has it."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        assert catalog.take_lease("key", ABROAD, now=START, ttl=TTL) is None
        assert catalog.take_lease("key", this_process(), now=START, ttl=TTL) == ABROAD
        assert catalog.take_lease("other key", this_process(), now=START, ttl=TTL) is None


def test_a_lease_of_a_living_holder_goes_over_when_it_has_run_out(tmp_path: Path) -> None:
    """Not a second before."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.take_lease("key", ABROAD, now=START, ttl=TTL)

        assert catalog.take_lease("key", this_process(), now=START + TTL - timedelta(seconds=1), ttl=TTL) == ABROAD
        assert catalog.take_lease("key", this_process(), now=START + TTL, ttl=TTL) is None
        assert catalog.take_lease("key", ABROAD, now=START + TTL, ttl=TTL) == this_process()


def test_a_lease_of_a_dead_process_goes_over_at_once(tmp_path: Path) -> None:
    """No hand is needed, and no waiting."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.take_lease("key", DEAD, now=START, ttl=TTL)

        assert catalog.take_lease("key", this_process(), now=START, ttl=TTL) is None


def test_a_lease_is_renewed_by_its_holder_and_dropped_by_nobody_else(tmp_path: Path) -> None:
    """Renewing moves its end; another's drop does nothing."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.take_lease("key", this_process(), now=START, ttl=TTL)
        catalog.take_lease("key", this_process(), now=START + TTL, ttl=TTL)
        catalog.drop_lease("key", ABROAD)
        assert catalog.take_lease("key", ABROAD, now=START + TTL, ttl=TTL) == this_process()
        catalog.drop_lease("key", this_process())

        assert catalog.take_lease("key", ABROAD, now=START + TTL, ttl=TTL) is None


RACER = """
import sys
from datetime import timedelta
from pathlib import Path
from storage.catalog import Catalog
from storage.holder import this_process
from tests.doubles import START
sys.stdin.readline()
with Catalog.open(Path(sys.argv[1])) as catalog:
    other = catalog.take_lease("key", this_process(), now=START, ttl=timedelta(minutes=10))
    print("mine" if other is None else other.encode(), flush=True)
    sys.stdin.readline()
"""


def test_of_processes_that_ask_at_once_one_gets_the_lease(tmp_path: Path) -> None:
    """Four processes, one new file: one wins, the others are told who; when it dies, the next one has it."""
    command = [sys.executable, "-c", RACER, str(tmp_path / "c.db")]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.stdout.readline().strip() if racer.stdout else "" for racer in racers]
    winners = [racer for racer, answer in zip(racers, answers, strict=True) if answer == "mine"]
    for racer in racers:
        racer.kill()
        racer.communicate()

    assert len(winners) == 1
    assert {Holder.decode(answer).pid for answer in answers if answer != "mine"} == {winners[0].pid}
    with Catalog.open(tmp_path / "c.db") as catalog:
        assert catalog.take_lease("key", this_process(), now=START, ttl=TTL) is None


# -- the file


def test_nobody_else_reads_the_catalog(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask allows; its folder, and what SQLite puts beside it, too."""
    old = os.umask(0)
    try:
        with Catalog.open(tmp_path / "state" / "c.db") as catalog:
            catalog.note_fact("a", "b")
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    finally:
        os.umask(old)

    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_facts_stay(tmp_path: Path) -> None:
    """From one opening to the next; the last word counts."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.note_fact("archive", "1")
        catalog.note_fact("archive", "2")
    with Catalog.open(tmp_path / "c.db") as catalog:
        assert (catalog.fact("archive"), catalog.fact("other")) == ("2", "")


def test_a_newer_catalog_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A newer version wrote it."""
    path = tmp_path / "c.db"
    Catalog.open(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"pragma user_version = {SCHEMA + 1}")
    database.close()
    with pytest.raises(CatalogUnusable, match=f"schema {SCHEMA + 1}"):
        Catalog.open(path)

    with sqlite3.connect(path) as database:
        assert database.execute("pragma user_version").fetchone() == (SCHEMA + 1,)
    database.close()


@pytest.mark.parametrize("data", [b"hello " * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, data: bytes) -> None:
    """With the file's name and what to do."""
    path = tmp_path / "c.db"
    path.write_bytes(data)
    with pytest.raises(CatalogUnusable, match=r"c\.db"):
        Catalog.open(path)

    assert path.read_bytes() == data


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """An error of ours."""
    with pytest.raises(CatalogUnusable, match="directory"):
        Catalog.open(tmp_path)


def test_scopes_are_known_once_they_had_a_run_or_a_snapshot(tmp_path: Path) -> None:
    """And are known to be kept while a snapshot of them lives; runs can be asked for by how they ended."""
    archive, other = new_archive(), ScopeKey("lab", "other")
    with Catalog.open(tmp_path / "c.db") as catalog:
        found = night(archive, catalog, 0)
        night(archive, catalog, 1, key=OFFICE)
        same = run_record("20260302-023000-0000abcd", key=other, ended=Ended.UNCHANGED, snapshot="")
        catalog.record_run(same)
        at = datetime(2026, 3, 3, tzinfo=UTC)

        assert [(s.name, s.live) for s in catalog.known_scopes("lab", now=at)] == [
            (LAB.scope, True),
            ("other", False),
        ]
        assert catalog.known_scopes("lab", now=at)[0].request == draft().request
        assert [run.id for run in catalog.runs(ended=Ended.UNCHANGED)] == [same.id]
        drop(archive, found, now=START + NIGHT)
        catalog.reindex(archive)
        assert [(s.name, s.live) for s in catalog.known_scopes("lab", now=at)] == [
            (LAB.scope, False),
            ("other", False),
        ]
        later = at + timedelta(days=4)  # what was only tried is forgotten
        assert [s.name for s in catalog.known_scopes("lab", now=later)] == [LAB.scope]
