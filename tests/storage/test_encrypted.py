"""An encrypted backend keeps every backend's promises, and whoever stores its files learns and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import cipher
from storage.backend import Backend, LocalDisk, Memory, check_name
from storage.cipher import FIRST, HEADER, PLAIN, SEGMENT, Key
from storage.encrypted import STRAYS, Encrypted
from storage.errors import ObjectCorrupt, ObjectMissing
from tests.storage.test_backend import BackendContract

ID = "6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70"
KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
BORDERS = [0, 1, FIRST - 9, FIRST - 8, FIRST - 7, FIRST, FIRST + PLAIN - 8, FIRST + PLAIN, FIRST + 3 * PLAIN + 5]


class TestEncryptedMemory(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return Encrypted(Memory(), ID, [KEY])


class TestEncryptedDisk(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return Encrypted(LocalDisk(tmp_path / "archive"), ID, [KEY])


class TestHiddenNames(BackendContract):
    """The same where names are encrypted, too."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return _Below(Encrypted(LocalDisk(tmp_path / "archive"), ID, [KEY]), "snapshots/lab/")


class _Below:
    """A folder of a backend as a backend of its own."""

    def __init__(self, inner: Backend, folder: str) -> None:
        self._inner, self._folder, self.url = inner, folder, inner.url

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._inner.put_new(self._folder + check_name(name), chunks)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(self._folder + check_name(name), offset, length)

    def size(self, name: str) -> int | None:
        return self._inner.size(self._folder + check_name(name))

    def delete(self, name: str) -> None:
        self._inner.delete(self._folder + check_name(name))

    def list(self, prefix: str) -> Iterator[str]:
        check_name(prefix.removesuffix("/") or "all")
        return (name.removeprefix(self._folder) for name in self._inner.list(self._folder + prefix))


