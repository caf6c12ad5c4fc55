"""The archive as a whole: opening it, finding snapshots, going on beside damage, reading while others write."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from storage import canonical, snapshot
from storage.archive import Archive, Damaged
from storage.backend import LocalDisk, Memory, open_url
from storage.errors import (
    ArchiveMissing,
    FormatUnknown,
    ObjectCorrupt,
    ObjectMissing,
    SnapshotUnknown,
    StorageError,
)
from storage.index import pack_name
from storage.mark import MARK
from storage.snapshot import ScopeKey
from storage.sweeping import sweep
from storage.verify import Quality
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    ReadOnly,
    copy,
    draft,
    drop,
    new_archive,
    overwrite,
    pack_of,
    read,
    write,
)


def test_making_an_archive_twice_opens_the_first() -> None:
    """Retry of `init` changes nothing."""
    backend = Memory()

    assert Archive.create(backend, now=START).id == Archive.create(backend, now=START + NIGHT).id


def test_nothing_is_no_archive() -> None:
    """An empty place is told as such."""
    with pytest.raises(ArchiveMissing, match=r"strongroom\.json"):
        Archive.open(Memory())


MARKED = {
    "format": 1,
    "kind": "archive",
    "id": "x",
    "objects": "sha256",
    "created_at": "2026-03-01T02:30:00.000000Z",
}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ObjectCorrupt),
        (b"[]", ObjectCorrupt),
        (canonical.encode({"format": 1, "kind": "archive", "id": "x", "objects": "sha256"}), ObjectCorrupt),
        (canonical.seal({"format": 1, "kind": "archive", "id": 7, "objects": "sha256"}), ObjectCorrupt),
        (canonical.seal({"format": 2, "kind": "archive", "id": "x", "objects": "sha256"}), FormatUnknown),
        (canonical.seal({**MARKED, "objects": "keyed"}), FormatUnknown),
        (canonical.seal({**MARKED, "created_at": "yesterday"}), ObjectCorrupt),
        (canonical.seal({**MARKED, "encryption": "rot13", "format": 2}), FormatUnknown),
        (canonical.seal({**MARKED, "encryption": "aes256-gcm-hkdf-sha256-64k"}), FormatUnknown),
    ],
)
def test_another_mark_is_refused(data: bytes, error: type[StorageError]) -> None:
    """Damaged, newer, or with objects named by a scheme not known."""
    backend = Memory()
    backend.put_new(MARK, [data])

    with pytest.raises(error):
        Archive.open(backend)


def test_snapshots_come_by_time_taken() -> None:
    """Not by number: an older export may be imported later."""
    archive = new_archive()
    nights = [2, 0, 1]
    for night in nights:
        write(archive, {"a": b"%d" % night}, night=night)

    assert [s.manifest.number for s in archive.snapshots()] == [2, 3, 1]


def test_scopes_are_told_from_names() -> None:
    """Each scope that has or had a snapshot, whatever became of its files."""
    archive = new_archive()
    forgotten = write(archive, {}, key=OFFICE)
    damaged = write(archive, {}, key=LAB)
    drop(archive, forgotten, now=START)
    overwrite(archive.backend, damaged.name, b"rot")
    archive.backend.put_new("snapshots/stray", [b""])

    assert archive.scopes() == [LAB, OFFICE]


@pytest.mark.parametrize("both", [False, True])
def test_a_tombstone_makes_a_snapshot_forgotten(both: bool) -> None:
    """Whether the manifest was deleted yet or not: the head stays, the snapshot is not live."""
    archive = new_archive()
    first = write(archive, {"a": b"1"})
    data = archive.backend.get(first.name)
    drop(archive, first, now=START)
    if both:
        archive.backend.put_new(first.name, [data])

    assert archive.snapshots() == []
    assert [tomb.id for tomb in archive.tombstones()] == [first.id]
    assert archive.head(LAB) == (1, first.id)
    assert write(archive, {"a": b"2"}).manifest.previous == first.id


def test_the_head_behind_a_damaged_tombstone_is_its_manifest() -> None:
    """Where both are there and one is whole, the chain goes on from it."""
    archive = new_archive()
    first = write(archive, {})
    archive.backend.put_new(snapshot.tombstone_name(LAB, 1), [b"rot"])

    assert archive.head(LAB) == (1, first.id)


def test_a_newer_head_stops_the_chain() -> None:
    """A newer version wrote it: nothing is written behind it."""
    archive = new_archive()
    first = write(archive, {})
    value = canonical.unseal(archive.backend.get(first.name)) | {"format": 4}
    overwrite(archive.backend, first.name, canonical.seal(value))

    before = set(archive.backend.list("snapshots/"))
    with pytest.raises(FormatUnknown, match="nothing is written behind it") as told:
        write(archive, {}, night=1)
    assert "upgrade" in told.value.hint
    assert set(archive.backend.list("snapshots/")) == before


def test_foreign_files_in_a_chains_folder_do_not_matter() -> None:
    """A copy made by hand is no link."""
    archive = new_archive()
    first = write(archive, {})
    for name in ("notes.txt", "00000001.json.bak", "abc.json"):
        archive.backend.put_new(snapshot.chain_folder(LAB) + name, [b"x"])

    assert archive.head(LAB) == (1, first.id)
    assert archive.snapshots() == [first]


def test_a_manifest_under_another_number_is_damage() -> None:
    """Files that changed places do not pass."""
    archive = new_archive()
    one, two = write(archive, {"a": b"1"}), write(archive, {"a": b"2"}, night=1)
    data = archive.backend.get(one.name)
    overwrite(archive.backend, two.name, data)
    damaged: list[Damaged] = []

    assert archive.snapshots(damaged=damaged) == [one]
    assert [bad.name for bad in damaged] == [two.name]


def test_an_id_may_be_shortened_to_four_characters() -> None:
    """In any case of letters; shorter or unknown is refused."""
    archive = new_archive()
    found = write(archive, {})

    assert archive.find(found.id) == archive.find(found.id[:4]) == archive.find(found.id[:9].upper()) == found
    for ref in (found.id[:3], "", "zzzz", found.id + "0"):
        with pytest.raises(SnapshotUnknown, match="no snapshot"):
            archive.find(ref)


def test_a_beginning_that_fits_two_is_refused() -> None:
    """Manifests are made until two share four characters, which the birthday paradox brings soon."""
    archive = new_archive()
    manifest = write(archive, {}).manifest
    seen: dict[str, int] = {}
    while max(seen.values(), default=0) < 2:
        key = ScopeKey("lab", str(len(seen)))
        data = snapshot.encode(replace(manifest, draft=draft(key)))
        archive.backend.put_new(snapshot.manifest_name(key, 1), [data])
        ref = snapshot.decode(data, "").id[:4]
        seen[ref] = seen.get(ref, 0) + 1
    (twice,) = (ref for ref, count in seen.items() if count == 2)

    with pytest.raises(SnapshotUnknown, match="2 snapshots"):
        archive.find(twice)


def test_latest_is_the_newest_verified_one() -> None:
    """A newer quarantined one does not count, unless there is no other."""
    archive = new_archive()
    bad = write(archive, {"a": b"0"}, key=OFFICE, quality=Quality.QUARANTINED)
    good = write(archive, {"a": b"1"}, night=1)
    write(archive, {"a": b"2"}, night=2, quality=Quality.QUARANTINED)

    assert archive.find("latest") == good
    assert archive.find("latest", source="lab") == good
    assert archive.find("latest", source=OFFICE.source, scope=OFFICE.scope) == bad
    with pytest.raises(SnapshotUnknown, match="no snapshot of source nowhere"):
        archive.find("latest", source="nowhere")


def test_damage_elsewhere_hides_no_snapshot() -> None:
    """By its id a snapshot is found beside damaged ones; `latest` does not quietly become an older one."""
    archive = new_archive()
    one, two = write(archive, {"a": b"1"}), write(archive, {"a": b"2"}, night=1)
    other = write(archive, {"a": b"3"}, key=OFFICE, night=2)
    overwrite(archive.backend, two.name, b"rot")

    assert archive.find(one.id[:8]) == one
    assert archive.find("latest", source="office") == other
    with pytest.raises(ObjectCorrupt, match="latest"):
        archive.find("latest", source=LAB.source, scope=LAB.scope)


def test_damage_in_the_middle_of_a_chain_does_not_matter_to_latest() -> None:
    """The newest is whole, so the newest is given."""
    archive = new_archive()
    chain = [write(archive, {"a": b"%d" % n}, night=n) for n in range(3)]
    overwrite(archive.backend, chain[1].name, b"rot")

    assert archive.find("latest") == chain[2]
    with pytest.raises(ObjectCorrupt):
        archive.snapshots()


def test_what_is_whole_is_read_beside_a_pack_that_is_gone() -> None:
    """A snapshot of two packs gives the file of the one that is left."""
    archive = new_archive()
    first = write(archive, {"a": b"old"})
    second = write(archive, {"a": b"old", "b": b"new"}, night=1)
    archive.backend.delete(pack_name(pack_of(archive, first, "a")))
    entries = {entry.path: entry for entry in archive.entries(second)}
    reader = archive.reader(second)

    assert b"".join(reader.chunks(entries["b"])) == b"new"
    with pytest.raises(ObjectMissing):
        reader.prove(entries["a"])


def test_a_read_only_copy_is_enough() -> None:
    """Opening, listing and reading write nothing."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    twin = Archive.open(ReadOnly(copy(archive.backend)))

    assert (twin.id, twin.snapshots(), twin.scopes()) == (archive.id, [found], [LAB])
    assert read(twin, twin.find("latest")) == {"a": b"1"}


