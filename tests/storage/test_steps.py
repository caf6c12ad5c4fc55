"""Texts in steps: each night reads back, depth and bytes are bounded, nothing wrong is taken for right."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import recipes, steps
from storage.errors import ObjectCorrupt
from storage.index import Index
from storage.listing import Recipe, Steps
from storage.packing import Packing
from storage.reader import Reader
from storage.recipes import Base, keep_text
from storage.steps import MAX_STEPS, MAX_TEXT
from tests.doubles import new_archive, noise, read, write
from tests.storage.zips import M, build


class Shelf:
    """Where one scope's texts are kept, night after night."""

    def __init__(self) -> None:
        self.archive = new_archive()
        index, salts = Index(self.archive.backend, self.archive.scheme), random.Random(1)
        self.packing = Packing(self.archive.backend, self.archive.scheme, index, lambda: salts.randbytes(16))
        self.base: Base | None = None

    def keep(self, text: bytes) -> Steps:
        """As a writer does it: kept, and read back from its steps alone."""
        named = keep_text(self.packing, text, self.base)
        self.packing.flush()
        reader = self.reader()
        assert reader.text(named) == text
        self.base = Base(named, text, reader.unpacked(named))
        return named

    def reader(self) -> Reader:
        """One that has read nothing yet."""
        index = Index(self.archive.backend, self.archive.scheme)
        index.load(self.packing.used)
        return Reader(index)


def text_of(rows: list[int], night: int) -> bytes:
    return b"night %d\n" % night + b"".join(b"row %d has %x\n" % (n, row) for n, row in enumerate(rows))


def test_a_hundred_nights_read_back_within_the_bounds() -> None:
    """Each night a little changes: at most 32 steps, then a whole one again; every text is itself."""
    rng, shelf, depths = random.Random(4), Shelf(), []
    rows = [rng.getrandbits(64) for _ in range(2000)]
    for night in range(100):
        for place in rng.sample(range(len(rows)), 20):
            rows[place] = rng.getrandbits(64)
        depths.append(len(shelf.keep(text_of(rows, night))))

    assert depths == [night % MAX_STEPS + 1 for night in range(100)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=2, max_size=40))
def test_all_steps_together_unpack_to_no_more_than_promised(sizes: list[int]) -> None:
    """Also where the text shrinks night after night, or jumps."""
    shelf, words = Shelf(), noise(3000, 1).hex().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "MAX_UNPACKED", 12_000)
        for size in sizes:
            named = shelf.keep(words[:size])
            texts = [len(shelf.reader().text(named[:depth])) for depth in range(1, len(named) + 1)]

            assert len(named) <= MAX_STEPS
            assert sum(texts) <= 12_000


