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


def patiently(call: Callable[[], T], clock: Clock, pace: Pace) -> T:
    """What `call` gives, asked again at the pace while nobody answers, for `pace.patience_s` at most.

    Only for calls that may be repeated. Raises the last SourceUnavailable when patience runs out, SourceBusy and
    any other error at once.
    """
    end = clock.now() + timedelta(seconds=pace.patience_s)
    asked = 0
    while True:
        try:
            return call()
        except SourceBusy:
            raise
        except SourceUnavailable as exc:
            gap = pace.gap(asked, jitter=clock.dice(), retry_after_s=exc.retry_after_s)
            if clock.now() + timedelta(seconds=gap) > end:
                raise
            progress.warning("%s; asked again in %.0f s, until %s", exc, gap, f"{end:%H:%M} UTC")
            clock.sleep(gap)
            asked += 1
