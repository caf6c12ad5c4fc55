"""Whether each snapshot can be given back, told without reading contents: its listing, its plans, and that every
object is in one of its own packs. What a repair gave up is named by file and member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from storage import replaced
from storage.archive import Archive
from storage.errors import ObjectMissing, StorageError
from storage.index import Index, pack_name
from storage.losses import Hit, listing_oids, losses
from storage.objects import Oid
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import Snapshot
from storage.upkeep_records import Finding

TOGETHER = 1 << 16  # objects of files that are looked for at once


def not_whole(archive: Archive, live: Sequence[Snapshot], notes: Mapping[str, Replaced]) -> Iterator[Finding]:
    """Listings and plans that cannot be read, and objects that are in none of their snapshot's own packs.

    Those that `notes` about its packs call lost are told as lost. Memory: the index of all these packs.
    """
    index = Index(archive.backend, archive.scheme)
    packs = {found.id: replaced.to_read(notes, found.manifest.packs) for found in live}
    retired = {pack for named in packs.values() for pack in named if pack in notes}
    gone = {pack for pack in retired if archive.backend.size(pack_name(pack)) is None}  # as they may
    packs = {one: tuple(pack for pack in named if pack not in gone) for one, named in packs.items()}
    for named in packs.values():
        index.load_readable(named)
    # One reader for listings, one for plans: each goes on from the text that it unpacked last, the night before's.
    shared = Reader(index), Reader(index)
    held: dict[str, frozenset[Oid]] = {}
    for found in sorted(live, key=lambda one: (str(one.key), one.manifest.number)):
        known = {pack: held.get(pack) or index.oids(pack) for pack in packs[found.id]}
        held = {pack: oids for pack, oids in known.items() if oids is not None}
        given_up = _outside(_given_up(found, notes), held.values())
        # A reader of its own tells which of its packs is damaged, and finds nothing in another snapshot's.
        alone = len(held) < len(known) or given_up
        listings, plans = (archive.reader(found),) * 2 if alone else shared
        hit = _hit(plans, found, given_up)
        if hit:
            yield Finding(found.name, f"lost: {hit}", (found.id,), lost=True)
        if not (hit and hit.listing):
            lost = {file.path for file in hit.files} if hit else set()
            largest_first = sorted(held.values(), key=len, reverse=True)
            for problem in _problems(found, listings, plans, largest_first, lost):
                yield Finding(found.name, problem, (found.id,))


def _given_up(found: Snapshot, notes: Mapping[str, Replaced]) -> Iterator[Oid]:
    """The objects that notes about its packs call lost."""
    return (Oid(bytes.fromhex(oid)) for oid in replaced.lost(notes, found.manifest.packs))


def _hit(reader: Reader, found: Snapshot, given_up: Collection[Oid]) -> Hit | None:
    """What of the snapshot needs an object that was given up; None where other damage hides it, which is told."""
    try:
        return losses(reader, found, given_up.__contains__) if given_up else None
    except StorageError:
        return None


def _problems(
    found: Snapshot, listings: Reader, plans: Reader, held: Sequence[frozenset[Oid]], lost: Collection[str]
) -> Iterator[str]:
    """What is wrong with a snapshot whose packs hold these objects, but for the files `lost`."""
    manifest = found.manifest
    try:
        entries = listings.entries(found)
    except StorageError as exc:
        yield f"its listing cannot be read: {exc}"
        return
    elsewhere = _outside(listing_oids(manifest), held)
    if elsewhere:
        yield f"its listing cannot be read: object {min(elsewhere).hex()[:12]}: in none of the snapshot's packs"
        return
    if (len(entries), sum(entry.measured.size for entry in entries)) != (manifest.files, manifest.size):
        yield "its listing and its manifest count differently"
    lacking: list[str] = []
    needs: dict[str, frozenset[Oid]] = {}
    count = 0
    for entry in entries:
        if entry.path in lost:
            continue
        try:
            needs[entry.path] = frozenset(plans.oids(entry))
            count += len(needs[entry.path])
        except ObjectMissing:
            lacking.append(entry.path)
        except StorageError as exc:
            yield f"{entry.path}: its plan cannot be read: {exc}"
        if count >= TOGETHER:
            lacking += _lacking(needs, held)
            needs, count = {}, 0
    lacking += _lacking(needs, held)
    if lacking:
        yield f"{lacking[0]}: in none of its packs ({len(lacking)} files)"


def _lacking(needs: Mapping[str, frozenset[Oid]], held: Iterable[frozenset[Oid]]) -> list[str]:
    """The files that need an object that none of these hold: looked for once for all of them."""
    outside = _outside(frozenset().union(*needs.values()), held)
    return [path for path, oids in needs.items() if oids & outside] if outside else []


def _outside(oids: Iterable[Oid], held: Iterable[frozenset[Oid]]) -> frozenset[Oid]:
    """Those of the objects that none of these hold. One pass over what they hold, however many they are."""
    left = set(oids)
    if left:
        left.difference_update(*held)
    return frozenset(left)
