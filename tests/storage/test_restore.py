"""Giving files back: whole or not at all, below the target or not at all, and none instead of another."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.archive import Archive
from storage.backend import Memory
from storage.cipher import HEADER
from storage.errors import BackendFailed, ObjectMissing
from storage.index import pack_name
from storage.places import places, safe_path
from storage.restore import Lost, Restored, restore
from tests.doubles import (
    Below,
    FaultyBackend,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    stored_in,
    write,
)

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "//server/share",
    "/etc/passwd",
    "C:\\Windows\\system.ini",
    "..\\..\\x",
    "a/../../b",
    "a\0b",
    "\x1b[2J",
    "con",
    " . ",
    "...",
    "x" * 300 + ".zip",
    "é" * 150,
    "/".join(["deep"] * 2000),
    "\u202egpj.exe",
    "~/x",
    "-rf",
    "a//b",
]
NAMES = st.text(st.sampled_from("aAbé./\\:\0~ 2"), max_size=8) | st.sampled_from(HOSTILE) | st.text(max_size=12)


def back(archive: Archive, to: Path) -> dict[str, bytes]:
    """Path in the target to bytes, for every file that was given back."""
    results = restore(archive, archive.find("latest"), to)
    return {r.path.relative_to(to).as_posix(): r.path.read_bytes() for r in results if isinstance(r, Restored)}


def below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def test_files_come_back_bit_for_bit(tmp_path: Path) -> None:
    """Names and bytes, folders and empty files."""
    archive = new_archive()
    files = {"a/b/c.zip": noise(9000, 1), "a/d": b"", "e f é": b"2"}
    write(archive, files)

    assert back(archive, tmp_path / "new" / "folder") == files


def test_hostile_names_never_leave_the_target(tmp_path: Path) -> None:
    """All of them at once: every file is there, below the target, and nothing beside it."""
    archive = new_archive()
    files = {name: b"%d" % place for place, name in enumerate(HOSTILE)}
    write(archive, files)
    target = tmp_path / "outer" / "target"
    found = back(archive, target)

    assert sorted(found.values()) == sorted(files.values())
    assert below(tmp_path / "outer") == sorted(f"target/{name}" for name in found)
    assert [p.name for p in tmp_path.iterdir()] == ["outer"]


@given(st.lists(NAMES, max_size=20))
def test_every_name_has_a_place_of_its_own(names: list[str]) -> None:
    """Below the target, short enough, told apart without case, none a folder of another, the same again."""
    chosen = places(names)
    folded = [place.as_posix().casefold() for place in chosen]

    assert len(set(folded)) == len(names)
    assert not {str(parent) for one in folded for parent in PurePosixPath(one).parents} & set(folded)
    for place in chosen:
        assert not place.is_absolute()
        assert ".." not in place.parts
        assert all(0 < len(part.encode()) <= 255 for part in place.parts)
        assert len(place.as_posix().encode()) < 1100
        assert not any(ord(c) < 32 or c in "\\:" for c in str(place))
    assert places(names) == chosen


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b.zip", "a/b.zip"),
        ("../../a", "a"),
        ("/a//b/", "a/b"),
        ("C:\\x\\y", "C_/x/y"),
        ("a\nb", "a_b"),
        ("", "unnamed"),
        ("../..", "unnamed"),
        ("n" * 250 + ".zip", "n" * 196 + ".zip"),
    ],
)
def test_a_name_is_cleaned_in_a_way_that_can_be_read(name: str, path: str) -> None:
    """What is harmless stays as it is."""
    assert safe_path(name).as_posix() == path


def test_names_that_clean_to_one_path_all_come_back(tmp_path: Path) -> None:
    """Honest ones keep their name, the others step aside; nothing is overwritten or lost."""
    archive = new_archive()
    files = {"../a.txt": b"1", "/a.txt": b"2", "a.txt": b"3", "A.TXT": b"4", "a.txt/inner": b"5"}
    write(archive, files)
    found = back(archive, tmp_path)

    assert (found["A.TXT"], found["a~2.txt"]) == (b"4", b"3")
    assert sorted(found.values()) == sorted(files.values())


def test_a_symbolic_link_in_the_target_is_not_followed(tmp_path: Path) -> None:
    """A folder that somebody planted leads nowhere."""
    archive = new_archive()
    write(archive, {"sub/x": b"1"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target/sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendFailed, match="symbolic link"):
        restore(archive, archive.find("latest"), tmp_path / "target")

    assert below(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("what", ["link", "fifo", "folder"])
def test_something_that_is_no_file_is_not_written_through(tmp_path: Path, what: str) -> None:
    """A planted link, pipe or folder under the file's own name stops the restore, and does not hang it."""
    archive = new_archive()
    write(archive, {"x": b""})
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    target = tmp_path / "target"
    target.mkdir()
    if what == "link":
        (target / "x").symlink_to(outside)
    elif what == "fifo":
        os.mkfifo(target / "x")
    else:
        (target / "x").mkdir()
    with pytest.raises(BackendFailed, match="no plain file"):
        restore(archive, archive.find("latest"), target)

    assert outside.read_bytes() == b""


