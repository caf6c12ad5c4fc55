"""Which snapshots to keep and which to forget, each with its reason.

Pure: a policy and what is known of snapshots in, verdicts out. No clock, no files. Step one is `rule`, restic's
verdicts; step two, `decide`, adds floors that no policy lowers. What is done about a verdict is `prune.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from storage.policy import EVER, Policy, Rule, in_zone

FLOOR_VERIFIED = 2  # the newest verified snapshots stay, whatever the policy says
FUSE = 3  # so many may be forgotten at once without a word; or a fifth of all, whichever is more

Bucket = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rule needs to know of one snapshot of one scope."""

    id: str
    number: int  # in the scope's chain, unique
    taken_at: datetime  # aware
    counts: bool  # verified and not quarantined: only these serve rules or displace others
    why_not: str = ""  # why it does not count
    held: str = ""  # the reason of a hold; such a snapshot stays
    tags: frozenset[str] = frozenset()
    dated: bool = True  # False: its date is in doubt, and nothing may be erased for its age


@dataclass(frozen=True, slots=True)
class Verdict:
    """keep or forget, and why."""

    candidate: Candidate
    keep: bool
    reasons: tuple[str, ...]
    missed: str = ""  # of a forgotten one: the rule that came nearest to keeping it
    must_go: bool = False  # by keep_at_most: its content is erased, not only forgotten; or, kept, it waits


# Source of the buckets: restic's documented meaning of --keep-*; ISO 8601 for weeks. Tuples of numbers, so that a
# week can never be taken for a month of the same number (peers have lost snapshots to that).
BUCKETS: dict[str, Callable[[datetime, int], Bucket]] = {
    "last": lambda _, n: (n,),
    "hourly": lambda t, _: (t.year, t.month, t.day, t.hour, t.fold),
    "daily": lambda t, _: (t.year, t.month, t.day),
    "weekly": lambda t, _: tuple(t.isocalendar()[:2]),
    "monthly": lambda t, _: (t.year, t.month),
    "yearly": lambda t, _: (t.year,),
}
_LABELS: dict[str, Callable[[datetime], str]] = {
    "last": lambda t: f"{t:%Y-%m-%d %H:%M}",
    "hourly": lambda t: f"{t:%Y-%m-%d %H}h",
    "daily": lambda t: t.date().isoformat(),
    "weekly": lambda t: "{}-W{:02}".format(*t.isocalendar()[:2]),
    "monthly": lambda t: f"{t.year:04}-{t.month:02}",
    "yearly": lambda t: f"{t.year:04}",
}


def newest_first(candidates: Iterable[Candidate]) -> list[Candidate]:
    """By the time they were taken; of one instant, by number."""
    return sorted(candidates, key=_age, reverse=True)


def _age(candidate: Candidate) -> tuple[datetime, int]:
    return candidate.taken_at, candidate.number


class _Track:
    """One rule's way through the snapshots that count, newest first."""

    def __init__(self, rule: Rule, local: list[datetime], within: int, reasons: list[list[str]]) -> None:
        self.rule = rule
        self.local = local
        self.within = within  # so many are in its span
        self.ranks: list[int] = []  # of each: which bucket it is in, 1 is the newest
        self.places: list[int] = []  # of each: its place in the bucket, 1 is the newest
        bucket_of, limit, name = BUCKETS[rule.kind], rule.limit, rule.name
        text = f" of {limit}" if rule.span is None and limit > 0 else ", no limit" if rule.span is None else ""
        final, kept, rank, place = len(local) - 1, 0, 0, 0
        last: Bucket | None = None
        for at, taken in enumerate(local):
            bucket = bucket_of(taken, at)
            if bucket != last:
                rank, place, last = rank + 1, 1, bucket
            else:
                place += 1
            self.ranks.append(rank)
            self.places.append(place)
            if at < within and (kept < limit or limit < 0) and (place == 1 or at == final):
                kept += 1
                mark = "" if place == 1 else " (oldest)"
                reasons[at].append(f"{name}{mark}" if rule.span else f"{name}{mark} {kept}{text}")
        self.limit = limit if rule.span is None else (self.ranks[within - 1] if within else 0)

    def short(self, at: int) -> int:
        """How many buckets or newer ones of its bucket stand between a snapshot and this rule."""
        beyond = self.ranks[at] - self.limit
        return self.places[at] - 1 + (beyond if beyond > 0 <= self.limit else 0)

    def missed(self, at: int) -> str:
        """Why this rule does not keep a snapshot."""
        place, label = self.places[at], _LABELS[self.rule.kind](self.local[at])
        where = label if place == 1 else f"{_ordinal(place)} of {label}"
        if self.rule.span is not None:
            return f"{self.rule.name}: {where}" + ("" if at < self.within else "; too old")
        newer = f"; {self.rule.name} {self.limit} of {self.limit} are newer"
        return f"{self.rule.name}: {where}" + (newer if 0 <= self.limit < self.ranks[at] else "")


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _scan(counted: list[Candidate], policy: Policy) -> tuple[list[list[str]], list[_Track]]:
    zone = policy.zone
    local = [in_zone(c.taken_at, zone) for c in counted]
    reasons: list[list[str]] = [[] for _ in counted]
    for tags in policy.keep_tags:
        for at, candidate in enumerate(counted):
            if tags <= candidate.tags:
                reasons[at].append(f"has tags {', '.join(sorted(tags))}")
    tracks = []
    for rule in policy.rules():
        within = len(counted)
        if rule.span is not None and counted:
            since = rule.span.before(counted[0].taken_at, zone)
            within = next((at for at, c in enumerate(counted) if c.taken_at <= since), within)
        tracks.append(_Track(rule, local, within, reasons))
    return reasons, tracks


