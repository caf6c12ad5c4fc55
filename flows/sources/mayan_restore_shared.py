"""What documents refer to, at a target: types, metadata types, tags, cabinets; read, planned, made where missing.

All are known by a name that is unique there, so that nothing is made twice however often it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.errors import SourceRefused, SourceUnexpected
from flows.sources.base import Ledger
from flows.sources.client import Answer
from flows.sources.mayan_cabinets import Labels, by_path, with_parents
from flows.sources.mayan_documents import cabinets_of
from flows.sources.mayan_restore_plan import Wish
from flows.sources.mayan_wire import Wire, member, value

COLOUR = "#808080"  # of a tag of which the snapshot tells none
_OF_METADATA = ("label", "default", "lookup", "parser", "parser_arguments", "validation", "validation_arguments")

Send = Callable[[str, str, Mapping[str, Any], str], Answer]
"""Method, path, JSON, and the permission that it takes. Raises what the answer means."""


@dataclass(slots=True)
class Shared:
    """What documents refer to, by name."""

    types: dict[str, dict[str, bool]] = field(default_factory=dict)  # metadata types of each; whether required
    metadata_types: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # colours
    cabinets: set[Labels] = field(default_factory=set)
    paths: dict[str, Labels] = field(default_factory=dict)  # which cabinet a full path means


@dataclass(slots=True)
class There:
    """What a target has of it, and under which ids."""

    has: Shared = field(default_factory=Shared)
    types: dict[str, int] = field(default_factory=dict)
    metadata_types: dict[str, int] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    cabinets: dict[Labels, int] = field(default_factory=dict)


def told(about: Mapping[str, Any]) -> Shared:
    """What a snapshot's mayan.json tells; empty where it tells nothing. Raises KeyError, TypeError."""
    cabinets, paths = by_path(about.get("cabinets", ()))
    return Shared(
        {
            row["label"]: {name: bool(link["required"]) for name, link in row["metadata"].items()}
            for row in about.get("types", ())
        },
        {row["name"]: row for row in about.get("metadata_types", ())},
        {row["label"]: row["color"] or COLOUR for row in about.get("tags", ())},
        with_parents(cabinets),
        paths,
    )


def add_needed(needed: Shared, wish: Wish, known: Shared) -> None:
    """Add to `needed` what one document refers to, as far as `known` tells of it."""
    links = needed.types.setdefault(wish.type, dict(known.types.get(wish.type, {})))
    for name in wish.metadata:
        links.setdefault(name, False)
    for name in links:
        needed.metadata_types.setdefault(name, known.metadata_types.get(name, {"label": name}))
    for tag in wish.tags:
        needed.tags.setdefault(tag, known.tags.get(tag, COLOUR))
    needed.cabinets |= with_parents(wish.cabinets)


def missing(needed: Shared, has: Shared) -> Mapping[str, int]:
    """How many of each kind are to be made."""
    return {
        "document types": len(needed.types.keys() - has.types.keys()),
        "metadata types": len(needed.metadata_types.keys() - has.metadata_types.keys()),
        "tags": len(needed.tags.keys() - has.tags.keys()),
        "cabinets": len(needed.cabinets - has.cabinets),
    }


def present(needed: Shared, has: Shared) -> Mapping[str, int]:
    """How many of each kind are there already."""
    total = {
        "document types": len(needed.types),
        "metadata types": len(needed.metadata_types),
        "tags": len(needed.tags),
        "cabinets": len(needed.cabinets),
    }
    return {kind: count - missing(needed, has)[kind] for kind, count in total.items()}


def unlike(needed: Shared, has: Shared) -> list[str]:
    """What is there under the same name and is not the same; it stays as it is."""
    notes = []
    for name, row in sorted(needed.metadata_types.items()):
        there = has.metadata_types.get(name)
        odd = [key for key in _OF_METADATA if there and key in row and (row[key] or "") != (there.get(key) or "")]
        if odd:
            notes.append(f"metadata type {name!r} is there with another {', '.join(odd)}")
    for label, colour in sorted(needed.tags.items()):
        there_colour = has.tags.get(label, colour)
        if there_colour.lower() != colour.lower():
            notes.append(f"tag {label!r} is there with colour {there_colour}, kept {colour}")
    for label, links in sorted(needed.types.items()):
        known = has.types.get(label)
        if known is not None and (new := sorted(links.keys() - known.keys())):
            notes.append(
                f"document type {label!r} is there and gets metadata types {', '.join(new)}, not required"
            )
    return notes


