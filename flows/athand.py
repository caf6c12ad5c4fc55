"""What a night needs not fetch: files of this job in the spool, and files that the archive holds.

Read when first asked for. What cannot be read is not at hand: it is fetched again, and nothing else comes of it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from flows import spool
from flows.notebook import Notebook as Pages
from flows.sources.base import Notebook
from storage import listing
from storage.archive import Archive
from storage.errors import StorageError
from storage.listing import Entry, Listing
from storage.reader import Reader
from storage.snapshot import ScopeKey
from storage.verify import Promise, Quality

SMALL = 16 << 20  # bytes: a document that a dialect reads whole is no larger


THERE, LACKS = 1, 2
NOTHING = listing.decode(listing.encode(()))


class AtHand:
    """For one job. Memory: the text of one snapshot's listing, and the index of its packs."""

    def __init__(self, archive: Archive, key: ScopeKey, folder: Path) -> None:
        """`folder`: the job's in the spool."""
        self._archive = archive
        self._key = key
        self._folder = folder
        self.notebook: Notebook = Pages(folder)
        self._reader: Reader | None = None
        self._files: Listing | None = None  # None: not read yet
        self._known = bytearray()  # of each file, whether its objects are there: asked once, so that it stays so

    def forget(self) -> None:
        """From now on the archive holds nothing: for when objects turned out to be damaged."""
        self._reader, self._files = None, NOTHING

    def entry(self, sha256: str) -> Entry | None:
        """The file of this SHA-256 in the snapshot that is gone on from, its objects there."""
        files = self._load()
        return next((files[place] for place in files.places_of(sha256) if self._has(place)), None)

    def has(self, sha256: str) -> bool:
        """See `sources.base.AtHand`."""
        return any(map(self._has, self._load().places_of(sha256)))

    def arrived(self, name: str) -> bytes | None:
        """See `sources.base.AtHand`."""
        item = spool.arrived(self._folder, name)
        return None if item is None or item.stat().st_size > SMALL else item.read_bytes()

    def before(self, name: str) -> bytes | None:
        """See `sources.base.AtHand`."""
        found = self._named(name)
        if found is None or self._reader is None or found.measured.size > SMALL:
            return None
        try:
            return b"".join(self._reader.chunks(found))
        except StorageError:
            return None

    def promise(self, name: str) -> Promise | None:
        """See `sources.base.AtHand`."""
        found = self._named(name)
        return None if found is None else Promise(found.measured.size, sha256=found.measured.sha256)

    def _named(self, name: str) -> Entry | None:
        files = self._load()
        place = files.place_of(name)
        return None if place is None or not self._has(place) else files[place]

    def _has(self, place: int) -> bool:
        if not self._known[place]:
            try:
                lacks = self._reader is None or self._reader.lacks(self._load()[place])
            except StorageError:  # its plan is damaged
                lacks = True
            self._known[place] = LACKS if lacks else THERE
        return self._known[place] == THERE

    def _load(self) -> Listing:
        if self._files is None:
            self.forget()
            with suppress(StorageError):  # a damaged snapshot holds nothing: all is fetched again
                self._read()
        return self._files or NOTHING

    def _read(self) -> None:
        """The newest snapshot whose bytes were all proven: one that is partial lacks files, not bytes."""
        proven = (Quality.VERIFIED, Quality.PARTIAL)
        live = self._archive.newest_first(self._key, damaged=[])
        newest = next((found for found in live if found.manifest.draft.quality in proven), None)
        if newest is not None:
            reader = self._archive.reader(newest)
            files = reader.entries(newest)
            self._reader, self._files, self._known = reader, files, bytearray(len(files))
