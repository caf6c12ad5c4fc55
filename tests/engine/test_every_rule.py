"""The rules for a client of RSpace, by their numbers in section 12 of the contract (rspace.md): 1 to 4.

From the question to the download. What is kept of it: test_every_rule_kept.py, 5 to 8.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest

from flows import config, discovery
from flows.clock import SystemClock
from flows.demo import jobs
from flows.errors import Exit
from flows.export import Pace, Status
from flows.sources.base import Connection
from flows.sources.rspace import CAPABILITIES, RSpace
from flows.sources.rspace_job import status_of
from storage.errors import Busy
from storage.records import Ended
from tests.engine.bench import Bench, Killed, carry
from tests.engine.rules import Wire, answer, killed_before, ready, watched

QUARTER = timedelta(minutes=15)


def _export_from_elsewhere(bench: Bench) -> None:
    key = {"apiKey": bench.world.user("mrossi").api_key}
    assert httpx.post(f"{bench.server.url}/api/v1/export/html/user", headers=key).status_code == 202


# -- 1: persist intent before the POST, job id right after; long time-out; do not blindly ask again


def test_rule_1_the_intent_is_saved_before_the_post_and_the_job_id_right_after(bench: Bench) -> None:
    """What another process needs is in the catalog before each step, as that process would read it."""
    saved: dict[str, tuple[bool, object]] = {}

    def look(verb: str) -> None:
        job = bench.job()
        saved.setdefault(verb, (False, None) if job is None else (job.asked_at is not None, job.ref))

    carry(bench.engine("user", wrap=watched(look)))

    assert saved["prepare"] == (False, None)
    assert saved["start"] == (True, None)
    (asked, ref) = saved["poll"]
    assert asked
    assert isinstance(ref, dict)
    assert ref["handle"] == {"id": 23}


def test_rule_1_the_post_waits_a_quarter_of_an_hour_for_its_answer(bench: Bench) -> None:
    """RSpace plans the whole export inside it; other requests are given up after a minute."""
    wire = Wire(bench)

    carry(wire.engine("user"))

    assert {one.read_timeout_s for one in wire.of("POST export")} == {900}
    assert {one.read_timeout_s for one in wire.sent if one.method == "GET"} == {60}


def test_rule_1_a_lost_answer_is_looked_for_and_not_asked_for_again_at_once(bench: Bench) -> None:
    """The EXPORT event is looked for meanwhile; each further POST comes a quarter of an hour later."""
    bench.world.run_s = 3000
    bench.world.faults.set(lose_start_answer=True)
    wire = Wire(bench)

    record = carry(wire.engine("user"))

    assert (record.ended, sorted(bench.world.jobs)) == (Ended.VERIFIED, [23])
    posts = wire.of("POST export")
    assert bench.answers_to_posts() == [0, 429, 429, 429]
    assert all(QUARTER <= later.at - earlier.at < 2 * QUARTER for earlier, later in pairwise(posts))
    looked = [one.at for one in wire.of("GET activity") if posts[0].at <= one.at < posts[1].at]
    assert len(looked) > 10


def test_rule_1_nor_by_the_process_that_comes_after(bench: Bench) -> None:
    """Killed between the POST's work and its answer: the next run finds the export by its event."""
    bench.world.faults.set(lose_start_answer=True)

    def die() -> None:
        raise Killed

    bench.clock.at(bench.clock.now(), die)  # where it would first wait
    with pytest.raises(Killed):
        bench.run("user")

    record = bench.again()

    assert (bench.answers_to_posts(), record.ended) == ([0], Ended.VERIFIED)


# -- 2: one queue per API key; a 429 that is not ours is waited for, with a ceiling, and told


def test_rule_2_one_run_at_a_time_by_the_account_of_a_key(bench: Bench) -> None:
    """Two runs of one user do not meet, whatever scopes they are of; another user's does not wait."""
    first, second = bench.engine("user"), bench.engine("group", lease_wait_s=0.01)
    other = bench.engine("user", user="tokafor", lease_wait_s=0.01)
    for engine in (first, second, other):
        engine.begin(trigger="cli")
        engine.login()

    with first.lease():
        with pytest.raises(Busy, match="mrossi"), second.lease():
            pass
        with other.lease():
            pass


