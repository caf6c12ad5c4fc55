"""The listing of a snapshot: files in, bytes out, and back; a hostile one never passes for ours."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import canonical, listing
from storage.errors import FormatUnknown, ObjectCorrupt, StorageError
from storage.listing import Entry, Recipe
from storage.objects import Oid
from storage.verify import Measured, Promise
from tests.doubles import entry_of

HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
CRC = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
OTHER = TEXT.filter(lambda kind: kind != "concat")
OIDS = st.lists(st.binary(min_size=32, max_size=32).map(Oid), max_size=3).map(tuple)
ENTRIES = st.builds(
    Entry,
    path=TEXT,
    measured=st.builds(Measured, st.integers(0, 2**62), CRC, HEX),
    promised=st.builds(Promise, st.none() | st.integers(0, 2**62), st.none() | CRC, st.none() | HEX),
    recipe=st.builds(Recipe, st.just("concat"), OIDS)
    | st.builds(Recipe, OTHER, st.just(()), st.tuples(OIDS, OIDS)),
    media_type=TEXT,
)


@given(st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path))
def test_entries_come_back_sorted(entries: list[Entry]) -> None:
    """Every field survives, whatever the order they came in."""
    data = listing.encode(entries)

    assert list(listing.decode(data)) == sorted(entries, key=lambda entry: entry.path)
    assert listing.encode(reversed(entries)) == data


def test_one_path_twice_is_refused() -> None:
    """Two files of one name could not both be given back."""
    with pytest.raises(ValueError, match="twice"):
        listing.encode([entry_of("a", b"1"), entry_of("a", b"2")])


ONE = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # SHA-256 of "1"


def row(**changes: Any) -> bytes:
    """A listing of format 1, of one file."""
    file = {
        "path": "a",
        "size": 1,
        "crc32": "83dcefb7",
        "sha256": ONE,
        "promised": {"size": 1},
        "media_type": "application/zip",
        "recipe": {
            "kind": "concat",
            "objects": [ONE],
        },
    }
    return canonical.encode({"format": 1, "kind": "listing", "files": [file | changes]})


def test_a_listing_of_format_1_is_read() -> None:
    """Written no more, read for ever."""
    assert tuple(listing.decode(row())) == (entry_of("a", b"1"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": 7},
        {"size": -1},
        {"size": True},
        {"size": "9"},
        {"crc32": "-0000001"},
        {"crc32": "123"},
        {"sha256": "../../etc/passwd"},
        {"promised": []},
        {"promised": {"size": -5}},
        {"recipe": {"kind": "concat", "objects": ["ff"]}},
        {"recipe": {"kind": "concat", "objects": 10**12}},
        {"recipe": None},
        {"media_type": None},
    ],
)
def test_a_field_of_the_wrong_kind_is_damage(changes: dict[str, Any]) -> None:
    """Numbers for text, negative sizes, short names of objects: one error class, no other."""
    with pytest.raises(ObjectCorrupt, match="cannot be read"):
        listing.decode(row(**changes))


@pytest.mark.parametrize("data", [b"[]", b"7", b'{"kind":"listing","format":1}', b"\xff", b'"listing"'])
def test_what_is_no_listing_is_damage(data: bytes) -> None:
    """Any other JSON, or none."""
    with pytest.raises(ObjectCorrupt):
        listing.decode(data)


def test_a_newer_listing_is_not_guessed_at() -> None:
    """A higher format means: upgrade."""
    for data in (listing.encode([]).replace(b"\x00\x02", b"\x00\x03", 1), b'{"kind":"listing","format":3}'):
        with pytest.raises(FormatUnknown, match="3"):
            listing.decode(data)


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_raise_only_ours(data: bytes) -> None:
    """No foreign exception leaves the module."""
    with pytest.raises(StorageError):
        listing.decode(data)


def test_an_unknown_recipe_is_carried() -> None:
    """A later way to keep files is refused by the reader of the file, not by the reader of the listing."""
    entry = replace(entry_of("a", b"1"), recipe=Recipe("braided", ()))

    assert tuple(listing.decode(listing.encode([entry]))) == (entry,)


def test_a_listing_that_was_changed_anywhere_raises_only_ours() -> None:
    """Bytes flipped, cut and put in, huge numbers in the head: seeded, thousands. What is read is read whole."""
    rows = [entry_of("0", b"0")]
    for n in range(4):
        recipe = Recipe("concat", tuple(Oid(bytes([m]) * 32) for m in range(n)))
        rows.append(replace(entry_of(f"{n}", b"x" * (n + 1)), path=f"b{n}", recipe=recipe))
    rows.append(replace(entry_of("z", b""), recipe=Recipe("zip", (), ((Oid(bytes(32)),),))))
    whole, rng, refused = listing.encode(rows), random.Random(1), 0
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(8, len(data))
            match rng.randrange(6):
                case 0:
                    del data[at : at + rng.choice((1, 4, 32))]
                case 1:
                    data[at:at] = rng.randbytes(rng.choice((1, 4, 32)))
                case 2:
                    data[8:16] = rng.randbytes(8)
                case _:
                    data[at] = rng.choice((0, 1, 2, 3, 4, 255))
        try:
            files = listing.decode(bytes(data))
        except StorageError:
            refused += 1
        else:
            assert len(list(files)) == len(files)
    assert refused > 2000


def test_a_listing_of_absurd_numbers_costs_nothing() -> None:
    """2**60 files; one file of 2**32 - 1 objects: refused before anything of that size is made."""
    many = replace(entry_of("a", b"1"), recipe=Recipe("concat", (Oid(bytes(32)), Oid(bytes(32)))))
    whole = listing.encode([many])
    claims = whole.replace((2).to_bytes(4, "big") + (64).to_bytes(8, "big"), b"\xff" * 4 + (64).to_bytes(8, "big"))
    assert claims != whole
    tracemalloc.start()
    for data in (whole[:8] + (2**60).to_bytes(8, "big") + whole[16:], claims):
        with pytest.raises(ObjectCorrupt):
            listing.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


def test_a_listing_gives_single_files() -> None:
    """By place, by path, by SHA-256; what is not there is None, and no odd name or sum raises."""
    made = [
        entry_of(name, data) for name, data in (("a", b"1"), ("b/é", b"2"), ("b/\U0001f600", b"1"), ("c", b""))
    ]
    files = listing.decode(listing.encode(made[::-1]))

    assert (len(files), files.size, list(files)) == (4, 3, made)
    assert [files[0], files[-1], *files[1:3]] == [made[0], made[3], *made[1:3]]
    assert [files.place_of(entry.path) for entry in made] == [0, 1, 2, 3]
    assert [files.place_of(name) for name in ("", "a0", "b/", "d", "\udc80", "b/\ud83d\ude00")] == [None] * 6
    assert files.of("c") == made[3]
    assert list(files.places_of(ONE)) == list(files.places_of(ONE.upper())) == [0, 2]
    assert [list(files.places_of(sha256)) for sha256 in ("", "zz", ONE[:-2] + "00", ONE * 2)] == [[]] * 4
    with pytest.raises(KeyError):
        files.of("d")
    with pytest.raises(IndexError):
        files[4]


def test_a_listing_of_many_files_is_little_more_than_its_text() -> None:
    """Of 20,000 files, with all that can be asked of it: as objects they would take 14 MB."""
    rows = [entry_of(f"documents/of last year/{n:06}.pdf", b"%d" % n) for n in range(20_000)]
    text = listing.encode(rows)
    tracemalloc.start()
    files = listing.decode(text)
    assert list(files.places_of(files[7].measured.sha256)) == [7]
    assert files.place_of(rows[19_999].path) == 19_999
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 50 * len(rows)
