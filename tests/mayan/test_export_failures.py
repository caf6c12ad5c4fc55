"""Failures of exports, which Mayan tells nobody: each ends as a result with its reason, and costs only itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flows.sources.mayan_asking import Bounds
from tests.mayan import exporting, seeding
from tests.mayan.between import Between, Fate, between
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan.office import Office, office
from tests.mayan.test_exports import scope_of
from tests.mayan_server import Server

pytestmark = pytest.mark.mayan

PURGE = "mayan.apps.storage.tasks.task_download_files_stale_delete"
SETTINGS = {  # seconds; a page that is drawn is locked for twice as many as its drawing may take
    "LOCK_MANAGER_DEFAULT_LOCK_TIMEOUT": "2",
    "CONVERTER_IMAGE_GENERATION_TIMEOUT": "5",
    "DOWNLOAD_FILE_EXPIRATION_INTERVAL": "1",
}
QUICK = Bounds(deadline_s=8, page_s=0.2, lock_s=3, dead_s=12, stopped_s=4)


@pytest.fixture(scope="module")
def server(start_mayan: StartMayan) -> Iterator[Server]:
    """Two exports may be made at once, and what is made expires when the purge is run."""
    with start_mayan(workers=2, settings=SETTINGS) as made:
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """Its administrator's."""
    with server.mayan.client() as client:
        yield client


@pytest.fixture
def link(server: Server) -> Iterator[Between]:
    """What the office asks through."""
    with between(server.mayan.url) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, server: Server, link: Between) -> Iterator[Office]:
    """Empty, before its first night; waits for nothing long."""
    with office(tmp_path, replace(server.mayan, url=link.url)) as made:
        made.bounds = QUICK
        yield made


def test_while_somebody_exports_the_same_version(api: httpx.Client, here: Office, link: Between) -> None:
    """Of exports of one version at once only one comes to its end: then the other is asked for again, or that one
    is taken; and no file that may be somebody's is removed."""
    scope = scope_of(api, "At once")
    document, version = exporting.of_pages(api, scope["id"], "at once", 6)

    def of(method: str, path: str) -> Fate:
        if method == "POST" and path.endswith("/export/") and link.exports() == 1:
            for _ in range(3):
                exporting.ask(api, document, version)
        return "pass"

    link.fate = of
    assert here.night(**scope).ended == "verified"
    assert exporting.pages_kept(here, document) == [6]
    assert link.exports() <= 2
    assert exporting.left(api)
    for number in exporting.left(api):
        api.delete(f"/downloads/{number}/")


def test_a_killed_worker(api: httpx.Client, here: Office, link: Between, server: Server) -> None:
    """What it was making is lost: asked for once more when the deadline is over, and then it is there, once."""
    scope = scope_of(api, "Killed")
    document, _ = exporting.of_pages(api, scope["id"], "killed", 12)
    drawn = server.folder / "media" / "document_version_page_image_cache"
    before, taken = len(list(drawn.rglob("*"))), exporting.received(server)

    def kill() -> None:
        seeding.wait(lambda: len(list(drawn.rglob("*"))) > before or None, "the first page is drawn")
        server.kill_worker()
        server.start_worker()

    here.bounds = replace(QUICK, deadline_s=20)
    killer = threading.Thread(target=kill)
    killer.start()
    assert here.night(**scope).ended == "verified"
    killer.join()

    assert exporting.pages_kept(here, document) == [12]
    asked = link.exports()
    assert asked in (2, 3)  # the third where the worker died with a page locked
    assert exporting.received(server) - taken == asked
    assert exporting.left(api) == []


