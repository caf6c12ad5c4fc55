"""Hostile ZIPs: they cost little time and memory, and come back as they came."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from storage import recipes, zipcut, zipplan
from storage.errors import StorageError
from storage.verify import Outcome
from storage.zipcut import NotCut
from storage.ziptest import test_zip as run_zip_test
from tests.doubles import new_archive, noise, read, write
from tests.storage.zips import FULL32, M, build, end, rebuilt

MB = 1 << 20


class Counted(BytesIO):
    """A file that knows how many bytes were read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def cost(data: bytes) -> tuple[str, int, int]:
    """Cut it: why it is not cut (or ""), bytes read, and the most memory that was held meanwhile."""
    file, reason = Counted(data), ""
    tracemalloc.start()
    try:
        directory = zipcut.read_directory(file, len(data))
        for member in zipcut.members(file, directory, piece=zipplan.PIECE):
            for _ in member.pieces:
                pass
    except NotCut as exc:
        reason = str(exc)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return reason, file.taken, peak


def end64(count: int, length: int, offset: int) -> bytes:
    """A zip64 end record, its locator, and the end record that points to them."""
    fixed = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset)
    return fixed + struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1) + end(0xFFFF, FULL32, FULL32)


def fifield(count: int) -> bytes:
    """Many members over one kernel, each header quoted by the one before (D. Fifield, "A better zip bomb")."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(1 << 20)) + kernel.flush()
    out, rows = bytearray(), []
    headers = [
        struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), 1 << 20, 4, 0) + b"%04d" % n
        for n in range(count)
    ]
    tail = packed
    for n, header in enumerate(headers):
        csize = len(packed) + sum(len(h) for h in headers[n + 1 :])
        rest = (4, 0, 0, 0, 0, 0, len(out))
        rows.append(
            struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, csize, 1 << 20, *rest) + b"%04d" % n
        )
        out += header
    directory = b"".join(rows)
    return bytes(out) + tail + directory + end(count, len(directory), len(out) + len(tail))


def overlapping() -> bytes:
    """Two directory rows for one member."""
    data = build([M(b"a", b"x" * 70_000)])
    start = data.index(b"PK\x01\x02")
    row = data[start : data.index(b"PK\x05\x06")]
    return data[:start] + row * 200 + end(200, len(row) * 200, start)


def many_ends() -> bytes:
    """Sixty end records, each leading to the same large directory that is none."""
    row = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 65535 - 60, 0, 0, 0, 0, 0, 0)
    directory = (row + bytes(65535 - 60)) * 120
    ends, at = b"", len(directory)
    for n in range(60):
        ends += end(121, len(directory) + 22 * n, 0)
    return noise(at, 1)[:10] + directory[10:] + ends


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a billion entries": lambda: noise(100_000, 1) + end64(10**9, 46 * 10**9, 0),
    "a billion entries in few bytes": lambda: noise(100_000, 1) + end64(10**9, 1000, 0),
    "entries of 2**63 bytes": lambda: noise(100_000, 1) + end64(9, 2**63, 2**63),
    "a directory of 96 MB in 100 KB": lambda: noise(100_000, 1) + end64(400_000, 96 << 20, 0),
    "overlapping members": overlapping,
    "quoted overlapping members": lambda: fifield(300),
    "an end record that lies about its offset": lambda: (
        build([M(b"a", noise(70_000, 1))])[:-22] + end(1, 47, 12345)
    ),
    "several disks": lambda: build([M(b"a", noise(70_000, 1))])[:-22] + end(1, 47, 70_031, disk=3),
    "truncated": lambda: build([M(b"a", noise(70_000, 1)), M(b"b", noise(70_000, 2))])[:-30],
    "a local header of another method": lambda: build([M(b"a", noise(70_000, 1))]).replace(
        b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x08\0"
    ),
}


READABLE = ("a local header of another method", "several disks")  # by zipfile, which looks at neither


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_not_cut_costs_little_and_comes_back(name: str, tmp_path: Path) -> None:
    """No more is read than twice the file, and what its sums claim is not held; its structure test fails."""
    data = HOSTILE[name]()
    reason, taken, peak = cost(data)
    (tmp_path / "a.zip").write_bytes(data)
    archive = new_archive()

    assert reason
    assert taken <= 2 * len(data) + MB, (reason, taken)
    assert peak < len(data) + 10 * MB, (reason, peak)
    assert read(archive, write(archive, {"a.zip": data})) == {"a.zip": data}
    outcome = run_zip_test(tmp_path / "a.zip", file="a.zip").outcome
    assert outcome is (Outcome.PASSED if name in READABLE else Outcome.FAILED)


def test_many_end_records_are_not_all_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of all of them together have the bound of one."""
    data = many_ends()
    monkeypatch.setattr(zipcut, "MAX_DIRECTORY", 2 * len(data))
    reason, taken, peak = cost(data)

    assert taken < 3 * len(data)
    assert peak < 2 * len(data)
    assert "lead to more" in reason


