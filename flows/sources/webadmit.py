"""WebAdMIT's dialect: how its exports and PDF Manager batches are started, found again, followed and fetched.

Facts are from the contract (webadmit.md, part A). Beside it: `webadmit_scopes.py` (how scopes are written),
`webadmit_names.py` (which identity and template is meant), `webadmit_wire.py` and `webadmit_budget.py` (HTTP,
errors, the key's allowance), `webadmit_status.py` (what a run says), `webadmit_link.py` (its short link),
`webadmit_content.py` and `webadmit_xls.py` (what a file must show).

Callbacks are not offered: anybody may send one, none is promised to come, and a poll tells the same.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from flows.errors import FileGone, SourceBusy, SourceUnavailable, SourceUnexpected
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import webadmit_content as content
from flows.sources import webadmit_link as links
from flows.sources import webadmit_names as names
from flows.sources.base import (
    AtHand,
    Capabilities,
    Connection,
    Dialect,
    Download,
    Kept,
    Notebook,
    Receipt,
    Roster,
)
from flows.sources.client import Answer
from flows.sources.webadmit_names import Identity, Template
from flows.sources.webadmit_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.webadmit_status import Said, state_of, status_of
from flows.sources.webadmit_wire import API, Row, Wire, number, refusal, rows, run_path, text, zip_paths
from flows.sources.webadmit_wire import member as object_of
from storage.verify import Check, Outcome, Promise

CAPABILITIES = Capabilities(
    recognised_by="job id",
    second_start="same job",
    promises="nothing",
    ranges=True,
    cancels=False,
    pace=Pace(first_s=12, longest_s=90),  # section A5
    silent_about="WebAdMIT promises nothing of its files; as many bytes came as the store announced",
    stuck="WebAdMIT has no call that ends a run: ask its support what became of run {id}",
)
EXPORT_NEVER = (
    "applicants who are not on the list that the export is based on",
    "documents (a pdf scope has them)",
)
PDF_NEVER = (
    "documents from before the last three cycles, which WebAdMIT no longer keeps at hand",
    "applicants beyond the first 1,000 of its list",
    "tables of applicants' data (an export scope has them)",
)
FRESH = "asked for tonight"  # the check that tells our run from somebody else's


class WebAdMIT:
    """One API key, which stands for all identities of its user."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wire = Wire(connection, sleep=sleep, monotonic=monotonic)
        self._base = connection.url
        self._hosts = links.HOSTS if connection.link_hosts is None else connection.link_hosts
        self._linkless: dict[str, int] = {}  # how often a run was available without a link
        self._rows: dict[Path, int | None] = {}  # of the files that were looked at
        self._notebook: Notebook | None = None

    def close(self) -> None:
        self.wire.close()

    def login(self) -> Account:
        answer = self.wire.get(f"{API}/user_identities")
        ids = sorted(one.id for one in _identities(answer))
        if not ids:
            names.identity_of([], {})  # raises what to do about it
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        who = f"identities {', '.join(map(str, ids[:5]))}{more}"  # all that WebAdMIT tells of who we are
        return Account(who, "API v1", answer.date)

    def roster(self, every: Scope) -> Roster:
        identity = self._identity(every)
        scopes, notes = {}, []
        for one in self._templates(identity, every.kind):
            if one.clipboard:
                notes.append(f"export {one.name!r} is left out: {names.CLIPBOARD}")
                continue
            try:
                scopes[one.name] = member(every, one.name)
            except ValueError as exc:
                notes.append(f"{every.kind} is left out: {exc}")
        return Roster(tuple(scopes[name] for name in sorted(scopes)), tuple(notes))

    def discover(self, wanted: Scope) -> Scope:
        identity = self._identity(wanted)
        found = names.template_of(self._templates(identity, wanted.kind), wanted.id, wanted.kind, identity.words)
        resolved = {
            "identity": identity.id,
            "identity_words": identity.words,
            "template": found.id,
            "format": found.format,
            "media_type": found.media_type,
        }
        return replace(wanted, options={**wanted.options, **resolved})

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        return ""  # WebAdMIT never says

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        options = self.discover(wanted).options
        known = options["format"] in content.SUFFIX
        odd = f"its format {options['format']!r} is not known: what comes would be kept, and not count"
        return (f"identity: {options['identity_words']}", *(() if known else (odd,)))

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        there = sorted(number(row) for row in self._recent(scope.kind, scope.options["identity"]))
        notes = (f"identity: {scope.options['identity_words']}",)
        return Intent(scope, account, now, {"recent": there}, notes=notes)

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        scope = intent.scope
        identity, template = scope.options["identity"], scope.options["template"]
        above = f"{API}/user_identities/{identity}"
        if scope.kind == "export":
            answer = self.wire.post(f"{above}/exports/{template}/export_files")
        else:
            body = {"pdf_manager_batch": {"pdf_manager_template_id": template}}
            answer = self.wire.post(f"{above}/pdf_manager_batches", body)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        try:
            row = object_of(answer, _NAME[scope.kind])
            ref = _ref(row, scope, now, "no")
        except SourceUnexpected as exc:
            raise SourceUnavailable(f"WebAdMIT took the request, and its answer is of no use: {exc}") from exc
        if ref.handle["id"] not in intent.baseline["recent"]:
            return ref
        if scope.options.get("fresh", True):
            raise SourceBusy(
                f"WebAdMIT: somebody else's run of {scope.id!r} ({ref.handle['id']}) is under way; a fresh one is "
                "asked for when it has ended",
                hint="wait for it, or set fresh = false to take such a run as it is",
            )
        return replace(ref, adopted="yes")

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        scope, before = intent.scope, frozenset(intent.baseline["recent"])
        found = [
            row
            for row in self._recent(scope.kind, scope.options["identity"])
            if number(row) not in before and _is_of(row, scope) and not _failed(row.get(_WORD[scope.kind]))
        ]
        best = max(found, key=number, default=None)
        return None if best is None else _ref(best, scope, asked_at, "unknown")

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        shared: dict[tuple[str, int], list[JobRef]] = {}
        for ref in refs:
            shared.setdefault((_kind(ref), ref.handle["identity"]), []).append(ref)
        found: dict[str, Status] = {}
        for (kind, identity), group in shared.items():
            listed = {}
            if len(group) > 1:
                listed = {number(row): row.get(_WORD[kind]) for row in self._recent(kind, identity)}
            for ref in group:
                word = listed.get(ref.handle["id"])
                # The list has no links: only what still waits is told by it.
                if isinstance(word, str) and state_of(word).waits:
                    found[ref.key] = status_of(Said(word, link=False), linkless=0, at=None)
                else:
                    found[ref.key] = self._status(ref)
        return found

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        self._notebook = at_hand.notebook
        scope, options = intent.scope, intent.scope.options
        suffix = content.SUFFIX.get(options["format"], ".data")
        paths = [""]
        if scope.kind == "pdf":
            paths = zip_paths(self._run(ref)[0])
        for place, path in enumerate(paths, start=1):
            name = names.file_name(scope.id, suffix, place)
            locator = {"zip": path} if path else {"html": options["format"] == "html"}
            yield ExportFile(name, Promise(), options["media_type"], locator, said=name)

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        def fresh() -> str:
            link = self._zip_link(file) if "zip" in file.locator else self._link(ref, file)
            return links.checked(link, base=self._base, hosts=self._hosts)

        html = bool(file.locator.get("html"))
        opened = links.opened(self.wire.client, fresh, file.shown, html=html, offset=offset, validator=validator)
        return self._noted(file.name, opened)

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        checks, self._rows[path] = content.inspect(path, intent.scope.options["format"], file.shown)
        return checks

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        etags = self._notebook.read().get("etags", {}) if self._notebook is not None else {}
        return [_fresh(ref), *(_etag(name, etags.get(name, ""), path) for name, path in fetched.items())]

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        known = [
            self._rows[path]
            if path in self._rows
            else content.inspect(path, intent.scope.options["format"], "")[1]
            for path in fetched.values()
        ]
        rows = [count for count in known if count is not None]
        return sum(rows) if rows and len(rows) == len(known) else None

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        return EXPORT_NEVER if scope.kind == "export" else PDF_NEVER

    def cancel(self, ref: JobRef) -> None:
        pass  # WebAdMIT has no such call (section A2)

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # nor one to delete a run

    # -- inside

    def _identity(self, scope: Scope) -> Identity:
        found = _identities(self.wire.get(f"{API}/user_identities"))
        return names.identity_of(found, scope.options)

    def _templates(self, identity: Identity, kind: str) -> list[Template]:
        name = "exports" if kind == "export" else "pdf_manager_templates"
        found = rows(self.wire.get(f"{API}/user_identities/{identity.id}/{name}"), name)
        return [_template(row, kind) for row in found]

    def _recent(self, kind: str, identity: int) -> list[Row]:
        """The runs of an identity that WebAdMIT remembers, whoever started them; in no order."""
        name = "export_files" if kind == "export" else "pdf_manager_batches"
        return rows(self.wire.get(f"{API}/user_identities/{identity}/{name}"), name)

    def _run(self, ref: JobRef) -> tuple[Row, Answer]:
        """A run as WebAdMIT tells of it now. Raises FileGone where it does not know it any more."""
        answer = self.wire.ask(ref.handle["href"])
        if answer.status == 404 and answer.json() is None:
            raise SourceUnavailable("WebAdMIT answers 404 with a web page, for a run that it has", answered=True)
        if answer.status == 404:
            raise FileGone("WebAdMIT does not know this run any more", hint="run again: it starts a new one")
        if answer.status != 200:
            raise refusal(answer)
        return object_of(answer, _NAME[_kind(ref)]), answer

    def _status(self, ref: JobRef) -> Status:
        try:
            row, answer = self._run(ref)
        except FileGone as exc:
            return Status(State.LOST, "404", str(exc))
        return self._judged(ref, row, answer)

    def _judged(self, ref: JobRef, row: Row, answer: Answer) -> Status:
        kind = _kind(ref)
        link = bool(zip_paths(row)) if kind == "pdf" else bool(row.get("download_url"))
        said = Said(str(row.get(_WORD[kind])), link)
        before = self._linkless.pop(ref.key, 0)
        if not link and state_of(said.word) is State.READY:
            self._linkless[ref.key] = before + 1
        return status_of(said, linkless=before, at=answer.date)

    def _link(self, ref: JobRef, file: ExportFile) -> object:
        row, answer = self._run(ref)
        status = self._judged(ref, row, answer)
        if status.state.waits:
            raise SourceUnavailable(f"{file.shown}: {status.detail or status.raw}", answered=True)
        if not status.state.ready:
            raise FileGone(f"{file.shown}: WebAdMIT says {status.raw!r} of it now")
        return row["download_url"]

    def _zip_link(self, file: ExportFile) -> object:
        answer = self.wire.ask(file.locator["zip"])
        if answer.status == 404:
            raise FileGone(f"{file.shown}: WebAdMIT has it no more")
        if answer.status not in (302, 303, 307):
            raise refusal(answer)
        return answer.headers.get("location")

    @contextmanager
    def _noted(self, name: str, opened: AbstractContextManager[Download]) -> Iterator[Download]:
        """The file, with what the store calls this very version of it written down."""
        with opened as download:
            if self._notebook is not None and not download.start:
                etags = self._notebook.read().get("etags", {})
                self._notebook.write({"etags": {**etags, name: download.validator}})
            yield download


