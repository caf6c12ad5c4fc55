"""A list of Mayan's, walked by the page while rows go from it: no other row is missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import SourceUnexpected
from flows.sources.mayan_wire import PAGE, in_order, window


class Shelf:
    """A list; before the answers of these numbers, rows at these places go from it, or new ones come behind it."""

    def __init__(self, rows: int, goes: Mapping[int, list[int]], comes: Mapping[int, int]) -> None:
        self.ids = list(range(10, 10 + 3 * rows, 3))
        self.goes, self.comes = goes, comes
        self.asked = 0

    def page(self, number: int, size: int) -> list[Mapping[str, Any]]:
        assert 1 <= size <= PAGE
        self.asked += 1
        assert self.asked < 3000
        for place in self.goes.get(self.asked, ()):
            if self.ids:
                del self.ids[place % len(self.ids)]
        self.ids += [10**6 + self.asked * 1000 + n for n in range(self.comes.get(self.asked, 0))]
        return [{"id": each} for each in self.ids[(number - 1) * size : number * size]]


@given(
    rows=st.integers(0, 900),
    goes=st.dictionaries(st.integers(1, 14), st.lists(st.integers(0, 10**6), max_size=120), max_size=6),
    comes=st.dictionaries(st.integers(1, 14), st.integers(0, 60), max_size=4),
)
def test_what_stays_is_listed_once(rows: int, goes: dict[int, list[int]], comes: dict[int, int]) -> None:
    """Whatever goes and comes between two pages."""
    shelf = Shelf(rows, goes, comes)
    before = set(shelf.ids)

    listed = [row["id"] for row in in_order(shelf.page)]

    assert listed == sorted(set(listed))
    assert before & set(shelf.ids) <= set(listed)


@pytest.mark.parametrize(("rows", "most"), [(0, 1), (1, 1), (99, 1), (100, 2), (1000, 12), (100_000, 1200)])
def test_it_costs_little(rows: int, most: int) -> None:
    """Few more requests than pages."""
    shelf = Shelf(rows, {}, {})

    assert len(list(in_order(shelf.page))) == rows
    assert shelf.asked <= most


@given(st.integers(1, 10**7))
def test_a_window_holds_the_last_row_and_more(end: int) -> None:
    """So that a page that begins behind it tells of rows that moved; and each one brings new ones."""
    number, size = window(end)

    assert 1 <= size <= PAGE
    assert (number - 1) * size < end < number * size


def test_another_order_is_refused() -> None:
    """A server that does not sort would hide rows."""
    with pytest.raises(SourceUnexpected):
        list(in_order(lambda number, size: [{"id": 2}, {"id": 1}]))
