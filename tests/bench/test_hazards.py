"""Ordinary events: Strongroom's own column, and with few nights the real tools beside it."""

from __future__ import annotations

import shutil

import pytest

from tests.bench import hazards, retention

NIGHTS = 120
ROWS = hazards.strongroom(NIGHTS)
# Good ones from before the event that are left, by hazards.COLUMNS: restic 0.14, borg 1.2.4, Strongroom, each by
# counts and within a span. As seen; a newer restic or borg may differ.
SEEN = {
    "normal night": (17, 14, 21, 14, 17, 14),
    hazards.NEW_YEAR: (17, 14, 21, 14, 17, 14),
    "no runs for 60 d, prune still runs": (17, 14, 21, 0, 17, 14),
    "130 d outage, then one run": (14, 0, 20, 0, 14, 13),
    "one run dated a year ahead": (14, 0, 20, 14, 17, 14),
    "seven empty exports, daily 7": (0, 0, 0, 0, 7, 7),
}


def test_nothing_good_is_lost_by_an_ordinary_event() -> None:
    """As many good ones from before the event stay as days were asked for, but for one that is newer."""
    for (title, column), (good, _) in ROWS.items():
        days, newer = (7 if "seven" in title else 14), title.startswith("130 d")
        assert good >= days - newer, (title, column)


def test_strongrooms_columns_are_as_they_were_seen() -> None:
    """The same figures without the other tools."""
    ours = [column for column in hazards.COLUMNS if column.startswith("Strongroom")]

    assert {title: tuple(ROWS[title, column][0] for column in ours) for title in SEEN} == {
        title: row[-2:] for title, row in SEEN.items()
    }


def test_seven_empty_exports_erase_nothing() -> None:
    """With keep-daily 7 the seven good ones stay, beside the empty ones."""
    event = hazards.events(NIGHTS)["seven empty exports, daily 7"]

    for how in ("count", "within"):
        assert hazards.ours(event, how) == {*event.nights[-7:], *event.then}


def test_a_plan_is_made_for_every_snapshot() -> None:
    """The bench's own figures, with few snapshots."""
    rows = retention.figures(500)

    assert [kept >= 490 for *_, kept in rows] == [False, False, True, True]


@pytest.mark.skipif(not shutil.which("restic") or not shutil.which("borg"), reason="restic or borg is not here")
@pytest.mark.full
def test_the_real_tools_leave_what_was_seen() -> None:
    """The whole table, by the tools themselves; some minutes."""
    found = hazards.table(NIGHTS)

    good = {title: tuple(found[title, column][0] for column in hazards.COLUMNS) for title in SEEN}
    assert good == SEEN
