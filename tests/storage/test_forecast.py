"""The night on which each snapshot goes: foretold, and compared with nights that are really played through."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.forecast import at, goes_on, simulate
from storage.policy import Policy, Span
from storage.retention import Candidate, decide
from tests.doubles import NIGHT, START
from tests.storage.histories import history, some_policy, taken

LATE = START + 30 * NIGHT


def played(there: list[Candidate], policy: Policy, nights: list[datetime]) -> dict[str, datetime | None]:
    """Decide and forget, night by night."""
    found: dict[str, datetime | None] = {c.id: None for c in there}
    number = max(c.number for c in there)
    for n, night in enumerate(nights, start=1):
        there = [*there, Candidate(f"new {n}", number + n, night, True)]
        verdicts = decide(there, policy, now=night)
        for verdict in verdicts:
            if not verdict.keep and verdict.candidate.id in found:
                found[verdict.candidate.id] = night
        there = [verdict.candidate for verdict in verdicts if verdict.keep]
    return found


def compare(seed: int) -> int:
    """One random past, policy and schedule. Returns how many were seen to go."""
    rng = random.Random(f"forecast/{seed}")
    past = list(history(rng))
    now = past[-1].now
    policy = some_policy(rng)
    # Months are not equally long: edges of these spans step back at their ends.
    months: dict[str, Any] = {
        name: Span.parse(rng.choice(("1m", "1m2d", "3m", "1y1m"))) for name in SPANS if rng.random() < 0.2
    }
    policy = replace(policy, **months)
    if rng.random() < 0.2:
        policy = replace(policy, keep_at_most=Span.parse(rng.choice(("20d", "2y", "400d"))))
    verdicts = decide(taken(past), policy, now=now)
    step = rng.choice((timedelta(hours=5), NIGHT, NIGHT, timedelta(days=9), timedelta(days=50)))
    nights = [now + n * step for n in range(1, 90)]
    there = [v.candidate for v in verdicts if v.keep]
    if not there:
        return 0
    told = goes_on(verdicts, policy, iter(nights), now=now)

    expected = played(there, policy, nights)
    wrong = {c.id: (told[c.id], expected[c.id]) for c in there if told[c.id] != expected[c.id]}
    if policy.keep_at_most:  # what must go may leave one that is dated ahead behind as the oldest: told too early
        ahead = {c.id for c in there if c.taken_at > nights[0]}
        late = nights[-1] + NIGHT
        wrong = {
            id: pair for id, pair in wrong.items() if id not in ahead or (pair[0] or late) > (pair[1] or late)
        }
    assert not wrong, (seed, policy, wrong, there)
    return sum(1 for night in expected.values() if night)


SPANS = [f"keep_within{part}" for part in ("", "_hourly", "_daily", "_weekly", "_monthly", "_yearly")]


def test_what_is_foretold_is_what_happens() -> None:
    """600 random pasts, with wrong clocks, holds, tags, uncounted ones and data that must go."""
    assert sum(compare(seed) for seed in range(600)) > 400


def nights(count: int, start: datetime = START) -> list[datetime]:
    return [start + n * NIGHT for n in range(count)]


def thirty() -> list[Candidate]:
    """Thirty nights, the last one at LATE - 1 day."""
    return [Candidate(str(n), n, START + n * NIGHT, True) for n in range(30)]


@pytest.mark.parametrize(
    ("policy", "id", "after"),
    [
        # Seven days: the seventh newest (23) is pushed out by the next night, the newest by the seventh from now.
        (Policy(keep_daily=7), "23", 1),
        (Policy(keep_daily=7), "29", 7),
        # The span's edge: 23 is exactly 7 d older than the first coming night, and exactly is out.
        (Policy(keep_last=2, keep_within=Span.parse("7d")), "23", 1),
        (Policy(keep_last=2, keep_within=Span.parse("7d")), "29", 7),
    ],
)
def test_worked_nights(policy: Policy, id: str, after: int) -> None:
    """Each with its reason beside it, above."""
    verdicts = decide(thirty(), policy, now=START + 29 * NIGHT)

    told = goes_on(verdicts, policy, iter(nights(40, LATE)), now=START + 29 * NIGHT)

    assert told[id] == START + (29 + after) * NIGHT


def test_an_edge_that_steps_back_reaches_a_night_again() -> None:
    """A month before 31 March is 3 March (31 February), a month before 1 April is 1 March.

    On 31 March the night of the 3rd is the last of 29; on 1 April that is over, but the span reaches it again,
    until 3 April.
    """
    night = datetime(2026, 3, 30, 2, tzinfo=UTC)
    march = [Candidate(f"{n} March", n, night + (n - 30) * NIGHT, True) for n in range(2, 31)]
    policy, coming = Policy(keep_last=29, keep_within=Span.parse("1m")), [night + n * NIGHT for n in range(1, 40)]

    told = goes_on(decide(march, policy, now=night), policy, iter(coming), now=night)

    assert told == played(march, policy, coming)
    assert told["3 March"] == datetime(2026, 4, 3, 2, tzinfo=UTC)


def test_never_is_told_as_none() -> None:
    """Without a limit, without a rule, held, or later than the nights that are given."""
    now = START + 29 * NIGHT
    held = [replace(c, held="court") if c.id == "3" else c for c in thirty()]
    for policy in (Policy(), Policy(keep_daily=-1)):
        told = goes_on(decide(held, policy, now=now), policy, iter(nights(50, LATE)), now=now)
        assert set(told.values()) == {None}

    policy = Policy(keep_daily=7)
    told = goes_on(decide(held, policy, now=now), policy, iter(nights(3, LATE)), now=now)
    assert (told["3"], told["29"], told["23"]) == (None, None, LATE)


def test_what_is_kept_at_a_date() -> None:
    """Two weeks on, the last seven of them."""
    stays = at(thirty(), Policy(keep_daily=7), LATE + 13 * NIGHT, nights(400, LATE), now=LATE)

    assert [v.candidate.taken_at for v in stays] == [LATE + n * NIGHT for n in range(13, 6, -1)]
    assert at([], Policy(keep_daily=7), LATE, [], now=LATE) == []


def test_a_schedule_is_simulated() -> None:
    """A year of nights from 1 January: 7 days, and the last of each of 12 months."""
    start = datetime(2025, 1, 1, 2, tzinfo=UTC)

    verdicts = simulate(Policy(keep_daily=7, keep_monthly=12), nights(365, start))

    stays = [v.candidate.taken_at.date().isoformat() for v in verdicts if v.keep]
    assert len(verdicts) == 365
    assert stays[6:10] == ["2025-12-25", "2025-11-30", "2025-10-31", "2025-09-30"]
    assert len(stays) == 18
