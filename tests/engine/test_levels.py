"""Exports beside their scope's history, night by night, over the demo server: what is quarantined, and until when.

What the bands are is `tests/storage/test_levels.py`'s business; here it is that a run judges, keeps and says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flows import levels
from flows.demo import DemoServer, World
from flows.errors import Exit
from flows.importing import import_files
from flows.sources.rspace import RSPACE
from storage.decisions import Decision, Kind
from storage.index import pack_name
from storage.latest import newest_counted
from storage.records import Ended, RunRecord
from storage.seen import LEVEL
from storage.snapshot import Snapshot
from storage.standing import Standing
from storage.verify import Check
from tests.engine import bench as benches
from tests.engine.bench import Bench
from tests.engine.conftest import MEMORY


@pytest.fixture
def lab(bench: Bench) -> Iterator[Bench]:
    """As `bench`, with 24 documents per person: enough that half of them is no small number."""
    world = World(seed=1, documents_per_user=24, queue_s=7, run_s=30, ticks=lambda: 0.0)
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        DemoServer(world) as server,
    ):
        made = benches.make(Path(folder), server)
        yield made
        for source in made.open_sources:
            source.close()
        made.catalog.close()


def _nights(bench: Bench, count: int, scope: str = "user") -> list[RunRecord]:
    records = []
    for _ in range(count):
        bench.world.pass_nights(1)
        records.append(bench.run(scope))
    return records


def _found(bench: Bench, record: RunRecord) -> Snapshot:
    return bench.archive.find(record.snapshot)


def _standing(bench: Bench, record: RunRecord) -> Standing:
    found = levels.standing_of(bench.archive, _found(bench, record), now=bench.clock.now())
    assert found is not None
    return found


def _decide(bench: Bench, kind: Kind, record: RunRecord) -> None:
    found = _found(bench, record)
    about = (found.key, found.number, found.id, bench.clock.now(), "ada", "we moved out")
    bench.catalog.record_decision(bench.archive.decide(Decision(kind, *about)))


def _said(bench: Bench, record: RunRecord) -> list[tuple[str, str]]:
    """Outcome and finding, or reason, of each row about the level."""
    rows = [check for check in _found(bench, record).manifest.draft.checks if check.name == LEVEL]
    return [(check.outcome.value, check.reason.partition(":")[0]) for check in rows]


def _level(bench: Bench, record: RunRecord) -> Check:
    (row,) = [check for check in _found(bench, record).manifest.draft.checks if check.name == LEVEL]
    return row


def test_a_lab_that_lost_half_is_quarantined_until_a_person_says_so(lab: Bench) -> None:
    """Exit 14 on that night and each later one, with what was out of the band and the command; accepted, the level
    and the nights that waited on it count, and the next night is like any other."""
    before = _nights(lab, 4)
    lab.world.delete_work("mrossi", keep=10)

    waiting = _nights(lab, 3)

    assert [record.ended for record in before] == [Ended.VERIFIED] * 4
    for record in waiting:
        found = _found(lab, record)
        assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
        assert " records, promised at least " in record.reason
        assert "shrunken: number 4 has" in record.reason
        assert f"`strongroom accept {found.id[:8]} --reason …`" in record.hint
        assert not _standing(lab, record).counts
        lab.recorded(record)
        lab.assert_tidy(record)
    assert lab.engine().last_good() == _found(lab, before[-1]).manifest.draft.taken_at

    _decide(lab, "accept", waiting[-1])

    assert [_standing(lab, record).counts for record in [*before, *waiting]] == [True] * 7
    assert lab.engine().last_good() == _found(lab, waiting[-1]).manifest.draft.taken_at
    assert _nights(lab, 1)[0].ended is Ended.VERIFIED


def test_the_night_that_comes_back_settles_what_was_missing(lab: Bench) -> None:
    """What half of an export was does not count, and needs nobody."""
    _nights(lab, 3)
    whole = lab.world.lab
    lab.world.delete_work("mrossi", keep=8)
    (half,) = _nights(lab, 1)
    lab.world.lab = whole

    (back,) = _nights(lab, 1)

    standing = _standing(lab, half)
    assert (half.ended, back.ended) == (Ended.QUARANTINED, Ended.VERIFIED)
    assert (standing.counts, standing.ask) == (False, "")
    assert standing.settled_by == "a later night that counts, number 5"


def test_empty_exports_never_count_however_often_they_come(bench: Bench) -> None:
    """A valid ZIP with nothing in it, a week long, displaces nothing."""
    (full,) = _nights(bench, 1)
    bench.world.delete_work("mrossi", keep=0)

    week = _nights(bench, 7)

    assert [(record.ended, record.exit_code) for record in week] == [(Ended.QUARANTINED, 14)] * 7
    assert [_said(bench, record) for record in week] == [[("failed", "empty")]] * 7
    assert [_standing(bench, record).counts for record in week] == [False] * 7
    newest = newest_counted(bench.archive, bench.engine().key, now=bench.clock.now())
    assert newest == _found(bench, full)
    assert _standing(bench, week[0]).ask == _standing(bench, week[-1]).ask != ""


def test_growth_is_settled_by_the_next_night(bench: Bench) -> None:
    """An import of many documents is looked at twice, and then counts."""
    _nights(bench, 1)
    for _ in range(150):
        bench.world.create_document("mrossi")

    (grown,) = _nights(bench, 1)
    waited = _standing(bench, grown)
    (after,) = _nights(bench, 1)

    assert (grown.ended, grown.exit_code, waited.counts) == (Ended.QUARANTINED, Exit.QUARANTINED, False)
    assert "grown: number 1 has" in grown.reason
    assert "a next night like it settles that" in grown.hint
    assert (after.ended, _standing(bench, after).counts) == (Ended.VERIFIED, True)
    assert _standing(bench, grown).settled_by == "growth that stayed, number 3"


def test_another_format_with_the_same_records_counts_at_once(lab: Bench) -> None:
    """The first export of all has nothing beside it; the first of a format is held against the format before."""
    name = lab.scope("user", format="xml")
    first, second = _nights(lab, 2, name)
    lab.scope("user", format="html")

    other, after = _nights(lab, 2, name)

    assert [record.ended for record in (first, second, other, after)] == [Ended.VERIFIED] * 4
    assert [_said(lab, record)[0][0] for record in (first, second, other)] == ["not available", "passed", "passed"]
    assert [_level(lab, record).got for record in (other, after)] == [
        "as number 2, which another request asked for", "as number 3",
    ]  # fmt: skip


def test_another_format_with_a_tenth_of_the_records_waits_for_a_person(lab: Bench) -> None:
    """However often it comes; the full exports of the old format go on counting, and so do new ones of that."""
    name = lab.scope("user", format="xml")
    before = _nights(lab, 2, name)
    whole = lab.world.lab
    lab.world.delete_work("mrossi", keep=2)
    lab.scope("user", format="html")

    other = _nights(lab, 3, name)

    assert [record.ended for record in other] == [Ended.QUARANTINED] * 3
    for record in other:
        assert "shrunken: number 2 has" in record.reason
        assert "before the request changed" in record.reason
        assert f"`strongroom accept {record.snapshot[:8]} --reason …`" in record.hint
    newest = newest_counted(lab.archive, lab.engine(name).key, now=lab.clock.now())
    assert newest == _found(lab, before[-1])

    _decide(lab, "accept", other[-1])
    (accepted,) = _nights(lab, 1, name)
    lab.world.lab = whole
    lab.scope("user", format="xml")
    (back,) = _nights(lab, 1, name)

    assert [_standing(lab, record).counts for record in other] == [True] * 3
    assert (accepted.ended, back.ended) == (Ended.VERIFIED, Ended.VERIFIED)
    assert _level(lab, back).got == "as number 2"


def test_small_numbers_are_no_alarm(bench: Bench) -> None:
    """Who deletes half of four documents has deleted two documents."""
    _nights(bench, 4)
    mine = bench.document_ids(bench.world.user("mrossi").id)
    for document in mine[: len(mine) // 2]:
        bench.world.delete_document(document)

    (after,) = _nights(bench, 1)

    assert (after.ended, after.reason) == (Ended.VERIFIED, "")


def test_an_export_that_is_dated_beside_the_system_s_clock_waits_for_a_person(bench: Bench) -> None:
    """One of the two clocks is wrong by an hour, and nobody knows which."""
    _nights(bench, 1)
    bench.clock.ahead = timedelta(hours=1)

    (record,) = _nights(bench, 1)

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert "misdated: our clock and the system's do not agree" in record.reason
    assert (_standing(bench, record).counts, _standing(bench, record).pending) == (False, True)


def test_an_old_export_that_is_taken_in_is_held_against_its_own_time(lab: Bench) -> None:
    """A year ago the lab was smaller: that is no loss, and tonight is not held against it."""
    owner = lab.world.user("mrossi").id
    whole = lab.world.lab
    lab.world.delete_work("mrossi", keep=4)
    lab.run("user:xml")
    file = lab.folder / "old.zip"
    file.write_bytes(lab.served(max(lab.world.jobs)))
    lab.world.lab = whole
    assert len(lab.document_ids(owner)) > 20
    _nights(lab, 3)
    at = lab.clock.now() - timedelta(days=365)
    scope = lab.engine("user").plan.scope

    (got,) = import_files(lab.archive, lab.catalog, RSPACE, "lab", scope, [file], at=None, clock=lab.clock)
    after = _nights(lab, 1)[0]

    assert got.record.key == after.key
    assert at < got.snapshot.manifest.draft.taken_at < _found(lab, after).manifest.draft.taken_at
    assert got.record.ended is Ended.VERIFIED
    assert after.ended is Ended.VERIFIED


def test_what_is_partial_or_broken_is_not_judged(lab: Bench) -> None:
    """It counts in no case, and a failed check would hide what it is."""
    _nights(lab, 3)
    broken = lab.folder / "broken.zip"
    broken.write_bytes(lab.content(lab.snapshots()[-1])[:-30_000])
    lab.world.serve_file = broken

    (record,) = _nights(lab, 1)

    assert record.ended is Ended.QUARANTINED
    assert _said(lab, record) == []
    assert _found(lab, record).manifest.draft.level is None
    assert "strongroom show" in record.hint


def test_a_damaged_snapshot_is_left_out_of_the_comparison_and_that_is_said(lab: Bench) -> None:
    """The night is kept and judged by its figures; its record says that the ids were not compared."""
    _nights(lab, 3)
    for pack in lab.snapshots()[-1].manifest.packs:
        (lab.folder / "archive" / pack_name(pack)).unlink()

    (record,) = _nights(lab, 1)

    assert record.ended is Ended.VERIFIED
    assert [outcome for outcome, _ in _said(lab, record)] == ["passed", "not available"]
    level = _found(lab, record).manifest.draft.level
    assert level is not None
    assert level.compared == ()


def test_ids_are_compared_with_the_newest_that_counts_and_the_newest_that_waits(lab: Bench) -> None:
    """So that a level can be accepted that came several times; figures add up."""
    before = _nights(lab, 3)
    lab.world.delete_work("mrossi", keep=10)

    first, second = _nights(lab, 2)

    level = _found(lab, second).manifest.draft.level
    assert level is not None
    assert level.records is not None
    assert [one.snapshot for one in level.compared] == [before[-1].snapshot, first.snapshot]
    for one in level.compared:
        assert one.of - one.vanished + one.appeared == level.records


def test_a_rejected_snapshot_is_no_longer_the_newest_good_one(bench: Bench) -> None:
    """Neither for a night that asks whether one is there, nor for `latest`."""
    first, second = _nights(bench, 2)
    _decide(bench, "reject", second)

    assert bench.engine().last_good() == _found(bench, first).manifest.draft.taken_at
    assert bench.archive.find("latest") == _found(bench, first)
