"""One server, one served deployment and one deployed pool per module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.orchestration import deployment_lives, flush
from flows.server_at_hand import client_environment, ensure_server, stop_server
from tests.orchestration.house import ROOT, SERVE, TINY, TINY_YAML, House, wait_until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    state = folder / "state"
    (folder / "tiny_flows.py").write_text(TINY, "utf-8")
    (folder / "serve_tiny.py").write_text(SERVE, "utf-8")
    (folder / "prefect.yaml").write_text(TINY_YAML, "utf-8")
    (folder / "marks").touch()
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    server = ensure_server(state, environ=bare)
    environ = bare | client_environment(server, state)
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "MARKS": str(folder / "marks"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # 10 s in life
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    settings = {
        PREFECT_API_URL: server.api_url,
        PREFECT_HOME: environ["PREFECT_HOME"],
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    try:
        with temporary_settings(settings):
            yield House(server, folder, environ)
            flush()  # else this process goes on sending events to a server that is gone, and no others
    finally:
        stop_server(state)


@pytest.fixture(scope="module")
def served(house: House) -> Iterator[House]:
    with house.running("serve_tiny.py", "adhoc"):
        wait_until(deployment_lives, "serve() polls")
        yield house


@pytest.fixture(scope="module")
def deployed(house: House) -> House:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="strongroom", type="process"))
    house.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    return house
