"""The structure test of ZIP files: what is whole passes, what is not is told in words, nothing raises."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

from storage.verify import Check, Outcome
from storage.ziptest import test_zip as run_zip_test
from tests.doubles import noise


def small_zip(members: int = 5, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number in range(members):
            archive.writestr(f"SD{number}/form.xml", noise(300, number) + b"<text/>" * 40)
    return buffer.getvalue()


def verdict(tmp_path: Path, data: bytes) -> Check:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    return run_zip_test(path, file="a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_whole_zip_passes(tmp_path: Path, method: int) -> None:
    """Every method that the standard library reads."""
    check = verdict(tmp_path, small_zip(method=method))

    assert (check.outcome, check.got) == (Outcome.PASSED, "5 members, each CRC-32 agrees")


def test_an_empty_directory_of_members_passes(tmp_path: Path) -> None:
    """A ZIP without members is whole; whether it may be empty is not asked here."""
    assert verdict(tmp_path, small_zip(0)).got == "0 members, each CRC-32 agrees"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n <!DOCTYPE html><html>Login</html>", "it is an HTML page"),
        (b"<html>", "it is an HTML page"),
        (b"<?xml version='1.0'?><error/>", "it is an XML document"),
        (b"{}", ""),
    ],
)
def test_what_is_no_zip_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    """A login page instead of an export fails, and says what it is."""
    check = verdict(tmp_path, data)

    assert (check.outcome, check.reason) == (Outcome.FAILED, reason)
    assert "not a readable ZIP" in check.got


def test_a_zip_cut_anywhere_fails(tmp_path: Path) -> None:
    """Every length short of the whole."""
    data = small_zip(3)
    lengths = range(0, len(data), 7)

    assert {verdict(tmp_path, data[:length]).outcome for length in lengths} == {Outcome.FAILED}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_of_content_fails(tmp_path: Path, method: int) -> None:
    """Any byte of any member's content."""
    data = small_zip(2, method)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.infolist()[0]
    start = first.header_offset + 30 + len(first.filename)
    for place in range(start, start + first.compress_size, 5):
        broken = bytearray(data)
        broken[place] ^= 0x40
        assert verdict(tmp_path, bytes(broken)).outcome is Outcome.FAILED


def test_no_bytes_make_it_raise(tmp_path: Path) -> None:
    """A thousand seeded ruins: some pass (a flipped comment), none raises."""
    rng = random.Random(5)
    whole = [small_zip(3, m) for m in (0, 8, 12, 14)]
    outcomes = []
    for _ in range(1000):
        data = bytearray(rng.choice(whole))
        # Wounds lie in the headers at the end half of the time: there parsers are weakest.
        for _ in range(rng.randint(1, 4)):
            span = 260 if rng.random() < 0.5 else len(data)
            data[-rng.randint(1, min(span, len(data)))] = rng.randrange(256)
        outcomes.append(verdict(tmp_path, bytes(data)).outcome)

    assert set(outcomes) == {Outcome.PASSED, Outcome.FAILED}


def test_an_encrypted_member_fails(tmp_path: Path) -> None:
    """What nobody can read again is no proof."""
    data = bytearray(small_zip(1))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1

    assert "is encrypted" in verdict(tmp_path, bytes(data)).got


def test_a_bomb_by_declared_sizes_is_not_read(tmp_path: Path) -> None:
    """A directory that declares more than deflate can hold fails before a byte is inflated."""
    data = bytearray(small_zip(1))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 3 << 30)

    assert "can honestly hold" in verdict(tmp_path, bytes(data)).got


def test_a_bomb_by_overlapping_members_is_not_read(tmp_path: Path) -> None:
    """Many directory rows over one kernel: together they claim more than the file is."""
    data = small_zip(1)
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    row, count = data[start:end], 200
    finish = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(row) * count, start, 0)
    bomb = data[:start] + row * count + finish

    assert "overlap" in verdict(tmp_path, bomb).got


def test_a_member_that_lies_about_its_size_fails(tmp_path: Path) -> None:
    """Fewer bytes declared than come out: the CRC-32 of what is read does not agree."""
    data = bytearray(small_zip(1))
    row = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, row + 24, 10)
    struct.pack_into("<I", data, 22, 10)

    assert "cannot be read" in verdict(tmp_path, bytes(data)).got
