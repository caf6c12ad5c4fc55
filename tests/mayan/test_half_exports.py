"""Exported files that are listed, and served as if they were whole, before they are: none is taken too early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pypdf import PdfReader

from flows.sources.mayan_asking import Bounds
from tests.mayan import exporting, seeding
from tests.mayan.between import Between, Fate, between
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan.office import Office, office
from tests.mayan.test_exports import scope_of
from tests.mayan_server import Server

pytestmark = pytest.mark.mayan

PAGES = 8
SETTINGS = {"LOCK_MANAGER_DEFAULT_LOCK_TIMEOUT": "2", "CONVERTER_IMAGE_GENERATION_TIMEOUT": "2"}  # seconds
EVENTS = re.compile(r"/objects/storage/downloadfile/\d+/events/$")
DOWNLOAD = re.compile(r"/downloads/\d+/download/$")


@pytest.fixture(scope="module")
def old(start_mayan: StartMayan) -> Iterator[Server]:
    """4.5 lists an export before its first page is written."""
    with start_mayan(version="4.5.13", settings=SETTINGS) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left_for_others(admin: httpx.Client) -> Iterator[None]:
    """What is half, and the messages about it, stay at the server where no run takes them away."""
    yield
    exporting.tidy(admin)


def on_disk(server: Server) -> list[int]:
    """The pages of each download file as it is now; looked at on the server's disk, which costs it nothing."""
    there = [
        path.read_bytes() for path in (server.folder / "media" / "download_files").rglob("*") if path.is_file()
    ]
    return [len(PdfReader(BytesIO(data)).pages) if data else 0 for data in there]


def fetched(link: Between) -> int:
    """How often an export was fetched."""
    return sum(method == "GET" and bool(DOWNLOAD.search(path)) for method, path in link.asked)


def test_one_that_grows_is_waited_for(old: Server, tmp_path: Path) -> None:
    """Each time that it is looked for it is listed and has some of its pages; it is fetched once, with all."""
    seen: list[int] = []

    def look(method: str, path: str) -> Fate:
        if path.endswith("/downloads/"):
            seen.extend(on_disk(old))
        return "pass"

    with old.mayan.client() as api, between(old.mayan.url) as link:
        document, _ = exporting.of_pages(api, "1", "grows", PAGES)
        link.fate = look
        with office(tmp_path, replace(old.mayan, url=link.url)) as here:
            assert here.night(kind="ids", ids=[document], exports="active").ended == "verified"
            assert exporting.pages_kept(here, document) == [PAGES]
        assert min(seen) < PAGES
        assert (fetched(link), link.exports(), exporting.left(api)) == (1, 1, [])


def test_one_that_stays_half_is_not_taken(old: Server, tmp_path: Path) -> None:
    """Its worker was killed: the night is partial, says so, and keeps the files; the half one stays at the server.
    The next night, with a worker, has it whole."""

    def kill(method: str, path: str) -> Fate:
        if path.endswith("/downloads/") and link.exports() and exporting.left(api) and not killed:
            old.kill_worker()
            killed.append(True)
        return "pass"

    killed: list[bool] = []
    with old.mayan.client() as api, between(old.mayan.url) as link:
        document, version = exporting.of_pages(api, "1", "stays half", PAGES)
        scope = {"kind": "ids", "ids": [document], "exports": "active"}
        link.fate = kill
        with office(tmp_path, replace(old.mayan, url=link.url)) as here:
            here.bounds = Bounds(deadline_s=2, page_s=0.1, lock_s=3)
            record = here.night(**scope)

            (half,) = exporting.left(api)
            assert (record.ended, record.exit_code, fetched(link)) == ("partial", 3, 0)
            said = f"export of document {document}, version {version}: begun and not finished within 3 s"
            assert said in record.reason
            assert on_disk(old)[0] < PAGES
            assert sorted(here.within(document)) == ["document.json", "stays half.pdf"]

            old.start_worker()
            exporting.finished(api, version, deadline_s=180)  # the second question was waiting for it
            here.bounds = Bounds(deadline_s=60)
            assert here.night(**scope).ended == "verified"
            assert exporting.pages_kept(here, document) == [PAGES]
            assert half in exporting.left(api)
        for number in exporting.left(api):
            api.delete(f"/downloads/{number}/")


