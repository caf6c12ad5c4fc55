"""Cuts a ZIP file where its members begin and end: headers on one side, the members' payloads on the other.

Strict: a file is cut only where every byte falls into exactly one part, so that the parts one after another are
the file, and where directory and local headers agree. Nothing is inflated and no CRC-32 is looked at: that is
`ziptest.py`. What is not understood is *not cut*, with the reason, and is kept in another way.
Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

LOCAL = struct.Struct("<4s5H3I2H")  # signature, version, flags, method, time, date, crc, csize, size, name, extra
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
LOCAL_SIGN, CENTRAL_SIGN, END_SIGN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64_SIGN, LOCATOR64_SIGN = b"PK\x06\x06", b"PK\x06\x07"
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # "the true value stands in a zip64 field"
DESCRIBED = 0x08  # flag: sizes and CRC-32 follow the payload, the local header need not know them

# A cut holds all headers in memory, some 200 bytes a member. What is larger is kept uncut.
MAX_MEMBERS = 500_000
MAX_DIRECTORY = 96 << 20  # bytes, and of all local headers; 142,000 members of RSpace have 15 MB
MAX_GAPS = 8 << 20  # bytes between members that are no data descriptors, in all
MAX_TAIL = 1 << 17  # bytes at the end in which the end record is looked for: a whole comment, and more
_TRIES = 64  # end records looked at: a comment may hold more than one
_WINDOW = 4 << 20  # bytes read at a time


class NotCut(Exception):
    """The file is no ZIP that can be cut exactly; the message says why."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The central directory as it lies in the file, and where it says the members are, in the file's order."""

    data: bytes  # of `start` to `end`
    start: int
    end: int  # what follows are end records, a comment, or rubbish
    shift: int  # bytes before the ZIP proper: the directory's offsets do not count them
    place: array[int]  # offset of each member's central header in `data`
    header: array[int]  # offset of each local header in the file
    length: array[int]  # bytes of each payload

    def __len__(self) -> int:
        return len(self.place)


class Member(NamedTuple):
    """One member: what lies between the payload before and its header, its header, its payload's bytes."""

    gap: bytes
    header: bytes  # local: 30 bytes, name, extra
    length: int  # bytes of the payload
    pieces: Iterable[bytes]  # of the payload; to be used up before the next member is asked for


def read_directory(file: BinaryIO, size: int) -> Directory:
    """Find and read the directory of a file of `size` bytes. Raises NotCut. Memory: the directory."""
    tail_at = max(0, size - MAX_TAIL)
    file.seek(tail_at)
    tail = file.read(MAX_TAIL)
    found = len(tail)
    reason = "it has no end record"
    # The last end record that leads to members counts: a comment, or rubbish behind, may look like one.
    empty = None
    left = MAX_DIRECTORY  # bytes of directories that are read in all: many end records may lead to large ones
    for _ in range(_TRIES):
        found = tail.rfind(END_SIGN, 0, found + len(END_SIGN) - 1)
        if found < 0:
            break
        try:
            start, end, shift, count = _place_of(file, tail_at + found, tail[found : found + END.size])
            left -= end - start
            if left < 0:
                raise NotCut("its end records lead to more than is read")
            file.seek(start)
            directory = _in_order(file.read(end - start), start, end, shift, count)
        except NotCut as exc:
            reason = str(exc)
            continue
        if len(directory):
            return directory
        empty = empty or directory
    if empty is None:
        raise NotCut(reason)
    return empty


def members(file: BinaryIO, directory: Directory, *, piece: int) -> Iterator[Member]:
    """Each member in the file's order, payloads in pieces of `piece` bytes. Raises NotCut where headers disagree.

    The last one given has no header: its `gap` is what lies between the last payload and the directory.
    Memory: two windows of the file and one piece.
    """
    window = _Window(file)
    data, places, lengths = directory.data, directory.place, directory.length
    at = spare = heads = 0
    starts = [*directory.header, directory.start]
    for index, length in enumerate(lengths):
        gap_size = starts[index] - at
        spare += gap_size if gap_size > 24 else 0  # a data descriptor has 24 bytes at most (APPNOTE 4.3.9)
        if gap_size < 0 or spare > MAX_GAPS:
            raise NotCut(f"member {index}: overlaps another, or follows {spare} bytes that belong to none")
        head = window.take(gap_size + LOCAL.size)
        fixed = head[gap_size:]
        name_size = fixed[26] | fixed[27] << 8
        extra_size = fixed[28] | fixed[29] << 8
        heads += name_size + extra_size
        if heads > MAX_DIRECTORY:  # a local extra field stands in no directory, so nothing else bounds it
            raise NotCut(f"local headers of more than {MAX_DIRECTORY} bytes are not cut")
        rest = window.take(name_size + extra_size)
        place = places[index]
        central = data[place : place + 30 + 16 + name_size]
        # Flags and method; the name's length; the name; and without a data descriptor, CRC-32 and sizes.
        if (
            fixed[:4] != LOCAL_SIGN
            or fixed[6:10] != central[8:12]
            or fixed[26:28] != central[28:30]
            or rest[:name_size] != central[46:]
            or not (fixed[6] & DESCRIBED or fixed[14:26] == central[16:28] or _same_in_zip64(fixed, central))
        ):
            raise NotCut(f"member {index}: its local header is not what the directory says")
        at = starts[index] + LOCAL.size + name_size + extra_size + length
        if at > starts[index + 1]:
            raise NotCut(f"member {index}: reaches into what follows it")
        yield Member(head[:gap_size], fixed + rest, length, window.pieces(length, piece))
    if directory.start - at > MAX_GAPS:
        raise NotCut(f"{directory.start - at} bytes before the directory belong to no member")
    yield Member(window.take(directory.start - at), b"", 0, ())


