"""The look that a sweep takes at snapshots that were made beside an erasing: only sure loss gives one up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import pytest

from storage import snapshot
from storage.archive import Archive
from storage.backend import Memory
from storage.erase import erase, plan_erase
from storage.errors import BackendFailed, StorageError
from storage.index import pack_name
from storage.prune import free
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot
from tests.doubles import NIGHT, OFFICE, START, FaultyBackend, copy, new_archive, noise, overwrite, read, write
from tests.storage.acting import Beside, Runner
from tests.storage.test_erase import SECRET, SHARED, go, tick
from tests.storage.test_giveup import SPOILS, given_up


def _on(day: int) -> datetime:
    return START + day * NIGHT


def test_a_disk_that_fails_a_read_gives_no_snapshot_up() -> None:
    """Another snapshot of the same pack was erased once: each failing read, and rot later, costs nothing."""

    def erased() -> tuple[Archive, Snapshot]:
        archive = new_archive()
        shared = noise(30_000, 1)
        gone = write(archive, {"shared": shared, "secret": noise(20_000, 2)}, key=OFFICE)
        stays = write(archive, {"shared": shared, "own": noise(10_000, 3)}, night=1)
        now = START + NIGHT + timedelta(hours=12)
        erase(archive, plan_erase(archive, snapshots=[gone], now=now), reason="law", by="me", clock=lambda: now)
        return archive, stays

    reached, after = True, 0
    while reached:
        archive, stays = erased()
        faulty = FaultyBackend(archive.backend).fail("get", after=after, error=BackendFailed("Input/output error"))
        for day in (2, 400):
            with suppress(StorageError):
                free(Archive(faulty, archive.id, archive.scheme), clock=partial(_on, day))
        assert stays.id in {found.id for found in archive.snapshots()}
        reached, after = not faulty.unused, after + 1
    assert after > 10

    archive, stays = erased()
    listing = archive.packs_of(stays.manifest)
    for pack in listing:
        data = archive.backend.get(pack_name(pack))
        overwrite(archive.backend, pack_name(pack), data[:45] + bytes([data[45] ^ 1]) + data[46:])
    with suppress(StorageError):
        free(Archive.open(archive.backend), clock=lambda: START + 2 * NIGHT)
    assert stays.id in {found.id for found in archive.snapshots()}


NOW = START + 20 * NIGHT
THIRD = ScopeKey("third", "x")


class Between(Beside):
    """A backend beside which something is done once, just before the first note about a replaced pack."""

    def __init__(self, inner: Memory, effect: Callable[[], object]) -> None:
        super().__init__(inner, lambda _: None)
        self._effects = [effect]

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        if name.startswith("replaced/") and self._effects:
            self._effects.pop()()
        return super().put_new(name, chunks)


def beside() -> tuple[Memory, Snapshot, str]:
    """An erasing in two notes about one pack, since a backup ended between; it, and the note that serves it."""
    memory = Memory()
    archive = new_archive(memory)
    write(archive, {"b": noise(200, 2)})
    write(archive, {"z": SHARED}, key=OFFICE)
    shares = {"k": noise(500, 9), "a": SHARED + b"1", "secret": SECRET, "c": noise(400, 3)}
    target = write(archive, shares, night=1)
    write(archive, {"c": noise(400, 3)}, key=THIRD, night=1)
    runner = Runner(memory, OFFICE, {"z": SHARED, "s": SECRET}, NOW - NIGHT / 24)
    for _ in range(3):
        runner.step()
    archive.backend = Between(memory, runner.finish)
    go(archive, target, now=NOW)
    (second,) = (name for name in memory.list("replaced/") if name.endswith(".2.json"))
    assert runner.found is not None
    return memory, runner.found, second


class BeforeDeleting(Beside):
    """A backend beside which something is done once, just before the first pack is deleted."""

    def __init__(self, inner: Memory, effect: Callable[[], object]) -> None:
        super().__init__(inner, lambda _: None)
        self._effects = [effect]

    def delete(self, name: str) -> None:
        if name.startswith("packs/") and self._effects:
            self._effects.pop()()
        super().delete(name)


@pytest.mark.parametrize("days", [-3, 0, 3])
def test_a_writer_sees_what_is_erased_beside_it_whatever_its_clock_says(days: int) -> None:
    """Two hosts whose clocks are days apart: what counts reads whole, since the backup runs again."""
    memory = Memory()
    archive = new_archive(memory)
    write(archive, {"z": SHARED}, key=OFFICE)
    target = write(archive, {"k": noise(500, 9), "secret": SECRET}, night=1)
    runner = Runner(memory, OFFICE, {"z": SHARED, "s": SECRET}, NOW + days * NIGHT)
    for _ in range(3):
        runner.step()
    archive.backend = BeforeDeleting(memory, runner.finish)
    go(archive, target, now=NOW)

    archive = Archive.open(memory)
    assert runner.again == 1
    assert [read(archive, found) for found in archive.snapshots(OFFICE)][-1] == {"z": SHARED, "s": SECRET}


@pytest.mark.parametrize("days", [1, 10])
@pytest.mark.parametrize("spoil", ["rot", "missing"])
def test_a_note_that_is_rotten_or_missing_takes_no_snapshot_away(spoil: str, days: int) -> None:
    """What the note led to is still in a pack: the snapshot stays, and with the note it reads whole."""
    memory, found, note = beside()
    data = memory.get(note)
    memory.delete(note)
    if spoil == "rot":
        memory.put_new(note, [data[:30] + bytes([data[30] ^ 1]) + data[31:]])
    with suppress(StorageError):
        free(Archive.open(memory), clock=tick(NOW + days * NIGHT))
    memory.delete(note)
    memory.put_new(note, [data])

    archive = Archive.open(memory)
    assert found in archive.snapshots()
    assert read(archive, found) == {"z": SHARED, "s": SECRET}


def hollow() -> tuple[Memory, Snapshot]:
    """A snapshot whose writer died before it looked once more, and whose content is nowhere."""
    memory, found, note = beside()
    packs = Archive.open(memory).replacements()[note.split("/")[1][:64]].by
    memory.delete(note)
    archive = Archive.open(memory)
    others = {pack for one in archive.snapshots() if one != found for pack in archive.packs_of(one.manifest)}
    for pack in set(packs) - others:
        memory.delete(pack_name(pack))
    return memory, found


def test_what_is_withdrawn_stays_as_evidence() -> None:
    """Its manifest, byte for byte; one of long ago is not withdrawn at all, but told by a scrub."""
    memory, found = hollow()
    twin = copy(memory)
    free(Archive.open(memory), clock=tick(NOW + 10 * NIGHT))
    free(Archive.open(twin), clock=tick(NOW + 40 * NIGHT))

    assert found not in Archive.open(memory).snapshots()
    kept = [memory.get(name) for name in memory.list("evidence/") if name.endswith(".bin")]
    assert kept == [snapshot.encode(found.manifest)]
    assert found in Archive.open(twin).snapshots()
    assert any(found.id in finding.snapshots for finding in scrub(Archive.open(twin)).findings)


@pytest.mark.parametrize("how", SPOILS)
def test_nothing_is_withdrawn_where_anything_cannot_be_read(how: str) -> None:
    """A freeing that is refused has changed nothing; without that damage it withdraws."""
    memory, found = hollow()
    for night in (21, 22, 23):
        write(Archive.open(memory), {"n": b"%d" % night * 500}, night=night)
    SPOILS[how](memory, 3)
    with pytest.raises(StorageError):
        free(Archive.open(memory), clock=tick(NOW + 9 * NIGHT))
    assert found in Archive.open(memory).snapshots(damaged=[])
    given_up(memory, 3)
    free(Archive.open(memory), clock=tick(NOW + 10 * NIGHT))

    assert found not in Archive.open(memory).snapshots()
