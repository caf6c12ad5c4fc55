"""What may block a scope for nights on end, and does not: busy servers, dead jobs, old notes, tokens, clocks."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.demo.message import Request, Response, json_response, web_page
from flows.errors import Exit
from storage.records import Ended, RunRecord
from tests.engine.bench import Bench, Killed, carry

DAY = timedelta(days=1).total_seconds()
MINUTE = 60.0
HOUR = 3600.0


def _killed_before(bench: Bench, phase: str, scope: str = "user", **given: Any) -> None:
    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine(scope, **given), between=between)


def _took(record: RunRecord) -> timedelta:
    return record.ended_at - record.started_at


# -- somebody else's export


def test_one_long_export_of_somebody_else_costs_one_night(bench: Bench) -> None:
    """Ten minutes are waited for, forty are not; the night after that waits again."""
    ends = []
    for minutes in (10, 40, 10, 10):
        bench.elsewhere(run_s=minutes * MINUTE)
        record = bench.run("user")
        ends.append((record.ended, record.exit_code))
        assert _took(record) >= timedelta(minutes=min(minutes, 28))
        bench.recorded(record)
        bench.world.advance(DAY)

    verified = (Ended.VERIFIED, Exit.DONE)
    assert ends == [verified, (Ended.FAILED, Exit.BUSY), verified, verified]


def test_within_one_night_only_the_first_scope_waits(bench: Bench) -> None:
    """The others are told at once that the same export is still there; the next night all of them are exported."""
    scopes = ("user", "user:html", "user:2", "group")
    bench.elsewhere("xml/user/3", run_s=40 * MINUTE)

    first, *others = [bench.run(scope) for scope in scopes]

    bench.assert_end(first, Ended.FAILED, Exit.BUSY, "runs already")
    assert timedelta(minutes=28) <= _took(first) <= timedelta(minutes=31)
    for record in others:
        bench.assert_end(record, Ended.FAILED, Exit.BUSY, "runs already")
        assert _took(record) < timedelta(minutes=1)
    bench.world.advance(DAY)
    assert [bench.run(scope).ended for scope in scopes] == [Ended.VERIFIED] * 4


# -- a job that says nothing


PAGES = {
    "500": lambda: web_page(500, "500 Internal Server Error"),
    "404": lambda: web_page(404, "HTTP Status 404 – Not Found"),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_job_that_answers_with_a_web_page_for_ever_is_given_up(bench: Bench, page: str) -> None:
    """After fresh_for and ceiling, which are 32 hours: the third night starts a new export, and is verified."""
    bench.lie("/jobs/23", lambda _request, _answer: PAGES[page]())

    ends = []
    for _ in range(3):
        record = bench.run("user")
        ends.append(record.ended)
        bench.recorded(record)
        if record.ended is not Ended.VERIFIED:
            assert bench.job() is not None
            assert bench.posts() == 1
            assert record.hint
        bench.world.advance(DAY)

    assert ends[2] is Ended.VERIFIED
    assert Ended.VERIFIED not in ends[:2]
    assert bench.answers_to_posts() == [202, 202]
    bench.again()


@pytest.mark.parametrize("page", PAGES)
def test_a_job_behind_a_web_page_that_goes_away_is_fetched(bench: Bench, page: str) -> None:
    """Within those hours nothing is given up: the next run fetches the export that is there."""
    world = bench.world
    until = bench.clock.now() + timedelta(hours=2)
    bench.lie("/jobs/23", lambda _request, answer: PAGES[page]() if world.now() < until else answer)

    first = bench.run("user")

    assert (first.ended, first.exit_code) == (Ended.FAILED, Exit.VENDOR)
    bench.world.advance(2 * HOUR)
    assert bench.again().exit_code == Exit.DONE
    assert bench.posts() == 1


def test_a_proxy_that_answers_in_json_is_waited_out(bench: Bench) -> None:
    """Twelve minutes of 503 in JSON are an outage, and not an error of the job's own."""
    bench.world.run_s = HOUR
    since = bench.clock.now()
    outage = (since + timedelta(minutes=5), since + timedelta(minutes=17))

    def away(_: Request, answer: Response) -> Response:
        if outage[0] <= bench.world.now() < outage[1]:
            return json_response({"message": "no healthy upstream"}, 503)
        return answer

    bench.lie("/jobs/", away)

    record = bench.run("user")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert (bench.answers_to_posts(), sorted(bench.world.jobs)) == ([202], [23])
    assert [seen for seen in bench.server.requests if seen[3] == 503] != []
    bench.assert_tidy(record)


# -- who is blamed


