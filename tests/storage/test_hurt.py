"""What is known to be damaged does not count: by records of scrubs, and by packs that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

import pytest

from storage import upkeep_records
from storage.archive import Archive
from storage.index import pack_name
from storage.planning import plan_scope
from storage.policy import Policy, Span
from storage.scrub import Choice, everything, scrub
from storage.snapshot import Snapshot, record_name
from storage.upkeep_records import ScrubRecord
from tests.doubles import LAB, NIGHT, START, new_archive, noise, overwrite, pack_of, write

NOW = START + 20 * NIGHT
TWO = Policy(keep_last=2)


def nights(archive: Archive, many: int) -> list[Snapshot]:
    """So many that share nothing."""
    return [write(archive, {"a": noise(3000, night)}, night=night) for night in range(many)]


def rot(archive: Archive, found: Snapshot) -> None:
    """One bit of one of its packs, which only reading it whole tells."""
    name = pack_name(pack_of(archive, found, "a"))
    data = bytearray(archive.backend.get(name))
    data[len(data) // 3] ^= 1
    overwrite(archive.backend, name, bytes(data))


def scrubbed(archive: Archive, at: datetime, choose: Choice = everything) -> str:
    """Scrub, and leave the record; its name."""
    found = scrub(archive, choose=choose)
    record = ScrubRecord(
        f"{at:%Y%m%d-%H%M%S}-00000001", at, at, "everything", found.packs, found.packs_read, found.bytes_read,
        found.good, found.findings, found.heads,
    )  # fmt: skip
    archive.put_record(record.id, upkeep_records.encode(record))
    return record_name(record.id)


def going(archive: Archive, now: datetime = NOW) -> list[int]:
    return [verdict.candidate.number for verdict in plan_scope(archive, LAB, TWO, now=now).forgets]


def test_what_a_scrub_found_damaged_displaces_nothing() -> None:
    """The two newest rotted: the six good ones stay, or as many as the two newest whole ones let go."""
    archive = new_archive()
    chain = nights(archive, 8)
    for found in chain[-2:]:
        rot(archive, found)
    assert going(archive) == [6, 5, 4, 3, 2, 1]  # nobody has read them yet

    scrubbed(archive, START + 9 * NIGHT)
    made = plan_scope(archive, LAB, TWO, now=NOW)

    assert [verdict.candidate.number for verdict in made.forgets] == [4, 3, 2, 1]
    assert "by the scrub of 2026-03-10" in made.standings[chain[-1].id].why_not


def test_what_was_found_stands_until_a_scrub_reads_that_pack_and_finds_it_good() -> None:
    """A later scrub that did not read it says nothing of it."""
    archive = new_archive()
    chain = nights(archive, 4)
    name = pack_name(pack_of(archive, chain[3], "a"))
    whole = archive.backend.get(name)
    rot(archive, chain[3])
    scrubbed(archive, START + 9 * NIGHT)
    scrubbed(archive, START + 10 * NIGHT, lambda packs: [])
    assert going(archive) == [1]

    overwrite(archive.backend, name, whole)
    assert going(archive) == [1]
    scrubbed(archive, START + 11 * NIGHT)
    assert going(archive) == [2, 1]


def test_a_night_that_came_after_the_scrub_and_names_the_same_pack_is_damaged_too() -> None:
    """The disk read well for once, and the backup reused what lies in it; no scrub has named that backup yet."""
    archive = new_archive()
    nights(archive, 3)
    rotten = write(archive, {"a": noise(3000, 9)}, night=4)
    name = pack_name(pack_of(archive, rotten, "a"))
    whole = archive.backend.get(name)
    rot(archive, rotten)
    scrubbed(archive, START + 5 * NIGHT)
    overwrite(archive.backend, name, whole)
    after = write(archive, {"a": noise(3000, 9)}, night=6)

    made = plan_scope(archive, LAB, TWO, now=NOW)

    assert [made.standings[one.id].counts for one in (rotten, after)] == [False, False]
    assert going(archive) == [1]


@pytest.mark.parametrize("what", ["rotten", "dated ahead"])
def test_a_record_that_tells_nothing_hides_no_other(what: str) -> None:
    """The one before it is the last."""
    archive = new_archive()
    chain = nights(archive, 4)
    name = pack_name(pack_of(archive, chain[3], "a"))
    whole = archive.backend.get(name)
    rot(archive, chain[3])
    scrubbed(archive, START + 9 * NIGHT)
    overwrite(archive.backend, name, whole)
    record = scrubbed(archive, START + (10 if what == "rotten" else 4000) * NIGHT)
    if what == "rotten":
        overwrite(archive.backend, record, b"rot")

    assert going(archive) == [1]


@pytest.mark.parametrize("left", [0, 10, -1])
def test_a_pack_that_was_cut_is_seen_without_any_scrub(left: int) -> None:
    """A disk that lost the bytes: nothing of the file is left, or some, or all but the last byte."""
    archive = new_archive()
    for found in nights(archive, 6)[-2:]:
        name = pack_name(pack_of(archive, found, "a"))
        overwrite(archive.backend, name, archive.backend.get(name)[:left])

    assert going(archive) == [2, 1]


def test_what_is_damaged_goes_no_sooner_than_if_it_were_whole() -> None:
    """It may yet be mended from a copy, and one rotten byte is not all of it. It is told when it goes, too."""
    archive = new_archive()
    chain = nights(archive, 8)
    rot(archive, chain[1])
    whole = plan_scope(archive, LAB, Policy(keep_last=7), _nightly, now=NOW)
    scrubbed(archive, START + 9 * NIGHT)

    made = plan_scope(archive, LAB, Policy(keep_last=7), _nightly, now=NOW)
    (told,) = (verdict for verdict in made.verdicts if verdict.candidate.number == 2)

    assert not made.forgets
    assert told.keep
    assert "damaged" in told.reasons[0]
    assert made.goes_on[chain[1].id] == whole.goes_on[chain[1].id] is not None
    assert 2 in [v.candidate.number for v in plan_scope(archive, LAB, Policy(keep_last=5), now=NOW).forgets]


def test_of_what_must_go_the_last_two_wait_damaged_or_not() -> None:
    """A record may be older than a repair: only a person takes what may be one of the last two copies."""
    archive = new_archive()
    chain = nights(archive, 4)
    rot(archive, chain[3])
    scrubbed(archive, START + 9 * NIGHT)

    made = plan_scope(archive, LAB, Policy(keep_at_most=Span.parse("10d")), now=START + 20 * NIGHT)

    assert [verdict.candidate.number for verdict in made.waiting] == [4, 3, 2]
    assert [verdict.candidate.number for verdict in made.erases] == [1]


def _nightly() -> Iterator[datetime]:
    return (NOW + NIGHT * night - timedelta(hours=1) for night in count(1))
