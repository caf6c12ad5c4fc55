"""Objects on their way into packs: what is there already is only named, the rest fills packs and is written.

Two packs are open at a time, one for content, one for listings and plans: what browsing needs lies together, and
a pack that keeps an old listing alive keeps nothing else alive.
"""

from __future__ import annotations

from collections.abc import Callable

from storage.backend import Backend
from storage.index import Index, pack_name
from storage.objects import Oid, Scheme
from storage.packs import PACK_SIZE, Kind, PackBuilder


class Packing:
    """Puts objects. Memory: two packs and the index of those that may be reused."""

    def __init__(
        self,
        backend: Backend,
        scheme: Scheme,
        index: Index,
        salt: Callable[[], bytes],
        *,
        proven: bool = False,
    ) -> None:
        """`proven`: what is there already is only named once it was read and is what it should be."""
        self._backend = backend
        self._scheme = scheme
        self._index = index
        self._salt = salt
        self._proven = proven
        self._open: dict[Kind, PackBuilder] = {}
        self._pending: dict[Kind, set[Oid]] = {kind: set() for kind in Kind}  # in the open packs
        self.used: set[str] = set()  # packs that hold what was put or named
        self.stored_bytes = 0
        self.new = 0
        self.reused = 0

    def put(self, data: bytes, kind: Kind, *, packed: bool = False) -> Oid:
        """The object's name; it is in a pack, or will be at the next `flush`. `packed`: compressed already."""
        oid = self._scheme.oid(data)
        if self.name(oid):
            self.reused += 1
        else:
            self._add(oid, data, kind, packed=packed)
        return oid

    def name(self, oid: Oid) -> bool:
        """Whether a pack at hand holds the object; then it is among those that are used, as are others that do: a
        reader has them if one is damaged."""
        place = self._index.place(oid)
        if place is not None and (not self._proven or self._index.proves(oid)):
            self.used |= self._index.packs_of(place, oid)
        elif not any(oid in pending for pending in self._pending.values()):
            return False
        return True

    def flush(self) -> None:
        """Write what is open. Raises BackendFailed."""
        for kind in list(self._open):
            self._close(kind)

    def _add(self, oid: Oid, data: bytes, kind: Kind, *, packed: bool) -> None:
        if kind not in self._open:
            self._open[kind] = PackBuilder(self._scheme.name, self._salt())
        pack = self._open[kind]
        pack.add(oid, data, kind, packed=packed, sha256=self._scheme.sha256(oid))
        self._pending[kind].add(oid)
        self.new += 1
        if pack.size >= PACK_SIZE:
            self._close(kind)

    def _close(self, kind: Kind) -> None:
        digest, parts = self._open.pop(kind).finish()
        self._backend.put_new(pack_name(digest), parts)
        self.stored_bytes += sum(len(part) for part in parts)
        self._index.load([digest])
        self.used.add(digest)
        self._pending[kind].clear()  # from now on the index finds them
