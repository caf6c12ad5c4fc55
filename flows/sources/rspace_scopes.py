"""How RSpace scopes are written: in strongroom.toml, and on the command line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from flows.export import EVERY, Scope

KINDS = ("user", "group", "selection")
FORMATS = ("xml", "html")
MAX_IDS = 2000  # contract rspace.md section 1
MAX_LINK_LEVEL = 100
TERMS = ("tag", "form", "owner")  # of a search, all of which must hold; besides them the two dates
DATES = ("modified_from", "modified_to")
_KEYS = ("name", "kind", "id", "every", "except", "ids", "folder", "search", "leave_out_unreadable", "format",
         "revisions", "link_level")  # fmt: skip
_MAX_NAME = 60  # characters
_MAX_PREFIX = 30  # ... of a name that stands before those of an every-scope's members
_FOLDER = "folder-"  # before a folder's number in a name


def parse_scope(text: str) -> Scope:
    """`user`, `user:7`, `group:1234`, `selection:12,15`, `selection:folder-123`; with `:html` at the end for html.

    Raises ValueError that says the form. An every-scope and a search have no such form: only the file has them.
    """
    parts = text.split(":")
    form = parts.pop() if len(parts) > 1 and parts[-1] in FORMATS else "xml"
    kind, rest = parts[0], parts[1:]
    if kind not in KINDS or len(rest) > 1:
        raise ValueError(
            f"scope {text!r}: expected user[:ID], group[:ID], selection:ID,ID,… or selection:folder-ID, "
            "with an optional :html"
        )
    table: dict[str, Any] = {"kind": kind, "format": form}
    if kind == "selection" and rest and rest[0].startswith(_FOLDER):
        table["folder"] = _number(rest[0].removeprefix(_FOLDER))
    elif kind == "selection":
        table["ids"] = [_number(part) for part in rest[0].split(",")] if rest else []
    elif rest:
        table["id"] = _number(rest[0])
    return scope_from_table(table)


def scope_from_table(table: Mapping[str, Any]) -> Scope:
    """From a `[[source.scope]]` table. Raises ValueError that names the key, the value and what was expected."""
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of an rspace scope; it has {', '.join(sorted(_KEYS))}")
    kind, form = table.get("kind"), table.get("format", "xml")
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: expected one of {', '.join(KINDS)}")
    if form not in FORMATS:
        raise ValueError(f"format = {form!r}: expected xml or html")
    options: dict[str, Any] = {"format": form}
    if kind == "selection":
        scope_id = ""
        options |= _selection(table)
    else:
        scope_id = _whose(kind, table)
        options |= _except(table)
    if _flag(table, "revisions"):
        options["revisions"] = True
    level = table.get("link_level", 1)
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= MAX_LINK_LEVEL:
        raise ValueError(f"link_level = {level!r}: expected a whole number from 0 to {MAX_LINK_LEVEL}")
    if level != 1:
        options["link_level"] = level
    name = table.get("name") or _name(kind, scope_id, options)
    longest = _MAX_PREFIX if scope_id == EVERY else _MAX_NAME
    if not isinstance(name, str) or not re.fullmatch(rf"[^\s/\\][^/\\\x00-\x1f]{{0,{longest - 1}}}", name):
        raise ValueError(f"name = {name!r}: expected at most {longest} characters without slashes")
    return Scope(name, kind, scope_id, options)


def member(every: Scope, member_id: str) -> Scope:
    """One of those that an every-scope stands for: its options, and a chain of snapshots of its own.

    The chain is called as if the member were configured by itself; where the every-scope was given a name, that
    stands before it (`full:user:7`). Raises ValueError for what is no number of RSpace's.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,18}", member_id):
        raise ValueError(f"{member_id!r}: not RSpace's number of a {every.kind}")
    options = {key: value for key, value in every.options.items() if key != "except"}
    given = every.name != _name(every.kind, EVERY, every.options)
    name = _name(every.kind, member_id, options)
    return Scope(f"{every.name}:{name}" if given else name, every.kind, member_id, options)


# -- users and groups


def _whose(kind: str, table: Mapping[str, Any]) -> str:
    """The id of one, "*" for every one, "" for the key's own."""
    for key in ("ids", "folder", "search", "leave_out_unreadable"):
        if key in table:
            raise ValueError(f"{key}: only a selection has {'them' if key == 'ids' else 'it'}, not a {kind}")
    value = table.get("id")
    if _flag(table, "every"):
        if value is not None:
            raise ValueError(f"id: every = true stands for every {kind}; leave one of the two out")
        return EVERY
    if value is None:
        return ""
    if not _is_number(value):
        raise ValueError(f"id = {value!r}: expected RSpace's number of the {kind}, from 1")
    return str(value)


