"""Every switch of the demo server, one run each: what the user sees, what catalog, archive and server tell.

No run hangs, none that was not proven is called verified, none costs the older snapshot, and the next one is well.
The table is in switches.py. Behaviour of RSpace's that no switch turns on has a test of its own below.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Any

import httpx
import pytest

from flows.demo import jobs
from flows.demo.faults import SWITCHES
from flows.errors import Exit
from flows.export import State, Status
from storage.records import Ended, RunRecord
from storage.snapshot import Snapshot
from storage.verify import Outcome
from tests.engine.bench import Bench, Killed, by_name, carry, check, verified
from tests.engine.switches import CASES, OWN_LIST, Case

pytestmark = pytest.mark.usefixtures("older")


class Hung(BaseException):
    """A run was still going when it should long have ended."""


def within(bench: Bench, limit: timedelta) -> None:
    """From now on, whoever sleeps beyond the limit has hung."""

    def hung() -> None:
        raise Hung(f"after {limit}")

    bench.clock.at(bench.clock.now() + limit, hung)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_switch(bench: Bench, case: Case) -> None:
    """The end, its words, the exports that were started, and the same in catalog and archive; then a good run.

    With `keep_last = 1` even a run that keeps something that does not count must leave the older snapshot alone.
    """
    bench.world.wait = bench.world.advance  # planning takes the clock's time, not ours
    (before,) = bench.snapshots()
    old_jobs = set(bench.world.jobs)
    policy = {} if case.ended is Ended.VERIFIED else {"policy": {"keep_last": 1}}
    within(bench, timedelta(days=1))
    bench.world.faults.set(**case.switches)

    record = bench.run(case.scope, **case.table, **policy)

    assert (record.ended, record.exit_code) == (case.ended, case.exit)
    assert record.ended_at - record.started_at <= case.within
    assert _missing(case.reason, record.reason) == _missing(case.hint, record.hint) == []
    bench.recorded(record)
    assert len(set(bench.world.jobs) - old_jobs) == (0 if "history_wiped" in case.switches else case.exports)
    assert bench.answers_to_posts().count(202) <= case.exports
    new = _new_snapshots(bench, before.id)
    assert [found.id for found in new] == ([record.snapshot] if case.ended.kept else [])
    assert [verified(found) for found in new] == ([case.ended is Ended.VERIFIED] if case.ended.kept else [])
    assert bench.archive.tombstones() == []
    if case.ended is Ended.VERIFIED:
        _assert_well(bench, record, case)
    else:
        assert record.reason
        assert record.hint
        assert len(record.reason) < 500
    _assert_next_is_well(bench, case)


def _assert_well(bench: Bench, record: RunRecord, case: Case) -> None:
    """Verified, by the server's own bytes, with every question passed but those that nobody could answer."""
    assert (record.reason, record.hint) == ("", "")
    silent = {one.name: one for one in record.checks if one.outcome is not Outcome.PASSED}
    assert {one.outcome for one in silent.values()} <= {Outcome.NOT_AVAILABLE}
    assert silent.keys() == case.silent.keys()
    for name, words in case.silent.items():
        assert words in silent[name].reason
    assert by_name(record.checks)["documents in the file"] == "passed"
    found = bench.archive.find(record.snapshot)
    assert bench.content(found) == bench.served_as(found)
    bench.assert_tidy(record)


def _assert_next_is_well(bench: Bench, case: Case) -> None:
    """The next run is verified and tidy, by the export that is there already where that is of use."""
    if "zombie" in case.switches:
        bench.world.close_zombies()
    answers = bench.answers_to_posts().count(202)
    bench.again(case.scope)
    assert bench.answers_to_posts().count(202) - answers == case.next_starts


def _missing(words: tuple[str, ...], text: str) -> list[str]:
    return [word for word in words if word not in text]


def _new_snapshots(bench: Bench, older: str) -> list[Snapshot]:
    first, *new = bench.snapshots()
    assert first.id == older
    return new


# -- where two switches meet


