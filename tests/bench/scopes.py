"""A night of 200 scopes on one host with two workers: CPU of each run, beside an empty Prefect flow's.

    python -m tests.bench.scopes [--scopes 200] [--limit 2] [--server URL]

Starts a demo server, a Prefect server and two process workers, each with so many places. First 40 runs of a flow
that does nothing, then a night of all scopes, each with a credential of its own. CPU seconds are those of the
processes that a worker started and that ended; beside other work on the machine they are some more. Told besides:
runs that were lost, and every "database is locked" in any output of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect.client.base import PrefectHttpxSyncClient

from flows.server_at_hand import client_environment, ensure_server, stop_server
from storage.catalog import Catalog

ROOT = Path(__file__).parents[2]
WORKERS = 2
EMPTY = 40  # runs that do nothing
LOCKED = "database is locked"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a number of runs cost."""

    runs: int
    cpu_s: float
    wall_s: float

    def row(self, name: str) -> str:
        """Of a table."""
        return f"| {name} | {self.runs} | {self.cpu_s / self.runs:.2f} s | {self.wall_s:,.0f} s |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scopes", type=int, default=200)
    parser.add_argument("--limit", type=int, default=2, help="runs at once of each worker")
    parser.add_argument(
        "--server", help="a Prefect server to use, with an empty database; else one is made, with SQLite"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        Bench(Path(place), given.scopes, given.limit, given.server).run()


class Bench:
    """One measurement in a folder of its own."""

    def __init__(self, folder: Path, scopes: int, limit: int, server: str | None) -> None:
        self.folder, self.scopes, self.limit, self.empty = folder, scopes, limit, min(scopes, EMPTY)
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        bare.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed, nothing is compiled at each start
        cache = {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        bare |= {"PREFECT_API_URL": server} if server else {}
        self.environ = {**bare, **cache, "HOME": str(folder), "PYTHONPATH": str(ROOT)}

    def run(self) -> None:
        """Everything, to its end."""
        state = self.folder / "state"
        server = ensure_server(state, environ=self.environ)
        self.environ |= client_environment(server, state)
        try:
            with self._demo() as told, _client(server.api_url) as api:
                self._configure(told)
                self._deploy(api)
                with self._workers() as workers:
                    self._ran("-c", "import flows.backup, tests.bench.empty_flow")  # compiles them
                    empty = self._cost(workers, self.empty, lambda: self._empty(api))
                    night = self._cost(workers, self.scopes, lambda: self._night(api))
                    night = replace(night, runs=_count(api, "backup", "COMPLETED", {"name": {"any_": ["adhoc"]}}))
            self._tell(empty, night)
        finally:
            stop_server(state)

    # -- what is there

    @contextmanager
    def _demo(self) -> Iterator[dict[str, Any]]:
        now = datetime.now(UTC)
        code = (
            "from datetime import datetime; from flows.demo.serving import serve_forever as serve\n"
            f"serve(0, poll_free=True, users={self.scopes + 1}, start=datetime.fromisoformat('{now.isoformat()}'))"
        )
        with self._started("demo", "-c", code, stdout=subprocess.PIPE) as demo:
            assert demo.stdout is not None
            yield json.loads(demo.stdout.readline())

    def _configure(self, told: dict[str, Any]) -> None:
        lines = ['[archive]\nurl = "archive"\n']
        everybody = (user for user in told["rspace"]["users"] if user["username"] != "sysadmin1")  # has nothing
        keys = {user["username"]: user["api_key"] for user in everybody}
        for number, (name, key) in enumerate(list(keys.items())[: self.scopes], start=1):
            self.environ[f"KEY_{number}"] = key
            url = told["rspace"]["url"]
            lines.append(
                f'[[source]]\nname = "lab-{number}"\nsystem = "rspace"\nurl = "{url}"\n'
                f'api_key = {{ env = "KEY_{number}" }}\npoll_first_s = 1.0\n'
                f'[[source.scope]]\nkind = "user"\nname = "{name}"\n'
            )
        (self.folder / "strongroom.toml").write_text("\n".join(lines), "utf-8")
        self._ran("-m", "flows.cli", "init", "--yes", "--no-encryption")

    def _deploy(self, api: httpx.Client) -> None:
        self._ran("-m", "flows.cli", "deploy")
        pool = {"name": "strongroom", "work_queue_name": "default"}
        empty = {"name": "empty", "entrypoint": "tests.bench.empty_flow.empty", "work_pool": pool}
        (self.folder / "prefect.yaml").write_text(json.dumps({"name": "bench", "deployments": [empty]}), "utf-8")
        self._ran("-m", "prefect", "--no-prompt", "deploy", "--all")

    @contextmanager
    def _workers(self) -> Iterator[list[psutil.Process]]:
        command = ("-m", "prefect", "worker", "start", "--pool", "strongroom", "--limit", str(self.limit))
        with self._started("worker-1", *command) as one, self._started("worker-2", *command) as two:
            yield [psutil.Process(one.pid), psutil.Process(two.pid)]

    # -- what is measured

    def _cost(self, workers: list[psutil.Process], runs: int, act: Callable[[], None]) -> Cost:
        before, since = self._children(workers), time.monotonic()
        act()
        return Cost(runs, self._children(workers) - before, time.monotonic() - since)

    @staticmethod
    def _children(workers: list[psutil.Process]) -> float:
        times = [worker.cpu_times() for worker in workers]
        return sum(each.children_user + each.children_system for each in times)

    def _empty(self, api: httpx.Client) -> None:
        made = _ok(api.get("/deployments/name/empty/empty"))["id"]
        for number in range(self.empty):
            asked = {"parameters": {"number": number}, "idempotency_key": f"empty-{number}"}
            _until(partial(_taken, api, f"/deployments/{made}/create_flow_run", asked))
        _until(lambda: _count(api, "empty", "COMPLETED") == self.empty)

    def _night(self, api: httpx.Client) -> None:
        self._ran("-m", "flows.cli", "run", anyhow=True)
        _until(lambda: not _count(api, "backup", "RUNNING"))

    def _tell(self, empty: Cost, night: Cost) -> None:
        with Catalog.open(self.folder / "state" / "catalog.db") as catalog:
            ended = [run.ended for run in catalog.runs(limit=10 * self.scopes)]
        logs = [path for path in self.folder.rglob("*.log") if path.name != "prefect-server.log"]
        locked = sum(path.read_text("utf-8", "replace").count(LOCKED) for path in logs)
        print(f"| {WORKERS} workers, {self.limit} places each | runs | CPU of each | wall |\n|---|---:|---:|---:|")
        print(empty.row("a flow that does nothing"))
        print(night.row("a backup"))
        above = night.cpu_s / night.runs - empty.cpu_s / empty.runs
        verified = ended.count("verified")
        print(f"above the empty flow: {above:.2f} s of CPU a run (promised: at most 1 s)")
        print(f"verified: {verified} of {self.scopes}; other ends: {len(ended) - verified}; {LOCKED!r}: {locked}")
        print(f"run by a worker: {night.runs} of {self.scopes}; else in the process that asked for them")

    # -- processes

    @contextmanager
    def _started(self, name: str, *arguments: str, stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
        with (self.folder / f"{name}.log").open("w", encoding="utf-8") as log:
            child = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env=self.environ, text=True,
                stdout=stdout or log, stderr=subprocess.STDOUT if stdout is None else log,
            )  # fmt: skip
            try:
                yield child
            finally:
                child.terminate()
                child.wait()

    def _ran(self, *arguments: str, anyhow: bool = False) -> None:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        log = self.folder / f"{'-'.join(arguments[1:3])}.log"
        log.write_text(done.stdout + done.stderr, "utf-8")
        if done.returncode and not anyhow:
            raise RuntimeError(f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def _client(url: str) -> PrefectHttpxSyncClient:
    """Prefect's own: it asks again where its SQLite was locked and the server says 503."""
    return PrefectHttpxSyncClient(base_url=url, timeout=60, raise_on_all_errors=False)


BUSY = 503  # says a server whose SQLite another writer has, also after all that Prefect's client tries


def _taken(api: httpx.Client, path: str, asked: Mapping[str, object]) -> bool:
    answer = api.post(path, json=asked)
    return answer.status_code != BUSY and bool(_ok(answer))


def _ok(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json()


def _count(api: httpx.Client, flow: str, state: str, deployment: dict[str, Any] | None = None) -> int:
    wanted = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"state": {"type": {"any_": [state]}}}}
    wanted |= {"deployments": deployment} if deployment else {}
    answer = api.post("/flow_runs/count", json=wanted)
    return -1 if answer.status_code == BUSY else int(_ok(answer))


def _until(true: Callable[[], bool], *, deadline_s: float = 3600) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {deadline_s:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    main()
