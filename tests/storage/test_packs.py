"""Objects into packs and back: nothing is lost, and no changed byte goes unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backend import Memory
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.index import Index, footer_of, pack_name
from storage.objects import Oid, PlainSha256
from storage.packs import (
    BLOCK,
    BLOCK_SIZE,
    COUNTS,
    END_MAGIC,
    HEADER,
    MAX_OBJECT,
    OBJECT,
    TRAILER,
    Block,
    Kind,
    PackBuilder,
    open_block,
    read_footer,
)
from tests.doubles import noise, overwrite

SALT = b"0123456789abcdef"
SCHEME = PlainSha256()
EDGES = [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1]


def packed(objects: Sequence[bytes], salt: bytes = SALT) -> tuple[str, bytes]:
    builder = PackBuilder("sha256", salt)
    for data in objects:
        builder.add(SCHEME.oid(data), data, Kind.CONTENT)
    name, parts = builder.finish()
    return name, b"".join(parts)


def loaded(name: str, data: bytes) -> Index:
    backend = Memory()
    backend.put_new(pack_name(name), [data])
    index = Index(backend, SCHEME)
    index.load([name])
    return index


@given(st.lists(st.binary(max_size=300), max_size=30, unique=True))
def test_small_objects_come_back(objects: list[bytes]) -> None:
    """Any objects, the empty one among them, in any order."""
    index = loaded(*packed(objects))

    assert [index.read(SCHEME.oid(data)) for data in objects] == objects


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EDGES), st.booleans()), min_size=1, max_size=5, unique=True))
def test_objects_at_the_edges_of_a_block_come_back(sizes: list[tuple[int, bool]]) -> None:
    """Sizes around a block, of bytes that shrink and bytes that do not, in any order."""
    objects = [noise(size, size) if hard else bytes([size % 251]) * size for size, hard in sizes]
    index = loaded(*packed(objects))

    assert [index.read(SCHEME.oid(data)) for data in objects] == objects


def test_the_name_is_the_hash_of_the_bytes() -> None:
    """What scrub recomputes."""
    name, data = packed([b"a", b"b"])

    assert name == hashlib.sha256(data).hexdigest()


def test_another_salt_gives_another_name() -> None:
    """A pack that was freed or damaged never gets in the way of the same content later."""
    assert packed([b"a"])[0] != packed([b"a"], b"x" * 16)[0]


def test_text_shrinks_and_noise_is_kept_as_it_is() -> None:
    """Compression where it pays; what does not shrink costs no more than its size."""
    text = b"the same sentence again and again. " * 30_000
    hard = noise(3 << 20, 1)

    assert len(packed([text])[1]) < len(text) // 50
    assert len(packed([hard])[1]) < len(hard) + 400


def test_an_object_too_large_is_refused() -> None:
    """Larger content is several objects, or a reader's memory had no bound."""
    with pytest.raises(ValueError, match="at most"):
        packed([bytes(MAX_OBJECT + 1)])


def test_every_changed_byte_is_noticed_when_read() -> None:
    """Each byte of a small pack: reading an object raises or gives the right bytes, and the name differs."""
    objects = [b"first " * 40, noise(60, 1), b""]
    name, data = packed(objects)
    for place in range(len(data)):
        broken = data[:place] + bytes([data[place] ^ 0x21]) + data[place + 1 :]
        assert hashlib.sha256(broken).hexdigest() != name
        for wanted in objects:
            try:
                assert loaded(name, broken).read(SCHEME.oid(wanted)) == wanted
            except (ObjectCorrupt, ObjectMissing, FormatUnknown):
                continue


def test_every_cut_is_noticed() -> None:
    """Each length short of the whole cannot be opened."""
    name, data = packed([b"first " * 40])
    for length in range(len(data)):
        with pytest.raises(StorageError):
            loaded(name, data[:length])


def test_bytes_before_or_behind_are_noticed() -> None:
    """A pack is all of its file."""
    name, data = packed([b"a"])
    for other in (b"x" + data, data + b"x"):
        with pytest.raises(ObjectCorrupt, match="whole pack"):
            loaded(name, other)


