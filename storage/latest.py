"""How the snapshots of a scope stand, and the newest that counts: what `latest` means, and how fresh a scope is.

The rules are `standing.py`; here the archive is read for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING

from storage.dates import AHEAD, by_number
from storage.decisions import Decision
from storage.levels import newer
from storage.seen import seen
from storage.snapshot import ScopeKey, Snapshot
from storage.standing import Standing, standings

if TYPE_CHECKING:
    from storage.archive import Archive


@dataclass(frozen=True, slots=True)
class Stood:
    """The live snapshots of a scope that can be read, by time taken, and how they stand, by number."""

    snapshots: Mapping[str, Snapshot]  # by id
    decisions: Sequence[Decision]
    standings: Sequence[Standing]
    newest: Snapshot | None  # that counts and is not dated after now; None: there is none


def stood(archive: Archive, key: ScopeKey, *, now: datetime, live: Iterable[Snapshot] | None = None) -> Stood:
    """How a scope stands. Reads its decisions, and its manifests where `live` does not give them by time taken.

    What is damaged is passed over.
    """
    kept = {one.id: one for one in (archive.snapshots(key, damaged=[]) if live is None else live)}
    made = archive.decisions(key, damaged=[])
    known = [seen(one) for one in kept.values()]
    found = standings(known, made, now=now)
    # One whose date a person accepted may lie ahead all the same: for a year, no night would seem to be due.
    counted = {one.id for one in found if one.counts and kept[one.id].manifest.draft.taken_at - now <= AHEAD}
    last = reduce(newer, sorted((one for one in known if one.id in counted), key=by_number), None)
    return Stood(kept, made, found, None if last is None else kept[last.id])


def newest_counted(archive: Archive, key: ScopeKey, *, now: datetime) -> Snapshot | None:
    """The newest snapshot of a scope that counts; None where none does.

    The last that was fetched, or an import of a later date; none that is dated after `now`.
    """
    return stood(archive, key, now=now).newest


def latest(archive: Archive, keys: Iterable[ScopeKey], *, now: datetime) -> Snapshot | None:
    """The newest that counts of several scopes, by time taken; where none counts, the newest of all.

    None where there is no snapshot. Scopes are looked at in the order of their last commits, as far as a newer one
    may be there: as a rule, the manifests of one or two are read.
    """
    heads = [head for key in keys if (head := archive.newest(key, damaged=[])) is not None]
    best: Snapshot | None = None
    for head in sorted(heads, key=lambda one: one.manifest.committed_at, reverse=True):
        if best is not None and best.manifest.draft.taken_at >= head.manifest.committed_at:
            break
        found = newest_counted(archive, head.key, now=now)
        best = max(filter(None, (best, found)), key=_age, default=None)
    if best is not None:
        return best
    return max((one for head in heads for one in archive.snapshots(head.key, damaged=[])), key=_age, default=None)


def _age(one: Snapshot) -> tuple[datetime, str, int]:
    return one.manifest.draft.taken_at, str(one.key), one.number
