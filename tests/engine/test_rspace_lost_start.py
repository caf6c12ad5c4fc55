"""The answer to the POST is lost: nobody may start a second export for it, and nobody may lose the first."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from flows.errors import Exit
from storage.records import Ended
from storage.verify import Outcome
from tests.engine.bench import Bench, carry, verified

pytestmark = pytest.mark.usefixtures("older")


@pytest.mark.parametrize("run_s", [0.2, 7200.0])
def test_a_lost_answer_to_the_start_is_found_by_its_event(bench: Bench, run_s: float) -> None:
    """One export; its file is adopted without its job, and so the checksum is *not available*."""
    bench.world.run_s = run_s
    bench.world.faults.set(lose_start_answer=True)

    record = bench.run("user")

    assert (record.ended, sorted(bench.world.jobs)) == (Ended.VERIFIED, [23, 24])
    told = {check.name: check for check in record.checks}
    for name in ("size", "crc32"):
        assert told[name].outcome is Outcome.NOT_AVAILABLE
        assert "came without one" in told[name].reason
    assert told["documents in the file"].outcome is Outcome.PASSED
    found = bench.snapshots()[-1]
    assert (verified(found), found.manifest.draft.job["adopted"]) == (True, "unknown")
    assert bench.content(found) == bench.served(24)
    lost, *refused = bench.answers_to_posts()
    assert (lost, set(refused) <= {429}) == (0, True)
    assert len(refused) < 10  # a quarter of an hour apart
    bench.assert_tidy(record)
    bench.again()


def test_a_start_that_is_planned_for_too_long_is_not_asked_twice_at_once(bench: Bench) -> None:
    """The time-out of the POST leaves the server planning: the export is looked for, and not asked for again."""
    gate = threading.Event()
    bench.world.wait = lambda _: gate.wait(10)
    bench.world.faults.set(planning_delay_s=1, times=1)
    bench.clock.at(bench.clock.now() + timedelta(seconds=3), gate.set)
    engine = bench.engine("user", start_timeout_s=0.2)
    waits_really = bench.clock.sleep

    def sleep(seconds: float) -> None:
        waits_really(seconds)
        while 24 not in bench.world.jobs:  # the server's other thread is about to start it
            time.sleep(0.01)

    bench.clock.sleep = sleep  # type: ignore[method-assign]  # the clock of the bench is what it is made for

    record = carry(engine)

    assert (record.ended, sorted(bench.world.jobs)) == (Ended.VERIFIED, [23, 24])
    assert set(bench.answers_to_posts()[1:]) <= {429}


def test_a_lost_start_that_failed_is_asked_for_once_more(bench: Bench) -> None:
    """An export that failed leaves no event: when it can be planned no longer, the question is asked again."""
    bench.world.faults.set(lose_start_answer=True, times=1)
    bench.world.faults.set(job_fails="java.io.IOException", times=1)

    record = bench.run("user")

    assert (record.ended, bench.answers_to_posts()) == (Ended.VERIFIED, [0, 202])
    assert timedelta(minutes=15) <= record.ended_at - record.started_at < timedelta(minutes=18)


def test_a_lost_start_that_stays_busy_ends_and_is_remembered(bench: Bench) -> None:
    """Where the lost export became a zombie, waiting ends at the ceiling with the reason."""
    bench.world.faults.set(lose_start_answer=True, zombie=True)

    record = bench.run("user", ceiling_s=7200.0)

    bench.assert_end(record, Ended.LOST, Exit.BUSY, "the answer to the question was lost", "runs already")
    assert "zombie" in record.hint
    assert bench.job() is not None
    assert bench.posts() < 10


def test_a_gateway_s_answer_to_the_start_leaves_it_open(bench: Bench) -> None:
    """Nobody knows what a 502 to the POST means: it is not repeated before it can be planned no longer."""
    bench.world.faults.set(next_status=502, next_status_method="POST", times=1)

    record = bench.run("user")

    assert (record.ended, bench.answers_to_posts()) == (Ended.VERIFIED, [502, 202])
    assert record.ended_at - record.started_at >= timedelta(minutes=15)
