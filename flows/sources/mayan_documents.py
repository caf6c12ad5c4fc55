"""What Mayan says of its documents: the list of a scope, one whole, what changed since, what they refer to.

Facts: contract mayan.md sections 3, 5 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.errors import NothingThere, SourceRefused, SourceUnexpected
from flows.export import Scope
from flows.sources import mayan_document as documents
from flows.sources.mayan_document import Listed, listed
from flows.sources.mayan_wire import Missing, Wire, member, rows_of, value
from storage.snapshot import from_text

OVERLAP = timedelta(minutes=10)  # events are written by several processes, each by its own clock
MAX_PAGES = 100_000  # of the log of events: more is one that does not end
YOUNG = timedelta(minutes=15)  # a file so young may have no version yet (section 3)
_ONLY = {"_fields_only": ",".join(documents.FIELDS)}
# Events that change what is kept; reading, searching, recognising text and our own downloads do not.
_CHANGES = re.compile(
    r"(documents\.(document_(create|edit|type_change)|document_(file|version)_(created|edited|deleted)|"
    r"document_version_page\w*|document_trashed|trashed_document_restored|trashed_document_deleted)|"
    r"metadata\.document_metadata_\w+|tags\.(attach|remove)|cabinets\.(add_document|remove_document)|"
    r"document_comments\.\w+|redactions\.\w+)"
)
_OF = {"document": "id", "documentfile": "files", "documentversion": "versions", "comment": "comments"}


@dataclass(frozen=True, slots=True)
class Touched:
    """What events tell of since a night: ids of documents, files, versions, comments."""

    ids: Mapping[str, frozenset[int]]

    def hit(self, document: Mapping[str, Any]) -> bool:
        """Whether any of them is of this document."""
        if document["id"] in self.ids["id"]:
            return True
        return any(
            row["id"] in self.ids[part] for part in ("files", "versions", "comments") for row in document[part]
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What the log of events told."""

    touched: Touched | None  # None: nothing can be said, and `why`
    recent: frozenset[int]  # ids of its last events: the next night knows them already
    why: str = ""


