"""What a night needs not fetch: files of this job in the spool, and files that the archive holds.

Read when first asked for. What cannot be read is not at hand: it is fetched again, and nothing else comes of it.
"""

from __future__ import annotations

from pathlib import Path

from flows import spool
from flows.notebook import Notebook as Pages
from flows.sources.base import Notebook
from storage.archive import Archive
from storage.errors import StorageError
from storage.listing import Entry
from storage.reader import Reader
from storage.snapshot import ScopeKey
from storage.verify import Promise, Quality

SMALL = 16 << 20  # bytes: a document that a dialect reads whole is no larger


class AtHand:
    """For one job. Memory: the listing of one snapshot."""

    def __init__(self, archive: Archive, key: ScopeKey, folder: Path) -> None:
        """`folder`: the job's in the spool."""
        self._archive = archive
        self._key = key
        self._folder = folder
        self.notebook: Notebook = Pages(folder)
        self._reader: Reader | None = None
        self._paths: dict[str, Entry] | None = None
        self._digests: dict[str, Entry] = {}

    def forget(self) -> None:
        """From now on the archive holds nothing: for when objects turned out to be damaged."""
        self._paths, self._digests = {}, {}

    def entry(self, sha256: str) -> Entry | None:
        """The file of this SHA-256 in the snapshot that is gone on from, its objects there."""
        self._load()
        return self._digests.get(sha256)

    def has(self, sha256: str) -> bool:
        """See `sources.base.AtHand`."""
        return self.entry(sha256) is not None

    def arrived(self, name: str) -> bytes | None:
        """See `sources.base.AtHand`."""
        item = spool.arrived(self._folder, name)
        return None if item is None or item.stat().st_size > SMALL else item.read_bytes()

    def before(self, name: str) -> bytes | None:
        """See `sources.base.AtHand`."""
        found = self._load().get(name)
        if found is None or self._reader is None or found.measured.size > SMALL:
            return None
        try:
            return b"".join(self._reader.chunks(found))
        except StorageError:
            return None

    def promise(self, name: str) -> Promise | None:
        """See `sources.base.AtHand`."""
        found = self._load().get(name)
        return None if found is None else Promise(found.measured.size, sha256=found.measured.sha256)

    def _load(self) -> dict[str, Entry]:
        if self._paths is None:
            self.forget()
            try:
                self._read()
            except StorageError:  # a damaged snapshot holds nothing: all is fetched again
                self.forget()
        return self._paths or {}

    def _read(self) -> None:
        """The newest snapshot whose bytes were all proven: one that is partial lacks files, not bytes."""
        proven = (Quality.VERIFIED, Quality.PARTIAL)
        live = self._archive.newest_first(self._key, damaged=[])
        newest = next((found for found in live if found.manifest.draft.quality in proven), None)
        if newest is not None:
            self._reader = reader = self._archive.reader(newest)
            there = [entry for entry in self._archive.entries(newest) if not reader.lacks(entry)]
            self._paths = {entry.path: entry for entry in there}
            self._digests = {entry.measured.sha256: entry for entry in there}
