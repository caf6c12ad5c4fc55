"""One set of nightly exports given to several tools in turn, night by night, and what each took.

Nothing is compared here but bytes: what comes back must be what was kept.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.verify import Measured
from tests.bench import lab, tools, zips
from tests.bench.exports import Export, Shape, exports
from tests.bench.lab import Spent
from tests.bench.tools import Tool
from tests.bench.zips import Payloads

Taken = dict[str, list[Spent]]  # by tool


@dataclass
class Course:
    """What one set showed. Lists by night, or by round."""

    shape: str
    sizes: list[int] = field(default_factory=list)  # bytes of each export
    payloads: list[Payloads] = field(default_factory=list)
    first: Taken = field(default_factory=dict)
    later: Taken = field(default_factory=dict)
    restored: Taken = field(default_factory=dict)
    checked: Taken = field(default_factory=dict)
    stored: dict[str, list[int]] = field(default_factory=dict)  # bytes of the repository after each night
    differs: list[str] = field(default_factory=list)  # what came back as something else

    @property
    def tools(self) -> list[str]:
        return list(self.stored)

    def growth(self, tool: str) -> float:
        """Bytes per later night."""
        kept = self.stored[tool]
        return (kept[-1] - kept[0]) / (len(kept) - 1)

    def peak(self, tool: str) -> int:
        """Most bytes of memory that any ingest took."""
        return max(one.peak_bytes for one in [*self.first[tool], *self.later.get(tool, [])])


def median_s(taken: Sequence[Spent]) -> float:
    """Of wall seconds."""
    return statistics.median(one.wall_s for one in taken)


def run(
    shape: Shape,
    names: Sequence[str],
    folder: Path,
    *,
    seed: int,
    rounds: int,
    java: bool,
    encrypted: bool = False,
) -> Course:
    """Give every night to every tool, then have each give back the newest and check all it holds.

    The first night, the newest one's restore and the check are repeated `rounds` times, and so is a second night
    that is the last. Ours gives back all other nights as well, for their bytes alone.
    """
    course = Course(shape.name)
    seen = zips.Seen()
    at_work = [Tool(name, folder / name, encrypted) for name in names]
    known: list[tuple[Path, Measured]] = []
    with zips.writer(java=java) as write:
        for place, export in enumerate(exports(shape, seed)):
            path = folder / f"{export.root}.zip"
            write(export, path)
            _count(course, seen, path, export)
            known.append((path, zips.measured(path)))
            if place == 0:
                _first(course, at_work, *known[-1], rounds)
            else:
                repeat = rounds if len(shape.nights) == 2 else 1
                _later(course, at_work, *known[-1], place, repeat)
            for tool in at_work:
                course.stored.setdefault(tool.name, []).append(lab.stored(tool.repository))
            path.unlink()
            _tell(f"{shape.name}: {place + 1} of {len(shape.nights)} nights")
    for turn in range(rounds):
        for tool in _in_turn(at_work, turn):
            os.sync()
            course.restored.setdefault(tool.name, []).append(_restore(course, tool, known, len(known)))
            course.checked.setdefault(tool.name, []).append(tool.check())
    for tool in at_work:
        for number in range(1, len(known)) if tool.name in (tools.OURS, tools.PROVEN) else ():
            _restore(course, tool, known, number)
        lab.empty(tool.folder)
    return course


def _restore(course: Course, tool: Tool, known: Sequence[tuple[Path, Measured]], number: int) -> Spent:
    """The `number`th night; notes where it is not what was kept."""
    path, measured = known[number - 1]
    spent, found = tool.restore(path, number)
    if zips.measured(found) != measured:
        course.differs.append(f"{course.shape}: {tool.name} gave back another {path.name}")
    lab.empty(tool.restored)
    return spent


def _first(course: Course, at_work: Sequence[Tool], path: Path, known: Measured, rounds: int) -> None:
    for turn in range(rounds):
        for tool in _in_turn(at_work, turn):
            tool.create()
            os.sync()
            course.first.setdefault(tool.name, []).append(tool.ingest(path, known))


def _later(course: Course, at_work: Sequence[Tool], path: Path, known: Measured, night: int, rounds: int) -> None:
    """Each round but the last one begins with a copy of the repository and throws away what it made of it."""
    for turn in range(rounds):
        for tool in _in_turn(at_work, night + turn):
            before = tool.folder.with_name(f"{tool.name}.before")
            if turn < rounds - 1:
                shutil.copytree(tool.folder, before)
            os.sync()
            course.later.setdefault(tool.name, []).append(tool.ingest(path, known))
            if turn < rounds - 1:
                lab.empty(tool.folder)
                before.rename(tool.folder)


def _count(course: Course, seen: zips.Seen, path: Path, export: Export) -> None:
    course.sizes.append(path.stat().st_size)
    course.payloads.append(seen.take(path, export))


def _in_turn(at_work: Sequence[Tool], turn: int) -> Iterable[Tool]:
    start = turn % len(at_work)
    return [*at_work[start:], *at_work[:start]]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
