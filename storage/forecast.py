"""What becomes of the snapshots that are kept: the night on which each goes, if nights go on and all are verified.

Pure. One pass over the coming nights tells when each rule's buckets fill up; a kept snapshot's night follows from
its bucket's place, without deciding anew for each night.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from storage.policy import EVER, Policy, Rule, Span, in_zone
from storage.retention import BUCKETS, FLOOR_VERIFIED, Bucket, Candidate, Verdict, decide, newest_first

HORIZON = timedelta(days=30 * 365)  # nights later than that are not looked at
NEVER = 1 << 60  # as the number of a night

Age = tuple[datetime, int]


class _Coming:
    """The nights to come, from 1, and the snapshots dated ahead, which count once a night is later."""

    def __init__(self, nights: Iterable[datetime], ahead: list[Candidate], now: datetime) -> None:
        until = now + HORIZON
        self.nights = [now]
        self._rest = takewhile(lambda night: night <= until, (night for night in nights if night > now))
        self._ahead = list(reversed(newest_first(ahead)))
        self.places: dict[str, int] = {}  # of snapshots dated ahead: which event each is
        self.events: list[datetime] = []  # what will count, in order of time
        self.effect: list[int] = []  # of each: the first night on which it counts

    def more(self) -> bool:
        """Look at one more night; False where there is none."""
        night = next(self._rest, None)
        if night is None:
            return False
        number = len(self.nights)
        self.nights.append(night)
        while self._ahead and self._ahead[0].taken_at <= night:
            found = self._ahead.pop(0)
            self.places[found.id] = len(self.events)
            self.events.append(found.taken_at)
            self.effect.append(number)
        self.events.append(night)
        self.effect.append(number)
        return True

    def effect_of(self, place: int) -> int:
        """The night on which the event at a place counts."""
        while place >= len(self.events):
            if not self.more():
                return NEVER
        return self.effect[place]

    def place_of(self, c: Candidate) -> int | None:
        """Which event a snapshot dated ahead is; None beyond the last night."""
        while c.id not in self.places:
            if not self.more():
                return None
        return self.places[c.id]

    def since(self, taken: datetime) -> int:
        """The first event that is not older than `taken`."""
        while not self.events or self.events[-1] < taken:
            if not self.more():
                break
        return bisect_left(self.events, taken)


class _Filling:
    """When the buckets of one rule appear among what comes. Bucket 0 is that of the newest which counts today."""

    def __init__(self, rule: Rule, past: Bucket | None, coming: _Coming, policy: Policy) -> None:
        self.rule = rule
        self._coming, self._zone, self._bucket_of = coming, policy.zone, BUCKETS[rule.kind]
        self._last = past
        self.first = [0]  # of bucket 0, 1, …: the night on which it appears
        self.bucket: list[int] = []  # of each event: its bucket

    def extend(self) -> bool:
        """Look at one more event."""
        at = len(self.bucket)
        night = self._coming.effect_of(at)
        if night == NEVER:
            return False
        # `last` counts from the newest; every snapshot is a bucket by itself there.
        bucket = (
            (at, -1)
            if self.rule.kind == "last"
            else self._bucket_of(in_zone(self._coming.events[at], self._zone), at)
        )
        if bucket != self._last:
            self.first.append(night)
            self._last = bucket
        self.bucket.append(len(self.first) - 1)
        return True

    def night(self, bucket: int) -> int:
        """The night on which a bucket appears."""
        while bucket >= len(self.first):
            if not self.extend():
                return NEVER
        return self.first[max(bucket, 0)]

    def of_event(self, place: int) -> int | None:
        """The bucket of an event; None where there is no such event."""
        while place >= len(self.bucket):
            if not self.extend():
                return None
        return self.bucket[place]


class _Edge:
    """Where a span ends, night by night. Months are not equally long: an edge may step back for some nights."""

    def __init__(self, span: Span, coming: _Coming, policy: Policy) -> None:
        self._span, self._coming, self._zone = span, coming, policy.zone
        self._edges = [EVER]
        self._furthest = [EVER]

    def night(self, taken: datetime, first: int = 1) -> int:
        """The first night, from number `first` on, on which the span does not reach back to `taken`."""
        while self._furthest[-1] < taken:
            if not self._extend():
                return NEVER
        number = max(first, bisect_left(self._furthest, taken))
        while True:
            while number >= len(self._edges):
                if not self._extend():
                    return NEVER
            if self._edges[number] >= taken:
                return number
            number += 1

    def _extend(self) -> bool:
        number = len(self._edges)
        if number >= len(self._coming.nights) and not self._coming.more():
            return False
        edge = self._span.before(self._coming.nights[number], self._zone)
        self._edges.append(edge)
        self._furthest.append(max(self._furthest[-1], edge))
        return True


def _beyond(edges: Sequence[_Edge], taken: datetime, first: int) -> int:
    """The first night, from `first` on, on which none of the spans reaches back to `taken`."""
    number = first
    while number < NEVER:
        later = max((edge.night(taken, number) for edge in edges), default=number)
        if later == number:
            break
        number = later
    return number


def goes_on(
    verdicts: Sequence[Verdict], policy: Policy, nights: Iterator[datetime], *, now: datetime
) -> dict[str, datetime | None]:
    """Of each kept snapshot, the first coming night after which it would be forgotten, if every night goes well.

    None: never, or later than HORIZON or the last of `nights` (instants in order; those not after `now` are
    passed over). A hold is taken as one that stays. `verdicts`: as `decide` gave them at `now`. Exact but for one
    case: with keep_at_most, a snapshot from a wrong clock, dated after the first night, may be told too soon.
    """
    kept = [verdict.candidate for verdict in verdicts if verdict.keep]
    ahead = [c for c in kept if c.counts and c.taken_at > now]
    coming = _Coming(nights, ahead, now)
    leaving = _leaving(newest_first(kept), policy, coming, now)
    return {id: None if night >= NEVER else coming.nights[night] for id, night in leaving.items()}


def _leaving(kept: list[Candidate], policy: Policy, coming: _Coming, now: datetime) -> dict[str, int]:
    """The number of the night on which each goes. `kept`: newest first."""
    expiry = _Edge(policy.keep_at_most, coming, policy) if policy.keep_at_most else None
    expires = {c.id: NEVER if expiry is None or c.held else expiry.night(c.taken_at) for c in kept}
    if policy.keeps_all():
        return expires
    past = [c for c in kept if c.counts and c.taken_at <= now]
    plain, oldest, spans = _rules(kept, past, policy, coming)
    least = [_Edge(policy.keep_at_least, coming, policy)] if policy.keep_at_least else []
    every = [*least, *(edge for edge, _ in spans)]
    # The first night has the highest number of all; the second copy by number is then the highest before it.
    if coming.effect_of(0) == NEVER:
        return dict.fromkeys(expires, NEVER)
    first = [c.number for c in past if expires[c.id] > 1]
    first += [c.number for c in kept if c.id in coming.places and coming.effect[coming.places[c.id]] == 1]
    second = max(first, default=-1)
    ends: dict[str, int] = {}
    gone = 0  # the first night that sees nothing older any more
    for c in reversed(kept):
        end = max(_floor(c, past, coming), 2 if c.number >= second else 1)
        own = [*least, *(edge for edge, ids in spans if c.id in ids)]
        end = _beyond(own, c.taken_at, max(end, plain.get(c.id, 0)))
        # Before one that is dated further ahead there are nights: it never is the oldest.
        if c.counts and end >= gone and coming.effect[coming.places.get(c.id, 0)] == 1:
            end = _beyond(every, c.taken_at, max(end, oldest[c.id]))
        ends[c.id] = NEVER if c.held else min(end, expires[c.id])
        if c.counts:
            gone = max(gone, ends[c.id] + (expires[c.id] > end or c.held != ""))
    return ends


def _floor(c: Candidate, past: list[Candidate], coming: _Coming) -> int:
    """The night on which FLOOR_VERIFIED that count are newer by the time they were taken."""
    if c.counts and c.id not in coming.places and c in past[:1]:
        return coming.effect_of(FLOOR_VERIFIED - 1)
    if c.counts and (not past or c.taken_at > past[0].taken_at):
        place = coming.place_of(c)
        return NEVER if place is None else coming.effect_of(place + FLOOR_VERIFIED)
    newer = sum(1 for other in past[:FLOOR_VERIFIED] if (other.taken_at, other.number) > (c.taken_at, c.number))
    if newer >= FLOOR_VERIFIED:
        return 1
    return coming.effect_of(coming.since(c.taken_at) + FLOOR_VERIFIED - newer - 1)


def _rules(
    kept: list[Candidate], past: list[Candidate], policy: Policy, coming: _Coming
) -> tuple[dict[str, int], dict[str, int], list[tuple[_Edge, set[str]]]]:
    """Of each that counts: the night from which no count keeps it, and the same where it is the oldest.

    And the spans, each with those that are the newest of their bucket: it keeps these while it reaches them.
    """
    tagged = {c.id for c in kept if any(tags <= c.tags for tags in policy.keep_tags)}
    plain = {c.id: NEVER if c.id in tagged else 0 for c in kept if c.counts}
    oldest = dict.fromkeys(plain, 0)
    local = [in_zone(c.taken_at, policy.zone) for c in past]
    ids = {c.id for c in past}
    ahead = [(c, coming.place_of(c)) for c in kept if c.counts and c.id not in ids]
    spans: list[tuple[_Edge, set[str]]] = []
    for rule in policy.rules():
        bucket_of = BUCKETS[rule.kind]
        buckets = [bucket_of(taken, at) for at, taken in enumerate(local)]
        filling = _Filling(rule, buckets[0] if buckets else None, coming, policy)
        places: list[tuple[Candidate, int, bool]] = []  # bucket, and whether it is the newest there
        bucket = 1
        for at, c in enumerate(past):
            new = at == 0 or buckets[at] != buckets[at - 1]
            bucket -= new
            places.append((c, bucket, new and (at > 0 or filling.of_event(0) != 0)))
        for c, event in ahead:
            if event is None:
                plain[c.id] = NEVER
                continue
            own = filling.of_event(event)
            assert own is not None  # its place is known, so it was looked at  # noqa: S101
            places.append((c, own, filling.of_event(event + 1) != own))
        if rule.span:
            spans.append((_Edge(rule.span, coming, policy), {c.id for c, _, newest in places if newest}))
            continue
        for c, bucket, newest in places:
            without_end = rule.limit < 0
            if newest:
                plain[c.id] = max(plain[c.id], NEVER if without_end else filling.night(bucket + rule.limit))
            alone = NEVER if without_end else filling.night(bucket + rule.limit - 1)
            oldest[c.id] = max(oldest[c.id], alone)
    return plain, oldest, spans


def at(
    candidates: Iterable[Candidate], policy: Policy, when: datetime, nights: Iterable[datetime], *, now: datetime
) -> list[Verdict]:
    """What is kept at `when`, and why, if all `nights` (instants in order) until then go well.

    What goes at `now` is gone; the nights are called by their dates. Only those that stay have a verdict here.
    Decided once, for `when`: what a month's end or keep_at_most takes in between may be off by one snapshot.
    """
    staying = [verdict.candidate for verdict in decide(candidates, policy, now=now) if verdict.keep]
    number = max((c.number for c in staying), default=0)
    between = takewhile(lambda night: night <= when, (night for night in nights if night > now))
    coming = [
        Candidate(f"night {night.isoformat()}", number + n, night, True)
        for n, night in enumerate(between, start=1)
    ]
    return [verdict for verdict in decide([*staying, *coming], policy, now=max(now, when)) if verdict.keep]


def simulate(policy: Policy, nights: Iterable[datetime]) -> list[Verdict]:
    """What a schedule leads to: a verdict for each of its nights as seen from the last one, all verified."""
    taken = [Candidate(night.isoformat(), n, night, True) for n, night in enumerate(nights, start=1)]
    return decide(taken, policy, now=max((c.taken_at for c in taken), default=EVER))
