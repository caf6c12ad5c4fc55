"""The nights to come, by a source's cron line: what forecasts and simulations go through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from flows.config import Settings
from flows.configtables import ScheduleTable
from flows.errors import ConfigError
from storage.planning import Nights
from storage.policy import Policy, Span
from storage.snapshot import ScopeKey

SLACK = timedelta(hours=12)  # that a night may take, or be late
UNSCHEDULED = timedelta(hours=36)
LOOKED = 8
WEEKS = timedelta(weeks=5)
ASSUMED = (
    "30 3 * * *"  # where the configuration has no schedule: the cron of a Prefect deployment is not known here
)


def coming(cron: str, timezone: str, *, now: datetime) -> Iterator[datetime]:
    """The instants (UTC) after `now`, in order, without end. Raises ConfigError for what is no cron line."""
    try:
        ticks = CronSim(cron, now.astimezone(ZoneInfo(timezone)))
    except CronSimError as exc:
        raise ConfigError(f"{cron!r} is no cron line ({exc})", hint='five fields, such as "30 3 * * *"') from exc
    return (tick.astimezone(UTC) for tick in ticks)


def next_after(table: ScheduleTable, *, now: datetime) -> datetime | None:
    """The first night after `now`; None where none comes any more."""
    return next(coming(table.cron, table.timezone, now=now), None)


def last_before(table: ScheduleTable, *, now: datetime) -> datetime | None:
    """The last night that began before `now`; None where there was none within the 50 years that are looked at."""
    ticks = CronSim(table.cron, now.astimezone(ZoneInfo(table.timezone)), reverse=True)
    last = next(ticks, None)
    return last and last.astimezone(UTC)


def within(table: ScheduleTable | None, *, now: datetime) -> timedelta:
    """How old the last good news of a scope may be: the longest time between two of its nights, and SLACK.

    The nights of the next five weeks are looked at, eight at least, and the last one before `now`: a schedule of
    working days has its weekend, one of the first days of a month the rest of it.
    """
    if table is None:
        return UNSCHEDULED
    before = last_before(table, now=now)
    nights = [] if before is None else [before]
    for count, night in enumerate(coming(table.cron, table.timezone, now=now)):
        nights.append(night)
        if count >= LOOKED and night - now > WEEKS:
            break
    return max((later - one for one, later in pairwise(nights)), default=UNSCHEDULED - SLACK) + SLACK


def for_as_long(cron: str, policy: Policy, span: Span, *, now: datetime) -> list[datetime]:
    """The nights of so long a time from `now` on, by the policy's calendar. Raises ConfigError."""
    nights = []
    for night in coming(cron, policy.timezone, now=now):
        if span.before(night, policy.zone) > now:
            break
        nights.append(night)
    return nights


def scheduled(settings: Settings | None, source: str) -> bool:
    """Whether the configuration tells when that source's nights are."""
    return settings is not None and any(table.name == source and table.schedule for table in settings.sources)


def nights_of(
    settings: Settings | None, policy_of: Callable[[ScopeKey], Policy], *, now: datetime
) -> Callable[[ScopeKey], Nights]:
    """Of each scope its coming nights, by its own schedule or its source's; else ASSUMED in its policy's zone."""
    tables = {} if settings is None else {table.name: table for table in settings.sources}
    seen: dict[tuple[str, str], _Remembered] = {}

    def of(key: ScopeKey) -> Nights:
        source = tables.get(key.source)
        table = source.schedule_of(key.scope) if source else None
        line = (table.cron, table.timezone) if table else (ASSUMED, policy_of(key).timezone)
        if line not in seen:
            seen[line] = _Remembered(coming(*line, now=now))
        return seen[line].__iter__

    return of


class _Remembered:
    """Nights that many scopes go through: 30 years of them take half a second, so each is told once."""

    def __init__(self, nights: Iterator[datetime]) -> None:
        self._nights = nights
        self._told: list[datetime] = []

    def __iter__(self) -> Iterator[datetime]:
        at = 0
        while True:
            if at == len(self._told):
                night = next(self._nights, None)
                if night is None:
                    return
                self._told.append(night)
            yield self._told[at]
            at += 1
