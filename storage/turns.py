"""Whose turn it is: the packs that a scrub reads now, the snapshot that a drill gives back now.

Pure: functions of what is there, what was read when, and the time. An instant after `now` tells nothing: a clock
that was wrong for one night must not make a pack look fresh for years.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.snapshot import Snapshot

WITHIN_DAYS = 30  # in so many nightly scrubs every pack is read, where nothing else is said
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Kept:
    """A pack that is there, and what is known of its bytes."""

    digest: str
    size: int
    written_at: datetime | None  # when the first snapshot that names it was committed; None: none names it
    good_at: datetime | None = None  # when it was last read and found good
    damaged: bool = False  # it was not good when it was last read

    def proven_at(self, now: datetime) -> datetime | None:
        """When its bytes were last known to be right: read by a scrub, else read back when it was written."""
        return next((at for at in (self.good_at, self.written_at) if at is not None and at <= now), None)


@dataclass(frozen=True, slots=True)
class Everything:
    """Every pack."""

    def __str__(self) -> str:
        return "everything"


@dataclass(frozen=True, slots=True)
class Within:
    """So much that nightly scrubs read everything in `days` days; what was not read for as long, in any case."""

    days: int

    def __str__(self) -> str:
        return f"everything within {self.days} days"


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of the bytes of all packs."""

    percent: float

    def __str__(self) -> str:
        return f"{self.percent:g}%"


@dataclass(frozen=True, slots=True)
class Size:
    """So many bytes."""

    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes} bytes"


@dataclass(frozen=True, slots=True)
class Part:
    """The `number`-th of `parts` parts by digest: no history is needed for them to cover everything."""

    number: int
    parts: int

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


Budget = Everything | Within | Percent | Size | Part


def parse_subset(text: str) -> Percent | Size | Part:
    """`5%`, `500M` (K, M, G, T: powers of 1024) or `1/7`, as restic's --read-data-subset. Raises ValueError."""
    if match := re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text):
        number, parts = int(match[1]), int(match[2])
        if 1 <= number <= parts:
            return Part(number, parts)
    elif match := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", text):
        if 0 < float(match[1]) <= 100:
            return Percent(float(match[1]))
    elif (match := re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text.upper())) and int(match[1]):
        return Size(int(match[1]) * _UNITS[match[2]])
    raise ValueError(f"{text!r}: expected a share such as 5%, a size such as 500M, or a part such as 1/7")


def parse_duration(text: str) -> timedelta:
    """`30m`, `90s`, `1h30m`. Raises ValueError."""
    match = re.fullmatch(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    found = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not found:
        raise ValueError(f"{text!r}: expected a duration such as 30m, 90s or 1h30m")
    return found


def choose(packs: Iterable[Kept], budget: Budget, *, now: datetime) -> list[str]:
    """Digests of the packs to read, in the order to read them: the longest unproven first.

    At least one where there is one; a budget of bytes is passed by less than the last pack. Packs that were found
    damaged come first each time and use none of it, so that damage is told until it is mended and the others still
    have their turn; only `Part` takes no other pack than its own.
    """
    queue = sorted(packs, key=lambda pack: (pack.proven_at(now) or _LONG_AGO, pack.digest))
    if isinstance(budget, Part):
        return [p.digest for p in queue if int(p.digest, 16) % budget.parts == budget.number - 1]
    limit, overdue = _limit(budget, sum(pack.size for pack in queue), now)
    chosen = [pack.digest for pack in queue if pack.damaged]
    read = 0
    for pack in (pack for pack in queue if not pack.damaged):
        in_time = overdue is None or (pack.proven_at(now) or _LONG_AGO) > overdue
        if read >= limit and in_time:
            break
        chosen.append(pack.digest)
        read += pack.size
    return chosen


def _limit(budget: Budget, total: int, now: datetime) -> tuple[float, datetime | None]:
    """Bytes to read, and the instant up to which what was last proven is read beyond them; None: nothing is."""
    match budget:
        case Within():
            return math.ceil(total / budget.days), now - timedelta(days=budget.days)
        case Percent():
            return math.ceil(total * budget.percent / 100), None
        case Size():
            return budget.bytes, None
        case _:
            return math.inf, None


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago the kept bytes were last known to be right."""

    packs: int  # that are there and that a snapshot, live or forgotten, names
    never_read: int  # of these, never read since they were written
    oldest_at: datetime | None  # the instant of the one that waits longest; None where there is none


def age(packs: Sequence[Kept], *, now: datetime) -> Age:
    """The age of the oldest unread byte. A pack that nothing names and nobody read belongs to no snapshot yet."""
    named = [pack for pack in packs if pack.written_at is not None or pack.good_at is not None]
    never = sum(1 for pack in named if pack.good_at is None)
    return Age(len(named), never, min((p.proven_at(now) or now for p in named), default=None))


def next_to_drill(snapshots: Iterable[Snapshot], drilled: Mapping[str, datetime]) -> Snapshot | None:
    """The snapshot drilled least recently, never drilled ones before all, of equals the newest; None for none."""
    newest_first = sorted(snapshots, key=lambda s: (s.manifest.draft.taken_at, s.id), reverse=True)
    return min(newest_first, key=lambda s: drilled.get(s.id, _LONG_AGO), default=None)