def test_a_record_is_kept_once() -> None:
    """The first stands."""
    archive = new_archive()

    assert archive.put_record("20260301-x", b"first")
    assert not archive.put_record("20260301-x", b"second")
    assert list(archive.records()) == [("records/202603/20260301-x.json", b"first")]


@pytest.mark.parametrize("run_id", ["../../../x", "2026/../../x", "a b"])
def test_a_hostile_run_id_makes_no_file(run_id: str) -> None:
    """Names are checked where they become names of files."""
    archive = new_archive()
    with pytest.raises(ValueError, match="not a name"):
        archive.put_record(run_id, b"")

    assert list(archive.records()) == []


def test_an_archive_is_read_while_others_write_and_sweep(tmp_path: Path) -> None:
    """Readers in one thread see whole snapshots only, whatever another thread does meanwhile."""
    archive = new_archive(LocalDisk(tmp_path))
    write(archive, {"a": b"0"})
    done = threading.Event()
    problems: list[BaseException] = []
    looks = 0

    def look() -> None:
        nonlocal looks
        reader = Archive.open(LocalDisk(tmp_path))
        try:
            while not done.is_set():
                for found in reader.snapshots():
                    assert read(reader, found)["a"] == b"%d" % (found.manifest.number - 1)
                    looks += 1
        except BaseException as exc:
            problems.append(exc)

    thread = threading.Thread(target=look)
    thread.start()
    for night in range(1, 12):
        found = write(archive, {"a": b"%d" % night}, night=night)
        if night % 3 == 0:
            drop(archive, found, now=START + night * NIGHT)
            sweep(archive, now=START + night * NIGHT)
    done.set()
    thread.join()

    assert (problems, looks > 0) == ([], True)


def test_a_url_is_a_folder(tmp_path: Path) -> None:
    """Absolute, relative to the configuration, or with file://; another kind is refused."""
    assert open_url(str(tmp_path)).url == str(tmp_path)
    assert open_url("archive", base=tmp_path).url == str(tmp_path / "archive")
    assert open_url(f"file://{tmp_path}").url == str(tmp_path)
    with pytest.raises(StorageError, match="s3"):
        open_url("s3://bucket/key?secret=x")


def test_a_draft_carries_the_dialects_words() -> None:
    """What the vendor said comes back as it was said."""
    archive = new_archive()
    found = Writer(archive, LAB).commit(draft(vendor={"said": {"nested": [1, None, "é"]}}), clock=lambda: START)

    assert archive.find(found.id).manifest.draft.vendor == {"said": {"nested": [1, None, "é"]}}
