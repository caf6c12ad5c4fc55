"""Nights with WebAdMIT, through the engine, as no switch of the demo makes them: see test_webadmit_switches.py."""

from __future__ import annotations

import logging

import pytest

from flows.errors import Exit
from storage.records import Ended, RunRecord
from tests.engine.admissions import CSV, KEY, Asked, Office, Reply
from tests.engine.bench import by_name, check


def ends(record: RunRecord, ended: Ended, code: Exit, *words: str) -> None:
    """Assert that a run ended so, kept nothing, and says why and what to try, and no secret."""
    assert (record.ended, record.exit_code, record.snapshot) == (ended, int(code), "")
    assert [word for word in words if word not in record.reason] == []
    assert record.hint
    for text in (record.reason, record.hint):
        assert KEY not in text
        assert "Signature=" not in text


def test_a_night(office: Office) -> None:
    """Found by name, started once, fetched as it is, its rows counted; what was proven stands in the snapshot."""
    record = office.run()
    found = office.snapshot(record)
    draft = found.manifest.draft

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert office.content(record) == {"Nightly.csv": CSV}
    assert draft.level is not None
    assert draft.level.records == 200
    assert by_name(draft.checks) == {
        "size": "not available", "crc32": "not available", "structure": "passed", "asked for tonight": "passed",
        "etag": "passed", "read back from the archive": "passed", "level": "not available",
    }  # fmt: skip
    assert "identity: SampleCAS, Sample University, Admissions User, 2025 - 2026" in draft.notes
    assert found.key.scope == "export:Nightly"
    assert len(office.posts()) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("words", [["available"], ["Queued", "IN PROGRESS", "in_progress", "Available"]])
def test_any_success_and_either_spelling(office: Office, status: int, words: list[str]) -> None:
    """A run that is done when it is asked for is fetched as any other."""
    office.post_status, office.script = status, words

    assert office.run().ended is Ended.VERIFIED


def test_the_key_stays_where_it_belongs(office: Office) -> None:
    """The store sees neither key nor cookie nor body, and the link as it was given, byte for byte."""
    office.lies["export_files/100"] = lambda _: None
    office.run()

    (asked,) = office.store.seen
    assert asked.path == f"/export_files/1_original.txt?Signature=secret%2Fnumber{office.links}&x=%22a.csv%22"
    assert set(asked.headers) == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert asked.headers["accept-encoding"] == "identity"
    assert all(asked.headers["x-api-key"] == KEY for asked in office.api.seen)
    assert all(asked.method in ("GET", "POST") for asked in office.api.seen)


def test_nothing_secret_is_written(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """No link, no signature, no key: not in the archive, the catalog, the log, or what a failed run leaves."""
    caplog.set_level(logging.DEBUG)
    office.kept = lambda _: Reply(403, b"<Error><Code>SignatureDoesNotMatch</Code><k>AKIAEXAMPLE</k></Error>")
    record = office.run()

    ends(record, Ended.FAILED, Exit.VENDOR, "the store answers 403 (SignatureDoesNotMatch)")
    files = [path for path in office.folder.rglob("*") if path.is_file() and path.name != "key"]
    held = caplog.text.encode() + b"".join(path.read_bytes() for path in files)
    for secret in (b"Signature=", b"secret%2Fnumber", KEY.encode(), office.store.url.encode(), b"AKIAEXAMPLE"):
        assert secret not in held


# -- rows


def test_far_fewer_rows(office: Office) -> None:
    """Their number is watched from night to night, though the bytes stay much the same."""
    office.run()
    rows = b"".join(b'"%d","%s"\r\n' % (number, b"x" * 400) for number in range(20))
    office.files = [b'"CAS ID","Name"\r\n' + rows]
    record = office.run()

    assert record.exit_code == Exit.QUARANTINED
    assert "20 records" in check(record, "level").got


# -- names


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ('export = "Weekly"', "Nightly"),
        ('export = "Clip"', "clipboard"),
        ('export = "Nightly"\nassociation = "Other"', "SampleCAS"),
        ('export = "Nightly"\ncycle = "2030 - 2031"', "2025 - 2026"),
        ('pdf = "Nightly"', "Documents"),
    ],
)
def test_what_is_not_there_is_an_alarm(office: Office, scope: str, words: str) -> None:
    """It names what is there, and nothing was asked for."""
    ends(office.run(scope=scope), Ended.FAILED, Exit.USAGE, words)
    assert office.posts() == []


# -- somebody else's runs


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b'{"export_files": []}', b'{"export_files": {"id": "x"}}']
)
@pytest.mark.parametrize("status", [201, 500, 502])
def test_a_lost_answer(office: Office, status: int, body: bytes) -> None:
    """The run that it started is found among the recent ones: no second is started."""
    office.begin("Available")  # of an earlier night

    def swallowed(asked: Asked) -> Reply | None:
        if asked.method != "POST":
            return None
        office.begin("In Progress", "Available")
        return Reply(status, body)

    office.lies["exports/7/export_files"] = swallowed
    record = office.run()

    assert record.ended is Ended.VERIFIED
    assert "found again" in check(record, "asked for tonight").got
    assert office.snapshot(record).manifest.draft.job["id"] == 101
    assert len(office.posts()) == 1


def test_a_lost_question(office: Office) -> None:
    """Nothing new is there: it is asked once more."""
    lost = [Reply(500)]
    office.lies["exports/7/export_files"] = lambda asked: lost.pop() if asked.method == "POST" and lost else None

    assert office.run().ended is Ended.VERIFIED
    assert len(office.posts()) == 2
    assert list(office.runs) == [100]


@pytest.mark.parametrize("refused", [Reply(429), Reply(403, headers={"X-RateLimit-Remaining": "0"})])
@pytest.mark.parametrize(
    "where", ["/user_identities", "42/exports", "exports/7/export_files", "7/export_files/100"]
)
def test_a_used_up_allowance(office: Office, refused: Reply, where: str) -> None:
    """It is waited for, as long as the answer asks for, at whatever step."""
    left = [refused]
    refused.headers["Retry-After"] = "600"
    office.lies[where] = lambda _: left.pop() if left else None

    assert office.run().ended is Ended.VERIFIED
    assert max(office.clock.slept) == 600
    assert list(office.runs) == [100]
