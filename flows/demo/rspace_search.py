"""RSpace's search of documents: the terms of `advancedQuery`, a plain `query`, and the order of the answer.

It narrows what a caller may read anyway; it lists nothing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from flows.demo.archive_names import FORMS, form_id
from flows.demo.lab import Document, Lab
from flows.demo.roster import below
from flows.demo.rspace_call import Call, day_range
from flows.demo.rspace_errors import Refusal, invalid

_LONGEST = 2000  # characters of either query
_Rule = Callable[[Document], bool]


def search(call: Call, documents: list[Document]) -> list[Document]:
    """Raises Refusal 400 for a query that is too long, 422 for one that cannot be read or for both at once."""
    plain, advanced = call.request.parameter("query"), call.request.parameter("advancedQuery")
    for name, text in (("query", plain), ("advancedQuery", advanced)):
        if len(text) > _LONGEST:
            raise invalid([(name, text, f"Max {name} length is {_LONGEST}.")], "apiDocSearchConfig")
    if plain and advanced:
        raise Refusal(422, 42201, "please provide either a query or advancedQuery, not both")
    operator, terms = ("and", [("global", plain)]) if plain else _terms(advanced)
    if not terms:
        return documents
    rules = [_RULES[kind](call.world.lab, text) for kind, text in terms]
    wanted = all if operator == "and" else any
    return [d for d in documents if wanted(rule(d) for rule in rules)]


def ordered(documents: list[Document], order: str) -> list[Document]:
    name, _, direction = order.partition(" ")
    keys: dict[str, Callable[[Document], tuple[Any, int]]] = {
        "lastModified": lambda d: (d.modified_at, d.id),
        "created": lambda d: (d.created_at, d.id),
        "name": lambda d: (d.name, d.id),
    }
    if name not in keys or direction not in ("", "asc", "desc"):
        raise invalid([("orderBy", order, "must be name, created or lastModified, asc or desc")], "pagination")
    return sorted(documents, key=keys[name], reverse=direction == "desc")


def _terms(query: str) -> tuple[str, list[tuple[str, str]]]:
    """The operator, and (queryType, query) of each term."""
    if not query:
        return "and", []
    try:
        parsed = json.loads(query)
        operator = parsed.get("operator", "and")
        terms = [(str(t["queryType"]), str(t["query"])) for t in parsed["terms"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        operator, terms = "", []
    if operator not in ("and", "or") or any(kind not in _RULES for kind, _ in terms):
        raise Refusal(422, 42201, f"problem with parsing advancedQuery: {query}")
    return operator, terms


def _parts(text: str) -> set[str]:
    return {part.strip().lower() for part in text.split(",") if part.strip()}


def _tag(lab: Lab, text: str) -> _Rule:
    """Every tag asked for, whole and in any case."""
    return lambda d: _parts(text) <= {tag.lower() for tag in lab.tags.get(d.id, ())}


def _form(_: Lab, text: str) -> _Rule:
    """By global id, id or name."""
    wanted = text.strip().lower()
    return lambda d: wanted in (f"fm{form_id(d)}", f"{form_id(d)}", FORMS[form_id(d)].lower())


def _owner(lab: Lab, text: str) -> _Rule:
    return lambda d: lab.users[d.owner_id].username.lower() in _parts(text)


def _records(lab: Lab, text: str) -> _Rule:
    """Documents by id or global id (SD), and those anywhere below a folder (FL) or notebook (NB)."""
    named = [found for part in _parts(text) if (found := re.fullmatch(r"(sd|fl|nb|)(\d+)", part))]
    documents = {int(n[2]) for n in named if n[1] in ("", "sd")}
    inside = below(lab, [int(n[2]) for n in named if n[1] != "sd" and int(n[2]) in lab.folders])
    return lambda d: d.id in documents or d.parent_id in inside


def _last_modified(_: Lab, text: str) -> _Rule:
    first, last = day_range(text)
    return lambda d: first <= d.modified_at < last


def _created(_: Lab, text: str) -> _Rule:
    first, last = day_range(text)
    return lambda d: first <= d.created_at < last


def _name(_: Lab, text: str) -> _Rule:
    return lambda d: text.strip("* ").lower() in d.name.lower()


def _full_text(_: Lab, text: str) -> _Rule:
    return lambda d: any(text.lower() in p.lower() for f in d.fields for p in f.paragraphs)


def _global(lab: Lab, text: str) -> _Rule:
    rules = [rule(lab, text) for rule in (_name, _tag, _full_text, _owner)]
    return lambda d: any(rule(d) for rule in rules)


_RULES: dict[str, Callable[[Lab, str], _Rule]] = {
    "tag": _tag,
    "form": _form,
    "owner": _owner,
    "records": _records,
    "lastModified": _last_modified,
    "created": _created,
    "name": _name,
    "fullText": _full_text,
    "global": _global,
}
