"""Which pack holds an object: footers of packs, read once each and kept while the archive is open.

Derived from the packs alone; nothing here is written anywhere.
"""

from __future__ import annotations

import contextlib
import re
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from storage.backend import Backend
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.objects import OID_SIZE, Oid, Scheme
from storage.packs import BLOCK_SIZE, OBJECT, Block, Footer, Placed, open_block, read_ends, read_footer

CACHE = 16 << 20  # bytes of blocks kept: a file's objects lie in the packs of many nights, in turn
_HEX = re.compile("[0-9a-f]{64}")
_RECENT = 1 << 16  # objects that are looked up unsorted
_KEY = struct.Struct(f">Q{OBJECT.size - 8}x")  # of a row of a pack's table, the first 8 bytes of the oid
_PART = struct.Struct(">32xIIIx")  # of such a row: block, offset, bytes
_ROWS = 32  # bits of a place that say the row; those above, the pack
_ROW = (1 << _ROWS) - 1
_SMALL, _AGAIN = 4096, 1024  # bytes of an object, and objects, that are remembered as they are
_RUNS = 3  # objects that are compressed already have blocks of their own, and large ones have none


def pack_name(digest: str) -> str:
    """Where the pack of that digest lies."""
    return f"packs/{digest[:2]}/{digest}.pack"


def pack_digest(name: str) -> str | None:
    """The digest of the pack that lies under `name`; None where no pack is called so."""
    digest = name.rpartition("/")[2].removesuffix(".pack")
    return digest if pack_name(digest) == name and _HEX.fullmatch(digest) else None


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's bytes are."""

    pack: str  # digest
    block: Block
    placed: Placed


@dataclass(slots=True)
class _Run:
    """Objects of one file that follow one another in a pack, too, as they do block by block."""

    pack: int
    table: bytes
    at: int  # in the table: the row that comes next
    number: int = -1  # of the block that `plain` is
    plain: bytes = b""


