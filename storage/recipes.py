"""How a file becomes a recipe: a ZIP is cut into its members' payloads and a plan, all else by its content.

Reads the file, puts objects; the way back is `reader.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from pyfastcdc import FastCDC

from storage import steps, zipcut, zipplan
from storage.listing import Recipe, Steps
from storage.packing import Packing
from storage.packs import Kind

CUT_FROM = 16 << 10  # bytes: the plan of a smaller ZIP would cost as much as it can save
WHOLE = 64 << 10  # bytes: a file up to this, if it was not cut, is one object
AVERAGE = 64 << 10  # bytes of a chunk of a file that is not cut; at least a quarter of it, at most four times
PIECE = 4 << 20  # bytes of a listing's or plan's step that are one object


@dataclass(frozen=True, slots=True)
class Base:
    """A listing or plan of the night before, which tonight's may follow in a step."""

    steps: Steps
    text: bytes
    unpacked: int  # bytes of the texts of all steps


def keep(packing: Packing, content: BinaryIO, base: Callable[[], Base | None]) -> tuple[Recipe, int]:
    """Keep a file, from its beginning; the recipe, and how many members it has where it was cut.

    `base` finds the plan of the same file in the scope's newest snapshot; it is asked where the file was cut.
    """
    size = content.seek(0, 2)
    if size >= CUT_FROM:
        try:
            plan, members = _cut(packing, content, size)
            return Recipe("zip", (), keep_text(packing, plan, base())), members
        except zipcut.NotCut:
            pass  # kept by its content; what is wrong with a ZIP is for its structure test to say
    content.seek(0)
    if size <= WHOLE:
        return Recipe("concat", (packing.put(content.read(), Kind.CONTENT),) if size else ()), 0
    # The chunker lends its buffer: a chunk is copied before the next one is asked for.
    chunks = FastCDC(AVERAGE).cut_stream(content)
    return Recipe("concat", tuple(packing.put(bytes(chunk.data), Kind.CONTENT) for chunk in chunks)), 0


def keep_text(packing: Packing, text: bytes, base: Base | None) -> Steps:
    """Keep a listing or a plan: as a step from `base` where that is possible and pays, else whole."""
    if base and base.text == text:
        return _named(packing, base.steps)
    frame, before = b"", Steps()
    if base and steps.worth_a_step(len(base.steps), base.unpacked, text):
        frame, before = steps.next_step(text, base.text), base.steps
    if not frame or len(frame) > len(text) // 8:  # no step, or one that may be no smaller than the whole
        whole = steps.first(text)
        if not frame or len(frame) > len(whole) * 3 // 4:
            frame, before = whole, ()
    pieces = (frame[at : at + PIECE] for at in range(0, len(frame), PIECE))
    return (*_named(packing, before), tuple(packing.put(piece, Kind.LISTING, packed=True) for piece in pieces))


def _named(packing: Packing, steps: Steps) -> Steps:
    """The steps of the night before: this snapshot needs their packs, too."""
    for step in steps:
        for oid in step:
            packing.name(oid)
    return steps


def _cut(packing: Packing, content: BinaryIO, size: int) -> tuple[bytes, int]:
    """Puts the payloads of a ZIP; its plan, and its number of members. Raises NotCut."""
    directory = zipcut.read_directory(content, size)
    plan = zipplan.PlanBuilder(directory)
    last_gap = b""
    for gap, header, length, pieces in zipcut.members(content, directory, piece=zipplan.PIECE):
        if not header:
            last_gap = gap
        elif length <= zipplan.INLINE:
            plan.add(gap, header, b"".join(pieces))
        else:
            # A stored member may shrink; a deflated one was shrunk by whoever wrote it.
            packed = header[8:10] != b"\0\0"
            plan.add(gap, header, [packing.put(piece, Kind.CONTENT, packed=packed) for piece in pieces])
    content.seek(directory.end)
    return plan.encode(last_gap, content.read()), len(directory)
