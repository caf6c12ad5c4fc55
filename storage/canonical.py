"""Canonical JSON: one value, one sequence of bytes, so that a hash of it means something.

Not a general serialiser: only str, int, bool, None, lists and dicts with string keys. Floats are refused,
because their text differs between writers. Small files that stand alone are *sealed*: they carry their own hash,
so that a byte that changed is noticed by the file itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

SEAL = "seal"  # the member of a sealed file that holds its hash
_HEX = re.compile("[0-9a-f]{64}")


def encode(value: Any) -> bytes:
    """UTF-8, keys sorted by code point, no spaces, no escapes beyond JSON's own, one newline at the end.

    Source: the shape of RFC 8785 (JCS) for values without floats, plus the newline, so that the files read
    well in a terminal. Raises ValueError for a float or another type, and for text that UTF-8 cannot hold.
    """
    _refuse_floats(value)
    return _dumped(value) + b"\n"


def decode(data: bytes) -> Any:
    """The value in `data`. Raises ValueError for bytes that are not UTF-8 JSON, or JSON with floats."""
    try:
        return json.loads(data.decode(), parse_float=_refuse_text, parse_constant=_refuse_text)
    except UnicodeDecodeError as exc:
        raise ValueError(f"not UTF-8: {exc.reason} at byte {exc.start}") from None  # its own text holds all of it
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def seal(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of `value` and its seal: the SHA-256 of its canonical bytes without the seal."""
    digest = hashlib.sha256(encode(dict(value))).hexdigest()
    return encode({**value, SEAL: digest})


def unseal(data: bytes) -> dict[str, Any]:
    """What was sealed. Raises ValueError where any byte is not the one that `seal` gave."""
    value = mapping(decode(data))  # holds no float, and no key but text
    given = value.pop(SEAL, None)
    # The seal stands in its place among the sorted members: what is before and after it is encoded once, and gives
    # both the bytes that were hashed and the whole file.
    try:
        before = _members({key: item for key, item in value.items() if key < SEAL})
        after = _members({key: item for key, item in value.items() if key > SEAL})
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    plain = _object(before, after)
    whole = _object(before, _members({SEAL: given}), after)
    if whole != data or hashlib.sha256(plain).hexdigest() != given:
        raise ValueError("its bytes do not agree with its seal")
    return value


def text(value: Any) -> str:
    """`value`, if it is text. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"text expected, got {value!r:.60}")
    return value


def count(value: Any) -> int:
    """`value`, if it is a number from 0. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a number from 0 expected, got {value!r:.60}")
    return value


def digest(value: Any) -> str:
    """`value`, if it is 32 bytes in lower-case hex. Raises ValueError."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError(f"64 hex digits expected, got {value!r:.60}")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """`value`, if it is a JSON object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object expected, got {value!r:.60}")
    return value


def _dumped(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _members(value: dict[str, Any]) -> bytes:
    return _dumped(value)[1:-1]


def _object(*members: bytes) -> bytes:
    return b"{" + b",".join(filter(None, members)) + b"}\n"


def _refuse_text(number: str) -> NoReturn:
    raise ValueError(f"canonical JSON holds no float: {number:.60}")


def _refuse_floats(value: Any) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case list() | tuple():
            for item in value:
                _refuse_floats(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"canonical JSON holds no key of type {type(key).__name__}: {key!r}")
                _refuse_floats(item)
        case _:
            raise ValueError(f"canonical JSON holds no {type(value).__name__}: {value!r}")
