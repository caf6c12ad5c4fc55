"""Writing snapshots: bit for bit, once each, proven before they count, and never lost to a race."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.archive import Archive
from storage.backend import Backend, LocalDisk, Memory
from storage.errors import BackendFailed, FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.index import pack_name
from storage.listing import Entry, Recipe
from storage.packs import PACK_SIZE
from storage.recipes import AVERAGE, CUT_FROM, WHOLE
from storage.snapshot import Snapshot
from storage.verify import Promise, measure
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    FaultyBackend,
    draft,
    new_archive,
    noise,
    overwrite,
    pack_of,
    read,
    write,
)
from tests.storage.zips import export


def packs(archive: Archive) -> list[str]:
    return list(archive.backend.list("packs/"))


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("ab/.é\\:\0", max_size=6), st.binary(max_size=500), max_size=6))
def test_what_goes_in_comes_out(files: dict[str, bytes]) -> None:
    """Any bytes under any names."""
    archive = new_archive()

    assert read(archive, write(archive, files)) == files


@pytest.mark.parametrize("size", [0, 1, WHOLE - 1, WHOLE, WHOLE + 1, 4 * AVERAGE, 4 * AVERAGE + 1, 5 << 20])
def test_files_around_the_size_of_an_object_come_out(size: int) -> None:
    """Where a file is cut does not show."""
    archive = new_archive()
    data = noise(size, size)

    assert read(archive, write(archive, {"a": data})) == {"a": data}


def test_a_file_larger_than_a_pack_comes_out() -> None:
    """Several packs for one file, none much larger than its bound."""
    archive = new_archive()
    data = noise(PACK_SIZE + (12 << 20), 9)
    found = write(archive, {"large": data})

    assert read(archive, found) == {"large": data}
    assert len(packs(archive)) == 3  # the listing's is one of its own
    assert all((archive.backend.size(name) or 0) < PACK_SIZE + (1 << 20) for name in packs(archive))


def test_ten_thousand_small_files_are_a_few_packs(tmp_path: object) -> None:
    """The number of files in the archive does not follow the number of files in an export."""
    archive = new_archive()
    files = {f"SD{n}/form.xml": f"<form id='{n}'>text {n}</form>".encode() for n in range(10_000)}
    found = write(archive, files)

    assert len(packs(archive)) <= 3
    assert read(archive, found) == files


def test_equal_bytes_are_stored_once_across_snapshots_and_scopes() -> None:
    """The second night, and another scope, add a listing at most."""
    archive = new_archive()
    data = noise(1 << 20, 4)
    first = write(archive, {"a": data})
    again = write(archive, {"a": data}, night=1)
    other = write(archive, {"b": data, "c": data}, key=OFFICE)

    chunks = len(archive.entries(first)[0].recipe.objects)
    assert (first.manifest.objects_new, again.manifest.objects_new) == (chunks + 1, 0)
    assert (other.manifest.objects_new, other.manifest.objects_reused) == (1, 2 * chunks)
    assert other.manifest.stored_bytes < 1500
    assert read(archive, other) == {"b": data, "c": data}


def test_equal_files_of_one_snapshot_are_stored_once_and_counted() -> None:
    """Sharing within the pack being written is counted too."""
    archive = new_archive()
    found = write(archive, {"a": b"same", "b": b"same", "c": b"same"})

    assert (found.manifest.objects_new, found.manifest.objects_reused) == (2, 2)


def test_a_known_file_is_kept_by_its_name_alone() -> None:
    """`keep` needs no bytes, and the snapshot names the pack that holds them."""
    archive = new_archive()
    first = write(archive, {"a": b"alpha", "b": b"beta"})
    writer = Writer(archive, LAB)
    for entry in archive.entries(first):
        writer.keep(entry)
    second = writer.commit(draft(), clock=Clock())

    assert read(archive, second) == {"a": b"alpha", "b": b"beta"}
    assert set(first.manifest.packs) <= set(second.manifest.packs)


def test_a_file_that_no_newest_snapshot_holds_is_not_kept_by_name() -> None:
    """Its pack may be freed: the bytes are asked for again."""
    archive = new_archive()
    old = write(archive, {"a": b"old"})
    write(archive, {"a": b"new"}, night=1)

    with pytest.raises(ObjectMissing, match="newest"):
        Writer(archive, LAB).keep(archive.entries(old)[0])


def test_one_path_twice_is_refused_before_its_bytes_are_read() -> None:
    """By `add` and by `keep`; a path that no text is, as well."""
    archive = new_archive()
    writer = Writer(archive, LAB)
    entry = writer.add("a", BytesIO(b"1"), promised=Promise())

    class Never(BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise AssertionError("read")

    calls: list[Callable[[], object]] = [
        lambda: writer.add("a", Never(), promised=Promise()),
        lambda: writer.add("\ud800", Never(), promised=Promise()),
        lambda: writer.keep(entry),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"twice|surrogates"):
            call()


def test_a_chain_links_each_number_to_the_one_before() -> None:
    """Numbers from 1, each with its predecessor's id, per scope."""
    archive = new_archive()
    chain = [write(archive, {"a": b"%d" % n}, night=n) for n in range(3)]
    other = write(archive, {}, key=OFFICE)

    assert [s.manifest.number for s in chain] == [1, 2, 3]
    assert [s.manifest.previous for s in chain] == [None, chain[0].id, chain[1].id]
    assert (other.manifest.number, other.manifest.previous) == (1, None)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_two_writers_of_one_scope_both_get_a_number(tmp_path: object, kind: str) -> None:
    """Eight threads commit at once: eight numbers, one chain, nothing lost."""
    backend: Backend = Memory() if kind == "memory" else LocalDisk(tmp_path)  # type: ignore[arg-type]
    archive = new_archive(backend)
    gate = threading.Barrier(8)
    done: list[Snapshot] = []

    def run(n: int) -> None:
        writer = Writer(archive, LAB)
        writer.add("a", BytesIO(b"%d" % n), promised=Promise())
        gate.wait()
        done.append(writer.commit(draft(), clock=lambda: START))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain = sorted(archive.snapshots(LAB), key=lambda s: s.manifest.number)

    assert [s.manifest.number for s in chain] == list(range(1, 9))
    assert [s.manifest.previous for s in chain[1:]] == [s.id for s in chain[:-1]]
    assert sorted(read(archive, s)["a"] for s in done) == [b"%d" % n for n in range(8)]


