"""How numbers stand on the page: sizes, spans, changes. Pure; powers of 1000, as disks are sold."""

from __future__ import annotations

from datetime import date, timedelta

UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
# Whatever the locale.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NONE = "–"  # where there is nothing to tell
_MINUS = "−"  # as wide as a digit


def unit_for(most: int) -> tuple[int, str]:
    """The unit in which a number of bytes up to `most` is told, and its size in bytes."""
    power = min((len(str(max(most, 1))) - 1) // 3, len(UNITS) - 1)
    return 1000**power, UNITS[power]


def size(count: int | None) -> str:
    """Bytes with three digits: 4.31 GB."""
    if count is None:
        return NONE
    divisor, unit = unit_for(count)
    value = count / divisor
    return f"{value:,.{0 if divisor == 1 or value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def change(count: int | None) -> str:
    """A difference of bytes, with its sign; ±0 for none."""
    if not count:
        return NONE if count is None else "±0"
    return f"{'+' if count > 0 else _MINUS}{size(abs(count))}"


def span(time: timedelta | None) -> str:
    """A time, as exact as it matters: 45 s, 3 min 20 s, 14 min, 2 h 05 min, 3 d 4 h."""
    if time is None:
        return NONE
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


def days(time: timedelta) -> str:
    """A time in whole days: today, 1 day, 12 days."""
    count = max(time.days, 0)
    return "less than a day" if count == 0 else "1 day" if count == 1 else f"{count:,} days"


def day(when: date) -> str:
    """22 Nov 2026."""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def many(count: int, one: str, more: str = "") -> str:
    """A number and its noun: 1 scope, 1,200 scopes."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
