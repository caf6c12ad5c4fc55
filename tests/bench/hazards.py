"""Ordinary events that make retention delete good backups: Strongroom beside real restic and borg.

    python -m tests.bench.hazards [--nights 120]

Real repositories with backdated snapshots, the real `forget` or `prune`, and a count of the good ones left.
Nothing is faked but the dates of the backups.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.policy import Policy, Span
from storage.retention import Candidate, decide

COUNTS = {"daily": 14, "weekly": 4, "monthly": 3}
WITHIN = 14  # days
DAY = timedelta(days=1)
ENVIRON = {
    **os.environ, "RESTIC_PASSWORD": "x", "BORG_PASSPHRASE": "x", "TZ": "UTC",
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
}  # fmt: skip


@dataclass(frozen=True)
class Taken:
    """One backup: when it says it was taken, and whether it holds what it should."""

    at: datetime
    good: bool = True


def events(count: int, now: datetime) -> dict[str, list[Taken]]:
    """What happened, until `now`."""

    def nights(until: datetime) -> list[Taken]:
        return [Taken(until - n * DAY) for n in range(count - 1, -1, -1)]

    last = now - timedelta(hours=1)
    return {
        "normal night": nights(last),
        "no runs for 60 d, prune still runs": nights(last - 60 * DAY),
        "130 d outage, then one run": [*nights(last - 130 * DAY), Taken(last)],
        "one run dated a year ahead": [*nights(last), Taken(last + 365 * DAY)],
        "seven empty exports, keep-daily 7": [
            *nights(last - 7 * DAY), *(Taken(last - n * DAY, False) for n in range(6, -1, -1)),
        ],
    }  # fmt: skip


def ours(taken: list[Taken], now: datetime, rules: dict[str, int] | None) -> set[int]:
    """What Strongroom keeps; an empty export arrives as one that does not count."""
    within = Policy(keep_last=WITHIN, keep_within=Span(days=WITHIN))  # a span alone is refused
    policy = Policy().with_rules(**{f"keep_{name}": n for name, n in rules.items()}) if rules else within
    there = [Candidate(str(n), n, t.at, t.good, "" if t.good else "empty") for n, t in enumerate(taken)]
    return {v.candidate.number for v in decide(there, policy, now=now) if v.keep}


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=True)
    return done.stdout


def restic(taken: list[Taken], now: datetime, rules: dict[str, int] | None, folder: Path) -> set[int]:
    """What a real repository holds after `restic forget`."""
    tool = ("restic", "-q", "-r", "r", "--no-cache")
    _run(*tool, "init", cwd=folder)
    (folder / "export").write_text("x")
    for n, t in enumerate(taken):
        _run(*tool, "backup", "export", "--time", f"{t.at:%Y-%m-%d %H:%M:%S}", "--tag", f"n{n}", cwd=folder)
    flags = [f"--keep-{name}={n}" for name, n in rules.items()] if rules else [f"--keep-within={WITHIN}d"]
    _run(*tool, "forget", *flags, cwd=folder)
    listed = _run(*tool, "snapshots", "--json", cwd=folder)
    return {n for n in range(len(taken)) if f'"n{n}"' in listed}


def borg(taken: list[Taken], now: datetime, rules: dict[str, int] | None, folder: Path) -> set[int]:
    """What a real repository holds after `borg prune`."""
    _run("borg", "init", "-e", "none", "b", cwd=folder)
    (folder / "export").write_text("x")
    for n, t in enumerate(taken):
        _run("borg", "create", "--timestamp", f"{t.at:%Y-%m-%dT%H:%M:%S}", f"b::n{n}", "export", cwd=folder)
    flags = [f"--keep-{name}={n}" for name, n in rules.items()] if rules else [f"--keep-within={WITHIN}d"]
    _run("borg", "prune", *flags, "b", cwd=folder)
    return {int(line[1:]) for line in _run("borg", "list", "--short", "b", cwd=folder).split()}


def table(count: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """By event and column: good ones kept, old good ones (from before the event) kept, and all kept."""
    now = datetime.now(UTC).replace(microsecond=0)
    found = {}
    tools: dict[str, Callable[..., set[int]]] = {"restic": restic, "borg": borg}
    for event, taken in events(count, now).items():
        rules = {"daily": 7} if "daily" in event else COUNTS
        for how, chosen in (("count", rules), ("within", None)):
            if how == "within" and "daily" in event:
                continue
            keeps = {"Strongroom": ours(taken, now, chosen)}
            for name, tool in tools.items():
                with tempfile.TemporaryDirectory() as folder:
                    keeps[name] = tool(taken, now, chosen, Path(folder))
            for name, stay in keeps.items():
                good = sum(taken[n].good for n in stay)
                found[event, f"{name} {how}"] = (good, sum(n < count for n in stay), len(stay))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=120)
    found = table(parser.parse_args().nights)
    columns = list(dict.fromkeys(column for _, column in found))
    print("Good snapshots kept from before the event / all that are kept\n")
    print(f"| event | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for event in dict.fromkeys(event for event, _ in found):
        cells = [found.get((event, column)) for column in columns]
        print(f"| {event} |", " | ".join(f"{c[1]} / {c[2]}" if c else "–" for c in cells), "|")


if __name__ == "__main__":
    main()
