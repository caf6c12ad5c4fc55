"""Scrubs night after night: what was read is remembered, damage is found in time, a roll-back shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from storage import records, upkeep_records
from storage.archive import Archive
from storage.catalog import Catalog
from storage.errors import BackendFailed, ObjectCorrupt
from storage.index import pack_name
from storage.repair import plan_repair, repair
from storage.schema import SCHEMA
from storage.scrub import scrub
from storage.snapshot import Snapshot, record_name, tombstone_name
from storage.turns import Budget, Everything, Part, Size, Within
from storage.upkeep import NO_CATALOG, Scrubbed, age_of, scrub_in_turn
from storage.upkeep_records import DrillRecord, Finding, Noted, ScrubRecord
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    FaultyBackend,
    ReadOnly,
    contents,
    copy,
    drop,
    new_archive,
    noise,
    overwrite,
    pack_of,
    run_record,
    write,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FIRST = START + timedelta(days=6, hours=12)  # of the scrubs: no pack is a week old
TABLES = ("pack", "head", "scrub", "drill")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "c.db") as opened:
        yield opened


def archive_of(nights: int) -> Archive:
    """A chain of snapshots, each with two packs of its own: a megabyte of content, and a small listing."""
    archive = new_archive()
    for night in range(nights):
        write(archive, {"a": noise(1 << 20, night)}, night=night)
    return archive


def nightly(archive: Archive, catalog: Catalog | None, night: int, budget: Budget, **other: object) -> Scrubbed:
    at = FIRST + night * NIGHT
    name = f"{at:%Y%m%d}-scrub{night}"
    return scrub_in_turn(archive, catalog, budget, record_id=name, clock=Clock(at), **other)  # type: ignore[arg-type]


def flip(archive: Archive, name: str) -> None:
    data = bytearray(archive.backend.get(name))
    data[60] ^= 1  # in the first block, which no structural check reads
    overwrite(archive.backend, name, bytes(data))


def content_of(archive: Archive, found: Snapshot) -> str:
    """The pack of its content; the other one has its listing."""
    return pack_of(archive, found, "a")


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as database:
        found = {name: sorted(database.execute(f"select * from {name}")) for name in TABLES}  # noqa: S608
    database.close()
    return found


def test_a_flipped_byte_is_found_within_the_bound_and_told_until_it_is_mended(catalog: Catalog) -> None:
    """Not on a night on which its pack has no turn; by the last night in any case; and then every night."""
    archive = archive_of(6)
    newest = archive.snapshots()[-1]
    pack = content_of(archive, newest)
    good = archive.backend.get(pack_name(pack))
    flip(archive, pack_name(pack))
    found = [nightly(archive, catalog, night, Within(6)).report for night in range(6)]

    told = [bool(report.findings) for report in found]
    assert (told[0], told[-1]) == (False, True)
    assert told == sorted(told)
    assert found[-1].findings[0].snapshots == (newest.id,)
    assert found[-1].findings[0].name == pack_name(pack)
    later = nightly(archive, catalog, 6, Size(1)).report
    assert [finding.name for finding in later.findings] == [pack_name(pack)]
    assert later.packs_read == 2  # the damaged one again, and one whose turn it is
    overwrite(archive.backend, pack_name(pack), good)
    assert not nightly(archive, catalog, 7, Size(1)).report.findings
    assert nightly(archive, catalog, 8, Size(1)).report.packs_read == 1


def test_over_t_nights_every_pack_is_read(catalog: Catalog) -> None:
    """The history turns the packs; `age` goes down with it."""
    archive = archive_of(7)
    read = [nightly(archive, catalog, night, Within(7)).report for night in range(7)]

    sizes = [archive.backend.size(name) or 0 for name in archive.backend.list("packs/")]
    assert read[0].bytes_read < -(-sum(sizes) // 7) + max(sizes)  # a seventh, passed by less than a pack
    assert {digest for report in read for digest in report.good} == {
        pack for found in archive.snapshots() for pack in found.manifest.packs
    }
    told = age_of(archive, catalog, now=FIRST + 7 * NIGHT)
    assert (told.packs, told.never_read) == (14, 0)
    assert told.oldest_at is not None
    assert told.oldest_at >= FIRST


def test_without_a_scrub_the_age_counts_from_the_writing(catalog: Catalog) -> None:
    """Every byte was read back before its snapshot was committed."""
    archive = archive_of(3)
    told = age_of(archive, catalog, now=START + 9 * NIGHT)

    assert (told.packs, told.never_read) == (6, 6)
    assert told.oldest_at == archive.snapshots()[0].manifest.committed_at


def test_structure_is_looked_at_whole_whatever_the_budget(catalog: Catalog) -> None:
    """A pack that is gone, a gap in a chain, a damaged tombstone, a stray file: found by the smallest scrub."""
    archive = archive_of(6)
    found = archive.snapshots()
    drop(archive, found[1], now=START)
    overwrite(archive.backend, tombstone_name(LAB, 2), b"rot")
    archive.backend.delete(found[3].name)
    gone, cut = (pack_name(content_of(archive, found[number])) for number in (5, 4))
    archive.backend.delete(gone)
    overwrite(archive.backend, cut, archive.backend.get(cut)[:-1])
    archive.backend.put_new("notes.txt", [b""])
    report = nightly(archive, catalog, 0, Size(1)).report

    assert report.packs_read == 1
    named = {finding.name for finding in report.findings}
    assert named >= {tombstone_name(LAB, 2), found[3].name, gone, "notes.txt"}
    assert found[4].id in {hit for finding in report.findings for hit in finding.snapshots}


def test_the_time_that_was_given_ends_the_reading(catalog: Catalog) -> None:
    """No further pack is begun; one is read in any case, and the next scrub goes on behind it."""
    archive = archive_of(5)
    first = nightly(archive, catalog, 0, Everything(), at_most=timedelta(seconds=1)).report
    second = nightly(archive, catalog, 1, Everything(), at_most=timedelta(seconds=1)).report

    assert 1 <= first.packs_read <= 2  # two are read at a time
    assert not first.good.keys() & second.good.keys()


def test_the_record_says_what_was_asked_read_and_found(catalog: Catalog) -> None:
    """And is a sealed file of the archive, that scrub knows."""
    archive = archive_of(2)
    flip(archive, pack_name(content_of(archive, archive.snapshots()[0])))
    done = nightly(archive, catalog, 0, Everything(), at_most=timedelta(hours=1))
    name = record_name(done.record.id)
    kept = upkeep_records.decode(archive.backend.get(name), name)

    assert done.unrecorded == ""
    assert kept == done.record
    assert isinstance(kept, ScrubRecord)
    assert kept.asked == "everything, for at most 1:00:00"
    assert (kept.packs, kept.packs_read, len(kept.good), len(kept.findings)) == (4, 4, 3, 1)
    assert kept.bytes_read == sum(
        len(data) for n, data in contents(archive.backend).items() if n.endswith(".pack")
    )
    assert kept.heads == {"lab/group 1234": (2, archive.snapshots()[1].id)}
    assert records.decode(archive.backend.get(name), name) is None  # passed over by who reads runs


@pytest.mark.parametrize("kind", ["scrub", "drill"])
def test_a_record_of_upkeep_that_changed_or_moved_is_noticed(catalog: Catalog, kind: str) -> None:
    """As a run's record is."""
    archive = archive_of(1)
    record: ScrubRecord | DrillRecord = nightly(archive, catalog, 0, Everything()).record
    if kind == "drill":
        record = drill_record(archive.snapshots()[0].id)
        archive.put_record(record.id, upkeep_records.encode(record))
    name = record_name(record.id)
    data = archive.backend.get(name)
    overwrite(archive.backend, name, data.replace(b'"format":1', b'"format":2'))
    assert [finding.name for finding in scrub(archive).findings] == [name]
    archive.backend.delete(name)
    archive.backend.put_new(record_name("20260101-other"), [data])

    assert scrub(archive).findings == (
        Finding(record_name("20260101-other"), f"holds the record of {kind} {record.id}"),
    )


