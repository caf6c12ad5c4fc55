"""Carries retention's verdicts out: tombstone, then manifest, and later the packs that nothing needs.

Deciding is pure (`plan_forget`, `plan_sweep`); acting is a few lines that may be killed anywhere and run again.
A pack that nothing names belongs to a backup that runs now, or to one that died. Nobody can tell which, so its
first sighting is written down, and it goes when it is still unnamed a grace period later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from storage import canonical, replaced, snapshot, tombstone
from storage.archive import Archive
from storage.errors import ObjectMissing, StorageError
from storage.index import Index, pack_digest, pack_name
from storage.losses import needed
from storage.policy import Policy
from storage.reader import Reader
from storage.replaced import Replaced
from storage.retention import Candidate, Verdict, decide
from storage.snapshot import ScopeKey, Snapshot
from storage.tombstone import Tombstone
from storage.verify import Quality

GRACE = timedelta(days=7)  # how long the bytes of a forgotten snapshot stay


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep frees, and what it notes."""

    packs: tuple[str, ...]  # digests that no live snapshot needs and nothing within its grace protects
    bytes_freed: int
    sighted: tuple[str, ...]  # unnamed packs seen for the first time
    settled: tuple[str, ...]  # packs whose note has become pointless: they are named now, or gone
    worn: tuple[str, ...] = ()  # those of `packs` that were retired, and that nothing turned out to need
    unreplaced: tuple[str, ...] = ()  # replaced packs that are gone, and nobody asks for them any more


def candidate(found: Snapshot) -> Candidate:
    """What retention needs to know of a snapshot."""
    draft = found.manifest.draft
    counts = draft.quality is Quality.VERIFIED
    return Candidate(found.id, found.manifest.number, draft.taken_at, counts, "" if counts else draft.quality)


def plan_forget(snapshots: Iterable[Snapshot], policy: Policy, *, now: datetime) -> list[Verdict]:
    """Verdicts for the snapshots of one scope."""
    return decide([candidate(found) for found in snapshots], policy, now=now)


def forget(archive: Archive, key: ScopeKey, verdicts: Sequence[Verdict], *, now: datetime) -> list[Tombstone]:
    """Forget what the verdicts say: the tombstone makes a snapshot forgotten; then its manifest is deleted.

    The bytes stay until `sweep`. Retry: yes; a manifest that a kill left beside its tombstone goes first.
    """
    _finish_forgetting(archive, key)
    live = {found.id: found for found in archive.snapshots(key, damaged=[])}
    made = []
    for verdict in verdicts:
        found = live.get(verdict.candidate.id)
        if verdict.keep or found is None:
            continue
        tomb = tombstone.forgotten(found, at=now, reason="; ".join(verdict.reasons))
        archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
        archive.backend.delete(found.name)
        made.append(tomb)
    return made


def _finish_forgetting(archive: Archive, key: ScopeKey | None = None) -> None:
    for link in archive.half_forgotten(key):
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
    """Free the packs that `plan_sweep` names. Retry: yes; one sweep at a time.

    Raises where any manifest, tombstone or note about a replaced pack cannot be read, or a number is missing from
    a chain: then nothing is freed, because what it needs is not known.
    """
    _finish_forgetting(archive)
    _refuse_gaps(archive)
    backend = archive.backend
    digests = [digest for digest in map(pack_digest, backend.list("packs/")) if digest]
    present = [(digest, backend.size(pack_name(digest)) or 0) for digest in digests]
    live, tombs, notes = archive.snapshots(), archive.tombstones(), archive.replacements()
    kept = [*live, *(Snapshot(tomb.id, tomb.manifest) for tomb in tombs if tomb.manifest and _in_grace(tomb, now))]
    asked = partial(_still_needed, archive, kept, notes)
    plan = plan_sweep(present, live, tombs, _sightings(archive), now=now, notes=notes, still_needed=asked)
    for pack in plan.sighted:
        backend.put_new(unnamed_name(pack), [_sighting(pack, now)])
    for pack in plan.packs:
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


def unnamed_name(pack: str) -> str:
    """Where the note about an unnamed pack lies."""
    return f"unnamed/{pack}.json"


def unnamed_digest(name: str) -> str | None:
    """The pack that the note under `name` is about; None where no note is called so."""
    return pack_digest(pack_name(name.removeprefix("unnamed/").removesuffix(".json")))


def _sighting(pack: str, now: datetime) -> bytes:
    value = {"format": 1, "kind": "unnamed", "pack": pack, "seen_at": snapshot.to_text(now)}
    return canonical.seal(value)


def read_sighting(data: bytes, name: str) -> datetime:
    """When the pack that the note `name` is about was first seen unnamed. Raises ValueError."""
    value = canonical.unseal(data)
    if value.get("kind") != "unnamed" or unnamed_name(str(value.get("pack"))) != name:
        raise ValueError("not the note that its name promises")
    return snapshot.from_text(canonical.text(value.get("seen_at")))


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
