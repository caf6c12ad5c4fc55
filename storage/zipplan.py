"""What a ZIP is made of besides its payloads, in columns: `encode` what was cut, `parts` gives the file back.

Every header repeats the export's folder and time, so a skeleton kept member by member changes everywhere each
night. Here the folder is taken out, what can be computed is left out, and the rest stands in columns: what did not
change in the lab is the same as the night before. Nothing is guessed: a flag says that a rule holds for every
member, else the bytes are kept as they are. Pure: bytes to values and back (FORMAT.md section 5).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, repeat
from typing import NamedTuple

from storage import columns
from storage.objects import OID_SIZE, Oid
from storage.zipcut import CENTRAL_SIGN, FULL32, LOCAL_SIGN, Directory, NotCut, plain_size, true_sizes

MAGIC = b"SRZIP\x00\x00\x01"
INLINE = 32  # bytes: a payload up to this stands in the plan, for its oid would not be shorter
PIECE = 4 << 20  # bytes: a larger payload is several objects, all but the last of this size
HEAD = struct.Struct(">8sQQB")  # magic, members, bytes before the ZIP, flags

# A row of the local header: version, flags, method, time, date | crc, csize, size | lengths of name and extra
LOCAL_ROW, LOCAL_PLANES = 26, (*range(10), *range(22, 26))
# A row of the central one: by | as the local one | sums, name's length | lengths, disk, attributes | offset
CENTRAL_ROW, SAME_PLANES, ALL_PLANES = 42, (0, 1, *range(26, 38)), (*range(12), *range(26, 38))

LIKE_LOCAL, OFFSETS_FOLLOW = 1, 2  # flags: what holds for every member
_DESCRIPTOR = b"PK\x07\x08"
_ZERO4, _FULL = bytes(4), b"\xff" * 4
NO_GAP, SIGNED, BARE, SIGNED64, LITERAL = 0, 1, 2, 3, 255  # what lies behind a payload


class PlanBuilder:
    """Collects the members of a ZIP in the file's order. Memory: about 150 bytes a member."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._local = bytearray()  # rows
        self._names = bytearray()
        self._extras = bytearray()
        self._classes = bytearray()
        self._gaps = bytearray()  # literal ones
        self._head = b""
        self._inline = bytearray()
        self._oids = bytearray()
        self._root: bytes | None = None

    def add(self, gap: bytes, header: bytes, payload: bytes | list[Oid]) -> None:
        """The next member: its payload where it stands in the plan (up to INLINE bytes), else its objects."""
        end = 30 + (header[26] | header[27] << 8)
        name = header[30:end]
        self._gap(gap)
        self._local += header[4:30]
        self._names += name
        self._extras += header[end:]
        if self._root is None:
            self._root = name[: name.find(b"/") + 1]
        elif self._root and not name.startswith(self._root):
            self._root = b""
        if isinstance(payload, bytes):
            self._inline += payload
        else:
            self._oids += b"".join(payload)

    def encode(self, last_gap: bytes, tail: bytes) -> bytes:
        """The plan. `last_gap` lies behind the last payload, `tail` behind the directory. Use once."""
        self._gap(last_gap)
        directory, data = self._directory, self._directory.data
        rows, offsets = bytearray(), bytearray()
        for place in directory.place:  # into one buffer each: a list of 100,000 pieces costs ten times as much
            rows += data[place + 4 : place + 46]
            offsets += data[place + 42 : place + 46]
        like_local = all(rows[k::CENTRAL_ROW] == self._local[k - 2 :: LOCAL_ROW] for k in range(2, 12))
        computed = array("I", (min(h - directory.shift, FULL32) for h in directory.header))
        if sys.byteorder == "big":
            computed.byteswap()
        offsets_follow = offsets == computed.tobytes()
        flags = LIKE_LOCAL * like_local | OFFSETS_FOLLOW * offsets_follow
        head = HEAD.pack(MAGIC, len(directory), directory.shift, flags)
        used = SAME_PLANES if like_local else ALL_PLANES
        return head + columns.join(self._sections(rows, used, b"" if offsets_follow else bytes(offsets), tail))

    def _sections(self, rows: bytearray, used: Sequence[int], offsets: bytes, tail: bytes) -> Iterator[bytes]:
        """One at a time: each is let go before the next is made."""
        root = self._root or b""
        yield root
        yield self._names_without(len(root))
        yield columns.planes(self._local, LOCAL_ROW, LOCAL_PLANES)
        sums = _fields(self._local, LOCAL_ROW, 10)
        yield sums if sums.strip(b"\0") else b""
        yield bytes(self._extras)
        yield _fields(rows, CENTRAL_ROW, 12)
        yield columns.planes(rows, CENTRAL_ROW, used)
        yield offsets
        places = self._directory.place
        yield b"" if all(a < b for a, b in pairwise(places)) else _ranks(places)
        rest = bytearray()
        for place in places:
            rest += self._rest_of(place)
        yield bytes(rest)
        yield bytes(self._classes)
        yield bytes(self._gaps)
        yield self._head
        yield tail
        yield bytes(self._inline)
        yield bytes(self._oids)

    def _gap(self, gap: bytes) -> None:
        index = len(self._local) // LOCAL_ROW - 1  # of the member whose payload the gap follows
        if index < 0:
            self._head = gap
            return
        at = self._directory.place[index]
        kind = _class_of(gap, self._directory.data[at + 16 : at + 28])
        self._classes.append(kind)
        if kind == LITERAL:
            self._gaps += len(gap).to_bytes(4, "big") + gap

    def _names_without(self, cut: int) -> bytes:
        if not cut:
            return bytes(self._names)
        out, at = bytearray(), 0
        for length in _lengths(self._local, LOCAL_ROW, 22):
            out += self._names[at + cut : at + length]
            at += length
        return bytes(out)

    def _rest_of(self, place: int) -> bytes:
        name, extra, comment = struct.unpack_from("<HHH", self._directory.data, place + 28)
        return self._directory.data[place + 46 + name : place + 46 + name + extra + comment]