def test_rule_2_a_night_queues_by_key(bench: Bench) -> None:
    """Sources that name the same key share a queue, one after another; another key has its own."""
    table = '[[source]]\nname = "{}"\nsystem = "rspace"\nurl = "{}"\napi_key = {{ env = "{}" }}\n'
    scopes = '[[source.scope]]\nkind = "user"\n[[source.scope]]\nkind = "group"\n'
    path = bench.folder / "night.toml"
    named = [("a", "K"), ("b", "K"), ("c", "L")]
    path.write_text("".join(table.format(name, bench.server.url, key) + scopes for name, key in named))

    plan = discovery.plan_night(
        config.load(path), bench.archive, bench.catalog, None, since=None, clock=bench.clock, patient=False
    )

    queues = sorted([ask.source for ask in queue] for queue in plan.queues.values())
    assert queues == [["a", "a", "b", "b"], ["c", "c"]]


def test_rule_2_somebody_else_s_export_is_waited_for_and_then_told(bench: Bench) -> None:
    """Half an hour of asking again; then *busy*, and both causes: another program, or a zombie."""
    bench.world.faults.set(zombie=True, times=1)
    _export_from_elsewhere(bench)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "an export of this user runs already")
    assert "another program's, or a zombie" in record.hint
    assert timedelta(minutes=25) < record.ended_at - record.started_at < timedelta(minutes=31)
    assert sorted(bench.world.jobs) == [23]
    assert bench.job() is None


def test_rule_2_the_limit_on_requests_is_another_429(bench: Bench) -> None:
    """Told by its words alone: it is waited out as its header says, and is nobody's export."""
    bench.world.faults.set(throttling=True)
    headers = {"apiKey": bench.world.user("mrossi").api_key}
    with httpx.Client(base_url=bench.server.url, headers=headers) as client:
        codes = {client.get("/api/v1/status").status_code for _ in range(20)}

    record = bench.run("user")

    assert codes == {200, 429}
    assert record.ended is Ended.VERIFIED
    assert record.ended_at - record.started_at < timedelta(minutes=2)


# -- 3: the pace, the ceiling, the ends, errors that last; progress and expiry


def test_rule_3_questions_are_half_a_minute_to_a_minute_apart(bench: Bench) -> None:
    """Once an export takes minutes; sooner only at its beginning. The dice spread them."""
    pace = CAPABILITIES.pace
    long = [pace.gap(asked, jitter=jitter) for asked in range(6, 100) for jitter in (0, 0.5, 1)]
    assert [min(long), max(long)] == pytest.approx([36, 54])
    assert len({SystemClock().dice() for _ in range(100)}) > 10
    bench.world.run_s = 3600
    wire = Wire(bench)

    carry(wire.engine("user"))

    gaps = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(wire.of("GET jobs"))]
    assert all(30 <= gap <= 60 for gap in gaps[6:-1])  # the last one is the download's own
    assert sum(gaps[:6]) < 180
    assert len(gaps) < 90


def test_rule_3_there_is_an_end_to_waiting(bench: Bench) -> None:
    """Twelve hours, unless it is set: *lost*, remembered, and the administrator's part is in the hint."""
    bench.world.faults.set(zombie=True)

    record = bench.run("user", poll_longest_s=600.0)

    bench.assert_end(record, Ended.LOST, Exit.VENDOR, "says STARTED")
    assert timedelta(hours=12) < record.ended_at - record.started_at < timedelta(hours=12, minutes=15)
    assert Pace().ceiling_s == 12 * 3600
    assert bench.job() is not None


@pytest.mark.parametrize(
    ("word", "waits", "ready"),
    [("STARTING", True, False), ("STARTED", True, False), ("STOPPING", True, False), ("COMPLETED", False, True)]
    + [(word, False, False) for word in ("FAILED", "ABANDONED", "STOPPED", "UNKNOWN")],
)  # fmt: skip
def test_rule_3_each_word_is_an_end_or_is_none(word: str, waits: bool, ready: bool) -> None:
    """Five of Spring Batch's eight words end a job, and one of them well."""
    state = status_of(answer(status=word)).state

    assert (state.waits, state.ready) == (waits, ready)


def test_rule_3_errors_in_a_row_are_an_end_and_single_ones_are_not(bench: Bench) -> None:
    """Nine minutes of a job's own error, a good answer, nine minutes again: waited through. Eleven: failed."""
    bench.world.faults.set(job_500=True)
    start = bench.clock.now()

    def then(minutes: int, outcome: jobs.Outcome) -> None:
        at = start + timedelta(minutes=minutes)
        bench.clock.at(at, lambda: setattr(bench.world.jobs[23], "outcome", outcome))

    then(9, jobs.Outcome.ZOMBIE)  # it says STARTED
    then(11, jobs.Outcome.NO_RESULT)
    then(20, jobs.Outcome.COMPLETED)
    assert bench.run("user").ended is Ended.VERIFIED

    bench.world.advance(60)
    record = bench.run("user")

    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.VENDOR)
    assert timedelta(minutes=10) < record.ended_at - record.started_at < timedelta(minutes=12)


