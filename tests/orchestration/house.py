"""A Prefect server of our own, a folder with a tiny flow, and processes that serve or work it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.server_at_hand import ServerAtHand

ROOT = Path(__file__).parents[2]

TINY = """
import os, time
from datetime import datetime
from pathlib import Path
from prefect import flow

def mark(*words):
    with open(os.environ["MARKS"], "a") as out:
        print(*words, time.time(), file=out)

@flow(name="backup")
def backup(source: str, scope: str, config: str | None = None, at: datetime | None = None) -> str:
    mark(source, scope, "start")
    Path(os.environ["MARKS"] + ".cwd").write_text(os.getcwd())
    try:
        if scope == "bad":
            raise ValueError("the vendor said no")
        end = time.monotonic() + (60 if scope == "long" else 0.5)
        while time.monotonic() < end:
            time.sleep(0.1)
    finally:
        mark(source, scope, "end")
    return "ok"
"""
SERVE = """
import sys
from prefect.types.entrypoint import EntrypointType
from flows.serving import serve_until_told
from tiny_flows import backup
serve_until_told([backup.to_deployment(sys.argv[1], entrypoint_type=EntrypointType.MODULE_PATH)], limit=4)
"""
TINY_YAML = """
name: tiny
deployments:
  - name: pooled
    entrypoint: tiny_flows.backup
    parameters: {config: null}
    schedules: [{slug: nightly, cron: "30 3 * * *", timezone: Europe/Vienna}]
    work_pool: {name: strongroom}
"""


@dataclass(frozen=True)
class House:
    """A server of our own, a folder with the tiny flow, and the environment of a client."""

    server: ServerAtHand
    folder: Path
    environ: dict[str, str]

    def starts_and_ends(self, source: str) -> list[tuple[str, str]]:
        lines = (line.split() for line in (self.folder / "marks").read_text("utf-8").splitlines())
        return [(scope, what) for name, scope, what, _ in lines if name == source]

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "child.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:  # a worker of Prefect's, on a busy machine: not what is asked
                child.kill()
                child.wait()

    def run(self, *command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=self.environ, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def wait_until(true: Callable[[], bool], what: str, deadline_s: float = 40.0) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.2)
