"""Puts the page together: told, drawn, escaped, under a policy that allows no other style and no other script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.metadata import version
from importlib.resources import files
from itertools import groupby
from typing import TypeVar
from zoneinfo import ZoneInfo

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from flows.ops import words
from flows.ops.alarm import Alarm, Level
from flows.ops.nights import Due, Mark, calendar
from flows.ops.report import charts, figures, series
from flows.ops.report.figures import Going
from flows.ops.survey import Survey
from flows.proofpage import plain
from storage.snapshot import ScopeKey

_CLASSES = dict(zip(Mark, ("v", "u", "", "w", "p", "p", "p", "f", "m"), strict=True))
_DAY = timedelta(days=1)
NONE = "–"  # in a cell where there is nothing to tell
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and the same as numbers."""

    title: str
    told: str
    picture: Markup
    head: tuple[str, ...]
    body: Sequence[Sequence[str]]
    legend: tuple[str, ...] = ()


def render(
    survey: Survey,
    alarms: Sequence[Alarm],
    dues: Mapping[ScopeKey, Sequence[Due]],
    going: Mapping[ScopeKey, Going] | None,
    *,
    zone: ZoneInfo,
    limit_days: float,
    drill_days: float | None,
) -> str:
    """The page as HTML. Every text is escaped; what cannot be printed is shown as �."""
    package = files("flows.ops.report")
    css, js = (package.joinpath(f"page.{end}").read_text(encoding="utf-8") for end in ("css", "js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    today = survey.at.astimezone(zone).date()
    environment.filters |= _filters(zone, survey.at)
    page = environment.from_string(package.joinpath("page.html.j2").read_text(encoding="utf-8"))
    days = len(series.days_of(survey, zone))
    room = series.room(survey, zone)
    rows = figures.rows(survey, going or {})
    return page.render(
        css=Markup(css),  # noqa: S704 - it is ours
        js=Markup(js),  # noqa: S704 - it is ours
        css_hash=_hash(css),
        js_hash=_hash(js),
        survey=survey,
        alarms=sorted(alarms, key=lambda alarm: -alarm.level),
        counted=_counted(alarms),
        headline=figures.headline(survey, alarms),
        calendar=calendar(survey, dues, zone, days),
        days=days,
        marks=[mark for mark in Mark if mark is not Mark.NONE],
        none_due=Mark.NONE,
        classes=_CLASSES,
        rows=rows,
        whole=sum(row.size or 0 for row in rows),
        kept_shots=sum(row.kept for row in rows),
        foreseen=going is not None,
        charts=_charts(survey, room, zone, today),
        room=room,
        upkeep=figures.upkeep(survey, limit_days=limit_days, drill_days=drill_days),
        passed=survey.last_passed,
        heads=figures.heads(survey),
        zone=str(zone),
        today=today,
        version=version("strongroom"),
    )


def _charts(survey: Survey, room: series.FreeRoom | None, zone: ZoneInfo, today: date) -> list[Chart]:
    kept, worked = series.kept(survey, zone), series.worked(survey, zone)
    if not kept or not survey.grown:
        return []
    now = kept[-1]
    told = f"{words.amount(now.whole)} in the newest snapshots, {words.amount(now.stored)} stored for all of them."
    legend = ("newest snapshots", "stored")
    title = "What is kept"
    picture = charts.kept(charts.Words("kept", title, told), kept)
    body: list[Sequence[str]] = [
        (str(one.day), words.amount(one.whole), words.amount(one.stored)) for one in reversed(kept)
    ]
    found = [Chart(title, told, picture, legend, body, legend)]
    if room is not None:
        title, told = "Free room for the archive", told_of(room, today)
        picture = charts.room(charts.Words("room", title, told), room, today)
        body = [(str(day), words.amount(free)) for day, free in reversed(room.past)]
        found.append(Chart(title, told, picture, ("free",), body))
    busy = [one for one in worked if one.runs]
    if busy:
        title = "How long runs took"
        slowest = max(busy, key=lambda one: one.longest)
        told = f"The longest took {words.took(slowest.longest)}, on {words.day(slowest.day)}."
        legend = ("median of the day", "longest of the day")
        picture = charts.durations(charts.Words("durations", title, told), worked)
        body = [
            (str(one.day), words.took(one.median), words.took(one.longest), f"{one.runs:,}")
            for one in reversed(busy)
        ]
        found.append(Chart(title, told, picture, (*legend, "runs"), body, legend))
        title = "What came in"
        told = f"{words.amount(sum(one.fetched for one in busy))} fetched in these {len(worked)} days."
        picture = charts.fetched(charts.Words("fetched", title, told), worked)
        body = [(str(one.day), words.amount(one.fetched)) for one in reversed(busy)]
        found.append(Chart(title, told, picture, ("fetched",), body))
    return found


def told_of(room: series.FreeRoom, today: date) -> str:
    """The forecast in words."""
    there = f"{words.amount(room.free)} of {words.amount(room.total)} free"
    if room.a_day is None:
        return f"{there}. The archive is too young to foresee when it is full."
    a_day = words.amount(room.a_day)
    if room.full_on is None:
        return f"{there}. At {a_day} a day, as in the last 30 days, it is not full within a hundred years."
    return (
        f"{there}. The last 30 days added {a_day} a day; a straight line from there fills the disk "
        f"{_far(room.full_on, today)}, if nothing else does and nothing is freed."
    )


def _counted(alarms: Sequence[Alarm]) -> str:
    counts = ((level, sum(alarm.level == level for alarm in alarms)) for level in sorted(Level, reverse=True))
    names = {Level.CRITICAL: "critical alarm", Level.WARNING: "warning"}
    return ", ".join(words.counted(count, names[level]) for level, count in counts if count)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _far(day: date, today: date) -> str:
    """When a day is, in words that tell how sure one can be of it."""
    ahead = (day - today).days
    if ahead < 100:
        return f"on {words.day(day)} (in {words.counted(max(ahead, 0), 'day')})"
    return f"in {round(ahead / 30.44)} months" if ahead < 730 else f"in {round(ahead / 365.25)} years"


def _cell(told: Callable[[T], str]) -> Callable[[T | None], str]:
    """The same for a cell that may have nothing to tell."""
    return lambda value: NONE if value is None else told(value)


def _filters(zone: ZoneInfo, now: datetime) -> dict[str, object]:
    today = now.astimezone(zone).date()

    def short(at: datetime | None) -> str:
        """22 Nov 03:31; 22 Nov 2024, where the year is another."""
        if at is None:
            return NONE
        local = at.astimezone(zone)
        return date_of(at) + (f" {local:%H:%M}" if local.year == today.year else "")

    def date_of(at: datetime) -> str:
        told = words.day(at.astimezone(zone).date())
        return told.removesuffix(f" {today.year}")

    def brief(at: datetime) -> str:
        """03:31; with its date, if that is not the page's."""
        return f"{at.astimezone(zone):%H:%M}" if at.astimezone(zone).date() == today else short(at)

    def soon(at: datetime | None) -> str:
        """03:30; the date alone, if it is not within a day."""
        if at is None or at - now >= _DAY:
            return NONE if at is None else date_of(at)
        return f"{at.astimezone(zone):%H:%M}"

    return {
        "amount": _cell(words.amount),
        "change": _cell(words.change),
        "took": _cell(words.took),
        "span": words.span,
        "counted": words.counted,
        "seconds": lambda value: f"{value:.1f} s" if value < 60 else words.took(timedelta(seconds=value)),
        "day": lambda at: words.day(at.astimezone(zone).date()),
        "next": soon,
        "brief": brief,
        "short": short,
        "date": date_of,
        "stamp": lambda at: "" if at is None else int(at.timestamp()),
        "total": lambda time: "" if time is None else round(time.total_seconds()),
        "known": lambda value: "" if value is None else value,
        "plain": plain,
        "commands": _commands,
        "far": _far,
        "months": _months,
    }


def _commands(text: str) -> Markup:
    """What stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _months(days: Sequence[date]) -> list[tuple[str, list[date]]]:
    parts = groupby(days, key=lambda day: (day.year, day.month))
    return [(f"{words.MONTHS[month - 1]} {year}", list(part)) for (year, month), part in parts]
