"""However RSpace refuses, fails or falls silent: a recorded result, and a next run that knows how to go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from flows.demo import jobs, rspace_export
from flows.errors import Exit
from flows.export import Status
from storage.records import Ended
from tests.engine.bench import OTHER_KEY, Bench, Killed, carry

pytestmark = pytest.mark.usefixtures("older")
LONG_NAME = "RSpace-2026-11-17-02-30-xml-mrossi-ABCDEFGHIJKLMN.zip"


def _later(bench: Bench, seconds: float, **faults: Any) -> None:
    """Set switches once so much time has passed; none: reset them all."""
    when = bench.clock.now() + timedelta(seconds=seconds)
    bench.clock.at(when, lambda: bench.world.faults.set(**faults) if faults else bench.world.faults.reset())


def test_a_failed_export_tells_rspace_s_reason(bench: Bench) -> None:
    """FAILED ends the run with the exception's text, file names shortened; the next run starts a new export."""
    bench.world.faults.set(job_fails=f"java.io.IOException: cannot write {LONG_NAME}")

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "lab/user: the export failed", "java.io.IOException")
    assert "ABCDEFG" not in record.reason
    bench.again()
    assert bench.posts() == 2


def test_an_export_that_could_not_be_queued_has_failed(bench: Bench) -> None:
    """A 202 that says FAILED already is a failure without a reason, not a success."""
    bench.world.faults.set(launch_failed=True)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "RSpace gives no reason")
    bench.again()


def test_a_job_that_answers_500_for_ever_has_failed(bench: Bench) -> None:
    """RSpace swallows some failures: after ten minutes of its own error the job is over, and says so."""
    bench.world.faults.set(job_500=True)
    begun = bench.clock.now()

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "has answered with an error since", "RSpace answers 500")
    assert timedelta(minutes=10) < bench.clock.now() - begun < timedelta(minutes=14)
    bench.again()
    assert bench.posts() == 2


def test_an_error_that_passes_is_no_end(bench: Bench) -> None:
    """Five minutes of RSpace's own error, then the file: verified, one POST."""
    bench.world.faults.set(job_500=True)
    recovered = bench.clock.now() + timedelta(minutes=5)
    bench.clock.at(recovered, lambda: setattr(bench.world.jobs[24], "outcome", jobs.Outcome.COMPLETED))

    record = bench.run("user")

    assert (record.ended, bench.posts()) == (Ended.VERIFIED, 1)


def test_a_zombie_ends_the_run_at_the_ceiling_and_is_remembered(bench: Bench) -> None:
    """The job stays open, no second export is asked for, and the hint names who can help."""
    bench.world.faults.set(zombie=True)

    first = bench.run("user", ceiling_s=3600.0)
    passed = bench.clock.now() - first.started_at
    second = bench.run("user", ceiling_s=3600.0)

    for record in (first, second):
        bench.assert_end(record, Ended.LOST, Exit.VENDOR, "STARTED", "1:00:00")
        assert "administrator" in record.hint
    assert timedelta(hours=1) < passed < timedelta(hours=1, minutes=2)
    assert second.ended_at == second.started_at
    bench.world.jobs[24].outcome = jobs.Outcome.COMPLETED
    bench.again()
    assert bench.posts() == 1


def test_a_zombie_blocks_other_scopes_of_its_user_and_they_say_why(bench: Bench) -> None:
    """The 429 for another scope is *busy*, at once, and names the execution that an administrator must close."""
    bench.world.faults.set(zombie=True)
    bench.run("user", ceiling_s=60.0)

    record = bench.run("group", ceiling_s=60.0)

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "an export of this user runs already")
    assert "that of user, since 2026-11-17 02:30 UTC" in record.reason
    assert "close execution 24" in record.hint
    assert record.ended_at == record.started_at
    assert bench.job("group") is None


def test_a_wrong_key_ends_before_anything_is_asked_for(bench: Bench) -> None:
    """401 at the probe: exit 12, no POST, no open job, and the key in no text."""
    record = bench.run("user", key=OTHER_KEY)

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses the key")
    assert bench.posts() == 0
    assert bench.job() is None
    bench.again()


def test_a_user_switched_off_while_waiting_keeps_the_job(bench: Bench) -> None:
    """The run ends with exit 12; once the user is on again the same export is used."""
    _later(bench, 10, user_off="mrossi")

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses the key")
    bench.again()
    assert bench.posts() == 1