def _blamed_for_nothing(bench: Bench, record: RunRecord) -> None:
    """Busy by an export of which nobody knows whose it is; waited for as long as for any."""
    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "runs already")
    assert "since" not in record.reason
    assert "close execution" not in record.hint
    assert timedelta(minutes=28) <= _took(record) <= timedelta(minutes=31)


@pytest.mark.parametrize("phase", ["wait", "download", "keep", "finish"])
def test_a_finished_job_of_a_dead_run_is_not_blamed(bench: Bench, phase: str) -> None:
    """It is open here, and long over there: what blocks is somebody else's."""
    _killed_before(bench, phase)
    bench.world.advance(DAY)
    bench.elsewhere("xml/user/2", run_s=2 * HOUR)

    record = bench.run("user:html")

    _blamed_for_nothing(bench, record)


def test_a_closed_zombie_of_a_removed_scope_is_not_blamed(bench: Bench) -> None:
    """The administrator closed it weeks ago; here its job is still open, for no run goes on with it."""
    bench.world.faults.set(zombie=True)
    assert bench.run("user:html").ended is Ended.LOST
    bench.world.faults.reset()
    bench.world.close_zombies()
    bench.world.advance(30 * DAY)
    bench.elsewhere("xml/user/2", run_s=2 * HOUR)

    record = bench.run("user")

    _blamed_for_nothing(bench, record)


def test_a_zombie_that_is_there_is_blamed_by_its_number(bench: Bench) -> None:
    """At once, with what an administrator must do."""
    bench.world.faults.set(zombie=True)
    assert bench.run("user:html").ended is Ended.LOST
    bench.world.faults.reset()
    bench.world.advance(HOUR)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.BUSY, "that of user:html, since 2026-11-16 02:30 UTC")
    assert "close execution 23" in record.hint
    assert _took(record) < timedelta(minutes=1)


# -- notes of another version


def _rewrite(bench: Bench, column: str, change: Callable[[Any], Any]) -> None:
    """Change the JSON that the catalog holds of the open job."""
    with closing(sqlite3.connect(bench.folder / "state" / "catalog.db")) as catalog, catalog:
        select = f"select id, {column} from job where closed_at = ''"  # noqa: S608  # a column named here
        ((number, text),) = catalog.execute(select).fetchall()
        other = json.dumps(change(json.loads(text)))
        catalog.execute(f"update job set {column} = ? where id = ?", (other, number))  # noqa: S608


def _without(key: str) -> Callable[[Any], Any]:
    return lambda value: {name: inner for name, inner in value.items() if name != key}


def _with(**other: Any) -> Callable[[Any], Any]:
    return lambda value: {**value, **other}


OTHER_INTENTS: dict[str, Callable[[Any], Any]] = {
    "without notes": _without("notes"),
    "without omitted": _without("omitted"),
    "without a baseline": _without("baseline"),
    "another scope": lambda value: {**value, "scope": {**value["scope"], "since": "2.0"}},
    "a scope as text": _with(scope="user"),
    "no account": _with(account=None),
    "a time as a number": _with(prepared_at=1),
    "empty": lambda _: {},
    "a list": lambda value: [value],
}


@pytest.mark.parametrize("phase", ["wait", "keep"])
@pytest.mark.parametrize("shape", OTHER_INTENTS)
def test_an_intent_of_another_shape_is_closed(bench: Bench, shape: str, phase: str) -> None:
    """The run goes on with a new export, whatever the version before had got done."""
    _killed_before(bench, phase)
    _rewrite(bench, "intent", OTHER_INTENTS[shape])

    record = bench.again()

    assert bench.answers_to_posts()[-1] == 202
    assert bench.answers_to_posts().count(202) == 2
    assert [found.id for found in bench.snapshots()] == [record.snapshot]


@pytest.mark.parametrize("shape", ["baseline", "listed", "documents"])
def test_a_memory_of_another_shape_is_no_crash(bench: Bench, shape: str) -> None:
    """What the dialect noted before the question went out, of a kind that this version does not know."""
    other = {"baseline": ["x"], "listed": {"listed": ["x"]}, "documents": {"listed": {"documents": 5}}}[shape]
    _killed_before(bench, "download")
    _rewrite(bench, "intent", _with(baseline=other))

    bench.again()


@pytest.mark.parametrize("column", ["ref", "status"])
@pytest.mark.parametrize("shape", [{"other": 1}, [1], "x"], ids=str)
def test_a_handle_or_an_answer_of_another_shape_is_closed(bench: Bench, column: str, shape: Any) -> None:
    """As the intent."""
    _killed_before(bench, "download")
    _rewrite(bench, column, lambda _: shape)

    bench.again()

    assert bench.posts() == 2