def _except(table: Mapping[str, Any]) -> dict[str, Any]:
    value = table.get("except")
    if value is None:
        return {}
    if not _flag(table, "every"):
        raise ValueError("except: only goes with every = true")
    if not isinstance(value, list) or not all(_is_number(item) for item in value):
        raise ValueError(f"except = {value!r}: expected a list of RSpace's numbers, such as [7, 9]")
    return {"except": sorted(set(value))} if value else {}


# -- selections


def _selection(table: Mapping[str, Any]) -> dict[str, Any]:
    """What is selected, as options: ids as they are, a folder or a search to be looked up each night."""
    for key in ("id", "every", "except"):
        if key in table:
            raise ValueError(f"{key}: a selection has ids, a folder or a search")
    given = [key for key in ("ids", "folder", "search") if key in table]
    if len(given) != 1:
        raise ValueError(
            f"a selection has exactly one of ids = [12, 15], folder = 123, search = {{ … }}; "
            f"here is {' and '.join(given) or 'none'}"
        )
    options: dict[str, Any] = {}
    if "ids" in table:
        options["ids"] = _ids(table["ids"])
    elif "folder" in table:
        if not _is_number(table["folder"]):
            raise ValueError(f"folder = {table['folder']!r}: expected its number; RSpace's FL123 is written 123")
        options["folder"] = table["folder"]
    else:
        options["search"] = _search(table["search"])
        if not table.get("name"):
            raise ValueError("name: a search needs one, which its snapshots are then found by")
    if _flag(table, "leave_out_unreadable"):
        options["leave_out_unreadable"] = True
    return options


def _ids(value: object) -> list[int]:
    if not isinstance(value, list) or not value:
        raise ValueError("ids: a selection needs a list of record numbers, such as [12, 15]")
    for item in value:
        if not _is_number(item):
            raise ValueError(f"ids: {item!r} is no record number; RSpace's SD123 is written 123")
    numbers = sorted(set(value))
    if len(numbers) > MAX_IDS:
        raise ValueError(f"ids: {len(numbers)} records, RSpace exports at most {MAX_IDS} at once")
    return numbers


def _search(value: object) -> dict[str, str]:
    """The terms of a search, all of which must hold, as texts; dates as 2026-01-31."""
    if not isinstance(value, dict) or not value:
        raise ValueError('search: expected a table with at least one term, such as { tag = "paper" }')
    unknown = sorted(set(value) - {*TERMS, *DATES})
    if unknown:
        raise ValueError(f"search.{unknown[0]}: not a term of a search; it has {', '.join((*TERMS, *DATES))}")
    terms = {key: _term(key, value[key]) for key in TERMS if key in value}
    terms |= {key: _date(key, value[key]) for key in DATES if key in value}
    first, last = (terms.get(key, "") for key in DATES)
    if first and last and first > last:
        raise ValueError(f"search.modified_from = {first}: is after modified_to = {last}")
    return terms


def _term(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 200:
        raise ValueError(f"search.{key} = {value!r}: expected a text of at most 200 characters")
    return value


def _date(key: str, value: object) -> str:
    # A datetime is a date to Python: RSpace compares days, so a time of day would be silently dropped.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
    except ValueError as exc:
        raise ValueError(f"search.{key} = {str(value)!r}: expected a day, such as 2026-01-31") from exc


# -- both


def _number(text: str) -> int | str:
    """A number of the command line; what is none stays a text, and is refused by its key."""
    return int(text) if text.isdecimal() and len(text) < 20 else text


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} = {value!r}: expected true or false")
    return value


def _name(kind: str, scope_id: str, options: Mapping[str, Any]) -> str:
    """The chain's name where the user gives none: what `parse_scope` reads, shortened for long selections."""
    form = [] if options["format"] == "xml" else [options["format"]]
    if scope_id == EVERY:
        return " ".join(["every", kind, *form])
    parts = [kind]
    if scope_id:
        parts.append(scope_id)
    if "folder" in options:
        parts.append(f"{_FOLDER}{options['folder']}")
    elif "ids" in options:
        ids = ",".join(str(number) for number in options["ids"])
        if len(ids) > _MAX_NAME - 20:
            ids = f"{len(options['ids'])}-records-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"
        parts.append(ids)
    return ":".join([*parts, *form])
