"""How long the archive's disk has room, by how the archive grew lately. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from flows.ops.survey import Survey

LOOKED = timedelta(days=30)  # back
FIRST = timedelta(days=1)  # of an archive: what was there already comes at once, and is no growth
LEAST = timedelta(days=7)  # so long must growth have been seen


@dataclass(frozen=True, slots=True)
class Room:
    """What is to be expected of the archive's disk, if nothing is freed."""

    bytes_per_day: float
    days: float  # until it is full; infinite where nothing grows


def forecast(survey: Survey) -> Room | None:
    """By the packs of the last 30 days; None where the archive is on no disk of ours, or too young.

    What its first day brought is not growth, and what was freed is not counted against it, so that it rather ends
    too soon. What somebody else writes to the same disk is not seen.
    """
    disk, since = survey.archive_disk, _since(survey)
    if disk is None or since is None:
        return None
    days = (survey.at - since) / timedelta(days=1)
    rate = max(sum(size for at, size in survey.grown if since <= at <= survey.at), 0) / days
    return Room(rate, disk.free / rate if rate else float("inf"))


def whole_days(room: Room) -> int | None:
    """Days until it is full, the last one begun counted; None where nothing grows, or it is centuries."""
    return ceil(room.days) if room.days < 100_000 else None


def _since(survey: Survey) -> datetime | None:
    first = min((at for at, _ in survey.grown), default=None)
    if first is None:
        return None
    since = max(first + FIRST, survey.at - LOOKED)
    return since if survey.at - since >= LEAST else None
