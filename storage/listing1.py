"""Listings as format 1 wrote them: canonical JSON, one object a file. Read for ever, written no more.

Pure: bytes to values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.objects import Oid
from storage.verify import Measured, Promise

_CRC32 = re.compile("[0-9a-f]{8}")

Row = tuple[str, Measured, Promise, str, tuple[Oid, ...], str]  # path, …, kind of recipe, its objects, media type


def decode(data: bytes) -> list[Row]:
    """The rows of a listing. Raises FormatUnknown for another format, ObjectCorrupt for anything else."""
    try:
        value = canonical.mapping(canonical.decode(data))
        if value["kind"] != "listing" or value["format"] != 1:
            raise FormatUnknown(f"listing of format {value['format']!r}, this version reads 1 and 2")
        return list(_rows(value["files"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"a listing cannot be read: {exc!r}") from exc


def promise(value: Any) -> Promise:
    """What a system promised, from JSON. Raises ValueError, TypeError."""
    row = canonical.mapping(value)
    size, crc32, sha256 = (row.get(name) for name in ("size", "crc32", "sha256"))
    return Promise(
        None if size is None else canonical.count(size),
        None if crc32 is None else _crc32_of(crc32),
        None if sha256 is None else canonical.text(sha256),
    )


def _rows(files: Any) -> Iterator[Row]:
    for row in files:
        yield (
            canonical.text(row["path"]),
            Measured(canonical.count(row["size"]), _crc32_of(row["crc32"]), canonical.digest(row["sha256"])),
            promise(row["promised"]),
            canonical.text(row["recipe"]["kind"]),
            tuple(Oid(bytes.fromhex(canonical.digest(oid))) for oid in row["recipe"]["objects"]),
            canonical.text(row["media_type"]),
        )


def _crc32_of(value: Any) -> int:
    if not _CRC32.fullmatch(canonical.text(value)):
        raise ValueError(f"8 hex digits expected, got {value!r:.60}")
    return int(value, 16)
