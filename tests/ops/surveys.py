"""Surveys as values: what tests of metrics read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.ops.survey import Disk, Drilled, EverySeen, Ran, ScopeSeen, Scrubbed, Shot, Survey
from storage.snapshot import ScopeKey

NOW = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
NIGHT = datetime(2026, 3, 3, 2, 30, tzinfo=UTC)
LAB = ScopeKey("lab", "user:7")


def ran(**other: Any) -> Ran:
    """A night that went well."""
    fields: dict[str, Any] = {
        "id": "20260303-023000-0000abcd",
        "started_at": NIGHT,
        "ended_at": NIGHT + timedelta(minutes=9),
        "ended": "verified",
        "exit": 0,
        "reason": "",
        "hint": "",
        "trigger": "schedule",
        "snapshot": "ab" * 16,
        "bytes_fetched": 12_000,
    }
    return Ran(**{**fields, **other})


def shot(**other: Any) -> Shot:
    """A snapshot that counts."""
    fields: dict[str, Any] = {
        "id": "ab" * 16,
        "number": 3,
        "taken_at": NIGHT,
        "committed_at": NIGHT + timedelta(minutes=9),
        "quality": "verified",
        "files": 2,
        "size": 40_000,
        "stored_bytes": 9_000,
        "counts": True,
    }
    return Shot(**{**fields, **other})


def scope(key: ScopeKey = LAB, **other: Any) -> ScopeSeen:
    """A scope with one good night."""
    fields: dict[str, Any] = {
        "key": key,
        "system": "rspace",
        "configured": True,
        "every": "",
        "within": timedelta(hours=36),
        "due_at": NIGHT,
        "next_at": NIGHT + timedelta(days=1),
        "newest": shot(),
        "shots": (shot(),),
        "runs": (ran(),),
        "unchanged_at": None,
    }
    return ScopeSeen(**{**fields, **other})


def survey(*scopes: ScopeSeen, **other: Any) -> Survey:
    """An archive where all is well."""
    fields: dict[str, Any] = {
        "at": NOW,
        "since": NOW - timedelta(days=40),
        "archive": "file:///srv/strongroom",
        "archive_id": "0123456789abcdef",
        "encrypted": True,
        "scopes": scopes or (scope(),),
        "everies": (EverySeen(ScopeKey("lab", "user:every"), 4, timedelta(hours=36)),),
        "disks": (
            Disk("archive", "/srv/strongroom", 6 << 30, 10 << 30),
            Disk("state", "/var/lib/s", 1 << 30, 2 << 30),
        ),
        "packs": 12,
        "packs_bytes": 90_000,
        "never_read": 2,
        "oldest_unread_at": NOW - timedelta(days=11),
        "grown": ((NIGHT, 9_000),),
        "scrubs": (
            Scrubbed("s", NOW - timedelta(hours=3), NOW - timedelta(hours=2), "30 nights", 12, 1, 4_000, 0),
        ),
        "drills": (Drilled("d", LAB, "ab" * 16, NOW - timedelta(days=2), "passed", True, 2, 40_000, 1.5, ""),),
        "damaged": (),
    }
    return Survey(**{**fields, **other})
