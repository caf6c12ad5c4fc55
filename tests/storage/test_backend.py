"""What every place for bytes promises, and what a folder promises besides."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backend import Backend, LocalDisk, Memory, check_name
from storage.errors import BackendFailed, ObjectMissing, StorageError

HOSTILE = ["", "/etc/passwd", "../x", "a/../b", "a//b", ".hidden", "a/.b", "a b", "a\\b", "a\0b", "é", "C:/x"]
HOSTILE += ["tmp/x", "tmp", "a/", "x" * 241, "/".join(["y" * 200] * 5)]


class BackendContract:
    """Subclass it with a `backend` fixture: a new place for bytes is tested by five lines."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        raise NotImplementedError

    def test_gives_back_what_was_put(self, backend: Backend) -> None:
        """Chunks put come back as one, and its size is theirs."""
        assert backend.put_new("packs/ab/x.pack", [b"one", b"", b"two"])

        assert backend.get("packs/ab/x.pack") == b"onetwo"
        assert backend.size("packs/ab/x.pack") == 6

    def test_gives_ranges(self, backend: Backend) -> None:
        """A range beyond the end is shorter, never an error."""
        backend.put_new("a", [b"0123456789"])

        assert backend.get("a", 2, 3) == b"234"
        assert backend.get("a", 8, 10) == b"89"
        assert backend.get("a", 12, 1) == b""
        assert backend.get("a", 7) == b"789"

    def test_keeps_an_empty_file(self, backend: Backend) -> None:
        """A file of no bytes exists, and exists once."""
        assert backend.put_new("empty", [])

        assert backend.size("empty") == 0
        assert not backend.put_new("empty", [])

    def test_never_overwrites(self, backend: Backend) -> None:
        """The second writer is told, and the first bytes stay."""
        backend.put_new("a", [b"first"])

        assert not backend.put_new("a", [b"second"])
        assert backend.get("a") == b"first"

    def test_tells_what_is_not_there(self, backend: Backend) -> None:
        """Reading nothing raises, asking for its size and deleting it do not."""
        with pytest.raises(ObjectMissing, match="a/b"):
            backend.get("a/b")

        assert backend.size("a/b") is None
        backend.delete("a/b")

    def test_forgets_what_is_deleted(self, backend: Backend) -> None:
        """After a delete the name is free again."""
        backend.put_new("a/b", [b"1"])
        backend.delete("a/b")

        assert list(backend.list("")) == []
        assert backend.put_new("a/b", [b"2"])

    def test_lists_by_prefix_in_order(self, backend: Backend) -> None:
        """A prefix is text, with or without a slash at its end."""
        for name in ("b/2", "b/1", "bc/1", "a", "b/x/y"):
            backend.put_new(name, [b""])

        assert list(backend.list("")) == ["a", "b/1", "b/2", "b/x/y", "bc/1"]
        assert list(backend.list("b/")) == ["b/1", "b/2", "b/x/y"]
        assert list(backend.list("b")) == ["b/1", "b/2", "b/x/y", "bc/1"]
        assert list(backend.list("b/x/")) == ["b/x/y"]
        assert list(backend.list("none/")) == []

    @pytest.mark.parametrize("name", HOSTILE)
    def test_refuses_hostile_names(self, backend: Backend, name: str) -> None:
        """No verb takes a name that could leave the archive or that some place cannot hold."""
        for call in (backend.get, backend.size, backend.delete, lambda n: backend.put_new(n, [b""])):
            with pytest.raises(ValueError, match="not a name"):
                call(name)

    def test_refuses_hostile_prefixes(self, backend: Backend) -> None:
        """Listing stays inside as well."""
        for prefix in ("../", "/etc/", "a/../"):
            with pytest.raises(ValueError, match="not a name"):
                list(backend.list(prefix))

    @pytest.mark.parametrize("data", [b"", b"the very same bytes object"])
    def test_lets_exactly_one_of_many_writers_win(self, backend: Backend, data: bytes) -> None:
        """Eight threads put one name at once, even with one and the same bytes object."""
        gate = threading.Barrier(8)
        won: list[bool] = []

        def put() -> None:
            gate.wait()
            won.append(backend.put_new("race/a", [data]))

        threads = [threading.Thread(target=put) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(won) == [False] * 7 + [True]
        assert backend.get("race/a") == data

    def test_leaves_nothing_of_a_put_that_broke_off(self, backend: Backend) -> None:
        """A source that fails half-way leaves no file and no name."""

        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise KeyError("source went away")

        with pytest.raises(KeyError):
            backend.put_new("a", chunks())

        assert backend.size("a") is None
        assert list(backend.list("")) == []


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return Memory()


class TestLocalDisk(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return LocalDisk(tmp_path / "deep" / "archive")


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_holds_nothing_half_written_under_a_name(tmp_path: Path) -> None:
    """While chunks come in, only `tmp/` has a file; the name appears with the last one."""
    seen: list[list[str]] = []

    def chunks() -> Iterator[bytes]:
        yield b"1"
        seen.append(names_below(tmp_path))
        yield b"2"

    LocalDisk(tmp_path).put_new("a/b", chunks())

    assert [name.split("/")[0] for name in seen[0]] == ["tmp"]
    assert names_below(tmp_path) == ["a/b"]


def test_files_are_made_read_only_and_folders_private(tmp_path: Path) -> None:
    """Nobody else reads an archive, and a slip of the hand does not change a file."""
    LocalDisk(tmp_path / "archive").put_new("a/b", [b"1"])

    assert stat.S_IMODE((tmp_path / "archive/a/b").stat().st_mode) == 0o400
    assert {stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("archive", "archive/a")} == {0o700}


def test_reading_makes_no_file_and_no_folder(tmp_path: Path) -> None:
    """An archive that is only read stays as it was, down to its folders."""
    disk = LocalDisk(tmp_path / "archive")

    assert list(disk.list("")) == []
    assert disk.size("a") is None
    assert not (tmp_path / "archive").exists()


def test_droppings_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    """What a file manager leaves in a folder is no file of the archive."""
    disk = LocalDisk(tmp_path)
    disk.put_new("snapshots/lab/all/00000001.json", [b"1"])
    for name in (".DS_Store", "._00000001.json", "Thumbs db"):
        (tmp_path / "snapshots/lab/all" / name).write_bytes(b"")

    assert list(disk.list("")) == ["snapshots/lab/all/00000001.json"]


def test_a_folder_that_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable folder raises: what it holds would look unneeded otherwise."""
    disk = LocalDisk(tmp_path)
    disk.put_new("a/b", [b"1"])

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BackendFailed, match="Permission denied"):
        list(disk.list(""))


@pytest.mark.parametrize("call", ["fsync", "link", "chmod"])
def test_a_disk_that_refuses_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A full disk at any step: the error is ours, with a hint, and no name and no scratch file stay."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(BackendFailed, match="No space left") as caught:
            LocalDisk(tmp_path).put_new("a", [b"1"])

    assert "disk is full" in caught.value.hint
    assert names_below(tmp_path) == []
    assert LocalDisk(tmp_path).put_new("a", [b"1"])


def test_a_vanished_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file that stands where a folder should be is told as BackendFailed, not as an OSError."""
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(StorageError):
        LocalDisk(tmp_path).put_new("a/b", [b"1"])


def test_what_a_killed_process_left_half_written_goes_after_a_day(tmp_path: Path) -> None:
    """The next writer removes old scratch files and leaves young ones, which may be another's work."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    (scratch / "1-old").write_bytes(b"x")
    (scratch / "2-young").write_bytes(b"x")
    young = (scratch / "2-young").stat().st_mtime
    os.utime(scratch / "1-old", (young - 90_000, young - 90_000))

    LocalDisk(tmp_path).put_new("a", [b"1"])

    assert names_below(tmp_path) == ["a", "tmp/2-young"]


def test_plain_names_pass() -> None:
    """Names of ours are taken as they are."""
    for name in ("strongroom.json", "packs/ab/abcd.pack", "snapshots/%4cab/group_1/00000001.forgotten.json"):
        assert check_name(name) == name
