"""Small surveys to try the rules of the watch on: everything well, but for what a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.configtables import UpkeepTable
from flows.ops.alarm import Alarm
from flows.ops.survey import Disk, Drilled, EverySeen, Ran, ScopeSeen, Scrubbed, Shot, Survey
from flows.ops.tables import WatchTable
from flows.ops.watch import alarms
from storage.snapshot import ScopeKey

NOW = datetime(2026, 3, 15, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVERY = EverySeen(ScopeKey("lab", "every user"), 1, 36 * HOUR)
DUE = NOW - 6 * HOUR  # the last night
USER = ScopeKey("lab", "user:7")
GB = 10**9


def ran(ago: timedelta = 6 * HOUR, ended: str = "verified", **other: Any) -> Ran:
    """A run that began so long ago and took 20 minutes; ended "": it is under way."""
    at = NOW - ago
    fields: dict[str, Any] = {
        "id": f"{at:%Y%m%d-%H%M%S}-0000abcd", "started_at": at,
        "ended_at": at + timedelta(minutes=20) if ended else None, "ended": ended, "exit": 0, "reason": "",
        "hint": "", "trigger": "schedule", "snapshot": "", "bytes_fetched": 0,
        "phase": "" if ended else "downloading",
    }  # fmt: skip
    return Ran(**{**fields, **other})


def shot(ago: timedelta = 6 * HOUR, number: int = 20, **other: Any) -> Shot:
    """A snapshot that counts, taken so long ago."""
    at = NOW - ago
    fields: dict[str, Any] = {
        "id": f"{number:064x}"[::-1], "number": number, "taken_at": at, "committed_at": at, "quality": "verified",
        "files": 1, "size": 400, "stored_bytes": 40, "counts": True,
    }  # fmt: skip
    return Shot(**{**fields, **other})


def scope(**other: Any) -> ScopeSeen:
    """A scope of twelve good nights, whose last was verified. `shots`: its newest that counts is `newest`."""
    shots = other.pop("shots", tuple(shot(6 * HOUR + ago * DAY, 20 - ago) for ago in range(12)))
    fields: dict[str, Any] = {
        "key": USER, "system": "rspace", "configured": True, "every": "", "within": 36 * HOUR, "due_at": DUE,
        "next_at": DUE + DAY, "newest": next((one for one in shots if one.counts), None), "shots": shots,
        "runs": tuple(ran(6 * HOUR + ago * DAY) for ago in range(12)), "unchanged_at": None,
    }  # fmt: skip
    return ScopeSeen(**{**fields, **other})


def scrubbed(ago: timedelta = DAY, findings: int = 0) -> Scrubbed:
    """A scrub."""
    return Scrubbed("20260314-120000-0000abcd", NOW - ago, NOW - ago, "everything", 9, 9, 900, findings)


def drilled(ago: timedelta = DAY, outcome: str = "passed") -> Drilled:
    """A drill."""
    at, problem = NOW - ago, "" if outcome == "passed" else "secret-plans.xml: cut short"
    return Drilled(
        "20260314-130000-0000abcd", USER, "ab" * 32, at, outcome, outcome == "passed", 1, 400, 1.5, problem
    )


def survey(*scopes: ScopeSeen, **other: Any) -> Survey:
    """All is well, for 200 days."""
    fields: dict[str, Any] = {
        "at": NOW, "since": NOW - 40 * DAY, "archive": "archive", "archive_id": "a" * 36, "encrypted": True,
        "scopes": scopes or (scope(),), "everies": (EVERY,), "packs": 9, "packs_bytes": 900, "never_read": 0,
        "disks": (Disk("archive", "/srv", 500 * GB, 1000 * GB), Disk("state", "/var", 50 * GB, 100 * GB)),
        "oldest_unread_at": NOW - 20 * DAY, "scrubs": (scrubbed(),), "drills": (drilled(),), "damaged": (),
        "grown": tuple((NOW - ago * DAY, GB) for ago in range(200, 0, -1)),
    }  # fmt: skip
    return Survey(**{**fields, **other})


def told(seen: Survey, upkeep: UpkeepTable | None = None, **limits: Any) -> list[Alarm]:
    """What is wrong, by the usual limits but for these."""
    return alarms(seen, WatchTable(**limits), upkeep or UpkeepTable())


def later(seen: Survey, time: timedelta) -> Survey:
    """The same when so much time has passed, and nothing has happened."""
    return replace(seen, at=seen.at + time)