_NAME = {"export": "export_files", "pdf": "pdf_manager_batch"}  # of the object in an answer about one run
_WORD = {"export": "status", "pdf": "state"}  # what tells how it stands


def _kind(ref: JobRef) -> str:
    return "pdf" if "/pdf_manager_batches/" in ref.handle["href"] else "export"


def _ref(row: Row, scope: Scope, at: datetime, adopted: Literal["no", "yes", "unknown"]) -> JobRef:
    identity, template, run = scope.options["identity"], scope.options["template"], number(row)
    if "href" in row:
        href = run_path(row)
    elif scope.kind == "export":
        href = f"{API}/exports/{template}/export_files/{run}"
    else:
        href = f"{API}/user_identities/{identity}/pdf_manager_batches/{run}"
    handle = {"identity": identity, "id": run, "href": href}
    return JobRef(handle, at, adopted)


def _failed(word: Any) -> bool:
    try:
        return state_of(word) is State.FAILED
    except SourceUnexpected:
        return False


def _is_of(row: Row, scope: Scope) -> bool:
    """Whether a run in the list is of this template. Its href names one, too, and the two are known to differ."""
    template = scope.options["template"]
    if scope.kind == "export":
        return row.get("export_id") == template or f"/exports/{template}/" in str(row.get("href"))
    of = row.get("pdf_manager_template")
    return isinstance(of, dict) and of.get("id") == template