def drill_record(snapshot: str, at: datetime = START) -> DrillRecord:
    return DrillRecord(
        f"{at:%Y%m%d}-drill", snapshot, OFFICE, at, at + timedelta(seconds=2), 1, 3, 1500, ("a: gone",)
    )


def test_a_record_of_a_newer_format_is_told() -> None:
    """Not taken for one of ours."""
    data = upkeep_records.encode(drill_record("0" * 64))
    with pytest.raises(ObjectCorrupt, match="seal"):
        upkeep_records.decode(data.replace(b'"format":1', b'"format":2'), "records/x")
    run = records.encode(run_record())
    assert upkeep_records.decode(run, "records/x") is None


# -- heads


def test_a_roll_back_shows_though_the_records_rolled_back_too(catalog: Catalog) -> None:
    """The catalog has the heads of all scrubs; the alarm lasts, also when the chain has grown anew."""
    archive = archive_of(2)
    older = copy(archive.backend)
    newest = write(archive, {"a": b"newer"}, night=2)
    nightly(archive, catalog, 0, Size(1))
    back = Archive.open(older)
    for night in (1, 2):
        (finding,) = nightly(back, catalog, night, Size(1)).report.findings
        assert finding.lost_head
        assert (finding.name, finding.snapshots) == (newest.name, (newest.id,))
        assert "number 3" in finding.problem
        assert "noted on 2026-03-07" in finding.problem
    write(back, {"a": b"another"}, night=3)
    (finding,) = nightly(back, catalog, 3, Size(1)).report.findings

    assert finding.snapshots == (newest.id,)


