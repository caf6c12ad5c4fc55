"""Strongroom's archive against restic and borg, on the same exports, night by night, tools in turn.

    python -m tests.bench.peers [--set seq --set many ...] [--scale 0.1] [--json FILE]

Sets: seq (14 nights of 270 MB), still (3 nights in which nothing is edited), year (23 kept of 365 nights), big
(one export of 1.4 GB), many (2 nights of 142,000 members), download (1.4 GB over HTTP and TLS against curl). Peers
have their defaults: restic's own repository version and compression, borg lz4, no encryption there but
with --encrypted (repokey). Each measured
command is a process of its own, with its start; the page cache is warm for all. A night's export is deleted once
every tool has it; the disk needs 8 GB at scale 1. Exit code 1 where a figure falls short or something came back
different.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import course, lab, served, tools, zips
from tests.bench.course import Course
from tests.bench.exports import SHAPES
from tests.bench.figures import Figure, downloads, figures, overview, table

DOWNLOAD = "download"
SETS = (*SHAPES, DOWNLOAD)
OURS_ALONE = ("still", "year")  # sets whose figures need no peer, and 6 GB for each of them


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--set", dest="sets", action="append", choices=SETS, help="may be repeated; default: all")
    parser.add_argument("--tools", help=f"of every set, as {','.join(tools.STANDARD)}; also: {tools.BORG_ZSTD}")
    parser.add_argument("--encrypted", action="store_true", help="ours and borg's too, as restic's always are")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sets, for a quick look")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many, where a thing can be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up labs")
    parser.add_argument("--python-zips", action="store_true", help="write the exports without Java")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file")
    given = parser.parse_args()
    sets = [name for name in SETS if name in (given.sets or SETS)]
    chosen = _chosen(given.tools)
    java = zips.has_java() and not given.python_zips
    versions = [*tools.versions(chosen), *(served.versions() if DOWNLOAD in sets else [])]
    load = f"load {os.getloadavg()[0]:.1f} at the start"  # times on a busy machine say little
    kind = ["ours and borg encrypted"] if given.encrypted else []
    facts = lab.machine(given.seed, [*versions, *kind, f"ZIPs by {'Java' if java else 'Python'}", load])
    print(f"{facts}, scale {given.scale:g}; medians, tools in turn", flush=True)
    courses: dict[str, Course] = {}
    found: list[Figure] = []
    loaded: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=given.folder) as name:
        folder = Path(name)
        for each in sets:
            if each == DOWNLOAD:
                taken = served.measure(folder / each, round(served.SIZE * given.scale), given.rounds)
                found += downloads(taken)
                loaded = {" ".join(what): [asdict(one) for one in spent] for what, spent in taken.items()}
                continue
            at_work = [tools.OURS] if each in OURS_ALONE and not given.tools else chosen
            (folder / each).mkdir()
            shape = SHAPES[each].scaled(given.scale)
            courses[each] = course.run(
                shape,
                at_work,
                folder / each,
                seed=given.seed,
                rounds=given.rounds,
                java=java,
                encrypted=given.encrypted,
            )
            _show(courses[each])
    found = [*figures(courses), *found]
    differs = [text for one in courses.values() for text in one.differs]
    print(f"\n{table(found)}\n")
    for text in differs:
        print(f"DIFFERS: {text}")
    if given.json:
        _write(given.json, facts, found, courses, loaded)
    raise SystemExit(1 if differs or any(figure.good is False for figure in found) else 0)


def _chosen(text: str | None) -> list[str]:
    names = text.split(",") if text else list(tools.STANDARD)
    for name in names:
        if name not in tools.TOOLS:
            raise SystemExit(f"--tools: {name!r} is none of {', '.join(tools.TOOLS)}")
    for name in tools.missing(names):
        print(f"{name}: NOT INSTALLED, its rows are missing (Debian, Ubuntu: apt-get install restic borgbackup)")
    absent = tools.missing(names)
    return [name for name in names if name not in absent]


def _show(one: Course) -> None:
    later = one.payloads[1:]
    new = sum(each.new for each in later) / max(1, len(later))
    print(
        f"\n{one.shape}: {len(one.sizes)} nights, {one.sizes[0] / 1e6:.1f} to {one.sizes[-1] / 1e6:.1f} MB, "
        f"{sum(one.sizes) / 1e6:.0f} MB in all; {one.payloads[0].members} to {one.payloads[-1].members} members, "
        f"{one.payloads[0].members_new} payloads at first; new payloads {new / 1e6:.2f} MB a later night\n\n"
        f"{overview(one)}",
        flush=True,
    )


def _write(
    path: Path, facts: str, found: Sequence[Figure], courses: dict[str, Course], loaded: dict[str, Any]
) -> None:
    value = {
        "facts": facts,
        "figures": [{**asdict(figure), "good": figure.good} for figure in found],
        "sets": {name: asdict(one) for name, one in courses.items()},
        DOWNLOAD: loaded,
    }
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
