"""A real Mayan EDMS on loopback: installed where it is missing, started in seconds, gone with who started it.

    python -m tests.mayan_server up 8400 [--version 4.11.5] [--postgres] [--workers 2] [--beat]
    python -m tests.mayan_server down
    python -m tests.mayan_server prepare [8400]

One server is redis (a Unix socket, no port), one gunicorn worker and one Celery worker in a folder of its own,
begun from a pristine copy of the data; several may run at once. What it takes stands in tests/mayan/__init__.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx
import psutil

from tests.mayan import install
from tests.mayan.group import Group, kill
from tests.mayan.place import PASSWORD, USER, Database, Place

API = "/api/v4"
CELERY = ("-Ofair", "--without-gossip", "--without-mingle")


class Patient(httpx.HTTPTransport):
    """Waits as long as a 429 says and asks again: for work that is not about throttling."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        while (response := super().handle_request(request)).status_code == 429:
            response.close()
            time.sleep(float(response.headers.get("Retry-After", 1)))
        return response


@dataclass(frozen=True, slots=True)
class Mayan:
    """How to reach a server as one of its users."""

    url: str  # without the API's path
    user: str
    password: str
    token: str
    version: str

    def client(self) -> httpx.Client:
        """For set-up and inspection: paths are relative to the API, 429 is waited out, no connection is used twice
        (gunicorn closes idle ones after 2 s)."""
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(
            base_url=f"{self.url}{API}",
            headers={"Authorization": f"Token {self.token}", "Accept": "application/json"},
            transport=Patient(verify=False, limits=limits),  # no TLS here; certificates cost 30 ms
            timeout=60,
        )


class Server:
    """A running Mayan EDMS with the data of a new installation. As a context it stops at the end.

    `settings` are Mayan's own, by their names there: {"LOCK_MANAGER_DEFAULT_LOCK_TIMEOUT": "2"} seconds,
    {"DOWNLOAD_FILE_EXPIRATION_INTERVAL": "5"} seconds (see `run_task`), and since 4.12
    {"REST_API_THROTTLING_ENABLED": "false"}, {"REST_API_THROTTLING_RATE_USER": "2/second"} and ..._RATE_ANONYMOUS.
    `workers`: Celery processes; with 0 a request for work is accepted and nothing ever happens.
    `tied`: the server dies with this process; otherwise it stays until `stop`.

    Raises install.CannotHave: it cannot be installed here; RuntimeError: it did not start, with its last lines.
    """

    def __init__(
        self,
        *,
        version: str = install.NEWEST,
        workers: int = 1,
        beat: bool = False,
        db: Database = "sqlite",
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        tied: bool = True,
    ) -> None:
        install.debian(postgres=db == "postgres")
        self._place = Place.new(version, db)
        self._place.environ.update({f"MAYAN_{name}": value for name, value in (settings or {}).items()})
        self._group = Group(self.folder, tied=tied)
        self._processes = workers or 1
        try:
            self._place.fill()
            self._place.start_stores(self._group)
            # One after another: each takes one lock for a moment when it starts (Mayan's lock_manager/apps.py),
            # and of two that do so at once one ends with "Error initializing the locking backend".
            self._start_web(port)
            url = self._place.wait(self._group, "web", self._address)
            token = self._place.wait(self._group, "web", lambda: _token(url))
            if workers:
                self._start_celery("worker", f"--concurrency={workers}", *CELERY)
                self._place.wait(self._group, "worker", lambda: self._readies() or None)
            if beat:
                self._start_celery("beat", "--pidfile=", "--schedule=beat")
                self._place.wait(self._group, "beat", lambda: "Starting..." in self.log("beat") or None)
        except BaseException:
            self.stop()
            raise
        self.mayan = Mayan(url, USER, PASSWORD, token, version)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where it keeps its data and writes its logs; gone after `stop`."""
        return self._place.folder

    @property
    def leader(self) -> int:
        """The id of the process group in which all its processes are."""
        return self._group.leader

    def stop(self) -> None:
        """Ends every process and removes the folder. May be called twice."""
        self._place.stop_database(self._group)
        self._group.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_worker(self) -> None:
        """SIGKILL to Celery and its processes: what they were doing is lost."""
        self._group.end("worker")

    def start_worker(self) -> None:
        """Celery again, or for the first time; returns when it takes work."""
        before = self._readies()
        self._start_celery("worker", f"--concurrency={self._processes}", *CELERY)
        self._place.wait(self._group, "worker", lambda: self._readies() > before or None)

    def run_task(self, task: str) -> None:
        """Asks the worker for a task that beat would ask for in time; does not wait for its end.

        Download files that have expired go by `mayan.apps.storage.tasks.task_download_files_stale_delete`, of
        which beat thinks every 10 minutes.
        """
        self._place.run("celery", "-A", "mayan", "call", task)

    def shell(self, code: str) -> str:
        """What this code prints, run inside Mayan: for what its API cannot do, or would log as an event."""
        command = [self._place.program("mayan-edms.py"), "shell", "-c", code]
        done = subprocess.run(command, env=self._place.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-1000:]
        return done.stdout.strip()

    def log(self, name: Literal["web", "worker", "beat", "redis", "postgres"]) -> str:
        """All that this process wrote."""
        return self._group.log(name)

    def _start_web(self, port: int) -> None:
        kind = install.RELEASES[self._place.version].web
        bind = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--timeout", "120"]
        command = [self._place.program("gunicorn"), *bind, *kind, "mayan.wsgi"]
        self._group.start("web", command, self._place.environ)

    def _start_celery(self, name: Literal["worker", "beat"], *options: str) -> None:
        command = [self._place.program("celery"), "-A", "mayan", name, "--loglevel=INFO", *options]
        self._group.start(name, command, self._place.environ)

    def _address(self) -> str | None:
        """Where gunicorn listens: it took a free port where none was asked for."""
        told = self.log("web").partition("Listening at: ")[2]
        return told.split()[0] if told else None

    def _readies(self) -> int:
        """How often a worker took up its work."""
        return sum(line.endswith(" ready.") for line in self.log("worker").splitlines())


def _token(url: str) -> str | None:
    """The administrator's, or None while the server is not yet there."""
    try:
        said = httpx.post(
            f"{url}{API}/auth/token/obtain/?format=json",
            json={"username": USER, "password": PASSWORD},
            timeout=60,
            trust_env=False,
        )
    except httpx.TransportError:
        return None
    if said.status_code != 200:
        raise RuntimeError(f"{url}: {said.status_code} for a token, promised 200\n{said.text[:500]}")
    return str(said.json()["token"])


