"""Objects into packs and back: the bytes of one pack, as `FORMAT.md` section 3 lays them out.

Pure: works on bytes, touches no backend. Which pack an object goes to is the writer's business. A pack carries a
salt, so that no two packs ever have one name: a name that was freed, or that damaged bytes lie under, never comes
back, and nobody but its writer can name a pack that no manifest names yet.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import zstandard

from storage.errors import FormatUnknown, ObjectCorrupt
from storage.objects import OID_SIZE, Oid

HEADER = struct.Struct(">8s16s16s")  # magic, scheme padded with zero bytes, salt
BLOCK = struct.Struct(">QIIB32s")  # offset in the pack, stored bytes, plain bytes, codec, SHA-256 of stored bytes
OBJECT = struct.Struct(">32sIIIB")  # oid, block number, offset in the plain block, bytes, kind
COUNTS = struct.Struct(">II")  # blocks, objects
TRAILER = struct.Struct(">QI32s8s")  # offset and bytes of the footer, its SHA-256, magic
MAGIC = b"SRPACK\x00\x01"
END_MAGIC = b"SRPACKE\x01"

PACK_SIZE = 32 << 20  # a pack is closed at the first object that reaches this: one put, small enough for memory
BLOCK_SIZE = 1 << 20  # small objects share a block of about this size, so that zstd sees their likeness
MAX_OBJECT = 32 << 20  # larger content is several objects
MAX_FOOTER = 256 << 20  # a reader takes no more into memory, whatever a pack claims
SALT_SIZE = 16  # bytes
TAIL = 64 << 10  # bytes read at once: most footers are within, and a pack of texts whole
LEVEL = 3  # zstd's default; performance figures in README
SAMPLE = 64 << 10  # bytes of a large object tried first: what does not shrink there is kept raw


class Codec(IntEnum):
    """How a block is kept."""

    RAW = 0
    ZSTD = 1


class Kind(IntEnum):
    """What an object is for; a reader needs it only to rebuild an index."""

    CONTENT = 1
    LISTING = 2  # a piece of a listing or of a plan


@dataclass(frozen=True, slots=True)
class Block:
    """One row of a pack's block table."""

    offset: int
    stored: int  # bytes in the pack
    plain: int  # bytes when decompressed
    codec: int
    digest: bytes  # SHA-256 of the stored bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """One row of a pack's object table."""

    oid: Oid
    block: int
    offset: int
    length: int
    kind: int


@dataclass(frozen=True, slots=True)
class Footer:
    """Everything a pack says about itself. Its table of objects stays bytes: there may be 100,000 rows."""

    scheme: str
    blocks: tuple[Block, ...]
    table: bytes

    def __len__(self) -> int:
        return len(self.table) // OBJECT.size

    def placed(self, row: int) -> Placed:
        """The object of that row."""
        return Placed(*OBJECT.unpack_from(self.table, row * OBJECT.size))

    def oid(self, row: int) -> Oid:
        """Its name alone."""
        return Oid(self.table[row * OBJECT.size : row * OBJECT.size + OID_SIZE])

    @property
    def objects(self) -> tuple[Placed, ...]:
        """All of them."""
        return tuple(self.placed(row) for row in range(len(self)))


