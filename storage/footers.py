"""Footers of packs that were read lately: snapshots of one scope share most of their packs."""

from __future__ import annotations

import threading
from collections import OrderedDict

from storage.backend import Backend
from storage.index import footer_of, pack_name
from storage.packs import BLOCK, Footer

KEPT = 16 << 20  # bytes of footers: some 350,000 objects


class Footers:
    """Footers by their packs' digests. Thread-safe. Memory: KEPT bytes, or one footer.

    A pack never changes under its name, but may be freed or cut: its size is asked for each time.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: OrderedDict[str, tuple[int, Footer]] = (
            OrderedDict()
        )  # with the pack's size, asked for last at the end
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, pack: str) -> Footer:
        """The footer of that pack. Raises as `footer_of`."""
        size = self._backend.size(pack_name(pack))
        with self._lock:
            kept = self._kept.get(pack)
            if kept is not None and kept[0] == size:
                self._kept.move_to_end(pack)
                return kept[1]
        footer = footer_of(self._backend, pack, size)
        with self._lock:
            if pack in self._kept:
                self._bytes -= _size(self._kept.pop(pack)[1])
            if size is not None:
                self._kept[pack] = size, footer
                self._bytes += _size(footer)
            while self._bytes > KEPT and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1][1])
        return footer


def _size(footer: Footer) -> int:
    return len(footer.table) + len(footer.blocks) * 4 * BLOCK.size  # values of Python are larger than their bytes
