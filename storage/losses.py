"""Which files of a snapshot, and which members of its ZIPs, need an object that is nowhere."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from storage.errors import StorageError
from storage.listing import Entry
from storage.objects import Oid
from storage.reader import Reader
from storage.snapshot import Manifest, Snapshot

_NAMED = 3  # files, and members of each, that one sentence names


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file that cannot be given back bit for bit."""

    path: str
    members: tuple[str, ...]  # of a ZIP kept cut: those that are lost, the others can be taken out; else empty

    def __str__(self) -> str:
        return f"{self.path} ({_few(self.members, 'members')})" if self.members else self.path


@dataclass(frozen=True, slots=True)
class Hit:
    """A snapshot that has lost something: files, or with its listing the knowledge of all its files."""

    snapshot: str  # id
    source: str
    scope: str
    listing: bool  # lost: then the files are not known
    files: tuple[LostFile, ...]

    def __str__(self) -> str:
        return "its listing, so all its files" if self.listing else _few([str(f) for f in self.files], "files")


def listing_oids(manifest: Manifest) -> Iterator[Oid]:
    """The objects that lead to a snapshot's listing."""
    return (Oid(bytes.fromhex(oid)) for step in manifest.listing for oid in step)


def losses(reader: Reader, found: Snapshot, lacks: Callable[[Oid], bool]) -> Hit | None:
    """What of the snapshot needs an object that `lacks` says is lost; None for nothing.

    `reader` reads listing and plans, from wherever they may be read. Raises StorageError where it cannot, though
    nothing of them is lost.
    """
    files: tuple[LostFile, ...] = ()
    listing = any(map(lacks, listing_oids(found.manifest)))
    if not listing:
        files = tuple(lost for entry in reader.entries(found) for lost in _lost(reader, entry, lacks))
    hit = Hit(found.id, found.key.source, found.key.scope, listing, files)
    return hit if listing or files else None


def lost_of(reader: Reader, found: Snapshot) -> Hit | None:
    """What of the snapshot is in none of the packs that `reader` has; None for nothing that can be told."""
    try:
        return losses(reader, found, lambda oid: not reader.has(oid))
    except StorageError:
        return None  # damage of another sort: a scrub tells it


@dataclass(frozen=True, slots=True)
class Needs:
    """What a snapshot needs, as far as that can be told."""

    oids: frozenset[Oid]
    lost: bool  # what led to some of it is lost for good: nobody can ask for that any more
    problem: StorageError | None  # a listing or plan cannot be read, and nobody has called it lost yet


def needs(reader: Reader, found: Snapshot, lost: Container[Oid] = ()) -> Needs:
    """Every object that the snapshot needs, as far as its listing and plans can be read.

    `lost`: the objects that notes about its packs call lost; those that are nowhere are needed by nobody.
    """
    oids = set(listing_oids(found.manifest))

    def gone(leading: Iterator[Oid]) -> bool:
        return any(oid in lost and not reader.has(oid) for oid in leading)

    try:
        entries = reader.entries(found)
    except StorageError as exc:
        lost_listing = gone(listing_oids(found.manifest))
        return Needs(frozenset(oids), lost_listing, None if lost_listing else exc)
    any_lost, problem = False, None
    for entry in entries:
        try:
            oids.update(reader.oids(entry))
        except StorageError as exc:
            if gone(oid for step in entry.recipe.steps for oid in step):
                any_lost = True
            else:
                problem = exc
    return Needs(frozenset(oids), any_lost, problem)


def needed(reader: Reader, found: Snapshot, *, strict: bool = False) -> Iterator[Oid]:
    """Every object that the snapshot needs, with doubles, as far as its listing and plans can be read.

    `strict`: raises StorageError where one cannot.
    """
    yield from listing_oids(found.manifest)
    try:
        entries = reader.entries(found)
    except StorageError:
        if strict:
            raise
        return
    for entry in entries:
        try:
            yield from reader.oids(entry)
        except StorageError:
            if strict:
                raise
            continue  # its plan is lost: what it named is not known


def _lost(reader: Reader, entry: Entry, lacks: Callable[[Oid], bool]) -> Iterator[LostFile]:
    if entry.recipe.kind != "zip":
        if any(map(lacks, entry.recipe.objects)):
            yield LostFile(entry.path, ())
    elif any(lacks(oid) for step in entry.recipe.steps for oid in step):
        yield LostFile(entry.path, ())
    elif any(map(lacks, reader.plan(entry).oids())):
        payloads = ((member.name, member.planned.payload) for member in reader.members(entry))
        names = tuple(n for n, oids in payloads if not isinstance(oids, bytes) and any(map(lacks, oids)))
        yield LostFile(entry.path, names)


def _few(names: tuple[str, ...] | list[str], what: str) -> str:
    more = f" and {len(names) - _NAMED} more {what}" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
