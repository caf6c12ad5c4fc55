"""The leaves of many snapshots, each with its history: who holds it first and last, and how often it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby

from storage.archive import Archive, Damaged
from storage.contents import Leaf, leaves
from storage.errors import StorageError
from storage.snapshot import ScopeKey, Snapshot


@dataclass(slots=True)
class Version:
    """One content of a leaf."""

    leaf: Leaf  # as the first snapshot has it
    first: Snapshot
    last: Snapshot


@dataclass(slots=True)
class History:
    """A leaf over the snapshots of its scope that were looked at."""

    key: ScopeKey
    path: str
    first: Snapshot
    last: Snapshot
    snapshots: int = 0
    versions: dict[str, Version] = field(default_factory=dict)  # by content, the oldest first

    @property
    def newest(self) -> Version:
        """The version that the last snapshot holds."""
        return max(self.versions.values(), key=lambda version: version.last.manifest.draft.taken_at)


def histories(
    archive: Archive,
    chosen: Iterable[Snapshot],
    wanted: Callable[[Snapshot], Callable[[str], bool]],
    *,
    damaged: list[Damaged],
) -> list[History]:
    """The leaves whose paths are wanted, folders left out, by scope and path.

    A snapshot whose listing or plan cannot be read is taken by `damaged`, and the others go on. Reads no content
    but that of small ZIPs. Memory: the index of a scope's packs, its newest listing and plan, and what is found.
    """
    found: dict[tuple[ScopeKey, str], History] = {}
    in_order = sorted(chosen, key=lambda one: (str(one.key), one.manifest.draft.taken_at, one.manifest.number))
    for _, chain in groupby(in_order, key=lambda one: one.key):
        nights = list(chain)
        reader = archive.reader(*nights)
        for night in nights:
            try:
                some = [leaf for leaf in leaves(reader, reader.entries(night), wanted(night)) if not leaf.folder]
            except StorageError as exc:
                damaged.append(Damaged(night.name, str(exc)))
                continue
            _note(found, night, some)
    return [found[place] for place in sorted(found, key=lambda place: (str(place[0]), place[1]))]


def _note(found: dict[tuple[ScopeKey, str], History], night: Snapshot, some: Iterable[Leaf]) -> None:
    for leaf in some:
        place = (night.key, leaf.path)
        history = found.setdefault(place, History(night.key, leaf.path, night, night))
        if history.last is not night or not history.snapshots:  # another leaf of this path may have been met
            history.last = night
            history.snapshots += 1
        history.versions.setdefault(leaf.content, Version(leaf, night, night)).last = night
