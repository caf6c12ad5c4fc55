"""How much to keep: the rules, spans and floors of one scope, and which of them make no sense together.

Pure values. What they mean for snapshots is `retention.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EVER = datetime.min.replace(tzinfo=UTC)  # before every snapshot
KINDS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

_PART = re.compile(r"([0-9]{1,6})([ymdh])")
_SPAN = re.compile(r"(?:[0-9]{1,6}[ymdh])+")
_FORM = "expected years, months, days and hours, such as 14d, 1y6m or 36h"
_MARK = datetime(2001, 1, 1, tzinfo=UTC)  # spans are compared as seen from here


@dataclass(frozen=True, slots=True)
class Span:
    """A calendar duration in restic's words: `2y5m7d3h`."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Span:
        """Raises ValueError for what is no span."""
        parts = [(unit, int(count)) for count, unit in _PART.findall(text)]
        given = dict(parts)
        if not _SPAN.fullmatch(text) or len(given) != len(parts):
            raise ValueError(f"{text!r} is no span; {_FORM}")
        return cls(given.get("y", 0), given.get("m", 0), given.get("d", 0), given.get("h", 0))

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{count}{unit}" for count, unit in parts if count) or "0h"

    def __bool__(self) -> bool:
        return bool(self.years or self.months or self.days or self.hours)

    def before(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """The instant (UTC) that lies so long before, by the calendar of `zone`; EVER where no calendar reaches.

        A day that its month does not have runs over into the next, as in restic: 1m before 31 March is 3 March.
        Hours are hours, whatever clocks do.
        """
        local = in_zone(instant, zone)
        months = local.year * 12 + local.month - 1 - self.years * 12 - self.months
        try:
            day = date(months // 12, months % 12 + 1, 1) + timedelta(days=local.day - 1 - self.days)
            back = datetime.combine(day, local.timetz())  # its fold, too: which one, of an hour that comes twice
            return back.astimezone(UTC) - timedelta(hours=self.hours)
        except (ValueError, OverflowError):
            return EVER


def in_zone(instant: datetime, zone: ZoneInfo) -> datetime:
    """As the clocks of a zone have it; in UTC within hours of the first and last day that there is."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant.astimezone(UTC)


DAY = Span(days=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that is on: a count of buckets, or a span in which each bucket counts."""

    kind: str  # one of KINDS
    limit: int  # -1: no limit
    span: Span | None = None

    @property
    def name(self) -> str:
        """As reasons have it."""
        if self.span is None:
            return self.kind
        return f"within {self.span}" if self.kind == "last" else f"{self.kind} within {self.span}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How many to keep, in restic's words. 0: the rule is off; -1: no limit. No rule at all: everything is kept.

    Rules are joined by OR: a snapshot stays if any rule keeps it, and one snapshot may serve several rules.
    Spans are measured from the newest snapshot that counts, so that time alone makes nothing go.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: Span | None = None
    keep_within_hourly: Span | None = None
    keep_within_daily: Span | None = None
    keep_within_weekly: Span | None = None
    keep_within_monthly: Span | None = None
    keep_within_yearly: Span | None = None
    keep_tags: tuple[frozenset[str], ...] = ()  # a snapshot that has all tags of any of these sets stays
    timezone: str = "UTC"  # IANA name; hours, days, weeks, months and years are cut in this zone
    keep_at_least: Span = DAY  # floor: whatever is younger than that, seen from the newest that counts, stays
    keep_at_most: Span | None = None  # data that must go: older than that goes, rules or not, unless it is held
    unset: str = "no rule is set: everything is kept"  # what is said where that is so

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its calendar."""
        return ZoneInfo(self.timezone)

    def rules(self) -> tuple[Rule, ...]:
        """The rules that are on, but for tags: counts, then spans, from fine to coarse."""
        return _rules(self)

    def keeps_all(self) -> bool:
        """No rule is on."""
        return not self.rules() and not self.keep_tags

    def with_rules(self, **given: int | Span | tuple[frozenset[str], ...] | None) -> Policy:
        """Other rules, all of them, with this zone, floor and limit: `keep_daily=7` leaves only that rule on."""
        kept = {name: getattr(self, name) for name in ("timezone", "keep_at_least", "keep_at_most")}
        return Policy(**{**kept, **given})


_BESIDE = ("timezone", "keep_at_least", "keep_at_most", "unset")  # what a policy has beside its rules
RULES = tuple(f.name for f in fields(Policy) if f.name not in _BESIDE)
COUNTS = tuple(f"keep_{kind}" for kind in KINDS)
SPANS = tuple(name for name in RULES if name.startswith("keep_within"))


@lru_cache(maxsize=1024)
def _rules(policy: Policy) -> tuple[Rule, ...]:
    counts = [Rule(kind, getattr(policy, name)) for kind, name in zip(KINDS, COUNTS, strict=True)]
    spans = [Rule(kind, -1, getattr(policy, name)) for kind, name in zip(KINDS, SPANS, strict=True)]
    return (*(rule for rule in counts if rule.limit), *(rule for rule in spans if rule.span))


def problems(policy: Policy) -> list[str]:
    """Why this policy is refused, each line begins with the key; none where it is sound."""
    try:
        policy.zone  # noqa: B018
    except (KeyError, ValueError, OSError):
        return [f"timezone = {policy.timezone!r}: no IANA time zone, such as Europe/Vienna"]
    found = [f"{name} = {getattr(policy, name)}: expected -1 (no limit), 0 (off) or a count" for name in COUNTS
             if getattr(policy, name) < -1]  # fmt: skip
    for name in (*SPANS, "keep_at_most"):
        span = getattr(policy, name)
        if span is not None and not span:
            found.append(f"{name} = {span}: a span of nothing; leave it out")
    counted = any(getattr(policy, name) for name in COUNTS)
    for name in (*SPANS, "keep_tags"):
        if getattr(policy, name) and not counted:
            found.append(
                f"{name}: spans and tags only add to a count, and no count is set; "
                "after a long pause they alone would keep next to nothing: add one, such as keep_last = 7"
            )
            break
    if not policy.keep_at_least:
        found.append(f"keep_at_least = {policy.keep_at_least}: a span of nothing; at least 1h; 1d if left out")
    elif policy.keeps_all() and policy.keep_at_least != DAY:
        found.append(f"keep_at_least = {policy.keep_at_least}: says nothing, since no rule is set and all is kept")
    return found + _too_long(policy)


def _too_long(policy: Policy) -> list[str]:
    """What promises to keep longer than keep_at_most lets it."""
    most = policy.keep_at_most
    if not most:
        return []
    reach = {name: getattr(policy, name) for name in (*SPANS, "keep_at_least")}
    units = {"hourly": "hours", "daily": "days", "weekly": "days", "monthly": "months", "yearly": "years"}
    for rule in policy.rules():
        if rule.span is None and rule.kind in units and rule.limit > 0:
            many = rule.limit * (7 if rule.kind == "weekly" else 1)
            reach[f"keep_{rule.kind}"] = replace(Span(), **{units[rule.kind]: many})
    limit = most.before(_MARK, ZoneInfo("UTC"))
    return [
        f"keep_at_most = {most}: shorter than what {name} promises ({span})"
        for name, span in reach.items()
        if span and span.before(_MARK, ZoneInfo("UTC")) < limit
    ]
