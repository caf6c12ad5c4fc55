"""A restore for practice: a snapshot given back to a scratch folder, proven, measured, and thrown away again.

One drill at a time in a folder: a lock of the operating system, which dies with its process, says so. What a drill
that was killed left there goes when the next one begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.archive import Archive
from storage.catalog import Catalog
from storage.encrypted import since_rotation, which_key
from storage.errors import BackendFailed, Busy, SnapshotUnknown, StorageError
from storage.restore import Lost, Restored, restore
from storage.snapshot import Snapshot
from storage.turns import next_to_drill
from storage.upkeep import leave
from storage.upkeep_records import DrillRecord
from storage.verify import Outcome, Quality
from storage.ziptest import test_zip

MARGIN = 256 << 20  # bytes that stay free on the scratch folder's disk
SCRATCH = ".strongroom-drill"


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of a drill, and what it left."""

    record: DrillRecord
    results: tuple[tuple[str, int, str], ...]  # path, bytes, problem ("" for none) of each file
    key: tuple[int, int]  # number of the archive's key that it needed, of how many; (0, 0) in a plain one
    unrecorded: str  # why the record was not left; "" where it was

    def sentence(self) -> str:
        """For people: what came of it, and by which key where there are several."""
        number, of = self.key
        return self.record.sentence() + (f", by key {number} of {of}" if of > 1 else "")


def pick(archive: Archive, catalog: Catalog | None) -> Snapshot:
    """The snapshot whose turn it is. Raises SnapshotUnknown where there is none.

    After a rotation, one that needs the newest key comes first, until one such was drilled.
    """
    drilled: Mapping[str, datetime] = catalog.readings.drilled() if catalog else {}
    there = archive.snapshots(damaged=[])
    since = [one for one in there if since_rotation(archive.backend, one.name)]
    found = next_to_drill(there if any(one.id in drilled for one in since) else since or there, drilled)
    if found is None:
        raise SnapshotUnknown("drill: the archive holds no snapshot", hint="`strongroom run` makes one")
    return found


def drill(
    archive: Archive,
    catalog: Catalog | None,
    found: Snapshot,
    folder: Path,
    *,
    record_id: str,
    clock: Callable[[], datetime],
    on_bytes: Callable[[int], None] = lambda _: None,
    free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Drilled:
    """Give the snapshot back to a scratch folder in `folder`, prove every byte, and remove the scratch.

    What cannot be given back is a problem of the record. Raises BackendFailed where the disk of `folder` is too
    small or refuses, and Busy while another drill uses the folder; then nothing is recorded. Retry: yes.
    """
    with _scratch(folder) as scratch:
        needed = found.manifest.size + MARGIN
        if (left := free(folder)) < needed:
            raise BackendFailed(
                f"{folder}: {left:,} bytes free, {needed:,} needed to give back {found.id[:8]}",
                hint="free space, or name a folder on another disk with --to",
            )
        started_at = clock()
        results, problem = _give_back(archive, found, scratch, on_bytes)
        ended_at = clock()
        told = tuple((_path(result), result.entry.measured.size, _problem(found, result)) for result in results)
    kept = [result for result in results if isinstance(result, Restored)]
    record = DrillRecord(
        id=record_id,
        snapshot=found.id,
        key=found.key,
        started_at=started_at,
        ended_at=ended_at,
        files=len(kept),
        size=sum(result.entry.measured.size for result in kept),
        milliseconds=max(0, round((ended_at - started_at).total_seconds() * 1000)),
        problems=(*([problem] if problem else []), *(f"{path}: {why}" for path, _, why in told if why)),
    )
    return Drilled(record, told, which_key(archive.backend, found.name), leave(archive, catalog, record))


def _give_back(
    archive: Archive, found: Snapshot, scratch: Path, on_bytes: Callable[[int], None]
) -> tuple[list[Restored | Lost], str]:
    """Every file of the snapshot, or why there is no list of them."""
    try:
        archive.entries(found)
    except StorageError as exc:
        return [], str(exc)
    return restore(archive, found, scratch, on_bytes=on_bytes), ""


def _path(result: Restored | Lost) -> str:
    return result.entry.path


def _problem(found: Snapshot, result: Restored | Lost) -> str:
    """What is wrong with a file; "" for nothing. Size and SHA-256 are proven; a ZIP must be sound as well.

    One in quarantine may be broken: it was kept as it came, and it came back so.
    """
    if isinstance(result, Lost):
        return result.problem
    is_zip = result.entry.media_type == "application/zip" or result.entry.path.lower().endswith(".zip")
    if not is_zip or found.manifest.draft.quality is Quality.QUARANTINED:
        return ""
    check = test_zip(result.path, file=result.entry.path)
    return f"{check.name}: {check.got}" if check.outcome is Outcome.FAILED else ""


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder inside `folder` that is gone afterwards; what a dead drill left there goes first."""
    scratch = folder / SCRATCH
    with _mapped(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _mapped(folder):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"{folder}: another drill is under way there", hint="wait for it to end") from None
            _remove(scratch)
            scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            with _mapped(folder):
                _remove(scratch)
    finally:
        os.close(handle)  # and so the lock


def _remove(scratch: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(scratch)


@contextlib.contextmanager
def _mapped(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BackendFailed(f"{folder}: {exc.strerror or exc}", hint="look at free space and permissions") from exc
