"""Mayan EDMS as a target: documents of a snapshot made anew, one after another, each step safe to be killed.

A document is made empty, with a description that names snapshot and document: by that mark it is found again where
an answer was lost, and while it bears the mark, what is there once too often may go. Then what it lacks is done
until nothing is left (mayan_restore_plan), and last of all the mark gives way to the true description.
Not by `/documents/upload/`, which 5.0 removes: `/documents/` and `/documents/{id}/files/` do the same on 4.5 and
4.12, and both stay. Facts: contract mayan.md sections 3 and 7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from flows.errors import RunFailed
from flows.export import Account
from flows.sources import mayan_document as documents
from flows.sources import mayan_restore_shared as shared
from flows.sources.base import Connection, Content, Ledger, Outlook
from flows.sources.mayan_cabinets import Labels
from flows.sources.mayan_document import ABOUT, DOCUMENT, FIELDS
from flows.sources.mayan_documents import Documents
from flows.sources.mayan_restore_fill import Begun, Filler
from flows.sources.mayan_restore_outlook import Tally
from flows.sources.mayan_restore_plan import File, Wish, differences, wish_of
from flows.sources.mayan_rights import who
from flows.sources.mayan_wire import Missing, Wire, member, value
from storage.errors import ObjectCorrupt, StorageError
from storage.verify import Promise

_ONLY = {"_fields_only": ",".join(FIELDS)}
_UUIDS = {"_fields_only": "id,uuid"}


class Target:
    """One user of one server, who makes documents of a snapshot there. A receiver (`base.Receiver`)."""

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wire = Wire(connection)
        self._documents = Documents(self.wire)
        self._filler = Filler(self.wire, self._documents, sleep, monotonic)
        self._needed = shared.Shared()
        self._paths: Mapping[str, Labels] = {}  # which cabinets of the snapshot its full paths mean
        self._newest = 0  # id of a document that was there before the next one is made

    def close(self) -> None:
        self.wire.close()

    def login(self) -> Account:
        return who(self.wire)

    # -- what there is to do

    def look(self, content: Content, only: Sequence[str]) -> Outlook:
        known = shared.told(_decoded(content, ABOUT)) if ABOUT in content else shared.Shared()
        self._paths = known.paths
        self._needed = shared.Shared() if only else known
        tally = Tally(self._uuids("/documents/"), self._uuids("/trashed_documents/"))
        for unit in content.names():
            if not unit.endswith(f"/{DOCUMENT}") or (only and not unit.startswith(tuple(only))):
                continue
            try:
                document = _decoded(content, unit)
                wish, lacking = self._wish(document, unit, content)
                uuid = UUID(document["uuid"]).bytes
            except (StorageError, KeyError, TypeError, ValueError) as exc:
                tally.unreadable(unit, str(exc))
                continue
            if tally.add(unit, wish, lacking, uuid):
                shared.add_needed(self._needed, wish, known)
        there = shared.read(self.wire)
        self._filler.there = there
        missing, present = shared.missing(self._needed, there.has), shared.present(self._needed, there.has)
        return tally.outlook(missing, present, shared.unlike(self._needed, there.has))

    def _uuids(self, path: str) -> frozenset[bytes]:
        """Of the documents in a list, 16 bytes each."""
        return frozenset(UUID(value(row, "uuid", str)).bytes for row in self.wire.by_id(path, _UUIDS))

    # -- doing it

    def prepare(self, ledger: Ledger) -> None:
        self._filler.there = shared.read(self.wire)
        shared.make(self._needed, self._filler.there, self._filler.send, ledger)
        rows = self.wire.get("/documents/", {"_ordering": "-id", "page_size": "1", "_fields_only": "id"})
        found = member(rows, "results", list)
        self._newest = value(found[0], "id", int) if found else 0

    def give(
        self, unit: str, content: Content, ledger: Ledger, on_bytes: Callable[[int], None]
    ) -> tuple[str, ...]:
        if ledger.of(unit).get("done"):
            return ()
        document = _decoded(content, unit)
        wish, _ = self._wish(document, unit, content)
        mark = f"strongroom restore {ledger.of('')['id']}: document {document['id']} is not whole yet"
        with content.lying([file.path for file in wish.files]) as paths:
            number = self._found(unit, mark, ledger)
            fresh = number is None
            if number is None:
                number = self._make(unit, wish, mark, ledger)
            begun = Begun(number, unit, wish, paths, ledger, mark, fresh)
            problems = self._filler.fill(begun, on_bytes)
        if not problems:
            ledger.note(unit, done=True)
        return problems

    def _found(self, unit: str, mark: str, ledger: Ledger) -> int | None:
        """The document that an earlier run made for this unit; None where there is none yet."""
        known = ledger.of(unit)
        if "id" in known:
            try:
                self.wire.get(f"/documents/{known['id']}/", _ONLY)
                return int(known["id"])
            except Missing:  # one that never got a file is removed after a day
                if known.get("file") is not None:
                    raise RunFailed(
                        f"{unit}: document {known['id']}, begun by an earlier run, is not to be seen any more",
                        hint="look into the target's trash, and at this user's permissions",
                    ) from None
        elif "above" in known:
            fields = {"_fields_only": "id,description"}
            for row in self.wire.by_id("/documents/", fields, above=known["above"]):
                if value(row, "description", str) == mark:
                    number: int = value(row, "id", int)
                    ledger.note(unit, id=number)
                    return number
        return None

    def _make(self, unit: str, wish: Wish, mark: str, ledger: Ledger) -> int:
        """A document without a file. The mark is what tells it from others where the answer is lost."""
        body = {
            "document_type_id": self._filler.there.types[wish.type],
            "label": wish.label,
            "language": wish.language,
            "description": mark,
        }
        ledger.note(unit, above=self._newest)
        answer = self._filler.send("POST", "/documents/", body, "documents.document_create")
        number: int = member(answer, "id", int)
        ledger.note(unit, id=number)
        self._newest = max(self._newest, number)
        return number

    def finish(self, ledger: Ledger) -> None:
        shared.require(self._needed, self._filler.there, self.wire, self._filler.send, ledger)

    # -- what came of it

    def compare(self, unit: str, content: Content, ledger: Ledger) -> tuple[str, ...]:
        number = ledger.of(unit).get("id")
        if number is None:
            return ("it is not there",)
        wish, _ = self._wish(_decoded(content, unit), unit, content)
        try:
            got = self._filler.whole(int(number))
        except Missing:
            return (f"document {number} is not there any more, or not for this user to see",)
        return tuple(differences(wish, got))

    def _wish(self, document: Mapping[str, Any], unit: str, content: Content) -> tuple[Wish, tuple[str, ...]]:
        def kept(file: File) -> bool:
            return content.kept(file.path) == Promise(file.size, sha256=file.sha256)

        try:
            return wish_of(document, unit.removesuffix(f"/{DOCUMENT}"), kept, self._paths)
        except (KeyError, TypeError) as exc:
            raise ObjectCorrupt(f"{unit}: not a document that this version wrote: {exc!r}") from exc


def _decoded(content: Content, name: str) -> dict[str, Any]:
    """A document of ours in the snapshot. Raises ObjectCorrupt where it is none."""
    found = documents.decode(content.small(name))
    if found is None or found.get("format") != documents.FORMAT:
        raise ObjectCorrupt(f"{name}: not a document that this version wrote")
    return found
