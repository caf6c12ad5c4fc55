"""WebAdMIT's answers: each error by what to do next, polling by one list, the roster, the key's allowance."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.errors import (
    ConfigError,
    RequestWrong,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    SourceUnexpected,
)
from flows.export import Account, Intent, JobRef, State
from flows.sources.base import Connection
from flows.sources.client import Answer
from flows.sources.webadmit import WebAdMIT
from flows.sources.webadmit_scopes import member, scope_from_table
from flows.sources.webadmit_wire import local, message, refusal
from tests.engine.admissions import KEY, Asked, Office, Reply

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def answer(status: int, body: Any = b"", **headers: str) -> Answer:
    """As the client gives it."""
    return Answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (answer(401), SourceRefused, "refuses the API key"),
        (answer(401, b"<html>"), SourceRefused, "refuses the API key"),
        (answer(403, {"message": "No"}), SourceRefused, "refuses what was asked: No"),
        (answer(404, {"message": "User identity '999' not found."}), SourceRefused, "identity '999' not found"),
        (answer(404, {"message": "Not Found"}), SourceRefused, "Not Found"),
        (answer(404, {"errors": {"schema": ["The property '#/' is wrong"]}}), SourceRefused, "'#/' is wrong"),
        (answer(404, b"<html>nginx</html>"), SourceUnexpected, "web page"),
        (answer(422, {"errors": {"schema": ["did not match '^https://'"]}}), RequestWrong, "did not match"),
        (answer(429), SourceUnavailable, "used up"),
        (answer(500), SourceUnavailable, "answers 500"),
        (answer(502, b"<html>"), SourceUnavailable, "answers 502"),
        (answer(301), SourceUnexpected, "answers 301"),
        (answer(200, b"<html>"), SourceUnexpected, "answers 200"),
    ],
)
def test_errors_by_what_to_do_next(given: Answer, kind: type[SourceError], said: str) -> None:
    """Fix the key, fix the scope, try again, or tell us; a body that is empty or a web page is borne."""
    found = refusal(given)

    assert type(found) is kind
    assert said in str(found)
    assert getattr(found, "hint", "")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b'{"message": 7}', b'{"errors": [1]}', b"\xff"])
def test_errors_of_another_shape_say_nothing(body: bytes) -> None:
    """None of them breaks us."""
    assert message(answer(422, body)) == ""


def test_a_refusal_is_one_short_line() -> None:
    """Whatever a server puts into it."""
    said = message(answer(422, {"message": "a\n\x1b[31mb" + "x" * 5000}))

    assert len(said) <= 400
    assert said.isprintable()


@pytest.mark.parametrize("url", ["http://api.webadmit.org", "http://10.0.0.1", "http://127.0.0.1.example.org"])
def test_https_alone(url: str) -> None:
    """The key is never sent where it could be read on the way; but to this machine itself."""
    with pytest.raises(ConfigError, match="https"):
        WebAdMIT(Connection(url, {"api_key": KEY}))
    assert not local(url)
    assert local("http://127.0.0.1:8080")
    assert local("http://localhost")


def test_a_key_that_is_repeated(office: Office) -> None:
    """A server that puts it into an error does not bring it into ours."""
    office.lies["/"] = lambda asked: Reply.of(404, {"message": f"no {asked.headers['x-api-key']}"})

    with pytest.raises(SourceRefused, match=r"no \*\*\*"):
        office.source().login()


# -- who we are


def test_login(office: Office) -> None:
    """The identities are all that is told of who we are."""
    account = office.source().login()

    assert account == Account("identities 42", "API v1", office.clock.now())
    office.identities.clear()
    with pytest.raises(SourceRefused, match="no identity"):
        office.source().login()


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"user_identities": {}}', b'{"user_identities": [{"id": "7"}]}']
)
def test_another_server(office: Office, body: bytes) -> None:
    """What answers with something else is not taken for a key without identities."""
    office.lies["/"] = lambda _: Reply(200, body)

    with pytest.raises(SourceUnexpected):
        office.source().login()


def test_every_export(office: Office) -> None:
    """Those of an identity, by name; clipboards and names that no chain can have are left out, and it says so."""
    more = [{**office.exports[0], "id": 9 + place, "name": name} for place, name in enumerate(("A", "A: B", "Z"))]
    office.exports += more
    every = scope_from_table({"every": "export", "association": "SampleCAS"})
    found = office.source().roster(every)

    assert found.scopes == tuple(member(every, name) for name in ("A", "Nightly", "Z"))
    assert [word for word in ("'Clip'", "'A: B'") if word not in " ".join(found.notes)] == []


def test_what_a_look_tells(office: Office) -> None:
    """Which identity is meant, and a format of which nothing could be proven."""
    source, scope = office.source(), scope_from_table({"export": "Nightly"})
    account = Account("x", "", None)

    assert source.look(scope, account) == ("identity: SampleCAS, Sample University, Admissions User, 2025 - 2026",)
    office.exports[0]["format"] = "Parquet"
    assert "Parquet" in source.look(scope, account)[1]


# -- following


def ref(number: int, kind: str = "exports/7/export_files") -> JobRef:
    """A run's handle."""
    return JobRef({"identity": 42, "id": number, "href": f"/api/v1/{kind}/{number}"}, NOW)


