"""The index of objects: found among many packs, told apart from their likes, in little memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

import pytest

from storage.archive import Archive
from storage.backend import Memory
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.footers import Footers
from storage.index import Index, pack_digest, pack_name
from storage.objects import Oid, PlainSha256
from storage.packing import Packing
from storage.packs import BLOCK_SIZE, Codec, Footer, Kind, PackBuilder
from tests.doubles import LAB, OFFICE, FaultyBackend, located, new_archive, noise, overwrite, read, write

SHA = PlainSha256()


class Alike:
    """A scheme whose names begin with the same eight bytes, and are as good as SHA-256 behind them."""

    name = "alike"

    def oid(self, data: bytes | memoryview) -> Oid:
        return Oid(bytes(8) + SHA.oid(data)[8:])

    def sha256(self, oid: Oid) -> bytes | None:
        return None


def put(backend: Memory, scheme: PlainSha256 | Alike, objects: Iterable[bytes], salt: int) -> str:
    """A pack of these objects; its digest."""
    builder = PackBuilder(scheme.name, salt.to_bytes(16, "big"))
    for data in objects:
        builder.add(scheme.oid(data), data, Kind.CONTENT, packed=True)
    digest, parts = builder.finish()
    backend.put_new(pack_name(digest), parts)
    return digest


def test_objects_of_many_packs_are_found_as_packs_come() -> None:
    """A thousand packs, loaded a few at a time, looked up in between: all found, nothing else."""
    memory, seen = Memory(), 0
    index = Index(memory, SHA)
    for number in range(1000):
        index.load([put(memory, SHA, [b"%d" % number, b"of %d" % number], number)])
        if number % 97 == 0:
            for data in (b"0", b"%d" % number, b"of %d" % (number // 2)):
                assert index.read(SHA.oid(data)) == data
            assert index.place(SHA.oid(b"%d" % (number + 1))) is None
            seen += 1
    assert seen == 11
    assert all(index.read(SHA.oid(b"of %d" % number)) == b"of %d" % number for number in range(1000))
    assert index.place(SHA.oid(b"nothing")) is None


@pytest.mark.parametrize("late", [False, True])
def test_names_that_begin_alike_are_told_apart(late: bool) -> None:
    """The first eight bytes lead to a row, all 32 decide."""
    backend, scheme = Memory(), Alike()
    index = Index(backend, scheme)
    packs = [put(backend, scheme, [b"%d of %d" % (n, p) for n in range(50)], p) for p in range(6)]
    for pack in packs:
        index.load([pack])
        if late:  # sorted after the first, kept beside from the second on
            assert index.place(scheme.oid(b"?")) is None
    for p in range(6):
        for n in range(50):
            assert index.read(scheme.oid(b"%d of %d" % (n, p))) == b"%d of %d" % (n, p)
            assert located(index, scheme.oid(b"%d of %d" % (n, p))).pack == packs[p]
    assert index.place(scheme.oid(b"51 of 1")) is None


def test_an_object_that_several_packs_hold_is_found_in_one_that_is_there() -> None:
    """Wherever it is found, it is read from there."""
    backend = Memory()
    index = Index(backend, SHA)
    packs = [put(backend, SHA, [b"same", b"own %d" % n], n) for n in range(5)]
    index.load(packs)
    place = index.place(SHA.oid(b"same"))
    assert place is not None

    assert index.pack_of(place) in packs
    assert index.read(SHA.oid(b"same")) == b"same"
    assert all(SHA.oid(b"same") in (index.oids(pack) or ()) for pack in packs)


def test_packs_that_come_late_are_sorted_in_when_they_are_many() -> None:
    """More than 65,536 objects since the last sorting, in one pack and in many."""
    backend = Memory()
    index = Index(backend, SHA)
    index.load([put(backend, SHA, [b"first"], 0)])
    assert index.read(SHA.oid(b"first")) == b"first"
    for number, count in enumerate((30_000, 30_000, 30_000, 70_000, 5), 1):
        index.load([put(backend, SHA, (b"%d/%d" % (number, n) for n in range(count)), number)])
        for data in (b"first", b"1/0", b"%d/0" % number, b"%d/%d" % (number, count - 1)):
            assert index.read(SHA.oid(data)) == data
        assert index.place(SHA.oid(b"%d/%d" % (number, count))) is None


def test_the_empty_object_is_found() -> None:
    """Alone in its pack, and among others, whose blocks it shares."""
    for objects in ([b""], [b"", b"a"], [b"a", b""]):
        backend = Memory()
        index = Index(backend, SHA)
        index.load([put(backend, SHA, objects, 1)])
        assert index.read(SHA.oid(b"")) == b""


def test_an_index_of_nothing_finds_nothing() -> None:
    """No pack loaded; a pack of no objects."""
    backend = Memory()
    index = Index(backend, SHA)
    with pytest.raises(ObjectMissing, match="none of the snapshot's packs"):
        index.read(SHA.oid(b""))
    pack = put(backend, SHA, [], 1)
    assert index.oids(pack) is None
    index.load([pack])

    assert index.place(SHA.oid(b"")) is None
    assert index.oids(pack) == frozenset()


def test_an_object_costs_less_than_a_hundred_bytes() -> None:
    """Half a million objects in packs of 50,000: what stays, and what sorting needs for a moment."""
    rng = random.Random(1)
    footers = []
    for pack in range(10):
        builder = PackBuilder(SHA.name, pack.to_bytes(16, "big"))
        for _ in range(50_000):
            builder.add(Oid(rng.randbytes(32)), b"", Kind.CONTENT)
        _, parts = builder.finish()
        footers.append((f"{pack:064x}", parts[-2]))
    tracemalloc.start()
    index = Index(Memory(), SHA)
    for digest, data in footers:
        index.add(digest, Footer(SHA.name, (), bytes(memoryview(data)[8 + 49 :])))
    assert index.place(Oid(bytes(32))) is None
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 100 * 500_000, f"{held / 500_000:.0f} bytes an object"
    assert peak < 180 * 500_000, f"{peak / 500_000:.0f} bytes an object while sorting"


def test_names_of_packs_lead_back_to_their_digests() -> None:
    """And names that only look like one do not."""
    digest = "ab" * 32

    assert pack_digest(pack_name(digest)) == digest
    for name in (f"packs/ab/{digest}", f"packs/cd/{digest}.pack", "packs/ab/ab.pack", pack_name("AB" * 32)):
        assert pack_digest(name) is None


def test_objects_of_another_scheme_are_not_mixed_in() -> None:
    """A pack tells how it names."""
    backend = Memory()
    with pytest.raises(FormatUnknown, match="alike"):
        Index(backend, SHA).load([put(backend, Alike(), [b"a"], 1)])


def test_a_broken_pack_is_named_when_its_objects_are_asked_for() -> None:
    """Until then the others are read."""
    backend = Memory()
    good, bad = put(backend, SHA, [b"good"], 1), put(backend, SHA, [b"bad"], 2)
    overwrite(backend, pack_name(bad), backend.get(pack_name(bad))[:-9])
    index = Index(backend, SHA)
    index.load_readable([good, bad])

    assert index.read(SHA.oid(b"good")) == b"good"
    with pytest.raises(ObjectMissing, match=bad):
        index.read(SHA.oid(b"bad"))
    with pytest.raises(ObjectCorrupt):
        index.load([bad])


# ---- calls of the backend


def test_a_small_pack_is_known_by_two_calls_and_a_large_one_by_four() -> None:
    """Its size and one read; the first bytes apart where they are far off, and the footer where it is long."""
    for objects, size, most in ((10, 100, 2), (10, 100_000, 3), (3000, 100, 4)):
        memory = Memory()
        pack = put(memory, SHA, [noise(size, n) for n in range(objects)], 1)
        backend = FaultyBackend(memory)
        Index(backend, SHA).load([pack])
        assert backend.calls == most


def test_readers_of_one_archive_read_a_footer_once() -> None:
    """Each night adds two packs; who reads all nights, one after another, asks for each once."""
    memory = Memory()
    written = new_archive(memory)
    nights = [write(written, {"a": noise(5000, 0), f"{n}": noise(5000, n)}) for n in range(1, 9)]
    backend = FaultyBackend(memory)
    archive = Archive.open(backend)
    packs = {pack for night in nights for pack in night.manifest.packs}
    before = backend.calls
    for night in nights:
        archive.reader(night)

    named = sum(len(night.manifest.packs) for night in nights)  # the size of each is asked for, and the notes
    assert backend.calls - before == len(packs) + named + len(nights)


def test_footers_at_hand_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for longest ago goes first, and is read again."""
    memory = Memory()
    packs = [put(memory, SHA, [b"%d of %d" % (n, p) for n in range(100)], p) for p in range(5)]
    monkeypatch.setattr("storage.footers.KEPT", 12_000)  # two of them
    backend = FaultyBackend(memory)
    footers = Footers(backend)
    for pack in (*packs, packs[4], packs[3]):
        footers.of(pack)
    assert backend.calls == 2 * 5 + 2
    assert footers.of(packs[0]).oid(0) == SHA.oid(b"0 of 0")
    assert backend.calls == 2 * 6 + 2


