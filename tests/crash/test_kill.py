"""kill -9 at every boundary of a run; then one more run: complete, and no export that could have been avoided."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.demo import DemoServer, World, announce
from storage.archive import Archive
from storage.backend import open_url
from storage.scrub import scrub
from tests.crash.driver import STEPS
from tests.doubles import SECRET

DELETE = "storage.backend:LocalDisk.delete"
CONFIG = """
[policy]
keep_last = 1
[[source]]
name = "lab"
system = "rspace"
url = "{url}"
api_key = {{ env = "STRONGROOM_TEST_KEY" }}
poll_first_s = 0.05
poll_longest_s = 0.2
start_timeout_s = 1
[[source.scope]]
kind = "selection"
name = "paper"
ids = {ids}
"""


class Lab:
    """A demo server, a configuration and an archive; runs are processes that may be told to die."""

    def __init__(self, folder: Path, server: DemoServer, *, encrypted: bool) -> None:
        self.folder = folder
        self.server = server
        facts = announce(server)["rspace"]
        self.environ = {**os.environ, "STRONGROOM_TEST_KEY": facts["api_key"]}
        secret = SECRET if encrypted else None
        if secret:
            self.environ["STRONGROOM_KEY"] = secret
        self.config = folder / "strongroom.toml"
        self.config.write_text(CONFIG.format(url=server.url, ids=facts["record_ids"][:2]))
        self.archive = Archive.create(
            open_url(str(folder / "archive")), now=datetime.now(UTC), secret=secret, holder="x"
        )

    def run(self, step: str = "none", count: int = 0, when: str = "before") -> dict[str, Any] | None:
        """One process; None where it was killed, as told."""
        at = self.server.world.clock.now().isoformat()
        told = [str(self.config), "lab", "paper", step, str(count), when, at]
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.driver", *told],
            env=self.environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode == -9:
            return None
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def links(self) -> int:
        """Links of all chains, live and forgotten, or both for a moment."""
        live = {found.id for found in self.archive.snapshots()}
        return len(live | {tomb.id for tomb in self.archive.tombstones()})

    def open_jobs(self) -> int:
        with sqlite3.connect(self.folder / "state" / "catalog.db") as connection:
            return int(connection.execute("select count(*) from job where closed_at = ''").fetchone()[0])

    def posts(self) -> int:
        return sum(1 for method, path, *_ in self.server.requests if method == "POST" and "/export/" in path)


@pytest.fixture
def lab(tmp_path: Path, encrypted: bool) -> Iterator[Lab]:
    with DemoServer(World(seed=1, start=datetime.now(UTC), queue_s=0.02, run_s=0.05)) as server:
        yield Lab(tmp_path, server, encrypted=encrypted)


@pytest.mark.parametrize(("when", "encrypted"), [("before", True), ("after", False)])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_finished_by_the_next(lab: Lab, step: str, when: str) -> None:
    """One call of each step, chosen by a seed: killed there, the next run ends verified without a hand."""
    calls = older_nights(lab, step)["calls"].get(step, 1)

    chosen = random.Random(f"{step} {when}").randint(1, calls)

    assert kill_and_mend(lab, step, chosen, when), f"{step} is never called"


@pytest.mark.full
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_call_is_finished_by_the_next(lab: Lab, step: str, when: str) -> None:
    """Every call of each step, until a run is not reached by the kill any more."""
    older_nights(lab, step)
    count = 1
    while kill_and_mend(lab, step, count, when):
        count += 1
    assert count > 1, f"{step} is never called"


def older_nights(lab: Lab, step: str) -> dict[str, Any]:
    """An older snapshot; three for a step of retention, which keeps two whatever the policy says."""
    for _ in range(3 if step == DELETE else 1):
        answer = lab.run()
        lab.server.world.pass_nights(1)
    assert answer is not None
    return answer


def kill_and_mend(lab: Lab, step: str, count: int, when: str) -> bool:
    """Kill a run at that call, run once more, check everything. False where the run was not killed."""
    posts, links = lab.posts(), lab.links()
    if lab.run(step, count, when) is not None:
        return False
    assert not scrub(lab.archive).findings  # nothing half-written is visible
    # Killed after its snapshot was kept and its job closed, a run is over: the next one is a new night's.
    over = lab.links() > links and not lab.open_jobs()

    answer = lab.run()

    assert answer is not None
    assert answer["ended"] == "verified", answer
    # Even where the answer to the POST died with the process: the export is found by its EXPORT event.
    assert lab.posts() - posts == (2 if over else 1)
    assert lab.links() - links == (2 if over else 1)
    assert not scrub(lab.archive).findings
    assert not list((lab.folder / "state" / "spool").iterdir())
    records = [json.loads(data) for _, data in lab.archive.records()]
    assert {record["ended"] for record in records} <= {"verified", "interrupted"}
    return True