def test_a_commit_whose_answer_was_lost_is_one_snapshot() -> None:
    """A backend that retries a put by itself and hears "taken" does not make two of one."""

    class Retrying(FaultyBackend):
        def put_new(self, name: str, chunks: object) -> bool:
            data = list(chunks)  # type: ignore[call-overload]
            return super().put_new(name, data) and (
                not name.startswith("snapshots/") or super().put_new(name, data)
            )

    archive = new_archive(Retrying(Memory()))
    write(archive, {"a": b"1"})

    assert [s.manifest.number for s in archive.snapshots()] == [1]


def test_damaged_bytes_are_found_before_the_manifest_exists() -> None:
    """A pack that rotted under a reusing writer stops the commit; storing anew gets round it."""
    archive = new_archive()
    first = write(archive, {"a": noise(5000, 1)})
    name = pack_name(first.manifest.packs[0])
    data = bytearray(archive.backend.get(name))
    data[100] ^= 1
    overwrite(archive.backend, name, bytes(data))
    with pytest.raises(ObjectCorrupt):
        write(archive, {"a": noise(5000, 1)}, night=1)
    assert [s.id for s in archive.snapshots()] == [first.id]

    writer = Writer(archive, LAB, proven=True)
    writer.add("a", BytesIO(noise(5000, 1)), promised=Promise())
    second = writer.commit(draft(taken_at=START + NIGHT), clock=Clock())

    assert read(archive, second) == {"a": noise(5000, 1)}


@pytest.mark.parametrize("damage", [b"", b"{}", b"rot"])
def test_a_damaged_newest_manifest_stops_no_backup(damage: bytes) -> None:
    """Neither of its own scope nor of another; its number is not given again."""
    archive = new_archive()
    write(archive, {"a": b"1"})
    bad = write(archive, {"a": b"2"}, night=1)
    overwrite(archive.backend, bad.name, damage)

    assert write(archive, {"b": b"3"}, key=OFFICE).manifest.number == 1
    after = write(archive, {"a": b"4"}, night=2)
    assert (after.manifest.number, after.manifest.previous) == (3, None)
    assert read(archive, after) == {"a": b"4"}


def test_a_missing_pack_of_the_newest_snapshot_stops_no_backup() -> None:
    """What it held is stored again."""
    archive = new_archive()
    first = write(archive, {"a": b"1"})
    archive.backend.delete(pack_name(first.manifest.packs[0]))

    assert read(archive, write(archive, {"a": b"1"}, night=1)) == {"a": b"1"}