class PlannedMember(NamedTuple):
    """What a plan says of one member."""

    header: bytes  # local, whole
    sums: bytes  # CRC-32, payload's and plain size as the directory says them
    size: int  # bytes of the payload
    payload: bytes | list[Oid]
    gap: bytes  # what lies behind the payload

    @property
    def name(self) -> bytes:
        return self.header[30 : 30 + int.from_bytes(self.header[26:28], "little")]


class Plan:
    """A plan that was read. Raises ValueError for bytes that are none, here or while its members are read."""

    def __init__(self, data: bytes) -> None:
        magic, self.count, self._shift, self._flags = HEAD.unpack_from(data.ljust(HEAD.size, b"\0"))
        if magic != MAGIC:
            raise ValueError("not a plan that this version reads")
        count, sections = self.count, columns.Sections(data, HEAD.size)
        self.root, self._names = sections.take(), sections.take()
        self._local = bytes(columns.unplanes(sections.take(), count, LOCAL_ROW, LOCAL_PLANES))
        self._local_sums = sections.take()
        self._extras = sections.take()
        self._sums = sections.take(12 * count)
        used = SAME_PLANES if self._flags & LIKE_LOCAL else ALL_PLANES
        self._central = bytes(columns.unplanes(sections.take(), count, CENTRAL_ROW, used))
        self._offsets = sections.take(0 if self._flags & OFFSETS_FOLLOW else 4 * count)
        self._order = sections.take()
        self._rest = sections.take()
        self._classes = sections.take(count)
        self._gaps = sections.take()
        self.head, self.tail = sections.take(), sections.take()
        self._inline, self._oids = sections.take(), sections.take()
        sections.end()
        if len(self._local_sums) not in (0, 12 * count) or len(self._order) not in (0, 4 * count):
            raise ValueError("a plan whose columns differ in length")
        if self._flags & ~(LIKE_LOCAL | OFFSETS_FOLLOW):
            raise ValueError(f"a plan with flags {self._flags:#x} that are not known")
        if len(self._oids) % OID_SIZE or self._shift > len(self.head):
            raise ValueError("half an oid, or more bytes before the ZIP than before its first member")

    def oids(self) -> Iterator[Oid]:
        """Every object that the payloads need, in order, with doubles."""
        return (Oid(oid) for (oid,) in struct.iter_unpack(f"{OID_SIZE}s", self._oids))

    def names(self) -> list[bytes]:
        """The members' names without the root, in the file's order: browsing needs no more, of many nights."""
        names, cut = self._names, len(self.root)
        pairs = bytearray(2 * self.count)
        pairs[::2], pairs[1::2] = self._local[22::LOCAL_ROW], self._local[23::LOCAL_ROW]
        lengths = struct.unpack(f"<{self.count}H", pairs)
        ends = list(accumulate(map((-cut).__add__, lengths), initial=0))
        if ends[-1] != len(names) or min(lengths, default=cut) < cut:
            raise ValueError("its names are cut")
        return [names[start:end] for start, end in pairwise(ends)]

    def size_and_crc32(self, index: int) -> tuple[int, int]:
        """Plain bytes of a member and their CRC-32, as the directory says."""
        crc32, _, size = struct.unpack_from("<III", self._sums, 12 * index)
        return self._plain_size(index) if size == FULL32 else size, crc32

    def members(self) -> Iterator[PlannedMember]:
        """The members in the file's order."""
        for header, sums, size, inline, oids, gap in self._rows():
            objects = [Oid(oids[at : at + OID_SIZE]) for at in range(0, len(oids), OID_SIZE)]
            yield PlannedMember(header, sums, size, objects or inline, gap)

    def parts(self) -> Iterator[tuple[bytes, bytes]]:
        """The file in order: bytes, and the oids, one after another, of the objects that follow them.

        Memory: the directory, as it grows.
        """
        before = self.head  # bytes not given yet
        at, rest_at = len(self.head), 0
        directory = bytearray()
        ends = array("Q")
        like_local, offsets_follow, shift = self._flags & LIKE_LOCAL, self._flags & OFFSETS_FOLLOW, self._shift
        rows = struct.iter_unpack("<2s10s14x2s2s8s4x", self._central)
        own_offsets = struct.iter_unpack("<4s", self._offsets)
        for (header, sums, size, inline, oids, gap), (by, middle, extra, comment, attributes) in zip(
            self._rows(), rows, strict=True
        ):
            if oids:
                yield before + header, oids
                before = gap
            else:
                before += header + inline + gap
            end = rest_at + (extra[0] | extra[1] << 8) + (comment[0] | comment[1] << 8)
            place = (at - shift).to_bytes(8, "little") if offsets_follow else b""
            offset = (place[:4] if place[4:] == _ZERO4 else _FULL) if place else next(own_offsets)[0]
            directory += b"".join(
                (CENTRAL_SIGN, by, header[4:14] if like_local else middle, sums, header[26:28], extra, comment,
                 attributes, offset, header[30 : 30 + (header[26] | header[27] << 8)], self._rest[rest_at:end])
            )  # fmt: skip
            rest_at = end
            at += len(header) + size + len(gap)
            if self._order:
                ends.append(len(directory))
        yield before, b""
        yield bytes(directory) if not self._order else self._sorted(directory, ends), b""
        yield self.tail, b""

    def _rows(self) -> Iterator[tuple[bytes, bytes, int, bytes, bytes, bytes]]:
        """Of each member: local header, sums, bytes of the payload, the payload or its oids, what lies behind it.

        This and `parts` are the inner loops of every restore: plain tuples, and columns read by `iter_unpack`.
        """
        root, names, extras, inlines, all_oids = self.root, self._names, self._extras, self._inline, self._oids
        name_at = extra_at = rest_at = inline_at = oid_at = gap_at = 0
        columns_of = (
            struct.iter_unpack("<10s12x4s", self._local),
            struct.iter_unpack("12s", self._local_sums) if self._local_sums else repeat((bytes(12),), self.count),
            struct.iter_unpack("<12s", self._sums),
            struct.iter_unpack("<4xII", self._sums),
            struct.iter_unpack("<26xHH12x", self._central),
            self._classes,
        )
        for (fixed, lengths), (own,), (sums,), (stated, plain), (extra, comment), kind in zip(
            *columns_of, strict=True
        ):
            name_end = name_at + (lengths[0] | lengths[1] << 8) - len(root)
            extra_end = extra_at + (lengths[2] | lengths[3] << 8)
            if name_end < name_at or name_end > len(names) or extra_end > len(extras):
                raise ValueError("a member's name or extra field is cut")
            header = b"".join(
                (LOCAL_SIGN, fixed, own, lengths, root, names[name_at:name_end], extras[extra_at:extra_end])
            )
            name_at, extra_at = name_end, extra_end
            size = _true_size(self._rest[rest_at : rest_at + extra], sums) if FULL32 in (stated, plain) else stated
            rest_at += extra + comment
            inline = oids = b""
            if size <= INLINE:
                inline = inlines[inline_at : inline_at + size]
                inline_at += size
            else:
                oid_end = oid_at + -(-size // PIECE) * OID_SIZE
                oids = all_oids[oid_at:oid_end]
                oid_at = oid_end
                if oid_end > len(all_oids):
                    raise ValueError("a member's objects are missing")
            gap = _DESCRIPTOR + sums if kind == SIGNED else _gap_of(kind, sums)
            if gap is None:
                length = int.from_bytes(self._gaps[gap_at : gap_at + 4], "big")
                gap = self._gaps[gap_at + 4 : gap_at + 4 + length]
                gap_at += 4 + length
            yield header, sums, size, inline, oids, gap

    def _plain_size(self, index: int) -> int:
        """Of a member whose directory row says `ff ff ff ff`: it stands first in the zip64 field.

        Walks the rows before it: members of 4 GiB are few.
        """
        at = 0
        for place in range(index + 1):
            extra, comment = struct.unpack_from("<HH", self._central, place * CENTRAL_ROW + 26)
            at += extra + comment
        return plain_size(self._rest[at - extra - comment : at - comment])

    def _sorted(self, directory: bytearray, ends: array[int]) -> bytes:
        ranks = [rank for (rank,) in struct.iter_unpack(">I", self._order)]
        if sorted(ranks) != list(range(self.count)):
            raise ValueError("the order of a plan's directory is none")
        out = [b""] * self.count
        for rank, (start, end) in zip(ranks, pairwise([0, *ends]), strict=True):
            out[rank] = bytes(directory[start:end])
        return b"".join(out)


def _class_of(gap: bytes, sums: bytes) -> int:
    for kind in (SIGNED, NO_GAP, BARE, SIGNED64):
        if gap == _gap_of(kind, sums):
            return kind
    return LITERAL


def _gap_of(kind: int, sums: bytes) -> bytes | None:
    """What lies behind a payload, by its class; None for a literal one. Data descriptors: APPNOTE 4.3.9."""
    if kind == SIGNED:
        return _DESCRIPTOR + sums
    if kind == NO_GAP:
        return b""
    if kind == BARE:
        return sums
    if kind == SIGNED64:
        return _DESCRIPTOR + sums[:8] + bytes(4) + sums[8:] + bytes(4)
    return None


def _true_size(extra: bytes, sums: bytes) -> int:
    csize, size = struct.unpack("<II", sums[4:])
    try:
        return true_sizes(extra, csize, size, 0)[0]
    except NotCut as exc:
        raise ValueError(str(exc)) from exc


def _fields(rows: bytearray, width: int, column: int) -> bytes:
    """Twelve bytes of each row: CRC-32 and sizes."""
    out = bytearray()
    for at in range(column, len(rows), width):
        out += rows[at : at + 12]
    return bytes(out)


def _lengths(rows: bytes | bytearray, width: int, column: int) -> Iterator[int]:
    return (low | high << 8 for low, high in zip(rows[column::width], rows[column + 1 :: width], strict=True))


def _ranks(places: array[int]) -> bytes:
    """The place of each member in the directory, members in the file's order."""
    order = sorted(range(len(places)), key=places.__getitem__)
    ranks = [0] * len(places)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return struct.pack(f">{len(ranks)}I", *ranks)
