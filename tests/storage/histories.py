"""Random lives of a scope: one seeded generator for the laws of retention, and the sweep over many of them.

    python -m tests.storage.histories --count 1000000 --seed 1 --jobs 2

A history is what happened night by night, see `history`. `walk` forgets each night, and checks each law.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.clocks import QUIET, Head
from storage.planning import wrong_clock
from storage.policy import Policy, Span
from storage.retention import FLOOR_VERIFIED, Candidate, Verdict, decide
from storage.snapshot import ScopeKey

ZONES = ("UTC", "Europe/Vienna", "Pacific/Auckland", "America/St_Johns")
# Just before: an ISO week 53, a leap day, hours that are missing or come twice in each zone.
STARTS = (
    "2020-12-27T02:30", "2024-02-26T02:30", "2026-03-26T00:30", "2026-10-22T00:30",
    "2026-04-02T13:30", "2026-09-24T13:30", "2026-11-19T12:00",
)  # fmt: skip
STEPS = (timedelta(minutes=50), timedelta(hours=11), timedelta(days=1), timedelta(days=5))
OFF = tuple(timedelta(days=d) for d in (-4000, -3, -1 / 300, 1 / 300, 3, 30, 32, 400, 4000))  # 1 / 300: 4.8 min
SPANS = ("3d", "36h", "1y", "1m2d", "14d")
MOST = ("20d", "90d", "400d")
SCOPE = ScopeKey("lab", "a scope")


@dataclass(frozen=True, slots=True)
class Night:
    """What one night adds, the time at its end, and the policy and the holds that are then in force."""

    new: Candidate | None  # None: the run failed
    now: datetime
    clock: datetime  # by which it is decided what goes; wrong in some nights
    policy: Policy
    held: frozenset[int]  # numbers of snapshots, of which some may be gone already


def some_policy(rng: random.Random) -> Policy:
    """Counts, spans, tags, a floor and a limit; sometimes none at all."""

    def pick() -> int:
        return rng.choice((0, 0, 1, 2, 5, -1))

    def span() -> Span | None:
        return Span.parse(rng.choice(SPANS)) if rng.random() < 0.15 else None

    return Policy(
        pick(), pick(), pick(), pick(), pick(), pick(), span(), span(), span(), span(), span(), span(),
        (frozenset({"a"}),) if rng.random() < 0.2 else (), rng.choice(ZONES),
        Span.parse(rng.choice(("1h", "1d", "3d"))),
        Span.parse(rng.choice(MOST)) if rng.random() < 0.15 else None,
    )  # fmt: skip


def history(rng: random.Random) -> Iterator[Night]:
    """5 to 24 nights. What may befall one:

    | event               | chance    | what it leaves                                                         |
    |---------------------|-----------|------------------------------------------------------------------------|
    | a good export       | the rest  | a snapshot that counts, one in ten with a tag                          |
    | a partial export    | 12 %      | a snapshot that does not count                                         |
    | empty exports       | 3 %       | snapshots that do not count, this night and up to eight more in a row  |
    | a failed run        | 6 %       | no snapshot; what is kept is decided all the same                      |
    | a late or early run | 20 %      | the next export after a fifth to three times the usual step            |
    | a pause             | 3 %       | nothing for 40, 400 or 1,500 days                                      |
    | a wrong date        | 6 %       | a snapshot dated years back, days back, a second or years ahead; half  |
    |                     |           | of them are known to be wrong and do not count                         |
    | a wrong clock       | 4 %       | what goes is decided by a clock minutes, days or years off             |
    | a hold              | 5 %       | a snapshot of any age is held; one in three releases all holds instead |
    | another policy      | 4 %       | from this night on                                                     |
    """
    now = datetime.fromisoformat(rng.choice(STARTS)).replace(tzinfo=UTC)
    step, policy = rng.choice(STEPS), some_policy(rng)
    number = empty = 0
    held: frozenset[int] = frozenset()
    for _ in range(rng.randint(5, 24)):
        chance = rng.random()
        now += step * (rng.uniform(0.2, 3) if chance < 0.2 else 1)
        if chance > 0.97:
            now += timedelta(days=rng.choice((40, 400, 1500)))
        if rng.random() < 0.04:
            policy = some_policy(rng)
        if number and rng.random() < 0.05:
            held = held | {rng.randint(1, number)} if rng.random() < 0.66 else frozenset()
        new = None
        if empty or rng.random() > 0.06:
            number += 1
            new, empty = _export(rng, number, now, empty)
        off = rng.choice(OFF) if rng.random() < 0.04 else timedelta()
        yield Night(new, now, now + off, policy, held)


def _export(rng: random.Random, number: int, now: datetime, empty: int) -> tuple[Candidate, int]:
    """One night's snapshot, and how many empty ones are to follow."""
    taken, dated = now, True
    if rng.random() < 0.06:
        taken += rng.choice((-9000, -400, -2, 1 / 86400, 365, 4000)) * timedelta(days=1)
        dated = rng.random() < 0.5
    chance = rng.random()
    empty = empty - 1 if empty else rng.randint(1, 9) if chance > 0.97 else 0
    why_not = "empty" if empty else "partial" if chance < 0.12 else "" if dated else "misdated"
    tags = frozenset({"a"}) if rng.random() < 0.1 else frozenset[str]()
    return Candidate(f"s{number}", number, taken, not why_not, why_not, tags=tags, dated=dated), empty


