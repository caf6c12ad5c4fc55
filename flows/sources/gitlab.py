"""GitLab's dialect: how the export of a project is started, told from older ones, followed and fetched.

Built from documents and GitLab's own source; never tried with a GitLab. Where each fact is from:
docs.gitlab.com/api/project_import_export (start 202, status, download); GitLab's lib/api/project_export.rb (403
for who is no maintainer; 404 where exports are switched off; a start removes the older file; 404 *expired* and
*not available yet*); docs.gitlab.com/user/project/settings/import_export (what is in it; files go after a day);
docs.gitlab.com/api/metadata, /api/projects, /api/groups. Beside it: `gitlab_status.py` (what a word means),
`gitlab_content.py` (what a file must hold), `gitlab_wire.py`, `gitlab_scopes.py`.

An export has no id: a project has one state and one file (in newer versions for each user). So none is started
while one is under way, and the file's own times decide whether it is tonight's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.errors import FileGone, SourceBusy, SourceUnavailable, SourceUnexpected
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import gitlab_content as content
from flows.sources.base import AtHand, Capabilities, Connection, Dialect, Download, Kept, Receipt, Roster
from flows.sources.client import Answer
from flows.sources.gitlab_scopes import KINDS, member, parse_scope, scope_from_table
from flows.sources.gitlab_status import UNDER_WAY, status_of, word_of
from flows.sources.gitlab_wire import AGAIN, NotThere, Wire, refusal
from storage.snapshot import from_text, to_text
from storage.verify import Check, Promise

CAPABILITIES = Capabilities(
    recognised_by="listing",
    second_start="new job",  # newer versions: the same one while it is queued
    promises="nothing",
    ranges=False,
    cancels=False,
    pace=Pace(first_s=10, longest_s=60),
    silent_about="GitLab promises nothing of an export file; gzip's own CRC-32 is read, see tar structure",
    stuck="ask GitLab's administrator about the export jobs of project {project} (Sidekiq)",
)
MAINTAINER = "40"  # docs.gitlab.com/api/access_requests#valid-access-levels
APART_S = 61.0  # between two downloads of a project: GitLab allows one a minute
NEVER = (
    "job logs and artifacts",
    "container and package registries",
    "CI/CD variables, pipeline triggers, webhooks and encrypted tokens",
    "merge request approvers and deploy keys of protected branches",
    "what its group has",
)


class GitLab:
    """One token on one server."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wire = Wire(connection, sleep=sleep)
        self._sleep, self._monotonic = sleep, monotonic
        self._seen: set[str] = set()  # jobs that were seen under way
        self._fetched: dict[int, float] = {}  # when a project's file was asked for last
        self._read: dict[Path, content.Contents] = {}

    def close(self) -> None:
        self.wire.close()

    def login(self) -> Account:
        answer = self.wire.get("/user")
        user = _row(answer).get("username")
        told = self.wire.ask("/metadata")  # since 15.2
        version = _row(told if told.status == 200 else self.wire.get("/version")).get("version")
        if not isinstance(user, str) or not user:
            raise SourceUnexpected("GitLab does not say who we are", hint="check url: it leads somewhere else")
        return Account(user, str(version), answer.date)

    def roster(self, every: Scope) -> Roster:
        params = {"min_access_level": MAINTAINER, "simple": "true", "order_by": "id", "sort": "asc"}
        if "group" in every.options:
            path = f"/groups/{quote(every.options['group'], safe='')}/projects"
            params |= {"include_subgroups": "true", "with_shared": "false"}
        else:
            path, params = "/projects", {**params, "membership": "true"}
        found = {_number(row): _path(row) for row in self.wire.rows(path, params)}
        scopes = {number: member(every, str(number)) for number in sorted(found)}
        return Roster(tuple(scopes.values()), labels={scope.name: found[one] for one, scope in scopes.items()})

    def discover(self, wanted: Scope) -> Scope:
        row = _row(self.wire.get(f"/projects/{quote(wanted.id, safe='')}"))
        return replace(wanted, options={**wanted.options, "project": _number(row), "path": _path(row)})

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        return ""  # last_activity_at is late, and knows nothing of wikis, settings or members

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        found = self.discover(wanted).options
        word, _ = self._word(found["project"])  # refused to who is no maintainer
        return (f"project: {found['path']}, number {found['project']}", f"its export status: {word}")

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        project = scope.options["project"]
        word, _ = self._word(project)
        empty = _row(self.wire.get(f"/projects/{project}")).get("empty_repo")
        notes = (f"project: {scope.options['path']}, number {project}",)
        return Intent(scope, account, now, {"status": word, "empty": empty}, notes=notes)

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        project = intent.scope.options["project"]
        try:
            word, answer = self._word(project)
        except SourceUnavailable as exc:
            exc.sent = False  # only the question whether one is under way
            raise
        if word in UNDER_WAY:
            raise SourceBusy(f"GitLab: an export of {intent.scope.options['path']} is under way ({word})")
        asked = answer.date or now
        answer = self.wire.post(f"/projects/{project}/export")
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return _ref(project, asked, word, now)

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        project, before = intent.scope.options["project"], intent.baseline["status"]
        word, _ = self._word(project)
        if word not in UNDER_WAY and (word != "finished" or before == "finished"):
            return None  # nothing shows that the question arrived
        # By their clock, as far as the login told it.
        behind = intent.prepared_at - (intent.account.server_time or intent.prepared_at)
        return replace(_ref(project, asked_at - behind, before, asked_at), adopted="unknown")

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        return {ref.key: self._status(ref) for ref in refs}

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        name = f"{intent.scope.options['path'].replace('/', '_')}.tar.gz"
        yield ExportFile(name, Promise(), "application/gzip", said=name)

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        return self._opened(ref, file.shown)

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        self._read[path] = content.read(path)
        return content.checks_of(self._read[path], file.shown, empty=intent.baseline["empty"])

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        asked, adopted = from_text(ref.handle["asked"]), ref.adopted != "no"
        return [content.made_check(self._contents(path), asked, adopted=adopted) for path in fetched.values()]

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        lines = [self._contents(path).lines for path in fetched.values()]
        return sum(count for count in lines if count is not None) if lines and None not in lines else None

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        return NEVER

    def cancel(self, ref: JobRef) -> None:
        pass  # GitLab has no such call

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # nor one to delete an export file; it goes after a day

    # -- inside

    def _word(self, project: int) -> tuple[str, Answer]:
        answer = self.wire.get(f"/projects/{project}/export")
        return word_of(answer.json()), answer

    def _status(self, ref: JobRef) -> Status:
        try:
            word, answer = self._word(ref.handle["project"])
        except NotThere as exc:
            return Status(State.LOST, "404", f"{exc}; {exc.hint}")
        if word in UNDER_WAY:
            self._seen.add(ref.key)
        asked = from_text(ref.handle["asked"])
        age_s = ((answer.date or asked) - asked).total_seconds()
        return status_of(word, handle=ref.handle, seen=ref.key in self._seen, age_s=age_s, at=answer.date)

    @contextmanager
    def _opened(self, ref: JobRef, what: str) -> Iterator[Download]:
        project: int = ref.handle["project"]
        status = self._status(ref)  # a colleague may have asked anew meanwhile, which takes this file away
        if status.state.waits:
            raise SourceUnavailable(f"{what}: GitLab says {status.raw!r} of it now", answered=True)
        if not status.state.ready:
            raise FileGone(f"{what}: GitLab says {status.raw!r} of it now", hint=AGAIN)
        if project in self._fetched:
            self._sleep(max(self._fetched[project] + APART_S - self._monotonic(), 0.0))
        self._fetched[project] = self._monotonic()
        with self.wire.download(f"/projects/{project}/export/download", what) as download:
            yield download

    def _contents(self, path: Path) -> content.Contents:
        return self._read[path] if path in self._read else content.read(path)


def _ref(project: int, asked: datetime, before: str, now: datetime) -> JobRef:
    """`asked`: by GitLab's clock, just before it was asked; `before`: the word then."""
    return JobRef({"project": project, "asked": to_text(asked), "before": before}, now)


def _row(answer: Answer) -> Mapping[str, Any]:
    row = answer.json()
    if not isinstance(row, dict):
        raise SourceUnexpected("GitLab: an answer that is no object", hint="check url: it leads somewhere else")
    return row


def _number(row: Mapping[str, Any]) -> int:
    number = row.get("id")
    if type(number) is not int or number <= 0:
        raise SourceUnexpected("GitLab: a project without a number")
    return number


def _path(row: Mapping[str, Any]) -> str:
    path = row.get("path_with_namespace")
    if not isinstance(path, str) or not path.isprintable() or not 0 < len(path) <= 1000:
        raise SourceUnexpected("GitLab: a project without a path")
    return path


GITLAB = Dialect(
    system="gitlab",
    secrets=(frozenset({"token"}),),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    member=member,
    parse_scope=parse_scope,
    connect=GitLab,
)