class PackBuilder:
    """Collects objects and yields the bytes of a pack. Memory: the pack's own bytes."""

    def __init__(self, scheme: str, salt: bytes) -> None:
        """`salt`: SALT_SIZE random bytes, never used before."""
        if len(salt) != SALT_SIZE:
            raise ValueError(f"a salt of {len(salt)} bytes, {SALT_SIZE} wanted")
        self._parts = [HEADER.pack(MAGIC, scheme.encode(), salt)]
        self._length = HEADER.size
        self._blocks: list[Block] = []
        self._rows: list[bytes] = []
        # Two blocks that small objects share: what is compressed already would only dilute the other.
        self._open = {True: _OpenBlock(), False: _OpenBlock()}
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)

    @property
    def size(self) -> int:
        """Bytes so far, an upper bound of the open blocks and the table of objects included."""
        open_bytes = sum(len(block.data) for block in self._open.values())
        return self._length + open_bytes + self.count * OBJECT.size

    @property
    def count(self) -> int:
        """Objects so far."""
        return len(self._rows) + sum(len(block.objects) for block in self._open.values())

    def add(self, oid: Oid, data: bytes, kind: Kind, *, packed: bool = False, sha256: bytes | None = None) -> None:
        """Put one object, of 0 to MAX_OBJECT bytes, into the pack.

        `packed`: it is compressed already, do not try again. `sha256`: that of `data`, where it is known.
        """
        if len(data) > MAX_OBJECT:
            raise ValueError(f"an object of {len(data)} bytes, at most {MAX_OBJECT}")
        if len(data) >= BLOCK_SIZE:
            self._rows.append(OBJECT.pack(oid, len(self._blocks), 0, len(data), kind))
            self._write_block(data, packed=packed, sha256=sha256)
            return
        if len(self._open[packed].data) + len(data) > BLOCK_SIZE:
            self._close_block(packed=packed)
        block = self._open[packed]
        block.objects.append((oid, len(block.data), len(data), kind))
        block.data += data

    def finish(self) -> tuple[str, list[bytes]]:
        """The pack's name (SHA-256 of all its bytes, hex) and its bytes in parts. The builder is used up."""
        self._close_block(packed=True)
        self._close_block(packed=False)
        footer = b"".join(
            [COUNTS.pack(len(self._blocks), len(self._rows))]
            + [BLOCK.pack(b.offset, b.stored, b.plain, b.codec, b.digest) for b in self._blocks]
            + self._rows
        )
        trailer = TRAILER.pack(self._length, len(footer), hashlib.sha256(footer).digest(), END_MAGIC)
        parts = [*self._parts, footer, trailer]
        name = hashlib.sha256()
        for part in parts:
            name.update(part)
        return name.hexdigest(), parts

    def _close_block(self, *, packed: bool) -> None:
        block = self._open[packed]
        if block.objects:  # an object of no bytes needs its block to exist, too
            number = len(self._blocks)
            self._rows += [OBJECT.pack(oid, number, at, length, kind) for oid, at, length, kind in block.objects]
            self._write_block(bytes(block.data), packed=packed)
            self._open[packed] = _OpenBlock()

    def _write_block(self, data: bytes, *, packed: bool, sha256: bytes | None = None) -> None:
        stored, codec = (data, Codec.RAW) if packed else self._compress(data)
        digest = sha256 if sha256 and codec == Codec.RAW else hashlib.sha256(stored).digest()
        self._blocks.append(Block(self._length, len(stored), len(data), codec, digest))
        self._parts.append(stored)
        self._length += len(stored)

    def _compress(self, data: bytes) -> tuple[bytes, Codec]:
        if len(data) > 2 * SAMPLE and not self._shrinks(data[:SAMPLE]) and not self._shrinks(data[-SAMPLE:]):
            return data, Codec.RAW
        packed = self._compressor.compress(data)
        return (packed, Codec.ZSTD) if len(packed) < len(data) else (data, Codec.RAW)

    def _shrinks(self, sample: bytes) -> bool:
        return len(self._compressor.compress(sample)) < len(sample) * 0.97


@dataclass(slots=True)
class _OpenBlock:
    data: bytearray = field(default_factory=bytearray)
    objects: list[tuple[Oid, int, int, int]] = field(default_factory=list)  # oid, offset, bytes, kind


