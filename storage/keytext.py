"""Keys as text to print, type and scan: a holder's key file, and the paper copy of an archive's keys.

Pure. Each line carries a checksum of its own, so that a slip of the pen is named by its line. The sum over all of
them tells where the last one ends, so whatever a scanned page has besides is passed over.
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
_ID, _CHECK = 16, 4  # bytes of a paper copy before its keys, and behind them
_FULL = _LINE + _SUM
_ALIKE = str.maketrans({"0": "O", "1": "I", "8": "B"})  # base32 has no 0, 1, 8: RFC 4648 section 6


class NotAKey(ValueError):
    """A text that begins as a key and is none: the message names the line. Holds nothing of the key."""


def holder_text(secret: bytes) -> str:
    """A holder's key of KEY_SIZE random bytes, one line."""
    return f"{HOLDER} {'-'.join(_lines(secret))}"


def holder_secret(text: str) -> bytes | None:
    """The bytes of a holder's key; None for a text that does not begin like one. Raises NotAKey."""
    rest = _behind(text, HOLDER)
    if rest is None:
        return None
    plain = ""
    for number, line in enumerate(_cut(rest), 1):
        if not _right(number, line):
            raise NotAKey(_wrong(number))
        plain += line[:-_SUM]
    secret = _decoded(plain)
    if len(secret) != KEY_SIZE:
        raise NotAKey(f"a holder's key of {len(secret)} bytes, {KEY_SIZE} expected: was all of it copied?")
    return secret


def paper_text(archive_id: str, keys: Sequence[Key]) -> str:
    """All keys of an archive as lines to print: whoever has them reads everything in it."""
    payload = uuid.UUID(archive_id).bytes + b"".join(key.secret for key in keys)
    lines = _lines(payload + _check(payload))
    return "\n".join([PAPER, *(f"{number:2}: {_grouped(line)}" for number, line in enumerate(lines, 1))]) + "\n"


def paper_compact(paper: str) -> str:
    """The same for a picture: one line of the characters that QR codes hold best (ISO/IEC 18004, alphanumeric)."""
    rest = _behind(paper, PAPER)
    if rest is None:
        raise NotAKey("not a paper copy")
    return f"{PAPER} {'-'.join(_lines(_paper(rest)))}"


def paper_keys(text: str) -> tuple[str, tuple[Key, ...]] | None:
    """Archive id and keys of a paper copy; None for a text without its first word. Raises NotAKey."""
    rest = _behind(text, PAPER)
    if rest is None:
        return None
    payload = _paper(rest)[:-_CHECK]
    keys = tuple(Key(payload[at : at + KEY_SIZE]) for at in range(_ID, len(payload), KEY_SIZE))
    return str(uuid.UUID(bytes=payload[:_ID])), keys


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


def _check(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:_CHECK]


def _wrong(number: int) -> str:
    return f"line {number} is not as it was printed, or out of order: look at it letter by letter"


def _right(number: int, line: str) -> bool:
    return len(line) > _SUM and _sum(number, line[:-_SUM]) == line[-_SUM:]


def _behind(text: str, first: str) -> str | None:
    """What stands behind the first word, in upper case; None for a text without it."""
    _, found, rest = text.upper().partition(first)
    return rest if found else None


def _letters(text: str) -> str:
    return re.sub("[^A-Z0-9]", "", text).translate(_ALIKE)


def _cut(text: str) -> list[str]:
    """Lines without numbers, as long as they are printed, however they are broken now."""
    letters = _letters(text)
    return [letters[at : at + _FULL] for at in range(0, len(letters), _FULL)]


def _paper(rest: str) -> bytes:
    """All bytes of a paper copy. What is none of its lines, and what stands behind them, is passed over.

    Raises NotAKey, which names the first line that is not found.
    """
    _, *parts = re.split(r"\b([0-9]{1,3})\s*:", rest)
    numbered = list(zip(map(int, parts[::2]), map(_letters, parts[1::2]), strict=True))
    furthest = 0, False
    for lines in (numbered, list(enumerate(_cut(rest), 1))):  # as printed, or without the numbers
        missing, data = _read([line for _, line in lines])
        if data:
            return data
        furthest = max(furthest, (missing, missing in dict(lines)))
    missing, there = furthest
    raise NotAKey(_wrong(missing) if there else f"line {missing} is not there: all are needed, in order")


def _read(lines: Sequence[str]) -> tuple[int, bytes]:
    """What they hold, or the number of the first one that is not among them."""
    text, number = "", 1
    for line in lines:
        last = line[: _ending(number) + _SUM]
        if _right(number, last):
            data = _decoded(text + last[:-_SUM])
            if data[-_CHECK:] == _check(data[:-_CHECK]):
                return number, data
        if len(line) >= _FULL and _right(number, line[:_FULL]):
            text += line[:_LINE]
            number += 1
    return number, b""


def _ending(number: int) -> int:
    """Characters of the line of that number where it is a paper copy's last; 0 where none has so many lines."""
    keys = (number * _LINE * 5 // 8 - _ID - _CHECK) // KEY_SIZE
    characters = -(-(_ID + keys * KEY_SIZE + _CHECK) * 8 // 5)
    return max(0, characters - (number - 1) * _LINE) if keys > 0 else 0


def _decoded(text: str) -> bytes:
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise NotAKey("not all of it is there: is a line missing?") from None