def test_rule_3_progress_is_shown_and_nothing_is_made_of_it(bench: Bench) -> None:
    """A large export that stands at the same figure for hours is waited for, to its good end."""
    bench.world.run_s = 11 * 3600
    seen: list[Status] = []

    record = carry(bench.engine("user", poll_longest_s=300.0), on_status=seen.append)

    figures = [status.progress for status in seen if status.raw == "STARTED"]
    still = max(figures.count(figure) for figure in set(figures))
    assert still * 300 > 2 * 3600
    assert record.ended is Ended.VERIFIED


@pytest.mark.parametrize(("hours", "posts"), [(19, 1), (21, 2)])
def test_rule_3_a_finished_export_is_not_used_near_its_purge(bench: Bench, hours: int, posts: int) -> None:
    """At the earliest it goes a day after its end: twenty hours after the question it is not used."""
    killed_before(bench, "download")
    assert bench.settings().source("lab").fresh_for < timedelta(hours=24) - timedelta(hours=3)
    bench.world.advance(hours * 3600)

    bench.again()

    assert bench.posts() == posts


def test_rule_3_the_first_expiry_date_is_the_one_that_is_kept(bench: Bench) -> None:
    """RSpace names a later one with each answer; a status that is saved already stays."""
    killed_before(bench, "download")
    job = bench.job()
    assert job is not None
    first = Status.from_json(job.status or {})
    assert first.expires_at is not None

    later = replace(first, expires_at=first.expires_at + timedelta(hours=5))
    bench.catalog.jobs.save_status(job.id, later.to_json())

    assert bench.catalog.jobs.get(job.id).status == first.to_json()


# -- 4: the link afresh, another host, no credentials there, what is accepted


def test_rule_4_the_link_is_asked_for_anew_before_each_download(bench: Bench) -> None:
    """Three tries are three questions and three signatures."""
    bench.world.faults.set(foreign_enclosure=True)
    bench.world.faults.set(truncate_after=2000, times=2)
    wire = Wire(bench)

    record = carry(wire.engine("user"))

    assert record.ended is Ended.VERIFIED
    order = [one.what for one in wire.sent]
    downloads = [number for number, what in enumerate(order) if what == "GET file"]
    assert [order[number - 1] for number in downloads] == ["GET jobs"] * 3
    assert len({wire.sent[number].url.query for number in downloads}) == 3


@pytest.mark.parametrize("secret", ["api_key", "token"])
def test_rule_4_another_host_is_asked_without_credentials(bench: Bench, secret: str) -> None:
    """Neither key nor token goes to a bucket, whose signature they would spoil; RSpace itself gets them."""
    user = bench.world.user("mrossi")
    secrets = {"api_key": user.api_key, "token": bench.world.issue_token("mrossi", user.password) or ""}
    bench.world.faults.set(foreign_enclosure=True)
    wire = Wire(bench)
    source = wire.listen(RSpace(Connection(bench.server.url, {secret: secrets[secret]}), sleep=bench.clock.sleep))
    bench.open_sources.append(source)

    ref, status = ready(bench, source)
    with source.open(ref, status.files[0]) as download:
        data = b"".join(download.chunks)

    assert data == bench.served(23)
    name = "apikey" if secret == "api_key" else "authorization"
    sent = {"apikey", "authorization"}
    for one in wire.sent:
        there = f"{one.url.scheme}://{one.url.netloc.decode()}" == bench.server.foreign_url
        assert sent & set(one.headers) == (set() if there else {name})
        assert there == (one.what == "GET file")
        assert secrets[secret] not in str(one.url)


def test_rule_4_a_download_takes_the_file_and_errors_as_json(bench: Bench) -> None:
    """With octet-stream alone, RSpace could not say what is wrong; no byte is to be packed on its way."""
    wire = Wire(bench)

    carry(wire.engine("user"))

    (file,) = wire.of("GET file")
    assert file.headers["accept"] == "application/octet-stream, application/json;q=0.9"
    assert file.headers["accept-encoding"] == "identity"
    assert "range" not in file.headers