def forged(blocks: list[bytes], objects: list[bytes], *, counts: tuple[int, int] | None = None) -> bytes:
    """A pack whose sums all agree and whose tables say what a hostile writer wants."""
    body = HEADER.pack(b"SRPACK\x00\x01", b"sha256", SALT) + b"payload"
    footer = COUNTS.pack(*(counts or (len(blocks), len(objects)))) + b"".join(blocks + objects)
    trailer = TRAILER.pack(len(body), len(footer), hashlib.sha256(footer).digest(), END_MAGIC)
    return body + footer + trailer


STORED = hashlib.sha256(b"payload").digest()
GOOD_BLOCK = BLOCK.pack(HEADER.size, 7, 7, 0, STORED)
GOOD_OBJECT = OBJECT.pack(SCHEME.oid(b"pay"), 0, 0, 3, 1)


def test_a_forged_pack_with_honest_tables_is_read() -> None:
    """The forger of the next test forges well."""
    assert loaded("ab" * 32, forged([GOOD_BLOCK], [GOOD_OBJECT])).read(SCHEME.oid(b"pay")) == b"pay"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (forged([GOOD_BLOCK], [], counts=(2**32 - 1, 2**32 - 1)), "cannot hold"),
        (forged([GOOD_BLOCK], [GOOD_OBJECT], counts=(1, 2)), "cannot hold"),
        (forged([GOOD_BLOCK], [OBJECT.pack(bytes(32), 1, 0, 3, 1)]), "lies in no block"),
        (forged([GOOD_BLOCK], [OBJECT.pack(bytes(32), 0, 5, 3, 1)]), "lies in no block"),
        (forged([BLOCK.pack(40, 7, 2**32 - 1, 1, STORED)], []), "too large"),
        (forged([BLOCK.pack(2**63, 7, 7, 0, STORED)], []), "outside"),
    ],
)
def test_tables_that_lie_are_refused(data: bytes, problem: str) -> None:
    """Counts, block numbers, offsets and sizes beyond the pack: refused before memory is taken."""
    with pytest.raises(ObjectCorrupt, match=problem):
        read_footer(lambda offset, length: data[offset : offset + length], len(data), "a.pack")


def test_an_object_under_a_name_that_is_not_its_own_is_refused() -> None:
    """Equal sums do not help where the bytes are another object's."""
    oid = SCHEME.oid(b"other")
    index = loaded("ab" * 32, forged([GOOD_BLOCK], [OBJECT.pack(oid, 0, 0, 3, 1)]))

    with pytest.raises(ObjectCorrupt, match="not its own"):
        index.read(oid)


def test_a_block_that_inflates_to_another_size_is_refused() -> None:
    """A small frame that promises much is not opened."""
    stored = zstandard.compress(bytes(1 << 20))
    block = Block(0, len(stored), 10, 1, hashlib.sha256(stored).digest())

    with pytest.raises(ObjectCorrupt, match="promised"):
        open_block(block, stored, "a.pack")


def test_a_newer_pack_is_told_from_a_damaged_one() -> None:
    """Another version in the magic means: upgrade."""
    name, data = packed([b"a"])

    with pytest.raises(FormatUnknown, match="pack format"):
        loaded(name, data[:7] + b"\x02" + data[8:])


def test_objects_of_another_scheme_are_refused() -> None:
    """A keyed pack in a plain archive is not read as if it were plain."""
    builder = PackBuilder("blake2", SALT)
    builder.add(Oid(bytes(32)), b"a", Kind.CONTENT)
    name, parts = builder.finish()

    with pytest.raises(FormatUnknown, match="blake2"):
        loaded(name, b"".join(parts))


def test_a_reader_goes_round_a_pack_that_is_gone() -> None:
    """Objects of whole packs are read; those of the broken one are missing, with its name."""
    backend = Memory()
    names = []
    for data in (b"one", b"two"):
        name, pack = packed([data])
        backend.put_new(pack_name(name), [pack])
        names.append(name)
    overwrite(backend, pack_name(names[0]), b"rot")
    index = Index(backend, SCHEME)
    index.load_readable(names)

    assert index.read(SCHEME.oid(b"two")) == b"two"
    with pytest.raises(ObjectMissing, match=names[0]):
        index.read(SCHEME.oid(b"one"))
    with pytest.raises(ObjectCorrupt):
        footer_of(backend, names[0])
