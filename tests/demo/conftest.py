"""A lab per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from flows.demo import DemoServer, World
from tests.demo.lab import NO_TLS, Lab

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab() -> Iterator[MakeLab]:
    """Labs of any size. Their client sends the group leader's key unless a test says otherwise."""
    with ExitStack() as stack:

        def make(**wanted: Any) -> Lab:
            world = World(seed=1, ticks=lambda: 0.0, **wanted)
            server = stack.enter_context(DemoServer(world))
            headers = {"apiKey": world.user("mrossi").api_key}
            client = stack.enter_context(httpx.Client(base_url=server.url, headers=headers, verify=NO_TLS))
            keyless = stack.enter_context(httpx.Client(base_url=server.url, verify=NO_TLS))
            return Lab(server, client, keyless)

        yield make


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """The lab as it is without any wish."""
    return make_lab()
