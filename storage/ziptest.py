"""The structure test of a ZIP file: its directory parses and every member's bytes match their CRC-32.

Reads the file once, in small pieces; keeps nothing. Says nothing about what the members mean.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from storage.verify import Check, Outcome

PIECE = 1 << 20  # bytes read at a time
# Deflate cannot shrink below 1/1032 (zlib's technical notes, "Maximum Compression Factor"), so a directory that
# declares more lies or lets members overlap. The absolute bound keeps an honest-looking bomb from taking hours.
MAX_RATIO = 1032
MAX_INFLATED = 200 << 30  # bytes
MAX_MEMBERS = 2_000_000
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

    Memory: one piece, and the central directory as zipfile keeps it. Never raises for what the file holds.
    """
    name = "zip structure"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            problem = _implausible(members, path.stat().st_size)
            if problem:
                return Check(name, Outcome.FAILED, file, got=problem)
            for member in members:
                problem = _member_problem(archive, member)
                if problem:
                    return Check(name, Outcome.FAILED, file, got=problem)
    except BROKEN as exc:
        return Check(
            name, Outcome.FAILED, file, got=f"not a readable ZIP ({type(exc).__name__})", reason=_looks_like(path)
        )
    return Check(name, Outcome.PASSED, file, got=f"{len(members)} members, each CRC-32 agrees")


test_zip.__test__ = False  # type: ignore[attr-defined]  # pytest collects names that start with "test"


def _implausible(members: list[zipfile.ZipInfo], size: int) -> str:
    if len(members) > MAX_MEMBERS:
        return f"{len(members)} members, more than {MAX_MEMBERS} are not read"
    inflated = sum(member.file_size for member in members)
    if inflated > min(size * MAX_RATIO, MAX_INFLATED):
        return f"members declare {inflated} bytes, more than {size} bytes of ZIP can honestly hold"
    if sum(member.compress_size for member in members) > size:
        return f"members overlap: they claim more than the {size} bytes of the file"
    return ""


def _member_problem(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 0x1:
        return f"member {_shown(member)} is encrypted"
    try:
        with archive.open(member) as stream:
            while stream.read(PIECE):
                pass
    except BROKEN as exc:
        # The text of zipfile's errors repeats the member's name; its kind says enough beside ours.
        kind = "its CRC-32 differs" if "Bad CRC-32" in str(exc) else type(exc).__name__
        return f"member {_shown(member)} cannot be read ({kind})"
    return ""


def _shown(member: zipfile.ZipInfo) -> str:
    """A member's name for messages: bounded, and without the top folder, which systems name by random letters."""
    return ascii(member.filename.partition("/")[2][-80:] or "(top folder)")


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