def _missed(tracks: list[_Track], at: int) -> str:
    nearest, least = None, 0
    for track in tracks:
        short = track.short(at)
        if nearest is None or short < least:
            nearest, least = track, short
    return nearest.missed(at) if nearest else "it has no tag that is kept"


def rule(candidates: Iterable[Candidate], policy: Policy) -> list[Verdict]:
    """restic's verdicts over the snapshots that count, newest first, without floors. No rule keeps nothing.

    Each rule keeps the newest of each bucket until its count is used up, and with slots left over the oldest of
    all. Spans are measured from the newest; what is exactly so old is out.
    """
    counted = [c for c in newest_first(candidates) if c.counts]
    reasons, tracks = _scan(counted, policy)
    return [
        Verdict(c, True, tuple(why)) if why else Verdict(c, False, ("no rule keeps it",), _missed(tracks, at))
        for at, (c, why) in enumerate(zip(counted, reasons, strict=True))
    ]


def decide(candidates: Iterable[Candidate], policy: Policy, *, now: datetime) -> list[Verdict]:
    """A verdict for every snapshot of one scope, newest first. Their order does not matter.

    The rule decides about those that count; one dated after `now` counts from then on. Floors stand above it: the
    newest FLOOR_VERIFIED that count, by the time they were taken and by their number in the chain, so that a date
    from a wrong clock cannot push the last real copies out; what is younger than keep_at_least; holds; and what
    does not count, until so many that do are newer. keep_at_most (the only span measured from `now`) stands above
    all but holds and dates in doubt: what must go takes no part in anything else.
    """
    ordered = newest_first(candidates)
    limit = policy.keep_at_most.before(now, policy.zone) if policy.keep_at_most else EVER
    staying = [c for c in ordered if c.taken_at > limit or c.held or not c.dated]
    counted = [c for c in staying if c.counts and c.taken_at <= now]
    found, tracks = _scan(counted, policy)
    reasons = {c.id: why for c, why in zip(counted, found, strict=True)}
    places = {c.id: at for at, c in enumerate(counted)}
    by_number = sorted(counted, key=lambda c: c.number, reverse=True)[:FLOOR_VERIFIED]
    _floors(staying, counted, by_number, policy, reasons)
    verdicts, keeps_all = [], policy.keeps_all()
    for c in ordered:
        why = reasons.get(c.id, [])
        if c.taken_at <= limit and not c.held and c.dated:
            gone = f"older than keep_at_most, {policy.keep_at_most}"
            verdicts.append(Verdict(c, False, (gone,), "nothing but a hold keeps what must go", must_go=True))
            continue
        if c.held:
            why = [*why, f"held: {c.held}"]
        if keeps_all:
            why = [*why, policy.unset]
        elif c.id not in places:
            why = [*why, *_waiting(c, counted, by_number, now)]
        if why:
            verdicts.append(Verdict(c, True, tuple(why)))
        elif c.id in places:
            verdicts.append(Verdict(c, False, ("no rule keeps it",), _missed(tracks, places[c.id])))
        else:
            said = f"does not count{f' ({c.why_not})' if c.why_not else ''}"
            missed = f"it stayed until {FLOOR_VERIFIED} verified copies were newer"
            verdicts.append(Verdict(c, False, (said,), missed))
    return verdicts


