"""Notes that packs were replaced: by others that hold the objects of theirs that were needed.

A *damaged* pack is never read any more: what its note does not lead to is lost. A *retired* one was rewritten to
win space: it may be read while it is there, and goes after RETIRED, where nothing turns out to need it. One of
which something was *erased* is never read any more, and goes at once.

Manifests are immutable and go on naming the old pack. Whoever turns a manifest's packs into packs to read or to
protect asks here. Pure: values to canonical bytes and back, names to other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import from_text, to_text

FORMAT = 2  # written; 1, all of whose packs are damaged ones, is read
RETIRED = timedelta(days=7)  # how long a retired pack stays: who reads or reuses it now did not see its note
FOLDER = "replaced/"
Old = Literal["damaged", "retired", "erased"]
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
    old: Old = "damaged"  # what the pack is now


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
        "old": note.old,
    }
    return canonical.seal(value)


def decode(data: bytes, name: str) -> Replaced:
    """The note in `data`. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        if value["kind"] != "replaced" or value["format"] not in (1, FORMAT):
            raise FormatUnknown(f"{name}: a {value['kind']} of format {value['format']!r}, a note was expected")
        note = Replaced(
            pack=canonical.digest(value["pack"]),
            number=canonical.count(value["number"]),
            by=tuple(canonical.digest(pack) for pack in value["by"]),
            lost=tuple(canonical.digest(oid) for oid in value["lost"]),
            hits=tuple(canonical.digest(found) for found in value["hits"]),
            made_at=from_text(canonical.text(value["made_at"])),
            reason=canonical.text(value["reason"]),
            old=_old(value["old"]) if value["format"] > 1 else "damaged",
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
    """The packs to read where `packs` are named, those that are asked first in front.

    Replaced ones give way to what replaced them; behind all others come the retired ones, which need not be there.
    """
    found = followed(notes, packs)
    old = (pack for pack in found if pack in notes and notes[pack].old == "retired")
    return (*current(notes, found), *sorted(old))


def current(notes: Mapping[str, Replaced], packs: Iterable[str]) -> tuple[str, ...]:
    """The packs that must be there where `packs` are named, sorted: no replaced one. Writers reuse only these."""
    return tuple(sorted(pack for pack in followed(notes, packs) if pack not in notes))


def followed(notes: Mapping[str, Replaced], packs: Iterable[str]) -> set[str]:
    """These packs and all that replaced them. Notes that lead back end nowhere: each pack is followed once."""
    found: set[str] = set()
    ahead = list(packs)
    while ahead:
        pack = ahead.pop()
        if pack not in found:
            found.add(pack)
            ahead += notes[pack].by if pack in notes else ()
    return found


def lost(notes: Mapping[str, Replaced], packs: Iterable[str]) -> set[str]:
    """The objects, hex, that notes about these packs call lost."""
    return {oid for pack in followed(notes, packs) & notes.keys() for oid in notes[pack].lost}


def to_protect(notes: Mapping[str, Replaced], packs: Iterable[str], *, now: datetime) -> set[str]:
    """The packs to keep where `packs` are named: they, what replaced them, and damaged ones as evidence.

    Without erased ones, and the retired ones whose time is over: those may go, if nothing needs them
    (`sweeping.py` looks).
    """
    found = followed(notes, packs)
    return {pack for pack in found if pack not in notes or not _over(notes[pack], now)}


def _over(note: Replaced, now: datetime) -> bool:
    return note.old == "erased" or (note.old == "retired" and now - note.made_at >= RETIRED)


def _old(value: object) -> Old:
    if value not in get_args(Old):
        raise ValueError(f"a pack that is {value!r:.40}, {' or '.join(get_args(Old))} was expected")
    return cast(Old, value)
