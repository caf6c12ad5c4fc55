"""Nights with WebAdMIT, through the engine: what is kept, what is adopted, and each end that is no success."""

from __future__ import annotations

import io
import logging
import zipfile
from dataclasses import replace

import pytest

from flows.errors import Exit
from storage.records import Ended, RunRecord
from tests.engine.admissions import CSV, EXPIRED, KEY, Asked, Office, Reply
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


# -- ends


@pytest.mark.parametrize(
    "reply",
    [Reply(200, EXPIRED), Reply(200, b"<html>sign in</html>"), Reply(403, EXPIRED), Reply(500), Reply(200, b"x")],
)
def test_a_bad_night_costs_no_good_one(office: Office, reply: Reply) -> None:
    """What was kept before stays as it is; the run is remembered where its file may still come."""
    good = office.run()
    office.kept = lambda _: reply
    bad = office.run()

    assert bad.ended in (Ended.FAILED, Ended.QUARANTINED)
    assert office.content(good) == {"Nightly.csv": CSV}
    office.kept = lambda _: None
    assert office.run().ended is Ended.VERIFIED
    assert len(office.posts()) == (2 if bad.ended is Ended.FAILED else 3)


def test_a_run_that_never_ends(office: Office) -> None:
    """There is a deadline, and the job is remembered: a later end is used."""
    office.script, office.table["ceiling_s"] = ["In Progress"], 7200
    record = office.run()

    ends(record, Ended.LOST, Exit.VENDOR, "In Progress")
    assert "run 100" in record.hint
    office.runs[100].words = ["Available"]
    assert office.run().ended is Ended.VERIFIED
    assert len(office.posts()) == 1


@pytest.mark.parametrize("word", ["Failed", "failed"])
def test_a_failed_run(office: Office, word: str) -> None:
    """It is an end, and the next night asks anew."""
    office.script = ["Queued", word]
    ends(office.run(), Ended.FAILED, Exit.VENDOR, "WebAdMIT gives no reason")

    office.script = ["Available"]
    assert office.run().ended is Ended.VERIFIED


@pytest.mark.parametrize("word", ["Empty List", "empty_list"])
def test_an_empty_list(office: Office, word: str) -> None:
    """Nothing is there: neither a failure, nor ever a backup."""
    office.script = ["Queued", word]
    ends(office.run(), Ended.EMPTY, Exit.PARTLY)


def test_success_with_errors(office: Office) -> None:
    """What there is, is kept; it does not count."""
    office.script = ["Success With Errors"]
    record = office.run()

    assert (record.ended, record.exit_code) == (Ended.PARTIAL, Exit.PARTLY)
    assert office.content(record) == {"Nightly.csv": CSV}


def test_success_with_errors_and_no_file(office: Office) -> None:
    """That is a failure."""
    office.begin("Success With Errors", link=False)
    office.lies["exports/7/export_files"] = lambda asked: (
        Reply.of(201, {"export_files": office._row(office.runs[100], "Queued", "export_files")})
        if asked.method == "POST"
        else None
    )
    office.lies["42/export_files"] = lambda _: Reply.of(200, {"export_files": []})
    ends(office.run(), Ended.FAILED, Exit.VENDOR, "there is no file")


def test_a_heading_and_no_row(office: Office) -> None:
    """After a night with rows it is not counted, whatever its status was."""
    office.run()
    office.files = [CSV[:17]]
    record = office.run()

    assert record.exit_code == Exit.QUARANTINED
    assert "0 records" in check(record, "level").got


def test_far_fewer_rows(office: Office) -> None:
    """Their number is watched from night to night, though the bytes stay much the same."""
    office.run()
    rows = b"".join(b'"%d","%s"\r\n' % (number, b"x" * 400) for number in range(20))
    office.files = [b'"CAS ID","Name"\r\n' + rows]
    record = office.run()

    assert record.exit_code == Exit.QUARANTINED
    assert "20 records" in check(record, "level").got


def test_an_unknown_status_ends_the_run(office: Office) -> None:
    """After a while, and neither as a success nor for ever; the job is remembered."""
    office.script = ["Polishing"]
    ends(office.run(), Ended.FAILED, Exit.VENDOR, "status 'Polishing' is not known")
    assert sum(office.clock.slept) < 3600

    office.runs[100].words = ["Available"]
    assert office.run().ended is Ended.VERIFIED
    assert len(office.posts()) == 1


