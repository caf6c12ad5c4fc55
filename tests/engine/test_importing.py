"""Exports that somebody already has: taken in with the same checks, kept bit for bit, whatever they are."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.errors import ConfigError, Exit
from flows.export import Scope
from flows.importing import Imported, import_files
from flows.sources.rspace import RSPACE
from storage.latest import newest_counted
from storage.records import Ended
from storage.restore import restore
from storage.snapshot import ScopeKey
from storage.verify import Quality
from tests.engine.bench import Bench, by_name

REAL = os.environ.get("STRONGROOM_REAL_EXPORTS", "")


def _exported(bench: Bench, scope: str, name: str = "") -> Path:
    """A file as the demo server made it, on disk."""
    bench.run(scope)
    number = max(bench.world.jobs)
    path = bench.folder / (name or bench.world.jobs[number].zip_name)
    path.write_bytes(bench.served(number))
    return path


def _imported(bench: Bench, scope: str, *files: Path, at: datetime | None = None) -> list[Imported]:
    wanted: Scope = RSPACE.parse_scope(scope)
    return import_files(bench.archive, bench.catalog, RSPACE, "old", wanted, files, at=at, clock=bench.clock)


def _selection(bench: Bench) -> str:
    return "selection:" + ",".join(str(d.id) for d in bench.world.lab.documents_of(1)[:2])


@pytest.mark.parametrize("form", ["", ":html"])
@pytest.mark.parametrize("kind", ["user", "group", "selection"])
def test_a_sound_export_is_verified_as_far_as_can_be(bench: Bench, kind: str, form: str) -> None:
    """Structure and manifest pass; what nobody promised is *not available* and says so."""
    scope = (_selection(bench) if kind == "selection" else kind) + form
    file = _exported(bench, scope)

    (got,) = _imported(bench, scope, file)

    assert (got.record.ended, got.record.exit_code, got.record.trigger) == (Ended.VERIFIED, 0, "import")
    assert by_name(got.record.checks) == {
        "size": "not available", "crc32": "not available", "zip structure": "passed", "made by": "passed",
        "scope": "passed", "format": "passed", "export date": "not available",
        "read back from the archive": "passed", "level": "not available",
    }  # fmt: skip
    assert all(check.reason for check in got.record.checks if check.outcome == "not available")
    assert bench.content(got.snapshot) == file.read_bytes()
    assert "imported" in got.snapshot.manifest.draft.notes[0]
    bench.recorded(got.record)


@pytest.mark.parametrize(("made", "said"), [("user", "group"), ("group", "user"), ("user", "user:html")])
def test_an_export_of_something_else_is_quarantined(bench: Bench, made: str, said: str) -> None:
    """The file's own manifest contradicts the scope that was named: kept, and not counted."""
    file = _exported(bench, made)

    (got,) = _imported(bench, said, file)

    assert (got.record.ended, got.record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert "promised" in got.record.reason
    assert got.record.hint
    assert bench.content(got.snapshot) == file.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flip", "page", "empty", "no manifest"])
def test_a_broken_file_is_quarantined_and_comes_back_bit_for_bit(bench: Bench, damage: str) -> None:
    """A damaged backup is better than none: it is kept as it is, and restored as it was."""
    file = _exported(bench, "user", "broken.zip")
    data = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        member = max(archive.infolist(), key=lambda info: info.compress_size)
    middle = member.header_offset + 200 + member.compress_size // 2
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("notes.txt", "no export")
    file.write_bytes({
        "cut": data[: len(data) // 2],
        "flip": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "page": b"<!doctype html><html><body>Please log in</body></html>",
        "empty": b"",
        "no manifest": foreign.getvalue(),
    }[damage])  # fmt: skip
    broken = file.read_bytes()

    (got,) = _imported(bench, "user", file)

    assert got.snapshot.manifest.draft.quality is Quality.QUARANTINED
    assert newest_counted(bench.archive, ScopeKey("old", "user"), now=bench.clock.now()) is None
    restore(bench.archive, got.snapshot, bench.folder / "back")
    assert (bench.folder / "back" / "broken.zip").read_bytes() == broken


@pytest.mark.parametrize(
    ("off_days", "outcome"), [(0, "passed"), (1, "passed"), (-1, "passed"), (3, "failed"), (-3, "failed")]
)
def test_a_given_time_is_held_against_the_export_date(bench: Bench, off_days: int, outcome: str) -> None:
    """Within a day, for the sake of time zones; beyond it the file is not what was said."""
    at = bench.clock.now() + timedelta(days=off_days)
    file = _exported(bench, "user")
    bench.clock.sleep(5 * 86400)  # imported later: a date ahead of the clock is refused before all

    (got,) = _imported(bench, "user", file, at=at)

    assert by_name(got.record.checks)["export date"] == outcome
    assert got.snapshot.manifest.draft.taken_at == at


def test_a_time_in_the_future_is_refused(bench: Bench) -> None:
    """It would make every night until then look superfluous."""
    file = _exported(bench, "user")
    before = bench.archive.snapshots()

    with pytest.raises(ConfigError, match="lies in the future"):
        _imported(bench, "user", file, at=bench.clock.now() + timedelta(days=1))

    assert bench.archive.snapshots() == before


def test_files_are_taken_in_by_their_own_dates(bench: Bench) -> None:
    """Whatever the order they are named in: the oldest first, at the date of its manifest."""
    files = []
    for number in range(3):
        files.append(_exported(bench, "user", f"{9 - number}.zip"))
        bench.world.pass_nights(2)

    got = _imported(bench, "user", files[1], files[2], files[0])

    assert [item.file for item in got] == files
    assert [f"{item.snapshot.manifest.draft.taken_at:%m-%d %H}" for item in got] == [
        "11-16 00",
        "11-18 00",
        "11-20 00",
    ]


def _zip_with_manifest(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("RSpace-x/manifest.txt", text)
        archive.writestr("RSpace-x/folderTree.xml", "<folderTree/>")
        archive.writestr("RSpace-x/doc_Notes-7/doc_Notes-7.xml", "<document/>")
        archive.writestr("__MACOSX/manifest.txt", "from a Mac")
    return path


@pytest.mark.parametrize("day", ["", "yesterday", "0001-01-01", "9999-12-31", "2026-02-30"])
def test_a_date_that_cannot_be_gives_way_to_the_file_s_own(bench: Bench, day: str) -> None:
    """And the archive stays readable, whatever a manifest claims."""
    text = f"archiveSource:ResearchSpace\nscope:USER\nexportDate:{day}\n"
    file = _zip_with_manifest(bench.folder / "odd.zip", text)
    written = datetime(2020, 5, 4, 3, 2, 1, tzinfo=UTC)
    os.utime(file, (written.timestamp(), written.timestamp()))

    (got,) = _imported(bench, "user", file)

    assert got.snapshot.manifest.draft.taken_at == written
    assert bench.snapshots() == [got.snapshot]


def test_a_file_zipped_again_on_a_mac_is_an_export_all_the_same(bench: Bench) -> None:
    """The folder that a Mac adds is not taken for the export's."""
    text = "archiveSource:ResearchSpace\nscope:USER\nexportDate:2026-11-16\n"
    file = _zip_with_manifest(bench.folder / "mac.zip", text)

    (got,) = _imported(bench, "user", file)

    assert got.record.ended is Ended.VERIFIED


def test_nothing_is_kept_where_a_file_is_missing(bench: Bench) -> None:
    """One wrong name, and none of the others is taken in either."""
    file = _zip_with_manifest(bench.folder / "one.zip", "exportDate:2026-11-16\n")

    with pytest.raises(ConfigError, match=r"two\.zip: no such file"):
        _imported(bench, "user", file, bench.folder / "two.zip")
    with pytest.raises(ConfigError, match="no such file"):
        _imported(bench, "user", bench.folder)

    assert bench.snapshots() == []


def test_the_same_file_twice_costs_nothing(bench: Bench) -> None:
    """Two snapshots, the bytes once."""
    file = _exported(bench, "user", "same.zip")

    first, second = (_imported(bench, "user", file)[0] for _ in range(2))

    assert first.snapshot.id != second.snapshot.id
    assert second.snapshot.manifest.stored_bytes < first.snapshot.manifest.stored_bytes / 10 + 1000
    assert bench.content(first.snapshot) == bench.content(second.snapshot) == file.read_bytes()


def test_a_long_name_is_shortened_in_what_people_read(bench: Bench) -> None:
    """The whole name of an RSpace file is kept in the listing, where restoring needs it, and nowhere else."""
    file = _exported(bench, "user")

    (got,) = _imported(bench, "group", file)

    (entry,) = bench.archive.entries(got.snapshot)
    assert entry.path == file.name
    assert file.name not in got.record.reason
    assert all(check.file != file.name for check in got.record.checks)


def _scope_of(file: Path) -> str:
    """What a real export holds, by its own manifest."""
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/manifest.txt") and n.count("/") == 1)
        lines = archive.read(name).decode().splitlines()
        form = "xml" if name.replace("manifest.txt", "folderTree.xml") in archive.namelist() else "html"
    kind = next(line.partition(":")[2] for line in lines if line.startswith("scope:")).lower()
    return f"{kind}{':1' if kind == 'selection' else ''}:{form}"


@pytest.mark.optional
@pytest.mark.skipif(not REAL, reason="STRONGROOM_REAL_EXPORTS names no folder")
@pytest.mark.parametrize("file", sorted(Path(REAL).glob("*.zip")) if REAL else [], ids=lambda path: path.name)
def test_a_real_export_comes_back_bit_for_bit(bench: Bench, file: Path) -> None:
    """By import as it is; and served as tonight's by the engine, which rightly quarantines it by its date."""
    (got,) = _imported(bench, _scope_of(file), file)
    bench.world.serve_file = file
    record = bench.run("user")

    served = next(found for found in bench.snapshots() if found.id == record.snapshot)
    assert (got.record.ended, got.record.reason) == (Ended.VERIFIED, "")
    assert bench.content(got.snapshot) == bench.content(served) == file.read_bytes()
    assert record.ended is Ended.QUARANTINED
    assert by_name(record.checks)["crc32"] == by_name(record.checks)["zip structure"] == "passed"
    restore(bench.archive, served, bench.folder / "back")
    assert next((bench.folder / "back").rglob("*.zip")).read_bytes() == file.read_bytes()