@given(st.sampled_from(BORDERS) | st.integers(0, 4 * SEGMENT), st.data())
def test_any_range_is_that_of_the_file(size: int, data: st.DataObject) -> None:
    """Whatever the length and the range: what comes is the slice of what was put."""
    below = Memory()
    backend = Encrypted(below, ID, [KEY])
    content = bytes(at * 37 % 251 for at in range(size % 1000)) * (size // 1000 + 1)
    content = (content or b"\0")[:1] * (size - len(content[:size])) + content[:size]
    cut = data.draw(st.integers(0, size))
    offset = data.draw(st.sampled_from(BORDERS) | st.integers(0, size + 10))
    length = data.draw(st.none() | st.integers(0, size + 10))
    backend.put_new("packs/ab/x.pack", [content[:cut], content[cut:]])

    assert backend.get("packs/ab/x.pack") == content
    assert backend.size("packs/ab/x.pack") == size
    end = None if length is None else offset + length
    assert backend.get("packs/ab/x.pack", offset, length) == content[offset:end]
    (stored,) = below.list("")
    assert size < len(below.get(stored)) <= size * 1.13 + 400


@pytest.mark.parametrize("size", BORDERS)
def test_lengths_are_hidden_in_steps(size: int) -> None:
    """Files of similar lengths have one stored length, and no length is more than an eighth over."""
    assert size + 8 <= cipher.padding(size) <= (size + 8) * 1.125
    assert cipher.padding(cipher.padding(size) - 8) == cipher.padding(size)


@given(st.binary(max_size=2 * SEGMENT), st.data())
def test_a_flipped_bit_shows(content: bytes, data: st.DataObject) -> None:
    """Wherever it is, in header, segments or tags: no byte comes back, whole or as a range."""
    below, name = Memory(), "packs/ab/x.pack"
    Encrypted(below, ID, [KEY]).put_new(name, [content])
    stored = bytearray(below.get(name))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= 1 << data.draw(st.integers(0, 7))
    below.delete(name)
    below.put_new(name, [bytes(stored)])

    backend = Encrypted(below, ID, [KEY])
    with pytest.raises(ObjectCorrupt, match=r"x\.pack"):
        backend.get(name)
    # A range may lie beside the damage; then it is right.
    offset = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(ObjectCorrupt):
        assert backend.get(name, offset, 100) == content[offset : offset + 100]


@given(st.integers(0, 3 * SEGMENT), st.integers(1, 3 * SEGMENT))
def test_a_cut_or_lengthened_file_shows(size: int, cut: int) -> None:
    """A missing end, at any border, is not taken for a shorter file; more bytes are not passed over."""
    below, name = Memory(), "packs/ab/x.pack"
    Encrypted(below, ID, [KEY]).put_new(name, [bytes(size)])
    stored = below.get(name)
    for changed in (stored[:-cut], stored + bytes(cut), stored[: HEADER.size] + stored[HEADER.size + cut :]):
        below.delete(name)
        below.put_new(name, [changed])
        with pytest.raises(ObjectCorrupt):
            Encrypted(below, ID, [KEY]).get(name)
        with pytest.raises(ObjectCorrupt):
            Encrypted(below, ID, [KEY]).get(name, 0, 1)


def test_segments_do_not_change_places() -> None:
    """Two segments of one file swapped: each is whole, and neither is where it was put."""
    below, name = Memory(), "packs/ab/x.pack"
    Encrypted(below, ID, [KEY]).put_new(name, [bytes(4 * SEGMENT)])
    data = below.get(name)
    one, two = 16 + SEGMENT, 16 + 2 * SEGMENT
    below.delete(name)
    below.put_new(name, [data[:one], data[two : two + SEGMENT], data[one:two], data[two + SEGMENT :]])

    with pytest.raises(ObjectCorrupt, match=f"bytes {one} to {two}"):
        Encrypted(below, ID, [KEY]).get(name)


def test_a_file_counts_under_its_own_name_in_its_own_archive_only() -> None:
    """Moved to another name, from an archive with the same key, or with another key: refused each time."""
    below = Memory()
    Encrypted(below, ID, [KEY]).put_new("records/202603/a.json", [b"one"])
    below.put_new("records/202603/b.json", [below.get("records/202603/a.json")])

    with pytest.raises(ObjectCorrupt, match="not what this archive has put there"):
        Encrypted(below, ID, [KEY]).get("records/202603/b.json")
    with pytest.raises(ObjectCorrupt, match="not what this archive has put there"):
        Encrypted(below, ID.replace("6", "7"), [KEY]).get("records/202603/a.json")
    with pytest.raises(ObjectCorrupt, match="which this archive's holder has not") as caught:
        Encrypted(below, ID, [OTHER]).get("records/202603/a.json")
    assert "rotated" in caught.value.hint


def test_plain_bytes_are_refused() -> None:
    """What somebody without the key laid there is not read as if it were ours."""
    below = Memory()
    below.put_new("records/202603/a.json", [b'{"kind":"run"}' * 20])
    below.put_new("records/202603/b.json", [b""])

    for name, got in (("a", "not encrypted"), ("b", "0 bytes")):
        with pytest.raises(ObjectCorrupt, match=got):
            Encrypted(below, ID, [KEY]).get(f"records/202603/{name}.json")


def test_names_tell_nothing_and_belong_to_their_place() -> None:
    """Sources, scopes, numbers and sums of evidence are hidden; one name is stored differently in each folder."""
    below = Memory()
    backend = Encrypted(below, ID, [KEY])
    names = ["decisions/lab/all/00000001.1.json", f"evidence/{'ab' * 32}.bin", "snapshots/lab/all/00000001.json"]
    names += [f"snapshots/{'x' * 200}/{'y' * 200}/00000001.forgotten.json"]
    for name in names:
        assert backend.put_new(name, [b"x"])

    stored = list(below.list(""))
    assert sorted(backend.list("")) == sorted(names)
    assert list(backend.list("snapshots/lab/all/")) == ["snapshots/lab/all/00000001.json"]
    assert not [word for word in ("lab", "all", "0000", "abab", "xx", "json") if word in "".join(stored)]
    assert {len(set(name.split("/"))) for name in stored} != {1}
    moved = stored[-1].replace("snapshots", "decisions")
    below.put_new(moved, [b"x"])
    assert sorted(backend.list("")) == sorted(
        [*names, f"{STRAYS}/{moved}"]
    )  # a name from elsewhere is none of ours
    assert list(backend.list("decisions/")) == names[:1]


def test_a_file_that_was_put_anew_is_read_anew() -> None:
    """Another process repaired a file that this one has opened: its new bytes come, not an error."""
    below = Memory()
    one, two = Encrypted(below, ID, [KEY]), Encrypted(below, ID, [KEY])
    one.put_new("packs/ab/x.pack", [b"first"])
    assert one.get("packs/ab/x.pack", 1, 3) == b"irs"
    two.delete("packs/ab/x.pack")
    two.put_new("packs/ab/x.pack", [b"quite another"])

    assert one.get("packs/ab/x.pack", 6, 3) == b"ano"
    assert one.size("packs/ab/x.pack") == 13
    two.delete("packs/ab/x.pack")
    with pytest.raises(ObjectMissing, match=r"packs/ab/x\.pack"):
        one.get("packs/ab/x.pack", 6, 3)


def test_every_key_reads_and_the_last_writes() -> None:
    """After a rotation old files are read, new ones need the new key, and names stay what they were."""
    below = Memory()
    Encrypted(below, ID, [KEY]).put_new("snapshots/lab/all/00000001.json", [b"old"])
    both = Encrypted(below, ID, [KEY, OTHER])
    both.put_new("snapshots/lab/all/00000002.json", [b"new"])

    assert [both.get(name) for name in both.list("snapshots/lab/")] == [b"old", b"new"]
    with pytest.raises(ObjectCorrupt, match="holder has not"):
        Encrypted(below, ID, [KEY]).get("snapshots/lab/all/00000002.json")


def test_keys_show_themselves_nowhere() -> None:
    """Neither a key nor what holds one can be printed by accident."""
    shown = repr(KEY) + repr(cipher.stream([KEY], ID, "a", _head(), 200))

    assert KEY.secret.hex() not in shown and repr(KEY.secret) not in shown
    with pytest.raises(ValueError, match="31 bytes"):
        Key(bytes(31))


def _head() -> bytes:
    return HEADER.pack(cipher.MAGIC, KEY.id, cipher.STREAM_HEADER, bytes(32), bytes(7))