def test_one_that_is_still_copied(admin: httpx.Client, here: Office, link: Between) -> None:
    """4.12 makes it elsewhere and copies it: served with the bytes that are there so far, and without its event.
    Nothing is asked of it before the event is there."""
    scope = scope_of(admin, "Copied slowly")
    document, _ = exporting.of_pages(admin, scope["id"], "copied slowly", 6)
    looks: list[int] = []

    def early(method: str, path: str, body: bytes) -> bytes:
        if EVENTS.search(path):
            looks.append(len(link.asked))
            return body if len(looks) > 3 else json.dumps({"count": 0, "next": None, "results": []}).encode()
        return body[: len(body) // 2] if DOWNLOAD.search(path) and len(looks) <= 3 else body

    link.alter = early
    assert here.night(**scope).ended == "verified"

    assert exporting.pages_kept(here, document) == [6]
    first = next(place for place, (_, path) in enumerate(link.asked) if DOWNLOAD.search(path))
    assert (len(looks) > 3, first >= looks[3], fetched(link)) == (True, True, 1)
    assert exporting.left(admin) == []


HALVES: list[Callable[[bytes], bytes]] = [
    lambda _: pdf("fewer", pages=3),
    lambda body: body[: len(body) // 2],
    lambda body: body[:-40],
    lambda _: b"",
]


@pytest.mark.parametrize("half", HALVES, ids=["fewer pages", "half the bytes", "without its end", "no bytes"])
def test_one_that_is_served_half_after_its_event(
    admin: httpx.Client,
    here: Office,
    link: Between,
    half: Callable[[bytes], bytes],
    request: pytest.FixtureRequest,
) -> None:
    """A slow storage behind Mayan: its pages are counted, it is not kept, and told; files are kept, and it stays
    where it is. The next night has it."""
    scope = scope_of(admin, f"Half {request.node.callspec.id}")
    document, version = exporting.of_pages(admin, scope["id"], "half", 6)
    link.alter = lambda _method, path, body: half(body) if DOWNLOAD.search(path) else body
    record = here.night(**scope)

    assert (record.ended, record.exit_code) == ("partial", 3)
    assert re.search(
        rf"export of document {document}, version {version}: \d pages came, promised 6", record.reason
    ), record.reason
    assert sorted(here.within(document)) == ["document.json", "half.pdf"]
    assert len(exporting.left(admin)) == 1

    link.alter = lambda _method, _path, body: body
    assert here.night(**scope).ended == "verified"
    assert exporting.pages_kept(here, document) == [6]
    for number in exporting.left(admin):
        admin.delete(f"/downloads/{number}/")


def test_one_that_breaks_off(admin: httpx.Client, here: Office, link: Between) -> None:
    """Its connection ends within the bytes that were announced, and so does a file's: both are fetched again,
    and the export is not made again."""
    scope = scope_of(admin, "Broken off in the middle")
    document, _ = exporting.of_pages(admin, scope["id"], "broken off", 4)
    seeding.add_file(admin, document, "more.bin", b"many bytes" * 50_000, action="keep")
    broken: set[str] = set()

    def of(method: str, path: str) -> Fate:
        if method != "GET" or not path.endswith("/download/") or path in broken or not ready():
            return "pass"
        broken.add(path)
        return "cut answer"

    def ready() -> bool:
        """Rights are looked at before."""
        return any(path.endswith("/events/") and "/objects/" not in path for _, path in link.asked)

    link.fate = of
    assert here.night(**scope).ended == "verified"

    kept = here.within(document)
    assert kept["more.bin"] == b"many bytes" * 50_000
    assert kept["broken off.pdf"] == pdf("broken off", pages=4)
    assert exporting.pages_kept(here, document) == [4]
    assert (len(broken), fetched(link), link.exports(), exporting.left(admin)) == (3, 2, 1, [])