@pytest.mark.parametrize(
    "faults",
    [
        {"lose_start_answer": True, "event_lost": True},
        {"next_status": 502, "next_status_method": "POST"},
    ],
    ids=["every answer and every event lost", "a gateway's page for every question"],
)
def test_a_start_whose_every_answer_is_lost_ends(bench: Bench, faults: dict[str, Any]) -> None:
    """At the ceiling at the latest, with its reason, and not with an export each quarter of an hour for ever."""
    within(bench, timedelta(hours=13))
    bench.world.faults.set(**faults)

    record = bench.run("user")

    assert record.ended in (Ended.LOST, Ended.FAILED)
    assert record.reason
    bench.recorded(record)
    bench.again()


@pytest.mark.parametrize(
    "away",
    [{"next_status": 502, "next_status_path": "/api/v1/activity"}, {"activity_status": 429}],
    ids=["a proxy's page", "the limit on requests"],
)
def test_a_log_that_is_away_does_not_hide_a_missing_document(bench: Bench, away: dict[str, Any]) -> None:
    """The lists of documents and the file are there: they tell, whatever became of the activity log."""
    bench.world.faults.set(missing_document=True, **away)

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert check(record, "documents in the file").outcome is Outcome.FAILED
    assert check(record, OWN_LIST).outcome is Outcome.NOT_AVAILABLE


# -- what RSpace does without a switch


def _killed_before(bench: Bench, phase: str, *, on_status: Callable[[Status], None] = lambda _: None) -> None:
    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine("user"), between=between, on_status=on_status)


def test_the_progress_curve(bench: Bench) -> None:
    """Unknown while queued, growing, unknown again just before the end: never a reason to end or to give up."""
    bench.world.run_s = 200
    seen: list[Status] = []

    record = carry(bench.engine("group", poll_first_s=2.0, poll_longest_s=2.0), on_status=seen.append)

    curve = [(status.raw, status.progress) for status in seen]
    assert curve[0] == ("STARTING", None)
    running = [progress for raw, progress in curve if raw == "STARTED"]
    known = [progress for progress in running if progress is not None]
    assert known == sorted(known)
    assert 0 < known[0] < known[-1] < 1
    assert running[-1] is None
    assert curve[-1] == ("COMPLETED", 1)
    assert record.ended is Ended.VERIFIED


def test_a_hundred_percent_is_not_the_end(bench: Bench) -> None:
    """A small export says 100 % while it is still being packed: nothing is fetched before COMPLETED."""
    bench.world.run_s = 200
    number = next(d.id for d in bench.world.lab.documents_of(1) if not d.file_ids and not d.link_ids)
    seen: list[tuple[Status, int]] = []

    record = carry(
        bench.engine(f"selection:{number}", poll_first_s=2.0, poll_longest_s=2.0),
        on_status=lambda status: seen.append((status, bench.downloads())),
    )

    early = [status for status, _ in seen if status.raw == "STARTED" and status.progress == 1]
    assert early
    assert {status.state for status in early} == {State.RUNNING}
    assert {downloads for _, downloads in seen} == {0}
    assert record.ended is Ended.VERIFIED


def test_the_first_expiry_date_is_kept(bench: Bench) -> None:
    """Each later answer names a later date, and the file goes by the first one: that is what the catalog holds."""
    told: list[Status] = []
    _killed_before(bench, "download", on_status=told.append)
    job = bench.job()
    assert job is not None
    first = Status.from_json(job.status or {}).expires_at
    bench.world.advance(7200)
    _killed_before(bench, "download", on_status=told.append)

    job = bench.job()
    assert job is not None
    assert Status.from_json(job.status or {}).expires_at == first
    assert first is not None
    assert told[-1].expires_at == first + timedelta(hours=2)
    bench.again()
    assert bench.posts() == 1


