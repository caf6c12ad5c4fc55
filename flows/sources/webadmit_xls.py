"""How many rows an old Excel file (.xls) has, and whether it is whole: its container, and its records to the end.

Formats: [MS-CFB] 2.2 to 2.6 (the container), [MS-XLS] 2.3 and 2.4 (records). Cells are not read.
"""

from __future__ import annotations

import struct
from pathlib import Path

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
MOST = 512 << 20  # bytes; an .xls has at most 65,536 rows a sheet
_LAST, _FREE = 0xFFFFFFFE, 0xFFFFFFFF
_BOF, _EOF, _DIMENSIONS = 0x0809, 0x000A, 0x0200
_BIFF8 = 0x0600


class _Broken(Exception):
    """What is wrong, in words."""


def rows_of_xls(path: Path) -> tuple[int, str]:
    """Rows of all sheets, without their headings; and what is wrong with the file, "" for nothing.

    Memory: the file twice.
    """
    try:
        if path.stat().st_size > MOST:
            raise _Broken("it is too large for a workbook")
        return _rows(_Container(path.read_bytes()).stream(("Workbook", "Book"))), ""
    except _Broken as exc:
        return 0, str(exc)
    except (struct.error, IndexError):
        return 0, "its container is cut"


class _Container:
    """Sectors of a file, chained to streams."""

    def __init__(self, data: bytes) -> None:
        if data[:8] != MAGIC:
            raise _Broken("it is no workbook")
        self._data = data
        shift, mini = struct.unpack_from("<HH", data, 30)
        if shift not in (9, 12) or mini != 6:
            raise _Broken("its container is of no known kind")
        self._size = 1 << shift
        self._fat = self._table(data)
        directory = self._chain(struct.unpack_from("<I", data, 48)[0])
        self._entries = [directory[at : at + 128] for at in range(0, len(directory) - 127, 128)]
        self._cutoff, self._minifat = struct.unpack_from("<II", data, 56)

    def stream(self, names: tuple[str, ...]) -> bytes:
        """The first stream of one of these names, whole."""
        for entry in self._entries:
            length = struct.unpack_from("<H", entry, 64)[0]
            if entry[66] == 2 and entry[: max(length - 2, 0)].decode("utf-16-le", "replace") in names:
                start, size = struct.unpack_from("<II", entry, 116)
                found = self._chain(start) if size >= self._cutoff else self._small(start, size)
                if len(found) < size:
                    raise _Broken(f"its workbook has {len(found):,} of {size:,} bytes")
                return found[:size]
        raise _Broken("no workbook is in its container")

    def _table(self, data: bytes) -> list[int]:
        """The chain table: which sector follows each."""
        count = struct.unpack_from("<I", data, 44)[0]
        places = list(struct.unpack_from("<109I", data, 76))
        more, seen = struct.unpack_from("<I", data, 68)[0], 0
        while more < _LAST and seen * self._size < len(data):
            rest = struct.unpack(f"<{self._size // 4}I", self._sector(more))
            places += rest[:-1]
            more, seen = rest[-1], seen + 1
        table: list[int] = []
        for place in places[:count]:
            table += struct.unpack(f"<{self._size // 4}I", self._sector(place))
        used = max((number for number, follows in enumerate(table) if follows != _FREE), default=0)
        if (used + 2) * self._size > len(data):
            raise _Broken("its container is cut")
        return table

    def _sector(self, number: int) -> bytes:
        at = (number + 1) * self._size
        found = self._data[at : at + self._size]
        if len(found) < self._size:
            raise _Broken("its container is cut")
        return found

    def _chain(self, number: int) -> bytes:
        parts: list[bytes] = []
        while number < _LAST:
            if len(parts) > len(self._fat):
                raise _Broken("its container runs in a circle")
            parts.append(self._sector(number))
            number = self._fat[number]
        return b"".join(parts)

    def _small(self, start: int, size: int) -> bytes:
        """A stream that lies in pieces of 64 bytes in the root's."""
        whole = self._chain(struct.unpack_from("<I", self._entries[0], 116)[0])
        table = self._chain(self._minifat)
        found = b""
        while start < _LAST and len(found) < size:
            piece = whole[start * 64 : start * 64 + 64]
            if not piece:
                break
            found += piece
            start = struct.unpack_from("<I", table, start * 4)[0]
        return found


def _rows(book: bytes) -> int:
    """Walk the records: each substream begins and ends, and a sheet tells the rows that it uses."""
    at = rows = depth = sheets = 0
    version = _BIFF8
    while at + 4 <= len(book):
        kind, length = struct.unpack_from("<HH", book, at)
        if kind == 0 and length == 0 and depth == 0:
            break  # what fills the last sector
        if at + 4 + length > len(book):
            raise _Broken("its last record is cut")
        if kind == _BOF:
            depth, sheets = depth + 1, sheets + 1
            version = struct.unpack_from("<H", book, at + 4)[0]
        elif kind == _EOF:
            depth -= 1
        elif kind == _DIMENSIONS:
            first, behind = struct.unpack_from("<II" if version == _BIFF8 else "<HH", book, at + 4)
            rows += max(behind - first - 1, 0)
        at += 4 + length
    if not sheets or depth:
        raise _Broken("its records do not come to an end")
    return rows
