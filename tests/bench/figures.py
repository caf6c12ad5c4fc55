"""What the comparison promises, figure by figure: measured, beside what is to be reached.

Pure: measured courses to rows of a table.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.course import Course, Taken, median_s
from tests.bench.lab import Spent
from tests.bench.tools import BORG, OURS, PROVEN, RESTIC

KB, MB = 1e3, 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what is compared with what. A `reach` of None is for information."""

    name: str
    ours: str
    against: str
    value: float  # ratio, or MB of memory
    reach: float | None
    digits: int = 2

    @property
    def good(self) -> bool | None:
        return None if self.reach is None else self.value <= self.reach

    def row(self) -> str:
        verdict = {True: "pass", False: "SHORT", None: ""}[self.good]
        reach = "" if self.reach is None else f"{self.reach:.{self.digits}f}"
        cells = (self.name, self.ours, self.against, f"{self.value:.{self.digits}f}", reach, verdict)
        return f"| {' | '.join(cells)} |"


def table(figures: Iterable[Figure]) -> str:
    """As Markdown."""
    head = ["| figure | ours | against | ratio or MB | at most | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    return "\n".join(head + [figure.row() for figure in figures])


def figures(courses: Mapping[str, Course]) -> list[Figure]:
    """All that can be said of these sets."""
    found: list[Figure] = []
    for name, make in _MAKERS.items():
        if name in courses and OURS in courses[name].tools:
            found += make(courses[name])
    return found


def _seq(course: Course) -> Iterator[Figure]:
    kept = course.stored[OURS][-1]
    nights = len(course.sizes)
    for peer in _peers(course):
        other = course.stored[peer][-1]
        yield Figure(f"bytes after {nights} nights", _mb(kept), f"{peer} {_mb(other)}", kept / other, 1 / 11, 4)
    if nights > 1:
        yield from _growth(course)
        yield from _times(course.later, f"later night, {_how(OURS)}", OURS, {RESTIC: 0.5, BORG: 0.8})
        yield from _times(course.later, f"later night, {_how(PROVEN)}", PROVEN, {RESTIC: 0.9, BORG: 1.7})
    yield from _times(course.first, f"first night, {_how(PROVEN)}", PROVEN, {RESTIC: 1.0})
    yield from _times(course.restored, "restore", OURS, {RESTIC: 0.6, BORG: 1.2})
    yield from _times(course.checked, "scrub of all stored bytes", OURS, {RESTIC: 0.05, BORG: None}, 3)


def _growth(course: Course) -> Iterator[Figure]:
    later = course.payloads[1:]
    new = statistics.mean(each.new for each in later)
    edited = statistics.mean(each.new - each.unedited for each in later)
    grown = course.growth(OURS)
    yield Figure("growth per night", _kb(grown), f"new payloads {_kb(new)}", grown / new, 1.2)
    against = f"less those of unedited texts {_kb(edited)}"
    yield Figure("growth per night", _kb(grown), against, grown / edited, None)


def _still(course: Course) -> Iterator[Figure]:
    if len(course.sizes) > 1:
        grown = course.growth(OURS)
        new = statistics.mean(each.new for each in course.payloads[1:])
        against = f"new payloads {_kb(new)}"
        yield Figure("growth where nothing was edited, MB", _kb(grown), against, grown / MB, None, 3)


def _year(course: Course) -> Iterator[Figure]:
    kept, newest = course.stored[OURS][-1], course.sizes[-1]
    copies = f"{len(course.sizes)} copies of a year"
    yield Figure(copies, _mb(kept), f"newest export {_mb(newest)}", kept / newest, 1.15)
    for peer in _peers(course):
        other = course.stored[peer][-1]
        yield Figure(f"{copies}, {peer}", _mb(other), f"newest export {_mb(newest)}", other / newest, None)


def _big(course: Course) -> Iterator[Figure]:
    yield from _memory(course, 100)


def _many(course: Course) -> Iterator[Figure]:
    members = f"{course.payloads[-1].members:,} members"
    yield from _times(course.later, f"{members}: later night, {_how(OURS)}", OURS, {RESTIC: 1.0, BORG: None})
    yield from _times(course.later, f"{members}: later night, {_how(PROVEN)}", PROVEN, {RESTIC: None})
    yield from _times(course.restored, f"{members}: restore", OURS, {RESTIC: 0.8, BORG: None})
    yield from _memory(course, 200)


def _memory(course: Course, reach: float) -> Iterator[Figure]:
    what = f"{_mb(course.sizes[-1])}, {course.payloads[-1].members:,} members"
    for tool in (OURS, PROVEN):
        if tool in course.first:
            peak = course.peak(tool)
            others = ", ".join(f"{peer} {_mb(course.peak(peer))}" for peer in _peers(course))
            yield Figure(f"peak memory, {what}, {_how(tool)}", _mb(peak), others, peak / MB, reach, 0)


def downloads(taken: Mapping[tuple[str, str], Sequence[Spent]]) -> Iterator[Figure]:
    """By protocol and client, as `served.measure` names them."""
    for protocol, reach in (("http", 1.05), ("https", 1.2)):
        peer = taken[protocol, "curl"]
        yield _time(f"download with both sums, {protocol}", taken[protocol, "ours"], "curl -o", peer, reach)
        durable = taken[protocol, "synced"]
        yield _time(f"the same, {protocol}", taken[protocol, "ours"], "curl -o, sync -d", durable, None)
        whole = taken[protocol, "process"]
        yield _time(f"download, {protocol}, with the start of Python", whole, "curl -o", peer, None)


def _times(
    taken: Taken, name: str, tool: str, reach: Mapping[str, float | None], digits: int = 2
) -> Iterator[Figure]:
    for peer, most in reach.items():
        if tool in taken and peer in taken:
            yield _time(name, taken[tool], peer, taken[peer], most, digits)


def _time(
    name: str, ours: Sequence[Spent], peer: str, other: Sequence[Spent], reach: float | None, digits: int = 2
) -> Figure:
    mine, yours = median_s(ours), median_s(other)
    return Figure(name, f"{mine:.2f} s", f"{peer} {yours:.2f} s", mine / yours, reach, digits)


def overview(course: Course) -> str:
    """All that was measured of every tool, as Markdown."""
    naive = sum(course.sizes)
    lines = [
        "| | total MB | % of the ZIPs | MB per night | first s | later s (CPU) | restore s | check s | peak MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for tool in course.tools:
        kept = course.stored[tool][-1]
        grown = f"{course.growth(tool) / MB:.2f}" if len(course.sizes) > 1 else ""
        cells = [f"{kept / MB:.1f}", f"{100 * kept / naive:.2f}", grown, f"{median_s(course.first[tool]):.2f}"]
        later = course.later.get(tool)
        cpu = statistics.median(one.cpu_s for one in later) if later else 0
        cells.append(f"{median_s(later):.2f} ({cpu:.2f})" if later else "")
        cells += [f"{median_s(taken[tool]):.2f}" for taken in (course.restored, course.checked)]
        lines.append(f"| {tool} | {' | '.join([*cells, f'{course.peak(tool) / MB:.0f}'])} |")
    return "\n".join(lines)


def _peers(course: Course) -> list[str]:
    return [tool for tool in course.tools if tool not in (OURS, PROVEN)]


def _how(tool: str) -> str:
    return "with rebuild proof" if tool == PROVEN else "without rebuild proof"


def _mb(count: float) -> str:
    return f"{count / MB:.1f} MB"


def _kb(count: float) -> str:
    return f"{count / KB:.0f} KB"


_MAKERS = {"seq": _seq, "still": _still, "year": _year, "big": _big, "many": _many}
