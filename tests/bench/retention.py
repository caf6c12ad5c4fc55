"""How long a plan of 100,000 snapshots takes: every verdict, and the night on which each kept one goes.

python -m tests.bench.retention [--snapshots 100000]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from storage.forecast import goes_on
from storage.policy import Policy
from storage.retention import Candidate, decide

START = datetime(2010, 1, 1, 3, 30, tzinfo=UTC)
POLICIES = {
    "14 days, 8 weeks, 24 months, 10 years": Policy(
        keep_daily=14, keep_weekly=8, keep_monthly=24, keep_yearly=10, timezone="Europe/Vienna"
    ),
    "all hours of 10 years, every day": Policy(keep_hourly=90_000, keep_daily=-1, timezone="Europe/Vienna"),
}


SCHEDULES = {"every night": timedelta(days=1), "every hour": timedelta(hours=1)}


def nights(start: datetime, step: timedelta) -> Iterator[datetime]:
    """A schedule without end."""
    while True:
        start += step
        yield start


def figures(count: int) -> list[tuple[str, str, float, float, int]]:
    """Of each policy and schedule to come: seconds of one core to decide and to foretell, snapshots kept."""
    there = [Candidate(f"{n:064x}", n, START + timedelta(hours=n), n % 50 != 0) for n in range(1, count + 1)]
    now = there[-1].taken_at
    rows = []
    for name, policy in POLICIES.items():
        for schedule, step in SCHEDULES.items():
            begin = time.process_time()
            verdicts = decide(there, policy, now=now)
            middle = time.process_time()
            found = goes_on(verdicts, policy, nights(now, step), now=now)
            rows.append((name, schedule, middle - begin, time.process_time() - middle, len(found)))
    return rows


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--snapshots", type=int, default=100_000)
    count = parser.parse_args().snapshots
    print("| policy | to come | decide, s | goes on, s | kept |\n|---|---|---|---|---|")
    for name, schedule, decided, foretold, kept in figures(count):
        print(f"| {name} | {schedule} | {decided:.2f} | {foretold:.2f} | {kept} |")
    print(f"{count} snapshots; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
