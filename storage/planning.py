"""What retention would do to the scopes of an archive, and why: read, judged, decided; nothing is changed.

What is done about a plan is `prune.forget`, and `erase.erase` for what must go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from storage import decisions, forecast, replaced, retention
from storage.archive import Archive, Damaged
from storage.dates import misdated
from storage.decisions import Decision
from storage.index import pack_digest
from storage.policy import Policy
from storage.retention import Candidate, Verdict, decide
from storage.seen import seen
from storage.snapshot import ScopeKey, Snapshot
from storage.standing import Standing, standings

BACKWARDS = timedelta(minutes=10)  # clocks of hosts differ; more than that is a wrong clock
QUIET = timedelta(
    days=31
)  # without any backup so long, a clock may as well have jumped: nothing is erased for its age

Nights = Callable[[], Iterator[datetime]]


@dataclass(frozen=True, slots=True)
class Head:
    """When the newest snapshot of a scope was committed, and whether the system's clock agreed with that."""

    at: datetime
    agreed: bool = True  # or the system tells no time


Heads = Mapping[ScopeKey, Head]


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """The verdicts on one scope, and what they follow from. Of all mappings the key is a snapshot's id."""

    key: ScopeKey
    policy: Policy
    snapshots: Mapping[str, Snapshot]
    standings: Mapping[str, Standing]
    verdicts: tuple[Verdict, ...]  # newest first
    goes_on: Mapping[str, datetime | None]  # of kept ones: the coming night on which each goes; empty: not asked
    refused: str  # why nothing may be forgotten here; "" where it may
    decisions: tuple[Decision, ...] = field(default=(), repr=False)  # that this follows from

    @property
    def forgets(self) -> list[Verdict]:
        """What goes by its rules. Nothing where the plan is refused."""
        return [] if self.refused else [v for v in self.verdicts if not v.keep and not v.must_go]

    @property
    def erases(self) -> list[Verdict]:
        """What must go, by keep_at_most. Nothing where the plan is refused."""
        return [] if self.refused else [v for v in self.verdicts if v.must_go]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of several scopes."""

    scopes: tuple[ScopePlan, ...]

    @property
    def total(self) -> int:
        """Snapshots that there are."""
        return sum(len(scope.verdicts) for scope in self.scopes)

    @property
    def forgetting(self) -> int:
        """Snapshots that would go: this is the number to confirm."""
        return sum(len(scope.forgets) + len(scope.erases) for scope in self.scopes)

    @property
    def refused(self) -> list[str]:
        """Why nothing is forgotten in some scopes; each line names its scope."""
        return [f"{scope.key}: {scope.refused}" for scope in self.scopes if scope.refused]

    def fuse(self, confirmed: int | None = None) -> str:
        """Why so many may not go at once, in a scope or over all; "" where they may.

        `confirmed`: the number that a person gave. It is that of the whole plan.
        """
        if confirmed == self.forgetting:
            return ""
        blown = [
            f"{scope.key}: {said}"
            for scope in self.scopes
            if (said := retention.fuse(len(scope.verdicts), len(scope.forgets) + len(scope.erases)))
        ]
        # One of each scope is what a night lets go: for many scopes that is no alarm.
        letting_go = sum(1 for scope in self.scopes if scope.forgets or scope.erases)
        usual = self.forgetting <= letting_go and not blown
        whole = "" if usual else retention.fuse(self.total, self.forgetting, confirmed)
        if blown and len(self.scopes) > 1 and not whole:
            whole = f"the number to confirm is {self.forgetting}, that of all scopes"
        return "; ".join([*(blown if len(self.scopes) > 1 else []), whole] if whole else blown)


def plan(
    archive: Archive,
    keys: Iterable[ScopeKey],
    policy_of: Callable[[ScopeKey], Policy],
    nights_of: Callable[[ScopeKey], Nights | None],
    *,
    now: datetime,
) -> Plan:
    """What would go of these scopes. Changes nothing. Raises BackendFailed. Memory: the manifests."""
    heads = last_commits(archive)
    return Plan(tuple(_plan(archive, key, policy_of(key), nights_of(key), now, heads) for key in keys))


def plan_scope(
    archive: Archive, key: ScopeKey, policy: Policy, nights: Nights | None = None, *, now: datetime
) -> ScopePlan:
    """What would go of one scope. `nights`: gives the coming ones, in order; None: what goes on is not asked.

    Changes nothing. Raises BackendFailed.
    """
    return _plan(archive, key, policy, nights, now, last_commits(archive))


def last_commits(archive: Archive) -> Heads:
    """The newest snapshot of each scope; damaged ones are passed over."""
    heads = filter(None, (archive.newest(key, damaged=[]) for key in archive.scopes()))
    return {head.key: Head(head.manifest.committed_at, misdated(seen(head)) is None) for head in heads}


def candidates(
    snapshots: Iterable[Snapshot], found: Mapping[str, Standing], made: Iterable[Decision], *, now: datetime
) -> list[Candidate]:
    """What the rule needs to know of the snapshots of a scope."""
    held = decisions.held(made, now)
    return [
        Candidate(
            one.id,
            one.number,
            one.manifest.draft.taken_at,
            found[one.id].counts,
            found[one.id].why_not,
            held.get(one.id, ""),
            frozenset(one.manifest.draft.tags),
            dated=found[one.id].dated,
        )
        for one in snapshots
    ]


def _plan(
    archive: Archive,
    key: ScopeKey,
    policy: Policy,
    nights: Nights | None,
    now: datetime,
    heads: Heads,
) -> ScopePlan:
    made = archive.decisions(key, damaged=[])  # one that cannot be read is a hold
    damaged: list[Damaged] = []
    live = archive.snapshots(key, damaged=damaged)
    hurt = _hurt(archive, live)
    found = {
        one.id: replace(one, counts=False, why_not=hurt[one.id]) if one.id in hurt else one
        for one in standings(map(seen, live), made, now=now)
    }
    verdicts = decide(candidates(live, found, made, now=now), policy, now=now)
    refused = _damage(archive, key, damaged) or wrong_clock(key, policy, verdicts, now, heads)
    ahead = forecast.goes_on(verdicts, policy, nights(), now=now) if nights else {}
    by_id = {one.id: one for one in live}
    return ScopePlan(key, policy, by_id, found, tuple(verdicts), ahead, refused, tuple(made))


def _hurt(archive: Archive, live: Iterable[Snapshot]) -> dict[str, str]:
    """The snapshots known to have lost something, by id, each with why: none may displace a whole one.

    By what repairs noted, and by packs that are missing; what else may be wrong with bytes is for a scrub to say.
    """
    hits, notes = archive.hits(), archive.replacements(damaged=[])
    there = set(map(pack_digest, archive.backend.list("packs/")))
    hurt: dict[str, str] = {}
    for one in live:
        missing = [pack for pack in replaced.current(notes, one.manifest.packs) if pack not in there]
        if missing:
            hurt[one.id] = f"damaged: pack {missing[0][:12]} is missing"
        elif one.id in hits:
            hurt[one.id] = "damaged: some of it is lost"
    return hurt


def _damage(archive: Archive, key: ScopeKey, damaged: list[Damaged]) -> str:
    if damaged:
        return f"{damaged[0].problem}; nothing is forgotten until it is mended or given up"
    numbers = {link.number for link in archive.links(key)}
    missing = set(range(1, max(numbers, default=0))) - numbers
    if missing:
        return f"number {min(missing)} of the chain is missing; nothing is forgotten until it is back or given up"
    return ""


def wrong_clock(key: ScopeKey, policy: Policy, verdicts: Sequence[Verdict], now: datetime, heads: Heads) -> str:
    """Why `now` cannot be trusted for this scope; "" where it can. One scope ahead of all the others stops itself.

    What must go for its age needs more: a backup within QUIET, with whose date the system's clock agreed. A clock
    that jumped ahead would else find everything too old, the night of the jump included.
    """
    ahead = {other: head.at for other, head in heads.items() if now < head.at - BACKWARDS}
    if key in ahead or len(ahead) > 1:
        last = max(ahead, key=lambda other: ahead[other])
        return (
            f"time runs backwards: it is {now:%Y-%m-%d %H:%M} UTC by this clock, and {last} was backed up at "
            f"{ahead[last]:%Y-%m-%d %H:%M} UTC; nothing is forgotten until the clock is right, or, where "
            "that date is wrong, until it was backed up again"
        )
    if not any(verdict.must_go for verdict in verdicts):
        return ""
    waits = f"what is older than keep_at_most {policy.keep_at_most} waits for a backup, or for `strongroom erase`"
    newest = max((head.at for head in heads.values() if head.agreed), default=None)
    if newest is None:
        return f"no system's clock agrees with the date of its newest backup: {waits}"
    if now - newest > QUIET:
        return f"the newest backup is of {newest:%Y-%m-%d}, {(now - newest).days} days ago by this clock: {waits}"
    return ""
