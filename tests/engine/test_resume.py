"""A run that dies anywhere is gone on with by the next one: the same job, one export, no byte fetched twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from flows.clock import SystemClock, new_id
from flows.errors import Exit, SourceUnavailable
from flows.sources.base import Source
from storage import records
from storage.catalog import Beginning
from storage.holder import Holder, this_process
from storage.records import Ended, RunRecord
from storage.snapshot import record_name
from tests.engine.bench import Bench, Dying, Killed, carry

PHASES = ("login", "start", "wait", "download", "keep", "finish")


def _killed_before(bench: Bench, phase: str, **given: Any) -> None:
    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine("user", **given), between=between)


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_between_two_phases_is_gone_on_with(bench: Bench, phase: str) -> None:
    """One POST and one download in all, one snapshot, whatever the phase before which the process died."""
    _killed_before(bench, phase)

    record = bench.again()

    assert (bench.posts(), bench.downloads()) == (1, 1)
    assert [found.id for found in bench.snapshots()] == [record.snapshot]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["login", "discover", "prepare", "start", "poll", "files", "open", "inspect"])
def test_a_run_killed_inside_a_verb_is_gone_on_with(bench: Bench, verb: str, after: bool) -> None:
    """One export, even where it died between RSpace's answer to the POST and our note of it."""
    dying = bench.engine("user", wrap=lambda s: cast(Source, Dying(s, verb, after=after)))
    with pytest.raises(Killed):
        carry(dying)

    record = bench.again()

    assert bench.answers_to_posts().count(202) == 1
    assert [found.id for found in bench.snapshots()] == [record.snapshot]


def test_a_spooled_file_is_not_fetched_again(bench: Bench) -> None:
    """What was proven before the process died is measured anew and used."""
    _killed_before(bench, "keep")

    record = bench.again()

    assert (bench.downloads(), record.bytes_fetched) == (1, 0)


@pytest.mark.parametrize("damage", ["flip", "cut", "note", "no note", "gone", "another file"])
def test_a_damaged_spool_is_fetched_again(bench: Bench, damage: str) -> None:
    """A file that does not fit its note or its promise, or has no note, is worth nothing."""
    _killed_before(bench, "keep")
    (path,) = [path for path in bench.spool.rglob("*") if path.is_file() and not path.suffix]
    note = path.with_suffix(".json")
    match damage:
        case "flip":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "note":
            note.write_text("{")
        case "no note":
            note.unlink()
        case "another file":
            path.write_bytes(b"other")
            told = {**json.loads(note.read_text()), "sha256": hashlib.sha256(b"other").hexdigest()}
            note.write_text(json.dumps(told))
        case _:
            path.unlink()

    record = bench.again()

    assert bench.downloads() == 2
    assert record.bytes_fetched > 0


@pytest.mark.parametrize("phase", ["wait", "download", "keep"])
def test_a_finished_export_that_is_too_old_is_renewed(bench: Bench, phase: str) -> None:
    """Yesterday's export is not tonight's backup, whether or not the dead run had seen it finish."""
    _killed_before(bench, phase)
    bench.world.advance(timedelta(hours=21).total_seconds())

    record = bench.again()

    assert (bench.posts(), len(bench.snapshots())) == (2, 1)
    assert bench.snapshots()[0].manifest.draft.taken_at >= record.started_at
    assert list(bench.spool.glob("*")) == []


def test_an_export_that_still_runs_is_waited_for_at_any_age(bench: Bench) -> None:
    """RSpace would refuse a second one, so the old one is used when it ends."""
    bench.world.run_s = timedelta(hours=22).total_seconds()
    _killed_before(bench, "wait", fresh_for_s=3600.0)
    bench.world.advance(timedelta(hours=21).total_seconds())

    record = bench.again(ceiling_s=36 * 3600.0, fresh_for_s=3600.0)

    assert bench.posts() == 1
    assert record.ended_at - record.started_at > timedelta(minutes=59)


def test_changed_options_renew_the_job(bench: Bench) -> None:
    """An export without revisions is no answer to a scope that now wants them."""
    _killed_before(bench, "download")
    bench.world.advance(60)
    table = {"kind": "user", "name": "user", "revisions": True}

    bench.table["scope"] = [table]
    bench.again()

    assert bench.posts() == 2
    assert bench.snapshots()[0].manifest.draft.request["revisions"] is True


def test_a_run_killed_after_the_commit_makes_no_second_snapshot(bench: Bench) -> None:
    """The snapshot that is there is recorded by the next run, without a byte being fetched."""
    _killed_before(bench, "finish")
    (before,) = bench.snapshots()

    record = bench.again()

    assert bench.snapshots() == [before]
    assert (record.snapshot, record.bytes_fetched, bench.downloads()) == (before.id, 0, 1)


