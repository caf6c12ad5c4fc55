"""Objects from wherever they can still be proven: every pack of an archive, damaged ones too, then of a copy.

For repair alone. A backup must not read so: what it proves would not be what its manifest names.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from storage.archive import Archive
from storage.errors import ObjectMissing, StorageError
from storage.index import Index, Location, pack_digest, pack_name
from storage.objects import Oid
from storage.packs import (
    BLOCK,
    COUNTS,
    HEADER,
    MAX_FOOTER,
    MAX_OBJECT,
    OBJECT,
    TRAILER,
    Block,
    Footer,
    open_block,
)

_OFFSET = struct.Struct(">Q")  # what a block's row begins with


@dataclass(frozen=True, slots=True)
class Found:
    """An object that was proven, and where."""

    data: bytes
    at: Location
    copy: bool  # in the copy


class Anywhere(Index):
    """The index of all packs of an archive, and of those of a copy behind it. Memory: that of both indexes."""

    def __init__(self, archive: Archive, copy: Archive | None = None) -> None:
        super().__init__(archive.backend, archive.scheme)
        self._beyond = None if copy is None else Anywhere(copy)
        self._spoiled: dict[tuple[int, int], StorageError] = {}  # blocks that cannot be read: each is tried once
        self.present = {digest for digest in map(pack_digest, archive.backend.list("packs/")) if digest}
        self.loose: set[str] = set()  # packs whose footer is not proven: what its rows say may be wrong
        for pack in sorted(self.present):
            self.load_readable([pack])
            if self.footer(pack) is None:
                self._load_loosely(pack)

    def get(self, oid: Oid, first: str = "") -> Found | None:
        """The object, proven; None where it can be read nowhere. A pack named `first` is asked first."""
        places = sorted(self.places(oid), key=lambda place: self.pack_of(place) != first)
        for place in places:
            with contextlib.suppress(StorageError):
                return Found(self.read_at(place, oid), self.locate(place), False)
        beyond = self._beyond.get(oid) if self._beyond else None
        return Found(beyond.data, beyond.at, True) if beyond else None

    def holds(self, oid: Oid, packs: set[str], copied: set[str]) -> bool:
        """Whether one of these packs holds the object, here or, of `copied`, in the copy. Reads nothing."""
        if any(self.pack_of(place) in packs for place in self.places(oid)):
            return True
        return bool(copied and self._beyond and self._beyond.holds(oid, copied, set()))

    def read(self, oid: Oid) -> bytes:
        found = self.get(oid)
        if found is None:
            raise ObjectMissing(f"object {oid.hex()[:12]}: nowhere in the archive, nor in a copy that was named")
        return found.data

    def fetch(self, oid: Oid) -> bytes:
        return self.read(oid)

    def _block(self, pack: int, number: int) -> bytes:
        if (pack, number) in self._spoiled:
            raise self._spoiled[pack, number]
        try:
            return super()._block(pack, number)
        except StorageError as exc:
            self._spoiled[pack, number] = exc
            raise

    def _load_loosely(self, pack: str) -> None:
        name = pack_name(pack)
        try:
            size = self._backend.size(name) or 0
            footer = loose_footer(lambda at, length: self._backend.get(name, at, length), size)
        except StorageError:
            return
        if footer is not None:
            self.add(pack, Footer(self._scheme.name, footer.blocks, footer.table + self._misnamed(name, footer)))
            self.loose.add(pack)

    def _misnamed(self, name: str, footer: Footer) -> bytes:
        """Rows for objects whose name in a damaged table is not theirs: their bytes tell what it was."""
        rows, number, plain = [], -1, b""
        for placed in footer.objects:
            if placed.block != number:
                number, block = placed.block, footer.blocks[placed.block]
                try:
                    plain = open_block(block, self._backend.get(name, block.offset, block.stored), name)
                except StorageError:
                    plain = b""
            data = plain[placed.offset : placed.offset + placed.length]
            oid = self._scheme.oid(data)
            if len(data) == placed.length and oid != placed.oid:
                rows.append(OBJECT.pack(oid, placed.block, placed.offset, placed.length, placed.kind))
        return b"".join(rows)


def loose_footer(read: Callable[[int, int], bytes], size: int) -> Footer | None:
    """The tables of a damaged pack of `size` bytes, as far as they can be made out; None where they cannot.

    Header, trailer and the footer's own sum are not looked at: each object proves itself by its oid. The trailer
    says where the footer is, or else the footer's own counts do: it ends where the trailer begins.
    """
    end = size - TRAILER.size
    at, length, _, _ = TRAILER.unpack(read(end, TRAILER.size)) if end >= HEADER.size else (0, 0, b"", b"")
    if at < HEADER.size or length > MAX_FOOTER or at + length != end:
        tail_at = max(HEADER.size, end - _SEARCHED)
        found = _search(read(tail_at, end - tail_at)) if end > tail_at else None
        if found is None:
            return None
        at, length = tail_at + found, end - tail_at - found
    data = read(at, length)
    if len(data) != length or length < COUNTS.size:
        return None
    count = COUNTS.unpack_from(data)[0]
    middle = min(COUNTS.size + count * BLOCK.size, length)
    if (length - middle) % OBJECT.size:
        return None
    rows = BLOCK.iter_unpack(data[COUNTS.size : middle - (middle - COUNTS.size) % BLOCK.size])
    # A row that says nonsense leaves an empty block in its place, which none of its objects fits into.
    blocks = tuple(
        b if b.plain <= MAX_OBJECT and b.offset + b.stored <= at else _NOTHING for b in map(_block, rows)
    )
    kept = (
        OBJECT.pack(oid, block, offset, size, kind)
        for oid, block, offset, size, kind in OBJECT.iter_unpack(data[middle:])
        if block < len(blocks) and offset + size <= blocks[block].plain
    )
    return Footer("", blocks, b"".join(kept))


_SEARCHED = 16 << 20  # bytes in which a footer is looked for: some 350,000 objects
_NOTHING = Block(0, 0, 0, 0, b"")


def _block(row: tuple[int, int, int, int, bytes]) -> Block:
    return Block(*row)


def _search(tail: bytes) -> int | None:
    """Where in the last bytes before the trailer a footer begins whose counts lead to the end, and whose first
    block lies behind the header."""
    first = _OFFSET.pack(HEADER.size)  # every pack's first block begins there
    at = tail.find(first, COUNTS.size)
    while at >= 0:
        start = at - COUNTS.size
        blocks, objects = COUNTS.unpack_from(tail, start)
        if start + COUNTS.size + blocks * BLOCK.size + objects * OBJECT.size == len(tail):
            return start
        at = tail.find(first, at + 1)
    return None