def with_holds(there: Iterable[Candidate], held: frozenset[int]) -> list[Candidate]:
    """Snapshots with the holds of one night, and no others."""
    return [
        c if bool(c.held) == (c.number in held) else replace(c, held="law" if c.number in held else "")
        for c in there
    ]


def taken(nights: Sequence[Night]) -> list[Candidate]:
    """All snapshots of some nights, with the holds of the last one."""
    return with_holds((night.new for night in nights if night.new), nights[-1].held)


def larger(policy: Policy, rng: random.Random) -> Policy:
    """The same with one rule that is on, or the floor, made larger."""
    on = [rule for rule in policy.rules() if rule.limit > 0]
    if not on:
        return replace(policy, keep_at_least=replace(policy.keep_at_least, days=policy.keep_at_least.days + 2))
    rule = rng.choice(on)
    more: dict[str, Any] = {f"keep_{rule.kind}": rng.choice((-1, rule.limit + 1, rule.limit + 3))}
    return replace(policy, **more)


def kept(there: list[Candidate], policy: Policy, now: datetime) -> set[str]:
    """What stays."""
    return {verdict.candidate.id for verdict in decide(there, policy, now=now) if verdict.keep}


def check(there: list[Candidate], policy: Policy, now: datetime, rng: random.Random) -> set[str]:
    """Every law, on one night. Returns what stays. Raises AssertionError."""
    verdicts = decide(there, policy, now=now)
    stay = {v.candidate.id for v in verdicts if v.keep}
    assert len(verdicts) == len(there) == len({v.candidate.id for v in verdicts}), "each has one verdict"
    assert all(v.reasons and (v.keep or v.missed) for v in verdicts), "each with its reason"
    rest = [c for c in there if c.id in stay]
    assert kept(rest, policy, now) == stay, "idempotent"
    assert decide(there[::-1], policy, now=now) == verdicts, "order is irrelevant"
    assert stay <= kept(there, larger(policy, rng), now), "a larger policy keeps no less"
    gone = [c for c in there if c.id not in stay]
    if gone:
        lost = rng.choice(gone)
        without = kept([c for c in there if c is not lost], policy, now)
        # restic's oldest rule of a span may keep one more, when what was older than the span is gone.
        if any(rule.span and rule.kind != "last" for rule in policy.rules()):
            assert stay <= without, "without a forgotten one nothing else goes"
        else:
            assert stay == without, "without a forgotten one nothing changes"
    must = {v.candidate.id for v in verdicts if v.must_go}
    assert not must & stay and all(_must_go(c, policy, now) == (c.id in must) for c in there), "the limit goes"
    there = [c for c in there if c.id not in must]
    rest_of = [v for v in verdicts if not v.must_go]
    assert decide(there, policy, now=now) == rest_of, "what must go takes part in nothing"
    counted = sorted((c for c in there if c.counts and c.taken_at <= now), key=lambda c: (c.taken_at, c.number))
    by_number = sorted(counted, key=lambda c: c.number)
    floors = counted[-FLOOR_VERIFIED:] + by_number[-FLOOR_VERIFIED:]
    floors += [c for c in there if c.held or (c.counts and c.taken_at > now)]
    floors += sorted(there, key=lambda c: (c.taken_at, c.number))[-1:]
    if len(counted) < FLOOR_VERIFIED:
        floors += there
    else:
        second = counted[-FLOOR_VERIFIED]
        floors += [
            c
            for c in there
            if not c.counts
            and ((c.taken_at, c.number) > (second.taken_at, second.number) or c.number > by_number[-2].number)
        ]
        since = policy.keep_at_least.before(counted[-1].taken_at, policy.zone)
        floors += [c for c in there if policy.keep_at_least and c.taken_at > since]
    assert {c.id for c in floors} <= stay, "every floor holds"
    return stay


