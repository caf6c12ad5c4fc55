"""The crash matrix: each operation dies before and after every call to the place where bytes lie.

After every death each finished snapshot is whole, nothing is found damaged, the same operation run again ends
well, and what the death left behind is gone after a sweep and a grace period.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import count

import pytest

from storage import recipes
from storage.archive import Archive
from storage.backend import Memory
from storage.lease import TTL
from storage.planning import plan_scope
from storage.policy import Policy
from storage.prune import forget
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Cases,
    Died,
    FaultyBackend,
    copy,
    drop,
    new_archive,
    noise,
    opened,
    put_around,
    read,
    write,
)
from tests.storage.zips import export

NOW = START + 40 * NIGHT
LATER = NOW + TTL  # the lease of who died has run out
TONIGHT = {
    "a": noise(300, 0),
    "new": noise(400, 99),
    "more": noise(700, 5),
    "last": noise(900, 6),
    "lab.zip": export(5),
}
Operation = Callable[..., object]


@pytest.fixture(autouse=True)
def small_zips_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that plans and payloads are among what is written."""
    monkeypatch.setattr(recipes, "CUT_FROM", 0)


def history(secret: str | None) -> Memory:
    """Two scopes, five snapshots, one of them forgotten long ago."""
    memory = Memory()
    archive = new_archive(memory, secret)
    for night in range(4):
        write(
            archive, {"a": noise(300, night // 2), "b": noise(200, night), "lab.zip": export(night)}, night=night
        )
    write(archive, {"z": noise(300, 0)}, key=OFFICE)
    drop(archive, archive.snapshots(LAB)[0], now=START + 9 * NIGHT)
    return memory


def back_up(archive: Archive, now: datetime = NOW) -> Snapshot:
    return write(archive, TONIGHT, night=5)


def forget_some(archive: Archive, now: datetime = NOW) -> object:
    return forget(archive, plan_scope(archive, LAB, Policy(keep_last=2), now=now), now=now)


def free(archive: Archive, now: datetime = NOW) -> object:
    return sweep(archive, now=now)


def everything(archive: Archive) -> dict[str, dict[str, bytes]]:
    return {found.id: read(archive, found) for found in archive.snapshots()}


def states(base: Memory, operation: Operation, when: str) -> list[Memory]:
    """What is there after dying at call 1, 2, 3 … of the operation, until it outlives them all."""
    left = []
    for call in count(1):
        memory = copy(base)
        archive = opened(memory)
        put_around(archive, FaultyBackend).die(call, when)
        try:
            operation(archive)
        except Died:
            left.append(memory)
            continue
        break
    return left


def abandoned(archive: Archive) -> set[str]:
    """Files that nothing accounts for."""
    named = {pack for found in archive.snapshots() for pack in found.manifest.packs}
    named |= {pack for tomb in archive.tombstones() for pack in tomb.packs}
    packs = {name for name in archive.backend.list("packs/") if name.rpartition("/")[2][:-5] not in named}
    return packs | set(archive.backend.list("unnamed/")) | {link.name for link in archive.half_forgotten()}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("operation", [back_up, forget_some, free])
def test_a_death_at_any_call_loses_nothing_and_needs_no_hand(
    operation: Operation, when: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call, one after another, of a backup of several packs, a forgetting and a sweep."""
    monkeypatch.setattr("storage.packing.PACK_SIZE", 800)
    base = history(cases.secret)
    before = everything(opened(base))
    undisturbed = opened(copy(base))
    operation(undisturbed)
    goal = {tuple(sorted(files.items())) for files in everything(undisturbed).values()}
    deaths = states(base, operation, when)

    assert len(deaths) >= 5
    for memory in cases.some(deaths):
        archive = opened(memory)
        found = everything(archive)
        assert scrub(archive).findings == ()
        assert all(found[one] == files for one, files in before.items() if one in found)
        if operation is not forget_some:
            assert before.keys() <= found.keys()
        operation(archive, LATER)
        assert {tuple(sorted(files.items())) for files in everything(archive).values()} == goal
        sweep(archive, now=LATER)
        sweep(archive, now=LATER + GRACE)
        assert abandoned(archive) == set()
        assert {tuple(sorted(files.items())) for files in everything(archive).values()} == goal
        assert scrub(archive).findings == ()


@pytest.mark.parametrize("when", ["before", "after"])
def test_making_an_archive_may_die_at_any_call(when: str, secret: str | None) -> None:
    """In an empty place and where one is: whatever is left, making it again ends with one that the key opens."""
    for base, snapshots in ((Memory(), 0), (history(secret), 4)):
        for call in count(1):
            memory = copy(base)
            with suppress(Died):
                new_archive(FaultyBackend(memory).die(call, when), secret)
                break
            archive = new_archive(memory, secret)
            assert len(everything(archive)) == snapshots
            assert scrub(archive).findings == ()
        assert call > 2


def test_a_death_in_a_sweep_after_a_death_in_a_backup_loses_nothing(cases: Cases) -> None:
    """Two deaths one after the other, at every pair of calls of a small backup and of the sweep behind it."""

    def small(archive: Archive) -> object:
        return write(archive, {"a": noise(300, 0), "n": b"n"}, night=5)

    base = history(cases.secret)
    before = everything(opened(base))
    pairs = 0
    for first in cases.some(states(base, small, "after")):
        for second in cases.some(states(first, free, "after")):
            pairs += 1
            archive = opened(second)
            found = everything(archive)
            assert {one: found[one] for one in before} == before
            assert scrub(archive).findings == ()

    assert pairs > 100 // cases.share**2
