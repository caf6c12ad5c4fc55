"""A backend of which nothing can be read without the key: what lies below it sees ciphertexts only.

A wrapper, so that everything above it (packs, manifests, scrub, retention) is the same for plain and encrypted
archives. FORMAT.md section 13.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial

from storage import cipher, keys
from storage.backend import Backend, check_name
from storage.cipher import HEADER, Key, Stream
from storage.errors import BackendFailed, KeyWrong, ObjectCorrupt, ObjectMissing
from storage.mark import MARK

HIDDEN = ("snapshots", "decisions", "evidence")  # folders whose names below tell of sources, scopes or content
_PLAIN = ("about", "keys")  # folders that are read without a key, as the mark is
STRAYS = "strays"  # the folder that files seem to lie in whose names are none of ours
_OPENED = 4096  # files whose key and length are remembered
_LARGE = 1 << 26  # bytes of a stored file: a pack has 32 MiB and what its last object is longer
_ROTATED = "its keys were rotated since it was opened, and what is there needs the newer one: run again"
_NAMES = 1 << 16  # parts of names that are remembered: some 20 MB, for whoever has so many


class Encrypted:
    """Encrypts what is put, and proves and decrypts what is read: a part of a file without the rest.

    Every byte read is proven to be what this archive put under this very name: ObjectCorrupt otherwise. Memory: a
    range that is read, and a segment. Thread-safe as far as what lies below is.
    """

    def __init__(self, stored: Backend, archive_id: str, ring: Sequence[Key], *, there: int = 0) -> None:
        """`ring`: the keys, the oldest first: names go by the first, new content by the last, any of them reads.

        `there`: how many the archive has, as far as is known. Where it has newer ones, nothing is put or deleted,
        but KeyWrong raised: what the newer ones have encrypted would be taken for damaged. Where newer ones came
        since, that is found out by the first file that needs one: reading it raises KeyWrong, too.
        """
        self.stored = stored
        self._there = there
        self._rotated = False  # since it was opened
        self._id = archive_id
        self._keys = tuple(ring)
        self._hide = lru_cache(_NAMES)(partial(cipher.hide, self._keys[0], archive_id))
        self._show = lru_cache(_NAMES)(partial(cipher.show, self._keys[0], archive_id))
        self._opened: OrderedDict[str, tuple[Stream, int]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def unlocked(cls, stored: Backend, archive_id: str, secret: str | None) -> Encrypted:
        """By a holder's secret or the paper copy. Raises KeyMissing, KeyWrong."""
        ring = keys.unlock(stored, archive_id, secret)
        return cls(stored, archive_id, ring, there=keys.newest_count(stored, archive_id, ring))

    def like(self, stored: Backend) -> Encrypted:
        """Another copy of the same archive, by the same keys."""
        return Encrypted(stored, self._id, self._keys, there=self._there)

    @property
    def keys(self) -> tuple[Key, ...]:
        """All of them, the oldest first."""
        return self._keys

    @property
    def behind(self) -> KeyWrong | None:
        """What is to be said where the archive is known to have newer keys; None where it is not."""
        have = len(self._keys)
        return keys.behind(self.url, have, self._there) if have < self._there else None

    @property
    def url(self) -> str:
        return self.stored.url

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        self.check_up_to_date()
        if _is_plain(name):
            return self.stored.put_new(name, chunks)
        sealed = cipher.encrypt(self._keys[-1], self._id, name, chunks)
        return self.stored.put_new(self._hidden(check_name(name)), sealed)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if _is_plain(name):
            return self.stored.get(name, offset, length)
        if offset == 0 and length is None:
            return self._whole(name)
        try:
            return self._range(name, offset, length)
        except ObjectCorrupt:
            if not self._forget(name):
                raise
            return self._range(name, offset, length)  # deleted and put anew since it was opened

    def size(self, name: str) -> int | None:
        if _is_plain(name):
            return self.stored.size(name)
        stored = self.stored.size(self._hidden(check_name(name)))
        if stored is None:
            return None
        known = self._opened.get(name)
        if known is not None and known[0].stored != stored:
            self._forget(name)
        try:
            return self._open(name)[1]
        except ObjectMissing:
            return None
        except (ObjectCorrupt, BackendFailed):
            return stored  # it is there, and whoever reads it is told

    def list(self, prefix: str) -> Iterator[str]:
        below = prefix
        if prefix.partition("/")[0] in HIDDEN:
            folder = prefix.rpartition("/")[0]
            below = self._hidden(check_name(folder)) + "/" if folder else prefix
        names = (self._shown(name) for name in self.stored.list(below))
        return iter(sorted(name for name in names if name.startswith(prefix)))

    def delete(self, name: str) -> None:
        self.check_up_to_date()
        self._forget(name)
        self.stored.delete(name if _is_plain(name) else self._hidden(check_name(name)))

    def stored_name(self, name: str) -> str:
        """What the file is called below, for whoever looks for it there."""
        return name if _is_plain(name) else self._hidden(check_name(name))

    def key_of(self, name: str) -> int:
        """The number, from 1, of the key that a file needs; 0 where it is not there, or needs none of these."""
        stored = self.stored_name(name)
        try:
            wanted = cipher.key_id(self.stored.get(stored, 0, HEADER.size))
        except ObjectMissing:
            return 0
        return next((number for number, key in enumerate(self._keys, 1) if key.id == wanted), 0)

    def check_up_to_date(self) -> None:
        """Raises KeyWrong where the archive is known to have newer keys: what needs them is not damaged."""
        if older := self.behind:
            raise KeyWrong(f"{self.url}: {_ROTATED}", hint=older.hint) if self._rotated else older

    def _stream(self, name: str, data: bytes, stored: int) -> Stream:
        """How to read a file that begins so. Raises ObjectCorrupt; KeyWrong where its key is newer than ours."""
        try:
            return cipher.stream(self._keys, self._id, name, data[: HEADER.size], stored)
        except ObjectCorrupt:
            if cipher.key_id(data) in (b"", *(key.id for key in self._keys)):
                raise
            if not self.behind:
                there = keys.newest_count(self.stored, self._id, self._keys)
                self._rotated = there > len(self._keys)  # before the next: another thread must not see it alone
                self._there = there
            if self._rotated:
                self.check_up_to_date()
            if self.behind:  # what came before can be read, so this one file does not end everything
                older = keys.behind(name, len(self._keys), self._there)
                raise ObjectCorrupt(str(older), hint=older.hint) from None
            raise

    def _whole(self, name: str) -> bytes:
        stored = self.stored.size(self.stored_name(name))
        if stored is not None and stored > _LARGE:
            self._forget(name)
            self._open(name)  # its last segment proves how long it is: whoever made it longer has nothing read
        data = self._get(name)
        found = self._stream(name, data, len(data))
        plain = found.open(0, data[HEADER.size :])
        length = cipher.length_of(name, plain, len(plain))
        if any(plain[length : -cipher.LENGTH.size]):
            raise ObjectCorrupt(f"{name}: its padding is not empty")
        return plain[:length]

    def _range(self, name: str, offset: int, length: int | None) -> bytes:
        found, size = self._open(name)
        if length is None or offset + length > size:
            self._forget(name)  # the end that is remembered may not be that of a file put anew
            found, size = self._open(name)
        end = size if length is None else min(size, offset + length)
        if offset >= end:
            if offset == size:  # whoever reads to the end has the padding proven as well
                self._segments(found, cipher.segment_of(size), found.segments - 1)
            return b""
        first, last = cipher.segment_of(offset), cipher.segment_of(end - 1)
        plain = self._segments(found, first, last)
        at = cipher.plain_at(first)
        return plain[offset - at : end - at]

    def _segments(self, found: Stream, first: int, last: int) -> bytes:
        begin, end = found.at(first), min(found.at(last + 1), found.stored)
        data = self._get(found.name, begin, end - begin)
        if len(data) != end - begin:
            raise ObjectCorrupt(f"{found.name}: {len(data)} bytes at {begin}, {end - begin} expected")
        return found.open(first, data)

    def _open(self, name: str) -> tuple[Stream, int]:
        """How to read a file, and its bytes. Raises ObjectMissing, ObjectCorrupt."""
        with self._lock:
            if name in self._opened:
                self._opened.move_to_end(name)
                return self._opened[name]
        stored = self.stored.size(self._hidden(check_name(name)))
        if stored is None:
            raise ObjectMissing(f"{name}: not in the archive {self.url}")
        found = self._stream(name, self._get(name, 0, HEADER.size), stored)
        end = self._segments(found, cipher.segment_of(found.padded - cipher.LENGTH.size), found.segments - 1)
        opened = found, cipher.length_of(name, end, found.padded)
        with self._lock:
            self._opened[name] = opened
            while len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        return opened

    def _forget(self, name: str) -> bool:
        with self._lock:
            return self._opened.pop(name, None) is not None

    def _get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            return self.stored.get(self._hidden(check_name(name)), offset, length)
        except ObjectMissing:
            raise ObjectMissing(f"{name}: not in the archive {self.url}") from None

    def _hidden(self, name: str) -> str:
        top, *parts = name.split("/")
        if top not in HIDDEN:
            return name
        hidden = [top]
        for at, part in enumerate(parts):
            hidden.append(self._hide("/".join([top, *parts[:at]]), part))
        return "/".join(hidden)

    def _shown(self, name: str) -> str:
        """The name that is stored so; one below STRAYS for a file that this archive never put."""
        top, _, rest = name.partition("/")
        if top not in HIDDEN:
            return name
        shown = top
        for stored in rest.replace("-/", "-").split("/"):
            part = self._show(shown, stored.replace("-", "-/"))
            if part is None:
                return f"{STRAYS}/{name}"
            shown = f"{shown}/{part}"
        return shown


