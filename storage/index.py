"""Which pack holds an object: footers of packs, read once each and kept while the archive is open.

Derived from the packs alone; nothing here is written anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from storage.backend import Backend
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.objects import Oid, Scheme
from storage.packs import Block, Codec, Footer, Placed, open_block, read_footer

_HEX = re.compile("[0-9a-f]{64}")


def pack_name(digest: str) -> str:
    """Where the pack of that digest lies."""
    return f"packs/{digest[:2]}/{digest}.pack"


def pack_digest(name: str) -> str | None:
    """The digest of the pack that lies under `name`; None where no pack is called so."""
    digest = name.rpartition("/")[2].removesuffix(".pack")
    return digest if pack_name(digest) == name and _HEX.fullmatch(digest) else None


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's bytes are."""

    pack: str  # digest
    block: Block
    placed: Placed


class Index:
    """Objects of the packs that were `load`ed. Memory: some 300 bytes an object."""

    def __init__(self, backend: Backend, scheme: Scheme) -> None:
        self._backend = backend
        self._scheme = scheme
        self._packs: set[str] = set()
        self._broken: dict[str, StorageError] = {}  # packs that could not be loaded
        self._where: dict[Oid, Location] = {}
        self._last: tuple[tuple[str, int], bytes] | None = None  # the block read last: small objects share one

    def load(self, packs: Iterable[str]) -> None:
        """Know the objects of these packs. Raises ObjectMissing, ObjectCorrupt for a pack that is not whole."""
        for pack in packs:
            if pack not in self._packs:
                self.add(pack, footer_of(self._backend, pack))

    def load_readable(self, packs: Iterable[str]) -> None:
        """As `load`, for a reader that wants what is there: a pack that is not whole shows when it is needed."""
        for pack in packs:
            try:
                self.load([pack])
            except StorageError as exc:
                self._broken[pack] = exc

    def add(self, pack: str, footer: Footer) -> None:
        """Know the objects of a pack whose footer the caller has."""
        if footer.scheme != self._scheme.name:
            raise FormatUnknown(
                f"{pack_name(pack)}: objects named by {footer.scheme!r}, not {self._scheme.name!r}"
            )
        for placed in footer.objects:
            self._where.setdefault(placed.oid, Location(pack, footer.blocks[placed.block], placed))
        self._packs.add(pack)

    def find(self, oid: Oid) -> Location | None:
        """Where the object is, as far as packs were loaded."""
        return self._where.get(oid)

    def read(self, oid: Oid) -> bytes:
        """The object's bytes, proven to be those that its oid names.

        Raises ObjectMissing, ObjectCorrupt. Memory: the object's block.
        """
        where = self.find(oid)
        if where is None:
            raise ObjectMissing(f"object {oid.hex()[:12]}: {self._why_missing()}")
        plain = self._block(where)
        data = plain[where.placed.offset : where.placed.offset + where.placed.length]
        # An object alone in a raw block was proven with it: the digest of the one is the name of the other.
        alone = where.block.codec == Codec.RAW and len(data) == where.block.stored
        proven = alone and where.block.digest == self._scheme.sha256(oid)
        if not proven and self._scheme.oid(data) != oid:
            raise ObjectCorrupt(f"{pack_name(where.pack)}: object {oid.hex()[:12]}: its bytes are not its own")
        return data

    def _why_missing(self) -> str:
        if not self._broken:
            return "in none of the snapshot's packs"
        more = f", and {len(self._broken) - 1} more" if len(self._broken) > 1 else ""
        return f"in none of the packs that can be read ({next(iter(self._broken.values()))}{more})"

    def _block(self, where: Location) -> bytes:
        key = (where.pack, where.placed.block)  # not its offset: a block of no bytes shares it with the next
        if self._last is None or self._last[0] != key:
            name = pack_name(where.pack)
            stored = self._backend.get(name, where.block.offset, where.block.stored)
            self._last = (key, open_block(where.block, stored, name))
        return self._last[1]


def footer_of(backend: Backend, pack: str) -> Footer:
    """The footer of a pack, by two or three small reads. Raises ObjectMissing, ObjectCorrupt, FormatUnknown."""
    name = pack_name(pack)
    size = backend.size(name)
    if size is None:
        raise ObjectMissing(f"{name}: not in the archive")
    return read_footer(lambda offset, length: backend.get(name, offset, length), size, name)
