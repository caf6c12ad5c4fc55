"""How GitLab scopes are written: in strongroom.toml, and on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flows.export import EVERY, Scope

KINDS = ("project",)
_KEYS = ("name", "project", "every", "group", "except")
# Each part as GitLab allows it (docs.gitlab.com/user/reserved_names); a project has a group or a user before it.
_PART = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*"
_PROJECT = re.compile(rf"[1-9][0-9]{{0,17}}|{_PART}(/{_PART})+")
_GROUP = re.compile(rf"[1-9][0-9]{{0,17}}|{_PART}(/{_PART})*")
_FORM = "expected project:NUMBER or project:GROUP/PROJECT"


def parse_scope(text: str) -> Scope:
    """`project:123`, `project:group/sub/name`; also with : for /, as chains are called. Raises ValueError."""
    kind, _, project = text.partition(":")
    if kind not in KINDS or not _PROJECT.fullmatch(project.replace(":", "/")):
        raise ValueError(f"scope {text!r}: {_FORM}")
    return scope_from_table({"project": project.replace(":", "/")})


def scope_from_table(table: Mapping[str, Any]) -> Scope:
    """From a `[[source.scope]]` table. Raises ValueError that names the key, the value and what was expected."""
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of a gitlab scope; it has {', '.join(sorted(_KEYS))}")
    if ("project" in table) == ("every" in table):
        raise ValueError('a scope has exactly one of project = "GROUP/PROJECT" and every = "project"')
    options: dict[str, Any] = {}
    if "project" in table:
        scope_id = _named(table, "project", _PROJECT, "a number, or a full path such as group/project")
        for key in ("group", "except"):
            if key in table:
                raise ValueError(f"{key}: only goes with every")
    else:
        if table["every"] not in KINDS:
            raise ValueError(f'every = {table["every"]!r}: expected "project"')
        scope_id = EVERY
        if "group" in table:
            options["group"] = _named(table, "group", _GROUP, "a number, or a full path such as group/subgroup")
        options |= _except(table)
    name = table.get("name", _name(scope_id, options))
    if not isinstance(name, str) or not re.fullmatch(r"[^\s/\\][^/\\\x00-\x1f]{0,149}", name):
        raise ValueError(f"name = {name!r}: expected at most 150 characters without slashes")
    return Scope(name, "project", scope_id, options)


def member(every: Scope, found: str) -> Scope:
    """One project of an every-scope, by its number, which a move does not change. Raises ValueError."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", found):
        raise ValueError(f"{found!r}: expected the number of a project")
    given = every.name != _name(EVERY, every.options)
    return Scope(f"{every.name}:{_name(found, {})}" if given else _name(found, {}), every.kind, found)


def _name(scope_id: str, options: Mapping[str, Any]) -> str:
    """The chain's name where the user gives none; GitLab has no : in paths, and chains no / in names."""
    if scope_id == EVERY:
        return f"every project of {options['group']}".replace("/", ":") if "group" in options else "every project"
    return f"project:{scope_id.replace('/', ':')}"


def _named(table: Mapping[str, Any], key: str, form: re.Pattern[str], expected: str) -> str:
    value = table[key]
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > 140 or not form.fullmatch(text):
        raise ValueError(f"{key} = {value!r}: expected {expected}")
    return text


def _except(table: Mapping[str, Any]) -> dict[str, Any]:
    value = table.get("except", [])
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise ValueError(f"except = {value!r}: expected a list of projects' numbers, such as [12, 15]")
    return {"except": sorted(set(value))} if value else {}