def test_several_runs_by_one_list(office: Office) -> None:
    """What still waits is told by it; an end is asked for by itself, since the list has no link and no reason."""
    for word in ("Queued", "In Progress", "Failed", "Available"):
        office.begin(word)
    refs = [ref(number) for number in (100, 101, 102, 103)]
    office.lies["42/export_files"] = lambda _: Reply.of(  # in no order
        200, {"export_files": [office._row(office.runs[n], office.runs[n].words[0], "export_files")
                               for n in (102, 100, 103, 101)]}
    )  # fmt: skip
    found = office.source().poll(refs)

    states = [found[one.key].state for one in refs]
    assert states == [State.PENDING, State.RUNNING, State.FAILED, State.READY]
    asked = [one.path.rpartition("v1")[2] for one in office.api.seen]
    assert asked == [
        "/user_identities/42/export_files",
        "/exports/7/export_files/102",
        "/exports/7/export_files/103",
    ]


def test_a_list_that_forgot_a_run(office: Office) -> None:
    """How far back it reaches is not known: what is not in it is asked for by itself."""
    for _ in range(2):
        office.begin("Available")
    office.lies["42/export_files"] = lambda _: Reply.of(200, {"export_files": []})
    found = office.source().poll([ref(100), ref(101)])

    assert {status.state for status in found.values()} == {State.READY}


def test_a_run_that_is_gone(office: Office) -> None:
    """It is lost, where WebAdMIT says so; a proxy's page says nothing of it."""
    source = office.source()

    assert source.poll([ref(100)])[ref(100).key].state is State.LOST
    office.lies["export_files/100"] = lambda _: Reply(404, b"<html>")
    with pytest.raises(SourceUnavailable):
        source.poll([ref(100)])


def intent(*recent: int, **options: Any) -> Intent:
    """A question that was prepared when these runs were there."""
    scope = scope_from_table({"export": "Nightly", **options})
    resolved = {**scope.options, "identity": 42, "template": 7, "format": "csv", "media_type": "text/csv"}
    found = type(scope)(scope.name, scope.kind, scope.id, resolved)
    return Intent(found, Account("identities 42", "API v1", None), NOW, {"recent": list(recent)})


def test_the_baseline_is_what_everybody_ran(office: Office) -> None:
    """It is saved with the question, as numbers, and read again by another process."""
    office.begin("Failed")
    office.begin("Available", export=8)
    source = office.source()
    scope = source.discover(scope_from_table({"export": "Nightly"}))
    made = source.prepare(scope, Account("identities 42", "API v1", NOW), now=NOW)

    assert made.baseline == {"recent": [100, 101]}
    assert Intent.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert "42" not in made.scope.name


def test_what_a_lost_question_started(office: Office) -> None:
    """A new run of this very export that has not failed; the newest of several, and none of those before."""

    def recover() -> JobRef | None:
        return office.source().recover(intent(100), asked_at=NOW, ours=lambda _: False)

    office.begin("Available")
    assert recover() is None
    office.begin("Available", export=8)
    office.begin("Failed")
    assert recover() is None
    office.begin("Available")
    office.begin("Polishing")
    found = recover()
    assert found is not None
    assert (found.handle["id"], found.adopted) == (104, "unknown")


def test_a_question_is_sent_as_documented(office: Office) -> None:
    """A run without a body; a batch in its wrapper. No callback is asked for."""
    office.run()
    office.script = ["available"]
    office.run(scope='pdf = "Documents"')

    run, batch = office.posts()
    assert run.body == b""
    assert json.loads(batch.body) == {"pdf_manager_batch": {"pdf_manager_template_id": 7}}


def test_the_budget_is_kept(office: Office) -> None:
    """What answers say is left makes us slow, at every step but between a link and its use."""
    office.lies["/user_identities"] = _scarce(office)
    office.script = ["Available"]
    office.run()

    assert office.clock.slept.count(30) >= 4
    assert len(office.store.seen) == 1


def _scarce(office: Office) -> Any:
    def told(asked: Asked) -> Reply:
        office.lies.pop("/user_identities")
        reply = office._api(asked)
        office.lies["/user_identities"] = told
        scarce = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "12"}
        return Reply(reply.status, reply.body, {**reply.headers, **scarce})

    return told
