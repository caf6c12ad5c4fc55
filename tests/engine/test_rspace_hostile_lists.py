"""Lists and logs that lie: wrong types, no end, circles. No crash, no hang, no proof that was not earned."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.demo.message import Request, Response, json_response
from flows.errors import Exit
from flows.sources import rspace_records, rspace_wire
from flows.sources.rspace_complete import GALLERY, IN_EVENT, IN_FILE
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, by_name, check

DAY = 86_400.0
WRONG: dict[str, Any] = {
    "null": None,
    "negative": -1,
    "true": True,
    "huge": 10**30,
    "text": "y" * 5000,
    "list": [],
    "object": {"a": 1},
    "escape": "\x1b[31m\u0000",
}
# Where, a scope that asks there, by whom, and the fields.
LISTS: dict[str, tuple[str, str, list[tuple[Any, ...]]]] = {
    "/documents": ("user", "mrossi", [("totalHits",), ("documents",), ("documents", 0), ("documents", 0, "id")]),
    "/files": ("user", "mrossi", [("totalHits",), ("files",), ("files", 0), ("files", 0, "id")]),
    "/activity": ("user", "mrossi", [
        ("totalHits",), ("activities",), ("activities", 0), ("activities", 0, "timestamp"),
        ("activities", 0, "payload"), ("activities", 0, "payload", "exported"),
        ("activities", 0, "payload", "exported", 0), ("activities", 0, "payload", "exported", 0, "id"),
        ("activities", 0, "payload", "exportPath"), ("activities", 0, "payload", "exportPath", "name"),
        ("activities", 0, "payload", "configuration"),
        ("activities", 0, "payload", "configuration", "archiveType"),
    ]),
    "/groups": ("group", "mrossi", [
        (0,), (0, "id"), (0, "name"), (0, "members"), (0, "members", 0), (0, "members", 0, "username"),
        (0, "members", 0, "role"),
    ]),
    "/groups/search": (f"group:{GROUP}", "sysadmin1", [
        (0,), (0, "id"), (0, "name"), (0, "members"), (0, "members", 0, "username"),
    ]),
    "/sysadmin/users": ("user:2", "sysadmin1", [
        ("totalHits",), ("users",), ("users", 1), ("users", 1, "id"), ("users", 1, "username"),
        ("users", 1, "firstName"), ("users", 1, "homeFolderId"),
    ]),
    "/groupMembers": ("user:2", "mrossi", [
        (1,), (1, "id"), (1, "username"), (1, "lastName"), (1, "homeFolderId"),
    ]),
    "/folders/tree/": ("folder", "mrossi", [
        ("totalHits",), ("records",), ("records", 0), ("records", 0, "id"), ("records", 0, "type"),
    ]),
}  # fmt: skip
# rspace_wire.py drops rows that are no objects, instead of taking the list for unusable.
FIELDS = [(where, path) for where, (_, _, paths) in LISTS.items() for path in paths]


def put(answer: Response, path: tuple[Any, ...], value: Any) -> Response:
    """The answer with another value in one place; where that place is not there, as it is."""
    body = json.loads(answer.body)
    inner = body
    try:
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return answer
    answer.body = json.dumps(body).encode()
    return answer


def _wanted(bench: Bench, where: str) -> tuple[str, str, int]:
    """The scope that asks there, its user, and the document that the export is going to lack: the first listed."""
    scope, user, _ = LISTS[where]
    owner = 2 if scope == "user:2" else 1
    lost = bench.document_ids(owner)[0]
    if scope == "folder":
        bench.table["scope"] = [
            {"kind": "selection", "name": scope, "folder": bench.world.lab.documents[lost].parent_id}
        ]
    return scope, user, lost


def _judged(bench: Bench, record: RunRecord, said: str) -> None:
    """A known end, said in short, and nothing that was lost on the way is taken to be there."""
    assert record.exit_code != Exit.UNEXPECTED, (said, record.reason)
    assert len(record.reason) < 700
    assert record.reason.isprintable(), said
    bench.recorded(record)
    outcomes = by_name(record.checks)
    assert outcomes.get(IN_FILE) != "passed", said
    assert outcomes.get(IN_EVENT) != "passed", said
    for each in record.checks:
        assert len(each.reason) < 700, said
        assert f"{each.reason}{each.got}{each.promised}".isprintable(), said
    for found in bench.snapshots():
        assert all(note.isprintable() for note in found.manifest.draft.notes), said
    assert sum(bench.clock.slept) < 5 * 3600


def _params() -> list[Any]:
    return [pytest.param(*one, id=f"{one}") for one in FIELDS]


@pytest.mark.parametrize(("where", "path"), _params())
def test_a_wrong_type_in_any_field_proves_nothing(bench: Bench, where: str, path: tuple[Any, ...]) -> None:
    """An export lacks a document; whatever stands in a field of a list, it is not said to be complete."""
    scope, user, lost = _wanted(bench, where)
    bench.world.faults.set(missing_document=lost)
    value: list[Any] = [None]
    bench.lie(where, lambda _, answer: put(answer, path, value[0]))

    for name, wrong in WRONG.items():
        if path == ("records",) and wrong == []:
            continue  # a folder may be empty: that is no lie which can be told
        value[0] = wrong
        bench.clock.slept.clear()
        record = bench.run(scope, user=user, ceiling_s=600.0, patience_s=300.0)
        bench.world.advance(DAY)  # what was left open is too old then
        _judged(bench, record, name)


BODIES: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a number": b"7",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "not a number": b'{"totalHits": NaN, "documents": [{"id": Infinity}], "activities": [{"payload": -Infinity}]}',
    "too many digits": b'{"totalHits": ' + b"9" * 100_000 + b"}",
    "nested": b"[" * 200_000,
    "no text": b'{"documents": "\xff\xfe", "users": "\xc3"}',
    "a web page": b"<!doctype html><html><body>maintenance</body></html>",
}


@pytest.mark.parametrize("where", LISTS)
def test_a_body_that_is_no_list_proves_nothing(bench: Bench, where: str) -> None:
    """Not JSON, or JSON of no use."""
    scope, user, lost = _wanted(bench, where)
    bench.world.faults.set(missing_document=lost)
    body = [b""]

    def lie(_: Request, answer: Response) -> Response:
        answer.body = body[0]
        return answer

    bench.lie(where, lie)

    for name, wrong in BODIES.items():
        body[0] = wrong
        record = bench.run(scope, user=user, patience_s=300.0)
        bench.world.advance(DAY)
        _judged(bench, record, name)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_gallery_with_a_wrong_number_does_not_hide_the_documents(bench: Bench, wrong: str) -> None:
    """The documents' own proof stands."""
    bench.lie("/files", lambda _, answer: put(answer, ("files", 0, "id"), WRONG[wrong]))

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert (by_name(record.checks)[IN_FILE], by_name(record.checks)[GALLERY]) == ("passed", "not available")


