"""The demo world's own clock: starts at a given instant, runs in real time, and jumps when told to.

It never reads the computer's date: who starts a world says when it is there. By default that is a fixed date, so
tests see the same dates every year.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 16, 2, 30, tzinfo=UTC)


class WorldClock:
    """`now()` = start + what was advanced + seconds really passed. Thread-safe."""

    def __init__(self, start: datetime = START, ticks: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._ticks = ticks
        self._born = ticks()
        self._advanced = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.base() + timedelta(seconds=self._ticks() - self._born)

    def base(self) -> datetime:
        """Now without the real seconds: the same after the same commands, so dated changes are repeatable."""
        with self._lock:
            return self._start + self._advanced

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._advanced += timedelta(seconds=seconds)


def iso_millis(at: datetime) -> str:
    """The one form RSpace uses in JSON: `2026-08-23T17:19:44.123Z`."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
