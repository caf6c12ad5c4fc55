"""Carries retention's verdicts out: tombstone, then manifest, and later the packs that nothing needs.

Deciding is pure (`plan_forget`, `plan_sweep`); acting is a few lines that may be killed anywhere and run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage import snapshot
from storage.archive import Archive
from storage.index import pack_name
from storage.retention import Fact, Policy, Verdict, decide
from storage.snapshot import ScopeKey, Snapshot, Tombstone
from storage.verify import Quality

GRACE = timedelta(days=7)  # how long the bytes of a forgotten snapshot stay


@dataclass(frozen=True, slots=True)
class Sweep:
    """Packs that no live snapshot needs and no tombstone within its grace protects."""

    packs: tuple[str, ...]
    bytes_freed: int


def fact(found: Snapshot) -> Fact:
    """What retention needs to know of a snapshot."""
    draft = found.manifest.draft
    return Fact(found.id, found.manifest.number, draft.taken_at, draft.quality is Quality.VERIFIED)


def plan_forget(snapshots: Iterable[Snapshot], policy: Policy) -> list[Verdict]:
    """Verdicts for the snapshots of one scope."""
    return decide([fact(found) for found in snapshots], policy)


def forget(archive: Archive, key: ScopeKey, verdicts: Sequence[Verdict], *, now: datetime) -> list[Tombstone]:
    """Forget what the verdicts say: a tombstone first, so that it never looks like loss; then the manifest.

    The bytes stay until `sweep`. Retry: yes; killed in between, a snapshot has both, and counts as live.
    """
    live = {found.id: found for found in archive.snapshots(key)}
    made = []
    for verdict in verdicts:
        found = live.get(verdict.fact.id)
        if verdict.keep or found is None:
            continue
        tomb = Tombstone(found.id, now, "; ".join(verdict.reasons), found.manifest)
        archive.backend.put_new(
            snapshot.tombstone_name(key, found.manifest.number), [snapshot.encode_tombstone(tomb)]
        )
        archive.backend.delete(found.name)
        made.append(tomb)
    return made


def plan_sweep(
    present: Iterable[tuple[str, int]], live: Iterable[Snapshot], tombs: Iterable[Tombstone], *, now: datetime
) -> Sweep:
    """Which of the packs `present` (digest, bytes) can go: those only tombstones older than GRACE name.

    A pack that nothing names stays: it may belong to a backup that is being written at this moment.
    """
    needed = {pack for found in live for pack in found.manifest.packs}
    dead: set[str] = set()
    for tomb in tombs:
        if now - tomb.forgotten_at >= GRACE:
            dead.update(tomb.manifest.packs)
        else:
            needed.update(tomb.manifest.packs)
    chosen = [(pack, size) for pack, size in present if pack in dead and pack not in needed]
    return Sweep(tuple(pack for pack, _ in chosen), sum(size for _, size in chosen))


def sweep(archive: Archive, *, now: datetime) -> Sweep:
    """Free the packs that `plan_sweep` names. Retry: yes. Raises where any manifest cannot be read: then nothing
    is freed, because what it needs is not known."""
    present = []
    for name in archive.backend.list("packs/"):
        present.append((name.rpartition("/")[2].removesuffix(".pack"), archive.backend.size(name) or 0))
    plan = plan_sweep(present, archive.snapshots(), archive.tombstones(), now=now)
    for pack in plan.packs:
        archive.backend.delete(pack_name(pack))
    return plan
