"""WebAdMIT's links and the object store that they point to: S3, strict about all that a client might send."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from tests.demo.admissions import Admissions, code, query


def test_a_link_is_long_signed_and_elsewhere(admissions: Admissions) -> None:
    """SigV2 in the query, on another port, named .txt whatever it is, with the real name in a response header."""
    run = admissions.finished()
    url = admissions.link(run)

    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == admissions.server.store_url != admissions.server.url
    number = f"{run['id']:09d}"
    folder = f"/export_files/reports/{number[:3]}/{number[3:6]}/{number[6:]}"
    assert re.fullmatch(rf"{folder}/[0-9a-f]{{32}}_original\.txt", parts.path)
    assert list(query(url)) == [
        "AWSAccessKeyId", "Expires", "Signature", "response-content-disposition", "response-content-type",
    ]  # fmt: skip
    answer = admissions.fetch(url)
    assert answer.headers["content-disposition"] == 'attachment; filename="Nightly applicants.csv"'
    assert answer.headers["content-type"] == "text/csv;charset=iso-8859-1"
    assert answer.headers["server"] == "AmazonS3"
    assert admissions.server.count("object") == 1


def test_each_question_issues_another_link(admissions: Admissions) -> None:
    """To the same object, each with a signature of its own, even in the same second; they are counted."""
    run = admissions.finished()
    urls = [admissions.link(run) for _ in range(3)]
    assert len(set(urls)) == 3
    assert len({urlsplit(url).path for url in urls}) == 1
    assert len({admissions.fetch(url).content for url in urls}) == 1
    assert admissions.world.links_issued == 4
    assert (admissions.report()["links_issued"], admissions.report()["links_altered"]) == (4, 0)


def test_a_link_lives_twenty_five_seconds(admissions: Admissions) -> None:
    """Judged when the request begins, by the store's clock; afterwards S3's XML says when it expired."""
    url = admissions.link()
    admissions.world.advance(24)
    assert admissions.fetch(url).status_code == 200
    admissions.world.advance(1)
    answer = admissions.fetch(url)

    assert (answer.status_code, code(answer)) == (403, "AccessDenied")
    assert answer.headers["content-type"] == "application/xml"
    assert "<Message>Request has expired</Message>" in answer.text
    expired = datetime.fromtimestamp(int(query(url)["Expires"]), UTC)
    assert f"<Expires>{expired:%Y-%m-%dT%H:%M:%SZ}</Expires>" in answer.text
    assert "<ServerTime>2026-11-16T02:30:26Z</ServerTime>" in answer.text


def test_a_download_that_runs_goes_on(admissions: Admissions) -> None:
    """A slow transfer that began in time ends well, long after the link has died."""
    admissions.world.wait = admissions.world.advance
    admissions.faults.set(drip_s=60.0)
    url = admissions.link()
    answer = admissions.fetch(url)
    assert len(answer.content) == int(answer.headers["content-length"]) > 8192
    assert admissions.fetch(url).status_code == 403


def test_a_head_request_does_not_fit_the_signature(admissions: Admissions) -> None:
    """The verb is signed; a HEAD has no body that could tell."""
    answer = admissions.fetch(admissions.link(), "HEAD")
    assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("name", ["Content-Type", "Content-MD5", "x-amz-acl"])
def test_a_signed_header_does_not_fit_the_signature(admissions: Admissions, name: str) -> None:
    """Whatever SigV2 signs and the link does not foresee."""
    answer = admissions.fetch(admissions.link(), **{name: "application/json"})
    assert (answer.status_code, code(answer)) == (403, "SignatureDoesNotMatch")


def test_other_headers_do_no_harm(admissions: Admissions) -> None:
    """Accept-Encoding, User-Agent and Range are not signed."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "x", "Range": "bytes=0-"}
    assert admissions.fetch(admissions.link(), **headers).status_code == 206


def test_an_authorization_header_is_refused(admissions: Admissions) -> None:
    """One way to authenticate is enough."""
    answer = admissions.fetch(admissions.link(), Authorization="Bearer x")
    assert (answer.status_code, code(answer)) == (400, "InvalidArgument")


def test_a_changed_link_is_refused(admissions: Admissions) -> None:
    """An edited name, life or path breaks the signature; without one there is no access. Each is remembered."""
    url = admissions.link()
    later = url.replace(f"Expires={query(url)['Expires']}", f"Expires={int(query(url)['Expires']) + 60}")
    for changed in (url.replace("Nightly", "Daily"), later, url.replace("_original", "_other")):
        assert code(admissions.fetch(changed)) == "SignatureDoesNotMatch"
    assert code(admissions.fetch(url.partition("?")[0])) == "AccessDenied"
    assert admissions.world.links_altered == 3


def test_a_link_written_anew_is_remembered(admissions: Admissions) -> None:
    """S3 takes another spelling of the same query; a client that makes one is found out all the same."""
    assert admissions.fetch(admissions.link().replace("%20", "+")).status_code == 200
    assert admissions.world.links_altered == 1


def test_a_key_that_reaches_the_store_is_remembered(admissions: Admissions) -> None:
    """S3 ignores it and serves the file; the leak is the client's secret."""
    url = admissions.link()
    assert admissions.fetch(url).status_code == 200
    assert admissions.report()["key_leaked"] is False
    assert admissions.client.get(url).status_code == 200
    admissions.fetch(url, **{"x-api-key": "of nobody"})
    assert admissions.world.leaked == ["rjones", "?"]
    assert admissions.report()["key_leaked"] is True


def test_the_etag_is_the_md5_of_the_object(admissions: Admissions) -> None:
    """In quotes, the same for each link, beside Last-Modified and Accept-Ranges."""
    answer = admissions.fetch(admissions.link())
    digest = hashlib.md5(answer.content, usedforsecurity=False).hexdigest()
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["last-modified"] == "Mon, 16 Nov 2026 02:30:00 GMT"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_ranges_as_s3_gives_them(admissions: Admissions) -> None:
    """From a byte on, between two, the last ones; beyond the end 416; several or nonsense get everything."""
    url = admissions.link()
    whole = admissions.fetch(url).content
    size = len(whole)
    for wanted, part in {
        "bytes=100-": whole[100:],
        "bytes=100-199": whole[100:200],
        "bytes=-50": whole[-50:],
        f"bytes={size - 1}-{size + 100}": whole[-1:],
    }.items():
        answer = admissions.fetch(url, Range=wanted)
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"].endswith(f"/{size}")
    beyond = admissions.fetch(url, Range=f"bytes={size}-")
    assert (beyond.status_code, code(beyond)) == (416, "InvalidRange")
    assert beyond.headers["content-range"] == f"bytes */{size}"
    for wanted in ("bytes=0-1,5-6", "lines=1-2", "bytes=-"):
        assert admissions.fetch(url, Range=wanted).status_code == 200


def test_if_range_resumes_only_the_same_object(admissions: Admissions) -> None:
    """With the ETag of before, on a new link as well, 206; with another one everything, as 200."""
    run = admissions.finished()
    tag = admissions.fetch(admissions.link(run)).headers["etag"]
    resumed = admissions.fetch(admissions.link(run), Range="bytes=10-", **{"If-Range": tag})
    assert resumed.status_code == 206
    again = admissions.fetch(admissions.link(run), Range="bytes=10-", **{"If-Range": '"0"'})
    assert again.status_code == 200
