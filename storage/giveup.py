"""The way out where a manifest or tombstone is damaged or missing for good: a person gives it up.

What such a number needs is not known, so nothing is freed while it is there (`prune.sweep`). A tombstone of kind
*lost* takes its place: what was damaged stays as evidence, and its packs go like any that nothing names. The same
for a snapshot whose listing a repair called lost, since what it may need keeps packs from being rewritten.

Of one that was to be erased nothing stays, damaged or not: its erasing ends with what can still be known of it.
The name of its tombstone alone says that this was decided, so where that one is damaged, too, it is put anew last.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage import decisions, erase, evidence, lease, replaced, snapshot, tombstone
from storage.archive import Archive
from storage.encrypted import as_it_lies
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, SnapshotUnknown, StorageError
from storage.halves import halves
from storage.snapshot import Link, ScopeKey, Snapshot
from storage.tombstone import Tombstone

State = Literal["whole", "damaged", "absent"]
HINT = "try a copy of the archive first: `strongroom repair --from COPY`"


@dataclass(frozen=True, slots=True)
class GivingUp:
    """What giving a number up does."""

    key: ScopeKey
    number: int
    problem: str
    tomb: Tombstone | None  # to be put; None: its manifest is whole, its tombstone is not: it is live again; or:
    erasing: tuple[str, ...]  # what lies below the tombstone of an erased one: it is deleted, never kept
    reason: str
    at: datetime
    damaged: tuple[tuple[str, str], ...]  # files whose bytes go to the evidence, and their SHA-256


def plan_give_up(archive: Archive, key: ScopeKey, number: int, *, reason: str, now: datetime) -> GivingUp:
    """What it takes. Changes nothing.

    Raises SnapshotUnknown for a number beyond the chain, one that can be read, or one that is gone already;
    FormatUnknown for one that a newer version wrote; StorageError for one that has lost its listing and is held;
    ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("to give a number up takes a reason")
    what = f"{key} number {number}"
    if not 1 <= number <= max((link.number for link in archive.links(key)), default=0):
        raise SnapshotUnknown(f"{what}: the chain has no such number")
    names = snapshot.manifest_name(key, number), _tomb_name(archive, key, number)
    manifest, tomb = (_look(archive, Link(name, key, number, name == names[1])) for name in names)
    half = next((half for half in halves(archive) if (half.key, half.number) == (key, number)), None)
    erasing = tuple(link.name for link in half.links) if half else ()
    if tomb[0] == "whole":
        if half and half.error:
            return GivingUp(key, number, str(half.error), None, erasing, reason, now, ())
        raise SnapshotUnknown(
            f"{what}: it is gone already, and its tombstone can be read", hint="there is nothing to do"
        )
    if manifest[0] == "whole" and tomb[0] == "absent":
        return _without_listing(archive, key, number, reason=reason, now=now)
    seen = [(name, state, problem) for name, (state, problem) in zip(names, (manifest, tomb), strict=True)]
    damaged = tuple(
        (name, _sha256(archive, name)) for name, state, _ in seen if state == "damaged" and name not in erasing
    )
    problem = "; ".join(problem for _, _, problem in seen if problem) or f"{names[0]}: missing"
    made = tombstone.erased(half.found, at=now, reason=reason) if half and half.found else None
    if made is None and (half or manifest[0] != "whole"):
        known = _named_by_the_next(archive, key, number)
        made = tombstone.lost(archive.id, key, number, known=known, at=now, reason=reason)
    return GivingUp(key, number, problem, made, erasing, reason, now, damaged)


def give_up(archive: Archive, plan: GivingUp) -> None:
    """Carry it out. The number is taken at every instant: no backup can get it meanwhile.

    Raises ObjectCorrupt where the archive changed since the plan was made; of one that was to be erased, what
    `erase.erase` raises. Killed anywhere: run again. Retry: yes.
    """
    backend = archive.backend
    manifest = snapshot.manifest_name(plan.key, plan.number)
    tomb = _tomb_name(archive, plan.key, plan.number)
    damaged = dict(plan.damaged)
    if plan.erasing:  # first: while its tombstone is put anew, nothing may lie below that could come back to life
        with lease.held(backend, lambda: plan.at) as mine:
            erase.finish(archive, mine, clock=lambda: plan.at, given_up=(plan.key, plan.number))
    data = None if plan.tomb is None else tombstone.encode(plan.tomb)
    if tomb in damaged:
        if data is not None and backend.size(manifest) is None:  # something that cannot be read holds the number
            held = as_it_lies(backend, tomb)
            backend.put_new(manifest, [held])
            damaged[manifest] = hashlib.sha256(held).hexdigest()
        evidence.swap(backend, tomb, damaged[tomb], data, now=plan.at, reason=plan.problem)
    elif data is not None:
        backend.put_new(tomb, [data])
    if data is not None and backend.get(tomb) != data:
        raise ObjectCorrupt(f"{tomb}: somebody else put it meanwhile", hint="look at it, and run again")
    if data is not None and manifest in damaged:
        evidence.swap(backend, manifest, damaged[manifest], None, now=plan.at, reason=plan.problem)


def _without_listing(archive: Archive, key: ScopeKey, number: int, *, reason: str, now: datetime) -> GivingUp:
    """Of one whose manifest is whole, and whose listing is lost: without it no file of it can be given back."""
    what = f"{key} number {number}"
    found = next(archive.live([snapshot.link_of(key, number, "live")]))
    lost = replaced.lost(archive.replacements(damaged=[]), found.manifest.packs)
    if not any(oid in lost for step in found.manifest.listing for oid in step):
        raise SnapshotUnknown(f"{what}: it can be read", hint="to let a good snapshot go, `strongroom forget` it")
    held = decisions.held(archive.decisions(key, damaged=[]), now)
    if found.id in held:
        raise StorageError(f"{what}: is held: {held[found.id]}", hint=f"`strongroom release {found.id[:8]}` first")
    made = tombstone.lost(archive.id, key, number, known=found.id, at=now, reason=reason)
    problem = f"{found.name}: its listing is lost, so all its files"
    return GivingUp(key, number, problem, made, (), reason, now, ((found.name, _sha256(archive, found.name)),))


def _tomb_name(archive: Archive, key: ScopeKey, number: int) -> str:
    """Where the number's tombstone lies, or would: that of an erased one stands above the other."""
    erased = snapshot.erased_name(key, number)
    return erased if archive.backend.size(erased) is not None else snapshot.tombstone_name(key, number)


def _look(archive: Archive, link: Link) -> tuple[State, str]:
    """Whether the file of a link can be read, and why not. Raises FormatUnknown."""
    if archive.backend.size(link.name) is None:
        return "absent", ""
    try:
        if list(archive.forgotten([link]) if link.forgotten else archive.live([link])):
            return "whole", ""
    except FormatUnknown as exc:
        raise FormatUnknown(f"{exc}; it is not given up: a newer version can read it") from exc
    except (ObjectCorrupt, ObjectMissing) as exc:
        return "damaged", str(exc)
    return "absent", ""  # gone since its size was asked for


def _named_by_the_next(archive: Archive, key: ScopeKey, number: int) -> str:
    """The id of a number, as its successor names it; "" where that cannot tell."""
    after = [link for link in archive.links(key) if link.number == number + 1]
    read: list[Snapshot | Tombstone] = [*archive.forgotten(after, damaged=[]), *archive.live(after, damaged=[])]
    return next((found.previous for found in read if found.previous), "")


def _sha256(archive: Archive, name: str) -> str:
    return hashlib.sha256(as_it_lies(archive.backend, name)).hexdigest()
