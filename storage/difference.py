"""What differs between the contents of two snapshots: added, removed, changed, renamed.

Pure: two series of leaves in, one value out. Leaves may share a path; each is accounted for once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from storage.contents import Leaf


@dataclass(frozen=True, slots=True)
class Difference:
    """Each leaf of both sides stands in one place. In the order of paths."""

    added: tuple[Leaf, ...]
    removed: tuple[Leaf, ...]
    changed: tuple[tuple[Leaf, Leaf], ...]  # one path, other content: before, after
    renamed: tuple[tuple[Leaf, Leaf], ...]  # one content, another path
    same: int  # leaves that both sides have

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.renamed)


def difference(before: Iterable[Leaf], after: Iterable[Leaf]) -> Difference:
    """How `after` differs from `before`; folders are passed over. The other way round it is the mirror image.

    What went and what came with equal content is renamed, where as many went as came, in the order of their
    paths; of no bytes nothing is told. Memory: the leaves of both sides.
    """
    old, new = _by_path(before), _by_path(after)
    added: list[Leaf] = []
    removed: list[Leaf] = []
    changed: list[tuple[Leaf, Leaf]] = []
    same = 0
    for path in sorted(old.keys() | new.keys()):
        gone, came = old.get(path, []), new.get(path, [])
        if gone and came:
            equal, gone, came = _without_equal(gone, came)
            same += equal
        for one, other in zip_longest(gone, came):
            if one and other:
                changed.append((one, other))
            elif one:
                removed.append(one)
            else:
                added.append(other)
    renamed = list(_renamed(removed, added))
    known = {id(leaf) for pair in renamed for leaf in pair}
    return Difference(
        tuple(leaf for leaf in added if id(leaf) not in known),
        tuple(leaf for leaf in removed if id(leaf) not in known),
        tuple(changed),
        tuple(renamed),
        same,
    )


def _by_path(leaves: Iterable[Leaf]) -> dict[str, list[Leaf]]:
    found: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        if not leaf.folder:
            found[leaf.path].append(leaf)
    return found


def _without_equal(gone: list[Leaf], came: list[Leaf]) -> tuple[int, list[Leaf], list[Leaf]]:
    """How many of both are equal, and the others in an order that does not depend on the side."""
    by_content: dict[str, tuple[list[Leaf], list[Leaf]]] = defaultdict(lambda: ([], []))
    for side, some in enumerate((gone, came)):
        for leaf in some:
            by_content[leaf.content][side].append(leaf)
    left: tuple[list[Leaf], list[Leaf]] = ([], [])
    equal = 0
    for _, (one, other) in sorted(by_content.items()):
        both = min(len(one), len(other))
        equal += both
        left[0].extend(one[both:])
        left[1].extend(other[both:])
    return equal, *left


def _renamed(removed: Iterable[Leaf], added: Iterable[Leaf]) -> Iterator[tuple[Leaf, Leaf]]:
    by_content: dict[str, tuple[list[Leaf], list[Leaf]]] = defaultdict(lambda: ([], []))
    for side, some in enumerate((removed, added)):
        for leaf in some:
            if leaf.size:
                by_content[leaf.content][side].append(leaf)
    pairs = [zip(*sides, strict=True) for sides in by_content.values() if len(sides[0]) == len(sides[1])]
    yield from sorted((pair for some in pairs for pair in some), key=lambda pair: pair[1].path)
