"""An activity log that lies, and lists that repeat secrets: what cannot be read proves nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from flows.demo.message import Request, Response, json_response
from flows.sources.rspace_complete import IN_EVENT, IN_FILE
from storage.records import Ended
from tests.engine.bench import Bench, by_name
from tests.engine.test_rspace_hostile_lists import DAY, WRONG, put


def _payloads(bench: Bench, change: Callable[[Any], Any]) -> None:
    def lie(_: Request, answer: Response) -> Response:
        body = json.loads(answer.body)
        for event in body["activities"]:
            event["payload"] = change(event["payload"])
        answer.body = json.dumps(body).encode()
        return answer

    bench.lie("/activity", lie)


@pytest.mark.parametrize("lost", [False, True])
def test_a_payload_may_be_json_in_a_text(bench: Bench, lost: bool) -> None:
    """It is read, and compared."""
    _payloads(bench, json.dumps)
    bench.world.faults.set(missing_document=lost)

    record = bench.run("user")

    assert by_name(record.checks)[IN_EVENT] == ("failed" if lost else "passed")
    assert record.ended is (Ended.QUARANTINED if lost else Ended.VERIFIED)


GARBAGE: dict[str, Any] = {
    "no json": "exported: all",
    "half json": '{"exported": [',
    "nested": "[" * 100_000,
    "a number": 5,
    "a list": [[]],
    "digits": '{"exported": [{"id": ' + "9" * 10_000 + "}]}",
    "infinite": '{"configuration": {}, "exportPath": {}, "exported": [{"id": Infinity}]}',
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_payload_that_cannot_be_read_is_no_event(bench: Bench, garbage: str) -> None:
    """Nor one whose list of records cannot be: RSpace's own list is *not available*."""
    _payloads(bench, lambda _: GARBAGE[garbage])

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert (by_name(record.checks)[IN_FILE], by_name(record.checks)[IN_EVENT]) == ("passed", "not available")


@pytest.mark.parametrize(
    "number", [None, True, 1.5, "x", "9" * 5000, [], {}, float("inf"), float("nan")], ids=repr
)
def test_an_event_with_a_number_that_is_none_is_no_event(bench: Bench, number: Any) -> None:
    """A list of which one line cannot be read does not say what is missing."""

    def change(payload: Any) -> Any:
        if isinstance(payload, dict) and payload.get("exported"):
            payload["exported"][0]["id"] = number
        return payload

    _payloads(bench, change)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert by_name(record.checks)[IN_EVENT] == "not available"


@pytest.mark.parametrize("payload", list(GARBAGE))
def test_a_lost_start_is_looked_for_in_a_log_of_garbage(bench: Bench, payload: str) -> None:
    """Nothing is found there: the question is asked once more when that is safe."""
    bench.world.faults.set(lose_start_answer=True, times=1)
    _payloads(bench, lambda _: GARBAGE[payload])

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert bench.answers_to_posts() == [0, 202]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_change_that_cannot_be_read_is_a_change(bench: Bench, wrong: str) -> None:
    """A night is not skipped because the line about a deletion is broken."""
    bench.table["skip_unchanged_days"] = 7
    assert bench.run("user").ended is Ended.VERIFIED
    bench.world.advance(DAY)
    bench.world.delete_document(bench.document_ids(1)[0])
    bench.world.advance(60)

    def lie(request: Request, answer: Response) -> Response:
        return put(answer, ("activities", 0), WRONG[wrong]) if "DELETE" in request.parameter("actions") else answer

    bench.lie("/activity", lie)

    assert bench.run("user").ended is not Ended.UNCHANGED


@pytest.mark.parametrize("field", ["timestamp", "action", "username", "payload", "domain"])
def test_a_change_with_any_broken_field_is_a_change(bench: Bench, field: str) -> None:
    """Above all one without a time."""
    bench.table["skip_unchanged_days"] = 7
    value: list[Any] = []

    def lie(request: Request, answer: Response) -> Response:
        if value and "DELETE" in request.parameter("actions"):
            return put(answer, ("activities", 0, field), value[0])
        return answer

    bench.lie("/activity", lie)
    assert bench.run("user").ended is Ended.VERIFIED
    for name, wrong in WRONG.items():
        value[:] = [wrong]
        bench.world.advance(DAY)
        bench.world.delete_document(bench.world.create_document("mrossi").id)
        bench.world.advance(60)

        assert bench.run("user").ended is Ended.VERIFIED, name


# -- secrets


@pytest.mark.parametrize(("where", "scope"), [("/documents", "user"), ("/activity", "user"), ("/groups", "group")])
def test_a_list_that_repeats_the_key_is_cleaned(
    bench: Bench, caplog: pytest.LogCaptureFixture, where: str, scope: str
) -> None:
    """Neither the reason of a check nor the log holds it."""
    caplog.set_level(logging.DEBUG)
    key = bench.world.user("mrossi").api_key
    bench.lie(where, lambda _request, _answer: json_response({"message": f"no list for {key}"}, 401))

    record = bench.run(scope)

    assert record.ended is Ended.VERIFIED
    bench.recorded(record)
    assert key not in f"{record}{caplog.text}"
    for folder in ("archive", "state"):
        for path in (bench.folder / folder).rglob("*"):
            assert not path.is_file() or key.encode() not in path.read_bytes(), path
