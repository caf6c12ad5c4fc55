"""The short link of WebAdMIT: opened at once, asked for again, gone on with where that is safe, and never told."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from flows.errors import FileGone, SourceUnavailable, SourceUnexpected
from flows.export import ExportFile, JobRef
from flows.sources.client import Client
from flows.sources.webadmit import WebAdMIT
from flows.sources.webadmit_link import HOSTS, checked
from flows.sources.webadmit_rows import run_path, zip_paths
from storage.records import Ended
from storage.verify import Promise
from tests.engine.admissions import CSV, EXPIRED, Asked, Office, Reply

API = "https://api.webadmit.org"
S3 = "https://webadmit-production.s3.amazonaws.com/a?Signature=x"
FILE = ExportFile("Nightly.csv", Promise(), "text/csv")


def ref(number: int = 100, **handle: str) -> JobRef:
    """A run's handle."""
    path = f"/api/v1/exports/7/export_files/{number}"
    return JobRef({"identity": 42, "id": number, "href": path, **handle}, datetime(2026, 3, 1, tzinfo=UTC))


def fetch(source: WebAdMIT, *, offset: int = 0, validator: str = "") -> tuple[int, bytes]:
    """Where the answer begins, and its bytes."""
    with source.open(ref(), FILE, offset=offset, validator=validator) as download:
        return download.start, b"".join(download.chunks)


# -- which links


@pytest.mark.parametrize(
    "link", [S3, "https://s3.us-east-1.AmazonAWS.com:443/b/k?x=%22a b%22".replace(" ", "%20")]
)
def test_a_link_that_is_opened(link: str) -> None:
    """Below the hosts that are allowed, and as it was."""
    assert checked(link, base=API, hosts=HOSTS) == link


@pytest.mark.parametrize(
    "link",
    [
        None,
        7,
        "",
        "available",
        "/export_files/1",
        S3.replace("https", "http"),
        S3.replace("https", "file"),
        S3.replace("amazonaws.com", "amazonaws.com.example.org"),
        S3.replace("s3.amazonaws.com", "notamazonaws.com"),
        S3.replace("https://", "https://user:password@"),
        S3 + " b",
        S3 + "\r\nX-Injected: 1",
        S3 + "ü",
        "https://127.0.0.1/a",
        "https://[::1]/a",
        "http://127.0.0.1:8080/latest/meta-data",
    ],
)
def test_a_link_that_is_not(link: object) -> None:
    """Nothing is sent there, and the message does not repeat it."""
    with pytest.raises(SourceUnexpected) as raised:
        checked(link, base=API, hosts=HOSTS)

    assert "Signature" not in str(raised.value) + raised.value.hint


def test_another_store_can_be_named() -> None:
    """Where the vendor moves its files, the message says the key."""
    moved = "https://files.example.org/a"
    with pytest.raises(SourceUnexpected, match=r"files\.example\.org.*link_hosts"):
        checked(moved, base=API, hosts=HOSTS)

    assert checked(moved, base=API, hosts=("example.org",)) == moved


# -- opening


def test_an_expired_link(office: Office) -> None:
    """It is asked for anew, at once; where it has always expired already, that is said."""
    old = [Reply(403, EXPIRED), Reply(403, EXPIRED)]
    office.kept = lambda _: old.pop() if old else None
    office.begin("Available")
    source = office.source()

    assert fetch(source) == (0, CSV)
    assert len({asked.path for asked in office.store.seen}) == 3
    office.kept = lambda _: Reply(403, EXPIRED)
    with pytest.raises(SourceUnavailable, match="expired"):
        fetch(source)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, EXPIRED), "XML document in its place"),
        (Reply(200, b"<!DOCTYPE html><html>"), "HTML page in its place"),
        (Reply(302, headers={"Location": "http://127.0.0.1:9/"}), "elsewhere"),
        (Reply(400, b"<Error><Code>InvalidArgument</Code></Error>"), "InvalidArgument"),
        (Reply(503, b"<Error><Code>SlowDown</Code></Error>"), "SlowDown"),
        (Reply(500), "500"),
        (Reply(206, CSV, {"Content-Range": f"bytes 0-1/{len(CSV)}"}), "no part"),
    ],
)
def test_what_the_store_says_instead(office: Office, reply: Reply, said: str) -> None:
    """It is never data, whatever its status, and worth another try."""
    office.kept = lambda _: reply
    office.begin("Available")

    with pytest.raises(SourceUnavailable, match=said):
        fetch(office.source())


