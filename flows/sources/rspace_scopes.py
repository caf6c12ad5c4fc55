"""How RSpace scopes are written: in strongroom.toml, and on the command line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from flows.export import Scope

KINDS = ("user", "group", "selection")
FORMATS = ("xml", "html")
MAX_IDS = 2000  # contract rspace.md section 1
MAX_LINK_LEVEL = 100
_MAX_NAME = 60  # characters of a name made from ids


def parse_scope(text: str) -> Scope:
    """`user`, `user:7`, `group:1234`, `selection:12,15`; with `:html` at the end for html.

    Raises ValueError that says the form.
    """
    parts = text.split(":")
    form = parts.pop() if len(parts) > 1 and parts[-1] in FORMATS else "xml"
    kind, rest = parts[0], parts[1:]
    if kind not in KINDS or len(rest) > 1:
        raise ValueError(
            f"scope {text!r}: expected user[:ID], group[:ID] or selection:ID,ID,… with an optional :html"
        )
    table: dict[str, Any] = {"kind": kind, "format": form}
    if kind == "selection":
        table["ids"] = [int(part) if part.isdecimal() else part for part in rest[0].split(",")] if rest else []
    elif rest:
        table["id"] = int(rest[0]) if rest[0].isdecimal() else rest[0]
    return scope_from_table(table)


def scope_from_table(table: Mapping[str, Any]) -> Scope:
    """From a `[[source.scope]]` table. Raises ValueError that names the key, the value and what was expected."""
    known = {"name", "kind", "id", "ids", "format", "revisions", "link_level"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of an rspace scope; it has {', '.join(sorted(known))}")
    kind, form = table.get("kind"), table.get("format", "xml")
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: expected one of {', '.join(KINDS)}")
    if form not in FORMATS:
        raise ValueError(f"format = {form!r}: expected xml or html")
    options: dict[str, Any] = {"format": form}
    scope_id = _identifier(kind, table)
    if kind == "selection":
        options["ids"] = _ids(table.get("ids"))
    elif "ids" in table:
        raise ValueError(f"ids: only a selection has them, not a {kind}")
    if _flag(table, "revisions"):
        options["revisions"] = True
    level = table.get("link_level", 1)
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= MAX_LINK_LEVEL:
        raise ValueError(f"link_level = {level!r}: expected a whole number from 0 to {MAX_LINK_LEVEL}")
    if level != 1:
        options["link_level"] = level
    name = table.get("name") or _name(kind, scope_id, options)
    if not isinstance(name, str) or not re.fullmatch(r"[^\s/\\][^/\\\x00-\x1f]{0,59}", name):
        raise ValueError(f"name = {name!r}: expected at most 60 characters without slashes")
    return Scope(name, kind, scope_id, options)


def _identifier(kind: str, table: Mapping[str, Any]) -> str:
    value = table.get("id")
    if value is None:
        return ""
    if kind == "selection":
        raise ValueError("id: a selection has ids, a list")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"id = {value!r}: expected RSpace's number of the {kind}, from 1")
    return str(value)


def _ids(value: object) -> list[int]:
    if not isinstance(value, list) or not value:
        raise ValueError("ids: a selection needs a list of record numbers, such as [12, 15]")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or item < 1:
            raise ValueError(f"ids: {item!r} is no record number; RSpace's SD123 is written 123")
    numbers = sorted(set(value))
    if len(numbers) > MAX_IDS:
        raise ValueError(f"ids: {len(numbers)} records, RSpace exports at most {MAX_IDS} at once")
    return numbers


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} = {value!r}: expected true or false")
    return value


def _name(kind: str, scope_id: str, options: Mapping[str, Any]) -> str:
    """The chain's name where the user gives none: what `parse_scope` reads, shortened for long selections."""
    parts = [kind]
    if scope_id:
        parts.append(scope_id)
    if kind == "selection":
        ids = ",".join(str(number) for number in options["ids"])
        if len(ids) > _MAX_NAME - 20:
            ids = f"{len(options['ids'])}-records-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"
        parts.append(ids)
    if options["format"] != "xml":
        parts.append(options["format"])
    return ":".join(parts)
