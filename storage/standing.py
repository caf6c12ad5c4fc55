"""Which snapshots of a scope count, in view of their levels, of later nights, and of what persons decided.

Pure: what is known of the snapshots and the decisions in, a standing for each out. Total: whatever comes in, each
snapshot has one.

What counts, serves retention and displaces others: verified, not rejected, not misdated. What does not count is
kept all the same, until retention finds two that count newer. What a level's quarantine needs to end:

- an outlier: a later night at the old level. It is settled and does not count;
- a growth: the next night at the new level. Both count;
- an empty or shrunken level: a person. However often it comes again, and however long, nothing else settles it.
  Who accepts a snapshot accepts its level: the earlier ones of the same level that nothing has settled count with
  it, and later ones that differ from it as little as nights do. Who rejects one rejects that one;
- a loss beside another request (`levels`): the same, each request having nights of its own;
- a wrong date: a person.

Accepting ends a quarantine of levels and dates. It mends nothing: a snapshot whose checks failed, and one that the
system itself calls partial, never count, since to count is to displace a whole one. A person who needs one holds
it. Nor does one count about which a decision cannot be read: it may say that it should not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce

from storage.dates import by_number, wrong_dates
from storage.decisions import Decision, judged, ordered
from storage.levels import WINDOW, Judgement, earlier, has_no_level, judge_beside, newer, out_of_band, place
from storage.seen import Finding, Reason, Seen
from storage.verify import Quality


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a snapshot counts, and what is to be done where that is open."""

    id: str
    number: int
    counts: bool
    why_not: str = ""  # "" where it counts
    settled_by: str = ""  # what ended its quarantine, whether it counts or not; "" where there was none, or is
    ask: str = ""  # the command that settles it; "" where nothing waits for a person
    covers: tuple[int, ...] = ()  # numbers of the earlier ones that this command settles with it
    dated: bool = True  # False: its date is in doubt, whatever else is told first, and nobody accepted it

    @property
    def pending(self) -> bool:
        """Whether it waits for a person; a growth may yet be settled by the next night."""
        return bool(self.ask)


def refusal(one: Seen) -> str:
    """Why accepting this snapshot would change nothing, as a sentence; "" where it can be accepted."""
    if one.quality is Quality.PARTIAL:
        return "the system itself says that it is partial; accepting it would not make it whole"
    if one.failed:
        return f"checks failed: {', '.join(one.failed)}; accepting it would not mend it"
    if one.quality is Quality.QUARANTINED and one.finding in (None, Finding.NORMAL):
        return "it is quarantined, and no level is why; accepting it would not mend it"
    return ""


def standings(seen: Iterable[Seen], decisions: Iterable[Decision], *, now: datetime) -> list[Standing]:
    """The standing of each snapshot of one scope, oldest number first.

    Neither the order of `seen` matters nor that of `decisions`: those about one snapshot are ordered by `n`, and
    the last accept or reject is what holds. Decisions about others are passed over. Time: n log n.
    """
    return _walk(seen, decisions, now=now).standings()


def tonight(seen: Iterable[Seen], decisions: Iterable[Decision], arrived: Seen, *, now: datetime) -> Judgement:
    """How to judge an export before it is committed; `seen` are the snapshots of its scope so far.

    `arrived` has no id yet: any text that is not one of theirs. Not to be asked about a partial one, nor about one
    whose checks failed. Beside `levels.judge` it knows of a growth that waits for a night like it: that makes it
    normal, and it says which growth it confirms.
    """
    walk = _walk(seen, decisions, now=now)
    lane = walk.lane(arrived.request)
    judgement = judge_beside(lane.before(arrived), arrived, lane.last(arrived))
    if judgement.finding is Finding.GROWN and arrived.fetched and lane.grown_before(arrived):
        return replace(judgement, finding=Finding.NORMAL, reasons=(), confirms=lane.open[-1].number)
    return judgement


def to_compare(seen: Iterable[Seen], decisions: Iterable[Decision], request: str, *, now: datetime) -> list[Seen]:
    """With which snapshots to compare the records of an export of this request (`seen.asked`) that is fetched now.

    The newest that counts, against which it is judged; and the newest that waits to be settled, so that a growth
    can be confirmed, and a level be accepted that came several times. None, one or both.
    """
    lane = _walk(seen, decisions, now=now).lane(request)
    return [*lane.counted[-1:], *lane.open[-1:]]


# -- one request's snapshots


@dataclass
class _Scope:
    """The newest of all requests, as far as the walk has come; a request without a level is held against these."""

    counted: Seen | None = None  # today,
    every: list[Seen] = field(default_factory=list)  # that counts
    verified: Seen | None = None  # and when nights came
    rejected: bool = False  # as in a lane


