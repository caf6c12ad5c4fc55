"""Frees the packs that nothing needs any more.

Deciding is pure (`plan_sweep`); acting is a few lines that may be killed anywhere and run again. A pack that
nothing names belongs to a backup that runs now, or to one that died. Nobody can tell which, so its first sighting
is written down, and it goes when it is still unnamed a grace period later.

What is dated after now was written by a clock that was ahead. It counts from now on, not from then: else its space
were not freed for years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from storage import decisions, lease, replaced, snapshot
from storage.archive import Archive
from storage.errors import ObjectCorrupt, ObjectMissing, StorageError
from storage.index import Index, pack_digest, pack_name
from storage.lease import Lease
from storage.losses import needed
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import ScopeKey, Snapshot
from storage.tombstone import Tombstone
from storage.unnamed import read_sighting, sighting, unnamed_digest, unnamed_name

GRACE = timedelta(days=7)  # how long the bytes of a forgotten snapshot stay


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep frees, and what it notes."""

    packs: tuple[str, ...]  # digests that no live snapshot needs and nothing within its grace protects
    bytes_freed: int
    sighted: tuple[str, ...]  # unnamed packs, and ids of tombstones dated later, seen for the first time
    settled: tuple[str, ...]  # those whose note has become pointless: they are named now, or gone
    worn: tuple[str, ...] = ()  # those of `packs` that were retired, and that nothing turned out to need
    unfinished: bool = False  # the time was up: more packs could go
    unreplaced: tuple[str, ...] = ()  # replaced packs that are gone, and nobody asks for them any more


def plan_sweep(
    present: Iterable[tuple[str, int]],
    live: Iterable[Snapshot],
    tombs: Iterable[Tombstone],
    sightings: Mapping[str, datetime],
    *,
    now: datetime,
    notes: Mapping[str, Replaced] | None = None,
    held: Set[str] = frozenset(),
    still_needed: Callable[[Set[str]], Set[str]] = lambda worn: worn,
) -> Sweep:
    """Which of the packs `present` (digest, bytes) can go.

    Those that only tombstones older than GRACE name, and those that nothing names and nothing named a GRACE ago,
    when they were sighted first. Who names a pack that was replaced (`notes`) names what replaced it, too. A
    retired pack goes RETIRED after its note, though it is named, unless `still_needed` gives it back. What is
    dated after `now` counts from its first sighting.
    """
    notes = notes or {}
    tombs = list(tombs)
    met = {met for met, at in sightings.items() if at <= now}
    ahead = {tomb.id for tomb in tombs if tomb.manifest and tomb.forgotten_at > now}
    tombs = dated(tombs, sightings, now=now)
    stay = [*live, *protected(tombs, held, now=now)]
    named = {pack for found in stay for pack in found.manifest.packs}
    buried = {pack for tomb in tombs for pack in tomb.packs}  # what is named, too, is left out below
    needed, dead = replaced.followed(notes, named), replaced.followed(notes, buried)
    sizes = dict(present)
    worn = (needed - replaced.to_protect(notes, named, now=now)) & sizes.keys()
    worn -= still_needed(worn) if worn else set()
    unnamed = sizes.keys() - dead - needed
    old = {pack for pack in unnamed & met if now - sightings[pack] >= GRACE}
    chosen = sorted((dead & sizes.keys()) - needed | old | worn)
    return Sweep(
        packs=tuple(chosen),
        bytes_freed=sum(sizes[pack] for pack in chosen),
        sighted=tuple(sorted((unnamed | ahead) - met)),
        worn=tuple(sorted(worn)),
        settled=tuple(sorted(sightings.keys() - (unnamed - old) - ahead)),
        unreplaced=tuple(sorted(notes.keys() - needed - (sizes.keys() - set(chosen)))),
    )


def sweep(archive: Archive, *, now: datetime) -> Sweep:
    """Free the packs that `plan_sweep` names. Takes the lease. Retry: yes.

    Raises Busy; and where any manifest, tombstone or note about a replaced pack cannot be read, or a number is
    missing from a chain: then nothing is freed, because what it needs is not known.
    """
    with lease.held(archive.backend, lambda: now) as mine:
        return sweep_held(archive, mine, now=now)


def sweep_held(
    archive: Archive, mine: Lease, *, now: datetime, time_is_up: Callable[[], bool] = lambda: False
) -> Sweep:
    """As `sweep`, with the lease in hand. When the time is up, what is not deleted yet stays for the next one."""
    finish_forgetting(archive, mine)
    backend = archive.backend
    present = packs_present(archive)
    known = set(backend.list("snapshots/"))
    seen = sightings(archive)
    plan = look(archive, present, seen, now=now)
    gone: list[str] = []
    for again in retired_ahead(archive.replacements(), now=now):
        backend.put_new(replaced.note_name(again.pack, again.number), [replaced.encode(again)])
    for pack in plan.sighted:
        if pack in seen:  # by a clock that was ahead
            backend.delete(unnamed_name(pack))
        backend.put_new(unnamed_name(pack), [sighting(pack, now)])
    for pack in plan.packs:
        # What was committed since the look may name this pack: then the next sweep decides anew.
        if time_is_up() or not known.issuperset(backend.list("snapshots/")):
            freed = sum(present[pack] for pack in gone)
            return replace(plan, packs=tuple(gone), bytes_freed=freed, settled=(), unreplaced=(), unfinished=True)
        mine.renew()
        backend.delete(pack_name(pack))
        gone.append(pack)
    for pack in plan.settled:
        backend.delete(unnamed_name(pack))
    for name in list(backend.list(replaced.FOLDER)) if plan.unreplaced else ():
        note = replaced.parse_name(name)
        if note and note[0] in plan.unreplaced:
            backend.delete(name)
    return plan


