"""What giving documents back will do, counted while they are read: made, there already, not to be had.

Pure. Memory: a path for each document, and a few examples of whatever is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flows.sources.base import Outlook
from flows.sources.mayan_restore_plan import NEVER, Wish

EXAMPLES = 20  # sentences about single documents; there may be millions


@dataclass(slots=True)
class Tally:
    """Counts documents one after another."""

    live: frozenset[bytes]  # UUIDs at the target
    trashed: frozenset[bytes]
    units: list[str] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=lambda: {"documents": 0, "files": 0, "versions": 0, "bytes": 0})
    there: dict[str, int] = field(default_factory=lambda: {"documents": 0, "documents in the trash": 0})
    _lost: list[str] = field(default_factory=list)
    _more: int = 0

    def add(self, unit: str, wish: Wish, lacking: Sequence[str], uuid: bytes) -> bool:
        """Count a document; whether it will be made. One that is there as itself is left alone."""
        if uuid in self.live:
            self.there["documents"] += 1
            return False
        if uuid in self.trashed:
            self.there["documents in the trash"] += 1
            self._tell(
                f"{_folder(unit)}: it is in the target's trash: take it out there, which brings its id back"
            )
            return False
        for sentence in lacking:
            self._tell(f"{_folder(unit)}: {sentence}")
        if not wish.files:
            return False
        self.units.append(unit)
        self.made["documents"] += 1
        self.made["files"] += len(wish.files)
        self.made["versions"] += len(wish.versions)
        self.made["bytes"] += sum(file.size for file in wish.files)
        return True

    def unreadable(self, unit: str, problem: str) -> None:
        """Count one whose document.json cannot be read."""
        self._tell(f"{_folder(unit)}: {problem}")

    def outlook(self, missing: Mapping[str, int], present: Mapping[str, int], notes: Sequence[str]) -> Outlook:
        """All of it, with what documents refer to."""
        more = (f"and {self._more} more like these",) if self._more else ()
        return Outlook(
            tuple(self.units),
            {**self.made, **missing},
            {**self.there, **present},
            (*self._lost, *more),
            tuple(notes),
            NEVER,
        )

    def _tell(self, sentence: str) -> None:
        if len(self._lost) < EXAMPLES:
            self._lost.append(sentence)
        else:
            self._more += 1


def _folder(unit: str) -> str:
    return unit.rpartition("/")[0]
