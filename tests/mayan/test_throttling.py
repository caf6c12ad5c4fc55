"""A server that allows few requests: waited for as long as it says, also by downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mayan import seeding
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan.office import office
from tests.mayan_server import Mayan

pytestmark = pytest.mark.mayan


@pytest.fixture(scope="module")
def slow(start_mayan: StartMayan) -> Iterator[Mayan]:
    """It takes five requests a second from each user."""
    with start_mayan(settings={"REST_API_THROTTLING_RATE_USER": "5/second"}) as server:
        yield server.mayan


def test_a_night_at_a_low_rate(slow: Mayan, tmp_path: Path) -> None:
    """Asked as fast as it goes, it refuses many requests, and nothing is missing in the end."""
    with slow.client() as api:
        files = [(f"{n}.pdf", pdf(f"slow {n}")) for n in range(8)]
        made = seeding.make_document(api, "slow", files)
        seeding.wait_versions(api, made.id, len(files))
    with office(tmp_path, slow) as here:
        record = here.night()

        assert record.ended == "verified"
        assert {name: here.within(made.id)[name] for name, _ in files} == dict(files)
        asked = here.requests
    with office(tmp_path / "paced", slow, requests_per_s=4) as here:
        assert here.night().ended == "verified"
        assert here.requests < asked  # by a pace that it allows, nothing is refused
