"""The stage of the rehearsal: one host with a Prefect server, a worker, a lab, a mailbox and a dead-man switch.

Each is a process or a server of its own, started as README says, so that each can be killed by itself.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
from prefect.client.base import PrefectHttpxSyncClient

from flows.demo import DemoServer, World, announce
from flows.server_at_hand import ensure_server, stop_server
from tests.e2e.home import KEY_NAME, Home, until
from tests.ops.receivers import SECRET, Mail, Web, mail_server, web_server

FINAL = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
PATIENCE_S = 300  # for anything that goes through Prefect: a busy machine is slow, and slow is not wrong
CONFIG = """
[policy]
keep_last = 3
timezone = "{zone}"

[watch]
disk_free_percent = 0     # the disk that a test runs on is not its subject

[notify]
to = [{{ file = "mail.url" }}]

[[ping]]
of = "nightly"
url = {{ file = "ping.url" }}

[upkeep]
drill = false
schedules = {{ scrub = false, drill = false, upkeep = false, watch = false }}

[[source]]
name = "lab"
system = "rspace"
url = "{url}"
api_key = {{ env = "{key_name}" }}
poll_first_s = 0.1
poll_longest_s = 0.5
schedule = {{ cron = "{cron}", timezone = "{zone}" }}

[[source.scope]]
kind = "user"

