"""Scrub: what is damaged or missing is found, and put down to the right snapshots."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from io import BytesIO

import pytest

from storage import records, snapshot
from storage.archive import Archive
from storage.backend import Memory
from storage.errors import BackendFailed
from storage.index import Index, pack_name
from storage.mark import MARK
from storage.scrub import scrub
from storage.snapshot import record_name, tombstone_name
from storage.sweeping import sweep
from storage.upkeep_records import Finding
from tests.doubles import (
    LAB,
    OFFICE,
    START,
    FaultyBackend,
    contents,
    copy,
    drop,
    located,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    read,
    run_record,
    write,
)


def chain(archive: Archive, length: int) -> list[str]:
    """Ids of a chain whose snapshots share no pack."""
    return [write(archive, {"a": noise(50, n)}, night=n).id for n in range(length)]


def zipped(night: int) -> bytes:
    """A ZIP that is kept cut, two members of it new each night."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for number in range(300):
            out.writestr(zipfile.ZipInfo(f"top/{number:04}.xml"), noise(300, number + 1000 * night * (number < 2)))
    return made.getvalue()


def packed(archive: Archive) -> int:
    return sum(len(data) for name, data in contents(archive.backend).items() if name.endswith(".pack"))


def hit(findings: tuple[Finding, ...]) -> set[str]:
    return {found for finding in findings for found in finding.snapshots}


def test_a_whole_archive_has_no_findings_and_every_byte_is_read() -> None:
    """Snapshots, tombstones and records; packs are counted and read once."""
    archive = new_archive()
    chain(archive, 3)
    drop(archive, archive.snapshots()[0], now=START)
    archive.put_record("20260301-x", records.encode(run_record("20260301-x")))
    seen: list[int] = []
    report = scrub(archive, on_bytes=seen.append)

    assert (report.findings, report.snapshots, report.packs) == ((), 2, 6)
    assert report.bytes_read == sum(seen) == packed(archive)


def test_heads_are_the_newest_links_forgotten_ones_too() -> None:
    """What to note down elsewhere: number and id per scope."""
    archive = new_archive()
    ids = chain(archive, 2)
    other = write(archive, {}, key=OFFICE)
    drop(archive, other, now=START)

    assert scrub(archive).heads == {"lab/group 1234": (2, ids[1]), "office/all": (1, other.id)}


def test_scrubbing_changes_nothing() -> None:
    """Not even what it finds."""
    archive = new_archive()
    chain(archive, 2)
    overwrite(archive.backend, pack_name(archive.snapshots()[0].manifest.packs[0]), b"rot")
    before = contents(archive.backend)
    scrub(archive)

    assert contents(archive.backend) == before


def test_a_damaged_pack_hits_those_that_need_it() -> None:
    """Both snapshots that share it, and not the third."""
    archive = new_archive()
    first = write(archive, {"a": b"shared"})
    second = write(archive, {"a": b"shared", "b": b"2"}, night=1)
    third = write(archive, {"c": b"3"}, key=OFFICE)
    name = pack_name(pack_of(archive, first, "a"))
    overwrite(archive.backend, name, archive.backend.get(name)[:-1])
    (finding,) = scrub(archive).findings

    assert (finding.name, finding.snapshots) == (name, (first.id, second.id))
    assert third.id not in finding.snapshots


