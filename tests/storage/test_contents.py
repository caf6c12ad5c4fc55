"""Looking into a snapshot: every member once, by a name that stays, and its bytes proven."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.archive import Archive
from storage.contents import Leaf, leaves, readings
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.index import pack_name
from storage.snapshot import Snapshot
from tests.doubles import located, new_archive, noise, overwrite, write
from tests.storage.exports import FILLER, export, name

DOC = ("doc_Buffers-123/doc_Buffers-123.xml", b"<document/>" * 9)
NAMES = st.text(max_size=8) | st.sampled_from(
    ["..", "/etc/passwd", "a/", "a//b", "a", "\x1b[2J", "../../x", "a\0b"]
)


def inside(archive: Archive, found: Snapshot) -> list[tuple[Leaf, bytes]]:
    """Every leaf that is no folder, with its bytes."""
    reader = archive.reader(found)
    some = [leaf for leaf in leaves(reader, reader.entries(found)) if not leaf.folder]
    return [(leaf, b"".join(chunks)) for leaf, chunks in readings(reader, some)]


@pytest.mark.parametrize("small", [False, True])
def test_members_of_the_one_zip_have_the_same_paths_every_night(small: bool) -> None:
    """Neither the export's name nor its folder, which change, is in them, however the ZIP is kept."""
    archive = new_archive()
    nights = [
        write(archive, {name(night): export([DOC, ("a/", b"")], night=night, small=small)}, night=night)
        for night in (0, 1)
    ]
    paths = [[(leaf.path, data) for leaf, data in inside(archive, found)] for found in nights]

    assert paths[0] == paths[1] == [DOC] + ([] if small else [FILLER])


def test_beside_other_files_a_member_is_under_its_zip() -> None:
    """Two ZIPs may hold one name; a .docx is a ZIP inside and one leaf."""
    archive = new_archive()
    document = export([("word/document.xml", b"x")])
    found = write(
        archive, {"a.zip": export([DOC]), "b.ZIP": export([DOC], small=True), "c.docx": document, "d": b""}
    )
    got = {leaf.path: data for leaf, data in inside(archive, found)}

    assert got == {
        f"a.zip/{DOC[0]}": DOC[1],
        f"a.zip/{FILLER[0]}": FILLER[1],
        f"b.ZIP/{DOC[0]}": DOC[1],
        "c.docx": document,
        "d": b"",
    }


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", noise(100, 1), noise(90_000, 2)])
def test_what_is_called_zip_and_is_none_is_a_leaf(data: bytes) -> None:
    """Nothing is lost because it cannot be opened."""
    archive = new_archive()
    found = write(archive, {"broken.zip": data})

    assert [(leaf.path, got) for leaf, got in inside(archive, found)] == [("broken.zip", data)]


@settings(max_examples=40)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=60)), max_size=8), st.booleans())
def test_no_member_is_lost_whatever_it_is_called(members: list[tuple[str, bytes]], small: bool) -> None:
    """Names that come twice, hostile ones, empty ones: each member with bytes is there, and comes out."""
    members = [(one, data) for one, data in members if "\0" not in one]
    archive = new_archive()
    found = write(archive, {name(): export(members, small=small)})
    got = sorted(data for leaf, data in inside(archive, found) if data)

    assert got == sorted([data for _, data in members if data] + ([] if small else [FILLER[1]]))


def test_a_member_of_an_unknown_method_is_told_and_the_others_are_read() -> None:
    """bzip2 is not unpacked; what stands beside it is."""
    archive = new_archive()
    found = write(archive, {name(): export([DOC], method=zipfile.ZIP_BZIP2)})
    reader = archive.reader(found)
    (one, *_) = readings(reader, leaves(reader, reader.entries(found), lambda path: path == DOC[0]))

    with pytest.raises(FormatUnknown, match="method 12"):
        b"".join(one[1])


def test_a_member_that_is_more_than_it_says_is_stopped() -> None:
    """A bomb costs no more than the size it promised."""
    data = bytearray(export([("bomb", bytes(1 << 20))], small=True))
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 10)
    struct.pack_into("<I", data, data.rfind(b"PK\x03\x04") + 22, 10)
    archive = new_archive()
    found = write(archive, {name(): bytes(data)})

    with pytest.raises(ObjectCorrupt, match="more bytes, promised 10"):
        inside(archive, found)


@pytest.mark.parametrize("size", [300, 90_000])
def test_a_size_that_stands_in_a_zip64_field_is_found(size: int) -> None:
    """Some writers put it there whatever it is (APPNOTE 4.5.3); the ZIP is kept cut, or small."""
    data, full = noise(size, 4), 0xFFFFFFFF
    sums = (zlib.crc32(data), size)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 8, 0, 0, 0, 0, 0, 0, 3, 0) + b"a/b" + data
    extra = struct.pack("<HHHHQ", 9, 0, 1, 8, size)
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 8, 0, 0, 0, *sums, full, 3, len(extra), 0, 0, 0, 0, 0)
    central += b"a/b" + extra
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    archive = new_archive()
    found = write(archive, {name(): local + central + end})

    ((leaf, got),) = inside(archive, found)
    assert (leaf.path, leaf.size, got) == ("b", size, data)


def test_a_lost_pack_is_told_by_who_needs_it() -> None:
    """The plan is in another pack than the payloads: it lists what cannot be read any more."""
    archive = new_archive()
    found = write(archive, {name(): export([DOC])})
    reader = archive.reader(found)
    some = list(leaves(reader, reader.entries(found)))
    (entry,) = reader.entries(found)
    needed = {located(reader._index, oid).pack for oid in reader.plan(entry).oids()}
    for pack in needed:
        overwrite(archive.backend, pack_name(pack), b"nothing")

    with pytest.raises((ObjectMissing, ObjectCorrupt)):
        inside(archive, found)
    assert [leaf.path for leaf in some if not leaf.folder] == [DOC[0], FILLER[0]]


def test_a_small_zips_sizes_are_those_of_the_zip() -> None:
    """Size and CRC-32 as Python's own reader tells them."""
    data = export([DOC, ("b", noise(300, 3))])
    archive = new_archive()
    found = write(archive, {name(): data})
    with zipfile.ZipFile(BytesIO(data)) as reference:
        promised = [(one.file_size, one.CRC) for one in reference.infolist() if one.file_size]

    assert [(leaf.size, leaf.crc32) for leaf, _ in inside(archive, found)] == promised
