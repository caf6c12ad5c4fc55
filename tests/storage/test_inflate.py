"""Payloads in pieces: every byte comes out, in bounded memory, wherever the pieces end."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest

from storage.inflate import DEFLATED, PIECE, STORED, inflated


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("more", [0, 1, 5, 6, 100, 257, 258, 259, 516, 599])
def test_nothing_is_left_inside_the_stream(more: int) -> None:
    """A match that reaches over the end of a full piece, with nothing left to put in."""
    data = bytes(2 * PIECE + more)

    assert b"".join(inflated([deflated(data)], DEFLATED)) == data


def test_pieces_of_any_size_make_the_whole() -> None:
    """Byte by byte, at random, with empty ones; rubbish behind the end is passed over."""
    rng = random.Random(2)
    data = b"".join(rng.choice((b"abc", rng.randbytes(9), bytes(700))) for _ in range(3000))
    packed = deflated(data) + b"rubbish" * 100
    for sizes in ([1], [0, 7], [PIECE], range(1, 400)):
        at, pieces = 0, []
        while at < len(packed):
            size = rng.choice(sizes)
            pieces.append(packed[at : at + size])
            at += size
        assert b"".join(inflated(pieces, DEFLATED)) == data
    assert b"".join(inflated([b"as", b"", b" it is"], STORED)) == b"as it is"


def test_a_bomb_costs_no_memory() -> None:
    """64 MB of zeros in 64 KB, then a megabyte behind the end: a few pieces are held."""
    pieces = [deflated(bytes(64 << 20)), *[bytes(64 << 10)] * 16]
    tracemalloc.start()
    size = sum(len(piece) for piece in inflated(pieces, DEFLATED))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (size, peak < 4 * PIECE) == (64 << 20, True)


def test_what_is_no_stream_raises() -> None:
    """Bytes of no meaning; a stream that just ends gives what it has."""
    with pytest.raises(zlib.error):
        list(inflated([b"\xff\xff\xff"], DEFLATED))

    assert b"".join(inflated([deflated(b"half" * 9000)[:20]], DEFLATED)) in b"half" * 9000
    assert list(inflated([], DEFLATED)) == []
