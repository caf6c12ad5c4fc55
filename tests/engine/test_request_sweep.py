"""The connection breaks at each request in turn, before or after the server did its work, once or from then on."""

from __future__ import annotations

from itertools import count

import pytest

from storage.records import Ended
from tests.engine.bench import Bench

REQUESTS = 10  # of an undisturbed run: 2 of the probe, POST, 5 polls, the link, the file
POST = 3


def _requests(bench: Bench) -> int:
    return len(bench.server.requests)


def test_the_sweep_reaches_every_request(bench: Bench) -> None:
    """An undisturbed run makes as many requests as the sweep below breaks."""
    bench.run("user")

    assert _requests(bench) == REQUESTS
    assert bench.server.requests[POST - 1][0] == "POST"


@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("broken", range(1, REQUESTS + 1))
def test_a_break_at_any_request_costs_no_export_but_a_lost_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: int, for_good: bool, after_work: bool
) -> None:
    """A second run at the latest is verified; a second export is made only where the first answer was lost."""
    numbers = count(1)
    with monkeypatch.context() as patch:
        hit = (lambda _: next(numbers) >= broken) if for_good else (lambda _: next(numbers) == broken)
        patch.setattr(bench.world.faults, "take_drop", hit)
        patch.setattr(bench.world.faults, "drop_after_work", after_work)
        record = bench.run("user")

    survived = broken != POST and not for_good
    assert (record.ended is Ended.VERIFIED) == survived
    if not survived:
        assert record.ended is Ended.FAILED
        assert "the connection broke" in record.reason
        bench.recorded(record)
        assert (bench.snapshots(), list(bench.archive.backend.list("packs/"))) == ([], [])
        bench.again()
    started = len(bench.world.jobs)
    assert started == (2 if broken == POST and after_work else 1)
    assert [bench.content(found) for found in bench.snapshots()] == [bench.served(max(bench.world.jobs))]
    assert bench.downloads() <= (2 if survived else 5)
