"""The answer to the POST is lost: what may be taken for that export, what may not, and when it is asked again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from flows.demo.message import Request, Response, json_response
from flows.demo.throttle import TOO_MANY
from flows.errors import Exit
from flows.sources.base import Source
from flows.sources.rspace_complete import IN_EVENT, IN_FILE
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, Killed, carry, check

GRACE = timedelta(minutes=15)  # start_timeout_s
HOUR = 3600.0


class DyingAtThePost:
    """A source whose process dies before its question leaves the house."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        if name != "start":
            return getattr(self._source, name)

        def start(*given: Any, **named: Any) -> None:
            raise Killed

        return start


def _killed_at_the_post(bench: Bench, scope: str) -> None:
    with pytest.raises(Killed):
        carry(bench.engine(scope, wrap=lambda source: cast(Source, DyingAtThePost(source))))
    bench.world.advance(60)


def _members(bench: Bench, record: RunRecord) -> list[str]:
    file = bench.content(bench.archive.find(record.snapshot))
    return zipfile.ZipFile(io.BytesIO(file)).namelist()


def _adopted(bench: Bench, record: RunRecord) -> Any:
    return bench.archive.find(record.snapshot).manifest.draft.job["adopted"]


def _lost(bench: Bench, run_s: float = 30) -> list[datetime]:
    """From now on the answer to each POST is lost a quarter of an hour after it came; when it came.

    Exports after the first run for `run_s`.
    """
    came: list[datetime] = []

    def cut(request: Request, answer: Response) -> Response:
        if request.method == "POST" and answer.status == 202:
            came.append(bench.world.now())
            bench.world.advance(GRACE.total_seconds())
            bench.world.run_s = run_s
            answer.drop = True
        return answer

    bench.lie("/export/xml/user", cut)
    return came


# -- what is taken for it


def _full_and_plain(bench: Bench) -> None:
    """A scope with all revisions, and one of the same kind and format without."""
    bench.table["scope"] = [
        {"kind": "user", "name": "full", "revisions": True},
        {"kind": "user", "name": "plain"},
    ]
    bench.world.pass_nights(3)


def test_the_file_of_another_scope_is_not_taken(bench: Bench) -> None:
    """What a scope without revisions keeps meanwhile is its own: the one with revisions is asked for again."""
    _full_and_plain(bench)
    _killed_at_the_post(bench, "full")
    plain = bench.run("plain")
    assert bench.posts() == 1
    bench.world.advance(60)

    record = bench.run("full")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert bench.answers_to_posts() == [202, 202]
    assert _adopted(bench, record) == "no"
    documents = [name for name in _members(bench, record) if "/doc_" in name]
    assert documents
    assert [name for name in documents if "-rev" not in name] == []
    assert [name for name in _members(bench, plain) if "-rev" in name] == []
    assert check(record, "revisions").outcome is Outcome.PASSED
    bench.recorded(record)
    bench.assert_tidy(record)


def test_a_file_without_revisions_is_no_file_with_revisions(bench: Bench) -> None:
    """An export from the web page is found by its event, which tells nothing of revisions: its file does."""
    _full_and_plain(bench)
    _killed_at_the_post(bench, "full")
    bench.elsewhere("xml/user")
    bench.world.advance(60)

    record = bench.run("full")

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert bench.posts() == 0
    told = check(record, "revisions")
    assert (told.outcome, told.promised) == (Outcome.FAILED, "all")
    assert told.got.startswith("0 of ")
    assert "revisions" in record.reason
    bench.recorded(record)
    assert bench.run("full").ended is Ended.VERIFIED  # asked for by itself


def test_the_user_s_own_export_of_the_same_is_taken(bench: Bench) -> None:
    """Whoever started it, it holds what the question would have given."""
    _killed_at_the_post(bench, "user")
    bench.elsewhere("xml/user")
    bench.world.advance(60)

    record = bench.run("user")

    assert (record.ended, bench.posts(), _adopted(bench, record)) == (Ended.VERIFIED, 0, "unknown")


