"""Serving against a real Prefect server: signals, and taking over from a pool."""

from __future__ import annotations

import os
import signal

import pytest
from prefect.client.orchestration import get_client

from flows.orchestration import (
    deployment_lives,
)
from flows.server_at_hand import PrefectTrouble
from flows.serving import serve
from tests.orchestration.house import HAND_OVER, House, wait_until


def test_serve_refuses_a_limit_that_lets_nothing_run() -> None:
    """At least one backup at a time."""
    with pytest.raises(PrefectTrouble, match="limit 0, wanted 1 or more"):
        serve("strongroom.toml", nightly=[], upkeep=None, limit=0)


@pytest.mark.server
@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C in the terminal"])
def test_a_signal_to_serve_cancels_what_runs(house: House, how: str) -> None:
    """`finally` runs in the flow, the run becomes Cancelled, and serve ends with status 0."""
    name = f"stopped-{how[:4].lower()}"
    with house.running("serve_tiny.py", name) as server:
        wait_until(lambda: deployment_lives(f"backup/{name}"), "serve() polls")
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(f"backup/{name}")
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"source": name, "scope": "long"}
            )
            wait_until(lambda: bool(house.starts_and_ends(name)), "the flow starts")
            if how == "SIGTERM":
                server.terminate()
            else:
                os.killpg(server.pid, signal.SIGINT)  # a terminal sends it to the flow's process too
            assert server.wait(40) == 0
            state = client.read_flow_run(run.id).state

    assert state is not None
    assert state.type.value == "CANCELLED"
    assert house.starts_and_ends(name) == [("long", "start"), ("long", "end")]


@pytest.mark.server
def test_serve_takes_over_what_was_deployed_to_a_pool(deployed: House) -> None:
    """Its schedules replace those of prefect.yaml, and no worker takes its runs any more."""
    deployed.run("-c", HAND_OVER)

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("backup/pooled")
    assert deployment.work_pool_name is None
    assert [each.schedule.cron for each in deployment.schedules] == ["30 4 * * *"]  # type: ignore[union-attr]