def _floors(
    staying: list[Candidate],
    counted: list[Candidate],
    by_number: list[Candidate],
    policy: Policy,
    reasons: dict[str, list[str]],
) -> None:
    newest = counted[:FLOOR_VERIFIED]
    for place, c in enumerate(newest, start=1):
        reasons[c.id].append(f"floor: verified copy {place} of the newest {FLOOR_VERIFIED}")
    for place, c in enumerate(by_number, start=1):
        if c not in newest:
            reasons[c.id].append(f"floor: verified copy {place} of the last {FLOOR_VERIFIED} that were kept")
    if staying:
        reasons.setdefault(staying[0].id, []).append("floor: the newest of all")
    if counted and policy.keep_at_least:
        since = policy.keep_at_least.before(counted[0].taken_at, policy.zone)
        for c in staying:
            if c.taken_at <= since:
                break
            reasons.setdefault(c.id, []).append(f"floor: younger than {policy.keep_at_least}")


def _waiting(c: Candidate, counted: list[Candidate], by_number: list[Candidate], now: datetime) -> list[str]:
    """Why one that does not count stays: it may yet turn out to be the best there is."""
    if c.counts:
        return [f"dated after {now:%Y-%m-%d %H:%M}: it counts from {c.taken_at:%Y-%m-%d %H:%M} on"]
    newer = min(
        sum(1 for other in counted[:FLOOR_VERIFIED] if _age(other) > _age(c)),
        sum(1 for other in by_number if other.number > c.number),
    )
    if newer >= FLOOR_VERIFIED:
        return []
    because = f" ({c.why_not})" if c.why_not else ""
    return [f"does not count{because}, and fewer than {FLOOR_VERIFIED} verified copies are newer"]


def fuse(total: int, forgetting: int, confirmed: int | None = None) -> str:
    """Why so many may not be forgotten at once; empty where they may. `confirmed`: the number a person gave."""
    most = max(FUSE, total // 5)
    if forgetting <= most or forgetting == confirmed:
        return ""
    wrong = "" if confirmed is None else f", not {confirmed}"
    return f"{forgetting} of {total} snapshots would be forgotten, more than {most}: confirm the number{wrong}"


def spared(verdicts: Iterable[Verdict], as_whole: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts; but what is damaged stays as long as it would if it were whole: it may yet be mended.

    `verdicts`: in which nothing damaged counts, so that none displaces another. `as_whole`: in which they count.
    """
    whole = {verdict.candidate.id: verdict for verdict in as_whole}
    return [_spared(verdict, whole[verdict.candidate.id]) for verdict in verdicts]


def _spared(verdict: Verdict, whole: Verdict) -> Verdict:
    one = verdict.candidate
    if verdict.keep or one.counts or not whole.candidate.counts or not whole.keep:
        return verdict
    return Verdict(one, True, (f"does not count ({one.why_not}), and whole it would stay", *whole.reasons))


def waiting(verdicts: Iterable[Verdict], last: Collection[str]) -> list[Verdict]:
    """The verdicts; but of what must go, that of these ids stays until newer ones come or a person takes it."""
    why = "of the last copies: waits for newer ones or a person"
    return [
        replace(v, keep=True, reasons=(*v.reasons, why), missed="") if v.must_go and v.candidate.id in last else v
        for v in verdicts
    ]


def last_copies(verdicts: Iterable[Verdict]) -> set[str]:
    """The ids of the last copies of a scope: while they are that, only a person takes them.

    The newest FLOOR_VERIFIED that count, by the time they were taken and by number; where none counts, of all.
    """
    ordered = [verdict.candidate for verdict in verdicts]
    counted = [one for one in ordered if one.counts] or ordered
    by_number = sorted(counted, key=lambda one: one.number)[-FLOOR_VERIFIED:]
    return {one.id for one in (*counted[:FLOOR_VERIFIED], *by_number)}