def test_a_run_killed_while_it_records_makes_no_second_snapshot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead between the archive's record and the catalog's: the same snapshot is finished."""

    def die(_: RunRecord) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(bench.catalog, "record_run", die)
        carry(bench.engine("user"))

    record = bench.again()

    assert [found.id for found in bench.snapshots()] == [record.snapshot]
    assert bench.posts() == 1


def test_a_snapshot_committed_by_a_dead_run_reaches_the_catalog_at_any_age(bench: Bench) -> None:
    """Too old to be tonight's, and yet a backup that the catalog must know."""
    _killed_before(bench, "finish")
    bench.world.pass_nights(1)

    bench.again()

    assert (bench.posts(), len(bench.snapshots("verified"))) == (2, 2)
    assert _known(bench) == {found.id for found in bench.snapshots()}


def _known(bench: Bench) -> set[str]:
    with closing(sqlite3.connect(bench.folder / "state" / "catalog.db")) as connection:
        return {row[0] for row in connection.execute("select id from snapshot")}


def test_a_failing_clean_up_does_not_undo_a_verified_run(bench: Bench) -> None:
    """What is recorded stays recorded: archive and catalog agree, and the next night asks anew."""
    trouble = SourceUnavailable("no answer")
    engine = bench.engine("user", wrap=lambda s: cast(Source, Dying(s, "cleanup", after=False, error=trouble)))

    record = carry(engine)

    assert record.ended is Ended.VERIFIED
    bench.recorded(record)
    bench.again()
    assert bench.posts() == 2


def _dead() -> Holder:
    """A process of this host that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Holder(this_process().host, process.pid, 1)


def test_a_dead_run_is_recorded_as_interrupted_by_the_next_one(bench: Bench) -> None:
    """Its end is in archive and catalog, with the phase in which it died."""
    engine = bench.engine("user")
    now = bench.clock.now()
    run_id = new_id(now)
    bench.catalog.begin_run(
        Beginning(run_id, engine.key, "rspace", {"kind": "user"}, "schedule", "", now, _dead())
    )
    bench.catalog.note_phase(run_id, "downloading")

    bench.again()

    name = record_name(run_id)
    record = records.decode(bench.archive.backend.get(name), name)
    assert record is not None
    assert (record.ended, record.exit_code) == (Ended.INTERRUPTED, Exit.INTERRUPTED)
    assert "phase: downloading" in record.reason
    bench.recorded(record)


@contextmanager
def _lease_of(bench: Bench, holder: Holder) -> Iterator[None]:
    """Somebody else has the credential's lease, as its own engine would have taken it."""
    engine = bench.engine("user")
    engine.begin(trigger="cli")
    engine.login()
    with engine.lease(), closing(sqlite3.connect(bench.folder / "state" / "catalog.db")) as connection:
        ((credential,),) = connection.execute("select credential from lease")
    taken = bench.catalog.take_lease(credential, holder, now=SystemClock().now(), ttl=timedelta(hours=1))
    assert taken is None
    yield
    bench.catalog.drop_lease(credential, holder)


def test_a_dead_holder_s_lease_is_taken_at_once(bench: Bench) -> None:
    """Nobody has to unlock anything."""
    with _lease_of(bench, _dead()):
        before = time.monotonic()
        bench.again()

    assert time.monotonic() - before < 5


def test_a_living_holder_makes_the_run_busy(bench: Bench) -> None:
    """After the time that is configured the run ends with exit 11 and has asked for nothing."""
    other = Holder("another-host", 1, 1)  # of which nothing is known: it counts as living
    with _lease_of(bench, other):
        record = bench.run("user", lease_wait_s=0.05)

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "in use by process 1 on another-host")
    assert bench.posts() == 0
    bench.again()


@pytest.mark.parametrize("scopes", [("user", "group"), ("user", "user")])
def test_two_engines_with_one_credential_run_one_after_another(bench: Bench, scopes: tuple[str, str]) -> None:
    """Neither is refused as busy: the second asks for its export when the first has ended."""
    engines = [bench.engine(scope) for scope in scopes]
    ends: list[RunRecord] = []
    threads = [threading.Thread(target=lambda e=engine: ends.append(carry(e))) for engine in engines]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [record.ended for record in ends] == [Ended.VERIFIED, Ended.VERIFIED]
    assert bench.answers_to_posts() == [202, 202]
    first, second = (bench.world.jobs[number] for number in (23, 24))
    assert second.created_at >= first.end_at


def test_a_thread_that_waits_too_long_is_told_so(bench: Bench) -> None:
    """Within one process the lease ends the wait as well."""
    holding = bench.engine("group")
    holding.begin(trigger="cli")
    holding.login()
    with holding.lease():
        record = bench.run("user", lease_wait_s=0.05)

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "in use by another run of this process")


def test_the_spool_of_a_dead_run_is_freed(bench: Bench) -> None:
    """Folders of jobs that nobody needs any more go when the next run starts."""
    left = bench.spool / "20261101-000000-deadbeef"
    left.mkdir(parents=True)
    (left / "000000").write_bytes(b"x")

    bench.again()

    assert not left.exists()