def test_a_head_that_was_forgotten_since_is_still_in_its_chain(catalog: Catalog) -> None:
    """A tombstone keeps its id; and a chain that has grown keeps its former head."""
    archive = archive_of(3)
    nightly(archive, catalog, 0, Size(1))
    drop(archive, archive.snapshots()[2], now=START)
    write(archive, {"a": b"next"}, night=4)

    assert not nightly(archive, catalog, 1, Size(1)).report.findings


def test_a_damaged_head_is_damage_and_no_roll_back(catalog: Catalog) -> None:
    """One finding: the file is there."""
    archive = archive_of(2)
    nightly(archive, catalog, 0, Size(1))
    overwrite(archive.backend, archive.snapshots()[1].name, b"rot")
    (finding,) = nightly(archive, catalog, 1, Size(1)).report.findings

    assert not finding.lost_head


def test_of_many_lost_heads_of_a_chain_the_newest_is_told(catalog: Catalog) -> None:
    """And one that is expected from elsewhere needs no catalog."""
    archive = archive_of(1)
    older = copy(archive.backend)
    for night in range(1, 4):
        write(archive, {"a": b"%d" % night}, night=night)
        nightly(archive, catalog, night, Size(1))
    (finding,) = nightly(Archive.open(older), catalog, 5, Size(1)).report.findings
    expected = [Noted("lab/group 1234", 4, archive.snapshots()[3].id, "")]
    (other,) = nightly(Archive.open(older), None, 5, Size(1), expected=expected).report.findings

    assert finding.snapshots == other.snapshots == (archive.snapshots()[3].id,)


# -- what is left


def test_a_read_only_copy_without_a_catalog_is_scrubbed_and_left_as_it_is() -> None:
    """No record, and it is said."""
    archive = archive_of(2)
    done = nightly(Archive.open(ReadOnly(archive.backend)), None, 0, Everything())

    assert (done.report.packs_read, done.report.findings, done.unrecorded) == (4, (), NO_CATALOG)


def test_an_archive_that_takes_no_record_is_scrubbed_all_the_same(catalog: Catalog) -> None:
    """A disk mounted read-only: the findings are told, nothing is remembered."""
    archive = archive_of(1)
    backend = FaultyBackend(archive.backend).fail("put_new", error=BackendFailed("records/x: read-only"))
    done = nightly(Archive.open(backend), catalog, 0, Everything())

    assert done.report.packs_read == 2
    assert "records/x: read-only" in done.unrecorded
    assert (catalog.readings.last_scrub(), catalog.readings.packs()) == (None, {})


