"""Carries retention's verdicts out: tombstone, then manifest, and later the packs that nothing needs.

Deciding is pure (`planning.py`, `plan_sweep`); acting is a few lines that may be killed anywhere and run again.
A pack that nothing names belongs to a backup that runs now, or to one that died. Nobody can tell which, so its
first sighting is written down, and it goes when it is still unnamed a grace period later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from storage import decisions, lease, replaced, snapshot, tombstone
from storage.archive import MIN_PREFIX, Archive
from storage.decisions import Decision
from storage.errors import ObjectCorrupt, ObjectMissing, SnapshotUnknown, StorageError
from storage.index import Index, pack_digest, pack_name
from storage.lease import Lease
from storage.losses import needed
from storage.planning import ScopePlan
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import ScopeKey, Snapshot
from storage.tombstone import Tombstone
from storage.unnamed import read_sighting, sighting, unnamed_digest, unnamed_name

GRACE = timedelta(days=7)  # how long the bytes of a forgotten snapshot stay
_AGAIN = "plan again, and look at what is different"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep frees, and what it notes."""

    packs: tuple[str, ...]  # digests that no live snapshot needs and nothing within its grace protects
    bytes_freed: int
    sighted: tuple[str, ...]  # unnamed packs seen for the first time
    settled: tuple[str, ...]  # packs whose note has become pointless: they are named now, or gone
    worn: tuple[str, ...] = ()  # those of `packs` that were retired, and that nothing turned out to need
    unreplaced: tuple[str, ...] = ()  # replaced packs that are gone, and nobody asks for them any more


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
        raise StorageError(f"{key}: {scope_plan.refused}", hint="`strongroom scrub` tells all that is damaged")
    if not scope_plan.forgets and not archive.half_forgotten(key):
        return []
    with lease.held(archive.backend, clock or (lambda: now)) as mine:
        _finish_forgetting(archive, mine, key)
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
        raise ObjectMissing(
            f"snapshot {found.id[:8]}: {lacking} of its objects were freed; it cannot be brought back whole",
            hint="a copy of the archive may have it: `strongroom undelete --archive COPY`",
        )


def _finish_forgetting(archive: Archive, mine: Lease, key: ScopeKey | None = None) -> None:
    # Never without the lease: whoever brings a snapshot back has manifest and tombstone side by side.
    for link in archive.half_forgotten(key):
        mine.renew()
        archive.backend.delete(link.name)


def plan_sweep(
    present: Iterable[tuple[str, int]],
    live: Iterable[Snapshot],
    tombs: Iterable[Tombstone],
    sightings: Mapping[str, datetime],
    *,
    now: datetime,
    notes: Mapping[str, Replaced] | None = None,
    still_needed: Callable[[Set[str]], Set[str]] = lambda worn: worn,
) -> Sweep:
    """Which of the packs `present` (digest, bytes) can go.

    Those that only tombstones older than GRACE name, and those that nothing names and nothing named a GRACE ago,
    when they were sighted first. Who names a pack that was replaced (`notes`) names what replaced it, too. A
    retired pack goes RETIRED after its note, though it is named, unless `still_needed` gives it back.
    """
    notes = notes or {}
    named = {pack for found in live for pack in found.manifest.packs}
    buried: set[str] = set()
    for tomb in tombs:
        (named if _in_grace(tomb, now) else buried).update(tomb.packs)
    needed, dead = replaced.followed(notes, named), replaced.followed(notes, buried)
    sizes = dict(present)
    worn = (needed - replaced.to_protect(notes, named, now=now)) & sizes.keys()
    worn -= still_needed(worn) if worn else set()
    unnamed = sizes.keys() - dead - needed
    old = {pack for pack in unnamed if pack in sightings and now - sightings[pack] >= GRACE}
    chosen = sorted((dead & sizes.keys()) - needed | old | worn)
    return Sweep(
        packs=tuple(chosen),
        bytes_freed=sum(sizes[pack] for pack in chosen),
        sighted=tuple(sorted(unnamed - sightings.keys())),
        worn=tuple(sorted(worn)),
        settled=tuple(sorted(sightings.keys() - (unnamed - old))),
        unreplaced=tuple(sorted(notes.keys() - needed - (sizes.keys() - set(chosen)))),
    )


