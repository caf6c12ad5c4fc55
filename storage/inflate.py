"""The plain bytes of a ZIP member's payload, stored or deflated. Pure: bytes to bytes, in pieces."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

STORED, DEFLATED = 0, 8  # methods (APPNOTE 4.4.5)
PIECE = 1 << 20  # bytes that come out at a time: a bomb costs time, not memory


def inflated(payload: Iterable[bytes], method: int) -> Iterator[bytes]:
    """What the payload holds; what follows the end of a deflated stream is passed over, as `zipfile` does.

    Raises zlib.error. A stream that just ends raises nothing: size and CRC-32 tell.
    """
    if method == STORED:
        yield from payload
        return
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in payload:
        left = data
        while not stream.eof:
            plain = stream.decompress(left, PIECE)
            yield plain
            left = stream.unconsumed_tail
            # A full piece: more may wait inside of the stream, though nothing is left to put in.
            if not left and len(plain) < PIECE:
                break
        if stream.eof:
            return
