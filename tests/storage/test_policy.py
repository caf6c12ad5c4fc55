"""Spans by the calendar, policies that are refused, and their nearest neighbours that are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage.policy import COUNTS, DAY, EVER, RULES, SPANS, Policy, Rule, Span, in_zone, problems
from storage.retention import Candidate, decide

A = frozenset({"a"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("14d", Span(days=14)),
        ("1y6m", Span(years=1, months=6)),
        ("2y5m7d3h", Span(2, 5, 7, 3)),
        ("3h2y", Span(years=2, hours=3)),  # in any order, as restic
        ("0d", Span()),
        ("007d", Span(days=7)),
        ("999999h", Span(hours=999_999)),
    ],
)
def test_a_span_is_read_as_restic_reads_it(text: str, span: Span) -> None:
    """Years, months, days and hours, each at most once."""
    assert Span.parse(text) == span
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize(
    "text",
    ["", "14", "d", "14 d", " 14d", "14d ", "14d\n", "-1d", "+1d", "1.5d", "1w", "1M", "1D", "1d2d", "1000000d"],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """With what was got, and what was expected."""
    with pytest.raises(ValueError, match="is no span; expected years, months, days and hours") as caught:
        Span.parse(text)

    assert repr(text) in str(caught.value)


def test_other_digits_are_no_span() -> None:
    """Only 0 to 9: what a policy says is what a reader sees."""
    with pytest.raises(ValueError, match="is no span"):
        Span.parse("١d")


def test_a_span_says_itself_in_short() -> None:
    """From years down to hours, nothing for nothing."""
    assert [str(s) for s in (Span(1, 2, 3, 4), Span(days=14), Span())] == ["1y2m3d4h", "14d", "0h"]
    assert [bool(s) for s in (Span(years=1), Span(months=1), Span(days=1), Span(hours=1), Span())] == [
        True
    ] * 4 + [False]


@pytest.mark.parametrize(
    ("span", "instant", "zone", "before"),
    [
        # 31 February is 3 March; in a leap year 2 March. As Go's AddDate, which is restic's.
        ("1m", "2026-03-31T02:00", "UTC", "2026-03-03T02:00"),
        ("1m", "2024-03-31T02:00", "UTC", "2024-03-02T02:00"),
        ("1m", "2026-05-31T02:00", "UTC", "2026-05-01T02:00"),
        ("1m", "2026-01-31T02:00", "UTC", "2025-12-31T02:00"),
        ("1y", "2024-02-29T02:00", "UTC", "2023-03-01T02:00"),
        ("4y", "2024-02-29T02:00", "UTC", "2020-02-29T02:00"),
        ("13m", "2026-01-15T02:00", "UTC", "2024-12-15T02:00"),
        ("12m", "2026-12-15T02:00", "UTC", "2025-12-15T02:00"),
        # Months first, then days from where they led: 31 February, less 3 days, is 28 February.
        ("1m3d", "2026-03-31T02:00", "UTC", "2026-02-28T02:00"),
        # The calendar is the zone's: 23:30 UTC of 30 March is 01:30 of the 31st in Vienna.
        ("1m", "2026-03-30T23:30", "Europe/Vienna", "2026-03-03T00:30"),
        ("1m", "2026-03-30T23:30", "UTC", "2026-03-02T23:30"),
        # The clocks went forward on 29 March: a day before noon is noon, 24 hours before it is eleven.
        ("1d", "2026-03-29T10:00", "Europe/Vienna", "2026-03-28T11:00"),
        ("24h", "2026-03-29T10:00", "Europe/Vienna", "2026-03-28T10:00"),
        # 02:30 of that day never was: 03:30 instead.
        ("1d", "2026-03-30T00:30", "Europe/Vienna", "2026-03-29T01:30"),
        # 25 October has 02:30 twice. An hour before the second is the first; a day before that of the 26th, too.
        ("1h", "2026-10-25T01:30", "Europe/Vienna", "2026-10-25T00:30"),
        ("0h", "2026-10-25T01:30", "Europe/Vienna", "2026-10-25T01:30"),
        ("1d", "2026-10-26T01:30", "Europe/Vienna", "2026-10-25T00:30"),
    ],
)  # fmt: skip
def test_a_span_goes_back_by_the_calendar(span: str, instant: str, zone: str, before: str) -> None:
    """Each with its reason beside it, above."""
    assert Span.parse(span).before(at(instant), ZoneInfo(zone)) == at(before)


@pytest.mark.parametrize("span", ["2026y", "9999y", "24400m", "740000d", "999999y999999m999999d999999h"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/St_Johns"])
def test_a_span_longer_than_the_calendar_reaches_all(span: str, zone: str) -> None:
    """Before year 1 there is nothing that it could leave out."""
    assert Span.parse(span).before(at("2026-01-01"), ZoneInfo(zone)) == EVER


def test_the_first_year_is_reached() -> None:
    """1 January of year 1 is a day like others; the hour before is none."""
    assert Span(years=2025).before(at("2026-01-01"), ZoneInfo("UTC")) == at("0001-01-01")
    assert Span(years=2025, hours=1).before(at("2026-01-01"), ZoneInfo("UTC")) == EVER


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/St_Johns"])
def test_dates_at_both_ends_of_the_calendar_are_decided_about(zone: str) -> None:
    """A clock that says year 1 or 9999 stops nothing, in no zone."""
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    there = [Candidate(str(n), n, taken, True) for n, taken in enumerate([ends[0], at("2026-01-01"), ends[1]])]
    policy = Policy(keep_daily=1, keep_within=Span(months=1), timezone=zone)

    assert [v.keep for v in decide(there, policy, now=ends[1])] == [True, True, False]
    assert [in_zone(end, ZoneInfo(zone)) for end in ends] == ends


def test_rules_are_named_and_in_order() -> None:
    """Counts, then spans, from fine to coarse; what is 0 or None is off."""
    policy = Policy(keep_yearly=-1, keep_last=3, keep_within_weekly=Span(months=2), keep_within=DAY)

    rules = (
        Rule("last", 3), Rule("yearly", -1), Rule("last", -1, DAY), Rule("weekly", -1, Span(months=2)),
    )  # fmt: skip
    assert policy.rules() == rules
    assert [rule.name for rule in rules] == ["last", "yearly", "within 1d", "weekly within 2m"]
    assert (Policy().keeps_all(), policy.keeps_all(), Policy(keep_tags=(A,)).keeps_all()) == (True, False, False)


def test_with_rules_leaves_no_other_rule_on() -> None:
    """Zone, floor and limit stay, for they are not rules."""
    rules: dict[str, Any] = {**dict.fromkeys(COUNTS, 3), **dict.fromkeys(SPANS, DAY), "keep_tags": (A,)}
    policy = Policy(**rules, timezone="Europe/Vienna", keep_at_least=Span(days=3), keep_at_most=Span(years=9))

    other = policy.with_rules(keep_daily=7)

    assert other == Policy(
        keep_daily=7, timezone="Europe/Vienna", keep_at_least=Span(days=3), keep_at_most=Span(years=9)
    )
    assert policy.with_rules().keeps_all()
    assert policy.with_rules(**{name: getattr(policy, name) for name in RULES}) == policy
    assert policy.with_rules(keep_daily=7) == replace(policy.with_rules(), keep_daily=7)


REFUSED = {
    "timezone = 'Mars/Base'": Policy(timezone="Mars/Base"),
    "timezone = ''": Policy(timezone=""),
    "timezone = '../UTC'": Policy(timezone="../UTC"),
    "keep_at_least = 3d: says nothing": Policy(keep_at_least=Span(days=3)),
    "keep_at_least = 0h: a span of nothing; at least 1h": Policy(keep_last=1, keep_at_least=Span()),
    "keep_at_least = 0h: a span of": Policy(keep_at_least=Span()),
    "keep_tags: spans and tags only add": Policy(keep_tags=(A,)),
    "keep_at_most = 0h: a span of nothing": Policy(keep_daily=1, keep_at_most=Span()),
    "keep_at_most = 23h: shorter than what keep_at_least promises (1d)": Policy(
        keep_last=1, keep_at_most=Span(hours=23)
    ),
    "keep_at_most = 14d: shorter than what keep_daily promises (15d)": Policy(
        keep_daily=15, keep_at_most=Span(days=14)
    ),
    "keep_at_most = 2d: shorter than what keep_hourly promises (49h)": Policy(
        keep_hourly=49, keep_at_most=Span(days=2)
    ),
    "keep_at_most = 27d: shorter than what keep_weekly promises (28d)": Policy(
        keep_weekly=4, keep_at_most=Span(days=27)
    ),
    "keep_at_most = 1y: shorter than what keep_monthly promises (13m)": Policy(
        keep_monthly=13, keep_at_most=Span(years=1)
    ),
    "keep_at_most = 7y: shorter than what keep_yearly promises (8y)": Policy(
        keep_yearly=8, keep_at_most=Span(years=7)
    ),
    "keep_at_most = 1y: shorter than what keep_within_monthly promises (1y1d)": Policy(
        keep_last=1, keep_within_monthly=Span(years=1, days=1), keep_at_most=Span(years=1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_sense_is_refused(said: str) -> None:
    """In one line, that begins with the key."""
    found = problems(REFUSED[said])

    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_minus_one_nothing_or_more(name: str) -> None:
    """-2 is refused, and its neighbours are not."""
    assert problems(Policy().with_rules(**{name: -2})) == [
        f"{name} = -2: expected -1 (no limit), 0 (off) or a count"
    ]
    assert problems(Policy().with_rules(**{name: -1})) == problems(Policy().with_rules(**{name: 1})) == []


@pytest.mark.parametrize("name", SPANS)
def test_a_span_needs_a_count_beside_it(name: str) -> None:
    """Any count will do; a span of nothing is refused even so."""
    alone = Policy().with_rules(**{name: Span(days=14)})

    assert [line.split(":")[0] for line in problems(alone)] == [name]
    assert "keep_last = 7" in problems(alone)[0]
    assert problems(replace(alone, keep_yearly=1)) == []
    none = replace(Policy().with_rules(**{name: Span()}), keep_last=1)
    assert problems(none) == [f"{name} = 0h: a span of nothing; leave it out"]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(timezone="Pacific/Auckland"),
        Policy(keep_at_most=Span(years=10)),  # keep all, and no more than ten years
        Policy(keep_tags=(A,), keep_last=1),
        Policy(keep_last=1, keep_at_least=Span(hours=1)),
        Policy(keep_last=1, keep_at_least=Span(days=3)),
        Policy(keep_last=1, keep_at_least=Span(days=3), keep_at_most=Span(days=3)),
        Policy(keep_last=1, keep_at_most=DAY),
        Policy(keep_daily=14, keep_at_most=Span(days=14)),
        Policy(keep_hourly=48, keep_at_most=Span(days=2)),
        Policy(keep_weekly=4, keep_at_most=Span(days=28)),
        Policy(keep_monthly=12, keep_at_most=Span(years=1)),
        Policy(keep_yearly=7, keep_at_most=Span(years=7)),
        Policy(keep_last=1000, keep_at_most=Span(days=2)),  # so many may come in two days
        Policy(keep_daily=-1, keep_at_most=Span(days=14)),  # without a limit but this one
        Policy(keep_last=1, keep_within=Span(years=1), keep_at_most=Span(years=1)),
    ],
)
def test_what_makes_sense_is_not_refused(policy: Policy) -> None:
    """The nearest neighbours of what is."""
    assert problems(policy) == []


def test_every_problem_is_told_at_once() -> None:
    """A person mends them in one go."""
    found = problems(
        Policy(keep_last=-2, keep_within=Span(), keep_at_least=Span(days=9), keep_at_most=Span(days=1))
    )

    assert [line.split(" ")[0] for line in found] == ["keep_last", "keep_within", "keep_at_most"]