def test_a_text_that_shrinks_every_night_keeps_the_bound() -> None:
    """Earlier texts count with their own size, not with tonight's."""
    words = noise(5000, 1).hex().encode()
    shelf = Shelf()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "MAX_UNPACKED", 20_000)
        for depth in range(1, 20):
            named = shelf.keep(words[: 20_000 // (depth + 1)])
            assert shelf.reader().unpacked(named) <= 20_000


def test_an_equal_text_adds_no_step() -> None:
    """Nothing changed: the same steps, no new object."""
    shelf = Shelf()
    first = shelf.keep(b"text" * 9000)
    new = shelf.packing.new

    assert (shelf.keep(b"text" * 9000), shelf.packing.new) == (first, new)


def test_a_text_of_another_kind_starts_anew() -> None:
    """A step that is hardly smaller than the whole is not worth its depth."""
    shelf = Shelf()
    shelf.keep(noise(50_000, 1))

    assert len(shelf.keep(noise(50_000, 2))) == 1


@pytest.mark.parametrize("sizes", [(0, 0), (0, 10), (10, 0), (1, 1 << 20), (5 << 20, 5 << 20)])
def test_texts_of_any_size_follow_each_other(sizes: tuple[int, int]) -> None:
    """The empty text, and ones far apart."""
    before, after = noise(sizes[0], 1), noise(sizes[1] // 2, 1) + noise(sizes[1] - sizes[1] // 2, 3)

    assert steps.unpack(steps.next_step(after, before), before) == after
    assert steps.unpack(steps.first(after), None) == after


def test_the_delta_of_a_large_text_sees_all_of_its_base() -> None:
    """12 MB, turned round: what stood at the end stands at the beginning, and costs nothing."""
    text = noise(12 << 20, 1)
    turned = text[8 << 20 :] + text[: 8 << 20]

    assert len(steps.next_step(turned, text)) < 20_000


def claiming(size: int) -> bytes:
    """A frame of one raw block of 4 bytes whose header states another content size (RFC 8878, 3.1.1)."""
    return (0xFD2FB528).to_bytes(4, "little") + b"\xe0" + size.to_bytes(8, "little") + b"\x21\0\0test"


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 3, MAX_TEXT + 1])
def test_a_frame_that_claims_a_huge_size_is_refused(size: int) -> None:
    """Before memory for it is asked for."""
    assert steps.unpack(claiming(4), None) == b"test"
    tracemalloc.start()
    with pytest.raises(ObjectCorrupt):
        steps.unpack(claiming(size), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


def test_a_frame_without_its_size_is_refused() -> None:
    """A reader must know beforehand what it unpacks."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"text")

    with pytest.raises(ObjectCorrupt):
        steps.unpack(frame, None)


@given(st.binary(max_size=80), st.none() | st.binary(max_size=20))
def test_any_bytes_raise_only_ours(frame: bytes, base: bytes | None) -> None:
    """No frame at all."""
    with pytest.raises(ObjectCorrupt):
        steps.unpack(frame, base)


def test_a_changed_frame_raises_only_ours() -> None:
    """Flips and cuts: ObjectCorrupt, or some text; which one it is, is for the listing's SHA-256 to say."""
    base, rng, refused = noise(3000, 1), random.Random(1), 0
    frame = steps.next_step(base[:1500] + b"new" + base[1500:], base)
    for _ in range(3000):
        data = bytearray(frame[: rng.choice((len(frame), rng.randrange(len(frame))))])
        for _ in range(rng.randint(0, 2)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            steps.unpack(bytes(data), base)
        except ObjectCorrupt:
            refused += 1
    assert refused > 1000


def test_a_step_upon_another_base_is_never_taken_for_the_text() -> None:
    """Through the reader: a listing whose steps were exchanged, and a plan's, are damage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "WHOLE", 0)
        archive = new_archive()
        nights = []
        for night in range(3):
            payloads = [M(b"top/%d" % n, b"%d of night %d" % (n, night * (n % 7 == 0))) for n in range(400)]
            files = {"a.zip": build(payloads)} | {f"f{n}": noise(40, n + night * (n % 9 == 0)) for n in range(200)}
            nights.append(write(archive, files, night=night))
            assert read(archive, nights[-1]) == files
    last = nights[2]
    listings = last.manifest.listing
    assert len(listings) == 3
    right = archive.entries(last)
    (entry,) = (one for one in right if one.path == "a.zip")
    named = entry.recipe.steps
    assert len(named) == 3
    outcomes = []
    # A step may lead to its text from another base too, where it takes only what both have: then it is the text.
    for order in ((0, 2), (2, 1, 0), (0, 1), (1, 2), (2,), (0, 0), ()):
        wrong = replace(last, manifest=replace(last.manifest, listing=tuple(listings[at] for at in order)))
        odd = replace(entry, recipe=Recipe("zip", (), tuple(named[at] for at in order)))
        try:
            outcomes.append("right" if archive.entries(wrong) == right else "WRONG")
        except ObjectCorrupt:
            outcomes.append("refused")
        try:
            got = b"".join(archive.reader(last).chunks(odd))
            outcomes.append("right" if got == files["a.zip"] else "WRONG")
        except ObjectCorrupt:
            outcomes.append("refused")

    assert "WRONG" not in outcomes
    assert outcomes.count("refused") > 8