def test_a_deflate_bomb_is_cut_without_being_inflated() -> None:
    """A quarter of a gigabyte of zeros in 256 KB: its payload is bytes like others."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(16 * MB)
    packed = b"".join([*(deflate.compress(block) for _ in range(16)), deflate.flush()])
    data = build([M(b"bomb", packed=packed, method=8)])
    reason, taken, peak = cost(data)

    assert (reason, len(packed) < MB) == ("", True)
    assert taken <= len(data) + MB
    assert peak < 6 * MB + len(data)


def test_local_extra_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in no directory: without a bound a plan could grow as large as the file."""
    data = build([M(b"%d" % n, b"x", local_extra=bytes(60_000)) for n in range(50)])
    monkeypatch.setattr(zipcut, "MAX_DIRECTORY", MB)

    assert "local headers" in cost(data)[0]
    assert "local headers" not in cost(build([M(b"a", b"x", local_extra=bytes(60_000))]))[0]


def test_what_must_not_be_cut_for_its_size_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """More members than a cut holds: by content, to the byte."""
    monkeypatch.setattr(zipcut, "MAX_MEMBERS", 10)
    data = build([M(b"%d" % n, noise(9000, n)) for n in range(11)])
    archive = new_archive()
    found = write(archive, {"a.zip": data})

    assert archive.entries(found)[0].recipe.kind == "concat"
    assert read(archive, found) == {"a.zip": data}


# ---- decoders of plans: what lies in a pack is proven, who wrote it is not


def plans() -> list[bytes]:
    """Plans of every kind."""
    rich = [M(b"t/a", b"x" * 250), M(b"t/b", b"y" * 50, 8, descriptor="bare64"), M(b"t/c", b"z" * 9, zip64=True)]
    return [
        rebuilt(build(rich))[1],
        rebuilt(build(rich, order=[2, 0, 1], before=b"stub", comment=b"hello"))[1],
        rebuilt(build([replace(one, descriptor="signed") for one in rich], counted=True, before=b"stub"))[1],
        rebuilt(build([]))[1],
    ]


def taken(data: bytes) -> None:
    """Everything that a reader does with a plan. Raises ValueError only."""
    try:
        plan = zipplan.Plan(data)
        list(plan.oids())
    except ValueError:
        return
    for read_all in (plan.parts, plan.members):
        try:
            for _ in read_all():
                pass
        except ValueError:
            pass


def test_a_damaged_plan_raises_valueerror_alone() -> None:
    """Bytes flipped, cut, put in, numbers made huge, sections of odd length."""
    rng, whole = random.Random(3), plans()
    tracemalloc.start()
    for _ in range(4000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    del data[at : at + rng.choice((1, 8, 32))]
                case 1:
                    data[at:at] = rng.randbytes(rng.choice((1, 8, 32)))
                case 2:  # a number of the head: members, bytes before, flags
                    data[8:25] = rng.choice((bytes(17), b"\xff" * 17, b"\x10" + bytes(16), rng.randbytes(17)))
                case _:
                    data[at : at + 1] = rng.randbytes(1)
        taken(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2 * MB


def test_sections_that_do_not_fit_are_refused() -> None:
    """Half an oid, 2**60 members, flags of another version, more bytes before the ZIP than there are."""
    data = build([M(b"a", bytes(zipplan.INLINE + 1))])
    whole = rebuilt(data)[1]
    ruins = {
        "half an oid": whole[:-40] + (31).to_bytes(8, "big") + whole[-32:-1],
        "a section": whole[:8] + (2**60).to_bytes(8, "big") + whole[16:],
        "planes of": whole[:8] + (2).to_bytes(8, "big") + whole[16:],
        "bytes before": whole[:16] + (2**63).to_bytes(8, "big") + whole[24:],
        "flags": whole[:24] + b"\xff" + whole[25:],
        "too many": whole + b"\0",
        "not a plan": b"",
    }
    for problem, ruin in ruins.items():
        with pytest.raises(ValueError, match=r"section|planes" if problem == "a section" else problem):
            list(zipplan.Plan(ruin).oids())


def test_a_plan_read_through_the_archive_raises_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that was wrong when it was kept: StorageError, or the right file; never another one."""
    monkeypatch.setattr(recipes, "CUT_FROM", 0)
    monkeypatch.setattr(zipplan, "PIECE", 100)
    archive, data = new_archive(), build([M(b"t/a", b"x" * 250), M(b"t/b", b"y" * 50, 8)])
    real, rng, refused = zipplan.PlanBuilder.encode, random.Random(1), 0
    for _ in range(100):

        def rotten(self: zipplan.PlanBuilder, last_gap: bytes, tail: bytes) -> bytes:
            out = bytearray(real(self, last_gap, tail))
            out[rng.randrange(len(out))] ^= rng.randrange(1, 256)
            return bytes(out)

        with monkeypatch.context() as patch:
            patch.setattr(zipplan.PlanBuilder, "encode", rotten)
            try:
                assert read(archive, write(archive, {"a.zip": data})) == {"a.zip": data}
            except StorageError:
                refused += 1
    assert refused > 90
