"""What an erasing that was killed left to do: files below the tombstones of erased ones, and what they still tell.

Nothing needs such a number any more, so one that cannot be read stops nobody else. Only its own erasing waits: for
a copy of the archive that has it whole (`repair --from`), or for a person who gives it up (`giveup.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from storage.archive import Archive
from storage.encrypted import as_it_lies
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.index import pack_name
from storage.snapshot import Link, ScopeKey, Snapshot

_DIGEST = re.compile(rb"(?=([0-9a-f]{64}))")


@dataclass(frozen=True, slots=True)
class Half:
    """A number that was to be erased, and of which something is left."""

    key: ScopeKey
    number: int
    links: tuple[Link, ...]  # its manifest, its older tombstone, or both
    found: Snapshot | None  # what was erased, as one of them tells
    error: StorageError | None  # why none of them tells it: then what is to be erased is not known

    @property
    def problem(self) -> str:
        """A sentence for whoever is to do something about it; "" where nobody must."""
        ways = "`strongroom repair --from COPY` goes on with it, `repair --give-up` ends it without"
        return f"{self.error}; it was to be erased, and that waits for this file: {ways}" if self.error else ""


def halves(archive: Archive) -> list[Half]:
    """Every such number. Raises BackendFailed. Memory: their manifests."""
    places: dict[tuple[ScopeKey, int], list[Link]] = {}
    for link in archive.half_erased():
        places.setdefault((link.key, link.number), []).append(link)
    return [_half(archive, tuple(links)) for links in places.values()]


def still_named(archive: Archive, links: Iterable[Link]) -> set[str]:
    """The packs, replaced ones too, that the bytes of files which cannot be read still name."""
    texts = {match.decode() for link in links for match in _DIGEST.findall(_bytes(archive, link))}
    notes = archive.replacements(damaged=[])
    return {pack for pack in texts if pack in notes or archive.backend.size(pack_name(pack)) is not None}


def _half(archive: Archive, links: tuple[Link, ...]) -> Half:
    errors: list[StorageError] = []
    for link in links:
        try:
            if link.forgotten:
                (tomb,) = archive.forgotten([link])
                found = Snapshot(tomb.id, tomb.manifest) if tomb.manifest else None
            else:
                found = next(archive.live([link]), None)
        except ObjectMissing:
            continue  # another process went on with it
        except (ObjectCorrupt, FormatUnknown) as exc:
            errors.append(exc)
            continue
        if found is not None:
            return Half(link.key, link.number, links, found, None)
    return Half(links[0].key, links[0].number, links, None, errors[0] if errors else None)


def _bytes(archive: Archive, link: Link) -> bytes:
    try:
        return as_it_lies(archive.backend, link.name)
    except ObjectMissing:
        return b""
