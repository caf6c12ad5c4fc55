"""Mayan EDMS: documents with their files, metadata and places, one document at a time, only what changed.

There is no job to wait for: the list of documents is the export (`mayan_night.py`), and files are fetched as they
are. Facts: contract mayan.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.errors import FileGone
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import mayan_document as documents
from flows.sources import mayan_rights as rights
from flows.sources.base import AtHand, Capabilities, Connection, Dialect, Download, Kept, Receipt, Roster
from flows.sources.client import Answer
from flows.sources.mayan_asking import BOUNDS, Bounds
from flows.sources.mayan_document import ABOUT
from flows.sources.mayan_documents import Documents
from flows.sources.mayan_exports import Exports
from flows.sources.mayan_night import Night
from flows.sources.mayan_restore import Target
from flows.sources.mayan_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.mayan_wire import Wire, refusal
from storage.snapshot import to_text
from storage.verify import Check, Outcome

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
        return rights.who(self.wire)

    def roster(self, every: Scope) -> Roster:
        return Roster(())

    def discover(self, wanted: Scope) -> Scope:
        return self._documents.find(wanted)

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        return ""  # to know that takes the list, which is the night's work already

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        return rights.look(self.wire, self._documents, self.discover(wanted), account)

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
        yield from Night(self._documents, intent, at_hand).files()
        self._exports.settle()

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        if "lacking" in file.locator:
            raise FileGone(file.locator["lacking"])
        if "text" in file.locator:
            data = file.locator["text"].encode()
            return nullcontext(Download(iter([data]), 0, len(data)))
        if "version" in file.locator:
            return self._exports.open(**file.locator)
        path = f"/documents/{file.locator['document']}/files/{file.locator['file']}/download/"

        def refuse(answer: Answer) -> Exception:
            if answer.status == 404:
                return FileGone(f"{file.shown}: it is gone, or permission {rights.DOWNLOAD} is missing for it")
            return refusal(answer, file.shown)

        return self.wire.stream(path, refuse)

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        return []  # files are what they are: size and SHA-256 were promised; exports are looked at when they come

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        about = documents.decode(fetched[ABOUT].read_bytes()) if ABOUT in fetched else None
        if about is None:
            return [Check("documents listed", Outcome.FAILED, got=f"no {ABOUT}", promised="one")]
        return [self._listed(intent, about["documents"], len(about["gone"])), *_told(intent, about)]

    def _listed(self, intent: Intent, kept: int, gone: int) -> Check:
        name = "documents listed"
        told = self._documents.count(intent.scope)
        before = intent.baseline["listed"]
        if told is None or before is None:
            reason = f"Mayan EDMS does not count a scope of kind {intent.scope.kind!r}"
            return Check(name, Outcome.NOT_AVAILABLE, got=str(kept), reason=reason)
        outcome = Outcome.PASSED if kept + gone >= min(told, before) else Outcome.FAILED
        got = f"{kept}" + (f", {gone} more went while they were read" if gone else "")
        return Check(name, outcome, got=got, promised=f"{before} before and {told} after")

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        return None  # paths tell them

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        exported = () if scope.options["exports"] != "none" else ("edited pages as PDF (set exports for them)",)
        return (*NEVER, *exported)

    def cancel(self, ref: JobRef) -> None:
        pass

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # an export is removed as soon as it was fetched


def _told(intent: Intent, about: Mapping[str, Any]) -> list[Check]:
    """Whether events told all that was changed since the backup that this one goes on from."""
    since, gap = about["since"], about["changes"]
    if since is None:
        return []
    if not gap:
        return [Check("changes told by events", Outcome.PASSED, got=f"all since {since}")]
    days = intent.scope.options["sweep_days"]
    reason = f"{gap}; every document is looked at within {days} days all the same"
    return [Check("changes told by events", Outcome.NOT_AVAILABLE, reason=reason)]


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
    give_back=Target,
)
