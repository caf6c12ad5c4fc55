"""A server that lies, floods or lures: nothing leaks, hangs or is kept on its word; messages stay short."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.demo.message import Request, Response
from flows.demo.server import _Connection
from flows.errors import Exit
from storage.records import Ended, RunRecord
from tests.engine.bench import Bench, by_name

STATUS, WHOAMI, START, JOB, FILE = "/status", "/whoami", "/export/xml/user", "/jobs/", ".zip"
Lie = Callable[[Response], Response]


@pytest.fixture(autouse=True)
def quiet(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot send all of its lie says nothing about it."""
    for listener in (bench.server._main, bench.server._bucket):
        monkeypatch.setattr(listener, "handle_error", lambda *_: None)


def _lie(bench: Bench, patch: pytest.MonkeyPatch, where: str, lie: Lie) -> None:
    honest = bench.server._rspace.handle

    def handle(request: Request) -> Response:
        answer = honest(request)
        return lie(answer) if where in request.path else answer

    patch.setattr(bench.server._rspace, "handle", handle)


def _judged(bench: Bench, record: RunRecord) -> None:
    """Whatever was said: a known end, a short sentence, and what is verified is what the server made."""
    assert record.exit_code != Exit.UNEXPECTED
    assert len(record.reason) < 700
    assert record.reason.isprintable()
    bench.recorded(record)
    if record.ended is Ended.VERIFIED:
        assert bench.content(bench.snapshots()[0]) == bench.served(23)
    else:
        assert (record.ended.kept, bench.snapshots()) == (False, [])
        assert record.hint


WRONG: dict[str, Any] = {
    "null": None,
    "negative": -1,
    "true": True,
    "long": "y" * 5000,
    "list": [],
    "object": {"a": 1},
    "escape": "\x1b[31m\u0000",
}
FIELDS = [
    (STATUS, ("rspaceVersion",)),
    (WHOAMI, ("username",)),
    (START, ("id",)),
    (JOB, ("status",)),
    (JOB, ("percentComplete",)),
    (JOB, ("result",)),
    (JOB, ("result", "size")),
    (JOB, ("result", "checksum")),
    (JOB, ("result", "algorithm")),
    (JOB, ("result", "expiryDate")),
    (JOB, ("_links",)),
    (JOB, ("_links", 0)),
    (JOB, ("_links", 0, "rel")),
    (JOB, ("_links", 0, "link")),
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("where", "path"), FIELDS, ids=str)
def test_a_wrong_type_in_any_field_is_an_answer_not_a_crash(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str, path: tuple[Any, ...], wrong: str
) -> None:
    """Each field of each answer that a run reads, with each kind of value that does not belong there."""

    def lie(answer: Response) -> Response:
        body = json.loads(answer.body)
        inner = body
        for key in path[:-1]:
            inner = inner[key] if inner[key] else None
            if inner is None:  # not in this answer yet
                return answer
        inner[path[-1]] = WRONG[wrong]
        answer.body = json.dumps(body).encode()
        return answer

    _lie(bench, monkeypatch, where, lie)

    _judged(bench, bench.run("user", ceiling_s=120.0))


BODIES: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a number": b"7",
    "not a number": b'{"status": NaN, "id": Infinity, "username": -Infinity}',
    "too many digits": b'{"id": ' + b"9" * 100_000 + b"}",
    "nested": b"[" * 200_000,
    "nested objects": b'{"a":' * 100_000,
    "no text": b'{"status": "\xff\xfe", "rspaceVersion": "\xc3"}',
    "a web page": b"<!doctype html><html><body>maintenance</body></html>",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("where", [STATUS, START, JOB])
def test_a_body_that_is_no_answer_is_told_as_such(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str, body: str
) -> None:
    """Not JSON, or JSON of no use: the run ends with a known error."""

    def lie(answer: Response) -> Response:
        answer.body = BODIES[body]
        return answer

    _lie(bench, monkeypatch, where, lie)

    record = bench.run("user")

    _judged(bench, record)
    if where == START:  # it may have been taken: the export is found by its event
        assert (record.ended, bench.posts()) == (Ended.VERIFIED, 1)
    else:
        assert "without a usable" in record.reason


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_answer_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """A hundred megabytes of JSON, plain or as a gzip bomb, are not read to their end."""
    body = b'{"rspaceVersion": "' + bytes(100 << 20)

    def lie(answer: Response) -> Response:
        answer.body = gzip.compress(body, 1) if packed else body
        answer.headers = {"Content-Encoding": "gzip"} if packed else {}
        return answer

    _lie(bench, monkeypatch, STATUS, lie)

    record = bench.run("user")

    _judged(bench, record)
    assert "an answer of more than" in record.reason


