"""Which snapshots to keep and which to forget, each with its reason.

Pure: a policy and the facts of snapshots in, verdicts out. No clock, no files. What is done about a verdict is
`prune.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from zoneinfo import ZoneInfo

FLOOR_VERIFIED = 2  # the newest verified snapshots stay, whatever the policy says

Bucket = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """How many to keep, in restic's words. 0: the rule is off; -1: no limit. All off: everything is kept.

    Rules are joined by OR: a snapshot stays if any rule keeps it, and one snapshot may serve several rules.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    timezone: str = "UTC"  # IANA name; days, weeks, months and years are cut in this zone

    def rules(self) -> list[tuple[str, int]]:
        """The rules that are on, by name without `keep_`."""
        counts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "timezone"}
        return [(name.removeprefix("keep_"), count) for name, count in counts.items() if count]


@dataclass(frozen=True, slots=True)
class Fact:
    """What the rule needs to know of one snapshot of one scope."""

    id: str
    number: int
    taken_at: datetime  # aware
    counts: bool  # verified and not quarantined: only these serve rules or displace others


@dataclass(frozen=True, slots=True)
class Verdict:
    """keep or forget, and why."""

    fact: Fact
    keep: bool
    reasons: tuple[str, ...]


# Source of the buckets: restic's documented meaning of --keep-*; ISO 8601 for weeks. Tuples of numbers, so that a
# week can never be taken for a month of the same number (peers have lost snapshots to that).
_BUCKETS: dict[str, Callable[[datetime, int], Bucket]] = {
    "last": lambda _, n: (n,),
    "hourly": lambda t, _: (t.year, t.month, t.day, t.hour, t.fold),
    "daily": lambda t, _: (t.year, t.month, t.day),
    "weekly": lambda t, _: tuple(t.isocalendar()[:2]),
    "monthly": lambda t, _: (t.year, t.month),
    "yearly": lambda t, _: (t.year,),
}


def decide(facts: Sequence[Fact], policy: Policy) -> list[Verdict]:
    """A verdict for every snapshot of one scope, newest first. Order of `facts` does not matter.

    Scanned from the newest; each rule keeps the newest snapshot of each bucket until its count is used up, and
    with slots left over the oldest one (restic's rule). Snapshots that do not count are kept until two verified
    ones are newer than they are. The newest FLOOR_VERIFIED that count always stay, and so does the newest of all:
    by the time they were taken, and by their number in the chain, so that a date from a wrong clock, far ahead,
    cannot push the last real copies out.
    """
    ordered = sorted(facts, key=lambda fact: (fact.taken_at, fact.number), reverse=True)
    counted = [fact for fact in ordered if fact.counts]
    reasons: dict[str, list[str]] = {fact.id: [] for fact in ordered}
    for name, count in policy.rules():
        _apply(name, count, counted, ZoneInfo(policy.timezone), reasons)
    for place, fact in enumerate(counted[:FLOOR_VERIFIED], start=1):
        reasons[fact.id].append(f"floor: verified copy {place} of the newest {FLOOR_VERIFIED}")
    by_number = sorted(counted, key=lambda fact: fact.number, reverse=True)
    for place, fact in enumerate(by_number[:FLOOR_VERIFIED], start=1):
        if fact not in counted[:FLOOR_VERIFIED]:
            reasons[fact.id].append(f"floor: verified copy {place} of the last {FLOOR_VERIFIED} that were kept")
    if ordered:
        reasons[ordered[0].id].append("floor: the newest of all")
    verdicts = []
    newer = 0  # verified copies that are newer than the one looked at
    for fact in ordered:
        why = reasons[fact.id]
        if not policy.rules():
            why.append("no rule is set: everything is kept")
        elif not fact.counts and newer < FLOOR_VERIFIED:
            why.append(f"not counted, and fewer than {FLOOR_VERIFIED} verified copies are newer")
        if why:
            verdicts.append(Verdict(fact, True, tuple(why)))
        elif fact.counts:
            verdicts.append(Verdict(fact, False, ("no rule keeps it",)))
        else:
            verdicts.append(Verdict(fact, False, (f"not counted; {newer} verified copies are newer",)))
        newer += fact.counts
    return verdicts


def _apply(name: str, count: int, counted: list[Fact], zone: ZoneInfo, reasons: dict[str, list[str]]) -> None:
    bucket_of = _BUCKETS[name]
    kept = 0
    last: Bucket | None = None
    for place, fact in enumerate(counted):
        bucket = bucket_of(fact.taken_at.astimezone(zone), place)
        oldest = place == len(counted) - 1
        if (kept < count or count < 0) and (bucket != last or oldest):
            kept += 1
            mark = "" if bucket != last else " (oldest)"
            limit = f" of {count}" if count > 0 else ", no limit"
            reasons[fact.id].append(f"{name}{mark} {kept}{limit}")
        last = bucket