def read_footer(read: Callable[[int, int], bytes], size: int, name: str) -> Footer:
    """The footer of the pack of `size` bytes that `read(offset, length)` reads from.

    One read of the end and one of the first bytes, a third where the footer is long; one for a small pack.
    Raises FormatUnknown where it is no pack of this format, ObjectCorrupt where it is one and is damaged.
    """
    _long_enough(size, name)
    tail_at = max(0, size - TAIL)
    tail = _exactly(read, tail_at, size - tail_at, name)

    def part(at: int, length: int) -> bytes:
        return tail[at - tail_at : at - tail_at + length] if at >= tail_at else _exactly(read, at, length, name)

    scheme, offset, length, digest = read_ends(part, size, name)
    if length > MAX_FOOTER:
        raise ObjectCorrupt(f"{name}: a footer of {length} bytes, at most {MAX_FOOTER} are read")
    data = part(offset, length)
    if hashlib.sha256(data).digest() != digest:
        raise ObjectCorrupt(f"{name}: footer sha256 differs from the one in its trailer")
    blocks, objects = COUNTS.unpack_from(data) if length >= COUNTS.size else (0, 0)
    middle = COUNTS.size + blocks * BLOCK.size
    if length != middle + objects * OBJECT.size:
        raise ObjectCorrupt(f"{name}: a footer of {length} bytes cannot hold {blocks} blocks, {objects} objects")
    footer = Footer(
        scheme.rstrip(b"\0").decode("ascii", "replace"),
        tuple(Block(*row) for row in BLOCK.iter_unpack(data[COUNTS.size : middle])),
        data[middle:],
    )
    _check_tables(footer, offset, name)
    return footer


def read_ends(read: Callable[[int, int], bytes], size: int, name: str) -> tuple[bytes, int, int, bytes]:
    """What the first and last bytes of a pack say: scheme, and offset, length and SHA-256 of its footer.

    Two small reads, which tell of a pack that was cut or emptied. Raises as `read_footer`.
    """
    _long_enough(size, name)
    magic, scheme, _ = HEADER.unpack(_exactly(read, 0, HEADER.size, name))
    offset, length, digest, end = TRAILER.unpack(_exactly(read, size - TRAILER.size, TRAILER.size, name))
    if magic[:6] == MAGIC[:6] and magic != MAGIC:
        raise FormatUnknown(f"{name}: pack format {magic[6:].hex()}, this version reads {MAGIC[6:].hex()}")
    if magic != MAGIC or end != END_MAGIC or offset + length + TRAILER.size != size:
        raise ObjectCorrupt(f"{name}: its first or last bytes are not those of a whole pack")
    return scheme, offset, length, digest


def _long_enough(size: int, name: str) -> None:
    if size < HEADER.size + TRAILER.size:
        raise ObjectCorrupt(f"{name}: {size} bytes, a pack has at least {HEADER.size + TRAILER.size}")


def _check_tables(footer: Footer, end: int, name: str) -> None:
    for block in footer.blocks:
        if block.plain > MAX_OBJECT or block.offset + block.stored > end:
            raise ObjectCorrupt(f"{name}: block at {block.offset}: too large, or outside of the pack")
    plain = [block.plain for block in footer.blocks]
    for oid, block, offset, length, _ in OBJECT.iter_unpack(footer.table):
        if block >= len(plain) or offset + length > plain[block]:
            raise ObjectCorrupt(f"{name}: object {oid.hex()[:12]} lies in no block")


def open_block(block: Block, stored: bytes, name: str) -> bytes:
    """The plain bytes of a block. Raises ObjectCorrupt where they are not those that were written.

    A raw block is not hashed: its objects prove themselves by their oids, each time one is read.
    """
    if block.codec == Codec.RAW:
        if len(stored) != block.plain:
            raise ObjectCorrupt(f"{name}: block at {block.offset}: {len(stored)} bytes, {block.plain} promised")
        return stored
    if len(stored) != block.stored or hashlib.sha256(stored).digest() != block.digest:
        raise ObjectCorrupt(f"{name}: block at {block.offset}: sha256 differs from the footer's")
    if block.codec != Codec.ZSTD:
        raise FormatUnknown(f"{name}: block codec {block.codec}, this version reads 0 and 1")
    try:
        if zstandard.frame_content_size(stored) != block.plain:
            raise ObjectCorrupt(f"{name}: block at {block.offset}: not of the {block.plain} bytes promised")
        return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError as exc:
        raise ObjectCorrupt(f"{name}: block at {block.offset}: {exc}") from exc


def _exactly(read: Callable[[int, int], bytes], offset: int, length: int, name: str) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise ObjectCorrupt(f"{name}: {len(data)} bytes at {offset}, {length} expected")
    return data
