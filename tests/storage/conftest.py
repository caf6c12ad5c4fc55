"""Archives plain and encrypted; and whole sweeps, which run when asked for by their marker: `pytest -m full`."""

from __future__ import annotations

import pytest

from tests.doubles import ALL_ENCRYPTED, PLAIN, SECRET, SOME_ENCRYPTED, Cases


@pytest.fixture(params=[None, SECRET], ids=["plain", "encrypted"])
def secret(request: pytest.FixtureRequest) -> str | None:
    """What the archives of a test are made with: it holds for both kinds."""
    found: str | None = request.param
    return found


@pytest.fixture(params=[PLAIN, SOME_ENCRYPTED, pytest.param(ALL_ENCRYPTED, marks=pytest.mark.full)], ids=str)
def cases(request: pytest.FixtureRequest) -> Cases:
    """The same for a matrix of many cases."""
    found: Cases = request.param
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `full` unless the marker is asked for."""
    if "full" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="a whole sweep: pytest -m full"))
