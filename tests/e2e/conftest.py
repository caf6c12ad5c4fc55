"""One real Prefect server for the whole folder, one demo server and one user's folder per test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prefect.client.base import PrefectHttpxSyncClient

from flows.demo import DemoServer, World, announce
from flows.server_at_hand import ServerAtHand, ensure_server, stop_server
from tests.e2e.home import KEY_NAME, Home


@pytest.fixture(scope="session")
def prefect_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps what it keeps: searched for secrets at the end."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_server(prefect_state: Path) -> Iterator[ServerAtHand]:
    """A real server on loopback."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    yield ensure_server(prefect_state, environ={**environ, "HOME": str(prefect_state)})
    stop_server(prefect_state)


@pytest.fixture(scope="session")
def api(prefect_server: ServerAtHand) -> Iterator[httpx.Client]:
    """Its API, by Prefect's own client: it asks again where SQLite was locked and the server says 503."""
    with PrefectHttpxSyncClient(base_url=prefect_server.api_url, timeout=30, raise_on_all_errors=False) as client:
        yield client


@pytest.fixture
def server() -> Iterator[DemoServer]:
    """A made-up lab."""
    with DemoServer(World(seed=1, start=datetime.now(UTC))) as demo:
        yield demo


@pytest.fixture
def home(tmp_path: Path, server: DemoServer, prefect_server: ServerAtHand, api: httpx.Client) -> Iterator[Home]:
    """A user's folder with a configuration and an archive; the Prefect server is a configured one.

    Deployments are taken away at the end: the next test's must not be taken for them.
    """
    key = announce(server)["rspace"]["api_key"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= {
        "HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": prefect_server.api_url,
        KEY_NAME: key,
        "PREFECT_LOGGING_LEVEL": "DEBUG",  # the harshest for secrets
    }
    (tmp_path / "home").mkdir()
    made = Home(tmp_path, server, key, environ)
    made.configure()
    assert made.run("init", "--yes", "--no-encryption").returncode == 0
    yield made
    for deployment in api.post("/deployments/filter", json={}).json():
        api.delete(f"/deployments/{deployment['id']}")
