"""A new catalog in the place of an old one, whatever state that is in, from the archive alone.

The new file is filled beside the old one and put into its place by one rename; killed anywhere, the old or the
new one is there, whole. What is in flight is carried over as far as the old one can be read. The old file stays,
under a dated name: it may know what the archive has lost.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from storage import locking
from storage.archive import Archive, Damaged
from storage.catalog import Catalog
from storage.errors import Busy, CatalogNewer, CatalogUnusable
from storage.finished import Known
from storage.jobs import InFlightRows

_JOURNALS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a file
_STAMP = "%Y%m%d-%H%M%S"
_PERMISSIONS = "look at free space and permissions, then run again; the old catalog is as it was"
_NOTHING = Known(frozenset(), frozenset(), frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of it."""

    runs: int
    snapshots: int
    forgotten: int
    carried: int  # rows in flight, from the old catalog
    kept: Path | None  # where the old catalog is now; None where there was none
    problems: tuple[str, ...] = ()  # why something of the old one was not carried over
    lost: tuple[str, ...] = ()  # runs, snapshots and decisions that the old one knew and the new one does not


@dataclass(frozen=True, slots=True)
class _Old:
    """What the old catalog could tell."""

    in_flight: InFlightRows
    known: Known
    problems: list[str]


def rebuild(path: Path, archive: Archive, *, now: datetime, damaged: list[Damaged], names: bool = True) -> Rebuilt:
    """Make the catalog at `path` anew. What of the archive cannot be read is added to `damaged`.

    Raises Busy while a run is under way or anybody else has the catalog open, CatalogNewer, CatalogUnusable where
    nothing can be written: then nothing was changed. Who opens the catalog meanwhile waits. Retry: yes, also after
    a kill. Disk: two catalogs. Memory: what is in flight.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locking.alone(path):
            _clear(path, fresh)
            try:
                old = _read(path, now)
                with Catalog.open(fresh, locked=True, names=names) as catalog:
                    catalog.reindex(archive, damaged=damaged)
                    carried = catalog.jobs.carry(old.in_flight)
                    known = catalog.known()
                kept = _swap(path, fresh, now)
            finally:
                _clear(path, fresh)
    except OSError as exc:
        raise CatalogUnusable(f"{exc.filename or path}: {exc.strerror}", hint=_PERMISSIONS) from exc
    lost = _lost(old.known, known)
    return Rebuilt(
        len(known.runs), len(known.live), len(known.forgotten), carried, kept, tuple(old.problems), tuple(lost)
    )


def _read(path: Path, now: datetime) -> _Old:
    """What the old catalog knows, as far as it can be read. Raises Busy, CatalogNewer."""
    if not path.exists():
        return _Old([], _NOTHING, [])
    try:
        catalog = Catalog.open(path, locked=True)
    except CatalogNewer:
        raise
    except CatalogUnusable as exc:
        return _Old([], _NOTHING, [str(exc)])
    with catalog:
        in_flight, problems = catalog.jobs.rows()
        known = _NOTHING
        try:
            under_way = catalog.alive(now=now)
            known = catalog.known()
        except (CatalogUnusable, ValueError) as exc:
            under_way = []
            problems.append(str(exc))
    if under_way:
        run = under_way[0]
        raise Busy(
            f"{path}: run {run.id} of {run.source}/{run.scope} is under way: {run.phase or 'beginning'}",
            hint="wait for it to end, then rebuild",
        )
    if not problems and path.with_name(f"{path.name}-wal").exists():  # another program than ours has it open
        raise Busy(f"{path}: in use by another program", hint="close what has it open, such as an SQLite shell")
    return _Old(in_flight, known, problems)


def _swap(path: Path, fresh: Path, now: datetime) -> Path | None:
    """Put the fresh file into its place, by one rename. Where the old one is now."""
    _sync(fresh)
    kept = None
    if path.exists():
        kept = _link_aside(path, now)
        # A journal belongs to a file by its name: beside the new one, the old one's would be taken for its own.
        for journal in _JOURNALS:
            path.with_name(path.name + journal).unlink(missing_ok=True)
        _sync(path.parent)
    fresh.replace(path)
    _sync(path.parent)
    return kept


def _link_aside(path: Path, now: datetime) -> Path:
    """A second, dated name for the old catalog and its journals, so that the first can be given away."""
    stamp = f"{path.name}.{now.astimezone(UTC):{_STAMP}}"
    for number in count(1):
        kept = path.with_name(stamp if number == 1 else f"{stamp}-{number}")
        try:
            kept.hardlink_to(path)
        except FileExistsError:
            continue
        break
    for journal in _JOURNALS:
        if path.with_name(path.name + journal).exists():
            kept.with_name(kept.name + journal).hardlink_to(path.with_name(path.name + journal))
    return kept


def _clear(path: Path, fresh: Path) -> None:
    """Remove what a rebuild that was killed left: its half-filled file, and second names of the present one."""
    for name in ("", *_JOURNALS):
        fresh.with_name(fresh.name + name).unlink(missing_ok=True)
    for other in path.parent.glob(f"{path.name}.2*"):
        if path.exists() and other.samefile(path):
            other.unlink()


def _lost(old: Known, new: Known) -> list[str]:
    places = (old.live | old.forgotten) - (new.live | new.forgotten)
    snapshots = sorted(f"snapshot {key} number {number}" for key, number in places)
    decided = sorted(f"decision {n} about {key} number {at}" for key, at, n in old.decisions - new.decisions)
    return [*snapshots, *decided, *sorted(f"run {run}" for run in old.runs - new.runs)]


def _sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