@dataclass
class _Lane:
    """The snapshots of one request, as far as the walk has come."""

    scope: _Scope
    counted: list[Seen] = field(default_factory=list)  # what a night is held against today,
    verified: list[Seen] = field(default_factory=list)  # and what it was held against when it came
    open: list[Seen] = field(default_factory=list)  # out of the band, and not settled
    rejected: bool = False  # the last that came before was, or rests on one that was

    def before(self, one: Seen) -> list[Seen]:
        """What counts and comes before `one`, as far back as levels look."""
        end = place(self.counted, one)
        return self.counted[max(0, end - WINDOW - 1) : end]

    def last(self, one: Seen) -> Seen | None:
        """What a night is held against, too, where none of its request counts."""
        if not has_no_level(self.before(one), one):
            return None
        return self.scope.counted if one.fetched else reduce(newer, earlier(self.scope.every, one), None)

    def out_of_band(self, one: Seen) -> list[Reason]:
        """What is odd about one beside what counts today."""
        return out_of_band(self.before(one), one, self.last(one))

    def grown_before(self, one: Seen) -> bool:
        """Whether `one` stands on a growth that waits for it."""
        return bool(self.open) and self.open[-1].finding is Finding.GROWN and self.alike(self.open[-1], one)

    def alike(self, earlier: Seen, later: Seen) -> bool:
        """Whether two are of one level. Where their records are told, those must have been compared."""
        return _told(earlier, later) and not out_of_band([*self.before(later), earlier], later)

    def growths_before(self, one: Seen) -> int:
        """How many of the newest open ones are growths that lead to `one`, each within the band of the other."""
        first, later = len(self.open), one
        while first and self.open[first - 1].finding is Finding.GROWN and self.alike(self.open[first - 1], later):
            first, later = first - 1, self.open[first - 1]
        return len(self.open) - first

    def level_before(self, one: Seen, end: int) -> int:
        """How many open ones, from `end` back, are of the level of `one`: beside each other, and beside it."""
        first, later, before = end, one, self.before(one)
        while first and self.alike(self.open[first - 1], later):
            if out_of_band([*before, one], self.open[first - 1]):
                break
            first, later = first - 1, self.open[first - 1]
        return end - first

    def sunk(self, one: Seen) -> str:
        """Why a night is no longer normal, since what it was held against was rejected; "" where it is.

        Who takes an empty level for right and thinks better of it must not be left with its nights as good ones.
        """
        rejected = self.rejected or (self.scope.rejected and has_no_level(self.before(one), one))
        reasons = self.out_of_band(one) if rejected else []
        return next((r.sentence() for r in reasons if r.finding in (Finding.EMPTY, Finding.SHRUNKEN)), "")

    def normal_now(self, one: Seen) -> Seen | None:
        """What counts today and makes normal what was out of the band on its night; None where nothing does.

        What its night said stands as long as it would be held against the same: a history that retention has
        thinned out must not decide anew. Nor does another request decide it, where its own had a level that night.
        """
        before, end = self.before(one), place(self.verified, one)
        then = self.verified[end - 1] if end else self.scope.verified if one.fetched else None
        now = before[-1] if before else None if end else self.last(one)
        if now is None or (then is not None and then.id == now.id):
            return None
        return now if (not before or _told(now, one)) and not self.out_of_band(one) else None


