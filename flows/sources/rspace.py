"""RSpace ELN's dialect: its paths, its words, its error codes.

Facts are from the contract (`rspace.md`, read from RSpace's own source, 2.0 to 2.26); sections are named where a
fact is used. What an export's content must look like is `rspace_content.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flows.errors import (
    FileGone,
    RequestWrong,
    RunFailed,
    SourceBusy,
    SourceRefused,
    SourceUnavailable,
    SourceUnexpected,
)
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status, shown
from flows.sources import rspace_content
from flows.sources.base import Capabilities, Connection, Dialect, Download, Known, Receipt
from flows.sources.client import Answer, Client
from flows.sources.rspace_scopes import KINDS, parse_scope, scope_from_table
from storage.verify import Check, Outcome, Promise

# Spring Batch's words (section 2). RUNNING, in RSpace's documents, never occurs.
STATES = {
    "STARTING": State.PENDING,
    "STARTED": State.RUNNING,
    "STOPPING": State.RUNNING,
    "STOPPED": State.FAILED,
    "COMPLETED": State.READY,
    "FAILED": State.FAILED,
    "ABANDONED": State.FAILED,
    "UNKNOWN": State.FAILED,
}

CAPABILITIES = Capabilities(
    recognised_by="job id",
    second_start="refused",
    promises="size and digest",
    ranges=False,
    cancels=False,
    pace=Pace(first_s=5, longest_s=45),  # section 12 rule 3: 30 to 60 s, sooner for small exports
    error_is_end_s=600,  # section 2: a swallowed failure answers 500 for ever, and never FAILED
    silent_about="RSpace gives size and CRC-32 with a finished job, and this file came without one",
    leaves_out=(  # section 6
        "inventory",
        "files in linked file stores",
        "deleted items",
        "audit trail, permissions and shares",
        "snippets",
    ),
)

ACCEPT_FILE = "application/octet-stream, application/json;q=0.9"  # section 3: else errors come as HTML
TRIES = 3  # of a request that the limit on requests refuses
MAX_FIELD = 200  # characters of a value that we read; more is not RSpace's
T = TypeVar("T")
_FILE_NAME = re.compile(r"[\w\-]{20,}\.(?:zip|csv|eln)")
_KEY_START = re.compile(r"for token \S+")
_OWN_FILE = re.compile(r"/api/v1/export/([\w\-]+(?:\.zip)?)$")
_EXPORT_RUNS = re.compile(r"already.*running.*export|running export job", re.IGNORECASE)  # section 4


class RSpace:
    """One API key on one RSpace server."""

    capabilities = CAPABILITIES

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._client = Client(connection, {"apiKey": connection.secrets["api_key"]})
        self._sleep = sleep

    def close(self) -> None:
        self._client.close()

    def login(self) -> Account:
        status = self._get("/api/v1/status")
        me = self._get("/api/v1/userDetails/whoami")
        version, user = _field(status, "rspaceVersion", str), _field(me, "username", str)
        return Account(user, version, status.date)

    def discover(self, wanted: Scope) -> Scope:
        return wanted

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        return Intent(scope, account, now)

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
        answer = self._admitted(lambda: self._client.post(path, form, timeout_s=self._connection.start_timeout_s))
        if answer.status != 202:
            raise self._no_start(answer, scope)
        return JobRef({"id": _field(answer, "id", int)}, now)

    def recover(self, intent: Intent, *, asked_at: datetime) -> JobRef | None:
        # There is no list of jobs (section 2). While the lost one runs, the next start is refused as busy.
        return None

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        return {ref.key: self._status(ref) for ref in refs}

    def files(self, ref: JobRef, status: Status, known: Known) -> Iterable[ExportFile]:
        return status.files

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        answer = self._get(f"/api/v1/jobs/{ref.handle['id']}")
        if _status_of(answer).state is State.EXPIRED:
            raise FileGone(f"{file.shown}: RSpace has removed it")
        link = _enclosure(answer)
        own = _OWN_FILE.search(_path(link))
        # server.urls.prefix may name another host than the one we were given; RSpace's own files are fetched
        # where we were told it lives. Anything else is a pre-signed link (section 2) and gets no key.
        url = f"/api/v1/export/{own.group(1)}" if own else link
        return self._client.stream(url, accept=ACCEPT_FILE, refuse=lambda a: self._no_file(a, file))

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        window = rspace_content.window(intent.account.server_time, status.server_time)
        return rspace_content.inspect(intent.scope, path, file.shown, window)

    def witness(self, intent: Intent, ref: JobRef, status: Status) -> list[Check]:
        # RSpace says COMPLETED for an export that misses records (section 2); its EXPORT event tells (section 5).
        reason = "not compared with RSpace's own list of records by this version"
        return [Check("completeness", Outcome.NOT_AVAILABLE, reason=reason)]

    def cancel(self, ref: JobRef) -> None:
        pass  # RSpace has no such call (section 2)

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        pass  # nor one to delete an export; its own clock does (section 3)

    def _get(self, path: str) -> Answer:
        answer = self._asked(path)
        if answer.status != 200:
            raise self._refusal(answer)
        return answer

    def _asked(self, path: str) -> Answer:
        return self._admitted(lambda: self._client.get(path, sleep=self._sleep))

    def _admitted(self, ask: Callable[[], Answer]) -> Answer:
        """The answer once RSpace's limit on requests lets it through: being refused by it has no effect there."""
        for _ in range(TRIES - 1):
            answer = ask()
            if answer.status != 429 or _EXPORT_RUNS.search(_message(answer)):
                return answer
            self._sleep(_limit_s(answer))
        return ask()

    def _status(self, ref: JobRef) -> Status:
        answer = self._asked(f"/api/v1/jobs/{ref.handle['id']}")
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
            self._get("/api/v1/status")  # raises SourceRefused for a dead key
            return Status(State.LOST, "401", "the job belongs to another user", server_time=answer.date)
        if answer.status != 200:
            raise self._refusal(answer)
        return _status_of(answer)

    def _no_start(self, answer: Answer, scope: Scope) -> Exception:
        """The exception for an answer to the POST other than 202 (section 1)."""
        said = _message(answer)
        match answer.status:
            case 429 if _EXPORT_RUNS.search(said):
                return SourceBusy(
                    "RSpace: an export of this user runs already",
                    hint="wait for it to end; if it never does, RSpace was restarted during an export: "
                    "an administrator must close that job in its database",
                )
            case 400 | 422:
                return RequestWrong(f"RSpace refuses {scope.name}: {said or answer.status}")
            case 401:
                self._get("/api/v1/status")  # a dead key raises here; else it is a refusal (section 4)
                return SourceRefused(f"RSpace refuses {scope.name}: {said or 'not permitted'}")
            case 500 if answer.json() is not None:
                # An error in RSpace's own form comes before the job is launched: nothing was started.
                return RunFailed(f"RSpace did not start the export: {said}", hint=_start_hint(said))
            case _:
                return self._refusal(answer)

    def _no_file(self, answer: Answer, file: ExportFile) -> Exception:
        if answer.status in (404, 410) or (answer.status == 500 and "not exist" in _message(answer)):
            return FileGone(f"{file.shown}: RSpace has removed it")
        return self._refusal(answer)

    def _refusal(self, answer: Answer) -> Exception:
        said = _message(answer)
        tail = f": {said}" if said else ""
        if answer.status in (401, 403):
            return SourceRefused(
                f"RSpace refuses the key{tail}", hint="check the API key, and that its user is enabled"
            )
        if answer.status == 429:
            return SourceUnavailable("RSpace asks for fewer requests", retry_after_s=_limit_s(answer))
        if answer.status >= 500:
            # Only RSpace's own form is RSpace's answer; a web page is from a proxy while it is away.
            return SourceUnavailable(f"RSpace answers {answer.status}{tail}", answered=answer.json() is not None)
        return SourceUnexpected(
            f"RSpace answers {answer.status}{tail}", hint="check that url is an RSpace server's"
        )


