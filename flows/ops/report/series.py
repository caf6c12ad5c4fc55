"""What the charts show, day by day. Pure: from a survey."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from statistics import median
from zoneinfo import ZoneInfo

from flows.ops.room import forecast
from flows.ops.survey import IMPORT, Survey
from storage.records import Ended

CENTURY_DAYS = 36_525  # nobody foresees further


@dataclass(frozen=True, slots=True)
class Kept:
    """A day's end. Bytes."""

    day: date
    whole: int  # of the newest snapshot of each scope
    stored: int  # of all packs


@dataclass(frozen=True, slots=True)
class Worked:
    """What runs of a day did."""

    day: date
    runs: int  # that fetched, or tried to
    longest: timedelta
    median: timedelta
    fetched: int  # bytes


@dataclass(frozen=True, slots=True)
class FreeRoom:
    """The disk that the archive is on, how its room went, and the forecast of `room.py`."""

    path: str
    free: int  # bytes
    total: int
    a_day: float | None  # bytes that the archive grows; None: too young to tell
    full_on: date | None  # None: not within a hundred years
    past: tuple[tuple[date, int], ...]  # free bytes, if nothing else had filled the disk


def days_of(survey: Survey, zone: ZoneInfo) -> list[date]:
    """The days up to today, as many as the survey has, the oldest first."""
    today = survey.at.astimezone(zone).date()
    count = round((survey.at - survey.since) / timedelta(days=1))  # by dates an hour of summer time may cost one
    return [today - timedelta(days=back) for back in reversed(range(count))]


def _ends(days: Iterable[date], zone: ZoneInfo) -> list[datetime]:
    return [datetime.combine(day + timedelta(days=1), time(), zone) for day in days]


def kept(survey: Survey, zone: ZoneInfo) -> list[Kept]:
    """Sizes at the end of each day.

    What was forgotten since is not seen: its days have the size of the snapshot before it, else of the first one
    after. What was freed since is not seen either: stored are the bytes of today, without what was added later.
    """
    days = days_of(survey, zone)
    ends = _ends(days, zone)
    whole = [0] * len(days)
    for scope in survey.scopes:
        shots = sorted((shot.taken_at, shot.size) for shot in scope.shots if shot.counts)
        first = min((run.started_at for run in scope.runs if run.snapshot), default=survey.at)
        if shots and first < shots[0][0]:
            shots.insert(0, (first, shots[0][1]))  # there was one before, which is gone
        taken = [at for at, _ in shots]
        for place, end in enumerate(ends):
            if before := bisect_right(taken, end):
                whole[place] += shots[before - 1][1]
    stored = _before(survey, ends)
    return [Kept(*one) for one in zip(days, whole, stored, strict=True)]


def _before(survey: Survey, instants: Iterable[datetime]) -> list[int]:
    """Stored bytes at each instant: those of now, without what came after it."""
    grown = sorted(survey.grown)
    at = [when for when, _ in grown]
    sums = [0, *accumulate(count for _, count in grown)]
    return [max(survey.packs_bytes - (sums[-1] - sums[bisect_right(at, when)]), 0) for when in instants]


def worked(survey: Survey, zone: ZoneInfo) -> list[Worked]:
    """The days' runs, by when they began; days without one have zeros. What found nothing to do is left out."""
    spans: dict[date, list[timedelta]] = {}
    fetched: dict[date, int] = {}
    for scope in survey.scopes:
        for run in scope.runs:
            if run.ended_at is None or run.trigger == IMPORT or run.ended in (Ended.UNCHANGED, Ended.SKIPPED):
                continue
            day = run.started_at.astimezone(zone).date()
            spans.setdefault(day, []).append(run.ended_at - run.started_at)
            fetched[day] = fetched.get(day, 0) + run.bytes_fetched
    return [
        Worked(
            day,
            len(spans.get(day, ())),
            max(spans.get(day, ()), default=timedelta(0)),
            middle(spans.get(day, ())) or timedelta(0),
            fetched.get(day, 0),
        )
        for day in days_of(survey, zone)
    ]


def middle(spans: Sequence[timedelta]) -> timedelta | None:
    """The median; None of none."""
    return timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None


def room(survey: Survey, zone: ZoneInfo) -> FreeRoom | None:
    """The archive's disk, day by day; None where the archive is on no disk of ours."""
    disk = survey.archive_disk
    if disk is None:
        return None
    there = forecast(survey)
    a_day = None if there is None else there.bytes_per_day
    full_on = None
    if there is not None and there.days < CENTURY_DAYS:
        full_on = (survey.at + timedelta(days=there.days)).astimezone(zone).date()
    days = days_of(survey, zone)
    stored = _before(survey, _ends(days, zone))
    past = tuple((day, disk.free + survey.packs_bytes - then) for day, then in zip(days, stored, strict=True))
    return FreeRoom(disk.path, disk.free, disk.total, a_day, full_on, past)
