"""What the report tells in numbers: its headline, the scopes, what the charts show, the forecast."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.ops.alarm import Alarm, Level
from flows.ops.report import figures, series
from flows.ops.report.charts import ticks
from flows.ops.report.figures import headline
from flows.ops.report.render import told_of
from flows.ops.survey import ScopeSeen
from storage.snapshot import ScopeKey
from tests.ops.landscape import GB, NIGHT, NOW, mixed, scope_seen, survey_of

ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1)


def ends(*by_night: str) -> ScopeSeen:
    """A scope whose last nights ended so, the newest first."""
    return scope_seen(f"user:{by_night}", nights=len(by_night), how=lambda _, back: by_night[back])


WELL, SAME, OLD = ends("verified"), ends("unchanged", "verified"), ends("", "failed", "failed", "verified")
NEW = replace(OLD, key=ScopeKey("lab", "new"))
BY_HAND = replace(ends("failed", "verified"), within=3 * DAY)


@pytest.mark.parametrize(
    ("scopes", "said", "level"),
    [
        ((), "No scope is configured", Level.WARNING),
        ((WELL,), "The only scope verified last night", None),
        ((WELL, ends("verified", "verified")), "All 2 scopes verified last night", None),
        ((WELL, SAME), "All 2 scopes verified last night, 1 of them unchanged", None),
        ((SAME,), "The only scope found unchanged last night", None),
        ((OLD,), "The only scope has no recent backup", Level.CRITICAL),
        ((OLD, NEW), "None of the 2 scopes has a recent backup", Level.CRITICAL),
        ((WELL, OLD), "1 of 2 scopes has no recent backup", Level.CRITICAL),
        ((WELL, BY_HAND), "All 2 scopes have a recent backup; 1 not from last night", None),
        ((replace(WELL, due_at=None),), "The only scope has a recent backup", None),
        ((replace(OLD, configured=False), WELL), "The only scope verified last night", None),
    ],
)
def test_one_sentence_says_how_it_stands(scopes: tuple[ScopeSeen, ...], said: str, level: Level | None) -> None:
    """Of the scopes that are configured; a page without a rule for it still knows what is too old."""
    assert headline(survey_of(*scopes), []) == figures.Headline(level, said)


def test_the_worst_alarm_gives_the_headline_its_sign() -> None:
    """Whatever the scopes say."""
    alarms = [Alarm("x", "y", Level.WARNING, "a"), Alarm("x", "z", Level.CRITICAL, "b")]

    assert headline(survey_of(WELL), alarms).level is Level.CRITICAL
    assert headline(survey_of(WELL), alarms[:1]).level is Level.WARNING


def test_a_row_of_a_scope() -> None:
    """Golden: ninety nights of the made-up lab's user 17."""
    (row,) = figures.rows(survey_of(scope_seen("user:17", how=mixed)), {})
    shots = scope_seen("user:17", how=mixed).shots
    good = [shot for shot in shots if shot.counts]

    assert (row.size, row.added, row.kept) == (good[0].size, good[0].stored_bytes, len(shots))
    assert row.since_night == good[0].size - good[1].size
    assert row.since_month == good[0].size - next(s.size for s in good if s.taken_at <= NOW - 30 * DAY)
    assert (row.waiting, row.held) == (sum(s.quality == "quarantined" for s in shots), 1)
    assert row.usual is not None and row.took is not None
    assert timedelta(seconds=30) < row.usual < timedelta(hours=1)


def test_what_was_found_unchanged_is_no_larger_than_the_night_before() -> None:
    """And it is fresh, though its snapshot is older."""
    (row,) = figures.rows(survey_of(ends("unchanged", "verified", "verified")), {})

    assert (row.fresh, row.same, row.since_night) == (True, True, 0)


def test_a_clock_that_was_ahead_makes_nothing_fresh() -> None:
    """An instant after now is no good news, for the page as for the watch."""
    ahead = replace(OLD, unchanged_at=NOW + 400 * DAY)
    (row,) = figures.rows(survey_of(ahead), {})

    assert (row.fresh, row.same) == (False, False)
    assert headline(survey_of(ahead), []).sentence == "The only scope has no recent backup"


def test_upkeep_is_measured_against_its_limits() -> None:
    """27 days and 5 hours of 30, and when the limit would be passed."""
    survey = survey_of(WELL)
    told = figures.upkeep(survey, limit_days=30, drill_days=21)

    assert told.oldest == timedelta(days=27, hours=5)
    assert told.share == pytest.approx(27.208 / 30, abs=0.001)
    assert told.scrub_by == NOW + timedelta(days=2, hours=19)
    assert told.drill_by == NOW - 2 * DAY + 21 * DAY
    assert figures.upkeep(survey, limit_days=30, drill_days=None).drill_by is None


def test_a_head_is_the_highest_number_that_lives() -> None:
    """Not the newest by date: that one may be an import of old data."""
    scope = ends("verified", "verified", "verified")
    swapped = replace(scope, shots=tuple(replace(s, taken_at=NOW - s.number * 9 * DAY) for s in scope.shots))

    (head,) = figures.heads(survey_of(swapped))
    assert (head.number, head.id) == (3, scope.shots[0].id)