# ---- packing: which objects share a block


def test_packed_and_plain_objects_do_not_share_blocks() -> None:
    """What is compressed already lies raw and is never tried again, however well it would shrink; text shrinks."""
    archive = new_archive()
    index = Index(archive.backend, archive.scheme)
    packing = Packing(archive.backend, archive.scheme, index, lambda: bytes(16))
    texts = [b"<text>%d</text>" % n * 20 for n in range(3000)]
    packed = [b"zeros %d" % n + bytes(400) for n in range(3000)]  # would shrink, if it were tried
    for text, other in zip(texts, packed, strict=True):
        packing.put(text, Kind.CONTENT)
        packing.put(other, Kind.CONTENT, packed=True)
    packing.put(bytes(2 * BLOCK_SIZE), Kind.CONTENT, packed=True)  # one of its own block
    packing.put(bytes(3 * BLOCK_SIZE), Kind.CONTENT)
    packing.flush()

    def codec_and_shape(data: bytes) -> tuple[int, bool]:
        block = located(index, SHA.oid(data)).block
        return block.codec, block.stored < block.plain // 2

    assert {codec_and_shape(text) for text in texts} == {(Codec.ZSTD, True)}
    assert {codec_and_shape(other) for other in packed} == {(Codec.RAW, False)}
    assert codec_and_shape(bytes(2 * BLOCK_SIZE)) == (Codec.RAW, False)
    assert codec_and_shape(bytes(3 * BLOCK_SIZE)) == (Codec.ZSTD, True)
    assert all(index.read(SHA.oid(data)) == data for data in texts + packed)


