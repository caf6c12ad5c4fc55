"""Ordinary events: Strongroom's own column, and with few nights the real tools beside it."""

from __future__ import annotations

import shutil
import pytest

from tests.bench import hazards, retention

NIGHTS = 120
ROWS = hazards.strongroom(NIGHTS)


def test_nothing_good_is_lost_by_an_ordinary_event() -> None:
    """As many good ones from before the event stay as days were asked for, but for one that is newer."""
    for (title, column), (good, _) in ROWS.items():
        days, newer = (7 if "seven" in title else 14), title.startswith("130 d")
        assert good >= days - newer, (title, column)


def test_seven_empty_exports_erase_nothing() -> None:
    """With keep-daily 7 the seven good ones stay, beside the empty ones."""
    event = hazards.events(NIGHTS)["seven empty exports, daily 7"]

    for how in ("count", "within"):
        assert hazards.ours(event, how) == {*event.nights[-7:], *event.then}


def test_a_plan_is_made_for_every_snapshot() -> None:
    """The bench's own figures, with few snapshots."""
    rows = retention.figures(500)

    assert [kept for *_, kept in rows][1] >= 490
