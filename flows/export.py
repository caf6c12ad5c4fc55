"""The life of an export as values: what is asked, what is known of it, what it offers, when to look again.

Pure. Nothing here knows HTTP, Prefect, a file system or the time of day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from storage.snapshot import from_text, to_text
from storage.verify import Promise

EVERY = "*"  # the id of a scope that stands for all of its kind
Json = Any  # str, int, bool, None, lists and dicts of them: never a URL, never a secret


class State(StrEnum):
    """Where an export is. A dialect maps its vendor's words to these; an unknown word is an error."""

    PENDING = "pending"
    RUNNING = "running"
    READY = "ready"
    READY_PARTIAL = "ready-partial"
    EMPTY = "empty"
    FAILED = "failed"
    EXPIRED = "expired"
    LOST = "lost"

    @property
    def waits(self) -> bool:
        """True while it makes sense to ask again."""
        return self in (State.PENDING, State.RUNNING)

    @property
    def ready(self) -> bool:
        """True where there is something to fetch."""
        return self in (State.READY, State.READY_PARTIAL)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is exported, as the user named it. `options` are the dialect's: format, ids and the like."""

    name: str  # unique in its source; names the chain of snapshots
    kind: str  # user, group, selection, …
    id: str = ""  # "": the credential's own
    options: Mapping[str, Json] = field(default_factory=dict)

    @property
    def every(self) -> bool:
        """Whether it stands for all of its kind that the credential may export: never run itself."""
        return self.id == EVERY

    def to_json(self) -> dict[str, Json]:
        """As manifests and rows hold it, without the name."""
        return {"kind": self.kind, "id": self.id, **self.options}


@dataclass(frozen=True, slots=True)
class Account:
    """Who the credential is, and what it talks to: the answer to the login probe of each run."""

    user: str
    version: str
    server_time: datetime | None  # the system's clock, from its Date header

    def to_json(self) -> dict[str, Json]:
        """As manifests hold it."""
        at = "" if self.server_time is None else to_text(self.server_time)
        return {"user": self.user, "version": self.version, "server_time": at}