def _status_of(answer: Answer) -> Status:
    raw = _field(answer, "status", str)
    if raw not in STATES:
        raise SourceUnexpected(f"RSpace: job status {raw[:40]!r} is not known")
    body = answer.json()
    result = body.get("result") if isinstance(body.get("result"), dict) else {}
    state = STATES[raw]
    percent = body.get("percentComplete")
    progress = percent / 100 if isinstance(percent, int | float) and 0 <= percent <= 100 else None
    if state is State.FAILED:
        reason = "; ".join(_lines(result))[:600]
        return Status(state, raw, reason or "RSpace gives no reason", server_time=answer.date)
    if state is not State.READY:
        return Status(state, raw, progress=progress, server_time=answer.date)
    if result.get("size") is None:
        return Status(State.EXPIRED, raw, "RSpace has removed the export file", server_time=answer.date)
    name = _path(_enclosure(answer)).rpartition("/")[2]
    if not name.strip(".") or not name.isprintable() or len(name) > MAX_FIELD:
        raise SourceUnexpected("RSpace: a finished job's link has no usable file name")
    file = ExportFile(name, _promise(result), "application/zip")
    return Status(state, raw, progress=1, expires_at=_expiry(result), server_time=answer.date, files=(file,))


def _promise(result: Mapping[str, Any]) -> Promise:
    """Size and CRC-32. The checksum is a decimal string, unpadded (section 2); compared as an integer."""
    size, checksum, algorithm = result.get("size"), result.get("checksum"), result.get("algorithm")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise SourceUnexpected(f"RSpace: size {str(size)[:40]!r} is no number of bytes")
    number = int(checksum) if isinstance(checksum, str) and re.fullmatch(r"[0-9]{1,10}", checksum) else -1
    if algorithm != "CRC32" or not 0 <= number < 1 << 32:
        raise SourceUnexpected(
            f"RSpace: checksum {str(checksum)[:40]!r} by {str(algorithm)[:40]!r}, CRC32 was expected"
        )
    return Promise(size, number)


