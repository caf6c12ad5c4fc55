"""A text kept as the steps that lead to it: a first one whole, each further one as what changed since.

Listings and plans of one scope are nearly the same every night. Each step is one zstd frame; from the second on,
the text before is its dictionary, as raw content (RFC 8878, section 5; `zstd --patch-from` makes and reads the
same). Depth is bounded, because a reader takes all steps, and so is what they unpack to.
"""

from __future__ import annotations

import zstandard

from storage.errors import ObjectCorrupt

MAX_STEPS = 32  # a whole listing each month: its cost spread over the nights stays below that of a night's changes
MAX_UNPACKED = 256 << 20  # bytes that all steps unpack to: 8 steps for 142,000 members
MAX_TEXT = 1 << 30  # bytes; no reader unpacks more at once, whatever a frame claims
LEVEL = 3
_MAX_WINDOW, _MAX_TABLE = 27, 22  # logarithms: more would cost more memory than the text itself


def first(text: bytes) -> bytes:
    """The frame of a text that has no base."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(text)


def next_step(text: bytes, base: bytes) -> bytes:
    """The frame that leads from `base` to `text`. Memory: some 50 MB beside both, for texts of 30 MB."""
    # The window must reach from the end of the text back to the beginning of its base, and the tables must hold
    # positions of all that: zstd's defaults for a level see only the last few hundred kilobytes.
    window = max(18, (len(text) + len(base)).bit_length())
    table = min(max(17, len(base).bit_length()), _MAX_TABLE)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=min(window, _MAX_WINDOW), hash_log=table, chain_log=table, write_content_size=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=_raw(base)).compress(text)


def worth_a_step(depth: int, unpacked: int, text: bytes) -> bool:
    """Whether a text may follow a base that took `depth` steps, which unpack to `unpacked` bytes together."""
    return 0 < depth < MAX_STEPS and unpacked + len(text) <= MAX_UNPACKED


def unpack(frame: bytes, base: bytes | None) -> bytes:
    """The text that a frame leads to. Raises ObjectCorrupt."""
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= MAX_TEXT:
            raise ObjectCorrupt(f"a step of {size} bytes, at most {MAX_TEXT} are read")
        unpacker = zstandard.ZstdDecompressor(dict_data=None if base is None else _raw(base))
        return unpacker.decompress(frame)
    except zstandard.ZstdError as exc:
        raise ObjectCorrupt(f"a step cannot be unpacked: {exc}") from exc


def _raw(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