class Index:
    """Objects of the packs that were `load`ed. Memory: some 70 bytes an object, and CACHE."""

    def __init__(self, backend: Backend, scheme: Scheme, footer: Callable[[str], Footer] | None = None) -> None:
        """`footer` tells a pack's footer, where some are at hand; else each is read."""
        self._backend = backend
        self._footer = footer or partial(footer_of, backend)
        self._scheme = scheme
        self._loaded: dict[str, int] = {}  # digest -> its place in `_packs`
        self._packs: list[tuple[str, Footer]] = []
        self._broken: dict[str, StorageError] = {}  # packs that could not be loaded
        # Sorted by the first 8 bytes of the oid, where the object is: two plain arrays, for there may be millions.
        self._keys: array[int] = array("Q")
        self._places: array[int] = array("Q")
        self._sorted = 0  # packs that stand in the two
        self._doubled: set[int] = set()  # first 8 bytes of objects that lie in several packs, and of some others
        self._failed: set[int] = set()  # places that did not give their object
        self._recent: dict[Oid, int] = {}  # objects of packs that came since: sorting each time costs more
        self._noted = 0  # packs that stand in either
        self._last = 0  # the place found last
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()  # read last, newest at the end
        self._cached = 0  # bytes of them
        self._runs: list[_Run] = []  # where `fetch` goes on, the newest first
        self._again: dict[Oid, bytes] = {}  # what it found elsewhere: icons and styles come thousands of times

    def load(self, packs: Iterable[str]) -> None:
        """Know the objects of these packs. Raises ObjectMissing, ObjectCorrupt for a pack that is not whole."""
        for pack in packs:
            if pack not in self._loaded:
                self.add(pack, self._footer(pack))

    def load_readable(self, packs: Iterable[str]) -> None:
        """As `load`, for a reader that wants what is there: a pack that is not whole shows when it is needed."""
        for pack in packs:
            try:
                self.load([pack])
            except StorageError as exc:
                self._broken[pack] = exc

    def add(self, pack: str, footer: Footer) -> None:
        """Know the objects of a pack whose footer the caller has."""
        if footer.scheme != self._scheme.name:
            raise FormatUnknown(
                f"{pack_name(pack)}: objects named by {footer.scheme!r}, not {self._scheme.name!r}"
            )
        self._loaded[pack] = len(self._packs)
        self._packs.append((pack, footer))

    def place(self, oid: Oid) -> int | None:
        """Where the object is, as a number for `pack_of`; None where no loaded pack holds it."""
        if self._noted < len(self._packs):
            self._note()
        # Objects of one file follow one another in their pack, too.
        guess = self._last + 1
        footer = self._packs[guess >> _ROWS][1] if self._packs else None
        if footer is not None and footer.oid(guess & _ROW) == oid:
            self._last = guess
            return guess
        if oid in self._recent:
            self._last = self._recent[oid]
            return self._last
        key = int.from_bytes(oid[:8], "big")
        at = bisect_left(self._keys, key)
        while at < len(self._keys) and self._keys[at] == key:
            place = self._places[at]
            if self._packs[place >> _ROWS][1].oid(place & _ROW) == oid:
                self._last = place
                return place
            at += 1
        return None

    def places(self, oid: Oid) -> Iterator[int]:
        """Every place of the object; of packs added since the first question, the last. `place` is faster."""
        if self._noted < len(self._packs):
            self._note()
        key = int.from_bytes(oid[:8], "big")
        for at in range(bisect_left(self._keys, key), bisect_right(self._keys, key)):
            place = self._places[at]
            if self.locate(place).placed.oid == oid:
                yield place
        if oid in self._recent:
            yield self._recent[oid]

    def pack_of(self, place: int) -> str:
        """The digest of the pack that a place lies in."""
        return self._packs[place >> _ROWS][0]

    def locate(self, place: int) -> Location:
        """What lies at a place."""
        pack, footer = self._packs[place >> _ROWS]
        placed = footer.placed(place & _ROW)
        return Location(pack, footer.blocks[placed.block], placed)

    def footer(self, pack: str) -> Footer | None:
        """What a loaded pack says of itself; None for a pack that was not loaded."""
        return self._packs[self._loaded[pack]][1] if pack in self._loaded else None

    def oids(self, pack: str) -> frozenset[Oid] | None:
        """Every object of that pack; None where it is not loaded."""
        if pack not in self._loaded:
            return None
        table = self._packs[self._loaded[pack]][1].table
        return frozenset(Oid(table[at : at + OID_SIZE]) for at in range(0, len(table), OBJECT.size))

    def packs_of(self, place: int, oid: Oid) -> set[str]:
        """The packs that hold the object at this place, nearly always one, but for those that failed."""
        if not self._is_doubled(oid):
            return {self.pack_of(place)}
        every = {place, *self.places(oid)}
        return {self.pack_of(each) for each in every - self._failed or every}

    def read(self, oid: Oid) -> bytes:
        """The object's bytes, proven to be those that its oid names, from the first pack that has them.

        Raises ObjectMissing, ObjectCorrupt."""
        first = self._place_of(oid)
        try:
            return self.read_at(first, oid)
        except StorageError:
            self._failed.add(first)
            for place in self.places(oid):
                if place not in self._failed:
                    with contextlib.suppress(StorageError):
                        return self.read_at(place, oid)
                    self._failed.add(place)
            raise

    def proves(self, oid: Oid) -> bool:
        """Whether the object can be read and is what it should be. Memory: its block."""
        try:
            self.read(oid)
        except StorageError:
            return False
        return True

    def read_at(self, place: int, oid: Oid) -> bytes:
        """The object's bytes from that place, proven. Raises as `read`."""
        data = self._fetch_at(place)
        if self._scheme.oid(data) != oid:
            name = pack_name(self.pack_of(place))
            raise ObjectCorrupt(f"{name}: object {oid.hex()[:12]}: its bytes are not its own")
        return data

    def fetch(self, oid: Oid) -> bytes:
        """The object's bytes, for a caller that proves the whole that they are part of. Raises as `read`.

        An object that several packs hold is proven, so that one of them may be damaged. Memory: its block.
        """
        if self._is_doubled(oid):
            return self.read(oid)
        for run in self._runs:
            if run.table.startswith(oid, run.at):
                return self._follow(run)
        again = self._again.get(oid)
        if again is not None:
            return again
        place = self._place_of(oid)
        run = _Run(place >> _ROWS, self._packs[place >> _ROWS][1].table, (place & _ROW) * OBJECT.size)
        self._runs = [run, *self._runs[: _RUNS - 1]]
        data = self._follow(run)
        if len(data) <= _SMALL:
            if len(self._again) >= _AGAIN:
                self._again.clear()
            self._again[oid] = data
        return data

    def _follow(self, run: _Run) -> bytes:
        number, offset, length = _PART.unpack_from(run.table, run.at)
        run.at += OBJECT.size
        if number != run.number:
            run.number, run.plain = number, self._block_at(run.pack, number)
        return run.plain[offset : offset + length]

    def _is_doubled(self, oid: Oid) -> bool:
        if self._noted < len(self._packs):
            self._note()
        return bool(self._doubled) and int.from_bytes(oid[:8], "big") in self._doubled

    def _place_of(self, oid: Oid) -> int:
        place = self.place(oid)
        if place is None:
            raise ObjectMissing(f"object {oid.hex()[:12]}: {self._why_missing()}")
        return place

    def _fetch_at(self, place: int) -> bytes:
        pack = place >> _ROWS
        number, offset, length = _PART.unpack_from(self._packs[pack][1].table, (place & _ROW) * OBJECT.size)
        return self._block_at(pack, number)[offset : offset + length]

    def _block_at(self, pack: int, number: int) -> bytes:
        plain = self._blocks.get((pack, number))
        if plain is None:
            return self._block(pack, number)
        self._blocks.move_to_end((pack, number))
        return plain

    def _why_missing(self) -> str:
        if not self._broken:
            return "in none of the snapshot's packs"
        more = f", and {len(self._broken) - 1} more" if len(self._broken) > 1 else ""
        return f"in none of the packs that can be read ({next(iter(self._broken.values()))}{more})"

    def _block(self, pack: int, number: int) -> bytes:
        digest, footer = self._packs[pack]
        block, name = footer.blocks[number], pack_name(digest)
        plain = open_block(block, self._backend.get(name, block.offset, block.stored), name)
        if len(plain) > BLOCK_SIZE:
            return plain  # of one object, which is seldom wanted twice
        self._blocks[pack, number] = plain
        self._cached += len(plain)
        while self._cached > CACHE and len(self._blocks) > 1:
            self._cached -= len(self._blocks.popitem(last=False)[1])
        return plain

    def _note(self) -> None:
        """Make the objects of packs that came since the last time findable."""
        if not self._sorted or sum(len(footer) for _, footer in self._packs[self._sorted :]) > _RECENT:
            self._sort()
        for pack in range(max(self._noted, self._sorted), len(self._packs)):
            footer = self._packs[pack][1]
            for row in range(len(footer)):
                oid = footer.oid(row)
                key = int.from_bytes(oid[:8], "big")
                at = bisect_left(self._keys, key)
                if oid in self._recent or (at < len(self._keys) and self._keys[at] == key):
                    self._doubled.add(key)
                self._recent[oid] = pack << _ROWS | row
        self._noted = len(self._packs)

    def _sort(self) -> None:
        # What is there comes first and in order: the sort takes it for one run and merges.
        both = [key << 64 | place for key, place in zip(self._keys, self._places, strict=True)]
        for pack in range(self._sorted, len(self._packs)):
            table, first = self._packs[pack][1].table, pack << _ROWS
            both += [key << 64 | first + row for row, (key,) in enumerate(_KEY.iter_unpack(table))]
        both.sort()
        self._keys = array("Q", (pair >> 64 for pair in both))  # no second list: `both` is large enough
        self._places = array("Q", (pair & (1 << 64) - 1 for pair in both))
        self._doubled.update(key for key, after in pairwise(self._keys) if key == after)
        self._sorted = len(self._packs)
        self._recent.clear()


def footer_of(backend: Backend, pack: str, size: int | None = None) -> Footer:
    """The footer of a pack, by one to three reads. Raises ObjectMissing, ObjectCorrupt, FormatUnknown."""
    name = pack_name(pack)
    size = backend.size(name) if size is None else size
    if size is None:
        raise ObjectMissing(f"{name}: not in the archive")
    return read_footer(lambda offset, length: backend.get(name, offset, length), size, name)


def check_ends(backend: Backend, pack: str) -> None:
    """See by its first and last bytes whether a pack can be whole. Raises as `footer_of`."""
    name = pack_name(pack)
    size = backend.size(name)
    if size is None:
        raise ObjectMissing(f"{name}: not in the archive")
    read_ends(lambda offset, length: backend.get(name, offset, length), size, name)
