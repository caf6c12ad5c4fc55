"""The listing of a snapshot: its files, what was promised and measured of each, and how each is kept.

Pure: bytes to values and back. It is kept in packs, named by the manifest, because a snapshot of 100,000 files has
a listing of megabytes and must keep a small manifest; in columns, because tonight's is nearly last night's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from storage import canonical, columns, listing1
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.objects import OID_SIZE, Oid
from storage.verify import Measured, Promise

MAGIC = b"SRLIST\x00\x02"
HEAD = struct.Struct(">8sQ")  # magic, files

AS_MEASURED = {"size": 1, "crc32": 2, "sha256": 4}  # promised, and kept: bits of a byte
ITS_SHA256, ONE, MANY, OTHER = (
    0,
    1,
    2,
    3,
)  # objects of a file: one named by its SHA-256, one, a number, not by these

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


def encode(entries: Iterable[Entry]) -> bytes:
    """The listing in columns, entries sorted by path (FORMAT.md section 4)."""
    rows = sorted(entries, key=lambda entry: entry.path)
    if len({row.path for row in rows}) != len(rows):
        raise ValueError("a listing names one path twice")
    paths = [row.path.encode() for row in rows]
    measured = [row.measured for row in rows]
    types = sorted({row.media_type for row in rows})
    place = {name: number for number, name in enumerate(types)}
    ways = bytes(_way(row) for row in rows)
    pairs = list(zip(rows, ways, strict=True))
    odd = {
        "promised": {str(i): _promise_json(row.promised) for i, row in enumerate(rows) if _odd(row)},
        "recipes": {
            str(i): {"kind": row.recipe.kind, "steps": [[oid.hex() for oid in step] for step in row.recipe.steps]}
            for i, (row, way) in enumerate(pairs)
            if way == OTHER
        },
    }
    return HEAD.pack(MAGIC, len(rows)) + columns.join(
        (
            _numbers("I", [len(path) for path in paths]),
            b"".join(paths),
            _numbers("Q", [one.size for one in measured]),
            _numbers("I", [one.crc32 for one in measured]),
            bytes.fromhex("".join(one.sha256 for one in measured)),
            bytes(0 if _odd(row) else _promised(row) for row in rows),
            canonical.encode({"types": types}),
            _numbers("I", [place[row.media_type] for row in rows]),
            ways,
            _numbers("I", [len(row.recipe.objects) for row, way in pairs if way == MANY]),
            b"".join(oid for row, way in pairs if way in (ONE, MANY) for oid in row.recipe.objects),
            canonical.encode(odd),
        )
    )


def decode(data: bytes) -> tuple[Entry, ...]:
    """The entries of a listing. Raises FormatUnknown for a newer format, ObjectCorrupt for anything else."""
    if data.startswith(MAGIC[:7]) and not data.startswith(MAGIC):
        raise FormatUnknown(f"listing of format {data[7:8].hex()}, this version reads 1 and 2")
    if not data.startswith(MAGIC):
        return tuple(
            Entry(path, measured, promised, Recipe(kind, objects), media_type)
            for path, measured, promised, kind, objects, media_type in listing1.decode(data)
        )
    try:
        return tuple(_decode(data))
    except (KeyError, TypeError, ValueError, IndexError, struct.error, OverflowError) as exc:
        raise ObjectCorrupt(f"a listing cannot be read: {exc!r}") from exc


def _decode(data: bytes) -> Iterable[Entry]:
    _, count = HEAD.unpack_from(data)
    sections = columns.Sections(data, HEAD.size)
    path_sizes = _read("I", sections.take(4 * count))
    paths = sections.take()
    sizes, crcs = _read("Q", sections.take(8 * count)), _read("I", sections.take(4 * count))
    sha256s = sections.take(32 * count)
    promised = sections.take(count)
    types = [canonical.text(name) for name in canonical.mapping(canonical.decode(sections.take()))["types"]]
    media = _read("I", sections.take(4 * count))
    ways = sections.take(count)
    numbers = _read("I", sections.take(4 * ways.count(MANY)))
    oids = sections.take()
    odd = canonical.mapping(canonical.decode(sections.take()))
    sections.end()
    odd_promised, odd_recipes = canonical.mapping(odd["promised"]), canonical.mapping(odd["recipes"])
    if sum(path_sizes) != len(paths) or OID_SIZE * (ways.count(ONE) + sum(numbers)) != len(oids):
        raise ValueError("its paths or oids are cut, or more than there are files")
    number = iter(numbers)
    path_at = oid_at = 0
    for i in range(count):
        path = paths[path_at : path_at + path_sizes[i]].decode()
        path_at += path_sizes[i]
        sha256 = sha256s[32 * i : 32 * i + 32]
        one = Measured(sizes[i], crcs[i], sha256.hex())
        bits = promised[i]
        promise = Promise(
            one.size if bits & AS_MEASURED["size"] else None,
            one.crc32 if bits & AS_MEASURED["crc32"] else None,
            one.sha256 if bits & AS_MEASURED["sha256"] else None,
        )
        if str(i) in odd_promised:
            promise = listing1.promise(odd_promised[str(i)])
        way = ways[i]
        if way == OTHER:
            recipe = _recipe(odd_recipes[str(i)])
        elif way == ITS_SHA256:
            recipe = Recipe("concat", (Oid(sha256),))
        elif way not in (ONE, MANY):
            raise ValueError(f"{path}: kept in the way {way}, which is none")
        else:
            end = oid_at + OID_SIZE * (1 if way == ONE else next(number))
            recipe = Recipe("concat", tuple(Oid(oids[at : at + OID_SIZE]) for at in range(oid_at, end, OID_SIZE)))
            oid_at = end
        yield Entry(path, one, promise, recipe, types[media[i]])


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


def _numbers(code: str, values: Sequence[int]) -> bytes:
    return struct.pack(f">{len(values)}{code}", *values)


def _read(code: str, data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // struct.calcsize(code)}{code}", data)
