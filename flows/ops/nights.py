"""The calendar of nights: what became of each day of each scope, as marks that can be read without colour.

Pure. A night belongs to the day on which it was due, in its schedule's zone; what runs by hand belongs to its own
day, unless a night was due in the 24 hours before. Of several runs of a day the best one tells: the question is
whether that day was backed up. An import is no night.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from flows.config import Settings
from flows.errors import EXIT_MEANINGS
from flows.ops.survey import IMPORT, Ran, ScopeSeen, Survey
from flows.schedule import coming
from storage.records import Ended
from storage.snapshot import ScopeKey

WIDEST = 120  # days of a calendar: more cannot be looked at
SHORT = 14  # days of a strip, which stands in a line of a table
_NIGHT = timedelta(hours=24)
LATE = timedelta(hours=12)  # after which a night that did not begin is missing


class Mark(Enum):
    """A day of a scope: its sign, of one column, what it means, whether somebody should look. Best to worst."""

    VERIFIED = ("✓", "verified", False)
    UNCHANGED = ("=", "unchanged", False)
    NONE = ("·", "no night due", False)
    UNDER_WAY = ("…", "under way, or to come", False)
    PARTIAL = ("P", "partial", True)
    QUARANTINED = ("Q", "quarantined", True)
    EMPTY = ("E", "empty", True)
    FAILED = ("✕", "failed", True)
    MISSING = ("○", "missing: due, and no run began", True)

    def __init__(self, sign: str, meaning: str, bad: bool) -> None:
        self.sign, self.meaning, self.bad = sign, meaning, bad

    @property
    def word(self) -> str:
        """Its name, for sentences and machines."""
        return self.name.lower().replace("_", " ")

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return _RANKS[self]


Strips = Mapping[ScopeKey, Mapping[date, Mark]]
_RANKS = {mark: rank for rank, mark in enumerate(Mark)}
_BY_END: dict[str, Mark] = {
    Ended.VERIFIED: Mark.VERIFIED,
    Ended.UNCHANGED: Mark.UNCHANGED,
    Ended.SKIPPED: Mark.UNCHANGED,
    Ended.PARTIAL: Mark.PARTIAL,
    Ended.QUARANTINED: Mark.QUARANTINED,
    Ended.EMPTY: Mark.EMPTY,
}

_MEANINGS = {int(code): meaning for code, meaning in EXIT_MEANINGS.items()}


@dataclass(frozen=True, slots=True)
class Due:
    """A night that should have begun."""

    at: datetime
    day: date  # in the schedule's zone


@dataclass(frozen=True, slots=True)
class Cell:
    """A day. `told`: what to know of it, in one line; "" where the mark says all."""

    mark: Mark
    told: str = ""
    part: int = 0  # of a source: so many of its scopes are bad, and others are well; 0: the mark is that of all
    most: bool = False  # whether this is more than half of them


@dataclass(frozen=True, slots=True)
class Row:
    """The days of a scope, the oldest first."""

    name: str
    cells: tuple[Cell, ...]
    configured: bool = True

    @property
    def bad(self) -> int:
        """Days that somebody should look at."""
        return sum(cell.mark.bad for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Group:
    """The scopes of a source."""

    source: str
    system: str
    rows: tuple[Row, ...]
    whole: Row  # of each day how many are bad

    @property
    def last(self) -> list[tuple[Mark, int]]:
        """How the newest day with nights stands: how many scopes have which mark, the worst first."""
        for at in reversed(range(len(self.whole.cells))):
            marks = Counter(row.cells[at].mark for row in self.rows)
            del marks[Mark.NONE]
            if marks:
                return sorted(marks.items(), key=lambda one: -one[0].rank)
        return []


@dataclass(frozen=True, slots=True)
class Calendar:
    """All of it."""

    days: tuple[date, ...]  # the oldest first
    groups: tuple[Group, ...]

    @property
    def scopes(self) -> int:
        """How many."""
        return sum(len(group.rows) for group in self.groups)


def calendar(survey: Survey, dues: Mapping[ScopeKey, Sequence[Due]], zone: ZoneInfo, days: int) -> Calendar:
    """The last `days` days, at most WIDEST. `dues`: of each scope with a schedule, oldest first, up to now."""
    today = max([survey.at.astimezone(zone).date(), *(due[-1].day for due in dues.values() if due)])
    shown = tuple(today - timedelta(days=back) for back in reversed(range(min(days, WIDEST))))
    found: dict[str, list[ScopeSeen]] = {}
    for scope in survey.scopes:
        found.setdefault(scope.key.source, []).append(scope)
    groups = []
    for source, scopes in found.items():
        rows = tuple(_row(scope, dues.get(scope.key, ()), shown, zone, survey.at) for scope in scopes)
        system = next((scope.system for scope in scopes if scope.system), "")
        groups.append(Group(source, system, rows, _whole(rows, len(shown))))
    return Calendar(shown, tuple(groups))


def strips(settings: Settings, survey: Survey) -> Strips:
    """Of each scope its last SHORT days, the oldest first."""
    whole = calendar(survey, dues(settings, survey), zone_of(settings), SHORT)
    return {
        ScopeKey(group.source, row.name): dict(zip(whole.days, (cell.mark for cell in row.cells), strict=True))
        for group in whole.groups
        for row in group.rows
    }


def zone_of(settings: Settings) -> ZoneInfo:
    """The zone whose days are told: of the first schedule, else of the policy."""
    named = (source.schedule.timezone for source in settings.sources if source.schedule)
    return ZoneInfo(next(named, settings.file.policy.timezone))


def dues(settings: Settings, survey: Survey) -> dict[ScopeKey, list[Due]]:
    """Of each scope with a schedule the nights of the survey's time, the oldest first."""

    @cache
    def between(cron: str, timezone: str) -> list[Due]:
        nights = takewhile(lambda night: night <= survey.at, coming(cron, timezone, now=survey.since))
        return [Due(night, night.astimezone(ZoneInfo(timezone)).date()) for night in nights]

    tables = {source.name: source for source in settings.sources}
    found = {}
    for scope in survey.configured:
        source = tables.get(scope.key.source)
        table = source.schedule_of(scope.key.scope) if source else None
        if table is not None:
            found[scope.key] = between(table.cron, table.timezone)
    return found


