"""Each switch of WebAdMIT's links and object store, taken once over real HTTP."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from tests.demo.admissions import Admissions, code, query


def test_a_link_may_live_longer_shorter_or_not_at_all(admissions: Admissions) -> None:
    """By the switch's seconds; a negative life has ended before the client can ask."""
    run = admissions.finished()
    admissions.faults.set(link_life_s=5)
    short = admissions.link(run)
    admissions.faults.set(link_life_s=-1)
    dead = admissions.link(run)
    assert (admissions.fetch(short).status_code, admissions.fetch(dead).status_code) == (200, 403)
    admissions.world.advance(5)
    assert admissions.fetch(short).status_code == 403


def test_a_link_may_point_elsewhere(admissions: Admissions) -> None:
    """To any host, as an attack or a move would have it."""
    admissions.faults.set(link_origin="https://bucket.invalid")
    assert admissions.link().startswith("https://bucket.invalid/export_files/")


def test_a_link_may_be_signed_as_today(admissions: Admissions) -> None:
    """SigV4: other parameters, the same life; a HEAD does not fit, a Content-Type does no harm."""
    admissions.faults.set(sigv4=True)
    url = admissions.link()
    told = query(url)
    assert told["X-Amz-Expires"] == "25"
    assert "Signature" not in told
    assert admissions.fetch(url, **{"Content-Type": "text/plain"}).status_code == 200
    assert admissions.fetch(url, "HEAD").status_code == 403
    assert code(admissions.fetch(url.replace("Nightly", "Daily"))) == "SignatureDoesNotMatch"
    admissions.world.advance(26)
    assert "Request has expired" in admissions.fetch(url).text


def test_a_file_name_may_have_no_quotes(admissions: Admissions) -> None:
    """As in the vendor's own example."""
    admissions.faults.set(bare_filename=True)
    named = admissions.fetch(admissions.link()).headers["content-disposition"]
    assert named == "attachment; filename=Nightly applicants.csv"


def test_a_name_comes_from_people(admissions: Admissions) -> None:
    """Whatever somebody called the export is the file's name, path and all."""
    world = admissions.world
    name = "../../Zürich “final”"
    made = world.office.add_export(admissions.identity, name, "all", "Comma-Separated Values")
    run = world.start_elsewhere(made.id, ago_s=60)
    href = f"/api/v1/exports/{made.id}/export_files/{run.id}"
    named = admissions.fetch(admissions.link({"href": href})).headers["content-disposition"]
    assert named == 'attachment; filename="../../Zürich ?final?.csv"'


@pytest.mark.parametrize(
    ("status", "word"), [(403, "AccessDenied"), (404, "NoSuchKey"), (500, "InternalError"), (503, "SlowDown")]
)
def test_the_store_may_fail(admissions: Admissions, status: int, word: str) -> None:
    """With S3's own XML, and not as an expired link."""
    admissions.faults.set(store_status=status)
    answer = admissions.fetch(admissions.link())
    assert (answer.status_code, code(answer)) == (status, word)
    assert "expired" not in answer.text


@pytest.mark.parametrize(("page", "begins"), [("html", "<!DOCTYPE html>"), ("xml", "<?xml")])
def test_the_store_may_send_something_else_as_200(admissions: Admissions, page: str, begins: str) -> None:
    """A web page or S3's error with the status of a success."""
    admissions.faults.set(store_page=page)
    answer = admissions.fetch(admissions.link())
    assert answer.status_code == 200
    assert answer.text.startswith(begins)


def test_a_body_may_be_cut(admissions: Admissions) -> None:
    """After so many bytes of the promised ones; asked for the rest, the store gives it."""
    admissions.faults.set(cut_after=1000, times=1)
    url = admissions.link()
    got = b""
    with pytest.raises(httpx.RemoteProtocolError), admissions.bare.stream("GET", url) as answer:
        for chunk in answer.iter_raw():
            got += chunk
    assert len(got) == 1000
    whole = admissions.fetch(url)
    rest = admissions.fetch(url, Range="bytes=1000-", **{"If-Range": whole.headers["etag"]})
    assert got + rest.content == whole.content


def test_content_length_may_be_wrong(admissions: Admissions) -> None:
    """More than there is looks like a cut; less leaves a file that is too short; then there may be none."""
    run = admissions.finished()
    size = len(admissions.fetch(admissions.link(run)).content)
    admissions.faults.set(length_off=10)
    with pytest.raises(httpx.RemoteProtocolError):
        admissions.fetch(admissions.link(run))
    admissions.faults.set(length_off=-10)
    assert len(admissions.fetch(admissions.link(run)).content) == size - 10
    admissions.faults.reset()
    admissions.faults.set(no_length=True)
    answer = admissions.fetch(admissions.link(run))
    assert "content-length" not in answer.headers
    assert len(answer.content) == size


def test_a_body_may_drip(admissions: Admissions) -> None:
    """So many seconds before each 4,096 bytes; a test can let the world's clock pass instead."""
    admissions.world.wait = admissions.world.advance
    url = admissions.link()
    before = admissions.world.now()
    admissions.faults.set(drip_s=2.0)
    size = len(admissions.fetch(url).content)
    assert (admissions.world.now() - before).total_seconds() == 2.0 * -(-size // 4096)


def test_ranges_may_be_ignored(admissions: Admissions) -> None:
    """200 with everything."""
    admissions.faults.set(no_range=True)
    answer = admissions.fetch(admissions.link(), Range="bytes=100-")
    assert (answer.status_code, "content-range" in answer.headers) == (200, False)


def test_an_object_may_change_between_attempts(admissions: Admissions) -> None:
    """The same key has other bytes and another ETag after the first download; If-Range does not resume then."""
    run = admissions.finished()
    admissions.faults.set(object_changes=True, times=1)
    first = admissions.fetch(admissions.link(run))
    url = admissions.link(run)
    again = admissions.fetch(url, Range="bytes=10-", **{"If-Range": first.headers["etag"]})
    assert again.status_code == 200
    assert again.headers["etag"] != first.headers["etag"]
    assert again.content != first.content
    assert admissions.fetch(admissions.link(run)).content == again.content
    batch = admissions.finished_batch()["download_hrefs"][0]
    admissions.faults.set(object_changes=True, times=1)
    zips = [admissions.fetch(admissions.get(batch).headers["location"]) for _ in range(2)]
    assert zips[0].headers["etag"] != zips[1].headers["etag"]


def test_an_etag_may_be_no_md5(admissions: Admissions) -> None:
    """That of a multipart upload ends with the number of its parts, and works in If-Range as well."""
    admissions.faults.set(parts_etag=True)
    url = admissions.link()
    tag = admissions.fetch(url).headers["etag"]
    assert tag.endswith('-2"')
    assert admissions.fetch(url, Range="bytes=10-", **{"If-Range": tag}).status_code == 206
    assert urlsplit(url).netloc in admissions.server.store_url