def _identities(answer: Answer) -> list[Identity]:
    keys = ("type", "association", "organization", "institution", "cycle")
    found = rows(answer, "user_identities")
    return [Identity(number(row), **{key: text(row, key) for key in keys}) for row in found]


def _template(row: Row, kind: str) -> Template:
    name = text(row, "name")
    if kind == "pdf":
        return Template(number(row), name, names.PDFS, "application/zip")
    clipboard = text(row, "list_type").lower() == "clipboard"
    return Template(number(row), name, names.format_of(text(row, "format")), text(row, "mime_type"), clipboard)


def _fresh(ref: JobRef) -> Check:
    run = f"run {ref.handle['id']}"
    match ref.adopted:
        case "no":
            return Check(FRESH, Outcome.PASSED, got=f"{run}, which was not there before")
        case "unknown":
            return Check(FRESH, Outcome.PASSED, got=f"{run}, found again after its answer was lost")
        case _:
            reason = "adopted: somebody else had started it before, and its data may be as old as that"
            return Check(FRESH, Outcome.NOT_AVAILABLE, got=run, reason=reason)


def _etag(name: str, etag: str, path: Path) -> Check:
    """What the store calls the file, beside its MD5: which it is for most files, and nobody promises."""
    plain = etag.strip('"')
    with path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if plain.lower() == md5:
        return Check("etag", Outcome.PASSED, name, got=f"{plain}, the MD5 of the bytes")
    reason = "the store's name for the file says nothing of its bytes" if plain else "the store gave none"
    return Check("etag", Outcome.NOT_AVAILABLE, name, got=plain, reason=reason)


WEBADMIT = Dialect(
    system="webadmit",
    secrets=(frozenset({"api_key"}),),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    member=member,
    parse_scope=parse_scope,
    connect=WebAdMIT,
)
