"""What retention would do to the scopes of an archive, and why: read, judged, decided; nothing is changed.

What is done about a plan is `prune.forget`, and `erase.erase` for what must go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from storage import decisions, forecast, retention
from storage.archive import Archive, Damaged
from storage.clocks import Heads, Refusal, backwards, head, quiet
from storage.decisions import Decision
from storage.hurt import Known, hurt, known
from storage.policy import Policy
from storage.retention import Candidate, Verdict, decide
from storage.seen import seen
from storage.snapshot import ScopeKey, Snapshot
from storage.standing import Standing, standings

_MEND = "`strongroom scrub` names what is damaged; `strongroom repair --from COPY` mends it"

Nights = Callable[[], Iterator[datetime]]


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
    hint: str = ""  # what to try where it is refused

    @property
    def forgets(self) -> list[Verdict]:
        """What goes by its rules. Nothing where the plan is refused."""
        return [] if self.refused else [v for v in self.verdicts if not v.keep and not v.must_go]

    @property
    def erases(self) -> list[Verdict]:
        """What must go, by keep_at_most, but for the last copies. Nothing where the plan is refused."""
        return [] if self.refused else [v for v in self.verdicts if v.must_go and not v.keep]

    @property
    def waiting(self) -> list[Verdict]:
        """What must go, and is the last of the scope."""
        return [v for v in self.verdicts if v.must_go and v.keep]

    @property
    def waits(self) -> str:
        """Why something that must go stays until a person takes it; "" where nothing does."""
        if self.refused or not self.waiting:
            return ""
        many = f"{len(self.waiting)} of {len(self.verdicts)} snapshots, the last copies that there are"
        return f"older than keep_at_most {self.policy.keep_at_most}, and waiting for a person: {many}"


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

    @property
    def waits(self) -> list[str]:
        """What must go and waits for a person; each line names its scope."""
        return [f"{scope.key}: {scope.waits}" for scope in self.scopes if scope.waits]

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
    heads, damage = heads_of(archive), known(archive, now=now)
    return Plan(tuple(_plan(archive, key, policy_of(key), nights_of(key), now, heads, damage) for key in keys))


def plan_scope(
    archive: Archive, key: ScopeKey, policy: Policy, nights: Nights | None = None, *, now: datetime
) -> ScopePlan:
    """What would go of one scope. `nights`: gives the coming ones, in order; None: what goes on is not asked.

    Changes nothing. Raises BackendFailed.
    """
    return _plan(archive, key, policy, nights, now, heads_of(archive), known(archive, now=now))


def heads_of(archive: Archive) -> Heads:
    """What the snapshots of each scope tell of the time; damaged ones are passed over.

    Reads one manifest of each scope, and one more for each import and each wrong date before the newest backup.
    """
    made = decisions.judged(archive.decisions(damaged=[]))
    found = {key: head(map(seen, archive.newest_first(key, damaged=[])), made) for key in archive.scopes()}
    return {key: one for key, one in found.items() if one}


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
    damage: Known,
) -> ScopePlan:
    made = archive.decisions(key, damaged=[])  # one that cannot be read is a hold
    damaged: list[Damaged] = []
    live = archive.snapshots(key, damaged=damaged)
    whole = {one.id: one for one in standings(map(seen, live), made, now=now)}
    broken = hurt(archive, damage, live)
    found = whole | {id: replace(whole[id], counts=False, why_not=why) for id, why in broken.items()}
    as_whole = decide(candidates(live, whole, made, now=now), policy, now=now)
    decided = decide(candidates(live, found, made, now=now), policy, now=now) if broken else as_whole
    last = retention.last_copies(decided) | retention.last_copies(as_whole)
    verdicts = retention.waiting(retention.spared(decided, as_whole), last)
    refused = _damage(archive, key, damaged) or wrong_clock(key, policy, verdicts, now, heads) or Refusal("", "")
    ahead = forecast.goes_on(decided, policy, nights(), now=now) if nights else {}
    if nights and broken:
        mended = forecast.goes_on(as_whole, policy, nights(), now=now)
        ahead |= {id: night for id, night in mended.items() if id in broken}
    by_id = {one.id: one for one in live}
    return ScopePlan(key, policy, by_id, found, tuple(verdicts), ahead, refused.said, tuple(made), refused.hint)


def _damage(archive: Archive, key: ScopeKey, damaged: list[Damaged]) -> Refusal | None:
    if damaged:
        return Refusal(f"{damaged[0].problem}; nothing is forgotten until it is mended or given up", _MEND)
    numbers = {link.number for link in archive.links(key)}
    missing = set(range(1, max(numbers, default=0))) - numbers
    if missing:
        gap = f"number {min(missing)} of the chain is missing"
        return Refusal(f"{gap}; nothing is forgotten until it is back or given up", _MEND)
    return None


def wrong_clock(
    key: ScopeKey, policy: Policy, verdicts: Sequence[Verdict], now: datetime, heads: Heads
) -> Refusal | None:
    """Why `now` cannot be trusted for this scope; None where it can.

    What must go for its age needs more than what is forgotten: a backup within `clocks.QUIET`. A clock that jumped
    ahead would else find everything too old, the night of the jump included.
    """
    refused = backwards(key, now, heads)
    if refused or not any(verdict.must_go for verdict in verdicts):
        return refused
    why = quiet(now, heads)
    waits = f"what is older than keep_at_most {policy.keep_at_most} waits for a backup"
    return (
        Refusal(f"{why}: {waits}", f"`strongroom run` backs up; `strongroom erase {key}` erases now")
        if why
        else None
    )