def test_a_missing_pack_is_named_with_its_snapshot() -> None:
    """Gone is as bad as damaged."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    archive.backend.delete(pack_name(found.manifest.packs[0]))

    assert scrub(archive).findings == (Finding(pack_name(found.manifest.packs[0]), "missing", (found.id,)),)


@pytest.mark.parametrize("content", [True, False])
def test_what_lies_in_packs_of_others_alone_is_a_finding(content: bool) -> None:
    """A manifest that leaves a pack out cannot be trusted, though the archive has every object."""
    archive = new_archive()
    files = {"a": noise(50, 1), "b": noise(50, 2)}
    found = write(archive, files)
    other = write(archive, files, key=OFFICE)
    assert set(found.manifest.packs) & set(other.manifest.packs)
    kept = pack_of(archive, found, "a")
    left_out = {kept} if content else set(found.manifest.packs) - {kept}
    packs = tuple(pack for pack in found.manifest.packs if pack not in left_out)
    overwrite(archive.backend, found.name, snapshot.encode(replace(found.manifest, packs=packs)))
    (finding,) = scrub(archive).findings

    assert finding.name == found.name
    assert other.id not in finding.snapshots
    words = "a: in none of its packs (2 files)" if content else "in none of the snapshot's packs"
    assert words in finding.problem


def test_a_plan_that_rots_is_found_though_its_pack_has_no_turn() -> None:
    """Plans are read each time; one that cannot be read ends no scrub, and hits the nights that follow from it."""
    archive = new_archive()
    whole = write(archive, {"b": noise(50, 1)}, key=OFFICE)
    first, second = (write(archive, {"a.zip": zipped(night)}, night=night) for night in range(2))
    (entry,) = archive.entries(first)
    index = Index(archive.backend, archive.scheme)
    index.load(first.manifest.packs)
    where = located(index, entry.recipe.steps[0][0])
    name = pack_name(where.pack)
    data = bytearray(archive.backend.get(name))
    data[where.block.offset + where.placed.offset + 20] ^= 1
    overwrite(archive.backend, name, bytes(data))
    report = scrub(archive, choose=lambda _: [pack_of(archive, whole, "b")])

    assert {finding.name for finding in report.findings} == {first.name, second.name}
    assert all("a.zip: its plan cannot be read" in finding.problem for finding in report.findings)


def test_a_damaged_manifest_in_a_chain_is_named_by_its_successor() -> None:
    """The id that it had stands in the next one."""
    archive = new_archive()
    ids = chain(archive, 3)
    name = archive.snapshots()[1].name
    overwrite(archive.backend, name, b"rot")
    (finding,) = scrub(archive).findings

    assert (finding.name, finding.snapshots) == (name, (ids[1],))


def test_a_missing_manifest_in_a_chain_is_named_by_its_successor() -> None:
    """A gap is not taken for forgetting."""
    archive = new_archive()
    ids = chain(archive, 3)
    name = archive.snapshots()[1].name
    archive.backend.delete(name)
    (finding,) = scrub(archive).findings

    assert (finding.name, finding.snapshots) == (name, (ids[1],))
    assert "neither a snapshot nor a tombstone" in finding.problem


def test_a_chain_without_its_beginning_is_one_finding() -> None:
    """However long the gap: a hostile number of a hundred million costs nothing."""
    archive = new_archive()
    chain(archive, 5)
    for found in archive.snapshots()[:4]:
        archive.backend.delete(found.name)
    (finding,) = scrub(archive).findings

    assert "number 1 to 4" in finding.problem


def test_a_deleted_newest_manifest_shows_in_the_heads_alone() -> None:
    """The archive by itself cannot know; whoever noted the head can."""
    archive = new_archive()
    ids = chain(archive, 3)
    noted = scrub(archive).heads
    archive.backend.delete(archive.snapshots()[2].name)
    report = scrub(archive)

    assert report.findings == ()
    assert (noted["lab/group 1234"], report.heads["lab/group 1234"]) == ((3, ids[2]), (2, ids[1]))


def test_a_replaced_link_breaks_the_chain() -> None:
    """A manifest that is whole, of the right number, and another one."""
    archive, other = new_archive(), new_archive()
    ids = chain(archive, 3)
    chain(other, 1)
    twin = write(other, {"a": b"another"}, night=1)
    overwrite(archive.backend, twin.name, other.backend.get(twin.name))
    findings = scrub(archive).findings

    assert any("chained to" in finding.problem and ids[2] in finding.snapshots for finding in findings)
    assert twin.id in hit(findings)


def test_the_mark_of_another_archive_is_noticed() -> None:
    """Each snapshot says which archive it is of."""
    archive = new_archive()
    ids = chain(archive, 2)
    overwrite(archive.backend, MARK, new_archive().backend.get(MARK))
    (finding,) = scrub(Archive.open(archive.backend)).findings

    assert (finding.name, finding.snapshots) == (MARK, tuple(ids))


def test_a_damaged_tombstone_is_one_finding_with_its_id() -> None:
    """It is not reported as a gap, too."""
    archive = new_archive()
    ids = chain(archive, 2)
    drop(archive, archive.snapshots()[0], now=START)
    overwrite(archive.backend, tombstone_name(LAB, 1), b"rot")
    (finding,) = scrub(archive).findings

    assert (finding.name, finding.snapshots) == (tombstone_name(LAB, 1), (ids[0],))


def test_records_that_changed_places_are_noticed() -> None:
    """Whole, and not of the run that the name says."""
    archive = new_archive()
    for run in ("20260301-a", "20260301-b"):
        archive.put_record(run, records.encode(run_record(run)))
    overwrite(archive.backend, record_name("20260301-a"), records.encode(run_record("20260301-b")))
    (finding,) = scrub(archive).findings

    assert (finding.name, finding.problem) == (record_name("20260301-a"), "holds the record of run 20260301-b")


def test_a_file_that_no_archive_has_is_named() -> None:
    """A pack in the wrong folder looks like that."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    name = pack_name(found.manifest.packs[0])
    archive.backend.put_new("packs/zz/" + name.rpartition("/")[2], [archive.backend.get(name)])
    archive.backend.put_new("notes.txt", [b""])

    assert [f.name.partition("/")[0] for f in scrub(archive).findings] == ["notes.txt", "packs"]