def test_noise_among_text_is_kept_raw_only_where_it_is_said_to_be_packed() -> None:
    """A few large noises put as packed leave the text's blocks as small as they would be without them."""

    def stored(*, with_noise: bool) -> int:
        archive = new_archive()
        index = Index(archive.backend, archive.scheme)
        packing = Packing(archive.backend, archive.scheme, index, lambda: bytes(16))
        for n in range(2000):
            packing.put(b"<text>%d</text>" % n * 20, Kind.CONTENT)
            if with_noise:
                packing.put(noise(500, n), Kind.CONTENT, packed=True)
        packing.flush()
        return packing.stored_bytes - (2000 * (500 + 45) if with_noise else 0)

    assert abs(stored(with_noise=True) - stored(with_noise=False)) < 200


def test_an_object_is_new_once_across_scopes() -> None:
    """What one scope holds, another only names, under whatever path."""
    archive = new_archive()
    data = {"a": noise(70_000, 1), "b": noise(10, 2)}
    first = write(archive, data, key=LAB)
    second = write(archive, {"c": data["b"], **data}, key=OFFICE)

    assert second.manifest.objects_new == 1  # its listing
    assert second.manifest.objects_reused == first.manifest.objects_new - 1 + 1
    assert read(archive, second) == {"c": data["b"], **data}