def _must_go(c: Candidate, policy: Policy, now: datetime) -> bool:
    most = policy.keep_at_most
    return most is not None and c.dated and not c.held and c.taken_at <= most.before(now, policy.zone)


def refused(verdicts: Sequence[Verdict], night: Night, newest: datetime | None) -> bool:
    """Whether the plan of a night is refused for its clock; `newest`: when the last snapshot was committed."""
    heads = {SCOPE: Head(newest, backup=newest, told=True)} if newest else {}
    return bool(wrong_clock(SCOPE, night.policy, verdicts, night.clock, heads))


def walk(rng: random.Random) -> tuple[int, int]:
    """One history: forget each night, and check. Returns nights and how many went.

    Every law on one or two nights of each; those of the last copies, of holds, of lean nights, of the limit and
    of wrong clocks on each.
    """
    there: list[Candidate] = []
    last: deque[Candidate] = deque(maxlen=FLOOR_VERIFIED)  # verified ones, as they came
    nights = gone = 0
    checked = {rng.randint(1, 24), rng.randint(5, 12)}
    before: Night | None = None
    counted: set[str] = set()  # the night before
    newest: datetime | None = None
    for nights, night in enumerate(history(rng), start=1):
        there = with_holds([*there, night.new] if night.new else there, night.held)
        if night.new:
            newest = night.now
            last.extend([night.new] if night.new.counts else [])
        if nights in checked:
            check(there, night.policy, night.clock, rng)
        verdicts = decide(there, night.policy, now=night.clock)
        if refused(verdicts, night, newest):
            assert night.clock < night.now or any(v.must_go for v in verdicts), "only a wrong clock is refused"
            continue
        assert newest is None or night.clock >= newest - timedelta(minutes=10), "time does not run backwards"
        lost = [v.candidate for v in verdicts if not v.keep]
        must = {v.candidate.id for v in verdicts if v.must_go}
        assert not any(c.held for c in lost), "what is held stays"
        assert not any(c.id in must for c in lost if not _near(c, night)), "the limit takes nothing young"
        assert must.issuperset(c.id for c in last if c in lost), "the last verified stay, but for the limit"
        came = {c.id for c in there if c.counts and c.taken_at <= night.clock}
        if before and before.policy == night.policy and before.held <= night.held and came <= counted:
            assert not any(c.counts for c in lost if c.id not in must), "a night without a good export costs none"
        there = [v.candidate for v in verdicts if v.keep]
        gone, before, counted = gone + len(lost), night, came
    return nights, gone


def _near(c: Candidate, night: Night) -> bool:
    """Whether by the true time, too, a snapshot is about as old as the limit: a clock can be trusted so far."""
    return _must_go(c, night.policy, night.now + QUIET)


def sweep(seed: int, first: int, count: int) -> tuple[int, int]:
    """Histories `first` … of a seed. Raises AssertionError that names the one."""
    nights = gone = 0
    for number in range(first, first + count):
        try:
            seen, lost = walk(random.Random(f"{seed}/{number}"))
        except AssertionError as exc:
            raise AssertionError(f"history {number} of seed {seed}: {exc}") from exc
        nights, gone = nights + seen, gone + lost
    return nights, gone


def _chunk(given: tuple[int, int, int]) -> tuple[int, int, int]:
    return given[2], *sweep(*given)


def main() -> None:
    """Parse, walk, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="its number; a failure names one")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    start, size = time.perf_counter(), 1000
    end = given.first + given.count
    chunks = [(given.seed, at, min(size, end - at)) for at in range(given.first, end, size)]
    walked = nights = gone = 0
    with multiprocessing.Pool(given.jobs) as pool:
        for chunk, seen, lost in pool.imap_unordered(_chunk, chunks):
            walked, nights, gone = walked + chunk, nights + seen, gone + lost
            if walked % 100_000 == 0 or walked == given.count:
                print(
                    f"{walked} histories of seed {given.seed}, {nights} nights, {gone} snapshots forgotten:",
                    end="",
                )
                print(f" every law held; {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
