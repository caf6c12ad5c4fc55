"""Ordinary events that make retention delete good backups: Strongroom beside real restic and borg.

    python -m tests.bench.hazards [--nights 120]

Real repositories with backdated snapshots, the real `forget` or `prune`, and a count of the good ones left. Each
tool makes one repository with every snapshot that any event needs; each event begins with a copy of it, without
those that did not happen there. Only dates are made up. A minute and a half of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.policy import Policy, Span
from storage.retention import Candidate, decide

COUNTS = {"daily": 14, "weekly": 4, "monthly": 3}
SEVEN = {"daily": 7}
END = datetime(2021, 1, 18, 3, 30, tzinfo=UTC)  # a Monday; the New Year before lies within week 53 of 2020
DAY = timedelta(days=1)
NEW_YEAR = "New Year (week 53; nights until 3 January)"
COLUMNS = [f"{tool} {how}" for tool in ("restic", "borg", "Strongroom") for how in ("count", "within")]
NOTE = """\
Good snapshots from before the event that are left / all that are left. Count: daily 14, weekly 4, monthly 3 (seven
empty exports: daily 7). Within: 14 d (7 d). Strongroom refuses a span alone: beside it stands keep_last = 14 (7).
restic and borg take an empty export for a good one; to Strongroom it comes as one that does not count."""

ENVIRON = {
    **os.environ, "RESTIC_PASSWORD": "x", "TZ": "UTC",
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Backups that were taken, those of the event itself, and when retention then runs."""

    nights: tuple[datetime, ...]
    now: datetime
    then: tuple[datetime, ...] = ()  # what the event adds
    empty: bool = False  # it adds valid exports with nothing in them
    counts: Mapping[str, int] | None = None

    @property
    def taken(self) -> tuple[datetime, ...]:
        """All, in the order in which they came."""
        return self.nights + self.then

    @property
    def rules(self) -> dict[str, int]:
        """Its counts."""
        return dict(self.counts or COUNTS)

    @property
    def within(self) -> int:
        """Its span, in days: as many as the daily count."""
        return self.rules["daily"]


def events(count: int) -> dict[str, Event]:
    """What happened."""

    def nights(last: datetime) -> tuple[datetime, ...]:
        return tuple(last - n * DAY for n in range(count - 1, -1, -1))

    soon, usual = END + timedelta(hours=1), nights(END)
    return {
        "normal night": Event(usual, soon),
        NEW_YEAR: Event(nights(END - 15 * DAY), soon - 15 * DAY),
        "no runs for 60 d, prune still runs": Event(usual, soon + 60 * DAY),
        "130 d outage, then one run": Event(usual, soon + 130 * DAY, (END + 130 * DAY,)),
        "one run dated a year ahead": Event(usual, soon, (END + 365 * DAY,)),
        "seven empty exports, daily 7": Event(
            usual, soon + 7 * DAY, tuple(END + n * DAY for n in range(1, 8)), True, SEVEN
        ),
    }


def until(now: datetime, event: Event) -> Event:
    """The same, so long ago that retention runs at `now`."""
    by = now - event.now
    return replace(
        event, now=now, nights=tuple(at + by for at in event.nights), then=tuple(at + by for at in event.then)
    )


def ours(event: Event, how: str) -> set[datetime]:
    """What Strongroom keeps, of one event."""
    days = event.within
    policy = (
        Policy().with_rules(**{f"keep_{name}": n for name, n in event.rules.items()})
        if how == "count"
        else Policy(keep_last=days, keep_within=Span(days=days))
    )
    good = set(event.nights) if event.empty else set(event.taken)
    there = [
        Candidate(f"{n}", n, taken, taken in good, "" if taken in good else "empty")
        for n, taken in enumerate(event.taken)
    ]
    return {v.candidate.taken_at for v in decide(there, policy, now=event.now) if v.keep}