def test_an_export_that_a_link_leads_into_is_not_taken(bench: Bench) -> None:
    """One record of this scope is in somebody else's export because a document there links to it."""
    lab = bench.world.lab
    mine, theirs = lab.documents_of(1)[0], lab.documents_of(2)[0]
    lab.documents[mine.id] = replace(mine, link_ids=(theirs.id,))
    _killed_at_the_post(bench, "user:2")
    bench.elsewhere("xml/user", maxLinkLevel="1")
    bench.world.advance(60)
    (event,) = [event for event in bench.world.events() if event.action == "EXPORT"]
    assert theirs.id in [row["id"] for row in event.payload["exported"]]

    record = bench.run("user:2")

    assert (record.ended, record.reason, _adopted(bench, record)) == (Ended.VERIFIED, "", "no")
    assert bench.answers_to_posts() == [202]
    assert set(bench.document_ids(2)) <= bench.held(record)


def test_an_export_that_a_link_leads_into_is_not_taken_for_a_scope_of_one_record(bench: Bench) -> None:
    """All that there is of this scope is in somebody else's export because a document there links to it."""
    newcomer = bench.world.add_user("Olga One", group_id=GROUP)
    theirs = bench.world.create_document(newcomer.username)
    lab = bench.world.lab
    mine = lab.documents_of(1)[0]
    lab.documents[mine.id] = replace(mine, link_ids=(theirs.id,))
    bench.world.advance(60)
    _killed_at_the_post(bench, f"user:{newcomer.id}")
    bench.elsewhere("xml/user", maxLinkLevel="1")
    bench.world.advance(60)

    record = bench.run(f"user:{newcomer.id}")

    assert (record.ended, _adopted(bench, record)) == (Ended.VERIFIED, "no")


def test_where_nothing_could_be_listed_nothing_is_taken(bench: Bench) -> None:
    """No event can be told to be of this scope: it is asked for again, once a plan has had its time."""
    bench.lie("/documents", lambda _request, _answer: json_response({"message": "not for you"}, 403))
    bench.world.faults.set(lose_start_answer=True, times=1)

    record = bench.run("user")

    assert (record.ended, _adopted(bench, record)) == (Ended.VERIFIED, "no")
    assert bench.answers_to_posts() == [0, 202]
    assert record.ended_at - record.started_at >= GRACE
    for name in (IN_FILE, IN_EVENT):
        assert check(record, name).outcome is Outcome.NOT_AVAILABLE
    bench.recorded(record)


# -- when it is asked again


def test_the_second_question_waits_from_the_loss_on(bench: Bench) -> None:
    """The POST itself took a quarter of an hour: the next one follows as long after that, not at once."""
    bench.world.faults.set(job_fails="java.io.IOException", times=1)
    came = _lost(bench)

    carry(bench.engine("user"))

    first, second = came
    assert GRACE <= second - (first + GRACE) < GRACE + timedelta(minutes=2)


def test_two_lost_answers_end_the_run_and_the_next_finds_the_export(bench: Bench) -> None:
    """Two POSTs, no third; the job stays open, and its export is found by its event without another POST."""
    bench.world.faults.set(job_fails="java.io.IOException", times=1)
    came = _lost(bench, run_s=2 * HOUR)

    record = bench.run("user")

    bench.assert_end(record, Ended.LOST, Exit.VENDOR, "the answer to the question was lost", "lost once more")
    assert len(came) == 2
    assert bench.answers_to_posts() == [0, 0]
    assert bench.job() is not None
    assert record.ended_at < came[1] + 2 * GRACE + timedelta(minutes=2)
    bench.world.advance(2 * HOUR)

    again = bench.run("user")

    assert (again.ended, again.reason, _adopted(bench, again)) == (Ended.VERIFIED, "", "unknown")
    assert bench.posts() == 2
    assert bench.held(again) >= set(bench.document_ids(1))
    bench.assert_tidy(again)