@pytest.mark.parametrize("header", ["X-Big", "Content-Encoding", "X-Rate-Limit-WaitTimeMillis"])
def test_a_huge_or_broken_header_is_no_crash(bench: Bench, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    """The connection counts as broken, or the header as absent."""
    value = {"X-Big": "a" * 300_000, "Content-Encoding": "gzip", "X-Rate-Limit-WaitTimeMillis": "9" * 400}[header]

    def lie(answer: Response) -> Response:
        answer.headers = {header: value}
        answer.status = 429 if header.startswith("X-Rate") else 200
        return answer

    _lie(bench, monkeypatch, STATUS, lie)

    _judged(bench, bench.run("user"))
    assert sum(bench.clock.slept) <= 3 * 3600


@pytest.mark.parametrize("where", [STATUS, START, JOB, FILE])
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_elsewhere_is_not_followed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str, status: int
) -> None:
    """Neither the key nor anything else goes to a host that an answer names in Location."""
    elsewhere = f"{bench.server.foreign_url}/rspace-exports/x.zip?X-Amz-Signature=1"
    _lie(bench, monkeypatch, where, lambda _: Response(status, b"", headers={"Location": elsewhere}))

    record = bench.run("user")

    _judged(bench, record)
    assert f"RSpace answers {status}" in record.reason
    assert bench.server.foreign_requests == []


def _link(bench: Bench, patch: pytest.MonkeyPatch, make: Callable[[str], str]) -> None:
    """Every enclosure link becomes what `make` makes of it."""

    def lie(answer: Response) -> Response:
        body = json.loads(answer.body)
        for link in body["_links"]:
            link["link"] = make(link["link"])
        answer.body = json.dumps(body).encode()
        return answer

    _lie(bench, patch, JOB, lie)


@pytest.mark.parametrize(
    "link",
    [
        "http://[", "http://127.0.0.1:99999/x.zip", "file:///etc/passwd", "ftp://127.0.0.1/x.zip",
        "javascript:x.zip", "", "..", "https://", "http:///x.zip",
        "x.zip\r\nHost: other", "http://127.0.0.1:1/x.zip", "\ud800.zip",
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_a_known_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """Whatever stands where the enclosure link should be."""
    _link(bench, monkeypatch, lambda _: link)

    _judged(bench, bench.run("user"))


@pytest.mark.parametrize(
    "form", ["{other}/x/{name}", "http://me@{host}/x/{name}", "{other}/api/v1/exports/{name}"]
)
def test_no_link_can_lure_the_key_to_another_host(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A full address elsewhere is asked for without our key."""
    keys: set[str | None] = set()
    elsewhere = bench.server._bucket.handle_value

    def watch(request: Request) -> Response:
        keys.add(request.headers.get("apikey"))
        return elsewhere(request)

    monkeypatch.setattr(bench.server._bucket, "handle_value", watch)
    other = bench.server.foreign_url
    host = other.removeprefix("http://")
    _link(bench, monkeypatch, lambda link: form.format(other=other, host=host, name=link.rpartition("/")[2]))

    _judged(bench, bench.run("user"))

    assert bench.server.foreign_requests
    assert keys == {None}


def test_a_link_that_makes_our_address_a_user_name_is_not_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is neither a path nor an address is never put together with our own address."""
    host = bench.server.foreign_url.removeprefix("http://")
    _link(bench, monkeypatch, lambda _: f"@{host}/x.zip")

    _judged(bench, bench.run("user"))

    assert bench.server.foreign_requests == []


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0999 00:00:00 +1400", "yesterday", "", "1"]
)
def test_a_date_that_cannot_be_is_no_date(bench: Bench, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    """The export's own date cannot be held against it then, and the check says so."""
    monkeypatch.setattr(_Connection, "date_time_string", lambda *_: date)

    record = bench.run("user")

    _judged(bench, record)
    assert (record.ended, by_name(record.checks)["export date"]) == (Ended.VERIFIED, "not available")


@pytest.mark.parametrize("where", [STATUS, START, JOB])
def test_an_error_that_repeats_the_key_is_cleaned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A message of a megabyte with the key, a file's name and escapes in it: short, clean, in record and log."""
    caplog.set_level(logging.INFO)
    key = bench.world.user("mrossi").api_key
    name = "RSpace-2026-11-16-02-30-xml-mrossi-ABCDEFGHIJKLMN.zip"
    said = {"message": f"no {key} \x1b]0;x\x07 {name} " * 20_000, "errors": [f"{name}: {key}"] * 500}
    _lie(bench, monkeypatch, where, lambda _: Response(401, json.dumps(said).encode()))
    if where != STATUS:
        _lie(bench, monkeypatch, STATUS, lambda answer: answer)

    record = bench.run("user")

    assert record.exit_code in (Exit.AUTHENTICATION, Exit.VENDOR)
    assert len(record.reason) < 700
    assert record.reason.isprintable()
    bench.recorded(record)
    told = record.reason + record.hint + caplog.text
    assert key not in told
    assert "ABCDEFGHIJ" not in told


def test_a_whole_night_puts_no_secret_anywhere(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good and bad runs at debug level: no key in log, catalog or archive, no whole file name in the log."""
    caplog.set_level(logging.DEBUG)
    bench.run("user")
    bench.world.faults.set(truncate_after=100, times=2)
    bench.run("group")
    bench.world.faults.set(wrong_crc=True)
    bench.run("user:html")
    bench.run("user", key="wrong" * 6)

    names = [job.zip_name for job in bench.world.jobs.values()]
    keys = [user.api_key for user in bench.world.lab.users.values()] + ["wrong" * 6]
    assert [secret for secret in [*names, *keys] if secret in caplog.text] == []
    for path in _files(bench.folder / "archive", bench.folder / "state"):
        data = path.read_bytes()
        assert [key for key in keys if key.encode() in data] == [], path


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]