@dataclass(frozen=True, slots=True)
class Intent:
    """What we are about to ask, saved before we ask. A later process can go on from it alone."""

    scope: Scope  # with everything resolved that had to be looked up
    account: Account
    prepared_at: datetime
    baseline: Mapping[str, Json] = field(default_factory=dict)  # what was there before: the dialect's memory
    asked_for: Scope | None = None  # as configured; None: the same as `scope`
    omitted: tuple[str, ...] = ()  # what the scope names and this question does not ask for, a sentence each
    notes: tuple[str, ...] = ()  # what a reader of the snapshot must know of it, such as whose work it is

    @property
    def wanted(self) -> Scope:
        """The scope as configured: what tells whether an open job is still the one that is wanted."""
        return self.asked_for or self.scope

    def to_json(self) -> dict[str, Json]:
        """As the catalog holds it."""
        return {
            "scope": _scope_json(self.scope),
            "asked_for": self.asked_for and _scope_json(self.asked_for),
            "account": self.account.to_json(),
            "prepared_at": to_text(self.prepared_at),
            "baseline": dict(self.baseline),
            "omitted": list(self.omitted),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Intent:
        """From the catalog. Raises KeyError, ValueError for a value of another shape."""
        account = value["account"]
        at = account["server_time"]
        return cls(
            scope=Scope(**value["scope"]),
            asked_for=Scope(**value["asked_for"]) if value["asked_for"] else None,
            account=Account(account["user"], account["version"], from_text(at) if at else None),
            prepared_at=from_text(value["prepared_at"]),
            baseline=value["baseline"],
            omitted=tuple(value["omitted"]),
            notes=tuple(value["notes"]),
        )


def _scope_json(scope: Scope) -> dict[str, Json]:
    return {"name": scope.name, "kind": scope.kind, "id": scope.id, "options": dict(scope.options)}


@dataclass(frozen=True, slots=True)
class JobRef:
    """The vendor's handle of an export."""

    handle: Mapping[str, Json]  # the dialect's: for instance {"id": 23}
    started_at: datetime
    adopted: Literal["no", "yes", "unknown"] = "no"  # yes: somebody else had started it

    @property
    def key(self) -> str:
        """Names the job within its source, for answers about several at once."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.handle.items()))

    def to_json(self) -> dict[str, Json]:
        """As catalog and manifest hold it."""
        return {"handle": dict(self.handle), "started_at": to_text(self.started_at), "adopted": self.adopted}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> JobRef:
        """From the catalog. Raises KeyError, ValueError."""
        return cls(value["handle"], from_text(value["started_at"]), value["adopted"])


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file that a finished job offers. How to fetch it is the dialect's: `locator` is its note to itself."""

    name: str
    promised: Promise
    media_type: str = ""
    locator: Mapping[str, Json] = field(default_factory=dict)
    said: str = ""  # what messages call it, where its name is no secret; "": the name, shortened

    @property
    def shown(self) -> str:
        """The name for logs, messages and pages."""
        return self.said or shown(self.name)

    def to_json(self) -> dict[str, Json]:
        """As the catalog holds it."""
        return {
            "name": self.name,
            "size": self.promised.size,
            "crc32": self.promised.crc32,
            "sha256": self.promised.sha256,
            "media_type": self.media_type,
            "locator": dict(self.locator),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> ExportFile:
        """From the catalog. Raises KeyError."""
        promised = Promise(value["size"], value["crc32"], value["sha256"])
        return cls(value["name"], promised, value["media_type"], value["locator"])


@dataclass(frozen=True, slots=True)
class Status:
    """One answer about a job. Holds no link: links are asked for when they are used."""

    state: State
    raw: str  # the vendor's own word
    detail: str = ""  # why, where it says so
    progress: float | None = None  # 0 to 1; may go backwards
    retry_after_s: float | None = None
    expires_at: datetime | None = None  # when the export file may be gone
    server_time: datetime | None = None
    files: tuple[ExportFile, ...] = ()  # of a small export; large ones are listed by Source.files

    def to_json(self) -> dict[str, Json]:
        """As the catalog holds it."""
        return {
            "state": self.state.value,
            "raw": self.raw,
            "detail": self.detail,
            "expires_at": self.expires_at and to_text(self.expires_at),
            "server_time": self.server_time and to_text(self.server_time),
            "files": [file.to_json() for file in self.files],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Status:
        """From the catalog. Raises KeyError, ValueError."""
        return cls(
            state=State(value["state"]),
            raw=value["raw"],
            detail=value["detail"],
            expires_at=from_text(value["expires_at"]) if value["expires_at"] else None,
            server_time=from_text(value["server_time"]) if value["server_time"] else None,
            files=tuple(ExportFile.from_json(file) for file in value["files"]),
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """When to ask again, and when to stop. All in seconds."""

    first_s: float = 5
    longest_s: float = 60
    growth: float = 1.5
    ceiling_s: float = 12 * 3600  # an export that runs longer ends the run; the job is remembered
    patience_s: float = 1800  # without one good answer for so long, the run ends; the job is remembered

    def gap(self, asked: int, *, jitter: float, retry_after_s: float | None = None) -> float:
        """Seconds before question number `asked` (from 0). `jitter` is 0 to 1, from the caller's dice.

        Grows from `first_s` to `longest_s`, spread by a fifth either way so that many clients do not march in
        step; never shorter than what the server asked for.
        """
        plain = min(self.first_s * self.growth ** min(asked, 60), self.longest_s)
        return max(plain * (0.8 + 0.4 * jitter), retry_after_s or 0)


class Resume(StrEnum):
    """What to do with a job that an earlier run left open."""

    GO_ON = "go on"
    ASK = "ask"  # the intent is saved, the question was never sent
    RECOVER = "recover"  # the question went out, the answer never came: an export may exist
    RENEW = "renew"  # too old to be tonight's: close it and start a new one


def plan_resume(
    *,
    same_request: bool,
    asked: bool,
    known: bool,
    ready: bool,
    opened_at: datetime,
    now: datetime,
    fresh_for: timedelta,
) -> Resume:
    """What the next run does about an open job.

    A finished export older than `fresh_for` is not tonight's; one that still runs is waited for whatever its age,
    because the system would refuse or repeat a second one. A job that asked for something else than is wanted now
    is nobody's any more.
    """
    if not same_request:
        return Resume.RENEW
    old = now - opened_at > fresh_for
    if known:
        return Resume.RENEW if ready and old else Resume.GO_ON
    if asked:
        return Resume.RENEW if old else Resume.RECOVER
    return Resume.RENEW if old else Resume.ASK


def shown(name: str) -> str:
    """A file's name for logs, messages and pages: a long one loses its middle, where systems put random parts.

    Whoever knows an RSpace export's whole name may fetch it with any key of that server (contract rspace.md
    section 3), so the name counts as a secret while the file lives.
    """
    return name if len(name) <= 32 else f"{name[:28]}…{name[-4:]}"


def without_secrets(text: str, secrets: tuple[str, ...]) -> str:
    """`text` with every secret replaced: the last net, below code that never puts one in."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
