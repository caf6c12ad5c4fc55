"""Which snapshots are known to be damaged, told without reading what they hold: none may displace a whole one.

By packs that are missing, or whose first and last bytes are not those of a whole pack; by what repairs noted; and
by what scrubs found and no later one found good. What else may be wrong with bytes is for the next scrub to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage import replaced, upkeep_records
from storage.archive import Archive
from storage.clocks import BACKWARDS
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.index import check_ends, pack_digest
from storage.replaced import Replaced
from storage.snapshot import Snapshot
from storage.upkeep_records import ScrubRecord, Told

LOOK_BACK = timedelta(days=31)  # behind the last scrub: by then nightly ones have read each pack again


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of damage in an archive."""

    notes: Mapping[str, Replaced]
    hits: Set[str]  # ids of snapshots of which a repair found something lost
    there: Set[str]  # packs, by digest
    told: Told  # by scrubs


def known(archive: Archive, *, now: datetime) -> Known:
    """Reads notes, names, and the records of a month, or back to the last scrub where that was earlier."""
    there = {digest for digest in map(pack_digest, archive.backend.list("packs/")) if digest}
    found = upkeep_records.told(_scrubs(archive, now))
    return Known(archive.replacements(damaged=[]), archive.hits(), there, found)


def hurt(archive: Archive, damage: Known, live: Iterable[Snapshot]) -> dict[str, str]:
    """Those of the snapshots that are known to be damaged, by id, each with why. Reads the ends of their packs."""
    ends: dict[str, str] = {}
    found: dict[str, str] = {}
    for one in live:
        packs = replaced.current(damage.notes, one.manifest.packs)
        for pack in packs:
            if pack not in ends:
                ends[pack] = _pack_problem(archive, damage, pack)
        wrong = next((ends[pack] for pack in packs if ends[pack]), "")
        lost = "some of it is lost" if one.id in damage.hits else ""
        if why := wrong or lost or damage.told.snapshots.get(one.id, ""):
            found[one.id] = f"damaged: {why}"
    return found


def _pack_problem(archive: Archive, damage: Known, pack: str) -> str:
    if pack not in damage.there:
        return f"pack {pack[:12]} is missing"
    try:
        check_ends(archive.backend, pack)
    except StorageError as exc:
        return str(exc)
    return damage.told.packs.get(pack, "")


def _scrubs(archive: Archive, now: datetime) -> Iterator[ScrubRecord]:
    """The records of scrubs that can be read, newest first; of those dated after now nothing is known."""
    last: datetime | None = None
    for name in sorted(archive.backend.list("records/"), reverse=True):
        if last and name.rpartition("/")[2][:8] < f"{last - LOOK_BACK:%Y%m%d}":
            return
        try:
            record = upkeep_records.decode(archive.backend.get(name), name)
        except (ObjectCorrupt, ObjectMissing, FormatUnknown):
            continue  # `scrub` tells of it
        if isinstance(record, ScrubRecord) and record.started_at <= now + BACKWARDS:
            last = last or record.started_at
            yield record