def read(wire: Wire) -> There:
    """What a target has. Memory: all of it."""
    found = There()
    for row in wire.rows("/document_types/"):
        label, number = value(row, "label", str), value(row, "id", int)
        links = wire.rows(f"/document_types/{number}/metadata_types/")
        found.types[label] = number
        found.has.types[label] = {
            value(value(link, "metadata_type", dict), "name", str): bool(link.get("required")) for link in links
        }
    for row in wire.rows("/metadata_types/"):
        found.metadata_types[value(row, "name", str)] = value(row, "id", int)
        found.has.metadata_types[value(row, "name", str)] = row
    for row in wire.rows("/tags/"):
        found.tags[value(row, "label", str)] = value(row, "id", int)
        found.has.tags[value(row, "label", str)] = value(row, "color", str)
    found.cabinets = {labels: number for number, labels in cabinets_of(wire).items()}
    found.has.cabinets = set(found.cabinets)
    return found


def make(needed: Shared, there: There, send: Send, ledger: Ledger) -> None:
    """Make what is missing; `there` knows it afterwards. Retry: yes, with what is read anew."""
    for name, row in sorted(needed.metadata_types.items()):
        if name not in there.metadata_types:
            body = {key: row[key] or "" for key in _OF_METADATA if row.get(key) is not None}
            answer = send(
                "POST", "/metadata_types/", {"name": name, **body}, "metadata_setup.metadata_type_create"
            )
            there.metadata_types[name] = _id(answer)
    for label, colour in sorted(needed.tags.items()):
        if label not in there.tags:
            there.tags[label] = _id(send("POST", "/tags/", {"label": label, "color": colour}, "tags.tag_create"))
    for labels in sorted(needed.cabinets, key=len):  # what is above has fewer labels
        if labels not in there.cabinets:
            body = {"label": labels[-1], "parent": there.cabinets[labels[:-1]] if labels[1:] else None}
            there.cabinets[labels] = _id(send("POST", "/cabinets/", body, "cabinets.cabinet_create"))
    for label, links in sorted(needed.types.items()):
        _make_type(label, links, there, send, ledger)


def _make_type(label: str, links: Mapping[str, bool], there: There, send: Send, ledger: Ledger) -> None:
    """No metadata type is required yet: that would refuse empty values, and add some to documents of others."""
    if label not in there.types:
        ledger.note(f"type {label}", ours=True)
        try:
            answer = send("POST", "/document_types/", {"label": label}, "documents_types.document_type_create")
        except SourceRefused:
            ledger.note(f"type {label}", ours=False)
            raise
        there.types[label] = _id(answer)
        there.has.types[label] = {}
    for name in sorted(links.keys() - there.has.types[label].keys()):
        body = {"metadata_type_id": there.metadata_types[name], "required": False}
        path = f"/document_types/{there.types[label]}/metadata_types/"
        send("POST", path, body, "documents_types.document_type_edit and metadata_setup.metadata_type_edit")
        there.has.types[label][name] = False


def require(needed: Shared, there: There, wire: Wire, send: Send, ledger: Ledger) -> None:
    """Make required what the snapshot says is, of the types that this restore made. Retry: yes."""
    for label, links in sorted(needed.types.items()):
        wanted = {name for name, required in links.items() if required}
        if not wanted or not ledger.of(f"type {label}").get("ours"):
            continue
        path = f"/document_types/{there.types[label]}/metadata_types/"
        for link in wire.rows(path):
            name = value(value(link, "metadata_type", dict), "name", str)
            if name in wanted and not link.get("required"):
                needs = "documents_types.document_type_edit"
                send("PATCH", f"{path}{value(link, 'id', int)}/", {"required": True}, needs)


def _id(answer: Answer) -> int:
    found: int = member(answer, "id", int)
    if found <= 0:
        raise SourceUnexpected(f"Mayan EDMS: id {found} of what was made")
    return found