def test_a_place_that_cannot_read_one_pack_is_a_finding(secret: str | None) -> None:
    """An unreadable sector does not end the scrub."""
    memory = Memory()
    found = write(new_archive(memory, secret), {"a": noise(500, 1)})

    class OneBad(FaultyBackend):
        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            if name.endswith(".pack"):
                raise BackendFailed(f"{name}: Input/output error")
            return super().get(name, offset, length)

    report = scrub(opened(OneBad(memory)))

    assert hit(report.findings) == {found.id}
    assert "Input/output error" in report.findings[0].problem


def test_a_pack_that_a_sweep_frees_meanwhile_is_no_finding() -> None:
    """Nobody needs it any more."""

    class Vanishing(FaultyBackend):
        def size(self, name: str) -> int | None:
            return None

    memory = Memory()
    archive = new_archive(memory)
    drop(archive, write(archive, {"a": b"1"}), now=START)

    assert scrub(Archive.open(Vanishing(memory))).findings == ()


def test_notes_of_a_sweep_are_known() -> None:
    """The note about an unnamed pack is a file of the archive, and is checked."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    twin = Archive.open(copy(archive.backend))
    twin.backend.delete(found.name)
    sweep(twin, now=START)
    assert scrub(twin).findings == ()
    note, other = twin.backend.list("unnamed/")
    overwrite(twin.backend, note, b"rot")

    assert [finding.name for finding in scrub(twin).findings] == [note]
    assert other != note


@pytest.mark.parametrize("damaged", [False, True])
def test_what_scrub_passes_can_be_read(damaged: bool) -> None:
    """A snapshot without a finding gives all its files."""
    archive = new_archive()
    chain(archive, 4)
    if damaged:
        overwrite(archive.backend, pack_name(pack_of(archive, archive.snapshots()[2], "a")), b"rot")
    bad = hit(scrub(archive).findings)

    good = [found for found in archive.snapshots() if found.id not in bad]
    assert len(good) == (3 if damaged else 4)
    assert all(read(archive, found) for found in good)


def test_reading_needs_little_memory_and_reads_each_byte_once() -> None:
    """A pack is read in pieces, from its first byte to its last."""
    memory = Memory()
    archive = new_archive(memory)
    write(archive, {"a": noise(5 << 20, 1)})
    asked: dict[str, list[tuple[int, int | None]]] = {name: [] for name in memory.list("packs/")}

    class Noting(FaultyBackend):
        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            if name.endswith(".pack"):
                asked[name].append((offset, length))
            return super().get(name, offset, length)

    report = scrub(Archive.open(Noting(memory)))

    for name, reads in asked.items():
        pieces = [offset for offset, length in reads if length == 1 << 20]
        size = memory.size(name) or 0
        assert pieces == [*range(0, size, 1 << 20), size]  # the last finds that nothing comes behind
        assert all(length is not None and length <= 4 << 20 for _, length in reads)
    assert report.bytes_read == sum(report.good.values())