class Documents:
    """The documents of one server, as this user may see them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    # -- lists

    def find(self, scope: Scope) -> Scope:
        """A scope whose type, cabinet or tag is named by its label, with its id. Raises as `Source.discover`."""
        if scope.kind not in ("type", "cabinet", "tag"):
            return scope
        path = {"type": "/document_types/", "cabinet": "/cabinets/", "tag": "/tags/"}[scope.kind]
        label = "full_path" if scope.kind == "cabinet" else "label"
        rows = {value(row, "id", int): value(row, label, str) for row in self._wire.rows(path)}
        if scope.id.isdecimal() and int(scope.id) in rows:
            return scope
        found = [number for number, name in rows.items() if name == scope.id]
        if len(found) == 1:
            return Scope(scope.name, scope.kind, str(found[0]), scope.options)
        there = ", ".join(sorted(repr(name) for name in rows.values())[:10]) or "none"
        text = f"{scope.name}: {len(found)} of this user's {scope.kind}s are called {scope.id!r}"
        raise SourceRefused(text, hint=f"name it by its id; there are: {there}")

    def rows(self, scope: Scope) -> Iterator[Listed]:
        """Every document of a scope, each once, in the order of ids; those below a cabinet's cabinets, too."""
        if scope.kind == "ids":
            for number in scope.options["ids"]:
                try:
                    yield listed(self._wire.get(f"/documents/{number}/", _ONLY).json())
                except Missing:
                    continue
            return
        if scope.kind == "search":
            path, words = "/search/documents.documentsearchresult/", {"q": scope.options["query"]}
            seen: set[int] = set()
            for row in self._wire.rows(path, {**_ONLY, **words, "_ordering": "id"}):
                one = listed(row)
                if one.id not in seen:
                    seen.add(one.id)
                    yield one
            return
        paths = self._paths(scope)
        found: set[int] = set()
        for path in paths:
            for row in self._wire.by_id(path, _ONLY):
                one = listed(row)
                if one.id not in found:
                    if len(paths) > 1:
                        found.add(one.id)
                    yield one

    def count(self, scope: Scope) -> int | None:
        """How many documents a scope has by the server's own count; None where it counts none of that kind."""
        paths = self._paths(scope) if scope.kind not in ("ids", "search") else []
        return self._wire.count(paths[0]) if len(paths) == 1 else None

    def _paths(self, scope: Scope) -> list[str]:
        match scope.kind:
            case "all":
                return ["/documents/"]
            case "type":
                return [f"/document_types/{scope.id}/documents/"]
            case "tag":
                return [f"/tags/{scope.id}/documents/"]
            case _:
                return [f"/cabinets/{number}/documents/" for number in self._below(int(scope.id))]

    def _below(self, top: int) -> list[int]:
        rows = list(self._wire.rows("/cabinets/"))
        parents = {value(row, "id", int): value(row, "parent_id", int, optional=True) for row in rows}
        found = [top]
        for number in found:
            found += [child for child, parent in parents.items() if parent == number]
        return found

    # -- one document

    def whole(self, row: Listed, now: datetime) -> dict[str, Any]:
        """All that the API tells of one, as document.json holds it. Raises Missing where it went meanwhile.

        `unsettled`: a worker is still at it, and tomorrow it is to be asked again.
        """
        base = f"/documents/{row.id}"
        files = [_file(found) for found in self._wire.rows(f"{base}/files/", {"_ordering": "id"})]
        if row.file_latest is not None and not files:
            self._wire.get(f"{base}/")  # raises Missing where it went
            raise SourceRefused(
                f"document {row.id} has a file, and none is listed: permission documents.document_file_view is "
                "missing",
                hint=HINT,
            )
        ready = [file for file in files if file["sha256"] is not None]
        named = documents.names([(file["id"], file["filename"]) for file in ready])
        pages: dict[int, tuple[int, int]] = {}
        for file in ready:
            file["name"] = named[file["id"]]
            for page in self._wire.rows(f"{base}/files/{file['id']}/pages/"):
                pages[value(page, "id", int)] = file["id"], value(page, "page_number", int)
        versions = [self._version(base, found, pages) for found in self._versions(base, row)]
        young = bool(files) and now - from_mayan(max(file["timestamp"] for file in files)) < YOUNG
        return {
            "format": documents.FORMAT,
            "id": row.id,
            "uuid": row.uuid,
            "label": row.label,
            "description": row.description,
            "language": row.language,
            "created": row.created,
            "type": row.type,
            "file_latest": row.file_latest,
            "version_active": row.version_active,
            "files": ready,
            "versions": versions,
            "metadata": {
                value(value(found, "metadata_type", dict), "name", str): value(found, "value", str, optional=True)
                for found in self._wire.rows(f"{base}/metadata/")
            },
            "tags": sorted(value(found, "label", str) for found in self._wire.rows(f"{base}/tags/")),
            "cabinets": sorted(value(found, "full_path", str) for found in self._wire.rows(f"{base}/cabinets/")),
            "comments": [_comment(found) for found in self._wire.rows(f"{base}/comments/")],
            "unsettled": len(ready) < len(files)
            or any(file["mimetype"] is None for file in files)
            or (young and row.version_active is None),
        }

    def _versions(self, base: str, row: Listed) -> list[Mapping[str, Any]]:
        found = list(self._wire.rows(f"{base}/versions/", {"_ordering": "id"}))
        if row.version_active is not None and not found:
            self._wire.get(f"{base}/")
            text = f"document {row.id} has a version, and none is listed: "
            raise SourceRefused(text + "permission documents.document_version_view is missing", hint=HINT)
        return found

    def _version(self, base: str, row: Mapping[str, Any], pages: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
        number = value(row, "id", int)
        mapping = []
        for page in self._wire.rows(f"{base}/versions/{number}/pages/"):
            model = value(value(page, "content_type", dict), "model", str)
            target = value(page, "object_id", int)
            file, of_file = pages.get(target, (None, None)) if model == "documentfilepage" else (None, None)
            mapping.append({"page": value(page, "page_number", int), "file": file, "page_of_file": of_file})
        return {
            "id": number,
            "active": value(row, "active", bool),
            "comment": value(row, "comment", str),
            "timestamp": value(row, "timestamp", str),
            "pages": sorted(mapping, key=lambda page: page["page"]),
        }

    # -- what changed

    def changes(self, since: datetime | None, as_of: datetime, known: frozenset[int]) -> Changes:
        """What the log of events says was changed since then, but for events `known` already.

        Events are read a while back beyond `since`: those that a process was still writing then would be missed.
        """
        ids: dict[str, set[int]] = {part: set() for part in _OF.values()}
        recent: set[int] = set()
        back = (since or as_of) - OVERLAP
        for number in range(1, MAX_PAGES):
            query = {"_ordering": "-id", "page": str(number), "page_size": "100"}
            answer = self._wire.ask("/events/", query)
            if answer.status in (403, 404):
                return Changes(None, frozenset(), "events may not be seen (permission events.events_view)")
            page = rows_of(self._wire.get("/events/", query) if answer.status != 200 else answer, "/events/")
            for row in page:
                event, at = value(row, "id", int), from_mayan(value(row, "timestamp", str))
                if at >= back and _is_change(row):
                    if event not in known:
                        _note(row, ids)
                    if at >= as_of - OVERLAP:
                        recent.add(event)
            if page and from_mayan(value(page[-1], "timestamp", str)) < back:
                break
            if not page or member(answer, "next", str, optional=True) is None:
                if since is None or not page or page[-1]["id"] == 1:
                    break
                why = f"the log of events begins after {since:%Y-%m-%d %H:%M} UTC"
                return Changes(None, frozenset(recent), why)
        else:
            raise SourceUnexpected("Mayan EDMS: a log of events that does not end")
        return Changes(Touched({part: frozenset(found) for part, found in ids.items()}), frozenset(recent))

    # -- what documents refer to

    def definitions(self) -> dict[str, Any]:
        """Types, tags, cabinets and metadata types: what a restore needs to make them anew."""
        of_metadata = ("name", "label", "default", "lookup", "parser", "parser_arguments", "validation",
                       "validation_arguments")  # fmt: skip
        kinds = {
            "metadata_types": ("/metadata_types/", of_metadata),
            "tags": ("/tags/", ("label", "color")),
            "cabinets": ("/cabinets/", ("full_path",)),
            "types": ("/document_types/", ("label", "id")),
        }
        found: dict[str, Any] = {}
        for name, (path, members) in kinds.items():
            rows = self._wire.rows(path)
            found[name] = sorted(({key: row.get(key) for key in members} for row in rows), key=str)
        for kind in found["types"]:
            links = self._wire.rows(f"/document_types/{kind.pop('id')}/metadata_types/")
            kind["metadata"] = {
                value(value(row, "metadata_type", dict), "name", str): {"required": bool(row.get("required"))}
                for row in links
            }
        return found

    def trashed(self) -> frozenset[int]:
        """The documents in the trash that this user may see."""
        rows = self._wire.rows("/trashed_documents/", {"_fields_only": "id"})
        return frozenset(value(row, "id", int) for row in rows)


HINT = "give it to a role of the backup user (contract section 8 has all), or for an object by ACL"


def require_some(scope: Scope, many: int) -> None:
    """Zero documents are an alarm: an anonymous call, and one without permission, look just so (section 2)."""
    if not many and scope.kind == "search":
        raise NothingThere(f"{scope.name}: the search finds nothing")
    if not many:
        raise SourceRefused(
            f"{scope.name}: Mayan EDMS shows this user not one document: permission documents.document_view is "
            "missing, or there is none",
            hint=HINT,
        )


def from_mayan(text: str) -> datetime:
    """An instant as Mayan writes it, with fractions of a second."""
    try:
        return from_text(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise SourceUnexpected(f"Mayan EDMS: {text!r} is no instant") from exc


def _is_change(row: Mapping[str, Any]) -> bool:
    return bool(_CHANGES.fullmatch(str((row.get("verb") or {}).get("id"))))


def _note(row: Mapping[str, Any], ids: dict[str, set[int]]) -> None:
    part = _OF.get(str((row.get("target_content_type") or {}).get("model")))
    target = str(row.get("target_object_id"))
    if part and target.isdecimal():
        ids[part].add(int(target))


def _file(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": value(row, "id", int),
        "filename": value(row, "filename", str),
        "size": value(row, "size", int, optional=True),
        "sha256": value(row, "checksum", str, optional=True),
        "mimetype": value(row, "mimetype", str, optional=True),
        "encoding": value(row, "encoding", str, optional=True),
        "comment": value(row, "comment", str),
        "timestamp": value(row, "timestamp", str),
    }


def _comment(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": value(row, "id", int),
        "at": value(row, "submit_date", str),
        "user": value(value(row, "user", dict), "username", str),
        "text": value(row, "text", str, optional=True) or value(row, "comment", str, optional=True) or "",
    }
