"""WebAdMIT's dialect: how its exports and PDF Manager batches are started, found again, followed and fetched.

Facts are from the contract (webadmit.md, part A). Beside it: `webadmit_scopes.py` (how scopes are written),
`webadmit_names.py` (which identity and template is meant), `webadmit_wire.py` and `webadmit_budget.py` (HTTP,
errors, the key's allowance), `webadmit_rows.py` (what stands in answers), `webadmit_status.py` (what a run says),
`webadmit_link.py` (its short link), `webadmit_content.py`, `webadmit_xls.py` and `webadmit_checks.py` (what a file
must show, and a run).

Callbacks are not offered: anybody may send one, none is promised to come, and a poll tells the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from flows.errors import FileGone, SourceBusy, SourceUnavailable, SourceUnexpected
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import webadmit_checks as checks
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
from flows.sources.webadmit_rows import (
    NAME,
    WORD,
    Row,
    failed,
    identities,
    is_of,
    kind_of,
    number,
    ref_of,
    rows,
    template_in,
    the_one,
    zip_paths,
)
from flows.sources.webadmit_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.webadmit_status import LOOKS, Said, state_of, status_of
from flows.sources.webadmit_wire import API, Wire, refusal
from storage.verify import Check, Promise

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
LATE = timedelta(hours=13)  # after its start a run that is available and has no link will get none
EXPORT_NEVER = (
    "applicants who are not on the list that the export is based on",
    "documents (a pdf scope has them)",
)
PDF_NEVER = (
    "documents from before the last three cycles, which WebAdMIT no longer keeps at hand",
    "applicants beyond the first 1,000 of its list",
    "tables of applicants' data (an export scope has them)",
)


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
        ids = sorted(one.id for one in identities(answer))
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
            row = the_one(answer, NAME[scope.kind])
            ref = ref_of(row, scope, now, "no")
        except SourceUnexpected as exc:
            raise SourceUnavailable(f"WebAdMIT took the request, and its answer is of no use: {exc}") from exc
        # The list may be short: what has a lower number than one in it was there before as well.
        if ref.handle["id"] > max(intent.baseline["recent"], default=0):
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
            if number(row) not in before and is_of(row, scope) and not failed(row.get(WORD[scope.kind]))
        ]
        best = max(found, key=number, default=None)
        return None if best is None else ref_of(best, scope, asked_at, "unknown")

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        shared: dict[tuple[str, int], list[JobRef]] = {}
        for ref in refs:
            shared.setdefault((kind_of(ref), ref.handle["identity"]), []).append(ref)
        found: dict[str, Status] = {}
        for (kind, identity), group in shared.items():
            listed = {}
            if len(group) > 1:
                listed = {number(row): row.get(WORD[kind]) for row in self._recent(kind, identity)}
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
            locator = {"zip": path} if path else {"html": options["format"] in content.PAGES}
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
        found, self._rows[path] = content.inspect(path, intent.scope.options["format"], file.shown)
        return found

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        etags = self._notebook.read().get("etags", {}) if self._notebook is not None else {}
        return [
            checks.fresh(ref),
            *(checks.etag(name, etags.get(name, ""), path) for name, path in fetched.items()),
        ]

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
        found = identities(self.wire.get(f"{API}/user_identities"))
        return names.identity_of(found, scope.options)

    def _templates(self, identity: Identity, kind: str) -> list[Template]:
        name = "exports" if kind == "export" else "pdf_manager_templates"
        found = rows(self.wire.get(f"{API}/user_identities/{identity.id}/{name}"), name)
        return [template_in(row, kind) for row in found]

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
            raise FileGone("WebAdMIT does not know this run any more", hint=links.AGAIN)
        if answer.status != 200:
            raise refusal(answer)
        return the_one(answer, NAME[kind_of(ref)]), answer

    def _status(self, ref: JobRef) -> Status:
        try:
            row, answer = self._run(ref)
        except FileGone as exc:
            return Status(State.LOST, "404", str(exc))
        return self._judged(ref, row, answer)

    def _judged(self, ref: JobRef, row: Row, answer: Answer) -> Status:
        kind = kind_of(ref)
        link = bool(zip_paths(row)) if kind == "pdf" else bool(row.get("download_url"))
        said = Said(str(row.get(WORD[kind])), link)
        before = self._linkless.pop(ref.key, 0)
        if answer.date is not None and answer.date - ref.started_at > LATE:
            before = LOOKS  # another night's: no link will come, and the run must not be waited for for ever
        if not link and state_of(said.word) is State.READY:
            self._linkless[ref.key] = before + 1
        return status_of(said, linkless=before, at=answer.date)

    def _link(self, ref: JobRef, file: ExportFile) -> object:
        row, answer = self._run(ref)
        status = self._judged(ref, row, answer)
        if status.state.waits:
            raise SourceUnavailable(f"{file.shown}: {status.detail or status.raw}", answered=True)
        if not status.state.ready:
            raise FileGone(f"{file.shown}: WebAdMIT says {status.raw!r} of it now", hint=links.AGAIN)
        return row["download_url"]

    def _zip_link(self, file: ExportFile) -> object:
        answer = self.wire.ask(file.locator["zip"])
        if answer.status == 404:
            raise FileGone(f"{file.shown}: WebAdMIT has it no more", hint=links.AGAIN)
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


WEBADMIT = Dialect(
    system="webadmit",
    secrets=(frozenset({"api_key"}),),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    member=member,
    parse_scope=parse_scope,
    connect=WebAdMIT,
    whose=(*names.WHO, "cycle"),
    personal=True,
)
