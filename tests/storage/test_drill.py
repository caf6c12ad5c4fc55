"""Drills: a snapshot is given back, proven, measured, and nothing of it stays behind."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import upkeep_records
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.catalog import Catalog
from storage.drill import SCRATCH, Drilled, drill, pick
from storage.errors import BackendFailed, Busy, SnapshotUnknown
from storage.index import pack_name
from storage.keyring import Keyring
from storage.snapshot import Snapshot, record_name
from storage.upkeep import NO_CATALOG
from storage.verify import Quality
from tests.doubles import (
    NIGHT,
    OFFICE,
    SECRET,
    START,
    Clock,
    ReadOnly,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    write,
)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "c.db") as opened:
        yield opened


def practise(
    archive: Archive, catalog: Catalog | None, found: Snapshot, folder: Path, *, night: int = 0, **other: object
) -> Drilled:
    at = START + (100 + night) * NIGHT
    name = f"{at:%Y%m%d}-drill"
    return drill(archive, catalog, found, folder, record_id=name, clock=Clock(at), **other)  # type: ignore[arg-type]


def zipped(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("top/a.xml", text)
    return made.getvalue()


def test_a_drill_gives_everything_back_and_leaves_a_record_only(tmp_path: Path, catalog: Catalog) -> None:
    """Files, bytes and time in archive and catalog; the scratch is gone."""
    archive = new_archive()
    found = write(archive, {"a.zip": zipped(b"text"), "b/c": noise(900, 1)})
    done = practise(archive, catalog, found, tmp_path / "drill")
    name = record_name(done.record.id)

    assert done.record.passed
    assert done.unrecorded == ""
    assert (done.record.files, done.record.size) == (2, found.manifest.size)
    assert done.record.milliseconds == 1000  # between two readings of the clock
    assert upkeep_records.decode(archive.backend.get(name), name) == done.record
    last = catalog.readings.last_drill()
    assert last is not None
    assert (last.snapshot, last.outcome, last.milliseconds) == (found.id, "passed", 1000)
    assert list((tmp_path / "drill").iterdir()) == []


def test_drills_go_round(tmp_path: Path, catalog: Catalog) -> None:
    """Each time the snapshot drilled least recently, the newest first."""
    archive = new_archive()
    with pytest.raises(SnapshotUnknown, match="no snapshot"):
        pick(archive, catalog)
    made = [write(archive, {"a": b"%d" % n}, night=n) for n in range(3)]
    order = []
    for night in range(5):
        found = pick(archive, catalog)
        order.append(made.index(found))
        practise(archive, catalog, found, tmp_path, night=night)

    assert order == [2, 1, 0, 2, 1]


def test_what_needs_a_new_key_is_drilled_first(tmp_path: Path, catalog: Catalog) -> None:
    """Once after each rotation, whatever its date; then all have their turn, and each says by which key it was."""
    memory = Memory()
    made = [write(new_archive(memory, SECRET), {"a": b"%d" % night}, night=night) for night in (5, 6)]
    Keyring.open(memory, SECRET).rotate(SECRET, now=START)
    made += [write(opened(memory), {"a": b"%d" % night}, night=night) for night in (1, 2)]
    archive, drills = opened(memory), []
    for night in range(5):
        drills.append(practise(archive, catalog, pick(archive, catalog), tmp_path, night=night))

    assert [[one.id for one in made].index(done.record.snapshot) for done in drills] == [3, 1, 0, 2, 3]
    assert [done.key for done in drills] == [(2, 2), (1, 2), (1, 2), (2, 2), (2, 2)]
    assert [done.sentence()[-10:] for done in drills[:2]] == ["key 2 of 2", "key 1 of 2"]


def test_what_cannot_be_given_back_is_a_problem_with_its_file(tmp_path: Path, catalog: Catalog) -> None:
    """The rest is tried, the record says failed, and the next drill takes another snapshot."""
    archive = new_archive()
    other = write(archive, {"z": b"other"}, key=OFFICE)
    found = write(archive, {"a": noise(1 << 20, 1), "b": noise(600, 2)}, night=1)
    name = pack_name(pack_of(archive, found, "a"))
    data = bytearray(archive.backend.get(name))
    data[60] ^= 1
    overwrite(archive.backend, name, bytes(data))
    done = practise(archive, catalog, pick(archive, catalog), tmp_path)

    assert done.record.snapshot == found.id
    assert not done.record.passed
    assert done.record.files == 1
    (problem,) = done.record.problems
    assert problem.startswith("a: ")
    assert pick(archive, catalog) == other
    assert not (tmp_path / SCRATCH).exists()


def test_a_snapshot_without_a_listing_has_failed(tmp_path: Path, catalog: Catalog) -> None:
    """Nothing could be given back at all."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    (listing,) = set(found.manifest.packs) - {pack_of(archive, found, "a")}
    archive.backend.delete(pack_name(listing))
    record = practise(archive, catalog, found, tmp_path).record

    assert (record.passed, record.files) == (False, 0)
    assert "not in the archive" in record.problems[0]


