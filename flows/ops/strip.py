"""The last nights of a scope as a strip of letters, one for each day, that is read without colour. Pure."""

from __future__ import annotations

from datetime import date, timedelta, tzinfo
from enum import Enum

from flows.ops.scopes import IMPORT
from flows.ops.survey import Ran, ScopeSeen, Survey
from storage.records import Ended

DAYS = 14


class Mark(Enum):
    """What became of a day: its letter, its word. From the best to the worst."""

    VERIFIED = ("V", "verified")
    UNCHANGED = ("=", "unchanged or skipped")
    PARTIAL = ("P", "partial")
    QUARANTINED = ("Q", "quarantined")
    EMPTY = ("E", "empty")
    FAILED = ("F", "failed")
    DIED = ("D", "died")
    UNDER_WAY = (">", "under way")
    NONE = ("·", "no run")

    @property
    def letter(self) -> str:
        """One character."""
        return self.value[0]

    @property
    def word(self) -> str:
        """As legends and machines have it."""
        return self.value[1]


_RANKS = {mark: rank for rank, mark in enumerate(Mark)}
_BY_END = {
    Ended.VERIFIED: Mark.VERIFIED,
    Ended.UNCHANGED: Mark.UNCHANGED,
    Ended.SKIPPED: Mark.UNCHANGED,
    Ended.PARTIAL: Mark.PARTIAL,
    Ended.QUARANTINED: Mark.QUARANTINED,
    Ended.EMPTY: Mark.EMPTY,
}


def strip(survey: Survey, scope: ScopeSeen, zone: tzinfo | None = None) -> dict[date, Mark]:
    """The last 14 days, oldest first, by when runs began; None as zone: the machine's. Imports are no nights.

    Of several runs of a day the best tells: whether there was a backup that day is the question.
    """
    today = survey.at.astimezone(zone).date()
    found = {today - timedelta(days=back): Mark.NONE for back in reversed(range(DAYS))}
    for run in scope.runs:
        day = run.started_at.astimezone(zone).date()
        if day in found and run.trigger != IMPORT:
            found[day] = min(found[day], mark_of(run), key=_RANKS.__getitem__)
    return found


def mark_of(run: Ran) -> Mark:
    """How a run ended."""
    if not run.ended:
        return Mark.DIED if run.dead else Mark.UNDER_WAY
    return next((mark for ended, mark in _BY_END.items() if ended == run.ended), Mark.FAILED)