# -- by hand


def _records() -> Path:
    folder = install.cache() / "up"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _up(given: argparse.Namespace) -> None:
    record = _records() / f"{given.port}.json"
    if record.exists():
        raise SystemExit(f"port {given.port}: a server was started there; say `down` first")
    print("installing what is missing, starting; the first time takes minutes", file=sys.stderr)
    db: Database = "postgres" if given.postgres else "sqlite"
    server = Server(
        version=given.version, workers=given.workers, beat=given.beat, db=db, port=given.port, tied=False
    )
    started = psutil.Process(server.leader).create_time()
    record.write_text(json.dumps({"leader": server.leader, "started": started, "folder": str(server.folder)}))
    mayan = server.mayan
    print(f"url {mayan.url}\nuser {mayan.user}\npassword {mayan.password}\ntoken {mayan.token}")
    print(f"data and logs {server.folder}", file=sys.stderr)


def _prepare() -> None:
    kinds: list[tuple[str, Database]] = [(version, "sqlite") for version in install.RELEASES]
    for version, db in [*kinds, (install.NEWEST, "postgres")]:
        Server(version=version, db=db).stop()
        print(f"Mayan EDMS {version} with {db} is here")


def _down(port: int | None) -> None:
    """What `up` started; a leader's id that is another process's by now is left alone."""
    for path in sorted(_records().glob(f"{port or '*'}.json")):
        record = json.loads(path.read_text())
        try:
            same = abs(psutil.Process(record["leader"]).create_time() - record["started"]) < 0.1
        except psutil.NoSuchProcess:
            same = False
        if same:
            kill(record["leader"])
        shutil.rmtree(record["folder"], ignore_errors=True)
        path.unlink()
        print(f"port {path.stem}: {'stopped' if same else 'was gone'}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mayan_server", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="a server with new data that stays until `down`")
    up.add_argument("port", type=int)
    up.add_argument("--version", default=install.NEWEST, choices=install.RELEASES)
    up.add_argument("--postgres", action="store_true", help="instead of SQLite")
    up.add_argument("--workers", type=int, default=1, help="Celery processes; 0: work is accepted and never done")
    up.add_argument("--beat", action="store_true", help="also what is done at intervals")
    verbs.add_parser("prepare", help="install every version that the tests use, and make its data")
    down = verbs.add_parser("down", help="stop what `up` started, and drop its data")
    down.add_argument("port", type=int, nargs="?", help="default: all")
    given = parser.parse_args()
    try:
        match given.verb:
            case "up":
                _up(given)
            case "prepare":
                _prepare()
            case _:
                _down(given.port)
    except install.CannotHave as exc:
        raise SystemExit(str(exc)) from None


if __name__ == "__main__":
    main()
