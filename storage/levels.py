"""Is tonight's export like those before it? What leaves the band of its scope's history is kept, and not counted.

Pure: what is known of snapshots in, a judgement out. Which snapshots count in the end, in view of later nights and
of decisions, is `standing.py`.

What is looked at, each against the newest snapshot that counts and was asked for with the same words: the records,
the files, the members of their ZIPs, the bytes, and which records are gone. The band is learned: three times what
nine of ten of the last thirty nights stay below. It has a floor, so that a calm history is no trap; a roof, so
that no history teaches to take a loss of half; and room for small numbers: 4 records after 5 are a loss of one
record, not of a fifth. A step teaches only where its two snapshots lie no further apart than about tonight's two:
retention thins a history out, and a month's change must not widen the band of a night.

Growth has more room than loss, since nothing is missing, and the next night settles it. A loss that stays below
the band every night is not seen here, on purpose: labs do shrink, and months and years of kept snapshots are
against it. A partial export is not judged: it does not count whatever its size, and a failed check would hide that
it is partial.

A request that was changed, to another format for one, begins a level of its own. Until a night of it counts, its
nights are held against the newest snapshot that counts of any request, by what compares between formats: the
records, in the band of a young scope; where these are not known, bytes, of which only next to nothing is a loss.
So no mistake in a configuration displaces what the request before it brought. Growth is no finding there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

from storage.dates import misdated
from storage.seen import GRAVITY, LEVEL, Finding, Reason, Seen
from storage.verify import Check, Outcome

WINDOW = 30  # snapshots whose steps are learned from
ENOUGH = 3  # with fewer earlier ones, a scope is young
FACTOR = 3.0  # the band is this many times a usual night's step
ROOF = 0.5  # no history widens the band beyond this loss; small numbers do
FLOOR = 0.15  # loss that is a night's work: of the finest thing that is counted,
FLOOR_ROUGH = 0.3  # of files and members beside records,
FLOOR_SIZE = 0.6  # and of bytes beside any of them: one film may be half a lab
FLOOR_GONE = 0.1  # of records that are gone: new ones do not blur them
FLOOR_YOUNG = 0.5  # of anything, in a young scope
# What chance does to small numbers, over the root of the number: one record is several members, and bytes lie
# where the biggest records are.
SLACK, SLACK_MEMBERS, SLACK_SIZE = 1.5, 2.5, 4.0
GROWTH, GROWTH_BESIDE, GROWTH_YOUNG = 3.0, 5.0, 10.0  # times the one before; beside a finer figure; when young
MORE = {"records": 100, "files": 100, "members": 1_000, "bytes": 100_000_000}  # what one person may add in a day
# Bytes below that part of what another request brought are a loss, where records are not known. Formats differ by
# some times for the same text, and little where attachments are most of it.
GROSS = 10
ITEM = 500  # bytes: where nothing can be counted, so many are taken for one item
TINY = 64  # bytes of a file that holds nothing; a ZIP without members has 22


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an export is beside its scope's history, and by which figures."""

    finding: Finding
    reasons: tuple[Reason, ...] = ()  # none where normal
    against: int | None = None  # number of the snapshot that it was held against; None: there was none
    across: bool = False  # that snapshot was asked for with another request
    confirms: int | None = None  # number of an earlier growth that stayed (`standing.tonight`)

    @property
    def normal(self) -> bool:
        return self.finding is Finding.NORMAL

    def checks(self) -> list[Check]:
        """What the manifest says of it: one row per reason, or one that tells what it was held against."""
        if self.reasons:
            return [reason.check() for reason in self.reasons]
        if self.against is None:
            why = "there is nothing yet that counts and that it can be held against"
            return [Check(LEVEL, Outcome.NOT_AVAILABLE, reason=why)]
        beside = f"as number {self.against}" + (", which another request asked for" if self.across else "")
        if self.confirms is not None:
            beside += f"; growth that stayed: number {self.confirms} had it first"
        return [Check(LEVEL, Outcome.PASSED, got=beside)]


def judge(history: Sequence[Seen], tonight: Seen) -> Judgement:
    """What `tonight` is beside `history`: the earlier snapshots of its scope that count, in the chain's order.

    An export taken in from a file is held against those of its request that were taken before it. The first of its
    scope has no level, nor has an import that is older than all the others: they can only be empty, or misdated.
    """
    same = [one for one in history if one.request == tonight.request]
    before = same[: place(same, tonight)]
    last = reduce(newer, earlier(history, tonight), None)
    return judge_beside(before, tonight, last if has_no_level(before, tonight) else None)


