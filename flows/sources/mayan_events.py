"""What Mayan's log of events tells of changes since a night. It may be cleared, or not for this user to see.

Facts: contract mayan.md section 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.errors import SourceUnexpected
from flows.sources.mayan_wire import Row, Wire, from_mayan, member, rows_of, value

OVERLAP = timedelta(minutes=10)  # events are written by several processes, each by its own clock
MAX_PAGES = 100_000  # of the log: more is one that does not end
EVENTS = "events.events_view"
CLEARED = "events.events_cleared"
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
    gap: str = ""  # why they may not tell all, as a clause
    recent: frozenset[int] = frozenset()  # ids of the last events: the next night knows them already

    def hit(self, document: Mapping[str, Any]) -> bool:
        """Whether any of them is of this document."""
        if document["id"] in self.ids["id"]:
            return True
        return any(
            row["id"] in self.ids[part] for part in ("files", "versions", "comments") for row in document[part]
        )


def touched(wire: Wire, since: datetime | None, as_of: datetime, known: frozenset[int]) -> Touched:
    """What events say was changed since then, but for those `known` already, and why they may not say all.

    Events are read a while back beyond `since`: those that a process was still writing then would be missed.
    """
    ids: dict[str, set[int]] = {part: set() for part in _OF.values()}
    recent: set[int] = set()
    gap, back = "", (since or as_of) - OVERLAP
    for number in range(1, MAX_PAGES):
        query = {"_ordering": "-id", "page": str(number), "page_size": "100"}
        answer = wire.ask("/events/", query)
        if answer.status in (403, 404):
            gap = f"events may not be seen: permission {EVENTS} is missing"
            break
        page = rows_of(wire.get("/events/", query) if answer.status != 200 else answer, "/events/")
        for row in (row for row in page if _at(row) >= back):
            if _is_change(row):
                if value(row, "id", int) not in known:
                    _note(row, ids)
                if _at(row) >= as_of - OVERLAP:
                    recent.add(value(row, "id", int))
            if _verb(row) == CLEARED:
                gap = "events were cleared since the last backup"
        if page and _at(page[-1]) < back:
            break
        if not page or member(answer, "next", str, optional=True) is None:
            if since is None:
                break
            first = page[-1] if page else {}
            if not (first.get("id") == 1 and _at(first) <= since):  # that of a new server begins with 1
                gap = gap or "the log of events begins after the last backup"
            break
    else:
        raise SourceUnexpected("Mayan EDMS: a log of events that does not end")
    return Touched({part: frozenset(found) for part, found in ids.items()}, gap, frozenset(recent))


def _at(row: Row) -> datetime:
    return from_mayan(value(row, "timestamp", str))


def _verb(row: Row) -> str:
    return str((row.get("verb") or {}).get("id"))


def _is_change(row: Row) -> bool:
    return bool(_CHANGES.fullmatch(_verb(row)))


def _note(row: Row, ids: dict[str, set[int]]) -> None:
    part = _OF.get(str((row.get("target_content_type") or {}).get("model")))
    target = str(row.get("target_object_id"))
    if part and target.isdecimal():
        ids[part].add(int(target))
