"""Keys as text to print, type and scan: a holder's key file, and the paper copy of an archive's keys.

Pure. Each line carries a checksum of its own, so that a slip of the pen is named by its line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
import zlib
from collections.abc import Sequence

from storage.cipher import KEY_SIZE, Key

HOLDER = "STRONGROOM-HOLDER-1"  # the first word of a holder's key
PAPER = "STRONGROOM-PAPER-1"  # and of a paper copy
_LINE = 20  # characters of a line, in groups
_GROUP = 4
_SUM = 4  # characters: 20 bits
_ALIKE = str.maketrans({"0": "O", "1": "I", "8": "B"})  # base32 has no 0, 1, 8: RFC 4648 section 6


class NotAKey(ValueError):
    """A text that begins as a key and is none: the message names the line. Holds nothing of the key."""


def holder_text(secret: bytes) -> str:
    """A holder's key of KEY_SIZE random bytes, one line."""
    return f"{HOLDER} {'-'.join(_lines(secret))}"


def holder_secret(text: str) -> bytes | None:
    """The bytes of a holder's key; None for a text that does not begin like one. Raises NotAKey."""
    body = _body(text, HOLDER)
    if body is None:
        return None
    secret = _bytes(body)
    if len(secret) != KEY_SIZE:
        raise NotAKey(f"a holder's key of {len(secret)} bytes, {KEY_SIZE} expected: was all of it copied?")
    return secret


def paper_text(archive_id: str, keys: Sequence[Key]) -> str:
    """All keys of an archive as lines to print: whoever has them reads everything in it."""
    payload = uuid.UUID(archive_id).bytes + b"".join(key.secret for key in keys)
    lines = _lines(payload + hashlib.sha256(payload).digest()[:4])
    return "\n".join([PAPER, *(f"{number:2}: {_grouped(line)}" for number, line in enumerate(lines, 1))]) + "\n"


def paper_compact(paper: str) -> str:
    """The same for a picture: one line of the characters that QR codes hold best (ISO/IEC 18004, alphanumeric)."""
    body = _body(paper, PAPER)
    if body is None:
        raise NotAKey("not a paper copy")
    return f"{PAPER} {'-'.join(body)}"


def paper_keys(text: str) -> tuple[str, tuple[Key, ...]] | None:
    """Archive id and keys of a paper copy; None for a text without its first word. Raises NotAKey."""
    body = _body(text, PAPER)
    if body is None:
        return None
    data = _bytes(body)
    payload, check = data[:-4], data[-4:]
    if (
        hashlib.sha256(payload).digest()[:4] != check
        or len(payload) < 16 + KEY_SIZE
        or (len(payload) - 16) % KEY_SIZE
    ):
        raise NotAKey(
            "each line is right by itself, but not all of them together: is one missing, or out of order?"
        )
    keys = tuple(Key(payload[at : at + KEY_SIZE]) for at in range(16, len(payload), KEY_SIZE))
    return str(uuid.UUID(bytes=payload[:16])), keys


def _lines(data: bytes) -> list[str]:
    text = base64.b32encode(data).decode().rstrip("=")
    pieces = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return [piece + _sum(number, piece) for number, piece in enumerate(pieces, 1)]


def _sum(number: int, piece: str) -> str:
    # The line's number is part of it, so that two lines that changed places show.
    crc = zlib.crc32(f"{number}:{piece}".encode()) & 0xFFFFF
    return base64.b32encode((crc << 4).to_bytes(3, "big")).decode()[:_SUM]


def _grouped(line: str) -> str:
    return " ".join(line[at : at + _GROUP] for at in range(0, len(line), _GROUP))


def _body(text: str, first: str) -> list[str] | None:
    """The lines of a key without spaces, numbers and dashes; what stands before is none of it."""
    _, found, rest = text.strip().upper().partition(first)
    if not found:
        return None
    if ":" in rest:  # the numbers of lines, which may have become one
        parts = re.split(r"\b[0-9]{1,3}:", rest)
    else:
        parts = rest.split("-") if "-" in rest else rest.splitlines()
    clean = ("".join(part.split()).translate(_ALIKE) for part in parts)
    return [part for part in clean if part]


def _bytes(lines: Sequence[str]) -> bytes:
    text = ""
    for number, line in enumerate(lines, 1):
        piece, check = line[:-_SUM], line[-_SUM:]
        if len(line) <= _SUM or _sum(number, piece) != check:
            raise NotAKey(f"line {number} is not as it was printed, or out of order: look at it letter by letter")
        text += piece
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise NotAKey("not all of it is there: is a line missing?") from None
