"""The connection breaks at each request in turn, before or after the server did its work, once or from then on.

The process that dies at each request is `tests/crash`.
"""

from __future__ import annotations

from itertools import count

import pytest

from storage.records import Ended
from tests.engine.bench import Bench, by_name

# Of an undisturbed run: the probe, what is there now, the question, its state, the link and the file, what was
# there all the time and RSpace's own list.
REQUESTS = ["status", "whoami", "status", "documents", "files", "POST", *["job"] * 5, "job", "export",
            "status", "documents", "files", "activity"]  # fmt: skip
POST = REQUESTS.index("POST") + 1
HELD = REQUESTS.index("export") + 1  # from here on the file is in hand


def test_the_sweep_reaches_every_request(bench: Bench) -> None:
    """An undisturbed run makes as many requests as the sweep below breaks."""
    bench.run("user")

    for seen, expected in zip(bench.server.requests, REQUESTS, strict=True):
        assert expected in f"{seen[0]} {seen[1]}"


@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("broken", range(1, len(REQUESTS) + 1))
def test_a_break_at_any_request_costs_no_export(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: int, for_good: bool, after_work: bool
) -> None:
    """Verified after a second run at the latest, by one export, and one question unless the first never arrived.

    With the first answer lost, the export is found by its EXPORT event; before the question arrived there is
    nothing to find, and it is asked once more when the server cannot be planning it any longer.
    """
    numbers = count(1)
    with monkeypatch.context() as patch:
        hit = (lambda _: next(numbers) >= broken) if for_good else (lambda _: next(numbers) == broken)
        patch.setattr(bench.world.faults, "take_drop", hit)
        patch.setattr(bench.world.faults, "drop_after_work", after_work)
        record = bench.run("user")

    survived = not for_good or broken > HELD
    assert (record.ended is Ended.VERIFIED) == survived
    if not survived:
        assert record.ended is Ended.FAILED
        assert "the connection broke" in record.reason or "answer in time" in record.reason
        bench.recorded(record)
        assert (bench.snapshots(), list(bench.archive.backend.list("packs/"))) == ([], [])
        bench.again()
    assert len(bench.world.jobs) == 1
    arrived = bench.answers_to_posts()
    assert arrived.count(202) == (0 if broken == POST and after_work else 1)
    assert len(arrived) == (2 if broken == POST and not after_work else 1)
    assert [bench.content(found) for found in bench.snapshots()] == [bench.served(23)]
    told = by_name(bench.snapshots()[0].manifest.draft.checks)
    assert "failed" not in told.values()
    assert (told["size"] == "not available") == (broken == POST and after_work)
    assert bench.downloads() <= (2 if survived else 5)
