"""Which snapshots stay: worked cases, laws, and restic's own vectors where they are at hand."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.policy import COUNTS, Policy, Span
from storage.retention import FLOOR_VERIFIED, Candidate, decide, rule
from tests.doubles import NIGHT, START

RULES = list(COUNTS)
BARE = Span()  # no minimum age, so that the rules alone are seen
END = datetime(2100, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def facts(*times: str, uncounted: tuple[int, ...] = ()) -> list[Candidate]:
    """One candidate per time, numbered from 1; those `uncounted` are quarantined or partial."""
    return [Candidate(str(n), n, at(time), n not in uncounted) for n, time in enumerate(times, start=1)]


def kept(given_facts: list[Candidate], policy: Policy) -> str:
    """Numbers that stay, oldest first."""
    stay = [v.candidate.number for v in decide(given_facts, policy, now=END) if v.keep]
    return " ".join(str(number) for number in sorted(stay))


DAYS = facts(*[f"2026-03-{day:02d}T02:30" for day in range(1, 11)])  # ten nights in a row
YEARS = facts("2022-06-01", "2023-06-01", "2024-06-01", "2024-12-31", "2025-01-01", "2026-06-01")
TWICE = facts("2026-03-01T02:00", "2026-03-01T14:00", "2026-03-02T02:00", "2026-03-02T14:00", "2026-03-03T02:00")

CASES = {
    # No rule at all is no wish to lose anything.
    "no rule keeps everything": (DAYS, Policy(), "1 2 3 4 5 6 7 8 9 10"),
    # The plain count.
    "last 3": (DAYS, Policy(keep_last=3), "8 9 10"),
    # -1 is restic's word for no limit.
    "all of them": (DAYS, Policy(keep_last=-1), "1 2 3 4 5 6 7 8 9 10"),
    # Two of the newest verified stay even where the policy says one.
    "the floor is two": (DAYS, Policy(keep_last=1), "9 10"),
    # Of two snapshots a day the later one stands for the day; 4 stays by the floor, as second newest.
    "daily keeps the newest of a day": (TWICE, Policy(keep_daily=2), "4 5"),
    # Three days, three slots: each day's newest. The oldest of all is no extra, the slots are used up.
    "daily with just enough slots": (TWICE, Policy(keep_daily=3), "2 4 5"),
    # A slot is left over: it goes to the oldest (restic's rule), though its day has one already.
    "a slot left over keeps the oldest": (TWICE, Policy(keep_daily=4), "1 2 4 5"),
    # Rules are joined by OR and may choose the same snapshot: day 10 is last, daily and the week's newest.
    # Weeks: 1 March 2026 is a Sunday, so 1 | 2-8 | 9-10.
    "rules overlap": (DAYS, Policy(keep_daily=2, keep_weekly=2), "8 9 10"),
    # ISO weeks: 31 December 2024 and 1 January 2025 are one week; months and years part them.
    "a week across new year": (YEARS, Policy(keep_weekly=3), "3 5 6"),
    "years": (YEARS, Policy(keep_yearly=3), "4 5 6"),
    # 4 and 5 are quarantined and newest: they neither use a slot nor displace; both stay, since fewer than two
    # verified ones are newer than they are.
    "what does not count displaces nothing": (
        facts("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", uncounted=(4, 5)),
        Policy(keep_last=2),
        "2 3 4 5",
    ),
    # 1 is quarantined and two verified ones are newer: settled, it may go.
    "what does not count goes when two are newer": (
        facts("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04", uncounted=(1,)),
        Policy(keep_last=2),
        "3 4",
    ),
    # Nothing but quarantined ones: nothing goes, however tight the policy.
    "nothing verified, nothing forgotten": (
        facts("2026-03-01", "2026-03-02", "2026-03-03", uncounted=(1, 2, 3)),
        Policy(keep_last=1),
        "1 2 3",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_worked_cases(case: str) -> None:
    """Each with its reason beside it, above."""
    given_facts, policy, expected = CASES[case]

    assert kept(given_facts, replace(policy, keep_at_least=BARE)) == expected


def test_days_are_cut_in_the_policys_zone() -> None:
    """23:30 in Vienna is the day before 00:30, though UTC says one day."""
    two = facts("2026-06-01T21:30", "2026-06-01T22:30", "2026-06-02T21:00", "2026-06-03T21:00", "2026-06-04T21:00")

    assert kept(two, Policy(keep_daily=4, timezone="Europe/Vienna", keep_at_least=BARE)) == "1 3 4 5"
    assert kept(two, Policy(keep_daily=4, timezone="UTC", keep_at_least=BARE)) == "2 3 4 5"


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """The night the clocks go back, 02:30 comes twice; both are kept."""
    four = facts("2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30", "2026-10-25T03:30")

    assert kept(four, Policy(keep_hourly=4, timezone="Europe/Vienna", keep_at_least=BARE)) == "1 2 3 4"


def test_every_verdict_says_why() -> None:
    """Keep and forget."""
    verdicts = {
        v.candidate.number: v.reasons for v in decide(DAYS, Policy(keep_last=3, keep_at_least=BARE), now=END)
    }

    assert verdicts[10] == (
        "last 1 of 3",
        "floor: verified copy 1 of the newest 2",
        "floor: the newest of all",
    )
    assert verdicts[8] == ("last 3 of 3",)
    assert verdicts[1] == ("no rule keeps it",)


FACTS = st.lists(
    st.tuples(st.integers(0, 24 * 900), st.booleans()), max_size=25, unique_by=lambda pair: pair[0]
).map(
    lambda rows: [
        Candidate(str(n), n, START + timedelta(hours=h), counts) for n, (h, counts) in enumerate(rows, 1)
    ]
)
POLICIES = st.builds(
    Policy,
    **{rule: st.integers(0, 5) for rule in RULES},
    timezone=st.sampled_from(["UTC", "Europe/Vienna", "Pacific/Auckland"]),
    keep_at_least=st.sampled_from([BARE, Span(days=1)]),
)


def ids(given_facts: list[Candidate], policy: Policy) -> set[str]:
    return {v.candidate.id for v in decide(given_facts, policy, now=END) if v.keep}


@given(FACTS, POLICIES)
def test_every_snapshot_has_one_verdict_with_a_reason(given_facts: list[Candidate], policy: Policy) -> None:
    """Keep and forget together are all, newest first."""
    verdicts = decide(given_facts, policy, now=END)

    assert sorted(v.candidate.id for v in verdicts) == sorted(f.id for f in given_facts)
    assert all(v.reasons for v in verdicts)
    assert [v.candidate.taken_at for v in verdicts] == sorted((f.taken_at for f in given_facts), reverse=True)


@given(FACTS, POLICIES)
def test_deciding_again_about_what_was_kept_forgets_nothing(given_facts: list[Candidate], policy: Policy) -> None:
    """Retention run twice is retention run once."""
    stay = ids(given_facts, policy)
    rest = [fact for fact in given_facts if fact.id in stay]

    assert ids(rest, policy) == stay


@given(FACTS, POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_snapshots_does_not_matter(
    given_facts: list[Candidate], policy: Policy, rng: random.Random
) -> None:
    """A backend may list them as it likes."""
    shuffled = rng.sample(given_facts, len(given_facts))

    assert decide(shuffled, policy, now=END) == decide(given_facts, policy, now=END)


@given(FACTS, POLICIES, st.sampled_from(RULES), st.integers(1, 5))
def test_a_larger_count_keeps_no_less(given_facts: list[Candidate], policy: Policy, rule: str, more: int) -> None:
    """Raising one number of a policy never forgets more. (A first rule is another wish: without any, all stay.)"""
    count = getattr(policy, rule)
    if not policy.rules():
        return

    larger = replace(policy, **{rule: count + more})
    assert ids(given_facts, policy) <= ids(given_facts, larger)


@given(FACTS, POLICIES)
def test_the_floors_hold(given_facts: list[Candidate], policy: Policy) -> None:
    """The newest of all, the two newest verified, and what is not counted while fewer than two are newer."""
    newest_first = sorted(given_facts, key=lambda f: f.taken_at, reverse=True)
    counted = [fact for fact in newest_first if fact.counts]
    stay = ids(given_facts, policy)

    assert {f.id for f in newest_first[:1]} | {f.id for f in counted[:FLOOR_VERIFIED]} <= stay
    if len(counted) < FLOOR_VERIFIED:
        assert {f.id for f in given_facts if not f.counts} <= stay


@given(FACTS, POLICIES)
def test_uncounted_snapshots_change_no_verdict_of_counted_ones(
    given_facts: list[Candidate], policy: Policy
) -> None:
    """But that the newest of all stays whatever it is."""
    counted = [fact for fact in given_facts if fact.counts]
    together = ids(given_facts, policy) & {fact.id for fact in counted}

    assert together == ids(counted, policy)


def test_of_thirty_years_of_nights_few_stay() -> None:
    """As many as the rules name, and the floors."""
    many = [Candidate(str(n), n, START + n * NIGHT, n % 7 != 0) for n in range(11_000)]

    assert len(ids(many, Policy(keep_daily=14, keep_weekly=8, keep_monthly=24, keep_yearly=10))) < 60


def vectors() -> dict[str, Any]:
    path = os.environ.get("STRONGROOM_RETENTION_VECTORS", "")
    if not path:
        pytest.skip("STRONGROOM_RETENTION_VECTORS names no file")
    loaded: dict[str, Any] = json.loads(Path(path).read_text())
    return loaded


def as_policy(given: dict[str, Any]) -> Policy:
    """restic's words as ours."""
    values: dict[str, Any] = {
        name: Span.parse(value) if isinstance(value, str) else value for name, value in given.items()
    }
    tags = tuple(frozenset(tags) for tags in values.pop("keep_tags", ()))
    return Policy(**values, keep_tags=tags)


