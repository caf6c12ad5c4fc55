"""Write a ZIP the way RSpace's exporter does: streamed, every member deflated, sizes after the payload.

It writes only; it neither reads ZIPs nor decides what goes in. Memory: one member's chunk at a time.
Source: PKWARE APPNOTE 6.3.10 sections 4.3-4.5; commons-compress 1.26 for the flags and extra fields.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO, Protocol

_FLAGS = 0x0808  # sizes in a data descriptor, names in UTF-8
_DEFLATED = 8
_LIMIT_32 = 0xFFFFFFFF
_LIMIT_16 = 0xFFFF
_FILETIME_1970 = 11_644_473_600  # seconds from 1601, where NTFS times start


class Deflated(Protocol):
    """A member that brings its own deflate stream, for bulk that would be slow to compress."""

    size: int
    crc32: int  # complete once the chunks were consumed

    def chunks(self) -> Iterable[tuple[bytes, int]]:
        """Parts of the deflate stream, each with its own CRC-32."""
        ...


class ZipStream:
    """Append members to a file object that is never read or rewound; counts and checksums what it wrote."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._central: list[bytes] = []
        self.size = 0
        self.crc32 = 0  # of the whole file, as the job will promise it

    def add(self, name: str, data: bytes, at: datetime) -> None:
        deflate = zlib.compressobj(-1, zlib.DEFLATED, -15)
        payload = deflate.compress(data) + deflate.flush()
        start = self._local(name, at)
        self._write(payload)
        self._close_member(name, at, start=start, crc32=zlib.crc32(data), packed=len(payload), size=len(data))

    def add_folder(self, name: str, at: datetime) -> None:
        """A directory entry; deflating nothing takes two bytes."""
        self.add(f"{name}/", b"", at)

    def add_deflated(self, name: str, member: Deflated, at: datetime) -> None:
        """At most 4 GiB per member: a streamed entry announces Zip64 only when its size was known before."""
        start = self._local(name, at)
        before = self.size
        for chunk, crc32 in member.chunks():
            self._out.write(chunk)
            self.size += len(chunk)
            self.crc32 = joined_crc32(self.crc32, crc32, len(chunk))
        packed = self.size - before
        self._close_member(name, at, start=start, crc32=member.crc32, packed=packed, size=member.size)

    def finish(self) -> None:
        start, count = self.size, len(self._central)
        for entry in self._central:
            self._write(entry)
        length = self.size - start
        if count > _LIMIT_16 - 1 or start >= _LIMIT_32 or length >= _LIMIT_32:
            end64 = self.size
            self._write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, length, start))
            self._write(struct.pack("<IIQI", 0x07064B50, 0, end64, 1))
        small = min(count, _LIMIT_16)
        head = (0x06054B50, 0, 0, small, small, min(length, _LIMIT_32), min(start, _LIMIT_32), 0)
        self._write(struct.pack("<IHHHHIIH", *head))

    def _local(self, name: str, at: datetime) -> int:
        start = self.size
        raw, extra = name.encode(), _unix_times(at, everything=True) + _ntfs_times(at)
        head = (0x04034B50, 20, _FLAGS, _DEFLATED, _dos_time(at), 0, 0, 0, len(raw), len(extra))
        self._write(struct.pack("<IHHHIIIIHH", *head))
        self._write(raw + extra)
        return start

    def _close_member(self, name: str, at: datetime, *, start: int, crc32: int, packed: int, size: int) -> None:
        self._write(struct.pack("<IIII", 0x08074B50, crc32, packed, size))
        raw = name.encode()
        extra = _unix_times(at, everything=False) + _ntfs_times(at)
        needed = 20
        if start >= _LIMIT_32:  # only the offset can outgrow 32 bits here
            extra = struct.pack("<HHQ", 0x0001, 8, start) + extra
            needed, start = 45, _LIMIT_32
        head = (
            0x02014B50, needed, needed, _FLAGS, _DEFLATED, _dos_time(at), crc32, packed, size,
            len(raw), len(extra), 0, 0, 0, 0, start,
        )  # fmt: skip
        self._central.append(struct.pack("<IHHHHIIIIHHHHHII", *head) + raw + extra)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)


def joined_crc32(first: int, second: int, length: int) -> int:
    """CRC-32 of two pieces from theirs, `length` being the second's. Far faster than reading a megabyte again."""
    one, two, three, four = _shift(length)
    moved = one[first & 255] ^ two[first >> 8 & 255] ^ three[first >> 16 & 255] ^ four[first >> 24]
    return moved ^ second


@lru_cache(maxsize=64)
def _shift(length: int) -> tuple[list[int], ...]:
    """What `length` more bytes do to a CRC, which is linear: so it is enough to try the 32 single bits."""
    zeros = bytes(length)
    bits = [zlib.crc32(zeros, 1 << bit) ^ zlib.crc32(zeros) for bit in range(32)]
    tables = []
    for first_bit in (0, 8, 16, 24):
        table = [0]
        for bit in bits[first_bit : first_bit + 8]:
            table += [value ^ bit for value in table]
        tables.append(table)
    return tuple(tables)


def _dos_time(at: datetime) -> int:
    date = (at.year - 1980) << 9 | at.month << 5 | at.day
    return date << 16 | at.hour << 11 | at.minute << 5 | at.second // 2


def _unix_times(at: datetime, *, everything: bool) -> bytes:
    """Info-ZIP extended timestamp: modify, access and create; the central directory keeps only modify."""
    seconds = int(at.replace(tzinfo=UTC).timestamp())
    times = struct.pack("<i", seconds) * (3 if everything else 1)
    return struct.pack("<HHB", 0x5455, 1 + len(times), 0b111) + times


def _ntfs_times(at: datetime) -> bytes:
    ticks = (int(at.replace(tzinfo=UTC).timestamp()) + _FILETIME_1970) * 10_000_000
    return struct.pack("<HHIHHQQQ", 0x000A, 32, 0, 1, 24, ticks, ticks, ticks)
