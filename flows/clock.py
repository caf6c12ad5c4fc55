"""The time of day and waiting, as a value that is passed in. The only reader of the wall clock in `flows`."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the engine knows of time."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def dice(self) -> float:
        """A number from 0 to 1, for spreading."""


class SystemClock:
    """The machine's clock; with `at`, a clock that stood at that instant when it was made and goes on from there.

    `at` is for rehearsals: nights that pass in minutes. Waiting is real in either case.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._offset = timedelta(0) if at is None else at - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def sleep(self, seconds: float) -> None:
        # In short steps: a cancelled Prefect run interrupts the main thread between two of them.
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))

    def dice(self) -> float:
        return secrets.randbelow(1000) / 1000


def new_id(now: datetime) -> str:
    """A name for a run or a job: its date first, so that names sort by time."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
