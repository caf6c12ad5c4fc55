"""Whose turn it is: laws of the choice of packs, and which snapshot is drilled next."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.turns import (
    Budget,
    Everything,
    Kept,
    Part,
    Percent,
    Size,
    Within,
    age,
    choose,
    next_to_drill,
    parse_duration,
    parse_subset,
)
from tests.doubles import NIGHT, OFFICE, START, new_archive, write

NOW = START + 400 * NIGHT
HOURS = st.integers(0, 24 * 200)


def pack(
    number: int, size: int, written: int | None = None, good: int | None = None, damaged: bool = False
) -> Kept:
    """A pack; written and found good so many hours before NOW."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    written_at, good_at = (None if hours is None else NOW - timedelta(hours=hours) for hours in (written, good))
    return Kept(digest, size, written_at, good_at, damaged)


@st.composite
def packs(draw: st.DrawFn, *, damaged: bool = True) -> list[Kept]:
    rows = draw(st.lists(st.tuples(st.integers(1, 100), st.none() | HOURS, st.none() | HOURS, st.booleans())))
    return [pack(n, size, w, g, bad and damaged) for n, (size, w, g, bad) in enumerate(rows)]


BUDGETS = st.one_of(
    st.integers(1, 3000).map(Size),
    st.floats(0.01, 100).map(Percent),
    st.integers(1, 300).map(Within),
    st.just(Everything()),
)


def total(chosen: list[str], there: list[Kept]) -> int:
    sizes = {one.digest: one.size for one in there}
    return sum(sizes[digest] for digest in chosen)


def proven(one: Kept, now: datetime) -> str:
    return str(one.proven_at(now) or "")


@given(packs(damaged=False), st.integers(1, 3000))
def test_a_budget_of_bytes_is_passed_by_less_than_one_pack(there: list[Kept], most: int) -> None:
    """And it is used up where there is enough to read; something is read in any case."""
    chosen = choose(there, Size(most), now=NOW)

    assert total(chosen[:-1], there) < most
    assert total(chosen, there) >= min(most, total([one.digest for one in there], there))
    assert chosen or not there


@given(packs(), BUDGETS)
def test_what_was_unread_for_longest_is_read_first(there: list[Kept], budget: Budget) -> None:
    """No sound pack is passed over for one that was proven later; the damaged ones come before all, each time."""
    chosen = choose(there, budget, now=NOW)
    bad = {one.digest for one in there if one.damaged}
    read = [one for one in there if one.digest in set(chosen) - bad]
    left = [one for one in there if one.digest not in chosen]

    assert len(chosen) == len(set(chosen))
    assert set(chosen[: len(bad)]) == bad
    assert all(proven(one, NOW) <= proven(other, NOW) for one in read for other in left)


@given(packs(), st.integers(1, 40))
def test_everything_is_read_in_as_many_nights_as_it_says(there: list[Kept], nights: int) -> None:
    """Each night 1/t of the bytes: after t nights every pack was read, and none is older than that."""
    before, now = there, NOW
    for night in range(nights):
        now = NOW + night * NIGHT
        chosen = set(choose(there, Within(nights), now=now))
        there = [replace(one, good_at=now, damaged=False) if one.digest in chosen else one for one in there]

    assert all(one.good_at is not None and one.good_at >= NOW for one in there)
    assert len(there) == len(before)


@given(packs(), st.integers(1, 60))
def test_nothing_stays_unread_for_longer_than_the_bound(there: list[Kept], days: int) -> None:
    """Even where nights were missed: what is over its time is read, whatever the budget."""
    chosen = choose(there, Within(days), now=NOW)
    left = [one for one in there if one.digest not in chosen]

    assert all(NOW - (one.proven_at(NOW) or START) < timedelta(days=days) for one in left)


@given(packs(), st.integers(1, 12))
def test_parts_partition_all_packs(there: list[Kept], parts: int) -> None:
    """Each pack is in exactly one, with or without a history."""
    chosen = [digest for n in range(parts) for digest in choose(there, Part(n + 1, parts), now=NOW)]

    assert sorted(chosen) == sorted(one.digest for one in there)


def test_a_date_ahead_of_the_clock_tells_nothing() -> None:
    """A scrub with a wrong clock must not spare a pack for years."""
    wrong = replace(pack(1, 10, written=50), good_at=NOW + 3650 * NIGHT)

    assert choose([pack(2, 10, written=40), wrong], Size(1), now=NOW) == [wrong.digest]
    assert age([wrong], now=NOW).oldest_at == NOW - timedelta(hours=50)


def test_the_age_is_that_of_the_byte_that_waits_longest() -> None:
    """Read by a scrub, else since it was written; what nothing names is not counted."""
    there = [pack(1, 10, written=90, good=3), pack(2, 10, written=20), pack(3, 10)]
    told = age(there, now=NOW)

    assert (told.packs, told.never_read, told.oldest_at) == (2, 1, NOW - timedelta(hours=20))
    assert age([], now=NOW).oldest_at is None


@pytest.mark.parametrize(
    ("text", "budget"),
    [("5%", Percent(5)), ("0.5%", Percent(0.5)), ("500M", Size(500 << 20)), ("2g", Size(2 << 30)),
     ("700", Size(700)), ("1/7", Part(1, 7)), ("7/7", Part(7, 7))],
)  # fmt: skip
def test_subsets_are_written_as_for_restic(text: str, budget: Budget) -> None:
    """A share, a size, a part."""
    assert parse_subset(text) == budget


@pytest.mark.parametrize("text", ["", "0%", "101%", "-5%", "0", "5X", "0/7", "8/7", "1/0", "1/7/2", "%", "١%"])
def test_what_is_no_subset_is_refused(text: str) -> None:
    """With the three ways to write one."""
    with pytest.raises(ValueError, match="a share such as 5%"):
        parse_subset(text)


def test_durations() -> None:
    """Hours, minutes, seconds; nothing else, and not none."""
    assert parse_duration("30m") == timedelta(minutes=30)
    assert parse_duration("1h30m5s") == timedelta(hours=1, minutes=30, seconds=5)
    for text in ("", "30", "0m", "m", "1d", "-1h", "1h "):
        with pytest.raises(ValueError, match="a duration such as 30m"):
            parse_duration(text)


def test_the_snapshot_drilled_least_recently_is_next() -> None:
    """Never drilled ones before all, of these the newest."""
    archive = new_archive()
    first = write(archive, {"a": b"1"})
    second = write(archive, {"a": b"2"}, night=1)
    third = write(archive, {"a": b"3"}, key=OFFICE, night=2)
    there = archive.snapshots()
    days = {found.id: START + n * NIGHT for n, found in enumerate((third, first, second))}

    assert next_to_drill([], {}) is None
    assert next_to_drill(there, {}) == third
    assert next_to_drill(there, {third.id: START}) == second
    assert next_to_drill(there, days) == third
    assert next_to_drill(there, {**days, third.id: START + 9 * NIGHT}) == first
