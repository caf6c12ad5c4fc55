"""Fixtures of the engine's tests: a bench whose server's clock stands still until somebody sleeps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.demo import Admissions, DemoServer, WebAdmitServer, World
from flows.demo.gitlab import GitLabServer
from flows.demo.gitlab_world import Forge
from tests.engine import bench as benches
from tests.engine import depot as depots
from tests.engine import school as schools
from tests.engine.admissions import Office
from tests.engine.bench import Bench
from tests.engine.depot import Depot
from tests.engine.school import School

MEMORY = Path("/dev/shm")  # noqa: S108  # where it exists, waiting for a disk is not part of these tests


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An engine's surroundings: four documents per person, exports of half a minute."""
    # Loading the usual certificates costs more than a run does, and nobody here speaks TLS.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", tempfile.gettempdir())
    world = World(seed=1, documents_per_user=4, queue_s=7, run_s=30, ticks=lambda: 0.0)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, DemoServer(world) as server:
        made = benches.make(Path(folder), server)
        yield made
        for source in made.open_sources:
            source.close()
        made.catalog.close()


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An admissions office that WebAdMIT's client may ask."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        made = Office(Path(folder))
        yield made
        made.close()


@pytest.fixture
def school(monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    """An engine's surroundings, over the demo's WebAdMIT: forty applicants, runs of half a minute."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", tempfile.gettempdir())
    world = Admissions(seed=1, ticks=lambda: 0.0, init_s=2, queue_s=5, run_s=30)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, WebAdmitServer(world) as server:
        made = schools.make(Path(folder), server)
        yield made
        for source in made.open_sources:
            source.close()
        made.catalog.close()


@pytest.fixture
def older(bench: Bench) -> Iterator[None]:
    """A good snapshot of the night before, which must be the same afterwards."""
    bench.run("user")
    first = bench.snapshots()[0]
    content = bench.content(first)
    bench.world.pass_nights(1)
    bench.server.requests.clear()
    bench.clock.slept.clear()
    yield
    assert bench.snapshots()[0] == first
    assert bench.content(first) == content


@pytest.fixture
def depot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    """An engine's surroundings, over the demo's GitLab: five projects, exports of half a minute."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", tempfile.gettempdir())
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, GitLabServer(Forge(ticks=lambda: 0.0)) as server:
        made = depots.make(Path(folder), server)
        yield made
        for source in made.open_sources:
            source.close()
        made.catalog.close()
