"""The structure test against `zipfile`: the same verdict, in the memory of the directory alone."""

from __future__ import annotations

import os
import random
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import event, given, settings

from storage import zipcut, ziptest
from storage.verify import Check, Outcome
from storage.ziptest import BROKEN
from storage.ziptest import test_zip as run_zip_test
from tests.doubles import new_archive, noise, read, write
from tests.storage.zips import M, build, by_zipfile, rebuilt, zips

REAL = os.environ.get("STRONGROOM_REAL_EXPORTS", "")


def verdict(data: bytes) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(data)
        return run_zip_test(path, file="a.zip")


def python_reads(data: bytes) -> str:
    """What Python's own module says: "yes", "no", or "but not its sizes" (which it does not compare)."""
    right = True
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            for member in archive.infolist():
                if member.flag_bits & 1:
                    return "no"
                with archive.open(member) as stream:
                    stream.read()
                names, extra = struct.unpack_from("<HH", data, member.header_offset + 26)
                payload = data[member.header_offset + 30 + names + extra :][: member.compress_size]
                if member.compress_type == 8:
                    payload = zlib.decompressobj(-15).decompress(payload)
                right &= member.compress_type == 12 or len(payload) == member.file_size
    except BROKEN:
        return "no"
    return "yes" if right else "but not its sizes"


@settings(max_examples=300, deadline=None)
@given(zips())
def test_what_passes_can_be_opened_and_what_can_be_opened_passes(data: bytes) -> None:
    """ZIPs of every odd form: the verdict is that of `zipfile`."""
    said = verdict(data).outcome is Outcome.PASSED
    event(f"passed: {said}")

    assert said == (python_reads(data) == "yes")


def test_ruins_have_the_same_verdict_as_by_zipfile() -> None:
    """Seeded flips in headers and contents; only sizes that are wrong are seen here alone."""
    members = [M(b"t/a", b"abc" * 90, 8), M(b"t/b", noise(50, 1)), M(b"t/c", b"z" * 9, 8, zip64=True)]
    whole = [
        build(members),
        build([replace(one, descriptor="signed") for one in members], comment=b"hello"),
        build(members, zip64=True, before=b"stub"),
        by_zipfile({"t/a": b"<a/>" * 60, "t/é": noise(90, 1)}, streamed=True),
    ]
    rng, seen = random.Random(11), Counter[tuple[str, str]]()
    for _ in range(2500):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 2)):
            span = 400 if rng.random() < 0.6 else len(data)
            data[-rng.randint(1, min(span, len(data)))] = rng.choice((0, 1, 8, 20, 255, rng.randrange(256)))
        said, other = verdict(bytes(data)), python_reads(bytes(data))
        seen[said.outcome.value, other] += 1
        if said.outcome is Outcome.PASSED:
            assert other != "no", (said, bytes(data))
        else:
            assert other != "yes" or "honestly" in said.got or "overlap" in said.got, (said, bytes(data))
    assert len(seen) >= 3, seen


