"""What every dialect must bear, where only a real Mayan EDMS can show it: see tests/engine/test_conformance.py."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.errors import Exit, SourceRefused
from tests.mayan import exporting, seeding
from tests.mayan.between import Between, Fate
from tests.mayan.files import pdf
from tests.mayan.office import Office
from tests.mayan.test_exports import scope_of
from tests.mayan_server import Mayan

pytestmark = pytest.mark.mayan

DOWNLOAD = "/download/"


@pytest.fixture
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


def fetches(link: Between, path: str) -> int:
    """How often a file itself was asked for; rights are looked at by HEAD."""
    return sum(asked == ("GET", path) for asked in link.asked)


def test_each_try_asks_anew(api: httpx.Client, here: Office, link: Between) -> None:
    """There is no link that could be kept, and none in what is remembered of a job: a path is made of ids."""
    kind = seeding.make_type(api, "Asked anew")
    made = seeding.make_document(api, "anew", [("a.pdf", pdf("anew"))], type_id=kind)
    seeding.wait_versions(api, made.id)
    path = f"/api/v4/documents/{made.id}/files/{made.files[0].id}{DOWNLOAD}"
    link.fate = lambda method, asked: (
        "cut answer" if (method, asked) == ("GET", path) and fetches(link, path) == 1 else "pass"
    )
    assert here.night(kind="type", id=str(kind)).ended == "verified"

    assert fetches(link, path) == 2
    assert here.within(made.id)["a.pdf"] == pdf("anew")
    (found,) = here.places.archive.snapshots()
    assert link.url not in str(found.manifest.draft.job)


def test_nothing_secret_is_written(
    api: httpx.Client, here: Office, link: Between, mayan: Mayan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At debug level, after a good night and one that is refused in its middle: no token in log, catalog, spool
    and archive."""
    caplog.set_level(logging.DEBUG)
    scope = scope_of(api, "Secrets")
    exporting.of_pages(api, scope["id"], "secret", 1)
    assert here.night(**scope).ended == "verified"
    seeding.make_document(api, "more", [("m.bin", b"more")], type_id=int(scope["id"]))
    link.fate = lambda method, path: "refuse" if method == "GET" and path.endswith(DOWNLOAD) else "pass"
    with pytest.raises(SourceRefused):
        here.night(**scope)

    backend = here.places.archive.backend
    kept = b"".join(backend.get(name) for name in backend.list(""))
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert mayan.token.encode() not in kept + files + caplog.text.encode()


@pytest.mark.parametrize("padded", [False, True])
def test_a_page_is_no_file(api: httpx.Client, here: Office, link: Between, padded: bool) -> None:
    """With status 200 in place of a file and of an export, and even as long as it: neither is kept as one."""
    scope = scope_of(api, f"Pages {padded}")
    document, _ = exporting.of_pages(api, scope["id"], "page", 1)
    page = b"<!DOCTYPE html><html><body>Sign in</body></html>"

    def alter(method: str, path: str, body: bytes) -> bytes:
        if method != "GET" or not path.endswith(DOWNLOAD):
            return body
        return page.ljust(len(body)) if padded else page

    link.alter = alter
    record = here.night(**scope)

    assert (record.ended, record.exit_code) == ("partial", Exit.PARTLY)
    assert list(here.within(document)) == ["document.json"]
    assert not any(data.startswith(b"<!DOCTYPE") for data in here.files().values())
    link.alter = lambda _method, _path, body: body
    assert here.night(**scope).ended == "verified"
    exporting.tidy(api)


def test_a_bare_refusal_in_the_night(api: httpx.Client, here: Office, link: Between) -> None:
    """A token that is dead from some instant on: exit 12, asked about once; its successor goes on with the job."""
    scope = scope_of(api, "Bare refusal")
    document, _ = exporting.of_pages(api, scope["id"], "bare", 1)
    exported: list[str] = []
    refused: list[str] = []

    def of(method: str, path: str) -> Fate:
        if exported:
            refused.append(path)
            return "refuse"
        if method == "POST" and path.endswith("/export/"):
            exported.append(path)
        return "pass"

    link.fate = of
    with pytest.raises(SourceRefused) as caught:
        here.night(**scope)
    assert caught.value.exit is Exit.AUTHENTICATION
    assert len(refused) == 1
    assert here.places.archive.snapshots() == []

    link.fate = lambda _method, _path: "pass"
    assert here.night(**scope).ended == "verified"
    assert link.exports() == 1
    assert exporting.pages_kept(here, document) == [1]
