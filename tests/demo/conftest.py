"""A lab, or admissions offices, per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from flows.demo import Admissions as AdmissionsWorld
from flows.demo import DemoServer, WebAdmitServer, World
from tests.demo.admissions import Admissions
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


@pytest.fixture
def admissions() -> Iterator[Admissions]:
    """WebAdMIT with few applicants. Its client sends the director's key."""
    world = AdmissionsWorld(seed=1, applicants=5, ticks=lambda: 0.0)
    headers = {"x-api-key": world.keys["rjones"]}
    with (
        WebAdmitServer(world) as server,
        httpx.Client(base_url=server.url, headers=headers, verify=NO_TLS) as client,
        httpx.Client(verify=NO_TLS) as bare,
    ):
        yield Admissions(server, client, bare)
