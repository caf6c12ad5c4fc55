"""Which snapshot is the newest that counts, for whoever restores one or asks how fresh a scope is."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest

from storage.archive import Archive
from storage.backend import Memory
from storage.decisions import Decision, Kind
from storage.errors import SnapshotUnknown
from storage.latest import newest_counted, stood
from storage.seen import LEVEL
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Check, Outcome, Promise, Quality
from storage.writer import Writer
from tests.doubles import LAB, NIGHT, OFFICE, START, Clock, FaultyBackend, draft, drop, new_archive

YEAR = timedelta(days=365)
LEVELS = {
    finding: Check(LEVEL, Outcome.FAILED, reason=f"{finding}: so it was") for finding in ("empty", "misdated")
}
ODD: dict[str, dict[str, Any]] = {
    "quarantined": {"quality": Quality.QUARANTINED, "checks": (Check("crc32", Outcome.FAILED, "a", "1", "2"),)},
    "empty": {"quality": Quality.QUARANTINED, "checks": (LEVELS["empty"],)},
    "partial": {"quality": Quality.PARTIAL},
    "taken a year ahead": {"ahead": YEAR},
    "taken and kept a year ahead": {"ahead": YEAR, "kept_ahead": YEAR},
}


def keep(
    archive: Archive,
    night: int,
    *,
    key: ScopeKey = LAB,
    ahead: timedelta = timedelta(0),
    kept_ahead: timedelta = timedelta(0),
    **other: Any,
) -> Snapshot:
    """A night's, taken and kept by clocks that are ahead."""
    at = START + night * NIGHT
    clock = Clock(at + kept_ahead + timedelta(minutes=5))
    writer = Writer(archive, key)
    if LEVELS["empty"] not in other.get("checks", ()):
        writer.add("a.txt", BytesIO(b"work" * 100), promised=Promise())
    return writer.commit(draft(key, at + ahead, **other), clock=clock)


def decide(archive: Archive, kind: Kind, found: Snapshot) -> None:
    archive.decide(Decision(kind, found.key, found.number, found.id, START, "ada", "looked"))


def newest(archive: Archive, night: int, key: ScopeKey = LAB) -> Snapshot | None:
    """As asked for an hour after a night; `latest` says the same wherever one counts."""
    now = START + night * NIGHT + timedelta(hours=1)
    found = newest_counted(archive, key, now=now)
    if found is not None:
        assert archive.find("latest", source=key.source, scope=key.scope, now=now) == found
    return found


@pytest.mark.parametrize("odd", ODD)
def test_what_does_not_count_is_not_the_newest(odd: str) -> None:
    """The night before it is; with nothing else there, none, and `latest` is that one all the same."""
    archive, alone = new_archive(), new_archive()
    good = keep(archive, 1)
    keep(archive, 2, **ODD[odd])
    only = keep(alone, 2, **ODD[odd])

    assert newest(archive, 2) == good
    assert newest(alone, 2) is None
    assert alone.find("latest", now=START + 2 * NIGHT + timedelta(hours=1)) == only
    assert newest(archive, 1, OFFICE) is None


def test_a_rejected_one_is_not_the_newest_and_an_accepted_one_is() -> None:
    """The last decision about each holds."""
    archive = new_archive()
    one, two = keep(archive, 1), keep(archive, 2)
    three = keep(archive, 3, **ODD["empty"])

    assert newest(archive, 3) == two
    decide(archive, "reject", two)
    assert newest(archive, 3) == one
    decide(archive, "accept", three)
    assert newest(archive, 3) == three
    decide(archive, "reject", three)
    decide(archive, "reject", one)
    assert newest(archive, 3) is None
    decide(archive, "accept", two)
    assert newest(archive, 3) == two


def test_a_date_that_a_person_accepted_is_not_the_newest_as_long_as_it_lies_ahead() -> None:
    """Else no night would seem to be due for a year; and later nights are newer than it, whatever it is dated."""
    archive = new_archive()
    before = keep(archive, 1)
    ahead = keep(archive, 2, ahead=YEAR, quality=Quality.QUARANTINED, checks=(LEVELS["misdated"],))
    decide(archive, "accept", ahead)

    assert stood(archive, LAB, now=START + 3 * NIGHT).standings[1].counts
    assert newest(archive, 2) == before
    assert newest(archive, 2 + 365) == ahead
    after = keep(archive, 3)
    assert newest(archive, 3) == after
    assert newest(archive, 3 + 365) == after


def test_an_old_export_that_is_taken_in_later_is_not_the_newest() -> None:
    """By its date; one that is newer than all others is."""
    archive = new_archive()
    night = keep(archive, 100)
    keep(archive, 101, ahead=-90 * NIGHT, vendor={}, job={})

    assert newest(archive, 101) == night
    fresh = keep(archive, 102, vendor={}, job={})
    assert newest(archive, 102) == fresh


def test_forgotten_ones_are_not_the_newest() -> None:
    """The one before is."""
    archive = new_archive()
    one, two = keep(archive, 1), keep(archive, 2)
    drop(archive, two, now=START + 3 * NIGHT)

    assert newest(archive, 3) == one


def test_of_several_scopes_the_newest_that_counts_is_the_latest() -> None:
    """Not that of the scope that was written to last, if what was written there does not count."""
    archive = new_archive()
    mine, ours = keep(archive, 1), keep(archive, 2, key=OFFICE)
    now = START + 9 * NIGHT

    assert archive.find("latest", now=now) == ours
    keep(archive, 3, **ODD["empty"])
    assert archive.find("latest", now=now) == ours
    decide(archive, "reject", ours)
    assert archive.find("latest", now=now) == mine
    decide(archive, "reject", mine)
    assert archive.find("latest", now=now) == archive.snapshots(LAB)[-1]  # none counts: the newest of all
    with pytest.raises(SnapshotUnknown, match="no snapshot of source nowhere"):
        archive.find("latest", source="nowhere", now=now)


def test_the_manifests_of_other_scopes_are_not_all_read() -> None:
    """A hundred older ones of another scope cost one."""
    backend = FaultyBackend(Memory())
    archive = new_archive(backend)
    for night in range(100):
        keep(archive, night, key=OFFICE)
    last = keep(archive, 100)
    before = backend.calls

    assert archive.find("latest", now=START + 101 * NIGHT) == last
    assert backend.calls - before < 20