# -- without end


def _endless(
    name: str, row: Callable[[int], dict[str, Any]], total: Any
) -> Callable[[Request, Response], Response]:
    """A full page whatever is asked for."""

    def page(request: Request, _: Response) -> Response:
        first = int(request.parameter("pageNumber", "0")) * 100
        rows = [row(first + number) for number in range(100)]
        return json_response({"totalHits": total, "pageNumber": first // 100, name: rows, "_links": []})

    return page


def _asked(bench: Bench, where: str) -> int:
    return sum(1 for seen in bench.server.requests if seen[1].endswith(where))


@pytest.mark.parametrize("total", [10**12, None, "many"])
@pytest.mark.parametrize(("where", "name"), [("/documents", "documents"), ("/files", "files")])
def test_a_list_that_repeats_itself_is_left(bench: Bench, where: str, name: str, total: Any) -> None:
    """After a thousand rows that are known already; the backup is made all the same."""
    bench.lie(where, _endless(name, lambda number: {"id": 1 + number % 100}, total))

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert _asked(bench, where) <= 2 * 13
    told = check(record, IN_FILE if name == "documents" else GALLERY)
    assert told.outcome is Outcome.NOT_AVAILABLE
    assert "repeats itself" in told.reason


@pytest.mark.parametrize("total", [10**12, None])
@pytest.mark.parametrize(
    ("where", "name", "row", "scope", "user"),
    [
        ("/documents", "documents", lambda n: {"id": 1 + n}, "user", "mrossi"),
        ("/activity", "activities", lambda n: {"action": "EXPORT", "payload": {"n": n}}, "user", "mrossi"),
        ("/sysadmin/users", "users", lambda n: {"id": 1000 + n, "username": f"u{n}"}, "user:2", "sysadmin1"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_list_that_does_not_end_is_left(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    name: str,
    row: Any,
    scope: str,
    user: str,
    total: Any,
) -> None:
    """At a number of rows that no list has."""
    monkeypatch.setattr(rspace_wire, "MAX_ROWS", 3000)
    bench.lie(where, _endless(name, row, total))

    record = bench.run(scope, user=user)

    assert record.ended is Ended.VERIFIED
    assert _asked(bench, where) <= 2 * 30
    told = check(record, IN_EVENT)
    assert told.outcome is Outcome.NOT_AVAILABLE
    assert "does not end" in told.reason


def test_a_total_that_is_too_high_is_read_to_the_empty_page(bench: Bench) -> None:
    """RSpace counts what it then filters out: the rows are what counts, and there are no more."""
    bench.lie("/documents", lambda _, answer: put(answer, ("totalHits",), 10**12))

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).promised.startswith("4 listed")
    assert _asked(bench, "/documents") == 2 * 2


@pytest.mark.parametrize("total", [0, -1, 50, True])
def test_a_total_that_is_too_low_does_not_end_a_list(bench: Bench, total: Any) -> None:
    """A full page is followed by another: the last document is on the second one, and is missing from the file."""
    for _ in range(100):
        bench.world.create_document("mrossi")
    lost = max(bench.document_ids(1))
    bench.world.faults.set(missing_document=lost)
    bench.lie("/documents", lambda _, answer: put(answer, ("totalHits",), total))

    record = bench.run("user")

    _judged(bench, record, str(total))


def test_a_search_that_does_not_end_asks_for_nothing(bench: Bench) -> None:
    """What it finds is not known."""
    bench.lie("/documents", _endless("documents", lambda number: {"id": 1 + number % 100}, 10**9))

    record = bench.run(bench.scope("selection", search={"tag": "paper"}))

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "repeats itself")
    assert bench.posts() == 0


# -- folders


def _folder_of(bench: Bench) -> int:
    document = bench.world.lab.documents_of(1)[0]
    return document.parent_id


def test_folders_that_turn_in_circles_are_walked_once(bench: Bench) -> None:
    """A folder that holds itself, and another that holds it."""
    top = _folder_of(bench)
    rows = [{"id": top, "type": "FOLDER"}, {"id": 99_999, "type": "NOTEBOOK"}]

    def circle(request: Request, answer: Response) -> Response:
        if request.path.endswith("/99999"):
            return json_response({"totalHits": 2, "records": rows})
        body = json.loads(answer.body)
        return json_response({"totalHits": body["totalHits"] + 2, "records": [*body["records"], *rows]})

    bench.lie("/folders/tree/", circle)

    record = bench.run(bench.scope("selection", folder=top))

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).outcome is Outcome.PASSED
    assert _asked(bench, "/99999") == 2


def test_a_tree_without_end_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder holds a new one: what is in it is not known, and the export is made."""
    monkeypatch.setattr(rspace_records, "MAX_FOLDERS", 200)
    numbers = iter(range(100_000, 200_000))

    def deeper(_: Request, __: Response) -> Response:
        return json_response({"totalHits": 1, "records": [{"id": next(numbers), "type": "FOLDER"}]})

    bench.lie("/folders/tree/", deeper)

    record = bench.run(bench.scope("selection", folder=_folder_of(bench), leave_out_unreadable=True))

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).outcome is Outcome.NOT_AVAILABLE
    assert "more than 200 folders" in check(record, IN_FILE).reason


def test_an_outage_of_the_tree_does_not_excuse_what_is_missing(bench: Bench) -> None:
    """A document is missing; whether by design cannot be asked for an hour: that is no proof of completeness."""
    bench.world.faults.set(missing_document=True, next_status=503, next_status_path="/api/v1/folders/tree")

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
