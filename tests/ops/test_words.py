"""How numbers stand in sentences and in cells."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.ops import words

GB = 10**9


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.00 kB"),
        (12_340_000, "12.3 MB"),
        (987 * GB, "987 GB"),
        (999_999, "1.00 MB"),
        (4_000 * 10**18, "4,000 EB"),
    ],
)
def test_sizes_have_three_digits(size: int, said: str) -> None:
    """In powers of 1000; what rounds to the next unit is told in it."""
    assert words.amount(size) == said


def test_changes_have_their_sign() -> None:
    """Also none at all."""
    assert (words.change(-5_000), words.change(0), words.change(7)) == ("−5.00 kB", "±0", "+7 bytes")


def test_times_in_cells_are_as_exact_as_it_matters() -> None:
    """And a clock that was set back gives no negative ones."""
    told = [words.took(timedelta(seconds=s)) for s in (-5, 59.6, 200, 1_000, 3_599, 7_500, 273_600)]

    assert told == ["0 s", "1 min 00 s", "3 min 20 s", "17 min", "1 h 00 min", "2 h 05 min", "3 d 4 h"]


def test_times_in_sentences_are_rounded_down_to_one_unit() -> None:
    """Below two hours minutes, below two days hours."""
    told = [words.span(timedelta(minutes=minutes)) for minutes in (0, 1, 119, 120, 2_879, 2_880, 2_880_000)]

    assert told == ["0 minutes", "1 minute", "119 minutes", "2 hours", "47 hours", "2 days", "2,000 days"]


def test_things_are_counted() -> None:
    """One has no s."""
    assert [words.counted(1, "day"), words.counted(1_200, "day")] == ["1 day", "1,200 days"]


@given(st.floats(0, 9.99e20))
def test_a_size_never_has_a_fourth_digit(size: float) -> None:
    """Whatever its rounding."""
    assert len(words.amount(size).split()[0].replace(".", "")) <= 3
