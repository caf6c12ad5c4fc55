"""Cutting ZIPs: what is cut comes back to the byte, what is not is told apart, and nothing else is raised."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from storage import recipes, zipcut, zipplan
from storage.zipcut import NotCut
from tests.doubles import new_archive, noise, read, write
from tests.storage.zips import M, build, by_zipfile, rebuilt, zips


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    """Objects of 100 bytes, and small files cut too: what holds around 4 MiB is shown around 100 bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipplan, "PIECE", 100)
        patch.setattr(recipes, "WHOLE", 0)
        yield


def is_cut(data: bytes) -> bool:
    """Whether it is; that it comes back is asserted."""
    try:
        assert rebuilt(data)[0] == data
    except NotCut:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(zips())
def test_what_is_cut_is_rebuilt_to_the_byte(data: bytes) -> None:
    """Any names, methods, extra fields, comments, flags, descriptors, gaps, orders; bytes before and behind."""
    event(f"cut: {is_cut(data)}")


@settings(max_examples=40, deadline=None)
@given(st.lists(zips() | st.binary(max_size=300), min_size=1, max_size=3))
def test_whatever_arrives_is_given_back(nights: list[bytes]) -> None:
    """Through the whole archive, cut or not, night after night."""
    archive = new_archive()
    for night, data in enumerate(nights):
        assert read(archive, write(archive, {f"export-{night}.zip": data, "b": data}, night=night)) == {
            f"export-{night}.zip": data,
            "b": data,
        }


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_zipfile_writes_is_cut(method: int, streamed: bool) -> None:
    """Every method of the standard library, to a file and to a pipe."""
    members = {f"top/SD{n}/é.xml": noise(n * 40, n) + b"<text/>" * n for n in range(12)} | {"top/empty/": b""}

    assert is_cut(by_zipfile(members, method, streamed=streamed))


def test_nothing_but_notcut_is_raised_over_ruins() -> None:
    """Flips, cuts and insertions in every kind of ZIP: cut exactly, or not cut."""
    rng = random.Random(7)
    rich = [M(b"t/a", b"x" * 250), M(b"t/b", b"y" * 50, 8, descriptor="signed"), M(b"t/c", b"z" * 9, zip64=True)]
    whole = [
        build(rich),
        build(rich, zip64=True, before=b"stub", comment=b"PK\x05\x06"),
        build(rich, order=[2, 0, 1], counted=True, before=b"stub"),
        by_zipfile({"t/a": b"<a/>" * 60, "t/b": noise(90, 1)}, streamed=True),
    ]
    outcomes = {True: 0, False: 0}
    for _ in range(2000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(4):
                case 0:
                    del data[at : at + rng.choice((1, 4, 50))]
                case 1:
                    data[at:at] = rng.choice((b"\0", b"PK\x05\x06", b"PK\x03\x04", rng.randbytes(20)))
                case _:
                    data[at : at + 1] = rng.choice((b"\0", b"\xff", rng.randbytes(1)))
        outcomes[is_cut(bytes(data))] += 1

    assert min(outcomes.values()) > 100, outcomes


def test_any_bytes_at_all_are_not_cut_or_come_back() -> None:
    """No ZIP at all, an end record alone, a file of nothing."""
    assert not is_cut(b"")
    assert not is_cut(b"PK\x05\x06")
    assert not is_cut(noise(3000, 1))
    assert is_cut(build([]))
    assert is_cut(b"a text before" + build([]) + b"and behind")


A, B = M(b"top/a", b"alpha" * 30, 8), M(b"top/b", b"beta" * 20)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(build([A, B], zip64=True), id="zip64 end record"),
        pytest.param(build([replace(A, zip64=True), B]), id="zip64 sizes"),
        pytest.param(build([replace(A, descriptor="signed"), B]), id="descriptor"),
        pytest.param(build([replace(A, descriptor="bare"), B]), id="descriptor without signature"),
        pytest.param(build([replace(A, descriptor="signed64"), B]), id="descriptor of 64 bit"),
        pytest.param(build([replace(A, descriptor="bare64"), B]), id="descriptor of 64 bit without signature"),
        pytest.param(build([M(b"top/"), M(b"top/sub/"), A]), id="folders"),
        pytest.param(build([replace(B, flags=1), A]), id="encrypted"),
        pytest.param(build([replace(B, method=99, flags=1)]), id="method 99"),
        pytest.param(build([A, B], before=b"#!/bin/sh\nexec unzip $0\n"), id="stub that offsets do not count"),
        pytest.param(build([A, B], before=b"MZ" + bytes(500), counted=True), id="stub that offsets count"),
        pytest.param(build([A, B], after=b"\r\n-- boundary --"), id="bytes behind"),
        pytest.param(build([A, A, replace(A, data=b"other")]), id="duplicate names"),
        pytest.param(build([A, B], comment=build([])), id="comment with an end record of nothing"),
        pytest.param(build([A, B], comment=b"PK\x05\x06" * 9), id="comment like end records"),
        pytest.param(build([A, B], order=[1, 0]), id="directory in another order"),
        pytest.param(build([replace(A, name=b"x" * 65535, comment=b"y" * 65535)]), id="longest name and comment"),
        pytest.param(build([M(b"", b"nameless")]), id="no name"),
        pytest.param(build([]), id="no members"),
    ],
)
def test_odd_files_are_cut(data: bytes) -> None:
    """Each is what some program writes."""
    assert is_cut(data)


