"""The listing of a snapshot: its files, what was promised and measured of each, and how each is kept.

Pure: bytes to values and back. It is an object in a pack, named by the manifest, because a snapshot of 100,000
files has a listing of megabytes and must keep a small manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.objects import Oid
from storage.verify import Measured, Promise

FORMAT = 1
_CRC32 = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file's bytes are made from objects. `kind` names the way; a reader refuses one that it does not know.

    `concat`: the objects one after another are the file.
    """

    kind: str
    objects: tuple[Oid, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a snapshot."""

    path: str  # as the system names it, with "/" between folders; unique in the snapshot; may be hostile
    measured: Measured
    promised: Promise
    recipe: Recipe
    media_type: str = ""


def encode(entries: Iterable[Entry]) -> bytes:
    """The listing as canonical JSON, entries sorted by path (FORMAT.md section 4)."""
    rows = [_to_json(entry) for entry in sorted(entries, key=lambda entry: entry.path)]
    paths = [row["path"] for row in rows]
    if len(set(paths)) != len(paths):
        raise ValueError("a listing names one path twice")
    return canonical.encode({"format": FORMAT, "kind": "listing", "files": rows})


def decode(data: bytes) -> tuple[Entry, ...]:
    """The entries of a listing. Raises FormatUnknown for a newer format, ObjectCorrupt for anything else."""
    try:
        value = canonical.mapping(canonical.decode(data))
        if value["kind"] != "listing" or value["format"] != FORMAT:
            raise FormatUnknown(f"listing of format {value['format']!r}, this version reads {FORMAT}")
        return tuple(_from_json(row) for row in value["files"])
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"a listing cannot be read: {exc!r}") from exc


def _to_json(entry: Entry) -> dict[str, Any]:
    promised = {
        "size": entry.promised.size,
        "crc32": None if entry.promised.crc32 is None else f"{entry.promised.crc32:08x}",
        "sha256": entry.promised.sha256,
    }
    return {
        "path": entry.path,
        "size": entry.measured.size,
        "crc32": f"{entry.measured.crc32:08x}",
        "sha256": entry.measured.sha256,
        "promised": {key: value for key, value in promised.items() if value is not None},
        "media_type": entry.media_type,
        "recipe": {"kind": entry.recipe.kind, "objects": [oid.hex() for oid in entry.recipe.objects]},
    }


def _from_json(row: dict[str, Any]) -> Entry:
    promised = canonical.mapping(row["promised"])
    size, crc32, sha256 = (promised.get(name) for name in ("size", "crc32", "sha256"))
    return Entry(
        path=canonical.text(row["path"]),
        measured=Measured(canonical.count(row["size"]), _crc32(row["crc32"]), canonical.digest(row["sha256"])),
        promised=Promise(
            None if size is None else canonical.count(size),
            None if crc32 is None else _crc32(crc32),
            None if sha256 is None else canonical.text(sha256),
        ),
        recipe=Recipe(
            canonical.text(row["recipe"]["kind"]),
            tuple(Oid(bytes.fromhex(canonical.digest(oid))) for oid in row["recipe"]["objects"]),
        ),
        media_type=canonical.text(row["media_type"]),
    )


def _crc32(value: Any) -> int:
    if not _CRC32.fullmatch(canonical.text(value)):
        raise ValueError(f"8 hex digits expected, got {value!r:.60}")
    return int(value, 16)