def test_the_days_of_what_is_kept() -> None:
    """Golden: stored bytes are today's without what came later; a forgotten size is that of the next one kept."""
    at = [NOW - NIGHT - back * DAY for back in range(4)]
    scope = ends("verified", "verified", "verified", "verified")
    shots = tuple(replace(shot, size=100 - 10 * back) for back, shot in enumerate(scope.shots))
    grown = ((at[3], 500), (at[2], 3), (at[1], 0), (at[0], 7))
    survey = replace(survey_of(replace(scope, shots=shots), nights=4), packs_bytes=510, grown=grown)

    assert [(k.day.day, k.whole, k.stored) for k in series.kept(survey, ZONE)] == [
        (19, 70, 500), (20, 80, 503), (21, 90, 503), (22, 100, 510),
    ]  # fmt: skip
    forgotten = replace(scope, shots=shots[:2])
    assert [k.whole for k in series.kept(replace(survey, scopes=(forgotten,)), ZONE)] == [90, 90, 90, 100]
    young = replace(forgotten, runs=scope.runs[:3])
    assert [k.whole for k in series.kept(replace(survey, scopes=(young,)), ZONE)] == [0, 90, 90, 100]


def test_days_are_counted_over_a_change_of_clocks() -> None:
    """At 23:10 in Vienna ninety days ago was 00:10 of another day."""
    late = replace(
        survey_of(), at=NOW.replace(hour=22, minute=10), since=NOW.replace(hour=22, minute=10) - 90 * DAY
    )
    days = series.days_of(late, ZoneInfo("Europe/Vienna"))

    assert (len(days), days[-1]) == (90, date(2026, 11, 22))


def test_the_days_of_what_was_worked() -> None:
    """Runs that found nothing to do are no work; a day without any has zeros."""
    worked = series.worked(survey_of(ends("unchanged", "", "verified", "failed"), nights=4), ZONE)

    assert [(one.day.day, one.runs, one.fetched > 0) for one in worked] == [
        (19, 1, False), (20, 1, True), (21, 0, False), (22, 0, False),
    ]  # fmt: skip
    assert worked[0].longest == worked[0].median > timedelta(0)


def test_the_room_ends_where_a_straight_line_says() -> None:
    """Ten bytes a day, 1,000 free: in a hundred days. The first night, which stores everything, is no growth."""
    grown = tuple((NOW - NIGHT - back * DAY, 10 if back < 59 else 10**6) for back in range(60))
    survey = replace(survey_of(WELL, free=1_000), grown=grown, packs_bytes=10**6)
    room = series.room(survey, ZONE)

    assert room is not None
    assert (room.a_day, room.full_on) == (10, date(2027, 3, 2))
    assert "10 bytes a day; a straight line from there fills the disk in 3 months" in told_of(room, NOW.date())
    assert room.past[-1] == (NOW.date(), 1_000)
    assert room.past[-11] == (NOW.date() - 10 * DAY, 1_100)


def test_a_young_archive_foresees_nothing() -> None:
    """And one that does not grow is never full; one on no disk of ours has no room to tell of."""
    young = replace(survey_of(WELL), grown=((NOW - 3 * DAY, GB), (NOW - DAY, GB)))
    still = replace(survey_of(WELL), grown=((NOW - 90 * DAY, GB),))
    rooms = [series.room(young, ZONE), series.room(still, ZONE)]

    assert [room and (room.a_day, room.full_on) for room in rooms] == [(None, None), (0, None)]
    assert "too young" in told_of(rooms[0] or pytest.fail(), NOW.date())
    assert "not full within a hundred years" in told_of(rooms[1] or pytest.fail(), NOW.date())
    assert series.room(replace(young, disks=()), ZONE) is None


@given(st.dates(date(2000, 1, 1), date(2060, 1, 1)), st.integers(6, 3700))
def test_an_axis_names_a_few_days_that_are_on_it(first: date, count: int) -> None:
    """At most six, in order, none twice."""
    last = first + timedelta(days=count)
    named = ticks(first, last)

    assert len(named) <= 6
    assert [day for day, _ in named] == sorted({day for day, _ in named})
    assert all(first <= day <= last for day, _ in named)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=40), st.integers(0, 10**15))
def test_stored_bytes_never_shrink_on_the_way_to_today(added: list[int], freed: int) -> None:
    """Whatever was added or freed, they end with what there is now."""
    grown = tuple((datetime(2026, 8, 1, tzinfo=UTC) + at * 3 * DAY, count) for at, count in enumerate(added))
    survey = replace(survey_of(WELL), grown=grown, packs_bytes=max(sum(added) - freed, 0))
    stored = [one.stored for one in series.kept(survey, ZONE)]

    assert stored == sorted(stored)
    if all(at <= NOW for at, _ in grown):
        assert stored[-1] == survey.packs_bytes
