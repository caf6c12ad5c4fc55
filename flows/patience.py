"""Asking again while a system is away: an outage of minutes must not cost a night."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from flows.clock import Clock
from flows.errors import SourceBusy, SourceUnavailable
from flows.export import Pace

progress = logging.getLogger("flows.progress")
T = TypeVar("T")


class Patience:
    """How long one who waits has waited, and may wait still."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock, self._pace = clock, pace
        self._end = clock.now() + timedelta(seconds=pace.patience_s)
        self._asked = 0

    def wait(self, exc: SourceUnavailable) -> bool:
        """Wait until it is time to ask again. False, at once, where there is no patience left."""
        gap = self._pace.gap(self._asked, jitter=self._clock.dice(), retry_after_s=exc.retry_after_s)
        if self._clock.now() + timedelta(seconds=gap) > self._end:
            return False
        progress.warning("%s; asked again in %.0f s, until %s", exc, gap, f"{self._end:%H:%M} UTC")
        self._clock.sleep(gap)
        self._asked += 1
        return True


def patiently(call: Callable[[], T], clock: Clock, pace: Pace) -> T:
    """What `call` gives, asked again at the pace while nobody answers, for `pace.patience_s` at most.

    Only for calls that may be repeated. Raises the last SourceUnavailable when patience runs out, SourceBusy and
    any other error at once.
    """
    patience = Patience(clock, pace)
    while True:
        try:
            return call()
        except SourceBusy:
            raise
        except SourceUnavailable as exc:
            if not patience.wait(exc):
                raise
