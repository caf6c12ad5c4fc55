"""Whole sweeps run when they are asked for by their marker: `pytest -m full`."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `full` unless the marker is asked for."""
    if "full" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="a whole sweep: pytest -m full"))
