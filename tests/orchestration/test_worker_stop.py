"""How a worker of Prefect's takes a stop, as its unit gives it: it waits for its runs, then ends them."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from flows import config
from flows.ops import units
from tests.orchestration.house import House, wait_until

pytestmark = pytest.mark.server
DRAIN_S = 4


def stop(worker: int) -> float:
    """What systemd does before it sends SIGTERM; the seconds that it took."""
    made = units.machine(config.Settings(Path("/srv/strongroom.toml"), config.File()), workers=1)
    unit = units.units(replace(made, drain_s=DRAIN_S))["strongroom-worker@.service"]
    begun = time.monotonic()
    for line in re.findall(r"^ExecStop=-(.*)$", unit, re.M):
        subprocess.run(shlex.split(line.replace("${MAINPID}", str(worker))), timeout=90, check=False)
    return time.monotonic() - begun


def test_a_worker_waits_for_its_runs_and_ends_those_that_take_too_long(deployed: House) -> None:
    """Idle it has no children, so a stop waits for nothing; a run that is cut off clears up and is recorded."""
    with deployed.running("-m", "prefect", "worker", "start", "--pool", "strongroom") as worker:
        assert stop(worker.pid) < DRAIN_S
        run = run_deployment("backup/pooled", parameters={"source": "stop", "scope": "long"}, timeout=0)
        assert isinstance(run, FlowRun)
        wait_until(lambda: bool(deployed.starts_and_ends("stop")), "the run begins", 60)

        assert stop(worker.pid) >= DRAIN_S
        assert deployed.starts_and_ends("stop") == [("long", "start"), ("long", "end")]
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.type.value == "CRASHED"
