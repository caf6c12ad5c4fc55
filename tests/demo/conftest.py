"""A lab per test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from flows.demo import DemoServer, World
from tests.demo.lab import NO_TLS, Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Its client sends the group leader's key unless a test says otherwise."""
    world = World(seed=1, ticks=lambda: 0.0)
    headers = {"apiKey": world.user("mrossi").api_key}
    with (
        DemoServer(world) as server,
        httpx.Client(base_url=server.url, headers=headers, verify=NO_TLS) as client,
        httpx.Client(base_url=server.url, verify=NO_TLS) as keyless,
    ):
        yield Lab(server, client, keyless)
