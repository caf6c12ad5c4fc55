"""The listing of a snapshot: its files, what was promised and measured of each, and how each is kept.

Pure: bytes to values and back. It is kept in packs, named by the manifest, because a snapshot of 100,000 files has
a listing of megabytes and must keep a small manifest; in columns, because tonight's is nearly last night's.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, overload

from storage import canonical, columns, listing1
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.objects import OID_SIZE, Oid
from storage.verify import Measured, Promise

MAGIC = b"SRLIST\x00\x02"
HEAD = struct.Struct(">8sQ")  # magic, files

AS_MEASURED = {"size": 1, "crc32": 2, "sha256": 4}  # promised, and kept: bits of a byte
# Objects of a file: one named by its SHA-256, one, a number, not by these.
ITS_SHA256, ONE, MANY, OTHER = 0, 1, 2, 3

_FIRST = struct.Struct(">Q24x")  # of a SHA-256, the first 8 bytes
_LOW = (1 << 32) - 1

Code = Literal["I", "Q"]  # numbers of 4 and 8 bytes
Steps = tuple[tuple[Oid, ...], ...]  # of each step (`steps.py`), the objects that one after another are its frame


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file's bytes are made. `kind` names the way; a reader refuses one that it does not know.

    `concat`: the objects one after another are the file. `zip`: the steps lead to a plan (`zipplan.py`), and its
    parts one after another are the file.
    """

    kind: str
    objects: tuple[Oid, ...] = ()
    steps: Steps = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a snapshot."""

    path: str  # as the system names it, with "/" between folders; unique in the snapshot; may be hostile
    measured: Measured
    promised: Promise
    recipe: Recipe
    media_type: str = ""


class ListingBuilder:
    """Files in any order, that become a listing.

    Memory: some 60 bytes a file, its path, and the oids of one that is kept in several objects or cut.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}  # of each path, in the columns
        self._sizes, self._crc32s, self._media = array("Q"), array("I"), array("I")
        self._sha256s, self._promised, self._ways, self._oids = (bytearray() for _ in range(4))
        self._oids_at = array("Q", [0])  # where the oids of each begin and end
        self._types: dict[str, int] = {}
        self._odd: dict[int, Promise] = {}
        self._other: dict[int, Recipe] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._places

    def add(self, entry: Entry) -> None:
        """Take a file. Raises ValueError for a path that is there; OverflowError for a figure that no file has."""
        if entry.path in self._places:
            raise ValueError(f"{entry.path}: a listing names one path twice")
        place, way = len(self._places), _way(entry)
        self._places[entry.path] = place
        self._sizes.append(entry.measured.size)
        self._crc32s.append(entry.measured.crc32)
        self._sha256s += bytes.fromhex(entry.measured.sha256)
        if _odd(entry):
            self._odd[place] = entry.promised
        self._promised.append(0 if place in self._odd else _promised(entry))
        self._media.append(self._types.setdefault(entry.media_type, len(self._types)))
        self._ways.append(way)
        if way == OTHER:
            self._other[place] = entry.recipe
        elif way != ITS_SHA256:
            self._oids += b"".join(entry.recipe.objects)
        self._oids_at.append(len(self._oids))

    def encode(self) -> bytes:
        """The listing in columns, files sorted by path (FORMAT.md section 4). Memory: two of it."""
        paths = sorted(self._places)
        order = [self._places[path] for path in paths]
        types = sorted(self._types)
        media = {self._types[name]: number for number, name in enumerate(types)}
        ways = bytes(self._ways[at] for at in order)
        ends = self._oids_at
        many = [at for at, way in zip(order, ways, strict=True) if way == MANY]
        odd = {
            "promised": {str(i): _promise_json(self._odd[at]) for i, at in enumerate(order) if at in self._odd},
            "recipes": {str(i): _recipe_json(self._other[at]) for i, at in enumerate(order) if at in self._other},
        }
        return HEAD.pack(MAGIC, len(paths)) + columns.join(
            (
                _numbers("I", (len(path.encode()) for path in paths)),
                "".join(paths).encode(),
                _numbers("Q", (self._sizes[at] for at in order)),
                _numbers("I", (self._crc32s[at] for at in order)),
                _gathered(self._sha256s, ((32 * at, 32 * at + 32) for at in order)),
                bytes(self._promised[at] for at in order),
                canonical.encode({"types": types}),
                _numbers("I", (media[self._media[at]] for at in order)),
                ways,
                _numbers("I", ((ends[at + 1] - ends[at]) // OID_SIZE for at in many)),
                _gathered(self._oids, ((ends[at], ends[at + 1]) for at in order)),
                canonical.encode(odd),
            )
        )


def encode(entries: Iterable[Entry]) -> bytes:
    """The listing of these files. Raises as `ListingBuilder.add`."""
    builder = ListingBuilder()
    for entry in entries:
        builder.add(entry)
    return builder.encode()


def decode(data: bytes) -> Listing:
    """The files of a listing. Raises FormatUnknown for a newer format, ObjectCorrupt for anything else."""
    if data.startswith(MAGIC[:7]) and not data.startswith(MAGIC):
        raise FormatUnknown(f"listing of format {data[7:8].hex()}, this version reads 1 and 2")
    try:
        return Listing(data if data.startswith(MAGIC) else encode(_of_format_1(data)))
    except (KeyError, TypeError, ValueError, IndexError, struct.error, OverflowError) as exc:
        raise ObjectCorrupt(f"a listing cannot be read: {exc!r}") from exc


class Listing(Sequence[Entry]):
    """The files of a snapshot by path, each an `Entry` when it is asked for.

    Looked through whole when it is made: nothing raises later. Memory: the text, some 40 bytes a file, and of one
    that is cut its steps.
    """

    def __init__(self, text: bytes) -> None:
        """Of `decode`, which says what is wrong with a text."""
        self._text = text
        _, count = HEAD.unpack_from(text)
        sections = columns.Sections(text, HEAD.size)
        path_sizes = _read("I", sections.view(4 * count))
        self._paths = sections.view()
        self._sizes, self._crc32s = _read("Q", sections.view(8 * count)), _read("I", sections.view(4 * count))
        self._sha256s = sections.view(32 * count)
        self._promised = sections.take(count)
        types = canonical.mapping(canonical.decode(sections.take()))["types"]
        self._types = [canonical.text(name) for name in types]
        self._media = _read("I", sections.view(4 * count))
        self._ways = sections.take(count)
        numbers = _read("I", sections.view(4 * self._ways.count(MANY)))
        self._oids = sections.view()
        odd = canonical.mapping(canonical.decode(sections.take()))
        sections.end()
        if sum(path_sizes) != len(self._paths):
            raise ValueError("its paths are cut, or more than there are files")
        if OID_SIZE * (self._ways.count(ONE) + sum(numbers)) != len(self._oids):
            raise ValueError("its oids are cut, or more than there are files")
        if max(self._media, default=-1) >= len(self._types) or max(self._ways, default=0) > OTHER:
            raise ValueError("a media type that is none, or a file kept in a way that is none")
        number = iter(numbers)
        counts = (next(number) if way == MANY else int(way == ONE) for way in self._ways)
        self._oids_at = array("Q", accumulate(counts, initial=0))
        self._paths_at = array("Q", accumulate(path_sizes, initial=0))
        recipes = canonical.mapping(odd["recipes"])
        self._other = {at: _recipe(recipes[str(at)]) for at, way in enumerate(self._ways) if way == OTHER}
        promised = canonical.mapping(odd["promised"])
        self._odd = {at: listing1.promise(promised[str(at)]) for at in range(count) if str(at) in promised}
        self._by_sha256: tuple[array[int], array[int]] | None = None
        for at in range(count):
            self._path(at).decode()

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Listing) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __len__(self) -> int:
        return len(self._ways)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, place: int | slice) -> Entry | tuple[Entry, ...]:
        at = range(len(self))[place]
        return self._entry(at) if isinstance(at, int) else tuple(map(self._entry, at))

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, range(len(self)))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._sizes)

    def cut(self) -> Iterator[Entry]:
        """Those that are kept as ZIPs in parts."""
        return (self._entry(at) for at, recipe in self._other.items() if recipe.kind == "zip")

    def of(self, path: str) -> Entry:
        """The file of this path. Raises KeyError."""
        place = self.place_of(path)
        if place is None:
            raise KeyError(path)
        return self._entry(place)

    def place_of(self, path: str) -> int | None:
        """Where the file of this path is; None where there is none."""
        wanted = path.encode("utf-8", "surrogatepass")  # which no path has
        at = bisect_left(range(len(self)), wanted, key=self._path)
        return at if at < len(self) and self._path(at) == wanted else None

    def places_of(self, sha256: str) -> Iterator[int]:
        """Where the files of this SHA-256 are. Memory, from the first question on: 12 bytes a file."""
        try:
            wanted = bytes.fromhex(sha256)
        except ValueError:
            return
        if self._by_sha256 is None:
            firsts = (first for (first,) in _FIRST.iter_unpack(self._sha256s))
            both = sorted(first << 32 | at for at, first in enumerate(firsts))
            self._by_sha256 = array("Q", (pair >> 32 for pair in both)), array("I", (pair & _LOW for pair in both))
        firsts_sorted, places = self._by_sha256
        first = int.from_bytes(wanted[:8], "big")
        for at in range(bisect_left(firsts_sorted, first), bisect_right(firsts_sorted, first)):
            if self._sha256(places[at]) == wanted:
                yield places[at]

    def _path(self, at: int) -> bytes:
        return bytes(self._paths[self._paths_at[at] : self._paths_at[at + 1]])

    def _sha256(self, at: int) -> bytes:
        return bytes(self._sha256s[32 * at : 32 * at + 32])

    def _entry(self, at: int) -> Entry:
        sha256 = self._sha256(at)
        one = Measured(self._sizes[at], self._crc32s[at], sha256.hex())
        promise = self._odd.get(at)
        if promise is None:
            bits = self._promised[at]
            promise = Promise(
                one.size if bits & AS_MEASURED["size"] else None,
                one.crc32 if bits & AS_MEASURED["crc32"] else None,
                one.sha256 if bits & AS_MEASURED["sha256"] else None,
            )
        recipe = self._other.get(at)
        if recipe is None and self._ways[at] == ITS_SHA256:
            recipe = Recipe("concat", (Oid(sha256),))
        elif recipe is None:
            numbers = range(self._oids_at[at], self._oids_at[at + 1])
            oids = (self._oids[OID_SIZE * number : OID_SIZE * (number + 1)] for number in numbers)
            recipe = Recipe("concat", tuple(Oid(bytes(oid)) for oid in oids))
        return Entry(self._path(at).decode(), one, promise, recipe, self._types[self._media[at]])


