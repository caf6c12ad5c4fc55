"""RSpace ELN's dialect: how its exports are started, found again, followed and fetched.

Facts are from the contract (`rspace.md`, read from RSpace's own source, 2.0 to 2.26); sections are named where a
fact is used. Beside it: `rspace_wire.py` (HTTP and errors), `rspace_job.py` (what a job says), `rspace_people.py`
and `rspace_records.py` (its lists), `rspace_activity.py` (its log), `rspace_content.py` and `rspace_complete.py`
(what an export's content must show), `rspace_scopes.py` (how scopes are written).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flows.errors import (
    FileGone,
    Narrowed,
    NothingThere,
    RequestWrong,
    RunFailed,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    SourceUnexpected,
)
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import rspace_complete as complete
from flows.sources import rspace_content
from flows.sources.base import AtHand, Capabilities, Connection, Dialect, Download, Imports, Kept, Receipt, Roster
from flows.sources.client import Answer
from flows.sources.rspace_activity import Activity, Exported, NotTold
from flows.sources.rspace_complete import recalled
from flows.sources.rspace_job import enclosure, path_of, status_of
from flows.sources.rspace_people import People
from flows.sources.rspace_records import ByDesign, Listing, Records
from flows.sources.rspace_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.rspace_wire import Wire, export_runs, field, message, own_error, refusal
from storage.snapshot import from_text, to_text
from storage.verify import Check, Outcome, Promise

log = logging.getLogger(__name__)

CAPABILITIES = Capabilities(
    recognised_by="job id",
    second_start="refused",
    promises="size and digest",
    ranges=False,
    cancels=False,
    pace=Pace(first_s=5, longest_s=45),  # section 12 rule 3: 30 to 60 s, sooner for small exports
    error_is_end_s=600,  # section 2: a swallowed failure answers 500 for ever, and never FAILED
    silent_about="RSpace gives size and CRC-32 with a finished job, and this file came without one",
    stuck="a zombie job on the server, which RSpace leaves behind when it is restarted during an export; an "
    "administrator must close execution {id} in its table BATCH_JOB_EXECUTION",  # section 2
)

NEVER = (  # section 6
    "inventory",
    "files in linked file stores",
    "deleted items",
    "audit trail, permissions and shares",
    "snippets",
)
_OWN_FILE = re.compile(r"/api/v1/export/([\w\-]+(?:\.zip)?)$")


class RSpace:
    """One API key, or one bearer token, on one RSpace server."""

    capabilities = CAPABILITIES

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._wire = Wire(connection, sleep=sleep)
        self._people = People(self._wire)
        self._records = Records(self._wire, self._people)
        self._activity = Activity(self._wire)

    def close(self) -> None:
        self._wire.close()

    def login(self) -> Account:
        status = self._wire.get("/api/v1/status")
        version, user = field(status, "rspaceVersion", str), field(self._people.whoami, "username", str)
        return Account(user, version, status.date)

    def roster(self, every: Scope) -> Roster:
        return self._people.roster(every)

    def discover(self, wanted: Scope) -> Scope:
        options = dict(wanted.options)
        if "search" in options:
            ids = self._records.search(options["search"])
            return replace(wanted, options={**_without(options, "search"), "ids": ids})
        if "folder" in options:
            self._records.require_folder(options["folder"])
            return replace(wanted, options={**_without(options, "folder"), "ids": [options["folder"]]})
        return wanted

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        since, now = kept.server_time, account.server_time
        owners = self._records.owners(scope)
        if since is None or now is None or owners is None or not kept.files:
            return ""
        listing = self._listing(scope)
        try:
            # Section 5: the log may be shorter than the truth. It must at least reach back to the last export.
            exports = self._activity.exports(account.user, since, now)
            last = next((event for event in exports if event.file in kept.files), None)
            if last is None or listing.problem:
                return ""
            new = listing.documents - last.records
            if new and new - self._records.by_design(scope).documents:  # of a new member, or shared since
                return ""
            if any(self._activity.changes(owners, listing.documents | last.records, since, now)):
                return ""
        except (NotTold, SourceUnavailable) as exc:
            log.info("%s: whether anything changed is not known: %s", scope.name, exc)
            return ""
        newest = self._records.newest_change(owners)
        if newest is None or newest >= since:
            return ""
        return f"no change since {since:%Y-%m-%d %H:%M} UTC, by RSpace's activity log and its newest documents"

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        return ()  # RSpace tells with its answer to the question

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        listing = self._listing(scope)
        omitted: tuple[str, ...] = ()
        if listing.unreadable and scope.options.get("leave_out_unreadable"):
            rest = [number for number in scope.options["ids"] if number not in listing.unreadable]
            if not rest:
                raise NothingThere(f"{scope.name}: not one of its records is there for this user")
            scope = replace(scope, options={**scope.options, "ids": rest})
            omitted = tuple(_omitted(number) for number in listing.unreadable)
            listing = replace(listing, unreadable=())
        at = listing.server_time or account.server_time
        baseline = {"listed": complete.remembered(listing), "server_time": at and to_text(at)}
        notes = (listing.whose,) if listing.whose else ()
        return Intent(scope, account, now, baseline, omitted=omitted, notes=notes)

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        scope = intent.scope
        path = f"/api/v1/export/{scope.options['format']}/{scope.kind}"
        if scope.id:
            path += f"/{scope.id}"
        form = {
            "includeRevisionHistory": "true" if scope.options.get("revisions") else "false",
            "maxLinkLevel": str(scope.options.get("link_level", 1)),
        }
        if scope.kind == "selection":
            form["selections"] = ",".join(str(record) for record in scope.options["ids"])
        answer = self._wire.post(path, form)
        if answer.status != 202:
            raise self._no_start(answer, intent)
        try:
            return JobRef({"id": field(answer, "id", int)}, now)
        except SourceUnexpected as exc:
            raise SourceUnavailable("RSpace took the request, and its answer has no usable job id") from exc

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        # Section 2: there is no list of jobs. Section 5: the log names the file of each export that succeeded.
        after = _asked_after(intent, asked_at)
        now = self._wire.get("/api/v1/status").date or after
        wanted = recalled(intent.baseline).documents
        try:
            found = [
                event
                for event in self._activity.exports(intent.account.user, after, now)
                if event.at >= after and _is_of(event, intent.scope, wanted) and not ours(event.file)
            ]
        except NotTold as exc:
            log.warning("%s: a lost export cannot be looked for: %s", intent.scope.name, exc)
            return None
        best = max(found, key=lambda event: len(event.records & wanted), default=None)
        return None if best is None else JobRef({"file": best.file}, asked_at, adopted="unknown")

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        return {ref.key: self._status(ref) for ref in refs}

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        return status.files

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        if "file" in ref.handle:
            return self._wire.stream(f"/api/v1/export/{ref.handle['file']}", lambda a: _no_file(a, file))
        answer = self._wire.get(f"/api/v1/jobs/{ref.handle['id']}")
        if status_of(answer).state is State.EXPIRED:
            raise FileGone(f"{file.shown}: RSpace has removed it")
        link = enclosure(answer)
        own = _OWN_FILE.search(path_of(link))
        # server.urls.prefix may name another host than the one we were given; RSpace's own files are fetched
        # where we were told it lives. Anything else is a pre-signed link (section 2) and gets no key.
        if own:
            return self._wire.stream(f"/api/v1/export/{own.group(1)}", lambda a: _no_file(a, file))
        return self._wire.stream(link, lambda a: _no_foreign_file(a, file))

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        window = rspace_content.window(intent.account.server_time, status.server_time)
        return rspace_content.inspect(intent.scope, path, file.shown, window)

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        before = recalled(intent.baseline)
        # Whatever becomes of the server now: what was listed before the question can be compared with the file.
        try:
            after = self._listing(intent.scope)
        except SourceError as exc:
            after = Listing(problem=f"afterwards RSpace could not be asked: {exc}")
        try:
            event: Exported | str = self._event(intent, status) or "its EXPORT event is not in the activity log"
        except (NotTold, SourceUnavailable) as exc:
            event = str(exc)
        present = complete.records_in(fetched.values())
        first = complete.checks(before, after, present, event, ByDesign())
        if all(check.outcome is not Outcome.FAILED for check in first):
            return first
        # Only now is it worth asking which of them RSpace never puts there: a walk through folders.
        try:
            by_design = self._records.by_design(intent.scope)
        except SourceUnavailable as exc:
            log.warning("%s: what is left out by design cannot be asked: %s", intent.scope.name, exc)
            return first
        return complete.checks(before, after, present, event, by_design)

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        return None  # paths tell them

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        special: tuple[str, ...] = ()
        if scope.kind != "selection":
            special = ("the Shared and Examples folders",)
            if scope.options["format"] == "html":
                special += ("templates (html leaves them out; xml has them)",)
        history = () if scope.options.get("revisions") else ("earlier revisions (set revisions = true for them)",)
        return (*NEVER, *special, *history)

    def cancel(self, ref: JobRef) -> None:
        pass  # RSpace has no such call (section 2)

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # nor one to delete an export; its own clock does (section 3)

    # -- inside

    def _listing(self, scope: Scope) -> Listing:
        """What the scope holds now; where RSpace does not let this user list it, why not."""
        try:
            return self._records.listing(scope)
        except (SourceRefused, SourceUnexpected, SourceUnavailable) as exc:
            self._wire.get("/api/v1/status")  # raises where the server is away, or the credential is dead
            return Listing(problem=f"its documents cannot be listed: {exc}")

    def _event(self, intent: Intent, status: Status) -> Exported | None:
        names = {file.name for file in status.files}
        now = status.server_time or intent.account.server_time or intent.prepared_at
        since = intent.account.server_time or intent.prepared_at
        events = self._activity.exports(intent.account.user, since, now)
        return next((event for event in events if event.file in names), None)

    def _status(self, ref: JobRef) -> Status:
        if "file" in ref.handle:
            date = self._wire.get("/api/v1/status").date
            file = ExportFile(ref.handle["file"], Promise(), "application/zip")
            return Status(State.READY, "EXPORT event", progress=1, server_time=date, files=(file,))
        answer = self._wire.ask(f"/api/v1/jobs/{ref.handle['id']}")
        if answer.status == 404 and answer.json() is None:
            # The key was accepted before, so this is its servlet container, with RSpace not up yet.
            raise SourceUnavailable("RSpace answers 404 with a web page, for a job that it has")
        if answer.status == 404:
            detail = "RSpace does not know this job any more (an upgrade to 2.25 wipes the history of jobs)"
            return Status(State.LOST, "404", detail, server_time=answer.date)
        if answer.status == 422:
            # Before 2.25, with a comma locale, the progress of a running job cannot be told (section 2).
            return Status(State.RUNNING, "422", server_time=answer.date)
        if answer.status == 401:
            self._wire.get("/api/v1/status")  # raises SourceRefused for a dead key
            return Status(State.LOST, "401", "the job belongs to another user", server_time=answer.date)
        if answer.status != 200:
            raise refusal(answer)
        return status_of(answer)

    def _no_start(self, answer: Answer, intent: Intent) -> Exception:
        """The exception for an answer to the POST other than 202 (section 1)."""
        scope, said = intent.scope, message(answer)
        match answer.status:
            case 429 if export_runs(answer):
                return SourceBusy(
                    "RSpace: an export of this user runs already",
                    hint="it is another program's, or a zombie that a restart of RSpace left behind: then an "
                    "administrator must close that execution in its table BATCH_JOB_EXECUTION",
                )
            case 400 | 422 if answer.json() is not None:
                return RequestWrong(f"RSpace refuses {scope.name}: {said or answer.status}")
            case 401:
                self._wire.get("/api/v1/status")  # a dead key raises here; else it is a refusal (section 4)
                records = recalled(intent.baseline).unreadable
                tail = f" (not there or not readable: {', '.join(map(str, records[:10]))})" if records else ""
                return SourceRefused(f"RSpace refuses {scope.name}: {said or 'not permitted'}{tail}")
            case 500 if own_error(answer):
                # An error in RSpace's own form comes before the job is launched: nothing was started.
                return _planning_failed(intent, said)
            case code if 200 <= code < 300:
                return SourceUnavailable(f"RSpace answers {code} without a job; it may have started one")
            case _:
                return refusal(answer)


def _planning_failed(intent: Intent, said: str) -> Exception:
    scope = intent.scope
    ids = scope.options.get("ids", [])
    # The texts are localised from 2.25 on (section 4): what is sure is the number in them.
    named = sorted({int(digits) for digits in re.findall(r"\d{1,18}", said)} & set(ids))
    if len(named) == 1 and "disk space" not in said:
        rest = [number for number in ids if number != named[0]]
        text = f"RSpace did not start the export: SD{named[0]} may not be read by this user"
        if rest and scope.options.get("leave_out_unreadable"):
            smaller = replace(scope, options={**scope.options, "ids": rest})
            omitted = (*intent.omitted, _omitted(named[0]))
            return Narrowed(text, replace(intent, scope=smaller, asked_for=intent.wanted, omitted=omitted))
        return RequestWrong(text, hint=f"take {named[0]} out of the scope, or set leave_out_unreadable = true")
    if "not been initialised" in said:
        return NothingThere(f"RSpace: {said}", hint="that user never logged in: nothing to back up yet")
    hint = "the message is RSpace's; its administrator finds more in its error log"
    if "disk space" in said:
        hint = "RSpace's own disk is full: its administrator must make room"
    elif "to export record with id" in said:
        hint = "one record may not be read by this user: give it the right, or choose a scope without it"
    return RunFailed(f"RSpace did not start the export: {said}", hint=hint)


def _no_file(answer: Answer, file: ExportFile) -> Exception:
    if answer.status in (404, 410) or (answer.status == 500 and "not exist" in message(answer)):
        return FileGone(f"{file.shown}: RSpace has removed it")
    return refusal(answer)


def _no_foreign_file(answer: Answer, file: ExportFile) -> Exception:
    """The store behind a pre-signed link refuses: no word of that is about our key."""
    if answer.status in (404, 410):
        return FileGone(f"{file.shown}: the store that RSpace keeps it in has it no more")
    return SourceUnavailable(f"{file.shown}: the store that RSpace keeps it in answers {answer.status}")


def _is_of(event: Exported, scope: Scope, wanted: frozenset[int]) -> bool:
    """Whether an event is of an export of this scope: of its kind and format, with most of what was listed.

    A link may put one record of this scope into somebody else's export: where it has only one, nothing tells whose
    that is, unless the scope is the credential's own. Where nothing was listed, nothing tells.
    """
    same = (event.format, event.kind) == (scope.options["format"], scope.kind)
    tells = len(wanted) > 1 or (len(wanted) == 1 and scope.kind == "user" and not scope.id)
    return same and tells and 2 * len(event.records & wanted) > len(wanted)


def _asked_after(intent: Intent, asked_at: datetime) -> datetime:
    """When the question was about to be asked, by the server's clock; else a day before that, by ours."""
    try:
        return from_text(intent.baseline["server_time"])
    except (KeyError, TypeError, ValueError):
        return asked_at - timedelta(days=1)


def _omitted(number: int) -> str:
    return f"SD{number} was left out: it is not there, or not for this user to read"


def _without(options: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != key}


RSPACE = Dialect(
    system="rspace",
    secrets=(frozenset({"api_key"}), frozenset({"token"})),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    member=member,
    parse_scope=parse_scope,
    connect=RSpace,
    imports=Imports(rspace_content.inspect_import, rspace_content.made_at),
    record_of=complete.record_of,
)