@pytest.mark.parametrize(("hours", "there"), [(47, True), (49, False)])
def test_a_purge_by_the_clock(bench: Bench, hours: int, there: bool) -> None:
    """Forty-eight hours after its end the file is gone: *expired*, nothing is kept, the next run starts anew."""

    def between(comes: str) -> None:
        if comes == "download":
            bench.world.advance(hours * 3600)

    record = carry(bench.engine("user"), between=between)

    if there:
        assert (record.ended, bench.posts()) == (Ended.VERIFIED, 1)
        return
    bench.assert_end(record, Ended.EXPIRED, Exit.VENDOR, "RSpace has removed it")
    assert (bench.downloads(), bench.job()) == (0, None)
    bench.again()
    assert bench.posts() == 2


def test_a_purged_file_is_told_by_the_download_itself(bench: Bench) -> None:
    """RSpace says 500 for it, and a web page to who does not take JSON as well: we do, and it is *expired*."""
    bench.world.faults.set(lose_start_answer=True)  # adopted by its name: there is no job to ask first

    def between(comes: str) -> None:
        if comes == "download":
            bench.world.advance(49 * 3600)

    record = carry(bench.engine("user"), between=between)

    bench.assert_end(record, Ended.EXPIRED, Exit.VENDOR, "RSpace has removed it")
    assert bench.downloads() == 1
    url = f"{bench.server.url}/api/v1/export/{bench.world.jobs[24].zip_name}"
    headers = {"apiKey": bench.world.user("mrossi").api_key, "Accept": "application/octet-stream"}
    page = httpx.get(url, headers=headers)
    assert (page.status_code, page.headers["content-type"][:9]) == (500, "text/html")
    bench.again()


# -- nothing is forgotten

# Section 13 of the contract, in its order, and what tests each.
TOPICS: dict[str, tuple[str | Callable[..., None], ...]] = {
    "queue delay (STARTING)": ("queue_delay_s",),
    "planning delay before the 202": ("planning_delay_s",),
    "progress curve of section 2 incl. the -1.0 dip": (
        test_the_progress_curve, test_a_hundred_percent_is_not_the_end,
    ),
    "FAILED with exception text": ("job_fails",),
    "permanent 500": ("job_500", "s3_missing"),
    "zombie STARTED + 429": ("zombie",),
    "202 with FAILED": ("launch_failed",),
    "purge on a clock (null size, 500 download)": (
        "purge_at_once", test_a_purge_by_the_clock, test_a_purged_file_is_told_by_the_download_itself,
    ),
    "sliding expiryDate": (test_the_first_expiry_date_is_kept,),
    "truncated body with right Content-Length": ("truncate_after",),
    "wrong CRC": ("wrong_crc",),
    "silently missing document": ("missing_document", "empty_export"),
    "HTML error page for octet-stream Accept": ("html_page", test_a_purged_file_is_told_by_the_download_itself),
    "throttling on with real headers": ("throttling",),
    "foreign-host enclosure": ("foreign_enclosure",),
    "server.urls.prefix different from the request host": ("url_prefix",),
    "job history wipe (404)": ("history_wiped",),
    "unreadable id in a selection (500/50004)": ("unreadable_id",),
    "api user switch (401 everywhere)": ("user_off",),
}  # fmt: skip


def test_no_switch_is_without_a_run() -> None:
    """A switch that is new in the demo server must say here what becomes of a run."""
    assert set(chain.from_iterable(case.switches for case in CASES)) == set(SWITCHES)


def test_no_topic_of_the_contract_is_without_a_test() -> None:
    """Section 13 has nineteen; each has a switch that the table runs, or a test of its own."""
    assert len(TOPICS) == 19
    named = {name for tests in TOPICS.values() for name in tests if isinstance(name, str)}
    assert named <= set(SWITCHES)
    assert all(TOPICS.values())


def test_a_zombie_lets_nobody_else_export(bench: Bench) -> None:
    """The other half of the zombie: 429 for each other scope of the key, which says by which execution."""
    bench.world.faults.set(zombie=True)
    bench.run("user", ceiling_s=60.0)

    record = bench.run("group", ceiling_s=60.0)

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "an export of this user runs already: that of user, since")
    assert "close execution 24" in record.hint
    assert bench.answers_to_posts() == [202, 429]
    assert bench.world.jobs[24].outcome is jobs.Outcome.ZOMBIE
