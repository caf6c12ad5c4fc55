"""RSpace's request limits: token buckets per credential, and the X-Rate-Limit headers on every API answer.

It decides and describes; it never waits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

# suffix of the header names -> (seconds, requests in that time)
_PERIODS = {"": (15, 15), "-hour": (3600, 1000), "-day": (86400, 5000)}
_GLOBAL = (15, 75)
_MIN_INTERVAL_MS = 1
TOO_MANY = "Too many requests: please restrict requests to no more than 15 per 15  seconds on average"


@dataclass(slots=True)
class _Bucket:
    allowance: float
    at_s: float


@dataclass
class Throttle:
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, credential: str, now_s: float) -> tuple[bool, dict[str, str]]:
        """Whether this request may pass, and the headers to answer with either way. Refusals count as well."""
        with self._lock:
            waits = {suffix: self._spend(credential, suffix, *p, now_s) for suffix, p in _PERIODS.items()}
            shared = self._spend("", "global", *_GLOBAL, now_s)
            longest = max([wait for _, wait in waits.values()] + [shared[1]])
            headers: dict[str, str] = {}
            for suffix, (remaining, wait) in waits.items():
                headers |= _period_headers(
                    suffix, f"{float(_PERIODS[suffix][1])}", f"{remaining:.4f}", f"{wait:.1f}"
                )
            headers["X-Rate-Limit-MinWaitIntervalMillis"] = f"{_MIN_INTERVAL_MS}.0"
            headers["X-Rate-Limit-WaitTimeMillis"] = f"{longest:.1f}"
            return longest == 0, headers

    def _spend(self, credential: str, suffix: str, seconds: int, limit: int, now_s: float) -> tuple[float, float]:
        """(remaining, milliseconds to wait). A request needs more than one token, so a burst is limit - 1."""
        bucket = self._buckets.setdefault((credential, suffix), _Bucket(limit, now_s))
        bucket.allowance = min(limit, bucket.allowance + (now_s - bucket.at_s) * limit / seconds)
        bucket.at_s = now_s
        if bucket.allowance - 1 > 0:
            bucket.allowance -= 1
            return bucket.allowance, 0.0
        return bucket.allowance, max(1.0, (1 - bucket.allowance) * seconds / limit * 1000)


def switched_off_headers() -> dict[str, str]:
    """With throttling off the headers are still there, as constants."""
    headers: dict[str, str] = {}
    for suffix in _PERIODS:
        headers |= _period_headers(suffix, "10", "10.0", "100")
    return headers | {"X-Rate-Limit-MinWaitIntervalMillis": "100", "X-Rate-Limit-WaitTimeMillis": "100"}


def _period_headers(suffix: str, limit: str, remaining: str, wait: str) -> dict[str, str]:
    return {
        f"X-Rate-Limit-Limit{suffix}": limit,
        f"X-Rate-Limit-Remaining{suffix}": remaining,
        f"X-Rate-Limit-WaitTimeTillNextRequestMillis{suffix or '-quarter_min'}": wait,
    }
