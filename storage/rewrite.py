"""Wins the space of packs of which little is needed: their needed objects go into new packs.

A note says that the old pack was retired, which is the commit. The old one stays readable for replaced.RETIRED and
is freed by a sweep then, if nothing turns out to need it after all.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from storage import replaced
from storage.archive import Archive
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.index import Index, pack_name
from storage.lease import Lease
from storage.losses import Needs, needs
from storage.objects import Oid
from storage.packing import Packing
from storage.packs import SALT_SIZE, Codec, Footer, Kind
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import Snapshot
from storage.sweeping import kept

WORTH = 1 << 20  # bytes that must be won, for a pack to be rewritten
Salt = Callable[[], bytes]


def new_salt() -> bytes:
    """Of a pack to be."""
    return secrets.token_bytes(SALT_SIZE)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A pack that is mostly dead. Bytes as they lie in the archive, those of objects about."""

    pack: str
    size: int
    live_bytes: int
    dead_bytes: int
    wanted: frozenset[Oid] = field(default=frozenset(), repr=False)  # the needed objects


@dataclass(frozen=True, slots=True)
class Untold:
    """A snapshot of which it cannot be told what all it needs, and the packs in question that it names."""

    found: Snapshot
    packs: frozenset[str]
    needs: Needs = field(repr=False)


def plan_rewrite(archive: Archive, *, now: datetime) -> list[Rewrite]:
    """The packs to rewrite, those that win most in front. Changes nothing.

    More than half of such a pack is dead, and more than WORTH bytes. The newest snapshot of no scope names it:
    writers reuse objects of those. None that is damaged, and none that a snapshot names of which it cannot be told
    what it needs: a scrub tells both. Raises where a manifest, tombstone or note cannot be read. Memory: the index
    of the packs in question, and the oids of their needed objects.
    """
    notes = archive.replacements()
    stay = kept(archive, now=now)
    heads = filter(None, (archive.newest(key) for key in archive.scopes()))
    fresh = {pack for head in heads for pack in replaced.current(notes, head.manifest.packs)}
    named = {pack for found in stay for pack in replaced.current(notes, found.manifest.packs)} - fresh
    sizes = {pack: size for pack in named if (size := archive.backend.size(pack_name(pack))) and size > WORTH}
    index = Index(archive.backend, archive.scheme)
    wanted, untold = wanted_of(index, stay, notes, sizes)
    leave = {pack for one in untold for pack in one.packs}
    footers = {pack: footer for pack in sizes.keys() - leave if (footer := index.footer(pack))}
    found = [_rewrite(pack, sizes[pack], footer, frozenset(wanted[pack])) for pack, footer in footers.items()]
    worthy = [one for one in found if one.dead_bytes > max(one.live_bytes, WORTH)]
    return sorted(worthy, key=lambda one: (-one.dead_bytes, one.pack))


def rewrite(
    archive: Archive,
    plan: Sequence[Rewrite],
    mine: Lease,
    *,
    clock: Callable[[], datetime],
    time_is_up: Callable[[], bool] = lambda: False,
    salt: Salt = new_salt,
) -> list[Rewrite]:
    """Carry a plan out, one pack after another, until the time is up; those done.

    One of which something needed is damaged is passed over. Raises Busy, BackendFailed. Killed anywhere: nothing
    is lost, and new packs that no note names go like those of a backup that died. Retry: yes, with a new plan.
    """
    index = Index(archive.backend, archive.scheme)
    done: list[Rewrite] = []
    for one in plan:
        if time_is_up():
            break
        mine.renew()
        try:
            index.load([one.pack])
            by = moved(archive, index, one.wanted, salt)
        except (ObjectMissing, ObjectCorrupt, FormatUnknown):
            continue
        mine.renew()
        won = f"{one.dead_bytes} of {one.size} bytes were needed no more"
        put_note(archive, one.pack, by, "retired", clock(), won)
        done.append(one)
    return done


def wanted_of(
    index: Index,
    stay: Iterable[Snapshot],
    notes: Mapping[str, Replaced],
    packs: Collection[str],
    on_each: Callable[[], None] = lambda: None,
) -> tuple[dict[str, set[Oid]], list[Untold]]:
    """Of each of these packs, the objects that a snapshot which names it needs, as far as that can be told; of one
    that is damaged, none. And the snapshots that may need more of them. Loads what it must into the index.
    """
    wanted: dict[str, set[Oid]] = {pack: set() for pack in packs}
    untold: list[Untold] = []
    reader = Reader(index)
    for found in sorted(stay, key=lambda one: (str(one.key), one.number)):
        mine = wanted.keys() & replaced.followed(notes, found.manifest.packs)
        if not mine:
            continue
        on_each()
        index.load_readable(replaced.to_read(notes, found.manifest.packs))
        index.load_readable(mine)
        lost = {Oid(bytes.fromhex(oid)) for oid in replaced.lost(notes, found.manifest.packs)}
        told = needs(reader, found, lost)
        if told.lost or told.problem:
            untold.append(Untold(found, frozenset(mine), told))
        for pack in mine:
            wanted[pack] |= told.oids & (index.oids(pack) or frozenset())
    return wanted, untold


def moved(archive: Archive, index: Index, oids: Collection[Oid], salt: Salt) -> set[str]:
    """Put these objects into new packs, read back and proven; the packs. Memory: two packs."""
    fresh = Index(archive.backend, archive.scheme)
    packing = Packing(archive.backend, archive.scheme, fresh, salt)
    for oid in sorted(oids, key=lambda oid: (index.place(oid) or 0, oid)):  # block after block
        data = index.read(oid)
        place = index.place(oid)
        assert place is not None  # it was read just now  # noqa: S101
        at = index.locate(place)
        kind = Kind.LISTING if at.placed.kind == Kind.LISTING else Kind.CONTENT
        packing.put(data, kind, packed=at.block.codec == Codec.RAW)
    packing.flush()
    by = set()
    for oid in oids:
        there = fresh.place(oid)
        if there is None:
            raise ObjectCorrupt(f"object {oid.hex()[:12]}: not in the pack that it was put into")
        fresh.read_at(there, oid)
        by.add(fresh.pack_of(there))
    return by


def put_note(
    archive: Archive, pack: str, by: Iterable[str], old: replaced.Old, now: datetime, reason: str
) -> None:
    """Say that a pack was replaced, behind what was said of it before."""
    names = filter(None, map(replaced.parse_name, archive.backend.list(replaced.FOLDER)))
    last = max((number for named, number in names if named == pack), default=0)
    before = archive.replacements(damaged=[]).get(pack)
    by = tuple(sorted({*by, *(before.by if before else ())}))
    lost, hits = (before.lost, before.hits) if before else ((), ())
    for number in count(last + 1):  # one that a repair put meanwhile is passed over
        note = Replaced(pack, number, by, lost, hits, now, reason, old)
        if archive.backend.put_new(replaced.note_name(pack, number), [replaced.encode(note)]):
            return


def _rewrite(pack: str, size: int, footer: Footer, wanted: frozenset[Oid]) -> Rewrite:
    total = sum(placed.length for placed in footer.objects) or 1
    live = sum(placed.length for placed in footer.objects if placed.oid in wanted)
    live_bytes = size * live // total
    return Rewrite(pack, size, live_bytes, size - live_bytes, wanted)