@pytest.mark.optional
def test_restics_verdicts_are_ours() -> None:
    """All 40 policies of restic's own tests over their 103 snapshots, with how many rules keep each."""
    data = vectors()
    there = [
        Candidate(str(row["i"]), row["i"], datetime.fromisoformat(row["time"]), True, tags=frozenset(row["tags"]))
        for row in data["snapshots"]
    ]
    judged = 0
    for case in data["cases"]:
        verdicts = rule(there, as_policy(case["policy"]))
        ours = [verdict for verdict in verdicts if verdict.keep]

        assert len(verdicts) == len(there)
        assert [v.candidate.taken_at for v in ours] == [datetime.fromisoformat(t) for t in case["keep"]], case
        assert [len(v.reasons) for v in ours] == [len(row) for row in case["reasons"]], case
        oldest = [sum("(oldest)" in reason for reason in v.reasons) for v in ours]
        assert oldest == [sum(reason.startswith("oldest") for reason in row) for row in case["reasons"]], case
        judged += 1

    assert (judged, len(there)) == (40, 103)


@pytest.mark.parametrize("policy", [Policy(keep_last=2), Policy(keep_daily=2), Policy(keep_yearly=1)])
def test_dates_from_a_wrong_clock_do_not_push_the_real_copies_out(policy: Policy) -> None:
    """Two snapshots dated ten years ahead: the two that were kept last stay, whatever their dates."""
    real = [Candidate(f"real-{n}", n, START + n * NIGHT, True) for n in (1, 2, 5, 6)]
    ahead = [Candidate(f"ahead-{n}", n, START + timedelta(days=3650) + n * NIGHT, True) for n in (3, 4)]

    kept = {verdict.candidate.id for verdict in decide(real + ahead, policy, now=END) if verdict.keep}

    assert {"real-5", "real-6"} <= kept
