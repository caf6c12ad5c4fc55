"""Takes content out of an archive for good, though rules, floors and the grace time would keep it. Not held ones.

The order, each step of which may be the last before a kill (FORMAT.md section 11): a tombstone of its own name for
each snapshot; new packs with what others need, and notes that the old packs were erased; then the manifests are
listed once more, and what was committed meanwhile is served; the old packs are deleted; last what told of them:
evidence, manifests, older tombstones. While one of those lies below such a tombstone, `finish` goes on with it;
where none of a number's can be read, it waits for a copy or for a person, and the others go on (`halves.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from storage import decisions, evidence, lease, replaced, secondlook, snapshot, tombstone
from storage.archive import Archive
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.halves import Half, halves, still_named
from storage.index import Index, pack_digest, pack_name
from storage.lease import Lease
from storage.losses import needs
from storage.objects import Oid
from storage.reader import Reader
from storage.rewrite import Salt, Untold, moved, new_salt, put_note, wanted_of
from storage.snapshot import ScopeKey, Snapshot, manifest_name, tombstone_name
from storage.sweeping import GRACE, buried, kept, packs_present, refuse_gaps
from storage.tombstone import Tombstone

Place = tuple[ScopeKey, int]
_TOLD = "`strongroom repair --from COPY`; where no copy has it, `repair --apply` says what is lost for good"


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """What erasing would do. `stays` is to be read before it is agreed to."""

    targets: tuple[Snapshot, ...]
    key: ScopeKey | None  # all of a scope: those, too, that are committed until it is done
    names: tuple[str, ...]  # of the targets
    held: tuple[str, ...]  # why it is refused, a sentence for each that a person holds
    bytes_freed: int  # about
    stays: tuple[str, ...]  # what can still be read afterwards, in sentences


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased."""

    tombstones: tuple[Tombstone, ...]
    bytes_freed: int
    packs: tuple[str, ...]  # deleted, digests


