"""Rows laid out in columns, so that tonight's bytes are nearly last night's and a delta of them is small.

Pure: bytes to bytes. What the columns mean is `listing.py`'s and `zipplan.py`'s business.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence

_LENGTH = struct.Struct(">Q")


def join(sections: Iterable[bytes]) -> bytes:
    """Sections one after another, each after its length in 8 bytes, big-endian."""
    return b"".join(part for section in sections for part in (_LENGTH.pack(len(section)), section))


class Sections:
    """Takes sections out again, in order."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = memoryview(data)
        self._at = at

    def take(self, length: int | None = None) -> bytes:
        """The next section. Raises as `view`."""
        return bytes(self.view(length))

    def view(self, length: int | None = None) -> memoryview:
        """The next section, not copied: it holds all of the data.

        Raises ValueError where it is cut, or is not of `length` bytes where that is given.
        """
        end = self._at + _LENGTH.size
        if end > len(self._data):
            raise ValueError("a section is missing")
        (size,) = _LENGTH.unpack_from(self._data, self._at)
        if end + size > len(self._data) or (length is not None and size != length):
            raise ValueError(f"a section of {size} bytes: cut, or not of the {length} expected")
        self._at = end + size
        return self._data[end : self._at]

    def end(self) -> None:
        """Raises ValueError unless all was taken."""
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes too many")


def planes(rows: bytes | bytearray, width: int, columns: Sequence[int]) -> bytes:
    """Bytes of fixed rows, column by column: each plane after its commonest value, which becomes 0 in it.

    The commonest value of a date is tonight's: with it taken out, the planes of two nights are alike.
    """
    out = []
    for column in columns:
        plane = bytes(rows[column::width])
        common = Counter(plane).most_common(1)[0][0] if plane else 0
        out.append(bytes([common]) + plane.translate(_swap(common)))
    return b"".join(out)


def unplanes(data: bytes, count: int, width: int, columns: Sequence[int]) -> bytearray:
    """The `count` rows again, 0 in the columns that were left out. Raises ValueError."""
    if len(data) != len(columns) * (count + 1):
        raise ValueError(f"{len(data)} bytes are not {len(columns)} planes of {count} rows")
    rows = bytearray(width * count)
    for place, column in enumerate(columns):
        at = place * (count + 1)
        rows[column::width] = data[at + 1 : at + 1 + count].translate(_swap(data[at]))
    return rows


def _swap(common: int) -> bytes:
    table = bytearray(range(256))
    table[common], table[0] = 0, common
    return bytes(table)
