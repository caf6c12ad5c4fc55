"""Puts one snapshot together: objects into packs, the listing, proof by reading back, then the manifest.

The order is the promise: packs are durable before the manifest names them, the manifest is proven before it is
written, and writing it is the commit. A writer that dies leaves nothing visible and needs no clean-up: packs that
no manifest names are freed by a later sweep.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from storage import listing, snapshot
from storage.archive import Archive, Damaged, Reader
from storage.errors import ObjectMissing, StorageError
from storage.index import Index, pack_name
from storage.listing import Entry, Recipe
from storage.objects import Oid
from storage.packs import PACK_SIZE, SALT_SIZE, Kind, PackBuilder
from storage.snapshot import Draft, Manifest, ScopeKey, Snapshot
from storage.verify import Measured, Meter, Promise, measure

CHUNK = 4 << 20  # bytes of a file kept as one object
_CLAIMS = 1000  # more writers than this on one scope at once is a loop, not a race


def _new_salt() -> bytes:
    return secrets.token_bytes(SALT_SIZE)


class Writer:
    """One snapshot in the making. Use once: `add` or `keep` each file, then `commit`.

    Memory: one pack and the index of the packs that may be reused.
    """

    def __init__(self, archive: Archive, *, reuse: bool = True, salt: Callable[[], bytes] = _new_salt) -> None:
        """`reuse=False` stores every object anew: for when the packs that hold them turned out to be damaged."""
        self._archive = archive
        self._index = Index(archive.backend, archive.scheme)
        self._salt = salt
        if reuse:
            self._load_newest()
        self._pack = PackBuilder(archive.scheme.name, salt())
        self._pending: dict[Oid, None] = {}
        self._entries: dict[str, Entry] = {}
        self._fresh: list[Entry] = []
        self._used: set[str] = set()  # packs that the snapshot needs
        self._stored_bytes = 0
        self._new = 0
        self._reused = 0

    def add(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        promised: Promise,
        media_type: str = "",
        measured: Measured | None = None,
    ) -> Entry:
        """Keep a file. Consumes `chunks`, of any sizes. `measured`: what they are known to be; `commit` proves it.

        Raises BackendFailed; ValueError for a path kept twice or one that is no Unicode text.
        """
        self._check_path(path)
        meter = Meter()
        oids = []
        for piece in _pieces(chunks):
            if measured is None:
                meter.update(piece)
            oids.append(self._put(piece, Kind.CONTENT))
        entry = Entry(path, measured or meter.result(), promised, Recipe("concat", tuple(oids)), media_type)
        self._entries[path] = entry
        self._fresh.append(entry)
        return entry

    def keep(self, entry: Entry) -> None:
        """Name a file that an earlier snapshot holds, without its bytes. Raises ObjectMissing, ValueError."""
        self._check_path(entry.path)
        for oid in entry.recipe.objects:
            where = self._index.find(oid)
            if where is None:
                raise ObjectMissing(f"{entry.path}: object {oid.hex()[:12]} is in no pack of a newest snapshot")
            self._used.add(where.pack)
            self._reused += 1
        self._entries[entry.path] = entry

    def commit(self, draft: Draft, *, clock: Callable[[], datetime]) -> Snapshot:
        """Prove what was added by reading it back, then make the snapshot exist.

        Two writers of one scope: one gets the number, the other the next one. Raises BackendFailed,
        ObjectCorrupt (the read-back differs; nothing was committed). Retry: with a new Writer.
        """
        data = listing.encode(self._entries.values())
        listing_oids = [self._put(piece, Kind.LISTING) for piece in _pieces([data])]
        self._flush()
        reader = Reader(self._index)
        for entry in self._fresh:
            reader.prove(entry)
        listing_entry = Entry("", measure([data]), Promise(), Recipe("concat", tuple(listing_oids)))
        reader.prove(listing_entry)
        for _ in range(_CLAIMS):
            number, previous = self._archive.head(draft.key)
            manifest = Manifest(
                archive_id=self._archive.id,
                draft=draft,
                number=number + 1,
                previous=previous,
                committed_at=clock(),
                files=len(self._entries),
                size=sum(entry.measured.size for entry in self._entries.values()),
                listing=tuple(oid.hex() for oid in listing_oids),
                listing_sha256=listing_entry.measured.sha256,
                packs=tuple(sorted(self._used)),
                stored_bytes=self._stored_bytes,
                objects_new=self._new,
                objects_reused=self._reused,
            )
            encoded = snapshot.encode(manifest)
            name = snapshot.manifest_name(draft.key, manifest.number)
            if self._claim(name, encoded):
                return snapshot.decode(encoded, name)
        raise StorageError(f"{draft.key}: {_CLAIMS} numbers of its chain were taken by others")

    def _claim(self, name: str, encoded: bytes) -> bool:
        # A retrying backend may answer False about the very bytes that its first try put there.
        backend = self._archive.backend
        try:
            return backend.put_new(name, [encoded]) or backend.get(name) == encoded
        except ObjectMissing:
            return False

    def _check_path(self, path: str) -> None:
        if path in self._entries:
            raise ValueError(f"{path}: named twice in one snapshot")
        path.encode()  # UnicodeEncodeError is a ValueError: a listing is UTF-8

    def _load_newest(self) -> None:
        # Objects are reused only from packs that the newest snapshot of some scope names: those are never freed
        # while a backup runs, so no lock is needed between writers and the freeing of space. A damaged snapshot
        # must not stop tonight's: what it holds is simply stored again.
        ignored: list[Damaged] = []
        newest: dict[ScopeKey, Snapshot] = {s.key: s for s in self._archive.snapshots(damaged=ignored)}
        for live in newest.values():
            self._index.load_readable(live.manifest.packs)

    def _put(self, data: bytes, kind: Kind) -> Oid:
        oid = self._archive.scheme.oid(data)
        where = self._index.find(oid)
        if where is not None:
            self._used.add(where.pack)
            self._reused += 1
        elif oid in self._pending:
            self._reused += 1
        else:
            self._pack.add(oid, data, kind, sha256=self._archive.scheme.sha256(oid))
            self._pending[oid] = None
            self._new += 1
            if self._pack.size >= PACK_SIZE:
                self._flush()
        return oid

    def _flush(self) -> None:
        if self._pack.empty:
            return
        digest, parts = self._pack.finish()
        self._archive.backend.put_new(pack_name(digest), parts)
        self._stored_bytes += sum(len(part) for part in parts)
        self._index.load([digest])
        self._used.add(digest)
        self._pending.clear()
        self._pack = PackBuilder(self._archive.scheme.name, self._salt())


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """`chunks` cut anew into pieces of CHUNK bytes, the last one shorter; nothing for an empty stream."""
    buffer = bytearray()
    for chunk in chunks:
        if len(chunk) == CHUNK and not buffer:
            yield chunk  # as the spool is read: no copy
            continue
        rest = memoryview(chunk)
        while rest:
            space = CHUNK - len(buffer)
            buffer += rest[:space]
            rest = rest[space:]
            if len(buffer) == CHUNK:
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)
