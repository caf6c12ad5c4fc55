"""An export beside its scope's history, before it is committed: what it holds, and whether that is in the band.

The rules are `storage.levels` and `storage.standing`; here the archive is read for them. The export's file is not
read again: its members' names are in the plan that the archive keeps of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

from flows.sources.base import Record, no_record
from storage import contents
from storage.archive import Archive
from storage.errors import StorageError
from storage.latest import stood
from storage.listing import Entry, Listing
from storage.reader import Reader
from storage.seen import LEVEL, Finding, Seen, asked, of_draft, seen
from storage.snapshot import Compared, Draft, Level, Snapshot
from storage.standing import Standing, to_compare, tonight
from storage.verify import Check, Outcome, Quality, judge
from storage.writer import Complete

log = logging.getLogger(__name__)
RecordOf = Callable[[str], Record | None]


def beside_history(
    archive: Archive, record_of: RecordOf, clock: Callable[[], datetime], records: int | None = None
) -> Complete:
    """What a writer asks before it commits: the draft with its level, the checks of it, and the quality by them.

    `records`: how many there are, where the source has counted them; which ones nobody knows then. A draft that is
    not verified is left as it is: it counts in no case. Memory beside the plans: a number of 8 bytes for each
    record or member, 36 bytes in Python, of this export and of one that it is compared with.
    """
    return partial(_levelled, archive, record_of, clock, records)


def standing_of(archive: Archive, found: Snapshot, *, now: datetime) -> Standing | None:
    """How a snapshot stands in its scope; None where it has been forgotten meanwhile."""
    return next((one for one in stood(archive, found.key, now=now).standings if one.id == found.id), None)


def hint(archive: Archive, found: Snapshot, *, now: datetime) -> str:
    """What to do about a snapshot in quarantine: the command that settles it, or where to look."""
    standing = standing_of(archive, found, now=now)
    if standing is None or not standing.ask:
        return f"it is kept, and does not count as a backup: see `strongroom show {found.id[:8]}`"
    alone = seen(found).finding is Finding.GROWN
    night = "a next night like it settles that; else, " if alone else ""
    return f"it is kept, and does not count as a backup: {night}if it is right, `{standing.ask}`"


def _levelled(
    archive: Archive, record_of: RecordOf, clock: Callable[[], datetime], counted: int | None, draft: Draft,
    reader: Reader, files: Listing,
) -> Draft:  # fmt: skip
    if draft.quality is not Quality.VERIFIED:
        return draft
    now = clock()
    live = {one.id: one for one in archive.snapshots(draft.key, damaged=[])}
    history = [seen(one) for one in live.values()]
    decisions = archive.decisions(draft.key, damaged=[])
    names = _names(reader, files, record_of)
    compared: list[Compared] = []
    left_out: list[Check] = []
    arrived = _arrived(draft, reader, files, history, now)
    told = arrived.fetched and counted is None
    for base in to_compare(history, decisions, asked(draft.request), now=now) if told else ():
        try:
            compared.append(_compared(archive, live[base.id], names, record_of))
        except StorageError as exc:
            why = f"record ids cannot be held against number {base.number}: {exc}"
            log.warning("%s: %s", draft.key, why)
            left_out.append(Check(LEVEL, Outcome.NOT_AVAILABLE, reason=why))
    level = Level(counted if record_of is no_record else len(names), tuple(compared))
    arrived = replace(arrived, records=level.records, compared=level.compared)
    checks = [*tonight(history, decisions, arrived, now=now).checks(), *left_out]
    return replace(draft, level=level, checks=(*draft.checks, *checks), quality=judge([*draft.checks, *checks]))


def _arrived(draft: Draft, reader: Reader, files: Listing, history: Iterable[Seen], now: datetime) -> Seen:
    return of_draft(
        draft,
        id="tonight",
        number=1 + max((one.number for one in history), default=0),
        committed_at=now,
        size=files.size,
        files=len(files),
        members=sum(reader.plan(entry).count for entry in files.cut()),
    )


def _compared(archive: Archive, base: Snapshot, names: set[int], record_of: RecordOf) -> Compared:
    """How the records differ. Raises StorageError where those of `base` cannot be read."""
    reader = archive.reader(base)
    before = _names(reader, reader.entries(base), record_of)
    both = len(before & names)
    return Compared(base.id, len(before) - both, len(names) - both, len(before))


def _names(reader: Reader, files: Collection[Entry], record_of: RecordOf) -> set[int]:
    """What is compared, each as its hash: ids of records, where paths tell them; else members, or files."""
    found: set[int] = set()
    for leaf in contents.leaves(reader, files):
        if record_of is no_record:
            if not leaf.folder:
                found.add(hash(leaf.path))
        elif record := record_of(leaf.path):
            found.add(hash(record.id))
    return found