def test_without_a_worker(api: httpx.Client, here: Office, link: Between, server: Server) -> None:
    """Two exports are waited for in vain, the others are not even asked for; all are named, files are kept. When
    there is a worker again the next night has them."""
    scope = scope_of(api, "No worker")
    made = [exporting.of_pages(api, scope["id"], f"none {n}", 1) for n in range(3)]
    server.kill_worker()
    here.bounds = Bounds(deadline_s=2, page_s=0, lock_s=1)

    record = here.night(**scope)

    assert (record.ended, record.exit_code, link.exports()) == ("partial", 3, 4)
    for document, version in made:
        assert f"export of document {document}, version {version}: not " in record.reason
        assert sorted(name for name in here.within(document) if name.endswith("pdf")) == [here_pdf(here, document)]
    server.start_worker()
    here.bounds = QUICK
    assert here.night(**scope).ended == "verified"
    assert [exporting.pages_kept(here, document) for document, _ in made] == [[1]] * 3


def here_pdf(here: Office, document: int) -> str:
    """The name of a document's only file."""
    return str(here.document(document)["files"][0]["name"])


def test_an_export_that_expires_before_it_is_fetched(
    api: httpx.Client, here: Office, link: Between, server: Server
) -> None:
    """It is asked for once more."""
    scope = scope_of(api, "Expires")
    document, _ = exporting.of_pages(api, scope["id"], "expires", 2)

    def of(method: str, path: str) -> Fate:
        if "/downloads/" in path and path.endswith("/download/") and link.exports() == 1:
            server.run_task(PURGE)
            seeding.wait(lambda: None if exporting.left(api) else True, "the export has expired")
        return "pass"

    link.fate = of
    assert here.night(**scope).ended == "verified"
    assert (exporting.pages_kept(here, document), link.exports()) == ([2], 2)
    assert exporting.left(api) == []


def test_a_release_that_cuts_exports(start_mayan: StartMayan, tmp_path: Path) -> None:
    """4.11.5 writes four pages and no end: the first is waited for, the next is not asked for, and both are told
    with the releases that do it; a short one is kept. What is cut is not taken and stays at the server."""
    with start_mayan(version="4.11.5") as server, server.mayan.client() as api:
        scope = scope_of(api, "Cut")
        short, _ = exporting.of_pages(api, scope["id"], "short", 4)
        long = [exporting.of_pages(api, scope["id"], f"long {n}", 6)[0] for n in range(2)]
        with office(tmp_path, server.mayan) as here:
            here.bounds = replace(QUICK, deadline_s=120)
            record = here.night(**scope)

            assert (record.ended, record.exit_code) == ("partial", 3)
            assert record.reason.count("4.10.6, 4.11.4 and 4.11.5") == 2
            assert [exporting.pages_kept(here, document) for document in (short, *long)] == [[4], [], []]
        assert (exporting.received(server), len(exporting.left(api))) == (2, 1)


def test_an_old_release(start_mayan: StartMayan, tmp_path: Path) -> None:
    """4.5.13 lists a file before its first page is written; what is kept has all pages, and is named again."""
    with start_mayan(version="4.5.13") as server, server.mayan.client() as api:
        scope = {"kind": "all", "exports": "active"}
        document, _ = exporting.of_pages(api, "1", "old", 8)
        with office(tmp_path, server.mayan) as here:
            for _ in range(2):
                assert here.night(**scope).ended == "verified"
                assert exporting.pages_kept(here, document) == [8]
        assert (exporting.received(server), exporting.left(api), exporting.messages(api)) == (1, [], [])


def test_a_name_that_is_too_long(start_mayan: StartMayan, tmp_path: Path) -> None:
    """PostgreSQL refuses the download file of a document with a long label: told with the server's own words."""
    with start_mayan(db="postgres") as server, server.mayan.client() as api:
        scope = scope_of(api, "Names")
        odd, _ = exporting.of_pages(api, scope["id"], 'a/b "q" <é> %', 1)
        made = seeding.make_document(api, "L" * 240, [("l.pdf", pdf("long"))], type_id=int(scope["id"]))
        (version,) = seeding.wait_versions(api, made.id)
        with office(tmp_path, server.mayan) as here:
            record = here.night(**scope)

            assert (record.ended, record.exit_code) == ("partial", 3)
            assert f"export of document {made.id}, version {version}: Mayan EDMS says" in record.reason
            assert "value too long" in record.reason
            assert sorted(here.within(made.id)) == ["document.json", "l.pdf"]
            assert exporting.pages_kept(here, odd) == [1]
