"""A real .xls by hand: an OLE2 container with one stream, in it a BIFF8 workbook with one sheet of texts.

It writes only what a reader needs. Sources: [MS-CFB] 2.2-2.6 and [MS-XLS] 2.4, as Microsoft publishes them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_SMALLEST = 4096  # a shorter stream would have to lie in the mini stream
_FAT_ENTRIES = _SECTOR // 4
_IN_HEADER = 109  # sectors of the FAT that the header can name


def workbook(rows: Sequence[Sequence[str]]) -> bytes:
    """Memory: about three times the result. Raises ValueError beyond 65,536 rows, which .xls does not have."""
    if len(rows) > 65536:
        raise ValueError(f"{len(rows)} rows: a sheet of .xls has 65536")
    cells = [
        _record(0x0204, struct.pack("<HHHH", y, x, 0, len(text)) + b"\x01" + text.encode("utf-16-le"))
        for y, row in enumerate(rows)
        for x, text in enumerate(row)
    ]
    size = struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows), default=0), 0)
    sheet = _begin(0x0010) + _record(0x0200, size) + b"".join(cells) + _record(0x000A, b"")
    name = b"Applicants"
    ahead = _begin(0x0005) + _record(0x0042, struct.pack("<H", 1200))
    after = len(ahead) + 4 + 8 + len(name) + 4  # where the sheet begins
    bound = struct.pack("<IHBB", after, 0, len(name), 0) + name
    return _container(ahead + _record(0x0085, bound) + _record(0x000A, b"") + sheet)


def _begin(kind: int) -> bytes:
    return _record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 0x07CC, 0, 6))


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _container(stream: bytes) -> bytes:
    """Sectors: the stream, the directory, the FAT."""
    stream = stream.ljust(_SMALLEST, b"\0")
    length = len(stream)
    used = -(-length // _SECTOR)
    fats = 1
    while used + 1 + fats > fats * _FAT_ENTRIES:
        fats += 1
    if fats > _IN_HEADER:
        raise ValueError(f"{length} bytes: more than a container without further FAT sectors holds")
    fat = [*range(1, used), _END, _END, *[_FAT] * fats]
    fat += [_FREE] * (fats * _FAT_ENTRIES - len(fat))
    root = _entry("Root Entry", 5, child=1, start=_END, size=0)
    book = _entry("Workbook", 2, child=_FREE, start=0, size=length)
    directory = root + book + _entry("", 0, child=_FREE, start=0, size=0) * 2
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    head += struct.pack("<HHHHH", 0x003E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, fats, used, 0, _SMALLEST, _END, 0, _END, 0)
    first = used + 1
    head += struct.pack(f"<{_IN_HEADER}I", *range(first, first + fats), *[_FREE] * (_IN_HEADER - fats))
    return head + stream.ljust(used * _SECTOR, b"\0") + directory + struct.pack(f"<{len(fat)}I", *fat)


def _entry(name: str, kind: int, *, child: int, start: int, size: int) -> bytes:
    raw = name.encode("utf-16-le")
    length = len(raw) + 2 if name else 0
    head = raw.ljust(64, b"\0") + struct.pack("<HBBIII", length, kind, 1, _FREE, _FREE, child)
    return head + bytes(16 + 4 + 8 + 8) + struct.pack("<IQ", start, size)
