"""A snapshot back into a system: looked at first, then unit after unit, then compared. Knows no system.

What can be asked again is asked again while the target is away; what one unit suffers costs that unit, but a
target that takes nothing any more ends the restore. Whatever ends it, the same command goes on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flows.clock import Clock
from flows.disk import check_disk
from flows.errors import Exit, RequestWrong, RunFailed
from flows.export import Pace
from flows.patience import patiently
from flows.sources.base import Ledger, Outlook, Receiver
from storage.archive import Archive
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.restore import write_proven
from storage.snapshot import Snapshot
from storage.verify import Promise

log = logging.getLogger(__name__)
SMALL = 64 << 20  # bytes: a document about files is no larger
IN_A_ROW = 3  # units that the target takes and does nothing with: then something is wrong with the target


class Held:
    """The files of one snapshot (`sources.base.Content`). Memory: its listing, in columns."""

    def __init__(self, archive: Archive, found: Snapshot, scratch: Path) -> None:
        """`scratch`: a folder of our own, for files while they are sent."""
        self._reader = archive.reader(found)
        self._listing = self._reader.entries(found)
        self._scratch = scratch

    def __contains__(self, name: str) -> bool:
        """See `sources.base.Content`."""
        return self._listing.place_of(name) is not None

    def names(self) -> Iterator[str]:
        """See `sources.base.Content`."""
        return (entry.path for entry in self._listing)

    def kept(self, name: str) -> Promise | None:
        """See `sources.base.Content`."""
        place = self._listing.place_of(name)
        if place is None or self._reader.lacks(entry := self._listing[place]):
            return None
        return Promise(entry.measured.size, sha256=entry.measured.sha256)

    def small(self, name: str) -> bytes:
        """See `sources.base.Content`."""
        place = self._listing.place_of(name)
        if place is None:
            raise ObjectMissing(f"{name}: not in the snapshot")
        entry = self._listing[place]
        if entry.measured.size > SMALL:
            raise ObjectCorrupt(f"{name}: {entry.measured.size} bytes, at most {SMALL} expected")
        return b"".join(self._reader.chunks(entry))

    @contextmanager
    def lying(self, names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """See `sources.base.Content`."""
        entries = [self._listing.of(name) for name in names]
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed run left
        self._scratch.mkdir(mode=0o700, parents=True)
        try:
            check_disk(self._scratch, sum(entry.measured.size for entry in entries))
            for number, entry in enumerate(entries):
                write_proven(self._reader.chunks(entry), entry.measured.size, self._scratch, Path(str(number)))
            yield {name: self._scratch / str(number) for number, name in enumerate(names)}
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


@dataclass(slots=True)
class Given:
    """What came of it."""

    equal: int = 0  # units that are there, compared and found equal
    problems: list[str] = field(default_factory=list)  # what could not be given, a sentence each
    differences: list[str] = field(default_factory=list)

    def exit(self, outlook: Outlook) -> Exit:
        """Differences, and what could not be given, are a failure; what the snapshot lacks is not."""
        if self.differences or self.problems:
            return Exit.VERIFICATION
        return Exit.PARTLY if outlook.lacking else Exit.DONE


@dataclass(frozen=True, slots=True)
class Twice:
    """Units that are made although a restore of another snapshot made them in that target already."""

    many: int = 0
    snapshots: tuple[str, ...] = ()  # ids of the others


def twice(outlook: Outlook, snapshot: str, made: Mapping[str, Set[str]], thing: Callable[[str], str]) -> Twice:
    """What of `outlook` will be there twice.

    `made`: the units that restores of each snapshot made there. `thing`: the record that a unit is, by an id that
    is its own in all of these snapshots.
    """
    ours = made.get(snapshot, frozenset())
    wanted = {thing(unit) for unit in outlook.units if unit not in ours}
    meeting = {other: wanted & set(map(thing, units)) for other, units in made.items() if other != snapshot}
    return Twice(
        len(set().union(*meeting.values())), tuple(sorted(other for other, met in meeting.items() if met))
    )


def look(receiver: Receiver, content: Held, only: Sequence[str], clock: Clock, pace: Pace) -> Outlook:
    """What there is to do. Changes nothing. Raises SourceError, ObjectCorrupt. Retry: yes."""
    patiently(receiver.login, clock, pace)
    return patiently(partial(receiver.look, content, only), clock, pace)


def give_back(
    receiver: Receiver,
    content: Held,
    outlook: Outlook,
    ledger: Ledger,
    *,
    clock: Clock,
    pace: Pace,
    on_bytes: Callable[[int], None] = lambda _: None,
    on_unit: Callable[[str, int], None] = lambda *_: None,
) -> Given:
    """Give every unit, then compare every one with the snapshot. `on_unit`: what is done, and its place.

    Raises SourceError where the target is away for longer than patience allows, refuses us, or takes nothing.
    Retry: yes, also after a kill: with the same ledger nothing is doubled. Memory: a sentence for each problem.
    """
    given = Given()
    patiently(partial(receiver.prepare, ledger), clock, pace)
    untaken = 0
    for place, unit in enumerate(outlook.units, start=1):
        on_unit("restore", place)
        try:
            refused = patiently(partial(receiver.give, unit, content, ledger, on_bytes), clock, pace)
            given.problems += [f"{unit}: {sentence}" for sentence in refused]
            untaken = 0
        except RunFailed as exc:
            untaken += 1
            if untaken == min(IN_A_ROW, len(outlook.units)):
                raise
            given.problems.append(str(exc))
        except (RequestWrong, ObjectCorrupt, ObjectMissing, FormatUnknown) as exc:
            given.problems.append(f"{unit}: {exc}")
    patiently(partial(receiver.finish, ledger), clock, pace)
    for place, unit in enumerate(outlook.units, start=1):
        on_unit("compare", place)
        differs = patiently(partial(receiver.compare, unit, content, ledger), clock, pace)
        given.differences += [f"{unit}: {sentence}" for sentence in differs]
        given.equal += not differs
    return given
