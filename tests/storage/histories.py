"""Random lives of a scope: one seeded generator for the laws of retention, and the sweep over many of them.

    python -m tests.storage.histories --count 1000000 --seed 1 --jobs 2

A history is what happened night by night: verified, partial or empty exports, pauses of years, clocks that are
wrong both ways, holds, tags, and policies that change. `walk` forgets each night, and checks each law.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.policy import Policy, Span
from storage.retention import FLOOR_VERIFIED, Candidate, decide

ZONES = ("UTC", "Europe/Vienna", "Pacific/Auckland", "America/St_Johns")
# Just before: an ISO week 53, a leap day, hours that are missing or come twice in each zone.
STARTS = (
    "2020-12-27T02:30", "2024-02-26T02:30", "2026-03-26T00:30", "2026-10-22T00:30",
    "2026-04-02T13:30", "2026-09-24T13:30", "2026-11-19T12:00",
)  # fmt: skip
STEPS = (timedelta(minutes=50), timedelta(hours=11), timedelta(days=1), timedelta(days=5))
SPANS = ("3d", "36h", "1y", "1m2d", "14d")


@dataclass(frozen=True, slots=True)
class Night:
    """What one night adds, the clock at its end, and the policy that then holds."""

    new: Candidate
    now: datetime
    policy: Policy


def some_policy(rng: random.Random) -> Policy:
    """Counts, spans, tags and a floor; sometimes none at all."""

    def pick() -> int:
        return rng.choice((0, 0, 1, 2, 5, -1))

    def span() -> Span | None:
        return Span.parse(rng.choice(SPANS)) if rng.random() < 0.15 else None

    return Policy(
        pick(), pick(), pick(), pick(), pick(), pick(), span(), span(), span(), span(), span(), span(),
        (frozenset({"a"}),) if rng.random() < 0.2 else (), rng.choice(ZONES),
        Span.parse(rng.choice(("0h", "1d", "3d"))),
    )  # fmt: skip


def history(rng: random.Random) -> Iterator[Night]:
    """5 to 24 nights."""
    now = datetime.fromisoformat(rng.choice(STARTS)).replace(tzinfo=UTC)
    step, policy = rng.choice(STEPS), some_policy(rng)
    for number in range(1, rng.randint(5, 24) + 1):
        chance = rng.random()
        now += step * (rng.uniform(0.2, 3) if chance < 0.2 else 1)
        if chance > 0.97:
            now += timedelta(days=rng.choice((40, 400, 1500)))
        taken = now
        if rng.random() < 0.06:
            taken += timedelta(days=rng.choice((-9000, -400, -2, 1, 365, 4000)))
        counts, held = rng.random() > 0.2, "law" if rng.random() < 0.04 else ""
        tags = frozenset({"a"}) if rng.random() < 0.1 else frozenset[str]()
        if rng.random() < 0.04:
            policy = some_policy(rng)
        yield Night(
            Candidate(f"s{number}", number, taken, counts, "" if counts else "partial", held, tags), now, policy
        )


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
    counted = sorted((c for c in there if c.counts and c.taken_at <= now), key=lambda c: (c.taken_at, c.number))
    floors = counted[-FLOOR_VERIFIED:] + sorted(counted, key=lambda c: c.number)[-FLOOR_VERIFIED:]
    floors += [c for c in there if c.held or (c.counts and c.taken_at > now)]
    if len(counted) < FLOOR_VERIFIED:
        floors += there
    else:
        floors += [
            c
            for c in there
            if not c.counts and (c.taken_at, c.number) > (counted[-2].taken_at, counted[-2].number)
        ]
        since = policy.keep_at_least.before(counted[-1].taken_at, policy.zone)
        floors += [c for c in there if policy.keep_at_least and c.taken_at > since]
    assert {c.id for c in floors} <= stay, "every floor holds"
    return stay


def walk(rng: random.Random) -> tuple[int, int]:
    """One history: forget each night, and check. Returns nights and how many were forgotten."""
    there: list[Candidate] = []
    ever: list[Candidate] = []
    nights = 0
    checked = {rng.randint(1, 24), rng.randint(5, 12)}  # all laws on some nights, the last copies on each
    for night in history(rng):
        nights += 1
        there.append(night.new)
        ever.append(night.new)
        if nights in checked:
            stay = check(there, night.policy, night.now, rng)
        else:
            stay = kept(there, night.policy, night.now)
        there = [c for c in there if c.id in stay]
        good = [c for c in ever if c.counts]
        assert {c.id for c in good[-FLOOR_VERIFIED:]} <= stay, "the last verified are never lost"
    return nights, len(ever) - len(there)


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


def main() -> None:
    """Parse, walk, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    start, size = time.perf_counter(), 1000
    chunks = [(given.seed, at, min(size, given.count - at)) for at in range(0, given.count, size)]
    with multiprocessing.Pool(given.jobs) as pool:
        done = pool.starmap(sweep, chunks, chunksize=1)
    print(f"{given.count} histories of seed {given.seed}, {sum(n for n, _ in done)} nights,", end=" ")
    print(f"{sum(g for _, g in done)} snapshots forgotten: every law held; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