def mark_of(run: Ran) -> Mark:
    """How a run ended. One whose process is gone has failed."""
    if not run.ended:
        return Mark.FAILED if run.dead else Mark.UNDER_WAY
    return _BY_END.get(run.ended, Mark.FAILED)


def _row(scope: ScopeSeen, dues: Sequence[Due], shown: Sequence[date], zone: ZoneInfo, now: datetime) -> Row:
    starts = [due.at for due in dues]

    def day_of(at: datetime) -> date:
        after, own = bisect_right(starts, at), at.astimezone(zone).date()
        if after == 0 or at - starts[after - 1] >= _NIGHT:
            return own
        # Schedules are moved: what began long after one night, and before the one of its own day, is of that day.
        moved = at - starts[after - 1] > LATE and any(due.day == own for due in dues[after : after + 1])
        return own if moved else dues[after - 1].day

    runs: dict[date, list[Ran]] = {}
    imported = {run.snapshot for run in scope.runs if run.trigger == IMPORT}
    signs = [shot.committed_at for shot in scope.shots if shot.id not in imported]
    for run in scope.runs:
        if run.trigger != IMPORT:
            runs.setdefault(day_of(run.started_at), []).append(run)
            signs.append(run.started_at)
    # Before its first sign of life nobody knows of a scope; one without any should have had its last night.
    begun = day_of(min(signs)) if signs else dues[-1].day if dues else None
    nights: dict[date, Due] = {}
    for due in dues:
        if begun and due.day >= begun:
            nights.setdefault(due.day, due)
    cells = tuple(_cell(runs.get(day, []), nights.get(day), zone, now) for day in shown)
    return Row(scope.key.scope, cells, scope.configured)


def _cell(runs: Sequence[Ran], due: Due | None, zone: ZoneInfo, now: datetime) -> Cell:
    if runs:
        mark = min((mark_of(run) for run in runs), key=lambda mark: (mark is Mark.UNDER_WAY, mark.rank))
        if any(not run.ended and not run.dead for run in runs) and mark.bad:
            mark = Mark.UNDER_WAY
        told = "; ".join(_told(run, zone) for run in reversed(runs[:3]))
        return Cell(mark, told if mark.bad or any(mark_of(run).bad for run in runs) else "")
    if due is None:
        return Cell(Mark.NONE)
    if now - due.at < LATE:
        return Cell(Mark.UNDER_WAY, f"due {due.at.astimezone(zone):%H:%M}, not begun yet")
    return Cell(Mark.MISSING, f"due {due.at.astimezone(zone):%H:%M}, no run began")


def _told(run: Ran, zone: ZoneInfo) -> str:
    """A run in one line. Its reason stays out: it may name records."""
    began = f"{run.started_at.astimezone(zone):%H:%M}"
    if not run.ended:
        return f"{began} its process is gone" if run.dead else f"{began} under way"
    why = _MEANINGS.get(run.exit, "") if run.exit and mark_of(run) is Mark.FAILED else ""
    return f"{began} {run.ended}" + (f": {why} ({run.exit})" if why else "")


def _whole(rows: Sequence[Row], days: int) -> Row:
    cells = []
    for at in range(days):
        marks = Counter(row.cells[at].mark for row in rows)
        del marks[Mark.NONE]
        if not marks:
            cells.append(Cell(Mark.NONE))
            continue
        worst, best = (of(marks, key=lambda mark: mark.rank) for of in (max, min))
        bad = sum(count for mark, count in marks.items() if mark.bad)
        ordered = sorted(marks.items(), key=lambda one: -one[0].rank)
        told = ", ".join(f"{count} {mark.word}" for mark, count in ordered)
        mark = worst if bad else Mark.UNDER_WAY if Mark.UNDER_WAY in marks else best
        part = bad if bad < marks.total() else 0
        cells.append(Cell(mark, told if bad or mark is Mark.UNDER_WAY else "", part, 2 * part > marks.total()))
    return Row(f"all {len(rows)}", tuple(cells))
