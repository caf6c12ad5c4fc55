"""The structure test of a ZIP file: its directory parses and every member's bytes match their CRC-32 and size.

Reads the file once, in small pieces; keeps nothing. Says nothing about what the members mean.

A file that can be cut (`zipcut.py`) is read along its cut: `zipfile` holds a kilobyte for every member. What is
odd in any way is left to `zipfile`, so that what passes here is what Python's own tools can open.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from storage import zipcut
from storage.inflate import DEFLATED, STORED, inflated
from storage.verify import Check, Outcome
from storage.zipcut import FULL32, Directory, NotCut

PIECE = 1 << 20  # bytes read at a time
# Deflate cannot shrink below 1/1032 (zlib's technical notes, "Maximum Compression Factor"), so a directory that
# declares more lies or lets members overlap. The absolute bound keeps an honest-looking bomb from taking hours.
MAX_RATIO = 1032
MAX_INFLATED = 200 << 30  # bytes
MAX_MEMBERS = 2_000_000
_USUAL_FLAGS = 0x080E  # how hard it was deflated, a data descriptor, UTF-8: nothing of these bears on reading
# What zipfile and the decompressors under it raise over bytes that are wrong. OverflowError and OSError: offsets
# that no file has. RuntimeError: versions and methods that zipfile does not know (NotImplementedError is one).
BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def test_zip(path: Path, *, file: str) -> Check:
    """Read every member to its end. Passed: all CRC-32 agree. Failed: the first reason found, in words.

    Memory: one piece, and the central directory: as it lies in the file where that can be cut, else as zipfile
    keeps it. Never raises for what the file holds.
    """
    name = "zip structure"
    try:
        try:
            members, problem = _along_the_cut(path)
        except (NotCut, OSError):
            members, problem = _by_zipfile(path)
    except BROKEN as exc:
        return Check(
            name, Outcome.FAILED, file, got=f"not a readable ZIP ({type(exc).__name__})", reason=_looks_like(path)
        )
    if problem:
        return Check(name, Outcome.FAILED, file, got=problem)
    return Check(name, Outcome.PASSED, file, got=f"{members} members, each CRC-32 agrees")


test_zip.__test__ = False  # type: ignore[attr-defined]  # pytest collects names that start with "test"


def _along_the_cut(path: Path) -> tuple[int, str]:
    """Members, and the first problem. Raises NotCut where it cannot be cut, or `zipfile` might not read it."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        directory = zipcut.read_directory(stream, size)
        _check_end(stream, directory)
        _check_rows(directory)
        declared = sum(_sums(directory.data, place)[1] for place in directory.place)
        problem = _implausible(len(directory), declared, sum(directory.length), size)
        if problem:
            return len(directory), problem
        for index, member in enumerate(zipcut.members(stream, directory, piece=PIECE)):
            if member.header:
                problem = _cut_problem(member, *_sums(directory.data, directory.place[index]))
                if problem:
                    return len(directory), problem
    return len(directory), ""


def _cut_problem(member: zipcut.Member, promised_crc: int, promised_size: int) -> str:
    crc = size = 0
    problem = ""
    pieces = iter(member.pieces)
    try:
        for plain in inflated(pieces, int.from_bytes(member.header[8:10], "little")):
            crc, size = zlib.crc32(plain, crc), size + len(plain)
            if size > promised_size:
                break
    except zlib.error as exc:
        problem = type(exc).__name__
    if not problem and size != promised_size:
        problem = "its size differs"
    elif not problem and crc != promised_crc:
        problem = "its CRC-32 differs"
    if problem:
        name = member.header[30 : 30 + int.from_bytes(member.header[26:28], "little")]
        shown = _shown(name.decode("utf-8" if member.header[7] & 0x08 else "cp437"))
        return f"member {shown} cannot be read ({problem})"
    for _ in pieces:  # what lies behind the end of its deflated stream
        pass
    return ""