def test_a_place_that_refuses_leaves_no_snapshot() -> None:
    """Disk full at the manifest: an error, nothing visible, and the next try works."""
    backend = FaultyBackend(Memory())
    archive = new_archive(backend)
    backend.fail("put_new", after=1, error=BackendFailed("disk full"))
    with pytest.raises(BackendFailed):
        write(archive, {"a": b"1"})

    assert (archive.snapshots(), backend.unused) == ([], 0)
    assert read(archive, write(archive, {"a": b"1"})) == {"a": b"1"}


def test_a_float_among_the_vendors_words_commits_nothing() -> None:
    """What canonical JSON cannot hold is refused before anything is visible."""
    archive = new_archive()

    with pytest.raises(ValueError, match="float"):
        Writer(archive, LAB).commit(draft(vendor={"percent": 99.5}), clock=Clock())
    assert archive.snapshots() == []


def test_the_manifest_counts_what_it_holds() -> None:
    """Files, bytes, and the bytes that this run added to the archive."""
    archive = new_archive()
    found = write(archive, {"a": b"123", "b": b"4567"})

    assert (found.manifest.files, found.manifest.size) == (2, 7)
    assert found.manifest.stored_bytes == sum(archive.backend.size(name) or 0 for name in packs(archive))
    assert found.manifest.committed_at == START + timedelta(minutes=5)


def test_entries_are_what_add_returned() -> None:
    """Measures and promises of each file, sorted by path."""
    archive = new_archive()
    writer = Writer(archive, LAB)
    made: list[Entry] = [
        writer.add(path, BytesIO(b"x" * n), promised=Promise(crc32=n), media_type="text/xml")
        for n, path in enumerate(["b", "a"])
    ]

    assert list(archive.entries(writer.commit(draft(), clock=Clock()))) == made[::-1]


def test_bytes_that_are_not_those_measured_before_are_never_committed() -> None:
    """A file that changed between its download and the archive: reading back finds it, and nothing is kept."""
    archive = new_archive()
    data = noise(8 << 20, 1)
    changed = bytearray(data)
    changed[4 << 20] ^= 1
    writer = Writer(archive, LAB)
    writer.add("a", BytesIO(bytes(changed)), promised=Promise(), measured=measure([data]))

    with pytest.raises(ObjectCorrupt, match="sha256"):
        writer.commit(draft(), clock=Clock())

    assert archive.snapshots() == []


def test_a_file_kept_in_a_way_not_known_is_not_taken_for_one_that_needs_nothing() -> None:
    """An older version must not name it without its objects: their packs would be freed."""
    archive = new_archive()
    entry = replace(archive.entries(write(archive, {"a": b"1"}))[0], recipe=Recipe("braided"))

    with pytest.raises(FormatUnknown, match="braided"):
        Writer(archive, LAB).keep(entry)


@pytest.mark.parametrize("promised", [Promise(size=-1), Promise(crc32=1 << 32), Promise(crc32=-1)])
def test_a_listing_that_nobody_could_read_is_not_committed(promised: Promise) -> None:
    """Numbers that no file has would cost every file of the snapshot."""
    archive = new_archive()
    writer = Writer(archive, LAB)
    writer.add("a", BytesIO(b"1"), promised=promised)

    with pytest.raises((ValueError, ObjectCorrupt)):
        writer.commit(draft(), clock=Clock())
    assert archive.snapshots() == []


def test_a_pack_that_was_freed_meanwhile_is_not_named() -> None:
    """A machine that slept while what it meant to reuse was forgotten and freed: run again."""
    archive = new_archive()
    first = write(archive, {"a": b"1"})
    writer = Writer(archive, LAB)
    writer.keep(archive.entries(first)[0])
    archive.backend.delete(pack_name(pack_of(archive, first, "a")))

    with pytest.raises(ObjectMissing, match="freed"):
        writer.commit(draft(), clock=Clock())
    assert archive.snapshots() == [first]


def test_many_files_of_new_names_are_not_compared_with_each_of_last_night() -> None:
    """2,000 ZIPs under tonight's folder: each follows the plan at its place, in one look."""
    archive = new_archive()
    data = export(1) + bytes(CUT_FROM)
    write(archive, {f"monday/{n:04}": data + b"%d" % n for n in range(2000)})
    found = write(archive, {f"tuesday/{n:04}": data + b"%d" % n for n in range(2000)}, night=1)

    assert found.manifest.objects_new < 100  # a listing; each plan is last night's
    assert len(archive.entries(found)) == 2000
