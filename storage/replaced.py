"""Notes that packs were replaced: such a pack is never read any more, its objects are in other packs or lost.

Manifests are immutable and go on naming the old pack. Whoever turns a manifest's packs into packs to read or to
protect asks here. Pure: values to canonical bytes and back, names to other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import from_text, to_text

FORMAT = 1
FOLDER = "replaced/"
_NAME = re.compile(r"replaced/([0-9a-f]{64})\.([1-9][0-9]{0,8})\.json")


@dataclass(frozen=True, slots=True)
class Replaced:
    """One note. Of several about one pack, the one with the highest number counts."""

    pack: str  # digest
    number: int  # from 1: what was lost may be found later, and notes are never changed
    by: tuple[str, ...]  # digests of the packs that hold its objects now, sorted; may be empty
    lost: tuple[str, ...]  # oids, hex, sorted: objects that were found nowhere
    hits: tuple[str, ...]  # ids of the snapshots that need a lost object, sorted, as far as was known
    made_at: datetime
    reason: str


def note_name(pack: str, number: int) -> str:
    """Where a note lies. Create-if-absent on this name is the commit of a replacement."""
    return f"{FOLDER}{pack}.{number}.json"


def parse_name(name: str) -> tuple[str, int] | None:
    """The pack and number that the name of a note says; None for a name that is no note's."""
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def encode(note: Replaced) -> bytes:
    """Canonical bytes of a note (FORMAT.md section 9)."""
    value = {
        "format": FORMAT,
        "kind": "replaced",
        "pack": note.pack,
        "number": note.number,
        "by": list(note.by),
        "lost": list(note.lost),
        "hits": list(note.hits),
        "made_at": to_text(note.made_at),
        "reason": note.reason,
    }
    return canonical.seal(value)


def decode(data: bytes, name: str) -> Replaced:
    """The note in `data`. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        if (value["kind"], value["format"]) != ("replaced", FORMAT):
            raise FormatUnknown(f"{name}: a {value['kind']} of format {value['format']!r}, a note was expected")
        note = Replaced(
            pack=canonical.digest(value["pack"]),
            number=canonical.count(value["number"]),
            by=tuple(canonical.digest(pack) for pack in value["by"]),
            lost=tuple(canonical.digest(oid) for oid in value["lost"]),
            hits=tuple(canonical.digest(found) for found in value["hits"]),
            made_at=from_text(canonical.text(value["made_at"])),
            reason=canonical.text(value["reason"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a note that this version wrote: {exc!r}") from exc
    if note_name(note.pack, note.number) != name:
        raise ObjectCorrupt(f"{name}: holds note {note.number} about pack {note.pack[:12]}")
    return note


def newest(notes: Iterable[Replaced]) -> dict[str, Replaced]:
    """Of each pack, the note that counts."""
    return {note.pack: note for note in sorted(notes, key=lambda note: note.number)}


def to_read(notes: Mapping[str, Replaced], packs: Iterable[str]) -> tuple[str, ...]:
    """The packs to read where `packs` are named, sorted: those with a note give way to what replaced them."""
    return tuple(sorted(pack for pack in to_protect(notes, packs) if pack not in notes))


def to_protect(notes: Mapping[str, Replaced], packs: Iterable[str]) -> set[str]:
    """The packs to keep where `packs` are named: they, as evidence where replaced, and what replaced them.

    Notes that lead back to each other end nowhere: each pack is followed once.
    """
    found: set[str] = set()
    ahead = list(packs)
    while ahead:
        pack = ahead.pop()
        if pack not in found:
            found.add(pack)
            ahead += notes[pack].by if pack in notes else ()
    return found
