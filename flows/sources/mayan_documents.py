"""What Mayan says of its documents: the list of a scope, one whole, what changed since, what they refer to.

Facts: contract mayan.md sections 3, 5 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flows.errors import NothingThere, SourceError, SourceRefused, SourceUnavailable
from flows.export import Scope
from flows.sources import mayan_cabinets as cabinets
from flows.sources import mayan_document as documents
from flows.sources.mayan_cabinets import Labels
from flows.sources.mayan_document import Listed, listed
from flows.sources.mayan_wire import Missing, Row, Wire, from_mayan, value

YOUNG = timedelta(minutes=15)  # a file so young may have no version yet (section 3)
ALL = "/documents/"
READINGS = 3  # of a document that changes while it is read
# What of a document must be allowed beside the document itself. Without it, lists are 404 (section 8); in newer
# versions those of files and versions are empty.
FILES, VERSIONS = "documents.document_file_view", "documents.document_version_view"
PARTS = {
    "metadata": "metadata.metadata_document_view",
    "tags": "tags.tag_view",
    "cabinets": "cabinets.cabinet_view",
    "comments": "comments.comment_view",
}

TYPES, METADATA_TYPES = "documents_types.document_type_view", "metadata_setup.metadata_type_view"
_ONLY = {"_fields_only": ",".join(documents.FIELDS)}


class Documents:
    """The documents of one server, as this user may see them."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._cabinets: dict[int, Labels] = {}  # of the cabinets that were listed last, by id

    # -- lists

    def find(self, scope: Scope) -> Scope:
        """A scope whose type, cabinet or tag is named by its label, with its id. Raises as `Source.discover`."""
        if scope.kind not in ("type", "cabinet", "tag"):
            return scope
        path = {"type": "/document_types/", "cabinet": "/cabinets/", "tag": "/tags/"}[scope.kind]
        label = "full_path" if scope.kind == "cabinet" else "label"
        rows = list(self.wire.rows(path))
        named = {value(row, "id", int): value(row, label, str) for row in rows}
        if scope.id.isdecimal() and int(scope.id) in named:
            return scope
        found = [number for number, name in named.items() if name == scope.id]
        found = found or [value(row, "id", int) for row in rows if value(row, "label", str) == scope.id]
        if len(found) == 1:
            return Scope(scope.name, scope.kind, str(found[0]), scope.options)
        if not named:
            needed = {"type": TYPES, "cabinet": PARTS["cabinets"], "tag": PARTS["tags"]}[scope.kind]
            text = (
                f"{scope.name}: this user sees no {scope.kind}: permission {needed} is missing, or there is none"
            )
            raise SourceRefused(text, hint=HINT)
        there = [f"{number} {name!r}" for number, name in named.items() if number in found or not found]
        text = f"{scope.name}: {scope.kind} {scope.id!r}: {len(found)} are called so, promised one"
        raise SourceRefused(text, hint=f"name it by its id; there are: {', '.join(there[:10])}")

    def rows(self, scope: Scope) -> Iterator[Listed]:
        """Every document of a scope, each once, in the order of ids; those below a cabinet's cabinets, too."""
        if scope.kind == "ids":
            for number in scope.options["ids"]:
                try:
                    yield self.one(number)
                except Missing:
                    continue
            return
        if scope.kind == "search":
            path, words = "/search/documents.documentsearchresult/", {"q": scope.options["query"]}
            seen: set[int] = set()
            for row in self.wire.rows(path, {**_ONLY, **words, "_ordering": "id"}):
                one = listed(row)
                if one.id not in seen:
                    seen.add(one.id)
                    yield one
            return
        paths = self._paths(scope)
        of_type = int(scope.id) if scope.kind == "type" and paths == [ALL] else None
        found: set[int] = set()
        for path in paths:
            for row in self.wire.by_id(path, _ONLY):
                if of_type not in (None, value(value(row, "document_type", dict), "id", int)):
                    continue
                one = listed(row)
                if one.id not in found:
                    if len(paths) > 1:
                        found.add(one.id)
                    yield one

    def one(self, number: int) -> Listed:
        """A document as the list tells of it. Raises Missing."""
        return listed(self.wire.get(f"/documents/{number}/", _ONLY).json())

    def nothing(self, scope: Scope) -> SourceError:
        """What it means that a scope shows no document: an alarm where none at all is shown, for so look an
        anonymous call and one without permission (section 2)."""
        if scope.kind != "all" and self.wire.count(ALL):
            return NothingThere(f"{scope.name}: not one of the documents that this user sees is in it")
        text = f"{scope.name}: Mayan EDMS shows this user not one document: permission documents.document_view is "
        return SourceRefused(text + "missing, or there is none", hint=HINT)

    def count(self, scope: Scope) -> int | None:
        """How many documents a scope has by the server's own count; None where it counts none of that kind."""
        paths = self._paths(scope) if scope.kind not in ("ids", "search") else []
        if len(paths) > 1 or not paths or (scope.kind == "type" and paths == [ALL]):
            return None
        return self.wire.count(paths[0])

    def _paths(self, scope: Scope) -> list[str]:
        match scope.kind:
            case "all":
                return [ALL]
            case "type":
                path = f"/document_types/{scope.id}/documents/"
                answer = self.wire.ask(path, {"page_size": "1"})
                return [ALL] if answer.status == 404 and answer.json() is None else [path]  # not yet in 4.5
            case "tag":
                return [f"/tags/{scope.id}/documents/"]
            case _:
                return [f"/cabinets/{number}/documents/" for number in self._below(int(scope.id))]

    def _below(self, top: int) -> list[int]:
        rows = list(self.wire.rows("/cabinets/"))
        parents = {value(row, "id", int): value(row, "parent_id", int, optional=True) for row in rows}
        found = [top]
        for number in found:
            found += [child for child, parent in parents.items() if parent == number]
        return found

    # -- one document

    def whole(self, row: Listed, now: datetime) -> dict[str, Any]:
        """All that the API tells of one, as document.json holds it. Raises Missing where it went meanwhile.

        `unsettled`: a worker is still at it, and tomorrow it is to be asked again. `forbidden`: permissions that
        are missing for this one; what they would show is left empty.
        """
        for _ in range(READINGS):
            try:
                return self._whole(row, now)
            except Missing:  # it went, or a file or a version of it
                again = self.one(row.id)
                row = replace(row, file_latest=again.file_latest, version_active=again.version_active)
        raise SourceUnavailable(f"document {row.id} changes all the time", answered=True)

    def _whole(self, row: Listed, now: datetime) -> dict[str, Any]:
        base = f"/documents/{row.id}"
        forbidden: list[str] = []
        files = [_file(found) for found in self._part(row.id, "files", FILES, forbidden)]
        self._not_hidden(row.id, "file_latest", row.file_latest, files, FILES, forbidden)
        ready = [file for file in files if file["sha256"] is not None]
        named = documents.names([(file["id"], file["filename"]) for file in ready])
        pages: dict[int, tuple[int, int]] = {}
        for file in ready:
            file["name"] = named[file["id"]]
            for page in self.wire.rows(f"{base}/files/{file['id']}/pages/"):
                pages[value(page, "id", int)] = file["id"], value(page, "page_number", int)
        found = self._part(row.id, "versions", VERSIONS, forbidden)
        self._not_hidden(row.id, "version_active", row.version_active, found, VERSIONS, forbidden)
        versions = [self._version(base, one, pages) for one in found]
        parts = {name: self._part(row.id, name, needed, forbidden) for name, needed in PARTS.items()}
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
                for found in parts["metadata"]
            },
            "tags": sorted(value(found, "label", str) for found in parts["tags"]),
            **cabinets.members(map(self._labels, parts["cabinets"])),
            "comments": [_comment(found) for found in parts["comments"]],
            "forbidden": forbidden,
            "unsettled": len(ready) < len(files)
            or any(file["mimetype"] is None for file in files)
            or (young and row.version_active is None),
        }

    def _part(self, number: int, name: str, permission: str, forbidden: list[str]) -> list[Row]:
        try:
            return list(self.wire.rows(f"/documents/{number}/{name}/", {"_ordering": "id"}))
        except Missing:
            self.one(number)  # raises Missing where it is the document that went
            forbidden.append(permission)
            return []

    def _not_hidden(
        self,
        number: int,
        name: str,
        newest: int | None,
        rows: Sequence[Row],
        permission: str,
        forbidden: list[str],
    ) -> None:
        """Where the document names a newest one that no list shows, the list is not for this user."""
        if newest is None or permission in forbidden or any(row["id"] == newest for row in rows):
            return
        if getattr(self.one(number), name) != newest:
            raise Missing(f"document {number}: changed while it was read")
        forbidden.append(permission)

    def _version(self, base: str, row: Mapping[str, Any], pages: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
        number = value(row, "id", int)
        mapping = []
        for page in self.wire.rows(f"{base}/versions/{number}/pages/"):
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

    def _labels(self, row: Row) -> Labels:
        """A cabinet of a document; all are listed anew where it is not as it was listed."""
        number, path = value(row, "id", int), value(row, "full_path", str)
        if path == value(row, "label", str):
            return (path,)
        if path != cabinets.path_of(self._cabinets.get(number, ())):
            self._cabinets = cabinets_of(self.wire)
        if path != cabinets.path_of(self._cabinets.get(number, ())):  # not for this user to see, or changed again
            self._cabinets[number] = cabinets.alone(value(row, "label", str), path)
        return self._cabinets[number]

    # -- what documents refer to

    def definitions(self) -> dict[str, Any]:
        """Types, tags, cabinets and metadata types: what a restore needs to make them anew."""
        of_metadata = ("name", "label", "default", "lookup", "parser", "parser_arguments", "validation",
                       "validation_arguments")  # fmt: skip
        kinds = {
            "metadata_types": ("/metadata_types/", of_metadata),
            "tags": ("/tags/", ("label", "color")),
            "types": ("/document_types/", ("label", "id")),
        }
        found: dict[str, Any] = {}
        for name, (path, members) in kinds.items():
            rows = self.wire.rows(path)
            found[name] = sorted(({key: row.get(key) for key in members} for row in rows), key=str)
        self._cabinets = cabinets_of(self.wire)
        told = sorted((cabinets.path_of(labels), labels) for labels in self._cabinets.values())
        found["cabinets"] = [{"full_path": path, "labels": list(labels)} for path, labels in told]
        for kind in found["types"]:
            try:
                links = list(self.wire.rows(f"/document_types/{kind.pop('id')}/metadata_types/"))
            except Missing:  # deleted since it was listed
                links = []
            kind["metadata"] = {
                value(value(row, "metadata_type", dict), "name", str): {"required": bool(row.get("required"))}
                for row in links
            }
        return found

    def trashed(self) -> frozenset[int]:
        """The documents in the trash that this user may see."""
        rows = self.wire.rows("/trashed_documents/", {"_fields_only": "id"})
        return frozenset(value(row, "id", int) for row in rows)


def cabinets_of(wire: Wire) -> dict[int, Labels]:
    """The labels of every cabinet that this user may see, by id."""
    rows = {
        value(row, "id", int): cabinets.Listed(
            value(row, "label", str), value(row, "parent_id", int, optional=True), value(row, "full_path", str)
        )
        for row in wire.rows("/cabinets/")
    }
    return cabinets.labels_of(rows)


HINT = "give it to a role of the backup user; the README has the list"


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
