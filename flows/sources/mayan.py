"""Mayan EDMS: documents with their files, metadata and places, one document at a time, only what changed.

There is no job to wait for: the list of documents is the export, and files are fetched as they are. What last
night kept is named again where nothing tells of a change; every document is looked at whole in its turn, whatever
the server says. Facts: contract mayan.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.errors import FileGone
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import mayan_document as documents
from flows.sources import mayan_rights as rights
from flows.sources.base import AtHand, Capabilities, Connection, Dialect, Download, Kept, Receipt, Roster
from flows.sources.client import Answer
from flows.sources.mayan_asking import BOUNDS, Bounds
from flows.sources.mayan_document import ABOUT, DOCUMENT, Listed
from flows.sources.mayan_documents import Documents, Touched, require_some
from flows.sources.mayan_exports import Exports
from flows.sources.mayan_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.mayan_wire import Missing, Wire, refusal
from flows.sources.mayan_wire import member as member_of
from storage.snapshot import from_text, to_text
from storage.verify import Check, Outcome, Promise

log = logging.getLogger(__name__)

CAPABILITIES = Capabilities(
    recognised_by="nothing to wait for",
    second_start="new job",
    promises="size and digest",
    ranges=False,
    cancels=False,
    pace=Pace(first_s=1, longest_s=30),
    silent_about="Mayan EDMS promises size and SHA-256 of files, and nothing of what is made from them",
    file_by_file=True,
)
NEVER = (
    "documents in the trash",
    "access control lists, roles, users and groups",
    "workflows, indexes and other set-up",
    "events",
    "text that was recognised",
)


class Mayan:
    """One user of one server."""

    capabilities = CAPABILITIES

    def __init__(self, connection: Connection, *, bounds: Bounds = BOUNDS) -> None:
        """`bounds`: how long exports are waited for."""
        self.wire = Wire(connection)
        self._documents = Documents(self.wire)
        self._exports = Exports(self.wire, bounds=bounds)

    def close(self) -> None:
        self.wire.close()

    def login(self) -> Account:
        # A call without credentials is answered 200 with an empty list, but not this one (section 2).
        user = self.wire.get("/users/current/")
        project = self.wire.get("/project/")
        version = member_of(project, "__version__", str)
        return Account(member_of(user, "username", str), version, user.date)

    def roster(self, every: Scope) -> Roster:
        return Roster(())

    def discover(self, wanted: Scope) -> Scope:
        return self._documents.find(wanted)

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        return ""  # to know that takes the list, which is the night's work already

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        notes = rights.look(self.wire, self._documents, scope, account)
        at = account.server_time or now
        baseline = {"as_of": to_text(at), "listed": self._documents.count(scope)}
        return Intent(scope, account, now, baseline, notes=notes)

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        return JobRef({"as_of": intent.baseline["as_of"]}, now)

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        return self.start(intent, now=asked_at)  # nothing was started at the server

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        return {ref.key: Status(State.READY, "listed", progress=1) for ref in refs}

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        self._exports.begin(at_hand.notebook, intent.account.version)
        yield from _Night(self._documents, intent, at_hand).files()
        self._exports.settle()

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        if "text" in file.locator:
            data = file.locator["text"].encode()
            return nullcontext(Download(iter([data]), 0, len(data)))
        if "version" in file.locator:
            return self._exports.open(**file.locator)
        path = f"/documents/{file.locator['document']}/files/{file.locator['file']}/download/"

        def refuse(answer: Answer) -> Exception:
            if answer.status == 404:
                return FileGone(f"{file.name}: Mayan EDMS does not give it any more, or not to this user")
            return refusal(answer, path)

        return self.wire.stream(path, refuse)

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        return []  # files are what they are: size and SHA-256 were promised; exports are looked at when they come

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        about = documents.decode(fetched[ABOUT].read_bytes()) if ABOUT in fetched else None
        if about is None:
            return [Check("documents listed", Outcome.FAILED, got=f"no {ABOUT}", promised="one")]
        kept, gone = about["documents"], len(about["gone"])
        told = self._documents.count(intent.scope)
        before = intent.baseline["listed"]
        if told is None or before is None:
            reason = f"Mayan EDMS does not count a {intent.scope.kind} of documents"
            return [Check("documents listed", Outcome.NOT_AVAILABLE, got=str(kept), reason=reason)]
        least = min(told, before)
        outcome = Outcome.PASSED if kept + gone >= least else Outcome.FAILED
        got = f"{kept}" + (f", {gone} more went while they were read" if gone else "")
        return [Check("documents listed", outcome, got=got, promised=f"{before} before and {told} after")]

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        exported = () if scope.options["exports"] != "none" else ("edited pages as PDF (set exports for them)",)
        return (*NEVER, *exported)

    def cancel(self, ref: JobRef) -> None:
        pass

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # an export is removed as soon as it was fetched


class _Night:
    """One night's list, and what of it is to be fetched."""

    def __init__(self, source: Documents, intent: Intent, at_hand: AtHand) -> None:
        self._source = source
        self._scope = intent.scope
        self._hand = at_hand
        self._as_of = from_text(intent.baseline["as_of"])
        self._version = intent.account.version

    def files(self) -> Iterator[ExportFile]:
        """Each document's files, then its document.json, there only where they are; at last mayan.json."""
        about = self._source.definitions()
        since, touched = self._since()
        named = ("tags", "label"), ("cabinets", "full_path")
        labels = {name: {row[key] for row in about[name]} for name, key in named}
        many, gone = 0, []
        for row in self._source.rows(self._scope):
            try:
                document = self._known(row, since, touched, labels) or self._source.whole(row, self._as_of)
            except Missing:  # deleted between the list and now
                gone.append(row.id)
                continue
            many += 1
            yield from self._offer(row, document, since)
        require_some(self._scope, many)
        trashed = self._source.trashed()
        about |= {
            "format": documents.FORMAT,
            "as_of": to_text(self._as_of),
            "version": self._version,
            "documents": many,
            "gone": [{"document": number, "trashed": number in trashed} for number in gone],
            "changes": touched if isinstance(touched, str) else "",
        }
        yield _text(ABOUT, about)

    def _since(self) -> tuple[datetime | None, Touched | str]:
        before = documents.decode(self._hand.before(ABOUT))
        try:
            since = from_text(before["as_of"]) if before else None
        except (KeyError, TypeError, ValueError):
            since = None
        if since is None:
            return None, ""
        return since, self._source.touched(since)

    def _known(
        self, row: Listed, since: datetime | None, touched: Touched | str, labels: Mapping[str, set[str]]
    ) -> dict[str, Any] | None:
        """What needs not be asked for: what this very job asked, or what was kept and has not changed since."""
        name = f"{row.folder}/{DOCUMENT}"
        arrived = documents.decode(self._hand.arrived(name))
        if arrived is not None and documents.same(arrived, row):
            return arrived
        kept = documents.decode(self._hand.before(name))
        if kept is None or since is None or not documents.same(kept, row) or self._due(row.id, since):
            return None
        try:
            hit = isinstance(touched, Touched) and touched.hit(kept)
            renamed = any(not labels[part].issuperset(kept[part]) for part in labels)
            whole = all(self._hand.has(part.sha256) for part in documents.parts(kept))
        except (KeyError, TypeError):
            return None
        return kept if whole and not hit and not renamed else None

    def _due(self, number: int, since: datetime) -> bool:
        """Whether it is this document's turn to be looked at whole, or was since the last backup."""
        days = range(since.astimezone(UTC).toordinal() + 1, self._as_of.astimezone(UTC).toordinal() + 1)
        every = self._scope.options["sweep_days"]
        return len(days) >= every or any((number + day) % every == 0 for day in days)

    def _offer(self, row: Listed, document: dict[str, Any], since: datetime | None) -> Iterator[ExportFile]:
        left_out = self._scope.options.get("except_files", [])
        kinds = {file["id"]: file["mimetype"] for file in document["files"]}
        for part in documents.parts(document):
            if part.id not in left_out:
                yield ExportFile(
                    f"{row.folder}/{part.name}",
                    Promise(part.size, sha256=part.sha256),
                    kinds[part.id] or "",
                    {"document": row.id, "file": part.id},
                )
        yield from self._exports(row, document, since)
        name = f"{row.folder}/{DOCUMENT}"
        text = _text(name, document)
        kept = self._hand.before(name) == text.locator["text"].encode()
        yield replace(text, promised=self._hand.promise(name) or Promise()) if kept else text

    def _exports(self, row: Listed, document: dict[str, Any], since: datetime | None) -> Iterator[ExportFile]:
        """The exports that the scope asks for; one of the same pages is named again until it is its turn.

        What is drawn over a page, such as a redaction, shows nowhere in the API: only a new export tells.
        """
        wanted = self._scope.options["exports"]
        before = documents.decode(self._hand.before(f"{row.folder}/{DOCUMENT}")) or {}
        due = since is None or self._due(row.id, since)
        for version in document["versions"]:
            if wanted == "none" or (wanted == "active" and not version["active"]) or not version["pages"]:
                continue
            name = f"{row.folder}/{documents.export_name(version['id'])}"
            now = version["id"], version["pages"]
            same = not due and any((old["id"], old["pages"]) == now for old in before.get("versions", ()))
            promise = self._hand.promise(name) if same else None
            locator = {"document": row.id, "version": version["id"], "pages": len(version["pages"])}
            yield ExportFile(name, promise or Promise(), "application/pdf", locator)


def _text(name: str, content: Mapping[str, Any]) -> ExportFile:
    data = documents.encode(content)
    return ExportFile(name, Promise(), "application/json", {"text": data.decode()})


MAYAN = Dialect(
    system="mayan",
    secrets=(frozenset({"token"}), frozenset({"username", "password"}), frozenset({"session"})),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    member=member,
    parse_scope=parse_scope,
    connect=Mayan,
    record_of=documents.record_of,
)