def has_no_level(history: Sequence[Seen], tonight: Seen) -> bool:
    """Whether `history`, of the request of `tonight`, holds nothing, or for a fetched one only imports."""
    return not any(one.fetched or not tonight.fetched for one in history)


def earlier(history: Sequence[Seen], one: Seen) -> Sequence[Seen]:
    """What of a scope's history comes before a snapshot: all of it, or for an import what was taken before it."""
    return history if one.fetched else [other for other in history if other.taken_at <= one.taken_at]


def place(history: Sequence[Seen], one: Seen) -> int:
    """Where in `history`, which is of one request, a snapshot belongs: at the end, or an import by its date."""
    if one.fetched:
        return len(history)
    return bisect_right(history, one.taken_at, key=lambda other: other.taken_at)


def newer(last: Seen | None, one: Seen) -> Seen:
    """Which of two is the later one: `one`, which comes behind `last` in the chain, or an import by its date."""
    return one if last is None or one.fetched or one.taken_at >= last.taken_at else last


def judge_beside(history: Sequence[Seen], tonight: Seen, last: Seen | None) -> Judgement:
    """As `judge`, where all of `history` comes before `tonight` and is of its request.

    `last`: the newest that counts of any request, where `has_no_level`; None: there is none, or it has.
    """
    wrong = misdated(tonight)
    reasons = [*([] if wrong is None else [wrong]), *out_of_band(history, tonight, last)]
    finding = max((reason.finding for reason in reasons), key=GRAVITY.index, default=Finding.NORMAL)
    base = history[-1] if history else last
    if base is None:
        return Judgement(finding, tuple(reasons))
    return Judgement(finding, tuple(reasons), base.number, across=base.request != tonight.request)


def out_of_band(history: Sequence[Seen], tonight: Seen, last: Seen | None = None) -> list[Reason]:
    """The figures that leave the band; none where `tonight` is like the last of `history`, or there is none.

    `last`: as `judge_beside` takes it.
    """
    base = history[-1] if history else None
    if is_empty(tonight):
        if base is not None and is_empty(base):
            return []  # a person took that for a level
        beside = last if base is None else base
        why = "there is nothing in it" if beside is None else f"number {beside.number} has {_things(beside)}"
        return [Reason(Finding.EMPTY, "records", _things(tonight), "", why)]
    across = _across(last, tonight) if last is not None and last.request != tonight.request else []
    if base is None:
        return across
    figures = _figures(base, tonight)
    found = [_figure(figure, figures[0], history, tonight) for figure in figures]
    return [reason for reason in (*found, _gone(history, tonight), *across) if reason is not None]


def _across(last: Seen, tonight: Seen) -> list[Reason]:
    """The loss beside the newest snapshot of another request; none where nothing compares."""
    if last.records is not None and tonight.records is not None:
        figure = _Figure("records", last.records, tonight.records, lead=True)
        least = _least(figure, figure, 0, young=True) if figure.before else 0
    else:
        figure = _Figure("bytes", last.size, tonight.size, lead=True)
        least = (figure.before - 1) // GROSS
    if figure.now > least:
        return []
    reason = _left(Finding.SHRUNKEN, figure, f"at least {math.floor(least) + 1:,}", last)
    return [reason._replace(why=f"{reason.why}, before the request changed")]


def is_empty(one: Seen) -> bool:
    """Whether there is nothing in it: no records where they are known, else no member and only a few bytes."""
    if one.records is not None:
        return one.records == 0
    return one.members == 0 and one.size <= TINY * one.files


# -- one figure


class _Figure(NamedTuple):
    name: str
    before: int
    now: int
    lead: bool  # the finest that both tell: the others have more room beside it


def _figures(base: Seen, tonight: Seen) -> list[_Figure]:
    """What both tell, the finest first. Members are no figure where one side has none: old formats do not tell."""
    rows = [
        ("records", base.records or 0, tonight.records if base.records else 0),
        ("members", base.members, tonight.members),
        ("files", base.files if base.files > 1 else 0, tonight.files),
        ("bytes", base.size, tonight.size),
    ]
    told = [(name, before, now) for name, before, now in rows if before and now]
    return [_Figure(name, before, now, lead=not i) for i, (name, before, now) in enumerate(told)]


