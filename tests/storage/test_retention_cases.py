"""Twelve cases with the calendar worked out by hand, of the rule and of its floors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.policy import Policy, Span
from storage.retention import Candidate, decide, fuse
from tests.storage import histories

NOW = datetime(2026, 12, 1, tzinfo=UTC)
OFF = Span()  # no minimum age


def taken(*times: str) -> list[Candidate]:
    """Numbered from 1, in UTC, all of which count."""
    return [
        Candidate(str(n), n, datetime.fromisoformat(t).replace(tzinfo=UTC), True) for n, t in enumerate(times, 1)
    ]


def but(there: list[Candidate], numbers: str, **changes: Any) -> list[Candidate]:
    """The same, with some changed."""
    return [replace(c, **changes) if c.id in numbers.split() else c for c in there]


TEN = taken(*[f"2026-03-{day:02d}T02:30" for day in range(1, 11)])

CASES = {
    # 1. 2020 had 53 ISO weeks: W53 is 28 Dec 2020 to 3 Jan 2021 and holds 3 and 4 (31 Dec, 2 Jan); 5 is W01 of
    # 2021;
    # 2 is W52 (27 Dec), 1 W51. Three weeks: 5, 4, 2; and no month or year swallows one of the same number.
    "an ISO week 53 over New Year": (
        taken("2020-12-20", "2020-12-27", "2020-12-31", "2021-01-02", "2021-01-04"),
        Policy(keep_weekly=3, keep_at_least=OFF),
        "2 4 5",
    ),
    # 2. Vienna, 25 Oct 2026: 00:30 and 01:30 UTC are both 02:30. Hours, newest first: 03:30, 02:30 (second), 02:30
    # (first), 01:30. Three hours leave out the last.
    "an hour that comes twice": (
        taken("2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"),
        Policy(keep_hourly=3, timezone="Europe/Vienna", keep_at_least=OFF),
        "2 3 4",
    ),
    # 3. Auckland, 27 Sep 2026: 02:00 NZST is 03:00 NZDT, at 14:00 UTC of the 26th. 13:30 is 01:30, 14:10 is 03:10,
    # 14:50 is 03:50: two hours, of which the second has two. The oldest is the slot left over.
    "an hour that is missing": (
        taken("2026-09-26T13:00", "2026-09-26T13:30", "2026-09-26T14:10", "2026-09-26T14:50"),
        Policy(keep_hourly=2, timezone="Pacific/Auckland", keep_at_least=OFF),
        "2 3 4",  # 3 only by the floor of two
    ),
    # 4. St John's is at -2:30 in summer: 02:15 UTC is 23:45 of the day before, 02:45 is 00:15. Days: 3 is the 3rd
    # (local 2 June 23:45 is 2), so newest of 3 June: 4; of 2 June: 2 is 00:15 and 3 is 23:45, so 3; of 1 June: 1.
    "a zone of half hours": (
        taken("2026-06-02T02:15", "2026-06-02T02:45", "2026-06-03T02:15", "2026-06-03T02:45"),
        Policy(keep_daily=3, timezone="America/St_Johns", keep_at_least=OFF),
        "1 3 4",
    ),
    # 5. One year before 29 Feb 2024 is "29 Feb 2023", which runs over to 1 March 2023: 1 is exactly there, and
    # out.
    "a year before the leap day": (
        taken("2023-03-01T02:00", "2023-03-01T02:01", "2024-02-28T02:00", "2024-02-29T02:00"),
        Policy(keep_last=1, keep_within=Span.parse("1y"), keep_at_least=OFF),
        "2 3 4",
    ),
    # 6. Ten days in a row, three months asked for, one there: its newest is 10, and slots are left for the
    # oldest, 1.
    "the oldest while slots are left": (TEN, Policy(keep_monthly=3, keep_at_least=OFF), "1 9 10"),
    # 7. Sundays are 1 and 8 March: weeks end with 1, 8 and 10. Days: 10, 9. 10 serves both rules.
    "rules overlap": (TEN, Policy(keep_daily=2, keep_weekly=3, keep_at_least=OFF), "1 8 9 10"),
    # 8. Both tags of the first set, or the one of the second.
    "tags": (
        but(but(but(TEN, "1", tags=frozenset("ab")), "2", tags=frozenset("a")), "3", tags=frozenset("c")),
        Policy(keep_last=1, keep_tags=(frozenset("ab"), frozenset("c")), keep_at_least=OFF),
        "1 3 9 10",
    ),
    # 9. Two days before the newest, 10 March 02:30, is 8 March 02:30: 8 is exactly so old, and out.
    "a span does not hold its own edge": (
        TEN, Policy(keep_last=1, keep_within=Span.parse("2d"), keep_at_least=OFF), "9 10",
    ),
    # 10. 10 is dated 2030, after now: it neither counts nor shifts the span, which is measured from 9.
    "one from the future": (
        but(TEN, "10", taken_at=datetime(2030, 1, 1, tzinfo=UTC)),
        Policy(keep_last=1, keep_within=Span.parse("2d"), keep_at_least=OFF),
        "8 9 10",
    ),
    # 11. Younger than 3 d 12 h, seen from 10 March 02:30, are those after 6 March 14:30; now, months later, is
    # no matter.
    "a minimum age": (TEN, Policy(keep_last=1, keep_at_least=Span.parse("3d12h")), "7 8 9 10"),
    # 12. All are older than 100 d by now, and must go, the last two as well; 4 is held.
    "what must go goes, but for a hold": (
        but(TEN, "4", held="court order"), Policy(keep_daily=5, keep_at_most=Span.parse("100d")), "4",
    ),
    # 13. 9 and 10 do not count and displace nothing; 2 does not count either, and two that do are newer.
    "what does not count": (
        but(TEN, "2 9 10", counts=False), Policy(keep_last=3, keep_at_least=OFF), "6 7 8 9 10",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_worked_cases(case: str) -> None:
    """Each with its calendar beside it, above."""
    there, policy, expected = CASES[case]

    stay = sorted(int(v.candidate.id) for v in decide(there, policy, now=NOW) if v.keep)
    assert " ".join(map(str, stay)) == expected


@pytest.mark.parametrize(
    ("policy", "missed"),
    [
        (Policy(keep_last=3), "last: 2026-03-07 02:30; last 3 of 3 are newer"),
        (Policy(keep_daily=3), "daily: 2026-03-07; daily 3 of 3 are newer"),
        # 7 March is the second newest of its week, W10: one step from being kept; by day it is so, too; finer
        # wins.
        (Policy(keep_weekly=2), "weekly: 2nd of 2026-W10"),
        (Policy(keep_last=1, keep_within=Span.parse("2d")), "within 2d: 2026-03-07 02:30; too old"),
    ],
)
def test_a_forgotten_one_is_told_which_rule_came_nearest(policy: Policy, missed: str) -> None:
    """Of the night of 7 March."""
    verdicts = {v.candidate.id: v for v in decide(TEN, policy, now=NOW)}

    assert (verdicts["7"].keep, verdicts["7"].missed) == (False, missed)


def test_one_that_does_not_count_waits_whatever_its_date() -> None:
    """Dated years back by a wrong clock, it is still the newest that came: it goes once two verified ones came."""
    policy = Policy(keep_last=1)
    for came, keep in ((9, True), (8, False)):
        odd = but(TEN, str(came), counts=False, taken_at=datetime(2020, 1, 1, tzinfo=UTC))
        verdicts = {v.candidate.id: v.keep for v in decide(odd, policy, now=NOW)}
        assert verdicts[str(came)] is keep


def test_a_hold_keeps_a_copy_in_its_place() -> None:
    """Past keep_at_most as well: it counts, serves rules and is one of the last two."""
    there = but(TEN, "4 5", held="court order")
    verdicts = {
        v.candidate.id: v for v in decide(there, Policy(keep_last=1, keep_at_most=Span.parse("100d")), now=NOW)
    }

    assert verdicts["5"].reasons == (
        "last 1 of 1",
        "floor: verified copy 1 of the newest 2",
        "floor: the newest of all",
        "floor: younger than 1d",
        "held: court order",
    )
    assert verdicts["4"].reasons == ("floor: verified copy 2 of the newest 2", "held: court order")
    assert verdicts["10"].reasons == ("older than keep_at_most, 100d",)


def test_a_clock_that_runs_behind_forgets_nothing() -> None:
    """At a `now` before all of them, none counts yet."""
    assert all(v.keep for v in decide(TEN, Policy(keep_last=1), now=datetime(1970, 1, 1, tzinfo=UTC)))


def test_the_fuse_blows_beyond_a_fifth() -> None:
    """Three are always free; beyond that and 20 % the number must be confirmed, exactly."""
    assert (fuse(5, 3), fuse(100, 20), fuse(100, 21, 21)) == ("", "", "")
    assert fuse(10, 4) == "4 of 10 snapshots would be forgotten, more than 3: confirm the number"
    assert "not 20" in fuse(100, 21, 20)


def test_laws_hold_over_twenty_thousand_random_histories() -> None:
    """See `histories.check` and `histories.walk`."""
    nights, gone = histories.sweep(seed=1, first=0, count=20_000)

    assert nights > 200_000
    assert gone > 50_000


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_laws_hold_whatever_the_seed(seed: int) -> None:
    """Other histories in each run; one that fails is a number, to be walked again."""
    histories.walk(Random(f"any/{seed}"))


def test_every_event_of_the_table_happens() -> None:
    """In a thousand histories: each kind of night, holds set and released, other policies, wrong clocks."""
    lives = [list(histories.history(Random(f"1/{n}"))) for n in range(1000)]
    pairs = [pair for life in lives for pair in pairwise(life)]
    nights = [night for life in lives for night in life]
    new = [(night.new, night.now) for night in nights if night.new]

    assert {c.why_not for c, _ in new} == {"", "partial", "empty", "misdated"}
    assert len(new) < len(nights)
    assert any(c.taken_at > now for c, now in new) and any(c.taken_at < now for c, now in new)
    assert any(a.held < b.held for a, b in pairs) and any(b.held < a.held for a, b in pairs)
    assert any(a.policy != b.policy for a, b in pairs)
    assert any(b.now - a.now > timedelta(days=399) for a, b in pairs)
    assert any(night.clock > night.now for night in nights) and any(night.clock < night.now for night in nights)
    assert any(night.policy.keep_at_most for night in nights)


def test_the_limit_and_wrong_clocks_matter_in_the_histories() -> None:
    """In a thousand of them something must go for its age, and some nights are refused for their clock."""
    limits, refusals = 0, 0
    for n in range(1000):
        there: list[Candidate] = []
        for night in histories.history(Random(f"1/{n}")):
            there = [*there, night.new] if night.new else there
            verdicts = decide(there, night.policy, now=night.clock)
            limits += any(v.must_go for v in verdicts)
            refusals += histories.refused(verdicts, night, night.now)
    assert limits > 500 and refusals > 100


def test_a_history_is_the_same_for_its_seed() -> None:
    """So that one which fails can be walked again."""
    assert list(histories.history(Random("1/7"))) == list(histories.history(Random("1/7")))
