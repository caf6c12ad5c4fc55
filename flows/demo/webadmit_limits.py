"""WebAdMIT's request limit: calls per key and hour, and the two headers on every answer.

It decides and describes; it never waits. Whether the hour rolls or begins anew is not documented: it rolls, the
stricter of the two, unless told otherwise. There is no header that tells when it ends.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PER_HOUR = 5000
_HOUR = timedelta(hours=1)


@dataclass
class Limits:
    _calls: dict[str, deque[datetime]] = field(default_factory=dict)  # person -> instants that still count
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, person: str, now: datetime, *, limit: int, fixed: bool) -> tuple[float, dict[str, str]]:
        """(seconds until a call may pass, 0 for at once; headers). A refused call does not count."""
        with self._lock:
            calls = self._calls.setdefault(person, deque())
            if fixed:
                if calls and calls[0] <= now - _HOUR:
                    calls.clear()
            else:
                while calls and calls[0] <= now - _HOUR:
                    calls.popleft()
            wait_s = 0.0
            if len(calls) >= limit:
                wait_s = max(1.0, (calls[0] + _HOUR - now).total_seconds())
            else:
                calls.append(now)
            return wait_s, headers(limit, limit - len(calls))


def headers(limit: int, remaining: int) -> dict[str, str]:
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(max(0, remaining))}