def test_a_comment_that_holds_a_whole_zip_leads_to_either_and_comes_back() -> None:
    """Readers disagree about such a file; its bytes are the same for all of them."""
    data = build([A, B], comment=build([M(b"inner", b"i" * 90)]))

    assert is_cut(data)


def patched(data: bytes, sign: bytes, offset: int, new: bytes) -> bytes:
    """Other bytes behind the first header of that signature."""
    at = data.index(sign) + offset
    return data[:at] + new + data[at + len(new) :]


PLAIN = build([A, B])
LOCAL, CENTRAL, END = zipcut.LOCAL_SIGN, zipcut.CENTRAL_SIGN, zipcut.END_SIGN


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (patched(PLAIN, LOCAL, 6, b"\x02"), "not what the directory says"),  # flags
        (patched(PLAIN, LOCAL, 8, b"\x00"), "not what the directory says"),  # method
        (patched(PLAIN, LOCAL, 14, b"\x00" * 4), "not what the directory says"),  # CRC-32
        (patched(PLAIN, LOCAL, 18, b"\x00" * 4), "not what the directory says"),  # compressed size
        (patched(PLAIN, LOCAL, 22, b"\x00" * 4), "not what the directory says"),  # size
        (patched(PLAIN, LOCAL, 26, b"\x04"), "not what the directory says"),  # length of name
        (patched(PLAIN, LOCAL, 30, b"T"), "not what the directory says"),  # name
        (patched(PLAIN, LOCAL, 0, b"KP"), "not what the directory says"),  # signature
        (patched(PLAIN, LOCAL, 28, b"\x03"), "reaches into what follows"),  # length of extra field
        (patched(PLAIN, CENTRAL, 20, b"\xff\xff"), "not what the directory says|outside"),
        (patched(PLAIN, CENTRAL, 34, b"\x01"), "several disks"),
        (patched(PLAIN, CENTRAL, 42, b"\xff\xff\xff"), "outside"),
        (patched(PLAIN, END, 4, b"\x01"), "several disks"),
        (patched(PLAIN, END, 8, b"\x01"), "several disks"),  # two members here, one in all
        (patched(PLAIN, END, 8, b"\x01\x00\x01\x00"), "longer than its members"),
        (patched(PLAIN, END, 8, b"\x03\x00\x03\x00"), "something else than members"),
        (patched(PLAIN, END, 12, b"\xff\xff"), "outside"),
        (patched(PLAIN, END, 16, b"\xff\xff"), "outside"),
        (patched(PLAIN, END, 16, b"\x00\x00"), "not what|outside|overlaps"),
        (PLAIN[:-1], "end record is cut"),
        (PLAIN[: len(PLAIN) // 2], "no end record"),
        (PLAIN[40:], "outside"),
        (build([A, B], before=bytes(9 << 20)), "belong to none"),
        (build([A, replace(B, gap=bytes(9 << 20))]), "belong to no"),
        (build([replace(A, gap=bytes(9 << 20)), B]), "belong to none"),
        (build([replace(A, gap=bytes(5 << 20)), replace(B, gap=b""), replace(A, gap=b"")]), ""),
    ],
)
def test_what_disagrees_with_itself_is_not_cut(data: bytes, reason: str) -> None:
    """The reason is told; where there is none the file is whole after all."""
    if not reason:
        assert is_cut(data)
        return
    with pytest.raises(NotCut, match=reason):
        rebuilt(data)


def test_a_zip_of_one_member_over_4_gib_is_cut_by_its_true_size() -> None:
    """Its directory alone: sizes in a zip64 field lead over the payload."""
    extra = (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
    values = [(5 << 30), (5 << 30) + 7, (6 << 30)]
    field = extra + b"".join(value.to_bytes(8, "little") for value in values)

    assert zipcut.true_sizes(field, zipcut.FULL32, zipcut.FULL32, zipcut.FULL32)[0] == (5 << 30) + 7
    assert 6 << 30 in zipcut.true_sizes(b"UT\x01\0x" + field, zipcut.FULL32, zipcut.FULL32, zipcut.FULL32)
    with pytest.raises(NotCut, match="is cut"):
        zipcut.true_sizes(field[:-1], zipcut.FULL32, zipcut.FULL32, 0)
    with pytest.raises(NotCut, match="true sizes"):
        zipcut.true_sizes(b"\x01\0\x08\0" + bytes(8), zipcut.FULL32, zipcut.FULL32, 0)


def test_payloads_come_in_pieces() -> None:
    """No piece is larger than asked for, all but the last are of that size, folders have none."""
    data = build([M(b"a/"), M(b"a/b", b"x" * 250)])
    file = BytesIO(data)
    directory = zipcut.read_directory(file, len(data))
    sizes = [[len(p) for p in m.pieces] for m in zipcut.members(file, directory, piece=100)]

    assert sizes == [[0], [100, 100, 50], []]