def test_a_scope_that_this_user_may_not_export_is_a_refusal(bench: Bench) -> None:
    """RSpace says 401 for that too: the key is proven first, and the message is RSpace's."""
    record = bench.run("user:1", user="tokafor")

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses user:1", "Unauthorized attempt")
    assert bench.job("user:1") is None
    assert [seen[1:] for seen in bench.server.requests][-2:] == [
        ("/api/v1/export/xml/user/1", True, 401), ("/api/v1/status", True, 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("faults", "scope", "said", "hint"),
    [
        ({"no_disk_space": True}, "user", "Insufficient disk space", "disk is full"),
        ({"launch_refused": True}, "user", "couldn't launch export job", "error log"),
        ({}, "group:999", "Could not load entity", "error log"),
    ],
)
def test_an_export_that_rspace_will_not_start_closes_the_job(
    bench: Bench, faults: dict[str, Any], scope: str, said: str, hint: str
) -> None:
    """A 500 in RSpace's own form comes before the launch: nothing runs, nothing is waited for."""
    bench.world.faults.set(**faults)

    record = bench.run(scope)

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "RSpace did not start the export", said)
    assert hint in record.hint
    assert bench.job(scope) is None
    assert (bench.posts(), bench.clock.slept) == (1, [])


def test_a_user_who_never_logged_in_has_nothing_to_export(bench: Bench) -> None:
    """RSpace answers 500: for the user it is nobody's fault and nothing to keep."""
    bench.world.faults.set(no_home="tokafor")

    record = bench.run("user:2")

    bench.assert_end(record, Ended.EMPTY, Exit.PARTLY, "has not been initialised")
    assert "never logged in" in record.hint
    assert bench.job("user:2") is None


def test_a_record_that_may_not_be_read_is_named(bench: Bench) -> None:
    """RSpace refuses the whole selection with a 500; the id that it is about is named, with what to do."""
    ids = [document.id for document in bench.world.lab.documents_of(1)[:3]]
    bench.world.faults.set(unreadable_id=ids[1])
    scope = "selection:" + ",".join(map(str, ids))

    record = bench.run(scope)

    bench.assert_end(record, Ended.FAILED, Exit.USAGE, f"SD{ids[1]} may not be read")
    assert "leave_out_unreadable = true" in record.hint
    assert bench.job(scope) is None


def _export_from_elsewhere(bench: Bench) -> None:
    key = {"apiKey": bench.world.user("mrossi").api_key}
    assert httpx.post(f"{bench.server.url}/api/v1/export/html/user", headers=key).status_code == 202


def test_an_export_from_elsewhere_is_waited_for(bench: Bench) -> None:
    """The 429 of a running export is asked again until that has ended."""
    bench.world.run_s = 600
    _export_from_elsewhere(bench)
    bench.world.run_s = 0.2

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    first, *refused, last = bench.answers_to_posts()
    assert (first, set(refused), last) == (202, {429}, 202)
    assert 10 < len(refused) < 20


def test_an_export_from_elsewhere_that_does_not_end_makes_the_run_busy(bench: Bench) -> None:
    """After half an hour exit 11, with both causes in the hint; the next scope does not wait again."""
    bench.world.faults.set(zombie=True, times=1)
    _export_from_elsewhere(bench)

    first, second = bench.run("user"), bench.run("group")

    for record in (first, second):
        bench.assert_end(record, Ended.FAILED, Exit.BUSY, "runs already")
        assert "zombie" in record.hint
    assert timedelta(minutes=25) < first.ended_at - first.started_at < timedelta(minutes=31)
    assert second.ended_at == second.started_at
    assert bench.job("user") is bench.job("group") is None
    bench.world.advance(60)
    for job in bench.world.jobs.values():
        job.outcome = jobs.Outcome.COMPLETED
    bench.again()


def test_the_limit_on_requests_is_waited_out(bench: Bench) -> None:
    """A key that has spent its requests waits as long as the header says, and the run is verified."""
    bench.world.faults.set(throttling=True)
    headers = {"apiKey": bench.world.user("mrossi").api_key}
    with httpx.Client(base_url=bench.server.url, headers=headers) as client:
        spent = [client.get("/api/v1/status").status_code for _ in range(15)]

    record = bench.run("user")

    assert spent.count(429) == 1
    assert record.ended is Ended.VERIFIED
    assert sum(seen[3] == 429 for seen in bench.server.requests) > 1
    assert any(slept == pytest.approx(1, abs=0.1) for slept in bench.clock.slept)
    assert [status for status in bench.answers_to_posts() if status != 429] == [202]