@dataclass
class _Walk:
    """The standing of each, in the making."""

    decided: dict[str, Decision]
    unread: dict[str, str]  # ids about which a decision cannot be read, and why
    wrong: dict[str, str]
    order: list[Seen]
    lanes: dict[str, _Lane] = field(default_factory=dict)
    found: dict[str, Standing] = field(default_factory=dict)
    scope: _Scope = field(default_factory=_Scope)

    def lane(self, request: str) -> _Lane:
        return self.lanes.setdefault(request, _Lane(self.scope))

    def see(self, one: Seen) -> None:
        """The next in the order of numbers."""
        decision = self.decided.get(one.id)
        lane = self.lane(one.request)
        accepted = decision is not None and decision.kind == "accept"
        who = "" if decision is None else _who(decision)
        if decision is not None and decision.kind == "reject":
            lane.rejected = self.scope.rejected = True
            self._no(one, who, settled_by=who)
        elif one.id in self.unread:
            self._no(one, self.unread[one.id])
        elif refusal(one):
            self._no(one, refusal(one) if accepted else _unsound(one))
        elif accepted:
            quiet = one.quality is Quality.VERIFIED and one.id not in self.wrong
            self._count(lane, one, "" if quiet else who, with_it=f"{who} with number {one.number}", level=True)
        elif one.id in self.wrong or one.finding is Finding.MISDATED:
            self._no(one, self.wrong.get(one.id) or one.said, ask=_ask(one))
        elif one.quality is Quality.VERIFIED and (sunk := lane.sunk(one)):
            lane.rejected = True
            self._no(one, f"it rests on one that was rejected: {sunk}", ask=_ask(one))
        elif one.quality is Quality.VERIFIED:
            lane.rejected = self.scope.rejected = False
            self._count(lane, one, "", with_it=_stayed(one))
        elif one.fetched and one.finding is Finding.GROWN and lane.grown_before(one):
            self._count(lane, one, _stayed(one, first=lane.open[-1]), with_it=_stayed(one))
        elif base := lane.normal_now(one):
            beside = f"normal beside number {base.number}, which counts since"
            self._count(lane, one, beside, with_it=_stayed(one))
        else:
            self._no(one, one.said or f"{one.finding}: out of the band of its scope's history", ask=_ask(one))
            if one.fetched:
                lane.open.append(one)
        if one.quality is Quality.VERIFIED:
            lane.verified.insert(place(lane.verified, one), one)
            self.scope.verified = newer(self.scope.verified, one)

    def _no(self, one: Seen, why_not: str, *, settled_by: str = "", ask: str = "") -> None:
        dated = one.id not in self.wrong and one.finding is not Finding.MISDATED
        self.found[one.id] = Standing(one.id, one.number, False, why_not, settled_by, ask, dated=dated)

    def _yes(self, one: Seen, settled_by: str) -> None:
        self.found[one.id] = Standing(one.id, one.number, True, settled_by=settled_by)

    def _count(self, lane: _Lane, one: Seen, settled_by: str, *, with_it: str, level: bool = False) -> None:
        """It counts, and settles what was open before it: what is of its level counts with it, the rest never."""
        if one.fetched and lane.open and (level or _is_normal(lane, one)):
            with_one = lane.level_before(one, len(lane.open)) if level else lane.growths_before(one)
            first = len(lane.open) - with_one
            for other in lane.open[:first]:
                told = self.found[other.id].why_not
                self._no(other, told, settled_by=f"a later night that counts, number {one.number}")
            for other in lane.open[first:]:
                self._yes(other, with_it)
                lane.counted.append(other)
            lane.open.clear()
        self._yes(one, settled_by)
        lane.counted.insert(place(lane.counted, one), one)
        self.scope.counted = newer(self.scope.counted, one)
        self.scope.every.append(one)

    def standings(self) -> list[Standing]:
        """As found; of open ones on one level, the newest one's command is every one's."""
        for lane in self.lanes.values():
            end = len(lane.open)
            while end:
                newest = lane.open[end - 1]
                first = end - 1 - lane.level_before(newest, end - 1)
                self._ask_once(newest, lane.open[first : end - 1])
                end = first
        return [self.found[one.id] for one in self.order]

    def _ask_once(self, newest: Seen, earlier: list[Seen]) -> None:
        told = self.found[newest.id]
        self.found[newest.id] = replace(told, covers=tuple(other.number for other in earlier))
        for other in earlier:
            self.found[other.id] = replace(self.found[other.id], ask=told.ask)


def _walk(seen: Iterable[Seen], decisions: Iterable[Decision], *, now: datetime) -> _Walk:
    order = sorted({one.id: one for one in seen}.values(), key=by_number)
    made = list(decisions)
    unread: dict[str, str] = {}
    for made_then in ordered(made):
        if made_then.unreadable:
            unread[made_then.snapshot] = made_then.reason
        elif made_then.kind in ("accept", "reject"):  # who looked since has decided
            unread.pop(made_then.snapshot, None)
    walk = _Walk(judged(made), unread, wrong_dates(order, now=now), order)
    for one in order:
        walk.see(one)
    return walk


def _is_normal(lane: _Lane, one: Seen) -> bool:
    """Whether a night that counts is in the band: only then it settles others. Where nobody judged, it is now."""
    if one.quality is Quality.VERIFIED and one.finding is not Finding.NORMAL:
        return not lane.out_of_band(one)
    return True


def _told(earlier: Seen, later: Seen) -> bool:
    """Whether their records were compared, or never can be."""
    return not later.compared or any(other.snapshot == earlier.id for other in later.compared)


# -- words


def _who(decision: Decision) -> str:
    return f"{decision.kind}ed by {decision.by}" + (f": {decision.reason}" if decision.reason else "")


def _stayed(one: Seen, first: Seen | None = None) -> str:
    return f"growth that stayed, number {one.number if first is None else first.number}"


def _unsound(one: Seen) -> str:
    if one.quality is Quality.PARTIAL:
        return "partial: the system itself says that its export is incomplete"
    return f"quarantined: {', '.join(one.failed)}" if one.failed else "quarantined"


def _ask(one: Seen) -> str:
    return f"strongroom accept {one.id[:8]} --reason …"
