"""Small files that come back whole from a copy of the archive: which of them, proven by their own seals.

Notes about replaced packs never come from a copy: what was damaged there may be whole here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from storage import canonical, decisions, keys, snapshot, tombstone
from storage.archive import Archive
from storage.backend import Backend
from storage.cipher import HEADER, key_id
from storage.encrypted import Encrypted, as_it_lies
from storage.errors import ArchiveMissing, KeyWrong, ObjectCorrupt, ObjectMissing, StorageError
from storage.halves import Half, halves
from storage.index import pack_name
from storage.mark import MARK
from storage.mark import read as read_mark
from storage.snapshot import Link, ScopeKey, Snapshot
from storage.tombstone import Tombstone

MISSING = "missing"
_BELOW: tuple[snapshot.Kind, ...] = ("live", "forgotten")
_ELSEWHERE = ("archive", "snapshot", "tombstone", "unnamed", "replaced", "evidence", "decision", "lease")


@dataclass(frozen=True, slots=True)
class PutBack:
    """A small file to be put anew, or where `whole` is None only to be taken away."""

    name: str
    problem: str
    damaged: str  # SHA-256 of the bytes that are there; "" for none
    whole: bytes | None


def put_back(backend: Backend, name: str, problem: str, whole: bytes | None) -> PutBack:
    """What to do about a small file that is damaged or missing. Raises BackendFailed."""
    try:
        return PutBack(name, problem, hashlib.sha256(as_it_lies(backend, name)).hexdigest(), whole)
    except ObjectMissing:
        return PutBack(name, MISSING, "", whole)


def whole_pack(copy: Archive, pack: str) -> bytes | None:
    """All bytes of a pack of the copy, where they are the ones its name promises. Memory: the pack."""
    try:
        data = copy.backend.get(pack_name(pack))
    except StorageError:
        return None
    return data if hashlib.sha256(data).hexdigest() == pack else None


def open_with_copy(
    backend: Backend, copy: Archive | None, secret: str | None = None
) -> tuple[Archive, PutBack | None]:
    """The archive, by the mark of its copy where its own is damaged or missing, and then that to be put back; by
    the keys of its copy where the files of its own holders are damaged.

    Raises what `Archive.open` raises where no copy can help, ObjectCorrupt for a copy of another archive, and
    KeyWrong where the keys at hand are from before a rotation.
    """
    try:
        archive, mark = Archive.open(backend, secret), None
    except KeyWrong:
        if copy is None or not isinstance(copy.backend, Encrypted) or not _holders_are_damaged(backend, copy):
            raise
        archive, mark = Archive(_by_its_keys(backend, copy.backend, copy.id, secret), copy.id, copy.scheme), None
    except (ArchiveMissing, ObjectCorrupt) as exc:
        if copy is None:
            raise
        there = backend
        if isinstance(copy.backend, Encrypted):
            there = _by_its_keys(backend, copy.backend, copy.id, secret)
        archive = Archive(there, copy.id, copy.scheme)
        if not any(found.manifest.archive_id == copy.id for found in archive.snapshots(damaged=[])):
            raise  # nothing here says that this is what the other is a copy of
        mark = put_back(backend, MARK, str(exc), copy.backend.get(MARK))
    if copy is not None and copy.id != archive.id:
        raise ObjectCorrupt(
            f"{copy.backend.url}: archive {copy.id[:12]}, a copy of {archive.id[:12]} is needed",
            hint="name a folder that was copied from this archive",
        )
    return archive, mark


def links(
    archive: Archive, damaged: Mapping[str, str], copy: Archive
) -> list[tuple[PutBack, Snapshot | Tombstone]]:
    """Manifests and tombstones that are `damaged` (name: problem) or missing here and whole in the copy.

    A missing one comes back only where it fits between its neighbours: a copy may have gone its own way. That
    of an erased one waits for its erasing: while it is put anew, what lies below it would be alive.
    """
    chains: dict[ScopeKey, dict[int, tuple[str, str | None]]] = {}
    known: list[Snapshot | Tombstone] = [*archive.snapshots(damaged=[]), *archive.tombstones(damaged=[])]
    for found in known:
        chains.setdefault(found.key, {})[found.number] = (found.id, found.previous)
    here = {(link.key, link.number) for link in archive.links()}
    wanted = [link for link in copy.links() if link.name in damaged or (link.key, link.number) not in here]
    below = {(link.key, link.number) for link in archive.half_erased()}
    wanted = [link for link in wanted if (link.key, link.number) not in below]
    wanted.sort(key=lambda link: (str(link.key), link.number, not link.erased, not link.forgotten))
    chosen = []
    for link in wanted:
        chain = chains.setdefault(link.key, {})
        read = _link(archive, copy, link)
        if read is None or link.number in chain:
            continue
        whole, found = read
        if _fits(chain, link.number, found):
            chain[link.number] = (found.id, found.previous)
            chosen.append((put_back(archive.backend, link.name, damaged.get(link.name, MISSING), whole), found))
    return chosen


def erasing(archive: Archive, copy: Archive) -> Iterator[tuple[Half, PutBack]]:
    """Numbers that were to be erased and of which nothing here can be read, and what is whole of them in the copy.

    It comes below the tombstone of the erased one, so that the erasing can be gone on with; where there is room,
    beside the damaged file, which goes with it then: one of the two is always there.
    """
    for half in halves(archive):
        tomb = next(archive.forgotten([snapshot.link_of(half.key, half.number, "erased")], damaged=[]), None)
        if half.error is None or tomb is None:
            continue
        for kind in _BELOW:
            read = _link(archive, copy, snapshot.link_of(half.key, half.number, kind))
            manifest = read and (read[1].manifest if read[1].id == tomb.id else None)
            if manifest:
                yield half, _beside(archive.backend, half, Snapshot(tomb.id, manifest), tomb)
                break


def _beside(backend: Backend, half: Half, found: Snapshot, tomb: Tombstone) -> PutBack:
    older = tombstone.forgotten(found, at=tomb.forgotten_at, reason=tomb.reason)
    whole = {found.name: snapshot.encode(found.manifest), older.name: tombstone.encode(older)}
    room = next((name for name in whole if backend.size(name) is None), None)
    if room is None:
        return put_back(backend, found.name, str(half.error), whole[found.name])
    return PutBack(room, str(half.error), "", whole[room])


def decided(archive: Archive, damaged: Iterable[str], copy: Archive) -> Iterator[PutBack]:
    """Decisions that are damaged or missing here and whole in the copy."""
    spoiled, here = set(damaged), set(archive.backend.list(decisions.FOLDER))
    for name in filter(decisions.parse_name, copy.backend.list(decisions.FOLDER)):
        if name in spoiled or name not in here:
            try:
                data = copy.backend.get(name)
                decisions.decode(data, name)
            except StorageError:
                continue
            yield put_back(archive.backend, name, "damaged", data)


def holders(archive: Archive, damaged: Mapping[str, str], copy: Archive) -> Iterator[PutBack]:
    """Files of holders that are damaged here and whole in the copy. A missing one was removed: so it stays."""
    for name in filter(keys.is_holder, damaged):
        try:
            data = copy.backend.get(name)
            mine = keys.decode(data, name).archive == archive.id
        except StorageError:
            continue
        if mine:
            yield put_back(archive.backend, name, damaged[name], data)


def records(archive: Archive, damaged: Iterable[str], copy: Archive) -> Iterator[PutBack]:
    """Records that are damaged or missing here and whole in the copy."""
    spoiled, here = set(damaged), set(archive.backend.list("records/"))
    for name in copy.backend.list("records/"):
        if name in spoiled or name not in here:
            data = _record(copy, name)
            if data is not None:
                yield put_back(archive.backend, name, "damaged", data)


def _by_its_keys(backend: Backend, copy: Encrypted, archive_id: str, secret: str | None) -> Encrypted:
    """The archive by its own holder's keys, or by those of its copy, which may be fewer.

    Raises KeyWrong then: what a newer key has encrypted would be taken for damaged, and its packs be replaced.
    """
    try:
        ring = keys.unlock(backend, archive_id, secret)
    except StorageError:
        ring = ()
    ring = max(ring, copy.keys, key=len)
    ids = Counter(key_id(backend.get(name, 0, HEADER.size)) for name in backend.list(""))
    strange = ids.keys() - {b"", *(key.id for key in ring)}
    if any(ids[one] > 1 for one in strange):  # by rot no two files come to the same
        raise KeyWrong(
            f"{backend.url}: {len(ring)} keys are at hand, and files there need a newer one",
            hint="name a copy from after the rotation, or give the paper copy that was printed then",
        )
    return Encrypted(backend, archive_id, ring)


def _holders_are_damaged(backend: Backend, copy: Archive) -> bool:
    problems: list[str] = []
    keys.holders(backend, copy.id, problems=problems)
    return bool(problems) and read_mark(backend).id == copy.id


def _link(archive: Archive, copy: Archive, link: Link) -> tuple[bytes, Snapshot | Tombstone] | None:
    try:
        data = copy.backend.get(link.name)
        decode = tombstone.decode if link.forgotten else snapshot.decode
        found: Snapshot | Tombstone = decode(data, link.name)
    except StorageError:
        return None
    place = (found.key, found.number, found.archive_id)
    return (data, found) if place == (link.key, link.number, archive.id) else None


def _fits(chain: Mapping[int, tuple[str, str | None]], number: int, found: Snapshot | Tombstone) -> bool:
    before, after = chain.get(number - 1), chain.get(number + 1)
    behind = before is None or not before[0] or found.previous in (None, before[0])
    return behind and (after is None or not found.id or after[1] in (None, found.id))


def _record(copy: Archive, name: str) -> bytes | None:
    try:
        data = copy.backend.get(name)
        value = canonical.unseal(data)
        fits = value["kind"] not in _ELSEWHERE and snapshot.record_name(canonical.text(value["id"])) == name
    except (StorageError, KeyError, ValueError):
        return None
    return data if fits else None
