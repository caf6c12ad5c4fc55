"""How numbers, sizes, times and days stand in what operations tell: sentences, tables, the page. Pure.

Sizes are told in powers of 1000, as disks are sold. A length of time has two ways: `span` in a sentence, where a
limit or an age matters, and `took` in a cell, where two runs are compared.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
# Whatever the locale.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUS = "−"  # as wide as a digit


def instant(at: datetime) -> str:
    """Such as 2026-03-01 02:30 UTC: a sentence is sent to people in other zones, and read long after."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(when: date) -> str:
    """22 Nov 2026."""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def counted(number: int, word: str) -> str:
    """A number of things: 1 day, 1,200 days."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def span(time: timedelta) -> str:
    """Such as 40 minutes, 36 hours, 9 days: below two hours minutes, below two days hours."""
    minutes = int(abs(time).total_seconds() // 60)
    for size, word in ((2 * 1440, "day"), (120, "hour")):
        if minutes >= size:
            return counted(minutes // (size // 2), word)
    return counted(minutes, "minute")


def took(time: timedelta) -> str:
    """For a cell, as exact as it matters: 45 s, 3 min 20 s, 14 min, 2 h 05 min, 3 d 4 h."""
    seconds = max(round(time.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 3570:
        return f"{round(seconds / 60)} min"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def unit_for(size: float) -> tuple[int, str]:
    """The unit in which so many bytes are told: its size in bytes, and its name."""
    power = next((power for power in range(len(_UNITS)) if size < 999.5 * 1000**power), len(_UNITS) - 1)
    return 1000**power, _UNITS[power]


def amount(size: float) -> str:
    """Bytes in three digits: 812 bytes, 4.31 GB."""
    divisor, unit = unit_for(size)
    told = size / divisor
    digits = 0 if divisor == 1 or told >= 99.95 else 1 if told >= 9.995 else 2
    return f"{told:,.{digits}f} {unit}"


def change(size: int) -> str:
    """A difference of bytes, with its sign; ±0 for none."""
    return f"{'+' if size > 0 else _MINUS}{amount(abs(size))}" if size else "±0"