def test_a_file_that_is_gone(office: Office) -> None:
    """At the store, or with its run at WebAdMIT: a new run is needed."""
    office.begin("Available")
    source = office.source()
    office.kept = lambda _: Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
    with pytest.raises(FileGone, match="NoSuchKey"):
        fetch(source)
    office.runs.clear()
    with pytest.raises(FileGone):
        fetch(source)


def test_a_length_that_nobody_says(office: Office) -> None:
    """Nothing else tells whether a file came whole."""
    office.begin("Available")
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CSV), CSV)
    office.kept = lambda _: Reply(200, chunked, {"Content-Length": "", "Transfer-Encoding": "chunked"})

    with pytest.raises(SourceUnavailable, match="how many bytes"):
        fetch(office.source())


@pytest.mark.parametrize("location", ["", "http://evil.example.org/a", "/relative", "https://example.org/a"])
def test_a_redirect_to_elsewhere(office: Office, location: str) -> None:
    """A batch's file is fetched where a link may lead, and nowhere else."""
    zipped = ExportFile(
        "D.zip", Promise(), locator={"zip": "/api/v1/user_identities/42/pdf_manager_zip_files/1/download"}
    )
    office.lies["pdf_manager_zip_files"] = lambda _: Reply(302, headers={"Location": location})

    with pytest.raises(SourceUnexpected) as raised, office.source().open(ref(), zipped):
        pass
    assert "/a" not in str(raised.value)


def test_a_file_passes_in_pieces(office: Office) -> None:
    """However large it is, a piece of it is in memory."""
    office.files = [bytes(9 << 20)]
    office.begin("Available")
    with office.source().open(ref(), FILE) as download:
        sizes = [len(piece) for piece in download.chunks]

    assert sum(sizes) == 9 << 20
    assert max(sizes) <= 1 << 20


# -- going on


def test_the_rest_of_the_same_file(office: Office) -> None:
    """By a new link, with the store's own name for the file."""
    office.begin("Available")
    source = office.source()
    with source.open(ref(), FILE) as download:
        name, total = download.validator, download.total

    assert total == len(CSV)
    assert fetch(source, offset=1000, validator=name) == (1000, CSV[1000:])
    assert fetch(source, offset=len(CSV), validator=name) == (0, CSV)
    assert fetch(source, offset=1000, validator='"another"') == (0, CSV)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": f"bytes 1000-{len(CSV) - 1}/{len(CSV)}", "ETag": '"another"'},
        {"Content-Range": f"bytes 1000-{len(CSV) - 1}/{len(CSV)}"},
        {"Content-Range": "bytes 999-1000/1001", "ETag": '"known"'},
        {"Content-Range": "bytes 1000-/*", "ETag": '"known"'},
        {"ETag": '"known"'},
    ],
)
def test_a_rest_that_is_not_of_that_file(office: Office, headers: dict[str, str]) -> None:
    """It is not put behind what is there: the whole file is asked for."""
    office.begin("Available")
    office.kept = lambda asked: Reply(206, CSV[1000:], headers) if "range" in asked.headers else None

    assert fetch(office.source(), offset=1000, validator='"known"') == (0, CSV)


def cut(office: Office, at: int) -> Callable[[Asked], Reply | None]:
    """The store breaks off at a byte of its first answer."""
    answers = [True]

    def broken(asked: Asked) -> Reply | None:
        if not answers:
            return None
        answers.pop()
        whole = office.file(asked)
        return Reply(200, whole.body[:at], {**whole.headers, "Content-Length": str(len(whole.body))})

    return broken


def test_a_store_that_names_no_file(office: Office) -> None:
    """Without a strong name nothing is gone on with."""
    broken = cut(office, 1500)

    def nameless(asked: Asked) -> Reply:
        told = broken(asked) or office.file(asked)
        weak = {"ETag": "W/" + told.headers.pop("ETag")}
        return Reply(told.status, told.body, {**told.headers, **weak})

    office.kept = nameless
    record = office.run()

    assert record.ended is Ended.VERIFIED
    assert office.content(record) == {"Nightly.csv": CSV}
    assert not any("range" in asked.headers for asked in office.store.seen)


# -- silence