def true_sizes(extra: bytes, csize: int, size: int, offset: int) -> tuple[int, int]:
    """Payload bytes and header offset, from the zip64 extra field where they stand there (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            if at + 4 + length > len(extra):
                raise NotCut("a zip64 field that is cut")
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            if size == FULL32:
                next(values, None)
            csize = next(values, -1) if csize == FULL32 else csize
            offset = next(values, -1) if offset == FULL32 else offset
            if csize < 0 or offset < 0:
                raise NotCut("a zip64 member without its true sizes")
            return csize, offset
        at += 4 + length
    return csize, offset  # 0xFFFFFFFF may be the true value


def plain_size(extra: bytes) -> int:
    """The plain size that a zip64 extra field tells of a member whose own says 0xFFFFFFFF (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1 and length >= 8:
            return int.from_bytes(extra[at + 4 : at + 12], "little")
        at += 4 + length
    return FULL32  # may be the true value


class _Window:
    """Reads a file from its beginning, in large steps, and gives it out in small ones."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file = file
        self._data = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            self._data = self._data[self._at :] + self._file.read(max(count, _WINDOW))
            self._at, end = 0, count
            if end > len(self._data):
                raise NotCut("the file is shorter than its directory says")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def pieces(self, length: int, piece: int) -> Iterable[bytes]:
        if length <= piece:
            return (self.take(length),)
        return (self.take(min(piece, length - done)) for done in range(0, length, piece))


def _same_in_zip64(fixed: bytes, central: bytes) -> bool:
    # A writer that did not know the size beforehand reserves zip64 fields in the local header alone.
    return fixed[14:18] == central[16:20] and b"\xff\xff\xff\xff" in (fixed[18:22], fixed[22:26])


def _place_of(file: BinaryIO, end_at: int, record: bytes) -> tuple[int, int, int, int]:
    """Where the directory that an end record leads to starts and ends, the bytes before the ZIP, its members."""
    if len(record) < END.size:
        raise NotCut("its end record is cut")
    _, disk, first_disk, here, count, length, offset, _ = END.unpack(record)
    end = end_at
    zip64 = _end64(file, end_at)
    if zip64:
        end, disk, first_disk, here, count, length, offset = zip64
    if disk or first_disk or here != count:
        raise NotCut("the archive lies on several disks")
    if count > MAX_MEMBERS or length > MAX_DIRECTORY:
        raise NotCut(f"a directory of {count} members and {length} bytes is not cut")
    start = end - length
    shift = start - offset
    if start < 0 or shift < 0:
        raise NotCut("its directory lies outside of the file")
    return start, end, shift, count


def _end64(file: BinaryIO, end_at: int) -> tuple[int, int, int, int, int, int, int] | None:
    """Where the zip64 end record starts, and what it says; None where there is none."""
    at = end_at - LOCATOR64.size - END64.size
    if at < 0:
        return None
    # The locator's offset does not count bytes before the ZIP: a record of the usual size is looked for.
    file.seek(at)
    both = file.read(END64.size + LOCATOR64.size)
    if len(both) < END64.size + LOCATOR64.size or both[END64.size :][:4] != LOCATOR64_SIGN:
        return None
    sign, size, _, _, disk, first_disk, here, count, length, offset = END64.unpack_from(both)
    if sign != END64_SIGN or size != END64.size - 12:
        raise NotCut("its zip64 end record has a form that is not known")
    return at, disk, first_disk, here, count, length, offset


def _in_order(data: bytes, start: int, end: int, shift: int, count: int) -> Directory:
    """The members in the file's order. Raises NotCut unless `data` is exactly `count` central headers."""
    place, header, length = array("Q"), array("Q"), array("Q")
    at, before, sorted_already = 0, -1, True
    for _ in range(count):
        if at + CENTRAL.size > len(data) or data[at : at + 4] != CENTRAL_SIGN:
            raise NotCut("its directory holds something else than members")
        csize, size, name, extra, comment, disk, _, _, offset = struct.unpack_from("<IIHHHHHII", data, at + 20)
        if disk not in (0, FULL16):
            raise NotCut("the archive lies on several disks")
        if FULL32 in (csize, size, offset):
            csize, offset = true_sizes(data[at + 46 + name : at + 46 + name + extra], csize, size, offset)
        if offset + shift > end or csize > end:
            raise NotCut("its directory names places outside of the file")
        place.append(at)
        header.append(offset + shift)
        length.append(csize)
        sorted_already = sorted_already and offset > before
        before = offset
        at += CENTRAL.size + name + extra + comment
    if at != len(data):
        raise NotCut("its directory is longer than its members")
    if not sorted_already:
        order = sorted(range(count), key=header.__getitem__)
        place, header, length = (array("Q", [column[i] for i in order]) for column in (place, header, length))
    return Directory(data, start, end, shift, place, header, length)
