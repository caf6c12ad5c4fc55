"""Ordinary events: Strongroom's own column, and with few nights the real tools beside it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest

from tests.bench import hazards, retention

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("rules", [hazards.COUNTS, None])
def test_nothing_good_is_lost_by_an_ordinary_event(rules: dict[str, int] | None) -> None:
    """At least as many good ones from before the event stay as the policy asks for, less what is newer."""
    for event, taken in hazards.events(120, NOW).items():
        stay = hazards.ours(taken, NOW, rules)
        assert sum(taken[n].good and n < 120 for n in stay) >= 13, event


def test_seven_empty_exports_erase_nothing() -> None:
    """With keep-daily 7 the seven good ones stay."""
    taken = hazards.events(20, NOW)["seven empty exports, keep-daily 7"]

    assert len([n for n in hazards.ours(taken, NOW, {"daily": 7}) if taken[n].good]) == 7


@pytest.mark.skipif(not shutil.which("restic") or not shutil.which("borg"), reason="restic or borg is not here")
@pytest.mark.full
def test_the_real_tools_lose_them() -> None:
    """Few nights: the table's shape, by the tools themselves."""
    found = hazards.table(5)

    event = "seven empty exports, keep-daily 7"
    assert found[event, "Strongroom count"][0] == 5
    assert found["no runs for 60 d, prune still runs", "borg within"][2] == 0


def test_a_plan_is_made_for_every_snapshot() -> None:
    """The bench's own figures, with few snapshots."""
    rows = retention.figures(500)

    assert [kept for *_, kept in rows][1] >= 490