def test_a_catalog_that_breaks_meanwhile_costs_no_findings(tmp_path: Path) -> None:
    """The archive has the record; the catalog is told to be filled from it."""
    archive = archive_of(1)
    with Catalog.open(tmp_path / "c.db") as catalog:

        def ruin(_: int) -> None:
            catalog.close()
            (tmp_path / "c.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)

        done = nightly(archive, catalog, 0, Everything(), on_bytes=ruin)

    assert done.report.packs_read == 2
    assert "the archive has it, the catalog does not" in done.unrecorded
    with Catalog.open(tmp_path / "new.db") as filled:
        filled.reindex(archive)
        last = filled.readings.last_scrub()
    assert last is not None
    assert last.id == done.record.id


def test_a_new_catalog_knows_what_the_old_one_knew(tmp_path: Path) -> None:
    """Row for row, from the records of the archive, in whatever order they come."""
    archive = archive_of(4)
    with Catalog.open(tmp_path / "one.db") as lived:
        for night in range(3):
            nightly(archive, lived, night, Within(4))
        flip(archive, pack_name(content_of(archive, archive.snapshots()[3])))
        nightly(archive, lived, 3, Everything())
        record = drill_record(archive.snapshots()[0].id)
        archive.put_record(record.id, upkeep_records.encode(record))
        lived.readings.enter(record)
    with Catalog.open(tmp_path / "two.db") as filled:
        filled.reindex(archive)
        assert filled.reindex(archive) == 0
        assert filled.readings.drilled() == {record.snapshot: record.ended_at}
    with Catalog.open(tmp_path / "three.db") as backwards:
        for name in reversed(list(archive.backend.list("records/"))):
            left = upkeep_records.decode(archive.backend.get(name), name)
            assert left is not None
            assert backwards.readings.enter(left)

    assert rows(tmp_path / "one.db") == rows(tmp_path / "two.db") == rows(tmp_path / "three.db")
    assert all(rows(tmp_path / "one.db").values())


def test_a_pack_that_nothing_names_is_read_and_not_counted(catalog: Catalog) -> None:
    """It may belong to a backup that runs."""
    archive = archive_of(1)
    orphan = write(archive, {"o": noise(90, 9)}, key=OFFICE)
    archive.backend.delete(orphan.name)
    assert age_of(archive, catalog, now=START + NIGHT).packs == 2
    done = nightly(archive, catalog, 0, Everything())

    assert (done.report.packs_read, done.report.findings) == (4, ())


def test_parts_by_digest_need_no_catalog() -> None:
    """Three of three read every pack once."""
    archive = archive_of(8)
    read = [digest for n in (1, 2, 3) for digest in nightly(archive, None, n, Part(n, 3)).report.good]

    assert sorted(map(pack_name, read)) == sorted(archive.backend.list("packs/"))


# -- the schema


def test_a_catalog_of_schema_1_is_taken_on(tmp_path: Path) -> None:
    """What is in it stays; the tables of upkeep come in, and are used."""
    path = tmp_path / "c.db"
    with sqlite3.connect(path) as database:
        database.executescript((GOLDEN / "catalog-1.sql").read_text())
        database.execute("insert into fact values ('archive', 'kept')")
    database.close()
    archive = archive_of(1)
    with Catalog.open(path) as catalog:
        assert catalog.fact("archive") == "kept"
        nightly(archive, catalog, 0, Everything())
        assert len(catalog.readings.packs()) == 2
    with sqlite3.connect(path) as database:
        assert database.execute("pragma user_version").fetchone() == (SCHEMA,)
        made = set(database.execute("select type, name, tbl_name, sql from sqlite_master"))
    database.close()
    Catalog.open(tmp_path / "new.db").close()
    with sqlite3.connect(tmp_path / "new.db") as database:
        fresh = set(database.execute("select type, name, tbl_name, sql from sqlite_master"))
    database.close()
    assert {row[:3] for row in made} == {row[:3] for row in fresh}


def test_a_replaced_pack_is_neither_read_nor_waited_for(catalog: Catalog) -> None:
    """It is evidence and counts as no pack, what it lost is told; a catalog passes over the repair's record."""
    archive = archive_of(3)
    flip(archive, pack_name(content_of(archive, archive.snapshots()[0])))
    damaged = nightly(archive, catalog, 0, Everything()).report
    plan = plan_repair(archive, damaged.findings)
    new = len(repair(archive, plan, clock=Clock(FIRST), record_id="20260307-repair").packs_written)
    found = nightly(archive, catalog, 1, Everything()).report
    age = age_of(archive, catalog, now=FIRST + 2 * NIGHT)

    assert damaged.packs == 6
    assert (found.packs, found.packs_read, age.packs, age.never_read) == (5 + new, 5 + new, 5 + new, 0)
    assert [(finding.lost, finding.problem) for finding in found.findings] == [(True, "lost: a")]
    assert catalog.reindex(archive) == 3
