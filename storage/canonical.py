"""Canonical JSON: one value, one sequence of bytes, so that a hash of it means something.

Not a general serialiser: only str, int, bool, None, lists and dicts with string keys. Floats are refused,
because their text differs between writers.
"""

from __future__ import annotations

import json
from typing import Any

type_error = "canonical JSON holds no {0}: {1!r}"


def encode(value: Any) -> bytes:
    """UTF-8, keys sorted by code point, no spaces, no escapes beyond JSON's own, one newline at the end.

    Source: the shape of RFC 8785 (JCS) for values without floats, plus the newline, so that the files read
    well in a terminal. Raises ValueError for a float or another type.
    """
    _refuse_floats(value)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def decode(data: bytes) -> Any:
    """The value in `data`. Raises ValueError for bytes that are not UTF-8 JSON."""
    return json.loads(data.decode())


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
                    raise ValueError(type_error.format("key of type " + type(key).__name__, key))
                _refuse_floats(item)
        case _:
            raise ValueError(type_error.format(type(value).__name__, value))
