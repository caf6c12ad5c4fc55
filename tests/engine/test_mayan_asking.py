"""What is done about an export of Mayan EDMS that was asked for, by what is seen of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flows.sources.mayan_asking import Asked, Bounds, Seen, Step, cuts_exports, decide, logs_exports

BOUNDS = Bounds(deadline_s=100, page_s=1, lock_s=30, dead_s=80, stopped_s=50)
SURE = Asked(after=7, error=3, sure=True)
AGAIN = replace(SURE, times=2)
LOCKED = Seen(errors=("LockError; Unable to acquire lock",))


def step(asked: Asked, seen: Seen, **given: Any) -> Step:
    """Of an export of ten pages, asked for a moment ago, if nothing else is given."""
    known: dict[str, Any] = {"pages": 10, "waited_s": 0, "quiet_s": 0, "cuts": False, **given}
    return decide(asked, seen, **known, bounds=BOUNDS)


def test_a_whole_one_is_taken_whatever_else_is_seen() -> None:
    """Also after errors, after the deadline, and by a run that had given it up."""
    seen = Seen(whole=9, unfinished=2, errors=("DataError; too long",))

    assert step(replace(AGAIN, gave_up="lost"), seen, waited_s=1000, quiet_s=1000).do == "take"


@pytest.mark.parametrize(
    ("asked", "seen", "given", "do", "why"),
    [
        (SURE, Seen(), {"waited_s": 109, "quiet_s": 109}, "wait", ""),
        (SURE, Seen(), {"waited_s": 110, "quiet_s": 110}, "ask again", ""),
        (AGAIN, Seen(), {"waited_s": 110, "quiet_s": 110}, "give up", "asked for 2 times"),
        (replace(SURE, sure=False), Seen(), {"waited_s": 29, "quiet_s": 29}, "wait", ""),
        (replace(SURE, sure=False), Seen(), {"waited_s": 30, "quiet_s": 30}, "ask again", ""),
        (replace(SURE, sure=False), Seen(unfinished=1), {"waited_s": 30, "quiet_s": 30}, "wait", ""),
        (SURE, Seen(errors=("DataError; value too long",)), {}, "give up", "value too long"),
        (SURE, LOCKED, {"waited_s": 40, "quiet_s": 29}, "wait", ""),
        (SURE, LOCKED, {"waited_s": 40, "quiet_s": 30}, "ask again", ""),
        (AGAIN, LOCKED, {"waited_s": 40, "quiet_s": 30}, "wait", ""),
        (AGAIN, LOCKED, {"waited_s": 109, "quiet_s": 79}, "wait", ""),
        (AGAIN, LOCKED, {"waited_s": 110, "quiet_s": 79}, "give up", "by hand"),
        (AGAIN, LOCKED, {"waited_s": 90, "quiet_s": 80}, "ask again", ""),
        (replace(AGAIN, times=3), LOCKED, {"waited_s": 109, "quiet_s": 90}, "wait", ""),
        (replace(AGAIN, times=3), LOCKED, {"waited_s": 110, "quiet_s": 90}, "give up", "by hand"),
        (SURE, Seen(unfinished=1), {"waited_s": 60, "quiet_s": 50, "cuts": True}, "give up", "4.11.5"),
        (SURE, Seen(unfinished=1), {"waited_s": 60, "quiet_s": 50, "cuts": True, "pages": 4}, "wait", ""),
        (SURE, Seen(unfinished=1), {"waited_s": 60, "quiet_s": 50}, "wait", ""),
        (AGAIN, Seen(unfinished=1), {"waited_s": 110, "quiet_s": 50}, "give up", "not finished"),
        (replace(AGAIN, gave_up="lost twice"), Seen(), {}, "give up", "lost twice"),
    ],
)
def test_by_what_is_seen(asked: Asked, seen: Seen, given: dict[str, Any], do: str, why: str) -> None:
    """An export is asked for twice, never while it may still come, a third time where a dead worker's lock
    kept it from being made; and what fails says why."""
    found = step(asked, seen, **given)

    assert (found.do, why in found.why) == (do, True)


def test_a_note_is_read_as_it_was_written() -> None:
    """By the run that goes on."""
    asked = replace(SURE, made=12, alone=False, gave_up="no")

    assert Asked.from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    ("version", "cuts", "logs"),
    [("4.10.6", True, False), ("4.11.3", False, False), ("4.11.5", True, False), ("4.12.2", False, True),
     ("4.5.13", False, False), ("5.0", False, True), ("", False, False)],
)  # fmt: skip
def test_releases(version: str, cuts: bool, logs: bool) -> None:
    """Which cut exports after four pages, and which tell of a failure."""
    assert (cuts_exports(version), logs_exports(version)) == (cuts, logs)
