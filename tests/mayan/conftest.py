"""One Mayan EDMS for the whole session, and more where a test asks; they are skipped where none can be had.

`STRONGROOM_MAYAN=required` makes a failure of every skip, `STRONGROOM_MAYAN=no` skips without an attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from flows.sources.mayan_asking import Bounds
from tests.mayan.between import Between, between
from tests.mayan.install import CannotHave
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

WISH = "STRONGROOM_MAYAN"
StartMayan: TypeAlias = Callable[..., Server]


@pytest.fixture(scope="session")
def start_mayan() -> Iterator[StartMayan]:
    """Starts a server with the options of `Server`; stopped at the end of the session if not before."""
    wish = os.environ.get(WISH)
    with ExitStack() as servers:

        def start(**options: Any) -> Server:
            if wish == "no":
                pytest.skip(f"{WISH}=no")
            try:
                return servers.enter_context(Server(**options))
            except CannotHave as exc:
                if wish == "required":
                    pytest.fail(f"{WISH}=required, and there can be no Mayan EDMS: {exc}")
                pytest.skip(f"there can be no Mayan EDMS: {exc}")

        yield start


@pytest.fixture(scope="session")
def mayan_server(start_mayan: StartMayan) -> Server:
    """The session's server: for tests that bear what others left in it, and leave it running."""
    return start_mayan()


@pytest.fixture(scope="session")
def mayan(mayan_server: Server) -> Mayan:
    """How to reach it as its administrator."""
    return mayan_server.mayan


@pytest.fixture(scope="session")
def admin(mayan: Mayan) -> Iterator[httpx.Client]:
    """Its administrator, for set-up and inspection."""
    with mayan.client() as client:
        yield client


@pytest.fixture(scope="module")
def fresh_mayan(start_mayan: StartMayan) -> Iterator[Server]:
    """A server for this module alone, with the data of a new installation."""
    with start_mayan() as server:
        yield server


@pytest.fixture
def link(mayan: Mayan) -> Iterator[Between]:
    """What an office asks the session's server through."""
    with between(mayan.url) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, mayan: Mayan, link: Between) -> Iterator[Office]:
    """An office that asks through it. Empty, before its first night."""
    with office(tmp_path, replace(mayan, url=link.url)) as made:
        made.bounds = Bounds(deadline_s=60)
        yield made
