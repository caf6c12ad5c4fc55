"""Lists that are away, before the question or after the export: what is still proven."""

from __future__ import annotations

import pytest

from flows.sources.rspace_complete import GALLERY, IN_FILE
from storage.records import Ended
from storage.verify import Outcome
from tests.engine.bench import Bench, by_name, carry, check

KINDS = ("user", "user:2", "group", "selection")


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/status"])
def test_an_outage_before_the_question_is_waited_for(bench: Bench, path: str) -> None:
    """Gateway pages for some minutes: everything is proven in the end."""

    def between(comes: str) -> None:
        if comes == "start":
            bench.world.faults.set(next_status=503, next_status_path=path, times=12)

    record = carry(bench.engine("user"), between=between)

    assert record.ended is Ended.VERIFIED
    assert {IN_FILE, GALLERY} <= {name for name, outcome in by_name(record.checks).items() if outcome == "passed"}


@pytest.mark.parametrize("path", ["/api/v1/documents", "/api/v1/files"])
def test_a_list_that_alone_is_away_costs_no_night(bench: Bench, path: str) -> None:
    """A proxy that cannot give one list while the server is there: its check says so, the rest is proven."""
    bench.world.faults.set(next_status=503, next_status_path=path)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    away = check(record, GALLERY if path.endswith("files") else IN_FILE)
    assert (away.outcome, "cannot be listed" in away.reason) == (Outcome.NOT_AVAILABLE, True)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("path", ["/api/v1/documents", "/api/v1/status", "/api/v1/"])
def test_a_file_in_hand_is_compared_where_nobody_answers_any_more(bench: Bench, path: str, missing: bool) -> None:
    """What was listed before the question must be there: that is proof, and what is missing is a failure."""
    bench.world.faults.set(missing_document=missing)

    def between(comes: str) -> None:
        if comes == "keep":
            bench.world.faults.set(next_status=503, next_status_path=path)

    record = carry(bench.engine("user"), between=between)

    told = check(record, IN_FILE)
    assert record.ended is (Ended.QUARANTINED if missing else Ended.VERIFIED)
    assert told.outcome is (Outcome.FAILED if missing else Outcome.PASSED)
    assert told.promised == "4 listed before the export"
    assert told.reason
