"""A scrub as it is done night after night: it reads what was unread for longest, and leaves a record of it.

What `scrub` finds is put together with what the catalog remembers; the record goes into the archive first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from storage import upkeep_records
from storage.archive import Archive
from storage.catalog import Catalog
from storage.compare import Kind
from storage.encrypted import check_up_to_date
from storage.errors import BackendFailed, CatalogUnusable
from storage.facts import differences
from storage.scrub import Report, packs_there, scrub
from storage.turns import Age, Budget, Kept, age, choose
from storage.upkeep_records import DrillRecord, Finding, Noted, ScrubRecord

NO_CATALOG = "no catalog is used, so what was read is not remembered"


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub found, and what it left."""

    report: Report
    record: ScrubRecord
    unrecorded: str  # why the record was not left; "" where it was


def scrub_in_turn(
    archive: Archive,
    catalog: Catalog | None,
    budget: Budget,
    *,
    record_id: str,
    clock: Callable[[], datetime],
    at_most: timedelta | None = None,
    expected: Sequence[Noted] = (),
    compared: Callable[[], Iterable[Finding]] = tuple,
    on_chosen: Callable[[int], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Scrubbed:
    """Scrub: every small file, and of the packs those whose turn it is, for `at_most` so long.

    Heads that earlier scrubs noted must still be in their chains, and those `expected`. `compared` gives findings
    of another kind that join these: where catalog and archive disagree. `on_chosen` is told how many bytes are to
    be read. Without a catalog nothing is remembered and no record is left. Raises what opening
    the backend raises, CatalogUnusable. Retry: yes.
    """
    started_at = clock()
    # Before the archive is looked at: a head noted later than that may be newer than what was seen.
    noted = [*expected, *(catalog.readings.heads() if catalog else ())]

    def chosen(packs: Sequence[Kept]) -> list[str]:
        digests = choose(with_history(packs, catalog), budget, now=started_at)
        sizes = {pack.digest: pack.size for pack in packs}
        on_chosen(sum(sizes[digest] for digest in digests))
        return digests

    report = scrub(
        archive,
        choose=chosen,
        noted=noted,
        time_is_up=lambda: at_most is not None and clock() - started_at >= at_most,
        on_bytes=on_bytes,
    )
    report = replace(report, findings=(*report.findings, *compared()))
    asked = f"{budget}, for at most {at_most}" if at_most else str(budget)
    record = ScrubRecord(
        id=record_id,
        started_at=started_at,
        ended_at=clock(),
        asked=asked,
        packs=report.packs,
        packs_read=report.packs_read,
        bytes_read=report.bytes_read,
        good=report.good,
        findings=report.findings,
        heads=report.heads,
    )
    return Scrubbed(report, record, leave(archive, catalog, record))


def disagreements(catalog: Catalog | None, archive: Archive, *, now: datetime) -> Iterator[Finding]:
    """What the catalog knows and the archive lacks, and the reverse. What cannot be read, `scrub` has told."""
    for each in differences(catalog, archive, now=now) if catalog else ():
        if each.kind is not Kind.UNREADABLE:
            yield Finding(each.what, f"{each.kind}: {each.problem}")


def leave(archive: Archive, catalog: Catalog | None, record: ScrubRecord | DrillRecord) -> str:
    """Put the record into the archive, then the catalog. Why that could not be done; "" where it was.

    Told and not raised: what was read stays true. But KeyWrong is, where keys were rotated meanwhile: what needs
    the newer one looked damaged.
    """
    check_up_to_date(archive.backend)
    if catalog is None:
        return NO_CATALOG
    try:
        archive.put_record(record.id, upkeep_records.encode(record))
    except BackendFailed as exc:
        return f"the archive takes no record: {exc}"
    try:
        catalog.readings.enter(record)
    except CatalogUnusable as exc:
        return f"the archive has it, the catalog does not: {exc}; `strongroom doctor` enters it"
    return ""


def age_of(archive: Archive, catalog: Catalog, *, now: datetime) -> Age:
    """How long ago the kept bytes were last known to be right. Reads manifests, no pack."""
    there = packs_there(archive, archive.snapshots(damaged=[]), archive.tombstones(damaged=[]))
    return age(with_history(there, catalog), now=now)


def with_history(packs: Sequence[Kept], catalog: Catalog | None) -> list[Kept]:
    """These packs, with what scrubs read of them."""
    known = catalog.readings.packs() if catalog else {}
    return [
        replace(pack, good_at=known[pack.digest].good_at, damaged=known[pack.digest].damaged)
        if pack.digest in known
        else pack
        for pack in packs
    ]
