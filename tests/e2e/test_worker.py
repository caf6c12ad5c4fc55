"""A process worker: deployed by `strongroom deploy` and by `prefect deploy --all`, run by Prefect's commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import Home, until
from tests.e2e.test_serve import phase, retry, start, state

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]


def prefect(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Prefect's own command line, in the user's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments], cwd=home.folder, env=dict(home.environ),
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    home.outputs += [done.stdout, done.stderr]
    return done


def by_prefect(home: Home) -> None:
    """As prefect.yaml says."""
    shutil.copy(ROOT / "prefect.yaml", home.folder)
    assert prefect(home, "work-pool", "create", "strongroom", "--type", "process", "--overwrite").returncode == 0
    deployed = prefect(home, "--no-prompt", "deploy", "--all")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


def by_us(home: Home) -> None:
    """As the configuration says; the doctor agrees."""
    rehearsed = home.json("deploy", "--dry-run")
    done = home.json("deploy")
    assert [step["what"] for step in done["steps"]] == [step["what"] for step in rehearsed["steps"]]
    assert {"what": "made", "kind": "pool", "name": "strongroom", "fields": []} in done["steps"]
    again = home.run("deploy")
    assert again.returncode == 0
    assert again.stdout.startswith("nothing changed: ")
    (said,) = [one for one in home.json("doctor")["findings"] if one["what"] == "deployments"]
    assert said["warning"] == ""
    assert said["detail"].endswith("as configured")


@pytest.fixture
def worker(home: Home, api: httpx.Client, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process worker on the pool that was deployed to."""
    request.param(home)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "strongroom"]
    child = subprocess.Popen(
        command, cwd="/", env=dict(home.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        filtered = "/work_pools/strongroom/workers/filter"
        until(
            "the worker is online",
            lambda: any(w["status"] == "ONLINE" for w in api.post(filtered, json={}).json()),
        )
        yield child
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        api.delete("/work_pools/strongroom")
        for automation in api.post("/automations/filter", json={}).json():
            api.delete(f"/automations/{automation['id']}")


@pytest.mark.parametrize("worker", [by_us], indirect=True)
@pytest.mark.usefixtures("worker")
def test_deploy_worker_and_watch(home: Home) -> None:
    """Deployed as prefect.yaml says, a run by Prefect's own command is watched to its end and verified."""
    good = prefect(home, "deployment", "run", "backup/adhoc", "-p", "source=lab", "-p", "scope=user", "--watch")
    bad = prefect(
        home, "deployment", "run", "backup/adhoc", "-p", "source=lab", "-p", "scope=user:9999", "--watch"
    )

    assert good.returncode == 0, good.stdout + good.stderr
    assert bad.returncode == 1
    assert home.rows("select scope, ended from run order by started_at") == [
        ("user", "verified"),
        ("user:9999", "failed"),
    ]


@pytest.mark.parametrize("worker", [by_prefect, pytest.param(by_us, marks=pytest.mark.full)], indirect=True)
@pytest.mark.usefixtures("worker")
def test_a_killed_flow_process_is_crashed_and_its_retry_goes_on(home: Home, api: httpx.Client) -> None:
    """kill -9 while it waits: Prefect sees the crash; retried through the API, it takes the same export.

    Deployed by us it held a slot of its source's limit, which frees itself after a minute.
    """
    home.server.world.run_s = 3600
    run = start(api, "backup/adhoc", source="lab", scope="user")
    until("it waits", lambda: phase(home) == "waiting for the export")
    (holder,) = home.rows("select json_extract(holder, '$.pid') from run")
    os.kill(int(holder[0]), signal.SIGKILL)
    until("Prefect has noticed", lambda: state(api, run)["type"] == "CRASHED")
    home.server.world.advance(3600)

    def completed() -> bool:
        # The worker reports the crash twice; one that comes after our retry undoes it, and we retry again.
        now = state(api, run)["type"]
        if now == "CRASHED":
            retry(api, run)
        return bool(now == "COMPLETED")

    until("the retried run ended", completed, timeout=240)
    assert home.posts() == 1
    assert home.rows("select ended from run order by started_at") == [("interrupted",), ("verified",)]
