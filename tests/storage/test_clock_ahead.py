"""What was written while the clock was ahead: its seven days begin when the clock is right again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.archive import Archive
from storage.backend import Memory
from storage.erase import plan_erase
from storage.index import pack_digest
from storage.prune import free, plan_free, undelete
from storage.rewrite import put_note
from storage.scrub import scrub
from storage.sweeping import GRACE, kept, sweep
from storage.unnamed import unnamed_name
from tests.doubles import LAB, NIGHT, OFFICE, START, copy, drop, new_archive, noise, read, write
from tests.storage.acting import deaths, later
from tests.storage.test_erase import go, tick
from tests.storage.test_retired import SMALL, mostly_dead, retire

NOW = START + 20 * NIGHT
AHEAD = NOW + timedelta(days=3650)  # a clock that was wrong for one night
UNNAMED = "ab" * 32


def packs(memory: Memory) -> set[str]:
    return {pack for pack in map(pack_digest, memory.list("packs/")) if pack}


def forgotten(*, at_wrong_clock: bool = True) -> Memory:
    """Two nights that share a file, and another scope; the first and the other were forgotten at such a clock."""
    memory = Memory()
    archive = new_archive(memory)
    first = write(archive, {"own": noise(500, 1), "shared": noise(400, 9)})
    write(archive, {"new": noise(500, 2), "shared": noise(400, 9)}, night=1)
    other = write(archive, {"alone": noise(500, 3)}, key=OFFICE)
    for found in (first, other):
        drop(archive, found, now=AHEAD if at_wrong_clock else NOW)
    return memory


@pytest.mark.parametrize("seen_ahead", [False, True], ids=["right", "ahead"])
def test_what_was_forgotten_then_is_freed_seven_days_after_it_is_met(seen_ahead: bool) -> None:
    """Not before; whether the clock that was ahead swept, too, or not. The note about it is all that it takes."""
    memory, control = forgotten(), forgotten(at_wrong_clock=False)
    archive = Archive.open(memory)
    if seen_ahead:
        sweep(archive, now=AHEAD)
    before = packs(memory)
    sweep(archive, now=NOW)
    sweep(archive, now=NOW + GRACE - timedelta(seconds=1))
    assert packs(memory) == before
    assert plan_free(archive, now=NOW + GRACE).now_packs
    sweep(archive, now=NOW + GRACE)
    sweep(Archive.open(control), now=NOW + GRACE)

    assert len(packs(memory)) == len(packs(control)) < len(before)
    assert scrub(archive).findings == ()
    sweep(archive, now=AHEAD + timedelta(days=1))
    assert list(memory.list("unnamed/")) == []


def test_it_can_be_brought_back_within_those_seven_days_whatever_is_erased() -> None:
    """Erasing what shares with it serves it; when its time is over, it is served no more and hinders nothing."""
    memory = forgotten()
    archive = Archive.open(memory)
    free(archive, clock=tick(NOW))
    over = copy(memory)
    (second,) = archive.snapshots()
    go(archive, second, now=NOW + 6 * NIGHT)
    free(archive, clock=tick(NOW + 6 * NIGHT))
    first = undelete(archive, archive.tombstones(LAB)[0].id, by="me", reason="", clock=tick(NOW + 6 * NIGHT))
    assert read(archive, first) == {"own": noise(500, 1), "shared": noise(400, 9)}

    archive = Archive.open(over)
    free(archive, clock=tick(NOW + GRACE))
    assert kept(archive, now=NOW + GRACE) == archive.snapshots() == [second]
    assert plan_erase(archive, key=OFFICE, now=NOW + GRACE).held == ()
    go(archive, LAB, now=NOW + GRACE)
    assert packs(over) == set()


def test_an_unnamed_pack_that_was_met_then_goes_seven_days_after_it_is_met_again() -> None:
    """Its note is put anew, wherever that is killed."""
    base = forgotten()
    base.put_new(f"packs/ab/{UNNAMED}.pack", [b"of a backup that died"])
    sweep(Archive.open(base), now=AHEAD)
    assert base.size(unnamed_name(UNNAMED)) is not None
    for memory in [*deaths(base, lambda archive: sweep(archive, now=NOW), copy), copy(base)]:
        archive, now = Archive.open(memory), later(NOW)
        sweep(archive, now=now)
        sweep(archive, now=NOW + GRACE - timedelta(seconds=1))
        assert UNNAMED in packs(memory)
        sweep(archive, now=now + GRACE)
        assert UNNAMED not in packs(memory)


def test_a_pack_that_was_retired_then_goes_seven_days_after_that_is_met() -> None:
    """The note is said again, as of now; what it leads to stays, and the snapshot reads as before."""
    archive, pack, live, _ = mostly_dead()
    retire(archive, pack, live)
    put_note(archive, pack, (), "retired", AHEAD, "little of it was needed")
    before = archive.replacements()[pack]
    sweep(archive, now=NOW)
    assert archive.replacements()[pack] == replace(before, number=3, made_at=NOW)
    assert sweep(archive, now=NOW + GRACE - timedelta(seconds=1)).worn == ()
    assert sweep(archive, now=NOW + GRACE).worn == (pack,)

    assert [read(archive, found) for found in archive.snapshots()] == [{"a": SMALL}]
    assert scrub(archive).findings == ()