def sweep(archive: Archive, *, now: datetime) -> Sweep:
    """Free the packs that `plan_sweep` names. Takes the lease. Retry: yes.

    Raises Busy; and where any manifest, tombstone or note about a replaced pack cannot be read, or a number is
    missing from a chain: then nothing is freed, because what it needs is not known.
    """
    with lease.held(archive.backend, lambda: now) as mine:
        return _sweep(archive, mine, now)


def _sweep(archive: Archive, mine: Lease, now: datetime) -> Sweep:
    _finish_forgetting(archive, mine)
    _refuse_gaps(archive)
    backend = archive.backend
    digests = [digest for digest in map(pack_digest, backend.list("packs/")) if digest]
    present = [(digest, backend.size(pack_name(digest)) or 0) for digest in digests]
    live, tombs, notes = archive.snapshots(), archive.tombstones(), archive.replacements()
    kept = [*live, *(Snapshot(tomb.id, tomb.manifest) for tomb in tombs if tomb.manifest and _in_grace(tomb, now))]
    asked = partial(_still_needed, archive, kept, notes)
    plan = plan_sweep(present, live, tombs, _sightings(archive), now=now, notes=notes, still_needed=asked)
    for pack in plan.sighted:
        backend.put_new(unnamed_name(pack), [sighting(pack, now)])
    for pack in plan.packs:
        mine.renew()
        backend.delete(pack_name(pack))
    for pack in plan.settled:
        backend.delete(unnamed_name(pack))
    for name in list(backend.list(replaced.FOLDER)) if plan.unreplaced else ():
        note = replaced.parse_name(name)
        if note and note[0] in plan.unreplaced:
            backend.delete(name)
    return plan


def _still_needed(
    archive: Archive, kept: Sequence[Snapshot], notes: Mapping[str, Replaced], worn: Set[str]
) -> set[str]:
    """Those of the retired packs `worn` without which, all of them gone, something kept would lack an object.

    A backup that had a pack's footer before its note was written may have reused an object of it that nothing
    needed any more. Where it cannot be told, a pack stays. Reads listings and plans of the snapshots that name it.
    """
    stay: set[str] = set()
    index = Index(archive.backend, archive.scheme)
    for found in kept:
        packs = replaced.to_read(notes, found.manifest.packs)
        mine = worn & set(packs)
        if not mine - stay:
            continue
        index.load_readable(packs)
        rest = [index.oids(pack) for pack in packs if pack not in worn]
        try:
            lacking = set(needed(Reader(index), found, strict=True))
        except StorageError:
            stay |= mine
            continue
        for held in rest:
            lacking -= held or frozenset()
        if lacking:
            stay |= {pack for pack in mine if (rows := index.oids(pack)) is None or lacking & rows}
    return stay


def _in_grace(tomb: Tombstone, now: datetime) -> bool:
    return now - tomb.forgotten_at < GRACE


def _refuse_gaps(archive: Archive) -> None:
    numbers: dict[ScopeKey, set[int]] = {}
    for link in archive.links():
        numbers.setdefault(link.key, set()).add(link.number)
    for key, there in numbers.items():
        missing = set(range(1, max(there))) - there
        if missing:
            raise ObjectMissing(
                f"{snapshot.manifest_name(key, min(missing))}: missing, so nothing is freed",
                hint="bring it back from a copy of the archive: `strongroom repair --from COPY`; if none has it, "
                "`strongroom repair --give-up` says that it is lost",
            )


def _sightings(archive: Archive) -> dict[str, datetime]:
    """Packs and when they were first seen unnamed. A note that cannot be read goes: it is written again."""
    found = {}
    for name in list(archive.backend.list("unnamed/")):
        pack = unnamed_digest(name)
        if pack is None:
            continue
        try:
            found[pack] = read_sighting(archive.backend.get(name), name)
        except ValueError:
            archive.backend.delete(name)
    return found
