"""A Mayan EDMS that takes documents back, for `giveback.py`: in the place of the HTTP client, without a network.

It answers as far as documents of one file of one page ask it. They lie in a database, so that they are not counted
as memory of who gives them back, and are there when the same folder is opened again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from flows.sources.client import Answer
from flows.sources.mayan_restore import Target

AT = "2026-11-22T03:30:00Z"
Row = dict[str, Any]


class MadeUpTarget:
    """What `client.Client` is to `mayan_wire.Wire`."""

    base = "http://127.0.0.1:1"

    def __init__(self, folder: Path) -> None:
        self.headers: Mapping[str, str] = {}
        self.trashed: list[str] = []  # UUIDs
        self._db = sqlite3.connect(folder / "target.db", isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS document (id INTEGER PRIMARY KEY, row TEXT)")
        self._db.execute("CREATE TABLE IF NOT EXISTS shared (kinds TEXT)")
        found = self._db.execute("SELECT kinds FROM shared").fetchone()
        empty: dict[str, list[Row]] = {
            name: [] for name in ("document_types", "metadata_types", "tags", "cabinets")
        }
        self._kinds = json.loads(found[0]) if found else empty
        (self._count,) = self._db.execute("SELECT count(*) FROM document").fetchone()
        self._at, self._row = 0, Row()  # the document that was asked for last

    def connect(self, target: Target) -> None:
        """Let it ask us."""
        wire: Any = target.wire
        wire._client = self

    def close(self) -> None:
        self._turn_to(0)
        self._db.execute("DELETE FROM shared")
        self._db.execute("INSERT INTO shared VALUES (?)", (json.dumps(self._kinds),))
        self._db.close()

    # -- as a client

    def get(self, path: str, params: Mapping[str, str] | None = None, *, sleep: Callable[[float], None]) -> Answer:
        asked = params or {}
        match path.split("/")[3:-1]:
            case ["users", "current"]:
                return _answer({"username": "bench"})
            case ["project"]:
                return _answer({"__version__": "4.12.2"})
            case ["trashed_documents"]:
                return _list([{"id": number, "uuid": uuid} for number, uuid in enumerate(self.trashed, start=1)])
            case ["documents"]:
                return self._documents(asked)
            case ["documents", number]:
                return _answer(self._about(int(number)))
            case ["documents", number, *part]:
                return _list(self._part(int(number), part[0], len(part)))
            case ["document_types", number, "metadata_types"]:
                return _list(self._kinds["document_types"][int(number) - 1]["links"])
            case [kind]:
                page, size = int(asked["page"]), int(asked["page_size"])
                rows = self._kinds[kind]
                return _list(rows[(page - 1) * size : page * size], more=len(rows) > page * size)
        raise SystemExit(f"GET {path}: the made-up target has no answer")

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, BinaryIO]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        match method, *path.split("/")[3:-1]:
            case ["POST", "documents"]:
                return self._make(json)
            case ["POST", "documents", number, "files"] if form is not None and files is not None:
                data = files["file_new"][1].read()
                told = {"size": len(data), "checksum": hashlib.sha256(data).hexdigest()}
                self._turn_to(int(number))["file"] = {
                    "filename": form["filename"],
                    "comment": form["comment"],
                    **told,
                }
                return _answer({}, 202)
            case ["POST", "documents", number, "metadata"]:
                self._turn_to(int(number))["metadata"].append([json["metadata_type_id"], json["value"]])
            case ["POST", "documents", number, "tags", "attach"]:
                self._turn_to(int(number))["tags"].append(json["tag"])
            case ["POST", "cabinets", cabinet, "documents", "add"]:
                self._turn_to(json["document"])["cabinets"].append(int(cabinet))
            case ["PATCH", "documents", number, "files", _]:
                self._turn_to(int(number))["file"].update(json)
            case ["PATCH", "documents", number]:
                self._turn_to(int(number)).update(json)
            case ["POST", "document_types", number, "metadata_types"]:
                kind = self._kinds["metadata_types"][json["metadata_type_id"] - 1]
                links = self._kinds["document_types"][int(number) - 1]["links"]
                links.append({"id": len(links) + 1, "metadata_type": kind, "required": json["required"]})
            case ["PATCH", "document_types", number, "metadata_types", link]:
                self._kinds["document_types"][int(number) - 1]["links"][int(link) - 1].update(json)
            case ["POST", kind]:
                return self._add(kind, json)
            case _:
                raise SystemExit(f"{method} {path}: the made-up target has no answer")
        return _answer({"id": 1}, 201)

    # -- what it holds

    def _documents(self, asked: Mapping[str, str]) -> Answer:
        size = int(asked["page_size"])
        if asked["_ordering"] == "-id":
            return _list([{"id": self._count}] if self._count else [])
        begin = (int(asked["page"]) - 1) * size
        numbers = range(begin + 1, min(begin + size, self._count) + 1)
        told = "description" in asked["_fields_only"]
        return _list(
            [
                {"id": n, "uuid": _uuid(n), "description": self._turn_to(n)["description"] if told else ""}
                for n in numbers
            ]
        )

    def _about(self, number: int) -> Row:
        row, there = self._turn_to(number), {"id": number, "timestamp": AT}
        made = {"id": number, "uuid": _uuid(number), "datetime_created": AT}
        kind = self._kinds["document_types"][row["document_type_id"] - 1]
        facts = {name: row[name] for name in ("label", "description", "language")}
        file = there if row["file"] else None
        return {**made, **facts, "document_type": kind, "file_latest": file, "version_active": file}

    def _part(self, number: int, part: str, depth: int) -> list[Row]:
        """A list of a document's. Its file, its version and the page of both have its own id."""
        row, one = self._turn_to(number), {"id": number, "timestamp": AT, "comment": ""}
        page = {"id": number, "page_number": 1, "object_id": number, "content_type": {"model": "documentfilepage"}}
        match part:
            case "files" | "versions" if not row["file"]:
                return []
            case "files" | "versions" if depth > 1:
                return [page]
            case "files":
                return [{**one, **row["file"], "mimetype": "application/pdf", "encoding": "binary"}]
            case "versions":
                return [{**one, "active": True}]
            case "metadata":
                types = self._kinds["metadata_types"]
                return [{"id": n, "metadata_type": types[n - 1], "value": value} for n, value in row["metadata"]]
            case "tags" | "cabinets":
                return [self._kinds[part][n - 1] for n in row[part]]
        return []

    def _make(self, wished: Row) -> Answer:
        self._count += 1
        row = {**wished, "file": None, "metadata": [], "tags": [], "cabinets": []}
        self._db.execute("INSERT INTO document VALUES (?, ?)", (self._count, json.dumps(row)))
        return _answer({"id": self._count}, 201)

    def _add(self, kind: str, wished: Row) -> Answer:
        rows = self._kinds[kind]
        row: Row = {"id": len(rows) + 1, **wished}
        if kind == "cabinets":
            above = row["parent_id"] = wished["parent"]
            row["full_path"] = (
                wished["label"] if above is None else f"{rows[above - 1]['full_path']} / {wished['label']}"
            )
        elif kind == "document_types":
            row["links"] = []
        rows.append(row)
        return _answer({"id": row["id"]}, 201)

    def _turn_to(self, number: int) -> Row:
        """A document, which may be changed; what was changed in the one before is kept."""
        if number != self._at:
            if self._at:
                self._db.execute("UPDATE document SET row = ? WHERE id = ?", (json.dumps(self._row), self._at))
            self._at = number
            if number:
                self._row = json.loads(
                    self._db.execute("SELECT row FROM document WHERE id = ?", (number,)).fetchone()[0]
                )
        return self._row


def _uuid(number: int) -> str:
    """One that no document of a snapshot has."""
    return str(UUID(int=number + (1 << 64)))


def _list(rows: list[Row], *, more: bool = False) -> Answer:
    return _answer({"count": len(rows), "next": "more" if more else None, "results": rows})


def _answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())