def lies(offset: int, value: int, what: str = "<I") -> bytes:
    """A good ZIP whose directory and local header say another number of its one deflated member."""
    data = bytearray(build([M(b"t/a", b"abc" * 90, 8)]))
    struct.pack_into(what, data, data.index(b"PK\x01\x02") + offset + 2, value)
    struct.pack_into(what, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (lies(22, 269), "its size differs"),  # fewer than come out
        (lies(22, 271), "its size differs"),  # more: zipfile would let it pass
        (lies(14, 1), "its CRC-32 differs"),
        (build([M(b"t/a", b"x" * 90, 8, packed=b"\xff" * 30)]), "(error)"),
        (build([M(b"t/a", b"x" * 90, packed=b"x" * 89)]), "its size differs"),
        (build([M(b"t/" + b"n" * 200, b"x", flags=1)]), "is encrypted"),
        (build([M(b"t/a", b"x", method=99)]), "(NotImplementedError)"),
        (build([M(b"t/a", b"x", version=99)]), "not a readable ZIP (NotImplementedError)"),
        (build([M(b"t/\xff", b"x", flags=0x800)]), "not a readable ZIP (UnicodeDecodeError)"),
        (build([M(b"t/a", b"x", extra=b"\1\0\xff\0")]), "not a readable ZIP (BadZipFile)"),
        (build([M(b"t/a", b"x", 8)]).replace(b"t/a", b"t/b", 1), "(BadZipFile)"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, got: str) -> None:
    """By the same words as before, whichever way it was read."""
    check = verdict(data)

    assert check.outcome is Outcome.FAILED
    assert got in check.got
    assert len(check.got) < 200


@pytest.mark.parametrize(
    "data",
    [
        build([M(b"a", b"x" * 300, 8, packed=None, gap=bytes(30)), M(b"b", b"y")]),
        build([M(b"a/"), M(b"a/b", bytes(3 << 20), 8), M(b"a/b", b"again")]),
        build([M(b"a", bytes((2 << 20) + 5), 8, descriptor="bare64")], zip64=True),
        build([M(b"a", b"x", zip64=True)], before=b"stub", comment=b"end"),
        build([M(b"a", b"q" * 40, 12), M(b"b", b"x", 8)]),
    ],
)
def test_what_is_whole_passes(data: bytes) -> None:
    """Gaps, folders, doubles, descriptors, stubs, members of just over two pieces, a member of bzip2."""
    assert verdict(data).outcome is Outcome.PASSED


def test_rubbish_behind_a_deflated_stream_is_passed_over_as_by_zipfile() -> None:
    """Also where the payload is several pieces: the next member is still found."""
    packed = zlib_of(b"abc" * 40) + bytes(3 * ziptest.PIECE)
    data = build([M(b"a", b"abc" * 40, 8, packed=packed), M(b"b", b"next")])

    assert verdict(data).outcome is Outcome.PASSED
    assert python_reads(data) == "yes"


def zlib_of(data: bytes) -> bytes:
    return M(b"", data, 8).payload()


def test_a_member_that_inflates_to_more_than_it_says_is_left_soon(tmp_path: Path) -> None:
    """64 MB declared as 10 bytes: the first piece tells."""
    packed = zlib_of(bytes(64 << 20))
    data = bytearray(build([M(b"t/a", b"0123456789", 8, packed=packed)]))
    (tmp_path / "a.zip").write_bytes(data)
    tracemalloc.start()
    check = run_zip_test(tmp_path / "a.zip", file="a.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "its size differs" in check.got
    assert peak < 12 << 20


def test_the_directory_is_all_that_is_held(tmp_path: Path) -> None:
    """20,000 members streamed: the memory of their directory, not of their objects; the same answer."""
    members = {f"export/doc_Experiment{n}/doc_{n}.xml": b"<doc>%d</doc>" % n for n in range(20_000)}
    path = tmp_path / "a.zip"
    path.write_bytes(by_zipfile(members, streamed=True))
    with path.open("rb") as stream:
        directory = len(zipcut.read_directory(stream, path.stat().st_size).data)
    tracemalloc.start()
    check = run_zip_test(path, file="a.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert check.got == "20000 members, each CRC-32 agrees"
    assert peak < directory + (12 << 20), f"{peak} bytes for a directory of {directory}"


@pytest.mark.optional
@pytest.mark.skipif(not REAL, reason="STRONGROOM_REAL_EXPORTS names no folder")
def test_real_exports_are_cut_rebuilt_and_pass() -> None:
    """Every file: cut, byte for byte; its verdict is that of `zipfile`; through the archive as well."""
    paths = sorted(Path(REAL).glob("*.zip"))
    assert paths
    archive = new_archive()
    for path in paths:
        data = path.read_bytes()
        assert rebuilt(data)[0] == data, path
        check = run_zip_test(path, file=path.name)
        assert (check.outcome is Outcome.PASSED) == (python_reads(data) == "yes"), (path, check)
    files = {path.name: path.read_bytes() for path in paths}
    found = write(archive, files)

    assert read(archive, found) == files
    large = [entry for entry in archive.entries(found) if entry.measured.size > 64 << 10]
    assert {entry.recipe.kind for entry in large} == {"zip"}
