"""The look that a sweep takes at snapshots that were made beside an erasing: only sure loss gives one up."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from storage.archive import Archive
from storage.erase import erase, plan_erase
from storage.errors import BackendFailed, StorageError
from storage.index import pack_name
from storage.prune import free
from storage.snapshot import Snapshot
from tests.doubles import NIGHT, OFFICE, START, FaultyBackend, new_archive, noise, overwrite, write


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