[[source.scope]]
kind = "user"
id = 2
"""


@dataclass
class Stage:
    """What is on it, and what somebody can do there."""

    home: Home
    mail: Mail
    web: Web
    base: datetime  # when nights begin: that time of the day, today and on the days before
    zone: ZoneInfo  # in which it is noon now, so that nights of one hour are of one day
    server_pid: int
    api: httpx.Client
    worker: subprocess.Popen[bytes] | None = None

    @property
    def world(self) -> World:
        """The lab."""
        return self.home.server.world

    # -- what is configured

    def schedule(self, at: datetime) -> None:
        """Have every night begin at this time of the day, in the configuration and on the server."""
        self.configure(at)
        done = self.home.run("deploy")
        assert done.returncode == 0, done.stdout + done.stderr

    def configure(self, at: datetime) -> None:
        """Write the configuration, with nights that begin at this time of the day."""
        local = at.astimezone(self.zone)
        text = CONFIG.format(
            url=self.home.server.url,
            key_name=KEY_NAME,
            zone=self.zone.key,
            cron=f"{local.minute} {local.hour} * * *",
        )
        self.home.config.write_text(text, encoding="utf-8")

    def switch_off(self, automation: str) -> None:
        """Switch off an automation, as an operator may: a look after a failure would look by today's date."""
        for found in self.api.post("/automations/filter", json={}).json():
            if found["name"].endswith(automation):
                self.api.patch(f"/automations/{found['id']}", json={"enabled": False}).raise_for_status()

    # -- nights

    def dawn(self, days_ago: int) -> datetime:
        """It is the night so many days ago; people worked the day before."""
        at = self.base - timedelta(days=days_ago)
        self.world.pass_nights(1)
        self.set_clock(at)
        return at

    def set_clock(self, at: datetime) -> None:
        """The lab's clock."""
        self.world.advance((at - self.world.now()).total_seconds())

    def begin(self, at: datetime) -> str:
        """Start a rehearsed night, as the button in Prefect's UI does; its flow run."""
        found = self.api.get("/deployments/name/nightly/lab").json()
        parameters = {**found["parameters"], "at": at.isoformat()}
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        answers: list[httpx.Response] = []

        def accepted() -> bool:  # SQLite answers 503 while another writer holds it
            answers.append(self.api.post(f"/deployments/{found['id']}/create_flow_run", json=body))
            return answers[-1].status_code != 503

        until("the server takes a run", accepted)
        return str(answers[-1].json()["id"])

    def scheduled_night(self) -> str:
        """Have the schedule start a night in the next minute or two, for once; its flow run."""
        while True:
            due = (datetime.now(UTC) + timedelta(seconds=80)).replace(second=0, microsecond=0)
            self.schedule(due)
            while datetime.now(UTC) < due and not self._due(due):
                time.sleep(0.2)
            if self._due(due):  # else the machine was too busy, and it would come tomorrow
                break
        until("the scheduled night begins", lambda: self._due(due)["start_time"], timeout=PATIENCE_S)
        return str(self._due(due)["id"])

    def _due(self, due: datetime) -> dict[str, Any]:
        """The flow run that the schedule has made for then; empty where there is none."""
        time_is = {"after_": due.isoformat(), "before_": due.isoformat()}
        query = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}, "expected_start_time": time_is}}
        found: list[dict[str, Any]] = []

        def asked() -> bool:
            answer = self.api.post("/flow_runs/filter", json=query)
            if answer.status_code == 200:
                found[:] = answer.json()
            return answer.status_code == 200

        until("the server tells its runs", asked)
        return found[0] if found else {}

    def ended(self, run: str) -> str:
        """How a night ended in Prefect; waits for that."""
        states: list[Any] = []

        def final() -> bool:
            with suppress(httpx.HTTPError, KeyError, ValueError):
                states.append(self.api.get(f"/flow_runs/{run}").json()["state"])
            return bool(states) and states[-1]["type"] in FINAL

        until("the night ends", final, timeout=PATIENCE_S)
        return str(states[-1]["name"])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Exports of the lab that begin meanwhile are ready only afterwards."""
        usual, self.world.run_s = self.world.run_s, 3600.0
        yield
        self.world.run_s = usual
        self.world.advance(3600)

    def waits(self) -> bool:
        """Whether a run waits for its export."""
        return self.home.rows("select phase from run where ended = ''") == [("waiting for the export",)]

    # -- what breaks

    def start_worker(self) -> None:
        """As the unit does; returns when the server knows that it is there."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "strongroom", "--limit", "3"]
        with (self.home.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                command, cwd="/", env=dict(self.home.environ), stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

        since = datetime.now(UTC)

        def polls() -> bool:
            found = self.api.get("/deployments/name/nightly/lab").json()
            polled = found.get("last_polled")
            return polled is not None and datetime.fromisoformat(polled) > since

        until("the worker polls", polls, timeout=PATIENCE_S)

    def kill_worker(self) -> None:
        """kill -9, with the runs that it runs: a power cut, but for the server. None runs: nothing."""
        if self.worker is not None:
            _kill(self.worker.pid)
            self.worker.wait()
            self.worker = None

    def kill_server(self) -> Callable[[], None]:
        """kill -9 the Prefect server. What comes back starts it again as it was, which its unit does by itself."""
        server = psutil.Process(self.server_pid)
        command, environ, folder = server.cmdline(), server.environ(), server.cwd()
        _kill(server.pid)
        until("the server is gone", lambda: not self._server_answers())

        def again() -> None:
            with (self.home.folder / "server.log").open("ab") as log:
                child = subprocess.Popen(
                    command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            self.server_pid = child.pid
            until("the server answers again", self._server_answers, timeout=PATIENCE_S)

        return again

    def _server_answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.api.get("/health").status_code == 200
        return False

    def limit_files(self, size: int) -> None:
        """No file that the worker's runs write may grow beyond so many bytes: a disk that is full."""
        assert self.worker is not None
        _, hard = resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (size, hard))


def _kill(pid: int) -> None:
    """kill -9 a process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for one in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Set it up in an empty folder, with nothing deployed; whatever runs is killed at the end."""
    now = datetime.now(UTC)
    zone = ZoneInfo(f"Etc/GMT{now.hour - 12:+d}")  # its sign is the wrong way round
    with ExitStack() as open_:
        mail, web = open_.enter_context(mail_server()), open_.enter_context(web_server())
        lab = open_.enter_context(DemoServer(World(seed=1, start=now - timedelta(days=8))))
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        environ = {**bare, "HOME": str(folder), "TZ": zone.key}
        # 60 s in life: so long a changed schedule may go unnoticed
        server = ensure_server(
            folder / "prefect", environ={**environ, "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2"}
        )
        open_.callback(stop_server, folder / "prefect")
        assert server.pid is not None
        api = open_.enter_context(
            PrefectHttpxSyncClient(base_url=server.api_url, timeout=30, raise_on_all_errors=False)
        )
        environ |= {
            "PREFECT_API_URL": server.api_url,
            "PREFECT_WORKER_QUERY_SECONDS": "1",  # 10 s in life
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            KEY_NAME: announce(lab)["rspace"]["api_key"],
        }
        (folder / "mail.url").write_text(
            f"mailto://ops:{SECRET}@127.0.0.1:{mail.port}?from=s@example.org&to=ops@example.org&mode=insecure"
        )
        (folder / "ping.url").write_text(web.url())
        home = Home(folder, lab, environ[KEY_NAME], environ)
        made = Stage(home, mail, web, now.replace(second=0, microsecond=0), zone, server.pid, api)
        open_.callback(lambda: _kill(made.server_pid))
        open_.callback(made.kill_worker)
        yield made
