"""A survey and its alarms as one document for machines: what `strongroom status --json` prints. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from flows.ops.alarm import Alarm
from flows.ops.nights import Mark, Strips
from flows.ops.room import forecast, whole_days
from flows.ops.survey import Drilled, EverySeen, Ran, ScopeSeen, Shot, Survey
from flows.ops.watch import KINDS
from storage.snapshot import to_text


def document(survey: Survey, found: Sequence[Alarm], strips: Strips, *, exit: int) -> dict[str, Any]:
    """All that `status` knows. `scopes`: the configured ones, an every-scope before its members."""
    return {
        "at": to_text(survey.at),
        "archive": survey.archive,
        "scopes": list(_rows(survey, strips)),
        "held": [_named(scope, shot) | {"reason": shot.held} for scope, shot in _shots(survey) if shot.held],
        "waiting": [
            _named(scope, shot) | {"why": shot.why_not, "settle": shot.settle}
            for scope, shot in _shots(survey)
            if shot.settle
        ],
        "upkeep": _upkeep(survey),
        "disks": list(_disks(survey)),
        "alarms": [alarm.to_json() for alarm in found],
        "kinds": {kind: what for kind, what in KINDS.items() if any(alarm.kind == kind for alarm in found)},
        "exit": exit,
    }


def in_order(survey: Survey) -> Iterator[ScopeSeen | EverySeen]:
    """What is configured: each every-scope before its members, those without any at the end."""
    everies = {(every.key.source, every.key.scope): every for every in survey.everies}
    for scope in survey.configured:
        every = everies.pop((scope.key.source, scope.every), None) if scope.every else None
        if every is not None:
            yield every
        yield scope
    yield from everies.values()


def _rows(survey: Survey, strips: Strips) -> Iterator[dict[str, Any]]:
    for one in in_order(survey):
        if isinstance(one, EverySeen):
            name = {"source": one.key.source, "scope": one.key.scope}
            yield {**name, "members": one.members, "stale": one.members == 0}
        else:
            yield _row(survey, one, strips.get(one.key, {}))


def _row(survey: Survey, scope: ScopeSeen, strip: Mapping[date, Mark]) -> dict[str, Any]:
    newest, last = scope.newest, next(iter(scope.runs), None)
    return {
        "source": scope.key.source,
        "scope": scope.key.scope,
        "system": scope.system,
        **({"every": scope.every} if scope.every else {}),
        "last_verified_at": newest and to_text(newest.taken_at),
        "unchanged_at": _text(scope.unchanged_at),
        "within_s": int(scope.within.total_seconds()),
        "stale": scope.stale(survey.at),
        "due_at": _text(scope.due_at),
        "next_at": _text(scope.next_at),
        "last_run": last and (last.ended or under_way(last)),
        "last_run_at": last and to_text(last.started_at),
        "reason": last.reason if last else "",
        "hint": last.hint if last else "",
        "open_job": scope.job or None,
        "nights": {str(day): mark.word for day, mark in strip.items()},
        "snapshots": len(scope.shots),
        "newest": newest and {name: getattr(newest, name) for name in ("id", "number", "files", "size")},
    }


def under_way(run: Ran) -> str:
    """What a run without an end does; one whose process is gone does nothing any more."""
    doing = f": {run.phase}" if run.phase else ""
    return f"died{doing}; run again: it goes on with the same export" if run.dead else f"under way{doing}"


def _shots(survey: Survey) -> Iterator[tuple[ScopeSeen, Shot]]:
    """Of all scopes, oldest first."""
    for scope in survey.scopes:
        for shot in reversed(scope.shots):
            yield scope, shot


def _named(scope: ScopeSeen, shot: Shot) -> dict[str, Any]:
    return {"id": shot.id, "source": scope.key.source, "scope": scope.key.scope, "number": shot.number}


def _upkeep(survey: Survey) -> dict[str, Any]:
    oldest, scrub = survey.oldest_unread_at, next(iter(survey.scrubs), None)
    return {
        "packs": survey.packs,
        "packs_bytes": survey.packs_bytes,
        "never_read": survey.never_read,
        "oldest_unread_at": _text(oldest),
        "oldest_unread_s": oldest and int((survey.at - oldest).total_seconds()),
        "last_scrub": scrub
        and {
            **{name: getattr(scrub, name) for name in ("id", "asked", "packs_read", "bytes_read", "findings")},
            "ended_at": to_text(scrub.ended_at),
        },
        "last_drill": _drill(next(iter(survey.drills), None)),
        "last_passed_drill": _drill(survey.last_passed),
    }


def _drill(drill: Drilled | None) -> dict[str, Any] | None:
    if drill is None:
        return None
    names = ("id", "snapshot", "outcome", "files", "bytes", "problem", "seconds")
    told = {name: getattr(drill, name) for name in names}
    return {**told, "source": drill.key.source, "scope": drill.key.scope, "ended_at": to_text(drill.ended_at)}


def _disks(survey: Survey) -> Iterator[dict[str, Any]]:
    room = forecast(survey)
    for disk in survey.disks:
        ours = room if disk.what == "archive" else None
        yield {
            **{name: getattr(disk, name) for name in ("what", "path", "free", "total")},
            "grows_bytes_per_day": None if ours is None else round(ours.bytes_per_day),
            "full_in_days": None if ours is None else whole_days(ours),
        }


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)
