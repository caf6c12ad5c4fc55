"""What changed between two snapshots, told by record: many files and pictures make up one document.

Pure: a difference in, what a reader wants to know out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from flows.sources.base import Record
from storage.contents import Leaf
from storage.difference import Difference

_TOKEN = re.compile(rb"[^\s\"'<>()/=&;,]+")  # what a name of a file is in xml and html
Pair = tuple[Leaf, Leaf]  # before, after


@dataclass(slots=True)
class Change:
    """What changed of one record; or, with no id, of everything that belongs to none."""

    id: str
    label: str = ""
    added: list[Leaf] = field(default_factory=list)
    removed: list[Leaf] = field(default_factory=list)
    changed: list[Pair] = field(default_factory=list)
    renamed: list[Pair] = field(default_factory=list)
    names: list[Pair] = field(default_factory=list)  # changed in nothing but the names of what is renamed

    @property
    def size(self) -> int:
        """Bytes more than before."""
        came = [*self.added, *(after for _, after in self.changed)]
        gone = [*self.removed, *(before for before, _ in self.changed)]
        return sum(leaf.size for leaf in came) - sum(leaf.size for leaf in gone)

    @property
    def quiet(self) -> bool:
        """The same content under other names."""
        return not (self.added or self.removed or self.changed)


def by_record(
    found: Difference, record_of: Callable[[str], Record | None], names: Collection[Pair] = ()
) -> list[Change]:
    """The changes of each record, by id; last those of no record. `names`: pairs that `names_only` holds for.

    A renamed file belongs to the record that it is in now.
    """
    changes: dict[str, Change] = {}

    def of(leaf: Leaf) -> Change:
        record = record_of(leaf.path) or Record("", "")
        change = changes.setdefault(record.id, Change(record.id))
        change.label = change.label or record.label
        return change

    for after in found.added:
        of(after).added.append(after)
    for pair in found.changed:
        change = of(pair[1])
        (change.names if pair in names else change.changed).append(pair)
    for pair in found.renamed:
        of(pair[1]).renamed.append(pair)
    for before in found.removed:
        of(before).removed.append(before)
    return sorted(changes.values(), key=lambda change: (not change.id, _number(change.id), change.id))


def new_names(renamed: Iterable[Pair]) -> dict[bytes, bytes]:
    """The last part of each name before and after, where the same file was renamed within its folder."""
    names = {}
    for before, after in renamed:
        (folder, _, old), (other, _, new) = before.path.rpartition("/"), after.path.rpartition("/")
        if folder == other:
            names[old.encode("utf-8", "replace")] = new.encode("utf-8", "replace")
    return names


def with_names(text: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """The text with old names replaced by new ones: equal to its later self, nothing else was changed in it.

    RSpace gives rendered pictures another name in each export, and writes it into the document beside them
    (contract rspace.md, section 6).
    """
    return _TOKEN.sub(lambda found: names.get(found[0], found[0]), text)


def _number(record: str) -> int:
    digits = re.search(r"\d{1,18}$", record)
    return int(digits[0]) if digits else 0
