"""How Mayan scopes are written: in strongroom.toml, and on the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flows.export import Scope

KINDS = ("all", "type", "cabinet", "tag", "search", "ids")
EXPORTS = ("none", "active", "all")
MAX_IDS = 2000
SWEEP_DAYS = 90  # within which every document is looked at whole, whatever the server says of changes
_KEYS = ("name", "kind", "id", "ids", "query", "exports", "sweep_days", "except_files")
_FORM = "expected all, type:ID, cabinet:ID, tag:ID, search:WORDS or ids:ID,ID,…; with +exports for version exports"


def parse_scope(text: str) -> Scope:
    """`all`, `type:3`, `cabinet:7`, `tag:2`, `search:invoice`, `ids:4,5`; `+exports` behind. Raises ValueError."""
    plain, _, more = text.partition("+")
    kind, _, rest = plain.partition(":")
    if kind in ("user", "group"):
        raise ValueError(_not_here(kind))
    if kind not in KINDS or (more and more != "exports") or (kind == "all") == bool(rest):
        raise ValueError(f"scope {text!r}: {_FORM}")
    table: dict[str, Any] = {"kind": kind}
    if more:
        table["exports"] = "active"
    if kind == "ids":
        table["ids"] = [_number(part) for part in rest.split(",")]
    elif kind == "search":
        table["query"] = rest
    elif kind != "all":
        table["id"] = int(rest) if rest.isdecimal() else rest
    return scope_from_table(table)


def scope_from_table(table: Mapping[str, Any]) -> Scope:
    """From a `[[source.scope]]` table. Raises ValueError that names the key, the value and what was expected."""
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of a mayan scope; it has {', '.join(sorted(_KEYS))}")
    kind = table.get("kind")
    if kind in ("user", "group"):
        raise ValueError(_not_here(kind))
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: expected one of {', '.join(KINDS)}")
    exports = table.get("exports", "none")
    if exports not in EXPORTS:
        raise ValueError(f"exports = {exports!r}: expected one of {', '.join(EXPORTS)}")
    days = table.get("sweep_days", SWEEP_DAYS)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 365:
        raise ValueError(f"sweep_days = {days!r}: expected a whole number from 1 to 365")
    options: dict[str, Any] = {"exports": exports, "sweep_days": days}
    if "except_files" in table:
        options["except_files"] = _ids(table, "except_files")
    scope_id = ""
    for key, belongs in (("id", ("type", "cabinet", "tag")), ("ids", ("ids",)), ("query", ("search",))):
        if (key in table) != (kind in belongs):
            raise ValueError(f"{key}: {'needed for' if kind in belongs else 'not a key of'} kind = {kind!r}")
    if kind == "ids":
        options["ids"] = _ids(table, "ids")
    elif kind == "search":
        options["query"] = _text(table, "query")
    elif kind != "all":
        found = table["id"]
        scope_id = str(_number(found)) if not isinstance(found, str) else _text(table, "id")
    name = table["name"] if "name" in table else _name(str(kind), scope_id, options)
    if not isinstance(name, str) or not name.strip() or len(name) > 60 or not name.isprintable() or "/" in name:
        raise ValueError(f"name = {name!r}: expected up to 60 printable characters without a slash")
    return Scope(name, str(kind), scope_id, options)


def member(every: Scope, found: str) -> Scope:
    """No Mayan scope stands for several."""
    raise ValueError(f"{every.name}: stands for itself alone, not for {found}")


def _name(kind: str, scope_id: str, options: Mapping[str, Any]) -> str:
    if kind == "ids":
        digest = hashlib.sha256(",".join(map(str, options["ids"])).encode()).hexdigest()[:8]
        return f"ids-{digest}"
    said = options.get("query", scope_id)
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in said)
    if plain != said or len(plain) > 40:
        plain = f"{plain[:40]}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    return f"{kind}-{plain}" if plain else kind


def _not_here(kind: str) -> str:
    return (
        f"kind = {kind!r}: Mayan EDMS keeps documents by type, cabinet and tag, not by {kind}; "
        'kind = "all" is all that this user may see, kind = "cabinet" is the nearest to what a department has'
    )


def _ids(table: Mapping[str, Any], key: str) -> list[int]:
    found = table[key]
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_IDS:
        raise ValueError(f"{key}: expected a list of 1 to {MAX_IDS} ids")
    return sorted({_number(one) for one in found})


def _number(found: object) -> int:
    if isinstance(found, str) and found.isdecimal():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found < 2**63:
        raise ValueError(f"{found!r}: expected an id, a whole number above 0")
    return found


def _text(table: Mapping[str, Any], key: str) -> str:
    found = table[key]
    if not isinstance(found, str) or not found.strip() or len(found) > 200 or not found.isprintable():
        raise ValueError(f"{key} = {found!r}: expected up to 200 printable characters")
    return found
