"""What the page tells beside the calendar, as rows: how it stands, each scope, upkeep, the heads of chains.

Pure: from a survey. No reason of a run or a decision is told: these may name records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.ops.alarm import Alarm, Level
from flows.ops.nights import Mark, mark_of
from flows.ops.report.series import middle
from flows.ops.survey import IMPORT, Drilled, Ran, ScopeSeen, Scrubbed, Shot, Survey
from flows.ops.words import counted
from storage.records import Ended
from storage.snapshot import ScopeKey

MONTH = timedelta(days=30)
LAST_NIGHT = timedelta(hours=36)  # so long ago may it have begun
_EARLY = timedelta(minutes=5)  # that a run may begin before its night


@dataclass(frozen=True, slots=True)
class Going:
    """What retention takes of a scope, if nights go on and all go well."""

    next_at: datetime | None  # the first night that takes one; None: none is foreseen
    soon: int  # snapshots that go within a month
    refused: bool = False  # nothing may be forgotten here; `strongroom forget` says why


@dataclass(frozen=True, slots=True)
class Headline:
    """How it stands. `level`: None where all is well."""

    level: Level | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Row:
    """A scope. Sizes are bytes."""

    key: ScopeKey
    system: str
    configured: bool
    fresh: bool  # backed up recently enough
    good_at: datetime | None
    same: bool  # last found unchanged, and not backed up anew
    mark: Mark | None  # of the last run; None: there was none
    last_at: datetime | None
    took: timedelta | None
    usual: timedelta | None  # the median of verified runs
    size: int | None
    since_night: int | None  # how much more than the night before
    since_month: int | None
    added: int | None  # stored for the newest snapshot
    kept: int  # snapshots
    next_at: datetime | None
    going: Going | None
    held: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How well what is kept is looked after."""

    oldest: timedelta | None  # how long the byte that waits longest was not read
    limit_days: float
    never_read: int
    packs: int
    scrubs: tuple[Scrubbed, ...]
    drills: tuple[Drilled, ...]
    scrub_by: datetime | None  # else the limit is passed
    drill_by: datetime | None

    @property
    def share(self) -> float:
        """Of the limit, 1 and more where it is passed."""
        return 0 if self.oldest is None else self.oldest / timedelta(days=self.limit_days)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest snapshot of a chain: a later page with a lower number shows a roll-back."""

    key: ScopeKey
    number: int
    id: str
    committed_at: datetime


def headline(survey: Survey, alarms: Sequence[Alarm]) -> Headline:
    """One sentence, and the worst level of the alarms, or of what is stale though no alarm says so."""
    scopes = list(survey.configured)
    stale = [scope for scope in scopes if scope.stale(survey.at)]
    missed = [scope for scope in scopes if not tonight(scope, survey.at)]
    same = sum(1 for scope in scopes if _same(scope, survey.at))
    every = "The only scope" if len(scopes) == 1 else f"All {len(scopes):,} scopes"
    dues = [scope.due_at for scope in scopes if scope.due_at]
    when = "last night" if dues and survey.at - max(dues) <= LAST_NIGHT else "in the last night that was due"
    if not scopes:
        sentence = "No scope is configured"
    elif len(stale) == len(scopes):
        none = "The only scope has no" if len(scopes) == 1 else f"None of the {len(scopes):,} scopes has a"
        sentence = f"{none} recent backup"
    elif stale:
        have = "has" if len(stale) == 1 else "have"
        sentence = f"{len(stale):,} of {counted(len(scopes), 'scope')} {have} no recent backup"
    elif missed:
        sentence = f"{every} {'has' if len(scopes) == 1 else 'have'} a recent backup"
        sentence += f"; {len(missed):,} not from {when.removeprefix('in ')}" if dues else ""
    elif same == len(scopes):
        sentence = f"{every} found unchanged {when}"
    elif not dues:
        sentence = f"{every} {'has' if len(scopes) == 1 else 'have'} a recent backup"
    else:
        sentence = f"{every} verified {when}" + (f", {same:,} of them unchanged" if same else "")
    least = Level.CRITICAL if stale else None if scopes else Level.WARNING
    worst = max((alarm.level for alarm in alarms), default=least)
    return Headline(worst, sentence)


def tonight(scope: ScopeSeen, now: datetime) -> bool:
    """Whether the last night that was due went well. True where none is due."""
    if scope.due_at is None:
        return True
    since = scope.due_at - _EARLY
    well = any(run.well and run.started_at >= since and run.trigger != IMPORT for run in scope.runs)
    good = scope.good_at(now)
    return well or (good is not None and good >= since)


def _same(scope: ScopeSeen, now: datetime) -> bool:
    good = scope.good_at(now)
    return scope.newest is not None and good is not None and good > scope.newest.taken_at


def rows(survey: Survey, going: Mapping[ScopeKey, Going]) -> list[Row]:
    """A row for each scope, in the survey's order."""
    return [_row(scope, going.get(scope.key), survey.at) for scope in survey.scopes]


def _row(scope: ScopeSeen, going: Going | None, now: datetime) -> Row:
    newest, last = scope.newest, scope.last
    good = [shot for shot in scope.shots if shot.counts]
    spans = [_took(run) for run in scope.runs if run.ended == Ended.VERIFIED and run.trigger != IMPORT]
    return Row(
        key=scope.key,
        system=scope.system,
        configured=scope.configured,
        fresh=not scope.stale(now),
        good_at=scope.good_at(now),
        same=_same(scope, now),
        mark=None if last is None else mark_of(last),
        last_at=None if last is None else last.started_at,
        took=None if last is None else _took(last),
        usual=middle([one for one in spans if one is not None]),
        size=None if newest is None else newest.size,
        since_night=0 if newest and _same(scope, now) else _since(newest, good),
        since_month=_since(newest, [shot for shot in good if shot.taken_at <= now - MONTH]),
        added=None if newest is None else newest.stored_bytes,
        kept=len(scope.shots),
        next_at=scope.next_at,
        going=going,
        held=sum(bool(shot.held) for shot in scope.shots),
        waiting=sum(bool(shot.settle) for shot in scope.shots),
    )


def _took(run: Ran) -> timedelta | None:
    return None if run.ended_at is None else run.ended_at - run.started_at


def _since(newest: Shot | None, good: Sequence[Shot]) -> int | None:
    """How much larger the newest is than the one before it; `good`: newest first."""
    if newest is None:
        return None
    before = next((shot for shot in good if shot.taken_at < newest.taken_at), None)
    return None if before is None else newest.size - before.size


def upkeep(survey: Survey, *, limit_days: float, drill_days: float | None, most: int = 8) -> Upkeep:
    """Scrubs and drills against their limits. `drill_days`: None where drills are switched off."""
    oldest, passed = survey.oldest_unread_at, survey.last_passed
    return Upkeep(
        oldest=None if oldest is None else survey.at - oldest,
        limit_days=limit_days,
        never_read=survey.never_read,
        packs=survey.packs,
        scrubs=survey.scrubs[:most],
        drills=survey.drills[:most],
        scrub_by=None if oldest is None else oldest + timedelta(days=limit_days),
        drill_by=None if passed is None or drill_days is None else passed.ended_at + timedelta(days=drill_days),
    )


def heads(survey: Survey) -> list[Head]:
    """Of each scope the live snapshot with the highest number."""
    tops = [(scope.key, max(scope.shots, key=lambda shot: shot.number)) for scope in survey.scopes if scope.shots]
    return [Head(key, shot.number, shot.id, shot.committed_at) for key, shot in tops]
