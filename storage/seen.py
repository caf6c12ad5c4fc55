"""What of a snapshot is judged, as one small value, and what was said of it when it came.

Pure. The only place where the rules of levels and standing touch manifests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from storage import canonical
from storage.snapshot import Compared, Draft, Snapshot
from storage.verify import Check, Outcome, Quality

LEVEL = "level"  # the name of the check that a judgement becomes


class Finding(StrEnum):
    """What an export is beside its scope's history."""

    NORMAL = "normal"
    GROWN = "grown"
    SHRUNKEN = "shrunken"
    EMPTY = "empty"
    MISDATED = "misdated"


# The graver one names the judgement. What only a person settles comes before what the next night settles.
GRAVITY = (Finding.GROWN, Finding.MISDATED, Finding.SHRUNKEN, Finding.EMPTY)


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a snapshot is judged."""

    id: str
    number: int
    taken_at: datetime
    committed_at: datetime
    request: str  # canonical text; another request has another level
    quality: Quality
    size: int  # bytes
    files: int
    members: int  # 0: none of the files was cut, or it was not counted
    records: int | None = None  # None: the system's paths do not tell
    compared: tuple[Compared, ...] = ()
    fetched: bool = True  # False: taken in from a file, which may be years old
    server_time: datetime | None = None  # by the system's clock, at the login before it was asked for
    begun_at: datetime | None = None  # by ours, just before that login; None: another run had asked
    failed: tuple[str, ...] = ()  # names of failed checks, without the level's
    finding: Finding | None = None  # as judged when it came; None: nobody judged
    said: str = ""  # the level's failed checks, as sentences


class Reason(NamedTuple):
    """One figure that left its band."""

    finding: Finding
    thing: str  # records, members, files, bytes, record ids, date
    got: str
    promised: str
    why: str

    def sentence(self) -> str:
        """Thing, got, promised."""
        return self.check().sentence()

    def check(self) -> Check:
        """As a manifest holds it."""
        why = f"{self.finding}: {self.why}"
        return Check(LEVEL, Outcome.FAILED, got=self.got, promised=self.promised, reason=why)


def seen(snapshot: Snapshot) -> Seen:
    """What of a snapshot is judged. Total: what an older format does not tell is None."""
    manifest = snapshot.manifest
    return of_draft(
        manifest.draft,
        id=snapshot.id,
        number=manifest.number,
        committed_at=manifest.committed_at,
        size=manifest.size,
        files=manifest.files,
        members=manifest.members,
    )


def of_draft(
    draft: Draft, *, id: str, number: int, committed_at: datetime, size: int, files: int, members: int
) -> Seen:
    """The same of one that is about to be committed; `id` is then any text that is not another one's."""
    begun = _stamp(draft.run_id)
    failed = [check for check in draft.checks if check.outcome is Outcome.FAILED]
    return Seen(
        id=id,
        number=number,
        taken_at=draft.taken_at,
        committed_at=committed_at,
        request=asked(draft.request),
        quality=draft.quality,
        size=size,
        files=files,
        members=members,
        records=None if draft.level is None else draft.level.records,
        compared=() if draft.level is None else tuple(draft.level.compared),
        fetched=bool(draft.vendor or draft.job),
        server_time=_instant(draft.vendor.get("server_time")),
        begun_at=begun if begun is not None and (_stamp(draft.job_id) or begun) >= begun else None,
        failed=tuple(dict.fromkeys(check.name for check in failed if check.name != LEVEL)),
        finding=_finding(draft.checks),
        said="; ".join(check.sentence() for check in failed if check.name == LEVEL),
    )


def asked(request: Mapping[str, Any]) -> str:
    """What a request is told by; not which ids a search found, which are other ones each night."""
    return canonical.encode({key: value for key, value in request.items() if key != "resolved"}).decode()


def at_text(instant: datetime) -> str:
    """An instant in a sentence."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _finding(checks: Sequence[Check]) -> Finding | None:
    """What was judged when it came. A word that is not known is the strictest: a person settles it."""
    rows = [check for check in checks if check.name == LEVEL]
    found = [_said(check.reason) for check in rows if check.outcome is Outcome.FAILED]
    if found:
        return max(found, key=GRAVITY.index)
    return Finding.NORMAL if rows else None


def _said(reason: str) -> Finding:
    word = reason.partition(":")[0]
    return Finding(word) if word in GRAVITY else Finding.SHRUNKEN


def _stamp(name: str) -> datetime | None:
    """The instant in an id of a run or job, which begins with it; None in one of another shape."""
    try:
        return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _instant(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return found if found.tzinfo else None
