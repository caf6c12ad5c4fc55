"""Whether a snapshot's date can be true: by the system's clock, by now, and by its place in the chain.

Pure. A date that is wrong either way is a danger: one a year ahead would push real copies out of every rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta

from storage.seen import Finding, Reason, Seen, at_text

AHEAD = timedelta(minutes=10)  # a clock that is ahead by more is wrong
WAIT = timedelta(days=1)  # between login and question, where another run began what this one finished
BEHIND = timedelta(days=7)  # an export that somebody else had started may be some days old; not more


def misdated(one: Seen) -> Reason | None:
    """Why a snapshot's date is wrong, by the system's clock; None where nothing says so.

    A question comes after its login, with hours between them where another run holds the credential: that the date
    is later than the login says little. So both must be later than the system's clock: the date, and the instant
    just before that login by the clock that dated it.
    """
    if one.server_time is None:
        return None
    ahead = min(one.taken_at, one.begun_at or one.taken_at) - one.server_time
    if ahead > (WAIT if one.begun_at is None else AHEAD) or one.taken_at - one.server_time < -BEHIND:
        why = "our clock and the system's do not agree"
        return Reason(Finding.MISDATED, "date", at_text(one.taken_at), f"about {at_text(one.server_time)}", why)
    return None


def wrong_dates(seen: Iterable[Seen], *, now: datetime) -> dict[str, str]:
    """The misdated snapshots of one scope by id, each with its reason.

    By the system's clock where it told one (`misdated`); by `now`, of which none may be ahead; and by the chain:
    numbers grow with commits, so those outside the longest series whose commits do not go back are wrong. Of two
    such series the one that ends earlier holds: clocks run ahead more often than chains are written backwards.
    """
    wrong: dict[str, str] = {}
    rest: list[Seen] = []
    for one in sorted(seen, key=by_number):
        said = misdated(one)
        latest = max(one.taken_at, one.committed_at)
        if said is not None:
            wrong[one.id] = said.sentence()
        elif latest - now > AHEAD:
            wrong[one.id] = f"misdated: {at_text(latest)}, and now it is {at_text(now)}"
        elif one.taken_at - one.committed_at > AHEAD:
            wrong[one.id] = f"misdated: {at_text(one.taken_at)}, and it was kept {at_text(one.committed_at)}"
        else:
            rest.append(one)
    return wrong | _out_of_line(rest)


def by_number(one: Seen) -> tuple[int, str]:
    """The chain's order; total, whatever comes in."""
    return one.number, one.id


def _out_of_line(rest: list[Seen]) -> dict[str, str]:
    """Of those in the order of numbers, the ones whose commits go back, or lie ahead of later ones."""
    tails: list[datetime] = []  # the earliest end of a series of each length,
    ends: list[int] = []  # whose end is this one,
    came: list[int] = []  # and this one before it
    for i, one in enumerate(rest):
        length = bisect_right(tails, one.committed_at)
        came.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(one.committed_at)
            ends.append(i)
        else:
            tails[length], ends[length] = one.committed_at, i
    line: set[int] = set()
    last = ends[-1] if ends else -1
    while last >= 0:
        line.add(last)
        last = came[last]
    later = [one.committed_at if i in line else None for i, one in enumerate(rest)]
    for i in range(len(later) - 2, -1, -1):
        later[i] = later[i] or later[i + 1]
    wrong: dict[str, str] = {}
    before: datetime | None = None
    for i, one in enumerate(rest):
        after = later[i]
        if i in line:
            before = one.committed_at
        elif before is not None and before - one.committed_at > AHEAD:
            wrong[one.id] = f"misdated: kept {at_text(one.committed_at)}, after one of {at_text(before)}"
        elif after is not None and one.committed_at - after > AHEAD:
            wrong[one.id] = f"misdated: kept {at_text(one.committed_at)}, before one of {at_text(after)}"
    return wrong
