"""A new catalog in the place of an old one, whatever state that is in, from the archive alone.

The new file is filled beside the old one and put into its place by one rename; killed anywhere, the old or the new
one is there, whole. What is in flight is carried over as far as the old one can be read. The old file stays, under a
dated name: it may know what the archive has lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from storage import locking
from storage.archive import Archive, Damaged
from storage.backend import sync_folder
from storage.catalog import Catalog
from storage.compare import Facts
from storage.errors import Busy, CatalogNewer, CatalogUnusable

_JOURNALS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a file


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of it."""

    entered: int  # runs and snapshots, from the archive
    carried: int  # rows in flight, from the old catalog
    old: Path | None  # where the old catalog is now; None where there was none
    problems: tuple[str, ...] = ()  # what of the old one could not be read, so that it was not carried over
    lost: tuple[str, ...] = ()  # runs and snapshots that the old one knew and the archive has not


def rebuild(path: Path, archive: Archive, *, now: datetime, damaged: list[Damaged]) -> Rebuilt:
    """Make the catalog at `path` anew. What of the archive cannot be read is added to `damaged`.

    Raises Busy while a run is under way or anybody else has the catalog open, CatalogNewer (nothing is changed).
    Who opens it meanwhile waits. Retry: yes, also after a kill. Disk: three times the catalog.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locking.alone(path):
        _clear(path)
        old = _Old.read(path, now)
        fresh = path.with_name(f"{path.name}.new")
        with Catalog.open(fresh, locked=True) as catalog:
            entered = catalog.reindex(archive, damaged=damaged)
            carried = catalog.jobs.carry(old.in_flight)
            lost = old.knew - catalog.ids()
        kept = _swap(path, fresh, now)
    return Rebuilt(entered, carried, kept, tuple(old.problems), tuple(sorted(lost)))
