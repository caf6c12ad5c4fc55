"""How WebAdMIT scopes are written: in strongroom.toml, and on the command line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from flows.export import EVERY, Scope
from flows.sources.webadmit_names import NEWEST, WHO

KINDS = ("export", "pdf")
_KEYS = ("name", *KINDS, "every", "except", *WHO, "cycle", "fresh")
_MAX_NAME = 60  # characters of a scope's name
_MAX_PREFIX = 30  # ... of one that stands before those of an every-scope's members
_MAX_WORDS = 200  # characters of a name that people gave in WebAdMIT
_PLAIN = re.compile(r"[^\s/\\:][^/\\:\x00-\x1f]{0,49}")
_FORM = "expected export:NAME or pdf:NAME, with the name of the export or of the template as WebAdMIT shows it"


def parse_scope(text: str) -> Scope:
    """`export:Nightly full`, `pdf:All documents`: of the only identity that the key has, in its newest cycle.

    Raises ValueError that says the form. Where the key has several identities only the file can name one.
    """
    kind, _, name = text.partition(":")
    if kind not in KINDS or not name.strip():
        raise ValueError(f"scope {text!r}: {_FORM}")
    return scope_from_table({kind: name.strip()})


def scope_from_table(table: Mapping[str, Any]) -> Scope:
    """From a `[[source.scope]]` table. Raises ValueError that names the key, the value and what was expected."""
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of a webadmit scope; it has {', '.join(sorted(_KEYS))}")
    given = [key for key in (*KINDS, "every") if key in table]
    if len(given) != 1:
        raise ValueError(
            'a scope has exactly one of export = "NAME", pdf = "NAME of a PDF Manager template", '
            f'every = "export" or "pdf"; here is {" and ".join(given) or "none"}'
        )
    options: dict[str, Any] = {key: _words(table, key) for key in WHO if key in table}
    options["cycle"] = _cycle(table.get("cycle", NEWEST))
    fresh = table.get("fresh", True)
    if not isinstance(fresh, bool):
        raise ValueError(f"fresh = {fresh!r}: expected true or false")
    if not fresh:
        options["fresh"] = False
    if given == ["every"]:
        kind, scope_id = table["every"], EVERY
        if kind not in KINDS:
            raise ValueError(f"every = {kind!r}: expected one of {', '.join(KINDS)}")
        options |= _except(table)
    else:
        kind = given[0]
        scope_id = _words(table, kind)
        if scope_id == EVERY:
            raise ValueError(f'{kind} = "*": every = "{kind}" stands for all of them')
        if "except" in table:
            raise ValueError("except: only goes with every")
    name = table.get("name") or _name(kind, scope_id)
    longest = _MAX_PREFIX if scope_id == EVERY else _MAX_NAME
    if not isinstance(name, str) or not re.fullmatch(rf"[^\s/\\][^/\\\x00-\x1f]{{0,{longest - 1}}}", name):
        raise ValueError(f"name = {name!r}: expected at most {longest} characters without slashes")
    return Scope(name, kind, scope_id, options)


def member(every: Scope, found: str) -> Scope:
    """One of those that an every-scope stands for, by the name it has in WebAdMIT; its chain is called so.

    Raises ValueError for a name that no chain can have: such a one is configured by itself.
    """
    if not _PLAIN.fullmatch(found) or found != found.strip() or not found.isprintable():
        raise ValueError(f"{found!r}: no scope can be called so; configure it by itself, with a name of its own")
    options = {key: value for key, value in every.options.items() if key != "except"}
    given = every.name != _name(every.kind, EVERY)
    name = _name(every.kind, found)
    return Scope(f"{every.name}:{name}" if given else name, every.kind, found, options)


def _name(kind: str, scope_id: str) -> str:
    """The chain's name where the user gives none: what `parse_scope` reads, or nearly so for an odd name."""
    if scope_id == EVERY:
        return f"every {kind}"
    if _PLAIN.fullmatch(scope_id):
        return f"{kind}:{scope_id}"
    plain = re.sub(r"[\s/\\:]+", "-", scope_id)[:30]
    return f"{kind}:{plain}-{hashlib.sha256(scope_id.encode()).hexdigest()[:8]}"


def _except(table: Mapping[str, Any]) -> dict[str, Any]:
    value = table.get("except")
    if value is None:
        return {}
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'except = {value!r}: expected a list of names, such as ["Old export"]')
    return {"except": sorted(set(value))} if value else {}


def _cycle(value: object) -> str:
    if value == NEWEST:
        return NEWEST
    if not isinstance(value, str) or not re.fullmatch(r"\s*\d{4}\s*[-–/]\s*\d{4}\s*", value):
        raise ValueError(f'cycle = {value!r}: expected "newest", or a cycle as WebAdMIT has it: "2025 - 2026"')
    first, last = re.findall(r"\d{4}", value)
    return f"{first} - {last}"


def _words(table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_WORDS or not value.isprintable():
        raise ValueError(f"{key} = {value!r}: expected a name of at most {_MAX_WORDS} characters")
    return " ".join(value.split())