def look(archive: Archive, present: Mapping[str, int], seen: Mapping[str, datetime], *, now: datetime) -> Sweep:
    """What a sweep would do; `seen`: `sightings`. Changes nothing. Raises as `sweep`."""
    refuse_gaps(archive)
    live, tombs, notes = archive.snapshots(), buried(archive), archive.replacements()
    held = decisions.held(archive.decisions(damaged=[]), now).keys()
    asked = partial(_still_needed, archive, [*live, *protected(dated(tombs, seen, now=now), held, now=now)], notes)
    return plan_sweep(present.items(), live, tombs, seen, now=now, notes=notes, held=held, still_needed=asked)


def packs_present(archive: Archive) -> dict[str, int]:
    """The packs that are there, by digest, and their bytes."""
    digests = [digest for digest in map(pack_digest, archive.backend.list("packs/")) if digest]
    return {digest: archive.backend.size(pack_name(digest)) or 0 for digest in digests}


def later(archive: Archive, present: Mapping[str, int]) -> int:
    """Bytes of packs that no live snapshot needs: they go when their time is over. Damaged ones are evidence."""
    notes = archive.replacements(damaged=[])
    packs = {pack for found in archive.snapshots(damaged=[]) for pack in found.manifest.packs}
    stay = {pack for pack in replaced.followed(notes, packs) if pack not in notes or notes[pack].old == "damaged"}
    return sum(size for pack, size in present.items() if pack not in stay)


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


def dated(tombs: Iterable[Tombstone], seen: Mapping[str, datetime], *, now: datetime) -> list[Tombstone]:
    """These tombstones; those dated after `now` as of when a sweep first met them, or else as of now."""
    return [
        replace(tomb, forgotten_at=min(seen.get(tomb.id, now), now)) if tomb.forgotten_at > now else tomb
        for tomb in tombs
    ]


def retired_ahead(notes: Mapping[str, Replaced], *, now: datetime) -> list[Replaced]:
    """The notes to be put in the place of those that say of a pack that it is retired from after `now` on."""
    ahead = [note for note in notes.values() if note.old == "retired" and note.made_at > now]
    return [replace(note, number=note.number + 1, made_at=now) for note in ahead]


def protected(tombs: Iterable[Tombstone], held: Set[str], *, now: datetime) -> list[Snapshot]:
    """Forgotten snapshots whose bytes stay: within their grace, or held since."""
    return [
        Snapshot(tomb.id, tomb.manifest)
        for tomb in tombs
        if tomb.manifest and (now - tomb.forgotten_at < GRACE or tomb.id in held)
    ]


def buried(archive: Archive, key: ScopeKey | None = None) -> list[Tombstone]:
    """The tombstones that may hold a manifest. Those of erased ones are not read: their names say all that they
    could. Raises where one cannot be read."""
    links = archive.links(key)
    erased = {(link.key, link.number) for link in links if link.erased}
    return list(archive.forgotten(link for link in links if (link.key, link.number) not in erased))


def kept(archive: Archive, *, now: datetime) -> list[Snapshot]:
    """Every snapshot whose bytes must stay: live ones and those. Raises where one cannot be read."""
    held = decisions.held(archive.decisions(damaged=[]), now).keys()
    tombs = dated(buried(archive), sightings(archive, delete=False), now=now)
    return [*archive.snapshots(), *protected(tombs, held, now=now)]


def refuse_gaps(archive: Archive) -> None:
    """Raises ObjectMissing where a number is missing from a chain: what it needs is not known."""
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


def sightings(archive: Archive, *, delete: bool = True) -> dict[str, datetime]:
    """Packs and when they were first seen unnamed; ids of tombstones dated later, and when these were first seen.

    A note that cannot be read goes: it is written again.
    """
    found = {}
    for name in list(archive.backend.list("unnamed/")):
        pack = unnamed_digest(name)
        if pack is None:
            continue
        try:
            found[pack] = read_sighting(archive.backend.get(name), name)
        except ObjectMissing:
            continue  # settled since the names were listed
        except (ValueError, ObjectCorrupt):
            if delete:
                archive.backend.delete(name)
    return found


def finish_forgetting(archive: Archive, mine: Lease, key: ScopeKey | None = None) -> None:
    """Delete manifests beside whole tombstones, which a forgetting that was killed left.

    Never without the lease: whoever brings a snapshot back has manifest and tombstone side by side for a moment.
    """
    for link in archive.half_forgotten(key):
        mine.renew()
        archive.backend.delete(link.name)
