"""Gigabytes of incompressible attachments in seconds: members whose deflate streams are made beforehand.

It invents instrument data; it does not write the ZIP around it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from flows.demo.zipstream import joined_crc32

_BLOCK = 1 << 20
_POOL = 16  # different blocks
_STAMP = 16  # bytes before each block that no other block has
_LARGEST = 512 << 20  # bytes in one attachment


@dataclass
class BulkMember:
    """`size` bytes: stamped blocks in a seeded order. The same seed and size give the same bytes each night."""

    name: str
    seed: str
    size: int
    crc32: int = 0  # complete once `chunks` was consumed

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """A valid raw deflate stream: independently flushed blocks, ended by an empty last one."""
        rng = Random(self.seed)
        pool = _pool()
        self.crc32 = 0
        blocks, rest = divmod(self.size, _STAMP + _BLOCK)
        for number in range(blocks):
            stamp = f"{number:08d}".encode() + rng.randbytes(_STAMP - 8)
            block = pool[rng.randrange(_POOL)]
            yield _with_crc32(_flushed(stamp))
            yield block.packed, block.packed_crc32
            self.crc32 = joined_crc32(zlib.crc32(stamp, self.crc32), block.crc32, _BLOCK)
        tail = rng.randbytes(rest)
        yield _with_crc32(_flushed(tail))
        self.crc32 = zlib.crc32(tail, self.crc32)
        yield _with_crc32(b"\x03\x00")  # final block, fixed codes, no data


def members(total: int, seed: int) -> Iterable[BulkMember]:
    """Split `total` bytes over as few attachments as their largest size allows."""
    number = 0
    while total > 0:
        number += 1
        size = min(total, _LARGEST)
        yield BulkMember(f"instrument_run_{number:03d}.raw", f"{seed}:bulk:{number}", size)
        total -= size


def _flushed(data: bytes) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def _with_crc32(data: bytes) -> tuple[bytes, int]:
    return data, zlib.crc32(data)


@dataclass(frozen=True, slots=True)
class _Block:
    crc32: int  # of the plain bytes
    packed: bytes
    packed_crc32: int


@lru_cache(maxsize=1)
def _pool() -> tuple[_Block, ...]:
    rng = Random("bulk pool")
    plain = [rng.randbytes(_BLOCK) for _ in range(_POOL)]
    packed = [_flushed(data) for data in plain]
    return tuple(_Block(zlib.crc32(a), b, zlib.crc32(b)) for a, b in zip(plain, packed, strict=True))
