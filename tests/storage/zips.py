"""ZIP files by hand, header by header: every form that PKWARE APPNOTE.TXT allows, and many that it does not.

`zipfile` writes one dialect. What other programs write, and what an attacker writes, is put together here.
"""

from __future__ import annotations

import bz2
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from hypothesis import strategies as st

from storage import zipcut, zipplan
from storage.objects import OID_SIZE, Oid, PlainSha256

FULL32 = 0xFFFFFFFF
Descriptor = Literal["", "signed", "bare", "signed64", "bare64"]


@dataclass(frozen=True)
class M:
    """A member. Sizes and CRC-32 are right by themselves."""

    name: bytes = b"a"
    data: bytes = b""
    method: int = 0
    flags: int = 0
    descriptor: Descriptor = ""  # not "": streamed, the local header knows no sizes
    local_extra: bytes = b""
    extra: bytes = b""
    comment: bytes = b""
    zip64: bool = False  # the directory's sizes stand in a zip64 field
    gap: bytes = b""  # rubbish behind it
    date: int = 0x5A61
    version: int = 20
    packed: bytes | None = None  # the payload, where it is not `data` by `method`

    def payload(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method == 8:
            deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
            return deflate.compress(self.data) + deflate.flush()
        return bz2.compress(self.data) if self.method == 12 else self.data


def described(form: Descriptor, crc: int, csize: int, size: int) -> bytes:
    """The data descriptor in that form (APPNOTE 4.3.9)."""
    if not form:
        return b""
    sizes = struct.pack("<QQ" if form.endswith("64") else "<II", csize, size)
    return (b"PK\x07\x08" if form.startswith("signed") else b"") + struct.pack("<I", crc) + sizes


def build(
    members: Sequence[M],
    *,
    before: bytes = b"",
    counted: bool = False,
    comment: bytes = b"",
    after: bytes = b"",
    order: Sequence[int] | None = None,
    zip64: bool = False,
) -> bytes:
    """The file. `before`: a stub that offsets count if `counted`. `order`: of the directory. `after`: rubbish."""
    out, rows = bytearray(before), []
    for m in members:
        payload, crc = m.payload(), zlib.crc32(m.data)
        flags = m.flags | (8 if m.descriptor else 0)
        sums, local_extra = (crc, len(payload), len(m.data)), m.local_extra
        if m.descriptor:
            sums = (0, 0, 0)
        elif m.zip64:
            sums = (crc, FULL32, FULL32)
            local_extra = struct.pack("<HHQQ", 1, 16, len(m.data), len(payload)) + local_extra
        offset = len(out) - (0 if counted else len(before))
        fixed = (m.version, flags, m.method, 0x2C20, m.date)
        lengths = len(m.name), len(local_extra)
        out += struct.pack("<4s5H3I2H", b"PK\x03\x04", *fixed, *sums, *lengths) + m.name + local_extra
        out += payload + described(m.descriptor, crc, len(payload), len(m.data)) + m.gap
        csize, size, extra = len(payload), len(m.data), m.extra
        if m.zip64:
            extra = struct.pack("<HHQQ", 1, 16, size, csize) + extra
            csize = size = FULL32
        tail = (len(m.name), len(extra), len(m.comment), 0, 1, 0o600 << 16, offset)
        row = struct.pack("<4sH5H3I5H2I", b"PK\x01\x02", 0x314, *fixed, crc, csize, size, *tail)
        rows.append(row + m.name + extra + m.comment)
    directory = b"".join(rows[place] for place in (order if order is not None else range(len(rows))))
    start, count = len(out) - (0 if counted else len(before)), len(rows)
    out += directory
    if zip64:
        at = len(out)
        out += struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
        out += struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
        count, start = 0xFFFF, FULL32
    return bytes(out + end(count, len(directory), start, comment) + after)


def end(count: int, length: int, offset: int, comment: bytes = b"", disk: int = 0) -> bytes:
    """An end record."""
    return struct.pack("<4s4H2IH", b"PK\x05\x06", disk, 0, count, count, length, offset, len(comment)) + comment


def by_zipfile(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False) -> bytes:
    """What Python's own module makes of it."""

    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return not streamed

        def seek(self, at: int, whence: int = 0, /) -> int:
            if streamed:
                raise OSError("a pipe")
            return super().seek(at, whence)

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def export(night: int) -> bytes:
    """A small export: folder and date of that night, most members as before, one changed, one renamed."""
    root, date = b"RSpace-2026-03-%02d/" % (night + 1), 0x5C61 + night
    members = [M(root + b"doc-SD%d/text.html" % n, b"<p>%d</p>" % n * 30, 8, date=date) for n in range(6)]
    members.append(M(root + b"doc-SD0/sketch%d.png" % night, bytes(range(97)), descriptor="signed", date=date))
    members.append(M(root + b"manifest.txt", b"night %d, and more than 32 bytes of it" % night, date=date))
    return build(members)


def rebuilt(data: bytes) -> tuple[bytes, bytes]:
    """The file from its plan and payloads, and the plan. Raises NotCut."""
    file, kept, scheme = BytesIO(data), dict[Oid, bytes](), PlainSha256()
    directory = zipcut.read_directory(file, len(data))
    plan, last = zipplan.PlanBuilder(directory), b""
    for gap, header, length, pieces in zipcut.members(file, directory, piece=zipplan.PIECE):
        parts = list(pieces)
        if not header:
            last = gap
        elif length <= zipplan.INLINE:
            plan.add(gap, header, b"".join(parts))
        else:
            kept.update((scheme.oid(part), part) for part in parts)
            plan.add(gap, header, [scheme.oid(part) for part in parts])
    encoded = plan.encode(last, data[directory.end :])
    read = zipplan.Plan(encoded)
    assert set(read.oids()) == kept.keys()
    out = bytearray()
    for before, oids in read.parts():
        out += before + b"".join(kept[Oid(oids[at : at + OID_SIZE])] for at in range(0, len(oids), OID_SIZE))
    return bytes(out), encoded


_NAMES = st.binary(max_size=6) | st.sampled_from([b"top/", b"top/a", b"top/b/", b"top/b/\xff", b"/", b"", b"../x"])
_EXTRAS = st.sampled_from([b"", b"UT\x05\0\x01abcd", b"\x01\0\0\0", b"\x01\0\x08\0" + bytes(8), b"\0", bytes(40)])
# Around what stands in the plan (32 bytes), a piece (tests make it 100 bytes), and two.
_SIZES = st.sampled_from([0, 1, 31, 32, 33, 99, 100, 101, 199, 200, 201])
_GAPS = st.sampled_from([b"", b"", b"\0", b"PK\x03\x04", b"PK\x07\x08" + bytes(12), bytes(24), bytes(25)])
_MEMBERS = st.builds(
    M,
    name=_NAMES,
    data=_SIZES.flatmap(lambda size: st.integers(0, 255).map(lambda seed: bytes([seed]) * size))
    | st.binary(max_size=60),
    method=st.sampled_from([0, 8, 12]),
    flags=st.sampled_from([0, 0, 1, 2, 0x800]),
    descriptor=st.sampled_from(["", "", "signed", "bare", "signed64", "bare64"]),
    local_extra=_EXTRAS,
    extra=_EXTRAS,
    comment=st.binary(max_size=5),
    zip64=st.booleans(),
    gap=_GAPS,
    date=st.sampled_from([0x5A61, 0x5A62]),
    version=st.sampled_from([10, 20, 45]),
)


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """Files that may be cut, most of them odd."""
    members = draw(st.lists(_MEMBERS, max_size=6))
    return build(
        members,
        before=draw(st.sampled_from([b"", b"#!/bin/sh\n", b"PK\x03\x04 no header", bytes(300)])),
        counted=draw(st.booleans()),
        comment=draw(st.sampled_from([b"", b"made by hand", end(0, 0, 0), b"PK\x05\x06"])),
        after=draw(st.sampled_from([b"", b"", b"\n", bytes(100)])),
        order=draw(st.permutations(range(len(members)))),
        zip64=draw(st.booleans()),
    )
