"""Fixtures of the engine's tests: a bench whose server's clock stands still until somebody sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.demo import DemoServer, World
from tests.engine import bench as benches
from tests.engine.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An engine's surroundings: four documents per person, exports of half a minute."""
    world = World(seed=1, documents_per_user=4, queue_s=7, run_s=30, ticks=lambda: 0.0)
    with DemoServer(world) as server:
        made = benches.make(tmp_path, server)
        yield made
        for source in made.open_sources:
            source.close()
        made.catalog.close()