def _expiry(result: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.strptime(result["expiryDate"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None


def _enclosure(answer: Answer) -> str:
    body = answer.json()
    links = body.get("_links") if isinstance(body, dict) else None
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "enclosure" and isinstance(link.get("link"), str):
            return str(link["link"])
    raise SourceUnexpected("RSpace: a finished job has no enclosure link")


def _path(link: str) -> str:
    try:
        return urlsplit(link).path
    except ValueError as exc:
        raise SourceUnexpected("RSpace: a finished job's link is no URL") from exc


def _limit_s(answer: Answer) -> float:
    """Seconds that the limit on requests asks to wait (section 4): at most an hour, whatever it says."""
    wait_ms = answer.headers.get("x-rate-limit-waittimemillis", "")
    return min(float(wait_ms) / 1000, 3600) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", wait_ms) else 15.0


def _field(answer: Answer, name: str, kind: type[T]) -> T:
    body = answer.json()
    value = body.get(name) if isinstance(body, dict) else None
    text = str(value)
    if not isinstance(value, kind) or isinstance(value, bool) or len(text) > MAX_FIELD or not text.isprintable():
        raise SourceUnexpected(
            f"RSpace: an answer without a usable {name!r}", hint="check that url is an RSpace server's"
        )
    return value


def _message(answer: Answer) -> str:
    """What an ApiError says, one line; "" for anything else. Texts of an HTML page are of no use to a reader."""
    body = answer.json()
    if not isinstance(body, dict):
        return ""
    parts = [_plain(body.get("message")), *_lines(body)]
    return "; ".join(dict.fromkeys(part for part in parts if part))[:400]


def _lines(body: Mapping[str, Any]) -> list[str]:
    """The `errors` of an ApiError, those that say something."""
    errors = body.get("errors")
    return [line for line in map(_plain, errors[:20]) if line] if isinstance(errors, list) else []


def _plain(text: object) -> str:
    """A text of RSpace's for our messages: one line, bounded; a file's name is shortened, see `shown`.

    RSpace repeats the first characters of a key that it refuses (section 4): they are taken out.
    """
    given = text[:2000] if isinstance(text, str) else ""
    line = " ".join("".join(char if char.isprintable() else " " for char in given).split())
    line = _KEY_START.sub("for this token", line)
    return _FILE_NAME.sub(lambda found: shown(found[0]), line)[:300]


def _start_hint(said: str) -> str:
    if "disk space" in said:
        return "RSpace's own disk is full: its administrator must make room"
    if "to export record with id" in said:
        return "one record of the selection may not be read by this user: take its id out of the scope"
    return "the message is RSpace's; its administrator finds more in its error log"


RSPACE = Dialect(
    system="rspace",
    secrets=(frozenset({"api_key"}),),
    kinds=KINDS,
    pace=CAPABILITIES.pace,
    scope=scope_from_table,
    parse_scope=parse_scope,
    connect=RSpace,
    inspect_import=rspace_content.inspect_import,
    made_at=rspace_content.made_at,
)