def _of_format_1(data: bytes) -> Iterator[Entry]:
    for path, measured, promised, kind, objects, media_type in listing1.decode(data):
        yield Entry(path, measured, promised, Recipe(kind, objects), media_type)


def _way(row: Entry) -> int:
    if row.recipe.kind != "concat":
        return OTHER
    if len(row.recipe.objects) != 1:
        return MANY
    return ITS_SHA256 if row.recipe.objects[0].hex() == row.measured.sha256 else ONE


def _promised(row: Entry) -> int:
    return sum(bit for name, bit in AS_MEASURED.items() if getattr(row.promised, name) is not None)


def _odd(row: Entry) -> bool:
    """Whether something was promised that is not what was measured, to the letter."""
    pairs = ((getattr(row.promised, name), getattr(row.measured, name)) for name in AS_MEASURED)
    return any(promised not in (None, measured) for promised, measured in pairs)


def _promise_json(promise: Promise) -> dict[str, Any]:
    crc32 = None if promise.crc32 is None else f"{promise.crc32:08x}"
    return {
        name: value
        for name, value in (("size", promise.size), ("crc32", crc32), ("sha256", promise.sha256))
        if value is not None
    }


def _recipe(value: Any) -> Recipe:
    row = canonical.mapping(value)
    steps = tuple(
        tuple(Oid(bytes.fromhex(canonical.digest(oid))) for oid in step) for step in row.get("steps", [])
    )
    return Recipe(canonical.text(row["kind"]), (), steps)


def _recipe_json(recipe: Recipe) -> dict[str, Any]:
    return {"kind": recipe.kind, "steps": [[oid.hex() for oid in step] for step in recipe.steps]}


def _gathered(data: bytearray, parts: Iterable[tuple[int, int]]) -> bytes:
    found = bytearray()
    for begin, end in parts:
        found += data[begin:end]
    return bytes(found)


def _numbers(code: Code, values: Iterable[int]) -> bytes:
    column = array(code, values)
    if sys.byteorder == "little":
        column.byteswap()
    return column.tobytes()


def _read(code: Code, data: memoryview) -> array[int]:
    column = array(code)
    column.frombytes(data)
    if sys.byteorder == "little":
        column.byteswap()
    return column
