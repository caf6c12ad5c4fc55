"""Serving against a real Prefect server: signals, and taking over from a pool."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows import orchestration
from flows.config import File, Settings
from flows.orchestration import (
    deployment_lives,
)
from flows.server_at_hand import PrefectTrouble
from flows.serving import serve
from tests.orchestration.house import House, wait_until


def test_serve_refuses_a_limit_that_lets_nothing_run() -> None:
    """At least one backup at a time."""
    with pytest.raises(PrefectTrouble, match="limit 0, wanted 1 or more"):
        serve(Settings(Path("strongroom.toml"), File()), "1" * 8, limit=0)


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
def test_a_run_whose_server_is_gone_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who served it was killed with all its children: the run is crashed after a while, and the caller goes on."""
    monkeypatch.setattr(orchestration, "GONE_S", 1.0)  # five minutes in life, after thirty seconds of silence
    with house.running("serve_tiny.py", "gone") as server:
        wait_until(lambda: orchestration.deployment_lives("backup/gone"), "serve() polls")

        def kill_when_it_runs(now: orchestration.RunEnd) -> None:
            if now.state_name == "Running":
                wait_until(lambda: bool(house.starts_and_ends("gone")), "the flow starts")
                os.killpg(server.pid, signal.SIGKILL)

        asks = {"key": [orchestration.Ask("gone", "long")]}
        (end,) = orchestration.dispatch(asks, deployment="backup/gone", poll_s=0.5, on_change=kill_when_it_runs)

    assert end.state_type == "CRASHED"
    assert "has been gone" in end.message
    assert end.picked_up