@dataclass(frozen=True, slots=True)
class _Work:
    """A pack that holds what must go."""

    pack: str
    noted: bool  # as erased, or damaged: what others need of it is elsewhere
    moves: frozenset[Oid] = field(repr=False)  # what others need and have nowhere else yet


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is to be done, as far as can be told."""

    work: list[_Work]
    shared: set[Oid] = field(repr=False)  # what must go, but that others need
    untold: list[Untold]  # others of which it cannot be told what all they need


def plan_erase(
    archive: Archive,
    *,
    snapshots: Sequence[Snapshot | Tombstone] = (),
    key: ScopeKey | None = None,
    now: datetime,
) -> ErasePlan:
    """What it takes to erase these, or all that a scope ever held. Changes nothing.

    Forgotten ones go as their tombstones. Raises StorageError where anything cannot be read that may need what
    must go. Memory: the oids of all that must go, and the index of every pack.
    """
    targets = _of_scope(archive, key) if key else tuple(filter(None, map(_snapshot, snapshots)))
    going = {(one.key, one.number) for one in targets}
    made = decisions.held(archive.decisions(damaged=[]), now)
    held = tuple(f"{_name(one)} is held: {made[one.id]}" for one in targets if one.id in made)
    refuse_gaps(archive)
    others = [found for found in kept(archive, now=now) if (found.key, found.number) not in going]
    index = Index(archive.backend, archive.scheme)
    seen = _look(archive, index, targets, others)
    freed = sum(_share(archive, index, one) for one in seen.work)
    keys = {key, *(one.key for one in targets)}
    waiting = [half for half in halves(archive) if half.error and half.key in keys]
    stays = (*_stays(seen, others, waiting), *_unnamed(archive))
    return ErasePlan(targets, key, tuple(map(_name, targets)), held, freed, stays)


def erase(
    archive: Archive,
    plan: ErasePlan,
    *,
    reason: str,
    by: str,
    clock: Callable[[], datetime],
    salt: Salt = new_salt,
) -> Erased:
    """Carry a plan out, and whatever an earlier one left undone.

    When it returns, no pack lists an object that only the erased ones needed. Raises ValueError without a reason,
    Busy, StorageError where one is held or where it cannot be told what others need: then nothing was done, or
    `finish` has something to go on with. Retry: yes; so does the next `prune.free`.
    """
    if not reason.strip():
        raise ValueError("to erase takes a reason")
    with lease.held(archive.backend, clock) as mine:
        targets = _of_scope(archive, plan.key) if plan.key else plan.targets
        now = clock()
        held = decisions.held(archive.decisions(damaged=[]), now)
        for one in targets:
            if one.id in held:
                raise StorageError(
                    f"{_name(one)} is held: {held[one.id]}; nothing was erased",
                    hint=f"`strongroom release {one.id[:8]} --reason …`, if it may go",
                )
        refuse_gaps(archive)
        kept(archive, now=now)  # raises where one cannot be read, before anything is done
        tombs: list[Tombstone] = []
        stopped = ""
        for one in targets:
            held = decisions.held(archive.decisions(one.key, damaged=[]), now)  # somebody may just have said so
            if one.id in held:
                stopped = f"{_name(one)} was held just now: {held[one.id]}; {len(tombs)} before it were erased"
                break
            tomb = tombstone.erased(one, at=now, reason=f"{reason} ({by})")
            mine.renew()
            archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
            tombs.append(tomb)
        if plan.key and not stopped:
            _drop_evidence(archive, lambda file: file.startswith(snapshot.chain_folder(plan.key or tombs[0].key)))
        gone = finish(archive, mine, clock=clock, salt=salt)
        if stopped:
            raise StorageError(stopped, hint="`strongroom release` it if it may go, and erase again")
        return Erased(tuple(tombs), sum(gone.values()), tuple(sorted(gone)))


def finish(
    archive: Archive,
    mine: Lease,
    *,
    clock: Callable[[], datetime],
    salt: Salt = new_salt,
    given_up: Place | None = None,
) -> dict[str, int]:
    """Go on with whatever was to be erased and is not yet; the packs that were deleted, and the bytes won by each.

    Numbers of which nothing can be read are passed over; but of the one that a person has `given_up`, what the
    packs that its bytes still name hold for nobody else goes, then its files. Cheap where there is nothing. Raises
    as `erase`. Killed anywhere: run again.
    """
    left = halves(archive)
    for half in left:
        if isinstance(half.error, FormatUnknown):
            raise half.error
    todo = [half for half in left if not half.error or (half.key, half.number) == given_up]
    dead = [half.found for half in todo if half.found]
    named = still_named(archive, [link for half in todo if half.error for link in half.links])
    gone = _erased(archive, mine, dead, named, clock, salt) if dead or named else {}
    files = {link(half.key, half.number) for half in todo for link in (manifest_name, tombstone_name)}
    if files:
        _drop_evidence(archive, files.__contains__)
    for link in (link for half in todo for link in half.links):
        mine.renew()
        archive.backend.delete(link.name)
    return gone


def _erased(
    archive: Archive,
    mine: Lease,
    dead: Sequence[Snapshot],
    named: Collection[str],
    clock: Callable[[], datetime],
    salt: Salt,
) -> dict[str, int]:
    """Serve the others, and delete the packs that hold what must go."""
    index = Index(archive.backend, archive.scheme)
    gone: dict[str, int] = {}
    anew: dict[str, int] = {}  # of a pack: bytes of what others need of it, in other packs now
    while True:
        others = kept(archive, now=clock())  # once more after each note: some may be committed meanwhile
        work = _look(archive, index, dead, others, mine.renew, named).work
        if not work:
            break
        moving = [one for one in work if not one.noted]
        for one in moving:
            by = moved(archive, index, one.moves, salt)
            mine.renew()
            put_note(archive, one.pack, by, "erased", clock(), "content of it had to go")
            anew[one.pack] = anew.get(one.pack, 0) + sum(archive.backend.size(pack_name(pack)) or 0 for pack in by)
        for one in () if moving else work:
            mine.renew()
            size = archive.backend.size(pack_name(one.pack)) or 0
            gone[one.pack] = max(0, size - anew.get(one.pack, 0))
            archive.backend.delete(pack_name(one.pack))
    secondlook.withdraw_late(archive, archive.snapshots(), now=clock())
    return gone


def _look(
    archive: Archive,
    index: Index,
    dead: Sequence[Snapshot],
    others: Sequence[Snapshot],
    on_each: Callable[[], None] = lambda: None,
    named: Collection[str] = (),
) -> _Seen:
    """The packs that hold what only the dead needed, and what of theirs `others` need, too.

    `named`: packs of dead ones of which no more is known. Raises ObjectCorrupt where others may need what must go.
    """
    notes = archive.replacements()
    there = {pack for pack in map(pack_digest, archive.backend.list("packs/")) if pack}
    index.load_readable(there)
    packs = {pack for one in dead for pack in one.manifest.packs} | set(named)
    theirs = replaced.followed(notes, packs) & there
    evident = {pack for pack in theirs if pack in notes and notes[pack].old != "retired"}
    unread = {pack for pack in theirs - evident if index.oids(pack) is None}
    shared_unread = unread & replaced.followed(notes, (pack for one in others for pack in one.manifest.packs))
    if shared_unread:
        first = pack_name(min(shared_unread))
        raise ObjectCorrupt(f"{first}: damaged, so it cannot be told what others need of it")
    must, sure = _needed(index, dead)
    sure = sure and not named
    held = {pack: oids for pack in there if (oids := index.oids(pack)) and (pack in theirs or oids & must)}
    wanted, untold = wanted_of(index, others, notes, held.keys() | evident, on_each)
    for one in untold:
        for pack in sorted(one.packs & held.keys()):
            doubtful = (
                held[pack] - wanted[pack] if pack in theirs and not sure else held[pack] & must - wanted[pack]
            )
            if one.needs.problem and doubtful:
                raise ObjectCorrupt(
                    f"{_name(one.found)}: what it needs of {pack_name(pack)} cannot be told: {one.needs.problem}",
                    hint=_TOLD,
                )
    for one in untold:  # all else of its packs stays: a copy may yet bring back what led to it
        for pack in one.packs & held.keys():
            wanted[pack] |= held[pack] - must
    work = []
    for pack in sorted(held.keys() | evident | unread):
        oids, alive = held.get(pack, frozenset()), frozenset(wanted.get(pack, ()))
        note = notes.get(pack)
        if note is not None and note.old != "retired":
            elsewhere = [index.oids(by) or frozenset() for by in replaced.to_read(notes, [pack])]
            moves = alive.difference(*elsewhere) if note.old == "erased" else frozenset[Oid]()
            work.append(_Work(pack, not moves, moves))
        elif pack in unread or (oids - alive if pack in theirs and not sure else (oids & must) - alive):
            work.append(_Work(pack, False, alive))
    shared = {oid for oids in wanted.values() for oid in oids & must}
    return _Seen(work, shared, untold)


def _needed(index: Index, dead: Iterable[Snapshot]) -> tuple[set[Oid], bool]:
    """The objects that these need, from whatever pack; and whether that are all."""
    reader = Reader(index)
    told = [needs(reader, one) for one in dead]
    return {oid for one in told for oid in one.oids}, not any(one.problem for one in told)


def _snapshot(one: Snapshot | Tombstone) -> Snapshot | None:
    """None for a tombstone that holds nothing any more."""
    if isinstance(one, Snapshot):
        return one
    return Snapshot(one.id, one.manifest) if one.manifest else None


def _of_scope(archive: Archive, key: ScopeKey) -> tuple[Snapshot, ...]:
    every: list[Snapshot | Tombstone] = [*archive.snapshots(key), *buried(archive, key)]
    return tuple(sorted(filter(None, map(_snapshot, every)), key=lambda one: one.number))


def _drop_evidence(archive: Archive, is_theirs: Callable[[str], bool]) -> None:
    """Delete damaged bytes that were kept of these files; those that another file had, too, only lose a note."""
    notes: dict[str, list[tuple[str, bool]]] = {}
    for name in list(archive.backend.list(evidence.FOLDER)):
        if name.endswith(".json") and evidence.is_evidence(name):
            try:
                found = evidence.decode(archive.backend.get(name), name)
            except (ValueError, ObjectMissing, ObjectCorrupt):
                continue
            notes.setdefault(found.sha256, []).append((name, is_theirs(found.file)))
    for digest, files in notes.items():
        if all(theirs for _, theirs in files):  # the bytes first: a note without bytes leads here again
            archive.backend.delete(f"{evidence.FOLDER}{digest}.bin")
        for name, theirs in files:
            if theirs:
                archive.backend.delete(name)


def _share(archive: Archive, index: Index, one: _Work) -> int:
    """Bytes of a pack but for those that move, about."""
    size = archive.backend.size(pack_name(one.pack)) or 0
    footer = index.footer(one.pack)
    total = sum(placed.length for placed in footer.objects) if footer else 0
    moving = sum(placed.length for placed in footer.objects if placed.oid in one.moves) if footer else 0
    return size - size * moving // total if total else size


def _stays(seen: _Seen, others: Sequence[Snapshot], waiting: Sequence[Half]) -> Iterable[str]:
    if seen.shared:
        scopes = ", ".join(sorted({str(one.key) for one in others})[:5])
        yield f"{len(seen.shared)} objects of it stay, because snapshots that are kept need them, too ({scopes})"
    for one in (one for one in seen.untold if one.needs.lost):
        yield f"all that {_name(one.found)} may need stays, but for what is of this: what led to its files is lost"
    for half in waiting:
        yield f"what is left of {half.key} number {half.number}: {half.problem}"
    yield "names of files and members stay where listings of kept snapshots follow from these, step by step"
    yield "tombstones, decisions and records of runs stay: when each was made, by which run, and why it went"
    yield "copies of the archive, and files that were restored from it, are not touched"


def _unnamed(archive: Archive) -> Iterable[str]:
    """What a backup left that died, or puts that runs: nobody can tell whose it is, or what of it has to go."""
    every: list[Snapshot | Tombstone] = [*archive.snapshots(), *buried(archive)]
    found = filter(None, map(_snapshot, every))
    named = replaced.followed(archive.replacements(), (pack for one in found for pack in one.manifest.packs))
    unnamed = {pack: size for pack, size in packs_present(archive).items() if pack not in named}
    if unnamed:
        yield (
            f"{len(unnamed)} packs ({sum(unnamed.values())} bytes) that no snapshot names stay, of a backup that "
            f"runs or died: freeing deletes them {GRACE.days} days after it first meets them"
        )


def _name(one: Snapshot) -> str:
    return f"{one.key} number {one.number} ({one.id[:8]})"