def test_available_without_a_link(office: Office) -> None:
    """It is asked for again, and then an answer that nobody knows."""
    office.begin("Available", link=False)
    office.lies["exports/7/export_files"] = lambda asked: (
        Reply.of(201, {"export_files": office._row(office.runs[100], "Available", "export_files")})
        if asked.method == "POST"
        else None
    )
    office.lies["42/export_files"] = lambda _: Reply.of(200, {"export_files": []})
    ends(office.run(), Ended.FAILED, Exit.VENDOR, "has no link")

    office.runs[100].link = True
    assert office.run().ended is Ended.VERIFIED


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


def test_a_new_cycle(office: Office) -> None:
    """Identity and export have new numbers and stand in another order: the scope and its chain stay the same."""
    first = office.run()
    old = office.identities[0]
    office.identities = [{**old, "id": 4242, "cycle": "2026 - 2027"}, old]
    renumbered = [{**office.exports[1], "id": 7}, {**office.exports[0], "id": 777}]

    def new(asked: Asked) -> Reply:
        if asked.path.endswith("/exports"):
            return Reply.of(200, {"exports": renumbered})
        return office._api(replace(asked, path=asked.path.replace("4242", "42").replace("777", "7")))

    office.lies["/4242/"] = new
    record = office.run()

    assert record.ended is Ended.VERIFIED
    assert "/user_identities/4242/exports/777/export_files" in office.posts()[-1].path
    assert record.key == first.key
    assert "2026 - 2027" in "".join(office.snapshot(record).manifest.draft.notes)


def test_a_dead_key(office: Office) -> None:
    """A 401 has no body; it is asked once, and no more."""
    office.key = "f" * 32
    ends(office.run(), Ended.FAILED, Exit.AUTHENTICATION, "refuses the API key")
    assert len(office.api.seen) == 1


def test_a_key_that_is_renewed_in_the_night(office: Office) -> None:
    """The new one is read from its place, and the run goes on."""
    refused: list[str] = []

    def turned(asked: Asked) -> Reply | None:
        if asked.headers["x-api-key"] == KEY:
            return None
        refused.append(asked.path)
        (office.folder / "key").write_text(KEY)
        return Reply(401)

    office.lies["/"] = turned
    office.key = "e" * 32

    assert office.run().ended is Ended.VERIFIED
    assert len(refused) == 1


# -- somebody else's runs


def test_somebody_elses_run_is_waited_for(office: Office) -> None:
    """WebAdMIT gives it in the place of ours: it is not taken, and a fresh one is started once, after it."""
    office.begin("In Progress", "In Progress", "Available")
    record = office.run()

    assert record.ended is Ended.VERIFIED
    assert check(record, "asked for tonight").got == "run 101, which was not there before"
    assert office.snapshot(record).manifest.draft.job["adopted"] == "no"
    assert list(office.runs) == [100, 101]


def test_somebody_elses_run_is_adopted_where_that_is_wanted(office: Office) -> None:
    """Its snapshot says so."""
    office.begin("In Progress", "In Progress", "Available")
    record = office.run(scope='export = "Nightly"\nfresh = false')

    assert record.ended is Ended.VERIFIED
    assert "adopted" in check(record, "asked for tonight").reason
    assert office.snapshot(record).manifest.draft.job["adopted"] == "yes"
    assert list(office.runs) == [100]


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


# -- batches


def _zip(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{name}.pdf", b"%PDF-1.4 " + name.encode())
    return out.getvalue()


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_of_documents(office: Office, count: int) -> None:
    """Several ZIPs are one snapshot; their links come by a redirect, which the key does not follow."""
    office.script = ["in_progress", "available"]
    office.files = [_zip(f"applicant {number}") for number in range(count)]
    record = office.run(scope='pdf = "Documents"')

    assert record.ended is Ended.VERIFIED
    names = ["Documents.zip", *(f"Documents {number}.zip" for number in range(2, count + 1))]
    assert office.content(record) == dict(zip(names, office.files, strict=True))
    assert all("x-api-key" not in asked.headers for asked in office.store.seen)


def test_a_batch_with_errors(office: Office) -> None:
    """Files that are there are kept, and do not count; none at all is a failure."""
    office.script, office.files = ["success_with_errors"], [_zip("one")]
    assert office.run(scope='pdf = "Documents"').ended is Ended.PARTIAL

    office.files = []
    ends(office.run(scope='pdf = "Documents"'), Ended.FAILED, Exit.VENDOR, "no file")
