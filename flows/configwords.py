"""What is wrong in strongroom.toml, in words for who wrote it: the key, what is there, what was expected.

Pure. pydantic's own messages are for programmers, and would repeat secrets.
"""

from __future__ import annotations

import re
from typing import Any

_SECRETS = ("api_key", "token", "password", "username", "session", "key", "to", "ping")  # an address may hold one
_ADDRESS = "expected http://… or https://…, without user, password or query"
# What pydantic says of a pattern is for programmers.
_WORDS = {
    ("string_pattern_mismatch", "url"): _ADDRESS,
    ("string_pattern_mismatch", "proxy"): _ADDRESS,
    ("string_pattern_mismatch", "name"): "expected lower-case letters, digits, - and _, at most 40",
}


def problem(error: Any) -> str:
    """One pydantic error as thing, got, expected. A value under a secret's key is not repeated."""
    loc = [part for part in error["loc"] if not (isinstance(part, str) and part[:1].isupper())]
    parts: list[str] = []
    for part in loc:
        if isinstance(part, int) and parts:
            parts[-1] += f" {part + 1}"
        else:
            parts.append(str(part))
    key = ".".join(parts)
    if error["type"] == "extra_forbidden":
        return f"{key}: not a key that is known here"
    message = _WORDS.get((error["type"], str(loc[-1]) if loc else ""), error["msg"].removeprefix("Value error, "))
    if error["type"] == "missing":
        message = "is missing"
    elif error["type"] in ("model_type", "dict_type"):
        message = "expected a table, such as { … }"
    secret = any(part in _SECRETS for part in loc)
    given = error["input"]
    plain = isinstance(given, str | int | float) and not secret  # a whole table may hold a secret
    got = f" = {_shown(given)}" if plain and error["type"] not in ("missing", "value_error") else ""
    hint = ' (a secret is named, never written here: { env = "NAME" })' if secret else ""
    return f"{key}{got}: {message}{hint}"


def _shown(value: object) -> str:
    """A value as a message repeats it: short, and without a password that an address may hold."""
    text = re.sub(r"//[^/@]*@", "//***@", value) if isinstance(value, str) else value
    return repr(text)[:80]
