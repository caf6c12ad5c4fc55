"""The record of a run: how it ended, good or bad, as one immutable file in the archive.

Pure: a value to canonical bytes and back. The catalog's rows about finished runs are made from these and from
manifests, and from nothing else, so that losing the catalog loses nothing finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import ScopeKey, check_from_json, check_json, from_text, to_text
from storage.verify import Check

FORMAT = 1
PAPER = "-paper-"  # in the ids of records that say that a paper copy was proven: no catalog has these


class Ended(StrEnum):
    """How a run ended. The first three have a snapshot."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    QUARANTINED = "quarantined"
    EMPTY = "empty"  # the system had nothing to give
    FAILED = "failed"  # the system, or a check on what it sent, said no
    EXPIRED = "expired"  # the export file was gone before we had it
    LOST = "lost"  # nobody knows what became of the job
    INTERRUPTED = "interrupted"  # killed or cancelled; the next run goes on with the same job
    SKIPPED = "skipped"  # not needed: a newer snapshot exists
    UNCHANGED = "unchanged"  # not needed: the system shows no change since the newest verified snapshot

    @property
    def kept(self) -> bool:
        """True where a snapshot exists."""
        return self in (Ended.VERIFIED, Ended.PARTIAL, Ended.QUARANTINED)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, finished."""

    id: str  # begins with its date: see snapshot.record_name
    key: ScopeKey
    system: str
    request: Mapping[str, Any]  # what was asked, as in the manifest
    trigger: str  # what started it: schedule, deployment, cli, import
    flow_run: str  # Prefect's id of it; "" without Prefect
    job: str  # ours; "" where it never came to one
    started_at: datetime
    ended_at: datetime
    ended: Ended
    exit_code: int
    reason: str = ""  # one sentence: thing, got, promised
    hint: str = ""  # one sentence: what to try
    snapshot: str = ""  # id; "" where none was kept
    checks: tuple[Check, ...] = ()
    bytes_fetched: int = 0  # by this run; less than the export where an earlier run had fetched it


@dataclass(frozen=True, slots=True)
class KnownScope:
    """A scope that had a run or a snapshot, configured now or not."""

    name: str
    request: Mapping[str, Any]  # as asked last
    live: bool  # has a snapshot that was not forgotten


def encode(record: RunRecord) -> bytes:
    """Canonical bytes of a record (FORMAT.md section 7)."""
    value = {
        "format": FORMAT,
        "kind": "run",
        "id": record.id,
        "source": record.key.source,
        "scope": record.key.scope,
        "system": record.system,
        "request": dict(record.request),
        "trigger": record.trigger,
        "flow_run": record.flow_run,
        "job": record.job,
        "started_at": to_text(record.started_at),
        "ended_at": to_text(record.ended_at),
        "ended": record.ended.value,
        "exit_code": record.exit_code,
        "reason": record.reason,
        "hint": record.hint,
        "snapshot": record.snapshot,
        "checks": [check_json(check) for check in record.checks],
        "bytes_fetched": record.bytes_fetched,
    }
    return canonical.seal(value)


def decode(data: bytes, name: str) -> RunRecord | None:
    """The record in `data`; None for a record of another kind. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        if value["kind"] != "run":
            return None
        if value["format"] != FORMAT:
            raise FormatUnknown(f"{name}: format {value['format']}, this version reads {FORMAT}")
        return RunRecord(
            id=canonical.text(value["id"]),
            key=ScopeKey(canonical.text(value["source"]), canonical.text(value["scope"])),
            system=value["system"],
            request=value["request"],
            trigger=value["trigger"],
            flow_run=value["flow_run"],
            job=value["job"],
            started_at=from_text(value["started_at"]),
            ended_at=from_text(value["ended_at"]),
            ended=Ended(value["ended"]),
            exit_code=value["exit_code"],
            reason=value["reason"],
            hint=value["hint"],
            snapshot=value["snapshot"],
            checks=tuple(check_from_json(check) for check in value["checks"]),
            bytes_fetched=value["bytes_fetched"],
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a record that this version wrote: {exc!r}") from exc


@dataclass(frozen=True, slots=True)
class Notice:
    """Something wrong that is no run's end, as it was last said."""

    kind: str  # LISTING, VANISHED, PRUNE
    of: str  # what was asked, such as an every-scope
    about: str  # what is wrong, such as a member of it
    since: datetime
    said_at: datetime
    sentence: str
    hint: str


# What a notice is about.
LISTING = "listing"  # of: an every-scope, about: the same
VANISHED = "vanished"  # of: an every-scope, about: a member of it
PRUNE = "prune"  # of: a scope, about: the same, or its source; or of the archive as a whole