@pytest.mark.parametrize("quality", [Quality.VERIFIED, Quality.QUARANTINED])
def test_a_zip_must_be_sound_unless_in_quarantine(tmp_path: Path, catalog: Catalog, quality: Quality) -> None:
    """Bit for bit is all that can be asked of a file that was kept because it is broken."""
    archive = new_archive()
    found = write(archive, {"a.zip": zipped(b"text")[:-9]}, quality=quality)
    record = practise(archive, catalog, found, tmp_path).record

    assert record.passed is (quality is Quality.QUARANTINED)
    assert all("zip structure: not a readable ZIP" in problem for problem in record.problems)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, catalog: Catalog) -> None:
    """No record: it says nothing about the archive."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    with pytest.raises(BackendFailed, match="1,000 bytes free"):
        practise(archive, catalog, found, tmp_path, free=lambda _: 1000)

    assert catalog.readings.last_drill() is None
    assert not (tmp_path / SCRATCH).exists()


def test_one_drill_at_a_time_in_a_folder(tmp_path: Path, catalog: Catalog) -> None:
    """The second is told, and touches nothing of the first."""
    archive = new_archive()
    found = write(archive, {"a": noise(600, 1)})
    refused: list[Busy] = []

    def second(_: int) -> None:
        with pytest.raises(Busy) as caught:
            practise(archive, None, found, tmp_path)
        refused.append(caught.value)

    assert practise(archive, catalog, found, tmp_path, on_bytes=second).record.passed
    assert refused


def test_a_read_only_archive_is_drilled_without_a_record(tmp_path: Path) -> None:
    """A copy, named by itself."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    done = practise(Archive.open(ReadOnly(archive.backend)), None, found, tmp_path)

    assert (done.record.passed, done.unrecorded) == (True, NO_CATALOG)


DYING = """
import os, sys
from pathlib import Path
from datetime import UTC, datetime
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.drill import drill
archive = Archive.open(LocalDisk(Path(sys.argv[1])))
drill(archive, None, archive.find("latest"), Path(sys.argv[2]), record_id="20260301-x",
      clock=lambda: datetime.now(UTC), on_bytes=lambda _: os.kill(os.getpid(), 9))
"""


def test_what_a_killed_drill_left_goes_at_the_next_one(tmp_path: Path) -> None:
    """kill -9 while it writes: its lock dies with it, and its scratch is removed by who comes next."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    found = write(archive, {"a": noise(600, 1)})
    folder = tmp_path / "drill"
    command = [sys.executable, "-c", DYING, str(tmp_path / "archive"), str(folder)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list((folder / SCRATCH).iterdir())

    assert practise(archive, None, found, folder).record.passed
    assert list(folder.iterdir()) == []