@pytest.mark.parametrize("there", [b"xyz", b"other length", b""])
def test_another_file_is_not_overwritten(tmp_path: Path, there: bytes) -> None:
    """Equal name, other bytes: an error, and the file stays."""
    archive = new_archive()
    write(archive, {"a": b"abc"})
    (tmp_path / "a").write_bytes(there)
    with pytest.raises(BackendFailed, match="different file"):
        restore(archive, archive.find("latest"), tmp_path)

    assert (tmp_path / "a").read_bytes() == there
    assert below(tmp_path) == ["a"]


def test_restoring_again_changes_nothing(tmp_path: Path) -> None:
    """Files that are there with the right bytes are left alone, down to their inode."""
    archive = new_archive()
    write(archive, {"a": b"abc", "../a": b"def"})
    first = back(archive, tmp_path)
    inodes = {name: (tmp_path / name).stat().st_ino for name in first}

    assert back(archive, tmp_path) == first
    assert {name: (tmp_path / name).stat().st_ino for name in first} == inodes


def two_packs(secret: str | None = None) -> tuple[Archive, str]:
    """A snapshot whose file "a" lies in an older pack, which is named."""
    archive = new_archive(None, secret)
    old = pack_of(archive, write(archive, {"a": noise(500, 1)}), "a")
    write(archive, {"a": noise(500, 1), "b": b"new"}, night=1)
    return archive, pack_name(old)


@pytest.mark.parametrize("damage", ["gone", "empty", "flipped", "cut"])
def test_a_damaged_file_is_lost_and_the_rest_comes_back(tmp_path: Path, damage: str, secret: str | None) -> None:
    """Named with its problem; nothing appears under its name, and no scratch file stays."""
    archive, name = two_packs(secret)
    stored = Below(archive)
    data = stored.get(name)
    spoiled = {"empty": b"", "flipped": data[:60] + bytes([data[60] ^ 1]) + data[61:], "cut": data[:-9]}
    stored.delete(name)
    if damage != "gone":
        stored.put_new(name, [spoiled[damage]])
    archive = opened(stored_in(archive))  # one that knew the pack's footer would not read it again
    lost, restored = restore(archive, archive.find("latest"), tmp_path)

    assert isinstance(lost, Lost)
    assert (lost.entry.path, name in lost.problem) == ("a", True)
    assert isinstance(restored, Restored)
    assert (tmp_path / "b").read_bytes() == b"new"
    assert below(tmp_path) == ["b"]


def test_a_disk_that_cannot_read_one_pack_loses_one_file(tmp_path: Path, secret: str | None) -> None:
    """An unreadable sector is told per file, too."""

    class BadSector(FaultyBackend):
        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            if name == bad and offset in (40, HEADER.size):
                raise BackendFailed(f"{name}: Input/output error")
            return super().get(name, offset, length)

    archive, bad = two_packs(secret)
    results = restore(opened(BadSector(stored_in(archive))), archive.find("latest"), tmp_path)

    assert [type(r) for r in results] == [Lost, Restored]
    assert below(tmp_path) == ["b"]


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """The sum of what is told is the size of the snapshot."""
    archive = new_archive(Memory())
    found = write(archive, {"a": noise(5 << 20, 2), "b": b"123"})
    seen: list[int] = []
    restore(archive, found, tmp_path, on_bytes=seen.append)

    assert sum(seen) == found.manifest.size


def test_a_snapshot_whose_listing_is_gone_raises(tmp_path: Path) -> None:
    """Nothing is known of its files, so nothing is passed over in silence."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    (listing,) = set(found.manifest.packs) - {pack_of(archive, found, "a")}
    overwrite(archive.backend, pack_name(listing), b"rot")

    with pytest.raises(ObjectMissing, match=listing):
        restore(archive, found, tmp_path)
    assert below(tmp_path) == []
