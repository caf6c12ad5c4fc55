"""How instants, spans and bytes stand in the sentences of operations. Pure.

Instants are told in UTC: a sentence is sent to people in other zones, and read long after.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def instant(at: datetime) -> str:
    """Such as 2026-03-01 02:30 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def span(time: timedelta) -> str:
    """Such as 40 minutes, 36 hours, 9 days: below two hours minutes, below two days hours."""
    minutes = int(abs(time).total_seconds() // 60)
    for size, word in ((2 * 1440, "day"), (120, "hour")):
        if minutes >= size:
            return counted(minutes // (size // 2), word)
    return counted(minutes, "minute")


def amount(size: float) -> str:
    """Bytes in three digits, by powers of 1000: 812 bytes, 4.31 GB."""
    power = 0
    while size >= 999.5 and power < len(_UNITS) - 1:
        size /= 1000
        power += 1
    digits = 0 if power == 0 or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:.{digits}f} {_UNITS[power]}"


def counted(number: int, word: str) -> str:
    """A number of things: 1 day, 2 days."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