def test_a_gateway_that_swallows_every_answer_is_not_asked_for_ever(bench: Bench) -> None:
    """At most two POSTs in each run, night after night, and each run ends."""
    bench.lie("/export/xml/user", lambda _request, _answer: Response(504, b"<html>504</html>", "text/html"))
    bench.world.faults.set(job_fails="java.io.IOException")

    for _ in range(4):
        before = bench.posts()
        record = bench.run("user")
        bench.assert_end(record, Ended.LOST, Exit.VENDOR, "lost once more", "RSpace answers 504")
        assert 1 <= bench.posts() - before <= 2
        assert record.ended_at - record.started_at < timedelta(hours=1)
        assert bench.job() is not None
        bench.world.advance(24 * HOUR)

    bench.server._rspace = type(bench.server._rspace)(bench.world)  # the gateway is mended
    bench.again()


# -- what is no loss


def _in_german(request: Request, answer: Response) -> Response:
    """The busy answer as a server since 2.25 says it to a browser of that language."""
    if request.method == "POST" and answer.status == 429:
        body = json.loads(answer.body)
        body["message"] = "Es gibt bereits einen laufenden Auftrag"
        answer.body = json.dumps(body).encode()
    return answer


def test_busy_in_another_language_is_busy(bench: Bench) -> None:
    """The headers say that there is allowance left: so it is the other 429, and is waited for."""
    bench.lie("/export/xml/user", _in_german)
    bench.elsewhere(run_s=600)

    record = bench.run("user")

    assert (record.ended, record.reason, _adopted(bench, record)) == (Ended.VERIFIED, "", "no")
    assert bench.answers_to_posts()[-1] == 202
    assert set(bench.answers_to_posts()[:-1]) == {429}
    assert timedelta(minutes=9) < record.ended_at - record.started_at < timedelta(minutes=14)
    assert check(record, "crc32").outcome is Outcome.PASSED


def test_busy_in_another_language_for_too_long_ends_as_busy(bench: Bench) -> None:
    """Exit 11, with nothing left open."""
    bench.lie("/export/xml/user", _in_german)
    bench.elsewhere(run_s=3 * HOUR)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "an export of this user runs already")
    assert bench.job() is None


def _too_many(said: str, **headers: str) -> Response:
    body = {"status": "TOO_MANY_REQUESTS", "httpCode": 429, "internalCode": 42901, "message": said, "errors": [""]}
    answer = json_response(body, 429)
    answer.headers = {f"X-Rate-Limit-{name}": value for name, value in headers.items()}
    return answer


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: _too_many(TOO_MANY, Remaining="0.4000", WaitTimeMillis="14000.0"),
        lambda: _too_many("Zu viele Anfragen", Remaining="0.4000", WaitTimeMillis="14000.0"),
        lambda: _too_many(TOO_MANY),
        lambda: Response(429, b"<html>slow down</html>", "text/html"),
    ],
    ids=["rspace's", "in German", "without headers", "a proxy's page"],
)
def test_the_limit_on_requests_is_no_loss(bench: Bench, refusal: Callable[[], Response]) -> None:
    """Refused before anything is done: waited out, and asked for as if for the first time."""
    bench.instead("/export/xml/user", *(refusal() for _ in range(5)))

    record = bench.run("user")

    assert (record.ended, record.reason, _adopted(bench, record)) == (Ended.VERIFIED, "", "no")
    assert bench.answers_to_posts() == [429] * 5 + [202]
    assert record.ended_at - record.started_at < timedelta(minutes=4)
    assert check(record, "crc32").outcome is Outcome.PASSED
    bench.assert_tidy(record)


def test_an_hour_s_allowance_that_is_used_up_is_no_loss(bench: Bench) -> None:
    """The server's own limit, by the hour: the header of the quarter minute still has plenty."""
    bench.world.faults.set(throttling=True)

    once = [True]

    def drained(request: Request, answer: Response) -> Response:
        """After the last list before the POST, all of this hour's requests have been made."""
        while once:
            once.pop()
            for (_, period), bucket in bench.world.throttle._buckets.items():
                bucket.allowance = -2.0 if period == "-hour" else bucket.allowance
        return answer

    bench.lie("/files", drained)

    record = bench.run("user")

    assert (record.ended, record.reason, _adopted(bench, record)) == (Ended.VERIFIED, "", "no")
    *refused, last = bench.answers_to_posts()
    assert (set(refused), len(refused) <= 3, last) == ({429}, True, 202)
    assert record.ended_at - record.started_at < timedelta(minutes=4)