def test_a_history_wiped_while_waiting_loses_the_job(bench: Bench) -> None:
    """404 for a job of ours is the end of it, told as lost; the next run starts anew."""
    _later(bench, 10, history_wiped=True, times=1)

    record = bench.run("user")

    bench.assert_end(record, Ended.LOST, Exit.VENDOR, "does not know this job any more")
    bench.again()
    assert bench.posts() == 2


def test_a_history_wiped_between_two_runs_starts_a_new_export_at_once(bench: Bench) -> None:
    """A resumed job that RSpace does not know is closed, and the same run asks anew."""

    def die(_: Status) -> None:
        raise Killed

    with pytest.raises(Killed):
        carry(bench.engine("user"), on_status=die)
    bench.world.faults.set(history_wiped=True, times=1)

    record = bench.run("user")

    assert (record.ended, bench.posts()) == (Ended.VERIFIED, 2)


def test_a_comma_locale_is_waited_through(bench: Bench) -> None:
    """Before 2.25 the poll of a running job may answer 422 until it ends: that is running, not wrong."""
    bench.world.faults.set(comma_locale=True)
    seen: list[str] = []

    record = carry(bench.engine("user"), on_status=lambda status: seen.append(status.raw))

    assert record.ended is Ended.VERIFIED
    assert "422" in seen


@pytest.mark.parametrize("away", [{"drop_request": 1}, {"next_status": 502}, {"next_status": 404}])
def test_a_server_away_for_a_quarter_of_an_hour_costs_nothing(bench: Bench, away: dict[str, Any]) -> None:
    """Cut connections, a proxy's pages or a container without RSpace while waiting: one POST, verified."""
    _later(bench, 10, **away)
    _later(bench, 910)

    record = bench.run("user")

    assert (record.ended, bench.posts()) == (Ended.VERIFIED, 1)
    assert record.ended_at - record.started_at > timedelta(minutes=15)


@pytest.mark.parametrize("away", [{"drop_request": 1}, {"next_status": 502}])
def test_a_server_away_for_longer_ends_the_run_and_keeps_the_job(bench: Bench, away: dict[str, Any]) -> None:
    """Patience ends after half an hour; the next run goes on with the same export."""
    _later(bench, 10, **away)

    record = bench.run("user")

    words = "the connection broke" if "drop_request" in away else "RSpace answers 502"
    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, words)
    assert timedelta(minutes=30) < record.ended_at - record.started_at < timedelta(minutes=35)
    bench.again()
    assert bench.posts() == 1


def test_one_bad_answer_at_the_probe_costs_nothing(bench: Bench) -> None:
    """A single 502 at the login is asked again."""
    bench.world.faults.set(next_status=502, times=2)

    record = bench.run("user")

    assert (record.ended, bench.posts()) == (Ended.VERIFIED, 1)


def test_no_server_at_all_is_said_in_a_sentence(bench: Bench) -> None:
    """A refused connection names the server and nothing else."""
    bench.server.close()

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "127.0.0.1", "no connection")


def _every_poll_says(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(jobs, "progress", lambda _job, _now: jobs.Progress(word, -1.0))


@pytest.mark.parametrize("word", ["STOPPED", "ABANDONED", "UNKNOWN"])
def test_an_operator_s_words_are_failures(bench: Bench, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Jobs stopped by hand end the run; the next one starts anew."""
    with monkeypatch.context() as patch:
        _every_poll_says(patch, word)
        record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "the export failed")
    bench.world.advance(60)
    bench.again()


def test_an_unknown_word_is_neither_done_nor_running(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends and says the word; the job is remembered, for a day."""
    with monkeypatch.context() as patch:
        _every_poll_says(patch, "PAUSED")
        record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "'PAUSED'")
    bench.again()
    assert bench.posts() == 1


def test_an_unknown_word_does_not_stop_the_nights_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that nobody can read is given up after a day, and the night asks for a new one."""
    with monkeypatch.context() as patch:
        _every_poll_says(patch, "PAUSED")
        bench.run("user")
        bench.world.pass_nights(1)
        record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "'PAUSED'")
    assert bench.posts() == 2
    bench.again()
    assert bench.posts() == 2


@pytest.mark.parametrize("checksum", ["abcde12345", "", "9999999999", -1, None, "١٢٣"])
def test_a_checksum_that_is_no_number_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, checksum: object
) -> None:
    """Nothing is fetched on a promise that cannot be checked."""
    honest = rspace_export._result
    with monkeypatch.context() as patch:
        patch.setattr(rspace_export, "_result", lambda w, j: {**honest(w, j), "checksum": checksum})
        record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "CRC32 was expected")
    assert bench.downloads() == 0
    bench.again()
    assert bench.posts() == 1
