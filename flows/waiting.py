"""Waiting for an export to end: at a pace, with patience for outages, and a ceiling for what never ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from flows.clock import Clock
from flows.errors import FileGone, NothingThere, RunFailed, SourceError, SourceUnavailable, SourceUnexpected
from flows.export import JobRef, Pace, State, Status
from flows.sources.base import Source
from flows.starting import stuck_hint
from storage.records import Ended
from storage.snapshot import ScopeKey


def until_ended(
    source: Source, ref: JobRef, key: ScopeKey, pace: Pace, clock: Clock, on_status: Callable[[Status], None]
) -> Status:
    """The first answer that says anything but *waiting*.

    Raises RunFailed that says *lost* at the ceiling; SourceUnavailable or SourceUnexpected, the last one, when
    there was no good answer for `pace.patience_s`. Retry: yes.
    """
    good_at = clock.now()
    errors_since: datetime | None = None
    asked = 0
    while True:
        retry_after_s: float | None = None
        try:
            status = source.poll([ref])[ref.key]
            good_at, errors_since = clock.now(), None
        except (SourceUnavailable, SourceUnexpected) as exc:
            now = clock.now()
            answered = isinstance(exc, SourceUnavailable) and exc.answered
            errors_since = (errors_since or now) if answered else None
            status = _lasting(exc, source.capabilities.error_is_end_s, errors_since, now)
            if now - good_at > timedelta(seconds=pace.patience_s) and status.state.waits:
                raise
            retry_after_s = exc.retry_after_s
        on_status(status)
        if not status.state.waits:
            return status
        age = clock.now() - ref.started_at
        if age > timedelta(seconds=pace.ceiling_s):
            raise RunFailed(
                f"{key}: the export says {status.raw} for {age}, at most "
                f"{timedelta(seconds=pace.ceiling_s)} were allowed",
                ended=Ended.LOST,
                hint=f"{stuck_hint(source.capabilities, ref)}. The job is remembered: a later end is used",
            )
        wait_s = retry_after_s or status.retry_after_s
        clock.sleep(pace.gap(asked, jitter=clock.dice(), retry_after_s=wait_s))
        asked += 1


def end_of(key: ScopeKey, status: Status) -> SourceError:
    """What a job's end means that leaves nothing to fetch."""
    detail = status.detail or status.raw
    match status.state:
        case State.EXPIRED:
            return FileGone(f"{key}: {detail}")
        case State.EMPTY:
            return NothingThere(f"{key}: nothing to export")
        case State.LOST:
            return RunFailed(
                f"{key}: the job is lost: {detail}", ended=Ended.LOST, hint="run again: it starts a new export"
            )
        case _:
            return RunFailed(
                f"{key}: the export failed: {detail}", hint="the reason is the system's; run again to retry"
            )


def _lasting(exc: SourceError, limit_s: float | None, since: datetime | None, now: datetime) -> Status:
    """An error as an answer: a failure where it lasts for so long that it is the job's own, else *running*."""
    if limit_s is None or since is None or now - since < timedelta(seconds=limit_s):
        return Status(State.RUNNING, str(exc))
    return Status(State.FAILED, str(exc), f"the job has answered with an error since {since:%H:%M:%S}: {exc}")
