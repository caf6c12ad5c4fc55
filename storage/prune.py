"""Carries retention's verdicts out, takes them back, and frees what nothing needs any more.

Deciding is pure (`planning.py`); acting is a few lines that may be killed anywhere and run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage import decisions, erase, lease, secondlook, snapshot, sweeping, tombstone
from storage import rewrite as rewriting
from storage.archive import MIN_PREFIX, Archive
from storage.clocks import quiet
from storage.decisions import Decision
from storage.errors import ObjectCorrupt, ObjectMissing, SnapshotUnknown, StorageError
from storage.losses import needed
from storage.planning import ScopePlan, heads_of
from storage.rewrite import Rewrite, plan_rewrite
from storage.snapshot import Snapshot
from storage.sweeping import finish_forgetting
from storage.tombstone import Tombstone

_AGAIN = "plan again, and look at what is different"


def forget(
    archive: Archive, scope_plan: ScopePlan, *, now: datetime, clock: Callable[[], datetime] | None = None
) -> list[Tombstone]:
    """Forget what the plan says: the tombstone makes a snapshot forgotten; then its manifest is deleted.

    The bytes stay until `sweep`. What must go (`ScopePlan.erases`) is left to `erase`. Takes the lease: `clock`
    renews it where this may take long. What persons decided meanwhile is seen before each tombstone.

    Raises Busy; StorageError for a plan that is refused, or that does not fit any more because a snapshot it keeps
    is gone or was judged anew: what was forgotten until then stays forgotten. Retry: yes, with a new plan.
    """
    key = scope_plan.key
    if scope_plan.refused:
        raise StorageError(f"{key}: {scope_plan.refused}", hint=scope_plan.hint)
    if not scope_plan.forgets and not archive.half_forgotten(key):
        return []
    with lease.held(archive.backend, clock or (lambda: now)) as mine:
        finish_forgetting(archive, mine, key)
        live = {found.id: found for found in archive.snapshots(key, damaged=[])}
        gone = [v for v in scope_plan.verdicts if v.keep and v.candidate.id not in live]
        if gone:
            raise StorageError(f"{key}: snapshot {gone[0].candidate.id[:8]}, which stays, is gone", hint=_AGAIN)
        held = _Holds(archive, scope_plan, now)
        going = [found for verdict in scope_plan.forgets if (found := live.get(verdict.candidate.id))]
        reasons = {verdict.candidate.id: "; ".join(verdict.reasons) for verdict in scope_plan.forgets}
        tombs = []
        for found in going:
            if held(found.id):
                continue
            tomb = tombstone.forgotten(found, at=now, reason=reasons[found.id])
            mine.renew()
            archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
            archive.backend.delete(found.name)
            tombs.append(tomb)
        return tombs


class _Holds:
    """What persons decided, as it is at each question; the files are read again only where there are others."""

    def __init__(self, archive: Archive, scope_plan: ScopePlan, now: datetime) -> None:
        self._archive = archive
        self._key = scope_plan.key
        self._judged = decisions.judged(scope_plan.decisions)
        self._now = now
        self._names: list[str] | None = None
        self._held: dict[str, str] = {}

    def __call__(self, id: str) -> bool:
        names = list(self._archive.backend.list(decisions.folder(self._key)))
        if names != self._names:
            made = self._archive.decisions(self._key, damaged=[])
            if decisions.judged(made) != self._judged:
                raise StorageError(f"{self._key}: a snapshot was accepted or rejected just now", hint=_AGAIN)
            self._names, self._held = names, decisions.held(made, self._now)
        return id in self._held


def undelete(archive: Archive, ref: str, *, by: str, reason: str, clock: Callable[[], datetime]) -> Snapshot:
    """Bring a forgotten snapshot back, `ref` being its id or a beginning of it, and hold it.

    Every object that it needs is there, or nothing is done. The hold comes first, so that the next night does not
    forget it again; then the manifest; deleting the tombstone is the commit. One that is live already is given
    back as it is. Raises Busy, SnapshotUnknown, ObjectMissing (some of it was freed), ObjectCorrupt. Retry: yes.
    """
    with lease.held(archive.backend, clock) as mine:
        tomb = _to_undelete(archive, ref)
        if isinstance(tomb, Snapshot):
            return tomb
        assert tomb.manifest is not None  # noqa: S101 - `_to_undelete` chose it so
        found = Snapshot(tomb.id, tomb.manifest)
        _all_there(archive, found)
        made = archive.decisions(found.key, damaged=[])
        if not any((one.kind, one.snapshot, one.by, one.reason) == ("hold", found.id, by, reason) for one in made):
            archive.decide(Decision("hold", found.key, found.number, found.id, clock(), by, reason))
        data = snapshot.encode(found.manifest)
        mine.renew()
        if not archive.backend.put_new(found.name, [data]) and archive.backend.get(found.name) != data:
            raise ObjectCorrupt(f"{found.name}: beside its tombstone lies something else")
        archive.backend.delete(tomb.name)
        return found


def _to_undelete(archive: Archive, ref: str) -> Tombstone | Snapshot:
    begins = ref.lower() if len(ref) >= MIN_PREFIX else "none"
    tombs = [tomb for tomb in archive.tombstones(damaged=[]) if tomb.id.startswith(begins)]
    if not tombs:
        return archive.find(ref)
    if len(tombs) > 1:
        raise SnapshotUnknown(f"{ref}: {len(tombs)} forgotten snapshots have an id that begins so")
    if tombs[0].manifest is None:
        raise SnapshotUnknown(f"{ref}: it was {tombs[0].why}, nothing of it is kept: {tombs[0].reason}")
    return tombs[0]


def _all_there(archive: Archive, found: Snapshot) -> None:
    """Raises ObjectMissing, ObjectCorrupt where an object of the snapshot is not there."""
    reader = archive.reader(found)
    lacking = sum(1 for oid in set(needed(reader, found, strict=True)) if not reader.has(oid))
    if lacking:
        archive.replacements()  # raises: one that cannot be read may lead to them
        raise ObjectMissing(
            f"snapshot {found.id[:8]}: {lacking} of its objects were freed; it cannot be brought back whole",
            hint="a copy of the archive may have it: `strongroom undelete --archive COPY`",
        )


@dataclass(frozen=True, slots=True)
class FreePlan:
    """What freeing space would win now, and what later."""

    now_packs: tuple[str, ...]  # digests
    now_bytes: int
    later_bytes: int  # of packs that no live snapshot needs, and whose time is not over
    rewrites: list[Rewrite]  # their dead bytes go a grace time after they were rewritten


@dataclass(frozen=True, slots=True)
class Freed:
    """What freeing space did."""

    packs: tuple[str, ...]  # deleted, digests
    bytes_freed: int
    rewritten: tuple[str, ...]  # digests of packs whose needed objects are elsewhere now
    later_bytes: int  # of packs that no live snapshot needs any more: they go when their time is over
    unfinished: bool  # the time was up: run again
    waits: str = ""  # why nothing was freed but what erasing left, though there is something to free


def plan_free(archive: Archive, *, now: datetime) -> FreePlan:
    """What `free` would do. Changes nothing. Raises as `free`, but for Busy."""
    present = sweeping.packs_present(archive)
    plan = sweeping.look(archive, present, sweeping.sightings(archive, delete=False), now=now)
    left = {pack: size for pack, size in present.items() if pack not in plan.packs}
    return FreePlan(plan.packs, plan.bytes_freed, sweeping.later(archive, left), plan_rewrite(archive, now=now))


def free(
    archive: Archive,
    *,
    clock: Callable[[], datetime],
    max_duration: timedelta | None = None,
    rewrite: bool = True,
    sure: bool = False,
) -> Freed:
    """Free the packs that nothing needs, and rewrite those of which little is; goes on with what erasing left.

    The seven days are reckoned by a clock that a backup of the last month vouches for (`clocks.quiet`), or a
    person, who is `sure`: else only erasing goes on, and `waits` says why.
    `max_duration`: begin nothing new after that. Raises Busy; and where a manifest, tombstone or note cannot be
    read, or a number is missing: then nothing is freed. Retry: yes.
    """
    begun = clock()

    def time_is_up() -> bool:
        return max_duration is not None and clock() - begun >= max_duration

    with lease.held(archive.backend, clock) as mine:
        erased = erase.finish(archive, mine, clock=clock)
        if not sure and (doubt := quiet(clock(), heads_of(archive))):
            later = sweeping.later(archive, sweeping.packs_present(archive))
            return Freed((*sorted(erased),), sum(erased.values()), (), later, False, doubt if later else "")
        secondlook.withdraw_late(archive, archive.snapshots(), now=clock())
        swept = sweeping.sweep_held(archive, mine, now=clock(), time_is_up=time_is_up)
        plan = plan_rewrite(archive, now=clock()) if rewrite and not time_is_up() else []
        done = rewriting.rewrite(archive, plan, mine, clock=clock, time_is_up=time_is_up)
        return Freed(
            (*sorted(erased), *swept.packs),
            sum(erased.values()) + swept.bytes_freed,
            tuple(one.pack for one in done),
            sweeping.later(archive, sweeping.packs_present(archive)),
            swept.unfinished or (rewrite and time_is_up()),
        )