def test_a_handle_with_another_word_for_the_number_is_closed(bench: Bench) -> None:
    """The outer shape is ours, the inner one the dialect's."""
    _killed_before(bench, "wait")
    bench.world.advance(MINUTE)
    _rewrite(bench, "ref", _with(handle={"execution": 23}))

    bench.again()


def test_another_scope_s_handle_of_another_shape_blocks_nobody(bench: Bench) -> None:
    """Who looks for a zombie among the open jobs passes over what he cannot read."""
    _killed_before(bench, "wait", "user:html")
    _rewrite(bench, "ref", lambda _: {"execution": 23})
    bench.world.advance(DAY)
    bench.elsewhere("xml/user/2", run_s=10 * MINUTE)

    record = bench.run("user")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")


# -- a token that runs out


def _token(bench: Bench) -> str:
    fresh = bench.world.issue_token("mrossi", "mrossi-demo")
    assert fresh is not None
    return fresh


def _files(bench: Bench) -> list[Path]:
    folders = (bench.folder / "archive", bench.folder / "state")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _told_nowhere(bench: Bench, record: RunRecord, secrets: list[str], log: str) -> None:
    """In no record, no snapshot, no catalog, no log."""
    bench.recorded(record)
    shown = f"{record}{log}{[found.manifest for found in bench.snapshots()]}"
    assert [secret for secret in secrets if secret in shown] == []
    for path in _files(bench):
        data = path.read_bytes()
        assert [secret for secret in secrets if secret.encode() in data] == [], path


@pytest.mark.parametrize("secret_by", ["file", "command"])
@pytest.mark.parametrize("phase", ["start", "wait", "download", "keep", "while it runs"])
def test_a_token_that_runs_out_is_read_again(
    bench: Bench, secret_by: str, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever keeps it fresh puts the next one where the first was: verified, with one POST."""
    caplog.set_level(logging.DEBUG)
    bench.secret_by = secret_by
    bench.world.run_s = 2 * HOUR
    tokens = [_token(bench)]

    def renew() -> None:
        bench.world.revoke_tokens()
        tokens.append(_token(bench))
        (bench.folder / "key-mrossi").write_text(tokens[-1])

    if phase == "while it runs":
        for minutes in (20, 61, 100):
            bench.clock.at(bench.clock.now() + timedelta(minutes=minutes), renew)
    engine = bench.engine("user", token=tokens[0])

    record = carry(engine, between=lambda comes: renew() if comes == phase else None)

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert (len(set(tokens)), bench.answers_to_posts()) == (4 if phase == "while it runs" else 2, [202])
    assert 401 in [seen[3] for seen in bench.server.requests]
    _told_nowhere(bench, record, tokens, caplog.text)


def test_a_fresh_token_that_an_error_repeats_is_told_nowhere(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The one that was read in the middle of the run is a secret as the first one was, also at the download."""
    caplog.set_level(logging.DEBUG)
    tokens = [_token(bench)]

    def renew(comes: str) -> None:
        if comes == "download":
            bench.world.revoke_tokens()
            tokens.append(_token(bench))
            (bench.folder / "key-mrossi").write_text(tokens[-1])
            said = {"message": f"no file for {tokens[-1]}", "errors": [tokens[-1]], "internalCode": 50001}
            bench.lie("/export/", lambda q, a: json_response(said, 500) if q.method == "GET" else a)

    record = carry(bench.engine("user", token=tokens[0]), between=renew)

    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.VENDOR)
    _told_nowhere(bench, record, tokens, caplog.text)


# -- a clock that was wrong


def test_a_clock_that_was_a_year_ahead_once_costs_no_backup(bench: Bench) -> None:
    """A snapshot of next year does not count, and proves nothing: exported at once when the clock is right."""
    _a_year_ahead_once(bench)

    assert bench.run("user").ended is Ended.VERIFIED

    bench.world.create_document("mrossi")
    bench.world.advance(DAY)
    assert bench.run("user").ended is Ended.VERIFIED


def test_after_a_clock_that_was_wrong_quiet_nights_are_skipped_again(bench: Bench) -> None:
    """The snapshot that was made with the right clock is the one to compare with."""
    _a_year_ahead_once(bench)
    assert bench.run("user").ended is Ended.VERIFIED
    bench.world.advance(DAY)

    assert bench.run("user").ended is Ended.UNCHANGED


def _a_year_ahead_once(bench: Bench) -> None:
    bench.table["skip_unchanged_days"] = 7
    bench.clock.ahead = timedelta(days=365)
    assert bench.run("user").ended is Ended.QUARANTINED
    bench.clock.ahead = timedelta()
    bench.world.advance(DAY)