def check_up_to_date(backend: Backend) -> None:
    """Raises KeyWrong where the archive is encrypted and known to have newer keys than those at hand."""
    if isinstance(backend, Encrypted):
        backend.check_up_to_date()


def behind(backend: Backend) -> KeyWrong | None:
    """What is to be said where the archive is encrypted and known to have newer keys than those at hand."""
    return backend.behind if isinstance(backend, Encrypted) else None


def which_key(backend: Backend, name: str) -> tuple[int, int]:
    """The number of the key that a file needs, and how many are at hand; (0, 0) in a plain archive."""
    return (backend.key_of(name), len(backend.keys)) if isinstance(backend, Encrypted) else (0, 0)


def since_rotation(backend: Backend, name: str) -> bool:
    """Whether a file needs the newest key of an archive whose keys were rotated."""
    number, of = which_key(backend, name)
    return 1 < of == number


def as_it_lies(backend: Backend, name: str) -> bytes:
    """All of a file, for whoever keeps or compares what is there, whole or not: of one that cannot be decrypted
    the stored bytes. Raises ObjectMissing."""
    try:
        return backend.get(name)
    except ObjectCorrupt:
        if not isinstance(backend, Encrypted):
            raise
        return backend.stored.get(backend.stored_name(name))


def _is_plain(name: str) -> bool:
    return name == MARK or name.partition("/")[0] in _PLAIN