def _figure(figure: _Figure, lead: _Figure, history: Sequence[Seen], tonight: Seen) -> Reason | None:
    young = len(history) < ENOUGH
    least, most = _least(figure, lead, 0, young), _most(figure, 0, young)
    if least < figure.now <= most:
        return None  # what is learned only widens the band
    usual = _usual([abs(math.log(b / a)) for a, b in _values(figure.name, _comparable(history, tonight))])
    least, most = _least(figure, lead, usual, young), _most(figure, usual, young)
    if figure.now <= least:
        return _left(Finding.SHRUNKEN, figure, f"at least {math.floor(least) + 1:,}", history[-1])
    if figure.now > most:
        return _left(Finding.GROWN, figure, f"at most {math.floor(most):,}", history[-1])
    return None


def _left(finding: Finding, figure: _Figure, promised: str, base: Seen) -> Reason:
    """A figure that left its band, in words."""
    why = f"number {base.number} has {figure.before:,} ({(figure.now / figure.before - 1) * 100:+,.0f} %)"
    return Reason(finding, figure.name, f"{figure.now:,} {figure.name}", promised, why)


def _least(figure: _Figure, lead: _Figure, usual: float, young: bool) -> float:
    """What is already a loss out of the band."""
    items = lead.before if lead.name != "bytes" else lead.before / ITEM
    learned = min(ROOF, 1 - math.exp(-FACTOR * usual))
    if figure.name == "bytes" and not figure.lead:
        floor, slack = FLOOR_SIZE, SLACK_SIZE
    else:
        floor = FLOOR if figure.lead else FLOOR_ROUGH
        slack = SLACK_MEMBERS if figure.name == "members" else SLACK
    return figure.before * (1 - max(floor, learned, slack / math.sqrt(items), FLOOR_YOUNG if young else 0))


def _most(figure: _Figure, usual: float, young: bool) -> float:
    """What is not yet growth out of the band."""
    times = GROWTH_YOUNG if young else GROWTH if figure.lead else GROWTH_BESIDE
    learned = math.exp(min(FACTOR * usual, math.log(GROWTH_YOUNG)))
    return max(figure.before * max(times, learned), figure.before + MORE[figure.name])


# -- which records


def _gone(history: Sequence[Seen], tonight: Seen) -> Reason | None:
    """Which of the earlier one's records are gone; new ones make up for none, where ids tell them apart.

    Where the ids are only names of members, a renamed folder is as many gone as came: only what is missing counts.
    """
    base = history[-1]
    share = share_gone(base, tonight)
    if share is None or share < FLOOR_GONE:
        return None
    of = next(one.of for one in tonight.compared if one.snapshot == base.id)
    shares = [share_gone(a, b) for a, b in _comparable(history, tonight)]
    usual = _usual([known for known in shares if known is not None])
    chance = (SLACK_MEMBERS if tonight.records is None else SLACK) / math.sqrt(of)
    young = FLOOR_YOUNG if len(history) < ENOUGH else 0
    allowed = max(FLOOR_GONE, min(ROOF, FACTOR * usual), chance, young)
    if share < allowed:
        return None
    got, most = f"{share * of:,.0f} record ids gone", f"at most {math.ceil(allowed * of) - 1:,}"
    why = f"number {base.number} has {of:,}, and new ones do not make up for them"
    return Reason(Finding.SHRUNKEN, "record ids", got, most, why)


def share_gone(before: Seen, after: Seen) -> float | None:
    """The share of `before`'s record ids that `after` lacks; None where the two were not compared by like ids."""
    net = after.records is None
    for one in after.compared:
        if one.snapshot == before.id and one.of > 0 and net == (before.records is None):
            return max(0, one.vanished - (one.appeared if net else 0)) / one.of
    return None


# -- what is learned


def _comparable(history: Sequence[Seen], tonight: Seen) -> list[tuple[Seen, Seen]]:
    """The last steps of a history that took no longer than about the step to tonight."""
    longest = 2 * max(tonight.taken_at - history[-1].taken_at, timedelta(days=1))
    last = history[-WINDOW - 1 :]
    return [(a, b) for a, b in pairwise(last) if b.taken_at - a.taken_at <= longest]


def _values(name: str, steps: list[tuple[Seen, Seen]]) -> list[tuple[int, int]]:
    pairs = [(_value(name, a), _value(name, b)) for a, b in steps]
    return [(a, b) for a, b in pairs if a and b]


def _value(name: str, one: Seen) -> int:
    return {"records": one.records or 0, "members": one.members, "files": one.files, "bytes": one.size}[name]


def _usual(steps: list[float]) -> float:
    """What nine of ten steps stay below: one import or one big delete among ten nights teaches nothing."""
    return sorted(steps)[int(0.9 * (len(steps) - 1))] if steps else 0.0


# -- words


def _things(one: Seen) -> str:
    if one.records is not None:
        return f"{one.records:,} records"
    return f"{one.members:,} members, {one.size:,} bytes"
