"""Puts one snapshot together: objects into packs, the listing, proof by rebuilding, then the manifest.

The order is the promise: packs are durable before the manifest names them, the manifest is proven before it is
written, and writing it is the commit. A writer that dies leaves nothing visible and needs no clean-up: packs that
no manifest names are freed by a later sweep.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial, reduce
from operator import xor
from typing import BinaryIO

from storage import listing, secondlook, snapshot
from storage.about import describe
from storage.archive import Archive, Damaged
from storage.errors import ObjectCorrupt, ObjectMissing, StorageError
from storage.index import Index, pack_name
from storage.listing import Entry, Listing, ListingBuilder, Steps
from storage.objects import Oid
from storage.packing import Packing
from storage.packs import SALT_SIZE
from storage.reader import Reader
from storage.recipes import Base, keep, keep_text
from storage.snapshot import Draft, Manifest, ScopeKey, Snapshot
from storage.verify import Measured, Promise, measure

READ = 1 << 20  # bytes of a file read at a time, where it has to be measured
_CLAIMS = 1000  # more writers than this on one scope at once is a loop, not a race


Complete = Callable[[Draft, Reader, Listing], Draft]


def _as_it_is(draft: Draft, _reader: Reader, _files: Listing) -> Draft:
    return draft


def _new_salt() -> bytes:
    return secrets.token_bytes(SALT_SIZE)


class Writer:
    """One snapshot in the making. Use once: `add` or `keep` each file, then `commit`.

    Memory: two packs, the index of the packs that may be reused, the plan of the file that is added, twice, and
    the listing, a few times; of last night's files those that were cut.
    """

    def __init__(
        self, archive: Archive, key: ScopeKey, *, proven: bool = False, salt: Callable[[], bytes] = _new_salt
    ) -> None:
        """`proven` reads each object before it reuses it, and stores anew what is not what it should be: for when
        packs turned out to be damaged."""
        self._archive = archive
        self._key = key
        self._index = Index(archive.backend, archive.scheme)
        self._reader = Reader(self._index)
        self._newest: Snapshot | None = None
        self._cut: dict[str, Steps] = {}  # plans of the scope's newest snapshot, by file
        self._unmatched: list[str] = []  # those files, the first one last, for files of new names
        self._load_newest()
        self._packing = Packing(archive.backend, archive.scheme, self._index, salt, proven=proven)
        self._files = ListingBuilder()
        self._hash = 0  # of all files
        self._fresh: list[str] = []  # paths
        self._members = 0

    def add(
        self,
        path: str,
        content: BinaryIO,
        *,
        promised: Promise,
        media_type: str = "",
        measured: Measured | None = None,
    ) -> Entry:
        """Keep a file: all of `content`, which can seek. `measured`: what it is known to be; `commit` proves it.

        Raises BackendFailed; ValueError for a path kept twice or one that is no Unicode text.
        """
        self._check_path(path)
        if measured is None:
            content.seek(0)
            measured = measure(iter(lambda: content.read(READ), b""))
        recipe, members = keep(self._packing, content, partial(self._base, path))
        entry = Entry(path, measured, promised, recipe, media_type)
        self._take(entry)
        self._fresh.append(path)
        self._members += members
        return entry

    def keep(self, entry: Entry) -> None:
        """Name a file that an earlier snapshot holds, without its bytes. Raises ObjectMissing, ValueError."""
        self._check_path(entry.path)
        for oid in self._reader.oids(entry):
            if not self._packing.name(oid):
                raise ObjectMissing(f"{entry.path}: object {oid.hex()[:12]} is in no pack of a newest snapshot")
            self._packing.reused += 1
        if entry.recipe.kind == "zip":
            self._members += self._reader.plan(entry).count
        self._take(entry)

    def commit(
        self,
        draft: Draft,
        *,
        clock: Callable[[], datetime],
        prove: bool = True,
        complete: Complete = _as_it_is,
    ) -> Snapshot:
        """Prove what was added by rebuilding it from the archive, then make the snapshot exist.

        Two writers of one scope: one gets the number, the other the next one. Where something that it reuses was
        erased meanwhile, it is withdrawn: ObjectMissing. `prove=False` leaves the proof of the files out, for
        measuring what it costs; a backup never does. `complete` is asked once, when all is proven: of the draft, a
        reader and the files it makes the draft that is committed. Raises BackendFailed, ObjectCorrupt (what was
        rebuilt differs; nothing was committed). Retry: with a new Writer.
        """
        if draft.key != self._key:
            raise ValueError(f"a draft of {draft.key}, this writer is for {self._key}")
        text = self._files.encode()
        self._files = ListingBuilder()  # what it held is in the text
        steps = keep_text(self._packing, text, self._listing_base())
        self._packing.flush()
        read = self._reader.text(steps)
        if read != text:
            raise ObjectCorrupt(f"{draft.key}: the listing that was read back is not the one that was written")
        files = listing.decode(text := read)  # one of the two is enough
        if reduce(xor, map(hash, files), 0) != self._hash:
            raise ValueError(f"{draft.key}: its listing does not read as what was kept")
        for path in self._fresh if prove else ():
            self._reader.prove(files.of(path))
        draft = complete(draft, self._reader, files)
        describe(self._archive.backend)
        for _ in range(_CLAIMS):
            number, previous = self._archive.head(draft.key)
            manifest = Manifest(
                archive_id=self._archive.id,
                draft=draft,
                number=number + 1,
                previous=previous,
                committed_at=clock(),
                files=len(files),
                members=self._members,
                size=files.size,
                listing=tuple(tuple(oid.hex() for oid in step) for step in steps),
                listing_sha256=hashlib.sha256(text).hexdigest(),
                packs=tuple(sorted(self._packing.used)),
                stored_bytes=self._packing.stored_bytes,
                objects_new=self._packing.new,
                objects_reused=self._packing.reused,
            )
            encoded = snapshot.encode(manifest)
            name = snapshot.manifest_name(draft.key, manifest.number)
            found = snapshot.decode(encoded, name)
            self._look_for_packs()
            if self._claim(name, encoded):
                self._look_again(found, clock)
                return found
        raise StorageError(f"{draft.key}: {_CLAIMS} numbers of its chain were taken by others")

    def _look_for_packs(self) -> None:
        # A machine that slept for a week may find what it meant to reuse forgotten and freed.
        for pack in self._packing.used:
            if self._archive.backend.size(pack_name(pack)) is None:
                raise ObjectMissing(f"{pack_name(pack)}: freed since this backup began", hint="run again")

    def _look_again(self, found: Snapshot, clock: Callable[[], datetime]) -> None:
        try:
            self._look_for_packs()  # a sweep that began before may have deleted one since the last look
            if not secondlook.lacks(self._archive, found):
                return
        except ObjectMissing:
            pass
        secondlook.withdraw(self._archive, found, now=clock())
        raise ObjectMissing(f"{found.name}: content that it shares was freed just now", hint="run again")

    def _claim(self, name: str, encoded: bytes) -> bool:
        # A retrying backend may answer False about the very bytes that its first try put there.
        backend = self._archive.backend
        try:
            return backend.put_new(name, [encoded]) or backend.get(name) == encoded
        except (ObjectMissing, ObjectCorrupt):
            return False

    def _take(self, entry: Entry) -> None:
        self._files.add(entry)
        self._hash ^= hash(entry)

    def _check_path(self, path: str) -> None:
        if path in self._files:
            raise ValueError(f"{path}: named twice in one snapshot")
        path.encode()  # UnicodeEncodeError is a ValueError: a listing is UTF-8

    def _load_newest(self) -> None:
        # Objects are reused only from packs that the newest snapshot of some scope names: those are never freed
        # while a backup runs, so no lock is needed between writers and the freeing of space. A damaged snapshot
        # must not stop tonight's: what it holds is simply stored again.
        ignored: list[Damaged] = []
        for key in self._archive.scopes():
            live = self._archive.newest(key, damaged=ignored)
            if live is not None:
                self._index.load_readable(self._archive.packs_to_reuse(live.manifest))
                self._newest = live if key == self._key else self._newest
        if self._newest is not None:
            try:
                cut = self._reader.entries(self._newest).cut()
                self._cut = {entry.path: entry.recipe.steps for entry in cut}
                self._unmatched = list(self._cut)[::-1]
            except StorageError:
                self._newest = None

    def _base(self, path: str) -> Base | None:
        """The plan that tonight's plan of `path` may follow: that of the same file, last night."""
        steps = self._cut.get(path)
        # Most systems name an export by date or at random: then the file at the same place is the same.
        while steps is None and self._unmatched:
            name = self._unmatched.pop()
            steps = None if name in self._files else self._cut[name]
        return None if steps is None else self._base_of(steps)

    def _listing_base(self) -> Base | None:
        if self._newest is None or self._newest.manifest.format == 1:
            return None
        steps = tuple(tuple(Oid(bytes.fromhex(oid)) for oid in step) for step in self._newest.manifest.listing)
        return self._base_of(steps)

    def _base_of(self, steps: Steps) -> Base | None:
        try:
            return Base(steps, self._reader.text(steps), self._reader.unpacked(steps))
        except StorageError:
            return None