def _check_end(stream: BinaryIO, directory: Directory) -> None:
    """Behind the directory there is one end record and its comment: else readers may disagree which one counts."""
    stream.seek(directory.end)
    tail = stream.read()
    at = 0
    if tail.startswith(zipcut.END64_SIGN):
        at = zipcut.END64.size + zipcut.LOCATOR64.size
        _, disk, _, disks = zipcut.LOCATOR64.unpack_from(tail, zipcut.END64.size)
        if disk or disks > 1:
            raise NotCut("the archive lies on several disks")
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    if tail.rfind(zipcut.END_SIGN) != at or len(tail) != at + zipcut.END.size + comment:
        raise NotCut("its end is not one record and a comment")


def _check_rows(directory: Directory) -> None:
    """Nothing in the directory that `zipfile` may refuse, and no method but the two that zlib reads."""
    data = directory.data
    for place in directory.place:
        version, flags, method = struct.unpack_from("<BxHH", data, place + 6)
        name, extra = struct.unpack_from("<HH", data, place + 28)
        if method not in (STORED, DEFLATED) or flags & ~_USUAL_FLAGS or version > zipfile.MAX_EXTRACT_VERSION:
            raise NotCut("a member that is encrypted, or packed by another method")
        if flags & 0x800:
            try:
                data[place + 46 : place + 46 + name].decode()
            except UnicodeDecodeError:
                raise NotCut("a name that is no UTF-8") from None
        if extra:
            for _ in _fields(data, place):
                pass


def _sums(data: bytes, place: int) -> tuple[int, int]:
    """CRC-32 and plain size, as the directory says them."""
    crc, _, size = struct.unpack_from("<III", data, place + 16)
    if size == FULL32:
        value = next((value for tag, value in _fields(data, place) if tag == 1), b"")
        size = int.from_bytes(value[:8], "little") if value else size
    return crc, size


def _fields(data: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """The extra fields of a central header, by their tags. Raises NotCut where one is cut."""
    name, extra = struct.unpack_from("<HH", data, place + 28)
    at = place + 46 + name
    end = at + extra
    while end - at >= 4:
        tag, length = struct.unpack_from("<HH", data, at)
        at += 4 + length
        if at > end:
            raise NotCut("an extra field that is cut")
        yield tag, data[at - length : at]


def _by_zipfile(path: Path) -> tuple[int, str]:
    """Members, and the first problem. Raises one of BROKEN where the file is no ZIP at all."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        declared, claimed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
        problem = _implausible(len(members), declared, claimed, path.stat().st_size)
        problems = (_member_problem(archive, member) for member in members)
        return len(members), problem or next(filter(None, problems), "")


def _implausible(members: int, declared: int, claimed: int, size: int) -> str:
    """`declared`: bytes inflated, `claimed`: bytes in the file, of all members, as the directory says."""
    if members > MAX_MEMBERS:
        return f"{members} members, more than {MAX_MEMBERS} are not read"
    if declared > min(size * MAX_RATIO, MAX_INFLATED):
        return f"members declare {declared} bytes, more than {size} bytes of ZIP can honestly hold"
    if claimed > size:
        return f"members overlap: they claim more than the {size} bytes of the file"
    return ""


def _member_problem(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 0x1:
        return f"member {_shown(member.filename)} is encrypted"
    size = 0
    try:
        with archive.open(member) as stream:
            while plain := stream.read(PIECE):
                size += len(plain)
    except BROKEN as exc:
        # The text of zipfile's errors repeats the member's name; its kind says enough beside ours.
        kind = "its CRC-32 differs" if "Bad CRC-32" in str(exc) else type(exc).__name__
        return f"member {_shown(member.filename)} cannot be read ({kind})"
    # zipfile compares no sizes.
    if size != member.file_size or (member.compress_type == STORED and member.compress_size != size):
        return f"member {_shown(member.filename)} cannot be read (its size differs)"
    return ""


def _shown(name: str) -> str:
    """A member's name for messages: bounded, and without the top folder, which systems name by random letters."""
    return ascii(name.partition("/")[2][-80:] or "(top folder)")


def _looks_like(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(512).lstrip().lower()
    if not head:
        return "the file is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page"
    if head.startswith(b"<?xml"):
        return "it is an XML document"
    return ""
