"""How many requests a key may be used for: our share of its hourly allowance, and what answers say is left of it.

Pure: the time is passed in, in seconds of any clock that only goes forward. Facts: contract webadmit.md sections
A2 and A5. The allowance is the key's, whoever uses it: registrars' own programs must not starve for a backup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime

LIMIT = 5000  # requests an hour, where no answer told otherwise
SHARE = 0.1  # of them, that are ours
BURST = 60  # that may come at once: a night of a dozen scopes begins so
SCARCE = 0.05  # of the limit: when less is left, for whatever reason, we hold back
SCARCE_GAP_S = 30.0
OVER_S = 60.0  # after a refusal that says nothing of a time nor of the allowance
MOST_S = 3600.0  # whatever a server asks for; and the allowance's hour, of which nobody says where it began


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be asked now. `per_s`: a rate that was configured; None: our share of the limit."""

    per_s: float | None = None
    limit: int = LIMIT
    left: int | None = None  # as the last answer said
    saved: float = BURST  # requests that may come at once
    at: float = 0.0  # when that was so

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may go out."""
        if self.left is not None and self.left < self.limit * SCARCE:
            return max(self.at + SCARCE_GAP_S - now, 0.0)
        rate = self._rate()
        return 0.0 if not rate else max((1 - self._saved(now)) / rate, 0.0)

    def spent(self, now: float) -> Budget:
        """After a request that went out now."""
        return replace(self, saved=max(self._saved(now) - 1, 0.0), at=now)

    def told(self, headers: Mapping[str, str]) -> Budget:
        """With what an answer says of the allowance."""
        limit, left = number(headers.get("x-ratelimit-limit")), number(headers.get("x-ratelimit-remaining"))
        return replace(self, limit=limit or self.limit, left=self.left if left is None else left)

    def _rate(self) -> float:
        return self.limit * SHARE / 3600 if self.per_s is None else self.per_s

    def _saved(self, now: float) -> float:
        return min(self.saved + (now - self.at) * self._rate(), BURST)


def over(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer means that the allowance is used up: which status does is not documented."""
    return status == 429 or (status == 403 and number(headers.get("x-ratelimit-remaining")) == 0)


def retry_after_s(headers: Mapping[str, str], at: datetime | None) -> float:
    """Seconds that a refusal asks to wait. `at`: the server's time, for one that names an instant.

    One that names no time and says that nothing remains: an hour, then there is room whatever the window is.
    """
    silent = MOST_S if number(headers.get("x-ratelimit-remaining")) == 0 else OVER_S
    text = headers.get("retry-after", "").strip()
    if number(text) is not None:
        return min(float(text), MOST_S)
    try:
        until = parsedate_to_datetime(text)
        return min(max((until - at).total_seconds(), 0.0), MOST_S) if at is not None else silent
    except (ValueError, TypeError, OverflowError):
        return silent


def number(text: str | None) -> int | None:
    """A whole number of a header; None for anything else."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text.strip()) else None