def _run(*command: str, cwd: Path) -> str:
    env = {**ENVIRON, "BORG_BASE_DIR": str(cwd / "base")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _flags(event: Event, how: str) -> list[str]:
    counts = [f"--keep-{name}={n}" for name, n in event.rules.items()]
    return counts if how == "count" else [f"--keep-within={event.within}d"]


class Restic:
    """A real repository. A snapshot is a file there, which a copy may leave out. restic never asks the clock."""

    def __init__(self, folder: Path, taken: Iterable[datetime]) -> None:
        self.home, tool = folder, ("restic", "-q", "--no-cache", "-r", "r")
        (folder / "export").write_text("x")
        _run(*tool, "init", cwd=folder)
        for at in sorted(taken):
            _run(*tool, "backup", "export", "--time", f"{at:%Y-%m-%d %H:%M:%S}", cwd=folder)
        listed = json.loads(_run(*tool, "snapshots", "--json", cwd=folder))
        self.files = {row["id"]: datetime.fromisoformat(row["time"].replace("Z", "+00:00")) for row in listed}

    def left(self, event: Event, how: str) -> set[datetime]:
        """What `restic forget` leaves of an event."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(self.home / "r", Path(folder, "r"))
            snapshots = Path(folder, "r", "snapshots")
            for name, at in self.files.items():
                if at not in event.taken:
                    (snapshots / name).unlink()
            _run("restic", "-q", "--no-cache", "-r", "r", "forget", *_flags(event, how), cwd=Path(folder))
            return {self.files[path.name] for path in snapshots.iterdir()}


class Borg:
    """A real repository, with borg's own state beside it."""

    # borg's own command line, many times in one process: a start takes longer than an archive of one byte.
    CREATE = """
import sys
from borg.archiver import Archiver
for name in sys.argv[1:]:
    borg = Archiver()
    if code := borg.run(borg.parse_args(["create", "--timestamp", name, f"r::{name}", "export"])):
        sys.exit(code)
"""

    def __init__(self, folder: Path, taken: Iterable[datetime]) -> None:
        self.home = folder
        (folder / "export").write_text("x")
        _run("borg", "init", "-e", "none", "r", cwd=folder)
        self.names = {f"{at:%Y-%m-%dT%H:%M:%S}": at for at in taken}
        with Path(shutil.which("borg") or "borg").open() as script:
            python = script.readline().removeprefix("#!").strip()
        _run(python, "-c", self.CREATE, *sorted(self.names), cwd=folder)

    def left(self, event: Event, how: str) -> set[datetime]:
        """What `borg prune` leaves of an event."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(self.home, folder, dirs_exist_ok=True)
            others = [name for name, at in self.names.items() if at not in event.taken]
            if others:
                _run("borg", "delete", "r", *others, cwd=Path(folder))
            _run("borg", "prune", *_flags(event, how), "r", cwd=Path(folder))
            return {self.names[name] for name in _run("borg", "list", "--short", "r", cwd=Path(folder)).split()}


Left = dict[tuple[str, str], tuple[int, int]]


def _counted(tool: Restic | Borg, name: str, how: str, happened: Mapping[str, Event]) -> Left:
    found: Left = {}
    for title, event in happened.items():
        left = tool.left(event, how)
        found[title, f"{name} {how}"] = (len(left.intersection(event.nights)), len(left))
    return found


def _all(happened: Mapping[str, Event]) -> set[datetime]:
    return {at for event in happened.values() for at in event.taken}


def _restic(count: int) -> Left:
    happened = events(count)
    with tempfile.TemporaryDirectory() as folder:
        tool = Restic(Path(folder), _all(happened))
        return {**_counted(tool, "restic", "count", happened), **_counted(tool, "restic", "within", happened)}


def _borg(count: int) -> Left:
    """borg measures --keep-within from the clock on the wall: there, the same events end now."""
    now = datetime.now(UTC).replace(microsecond=0)
    shifted = {title: until(now, event) for title, event in events(count).items()}
    found: Left = {}
    for how, happened in (("count", events(count)), ("within", shifted)):
        with tempfile.TemporaryDirectory() as folder:
            found |= _counted(Borg(Path(folder), _all(happened)), "borg", how, happened)
    return found


def strongroom(count: int) -> Left:
    """Strongroom's columns."""
    return {
        (title, f"Strongroom {how}"): (len(left.intersection(event.nights)), len(left))
        for title, event in events(count).items()
        for how in ("count", "within")
        for left in (ours(event, how),)
    }


def table(count: int) -> Left:
    """By event and column: good ones from before the event that are left, and all that are left."""
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(tool, count) for tool in (_restic, _borg)]
        return {**strongroom(count), **{cell: n for done in running for cell, n in done.result().items()}}


def lines(found: Left) -> Sequence[str]:
    """As Markdown."""
    rows = [f"| event | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    for title in dict.fromkeys(title for title, _ in found):
        cells = [found.get((title, column)) for column in COLUMNS]
        rows.append(f"| {title} | {' | '.join(f'{c[0]} / {c[1]}' if c else '–' for c in cells)} |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=120)
    found = table(parser.parse_args().nights)
    print(NOTE, "", *lines(found), sep="\n")


if __name__ == "__main__":
    main()