def test_no_error_holds_a_link(office: Office) -> None:
    """Neither what it says nor what lies beneath it, as a traceback prints it."""
    office.begin("Available")
    source = office.source()
    office.store.close()

    with pytest.raises(SourceUnavailable) as raised:
        fetch(source)
    printed = "".join(traceback.format_exception(raised.value))
    assert not re.search(r"Signature|export_files/\d+_original|number\d", printed)


# -- where the key goes


@pytest.mark.parametrize(
    "href",
    [
        "https://evil.example.org/api/v1/exports/7/export_files/100",
        "//evil.example.org/api/v1/exports/7/export_files/100",
        "@evil.example.org/api/v1/exports/7/export_files/100",
        "/api/v1/exports/7/export_files/100/../../../../x",
        "/api/v1/exports/7/export_files/100?x=1",
        "/api/v1/exports/7/export_files/100\n",
        ".evil.example.org/",
        None,
    ],
)
def test_an_href_that_is_not_as_documented(href: object) -> None:
    """The key follows no other."""
    with pytest.raises(SourceUnexpected, match="href is not as documented"):
        run_path({"href": href})
    with pytest.raises(SourceUnexpected, match="download_hrefs are not as documented"):
        zip_paths({"download_hrefs": ["/api/v1/user_identities/1/pdf_manager_zip_files/2/download", href]})


def test_hrefs_as_documented() -> None:
    """Of both kinds; what differs from the run's export id is a known slip of the vendor's, and is followed."""
    for path in ("/api/v1/exports/86466/export_files/1", "/api/v1/user_identities/1/pdf_manager_batches/2"):
        assert run_path({"href": path, "export_id": 86446}) == path
    above = "/api/v1/user_identities/1/pdf_manager_zip_files"
    hrefs = [f"{above}/{number}/download" for number in (10, 9, 3)]
    assert zip_paths({"download_hrefs": hrefs}) == hrefs[::-1]
    assert zip_paths({"download_hrefs": None}) == zip_paths({}) == []
    with pytest.raises(SourceUnexpected):
        zip_paths({"download_hrefs": hrefs[:1] * 2})


def test_a_run_elsewhere_is_none(office: Office) -> None:
    """It is as lost as if no answer had come, and is never asked for."""
    row = {"id": 100, "href": "https://evil.example.org/", "export_id": 7, "status": "Available"}
    office.lies["exports/7/export_files"] = lambda asked: Reply.of(201, {"export_files": row})
    record = office.run()

    assert record.ended is Ended.LOST
    assert "href is not as documented" in record.reason


# -- how it is sent


def client(office: Office) -> Client:
    """Ours, beside the office."""
    return office.source().wire.client


def test_a_link_is_sent_byte_for_byte(office: Office) -> None:
    """As the store writes them; only what no request may hold is encoded, which means the same."""
    usual = (
        "/export_files/reports/000/267/520/0f_original.txt?AWSAccessKeyId=AK&Expires=1&Signature=a%2Bb%2fc%3D"
        "&response-content-disposition=attachment%3B%20filename%3D%22a.csv%22&x=it's~(1)*!;,"
    )
    office.kept = lambda _: Reply(200, b"")
    for path in (usual, '/a?filename="a.csv"'):
        with client(office).signed(office.store.url + path, refuse=lambda _: AssertionError()) as download:
            assert list(filter(None, download.chunks)) == []

    assert [asked.path for asked in office.store.seen] == [usual, "/a?filename=%22a.csv%22"]


@pytest.mark.parametrize("path", ["/a/../b", "/a/./b", "/a#b", "/a b", "/ü", "/a\n", ""])
def test_a_link_that_would_become_another(office: Office, path: str) -> None:
    """It is not sent."""
    with (
        pytest.raises(SourceUnexpected, match="no web address"),
        client(office).signed(office.store.url + path, refuse=lambda _: AssertionError()),
    ):
        pass
    with pytest.raises(SourceUnexpected), client(office).signed("http://127.0.0.1:99999/", refuse=AssertionError):
        pass

    assert office.store.seen == []


def test_a_proxy_sees_no_link(office: Office) -> None:
    """It is asked for a tunnel to the store, and for nothing else."""
    office.table["proxy"] = office.store.url
    office.store.answer = lambda _: Reply(503)
    with (
        pytest.raises(SourceUnavailable),
        client(office).signed("https://b.s3.amazonaws.com/a?Signature=x", refuse=lambda _: AssertionError()),
    ):
        pass

    assert [(asked.method, asked.path) for asked in office.store.seen] == [("CONNECT", "b.s3.amazonaws.com:443")]
