"""Exports of versions: only what is new, each asked for once, and nobody else's is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.errors import RequestWrong, SourceRefused
from flows.sources.mayan_asking import Bounds
from tests.mayan import exporting, seeding
from tests.mayan.between import Between, Fate, between
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

QUICK = Bounds(deadline_s=60, lock_s=2)
EVENTS = "events.events_view"
USER = ("documents.document_view", "documents.document_file_view", "documents.document_version_view",
        "document_downloads.document_file_download", "document_exports.document_version_export",
        "events.events_view", "messaging.message_view", "messaging.message_delete", "logging.error_log_view",
        "documents_types.document_type_view", "metadata_setup.metadata_type_view",
        "metadata.metadata_document_view", "tags.tag_view", "cabinets.cabinet_view",
        "comments.comment_view")  # fmt: skip


@pytest.fixture
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


@pytest.fixture
def here(tmp_path: Path, mayan: Mayan) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, mayan) as made:
        made.bounds = Bounds(deadline_s=60)
        yield made


@pytest.fixture
def lossy(mayan: Mayan) -> Iterator[Between]:
    """What can lose questions and answers on their way."""
    with between(mayan.url) as made:
        yield made


def scope_of(api: httpx.Client, label: str, exports: str = "active") -> dict[str, Any]:
    """A scope of a new document type."""
    return {"kind": "type", "id": str(seeding.make_type(api, label)), "exports": exports}


@pytest.fixture
def count(mayan_server: Server) -> Callable[[], int]:
    """How many exports the server's worker took up since the test began."""
    before = exporting.received(mayan_server)
    return lambda: exporting.received(mayan_server) - before


def through(tmp_path: Path, mayan: Mayan, lossy: Between) -> Any:
    """An office that asks through it."""
    return office(tmp_path, replace(mayan, url=lossy.url))


def test_only_what_is_new_is_exported(api: httpx.Client, here: Office, count: Callable[[], int]) -> None:
    """The next night names the export again without a request for it; a remapped version is exported; `all` adds
    the others; a version without pages is told in document.json and not asked for."""
    scope = scope_of(api, "Only new")
    document, first = exporting.of_pages(api, scope["id"], "only new", 3)
    assert here.night(**scope).ended == "verified"
    kept = here.within(document)[f"version {first}.pdf"]

    assert here.night(**scope).ended == "verified"
    assert (count(), here.within(document)[f"version {first}.pdf"]) == (1, kept)

    file = seeding.rows(api, f"/documents/{document}/files/")[0]["id"]
    second = seeding.remap(api, document, [(file, 3), (file, 1)])
    assert here.night(**scope).ended == "verified"
    assert (count(), exporting.pages_kept(here, document)) == (2, [2])

    empty = seeding.remap(api, document, [])
    assert here.night(**{**scope, "exports": "all"}).ended == "verified"
    assert (count(), sorted(exporting.pages_kept(here, document))) == (3, [2, 3])
    told = {version["id"]: len(version["pages"]) for version in here.document(document)["versions"]}
    assert told == {first: 3, second: 2, empty: 0}
    assert exporting.left(api) == exporting.messages(api) == []


def test_exports_of_others_and_by_hand_are_left_alone(
    api: httpx.Client, here: Office, mayan: Mayan, count: Callable[[], int]
) -> None:
    """Another user's of the same version, and one's own from before the night, though all may be seen and used."""
    scope = scope_of(api, "Others")
    document, version = exporting.of_pages(api, scope["id"], "others", 2)
    other = seeding.make_user(api, "exporter", USER)
    with replace(mayan, user=other.name, token=other.token).client() as own:
        exporting.ask(own, document, version)
    exporting.ask(api, document, version)
    exporting.finished(api, version, 2)
    before, told = exporting.left(api), exporting.messages(api)
    assert (len(before), len(told)) == (2, 1)

    assert here.night(**scope).ended == "verified"

    assert count() == 3
    assert (exporting.left(api), exporting.messages(api)) == (before, told)
    for number in before:
        api.delete(f"/downloads/{number}/")
    for row in seeding.rows(api, "/messages/"):
        api.delete(f"/messages/{row['id']}/")


def test_an_export_by_a_plain_user(
    api: httpx.Client, mayan: Mayan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The permissions of a backup user are enough; a missing one is named, also by the run that goes on with the
    job of one that was refused, and nothing is kept. Without messages only messages stay."""
    scope = scope_of(api, "Plain")
    document, _ = exporting.of_pages(api, scope["id"], "plain", 2)
    person = seeding.make_user(api, "backup", USER)
    with office(tmp_path, replace(mayan, user=person.name, token=person.token)) as here:
        here.bounds = Bounds(deadline_s=60)
        for missing in (EVENTS, "document_exports.document_version_export", EVENTS):
            seeding.revoke(api, person, missing)
            with pytest.raises(SourceRefused, match=missing):
                here.night(**scope)
            seeding.grant(api, person, missing)
        assert not here.places.archive.snapshots()

        seeding.revoke(api, person, "messaging.message_view")
        assert here.night(**scope).ended == "verified"
        assert (exporting.pages_kept(here, document), exporting.left(api)) == ([2], [])
    assert "messaging.message_view may be missing" in caplog.text


@pytest.mark.parametrize(("fate", "posts"), [("lose answer", 1), ("lose question", 2)])
def test_a_post_that_broke_is_looked_for_before_it_is_repeated(
    api: httpx.Client,
    mayan: Mayan,
    lossy: Between,
    tmp_path: Path,
    count: Callable[[], int],
    fate: Fate,
    posts: int,
) -> None:
    """Where only its answer was lost it is not repeated: the version is exported once. GETs are just repeated."""
    scope = scope_of(api, f"Broken {fate}")
    document, _ = exporting.of_pages(api, scope["id"], fate, 2)

    def of(method: str, path: str) -> Fate:
        first = lossy.asked.count((method, path)) == 1
        if method == "POST" and path.endswith("/export/"):
            return fate if first else "pass"
        return "lose question" if method == "GET" and first and "/downloads/" in path else "pass"

    lossy.fate = of
    with through(tmp_path, mayan, lossy) as here:
        here.bounds = QUICK if posts == 2 else Bounds(deadline_s=60)
        assert here.night(**scope).ended == "verified"
        assert exporting.pages_kept(here, document) == [2]
    assert (count(), lossy.exports()) == (1, posts)
    assert exporting.left(api) == exporting.messages(api) == []


def test_a_version_that_goes_before_it_is_asked_for(
    api: httpx.Client, mayan: Mayan, lossy: Between, tmp_path: Path
) -> None:
    """It costs itself: the night is partial and names it, and holds the other one."""
    scope = scope_of(api, "Goes", "all")
    document, version = exporting.of_pages(api, scope["id"], "goes", 1)
    other, _ = exporting.of_pages(api, scope["id"], "stays", 1)
    file = seeding.rows(api, f"/documents/{document}/files/")[0]["id"]
    seeding.remap(api, document, [(file, 1)])
    gone = f"/documents/{document}/versions/{version}/"

    def of(method: str, path: str) -> Fate:
        if method == "POST" and path.endswith(f"{gone}export/"):
            seeding.ok(api.delete(gone))
        return "pass"

    lossy.fate = of
    with through(tmp_path, mayan, lossy) as here:
        record = here.night(**scope)

        assert (record.ended, record.exit_code) == ("partial", 3)
        assert f"export of document {document}, version {version}: the version is not there" in record.reason
        assert (exporting.pages_kept(here, document), exporting.pages_kept(here, other)) == ([1], [1])


def test_a_turn_brings_a_new_export(api: httpx.Client, here: Office, count: Callable[[], int]) -> None:
    """What is drawn over a page shows nowhere: when it is a document's turn its version is exported again."""
    scope = {**scope_of(api, "Turn"), "sweep_days": 1}
    document, _ = exporting.of_pages(api, scope["id"], "turn", 1)
    for nights in (1, 1):  # on one day a document has one turn
        assert here.night(**scope).ended == "verified"
        assert count() == nights
    here.days_on = 1
    assert here.night(**scope).ended == "verified"
    assert (count(), exporting.pages_kept(here, document)) == (2, [1])


def test_a_release_that_gives_no_exports(api: httpx.Client, mayan: Mayan, lossy: Between, tmp_path: Path) -> None:
    """Before 4.5 none could be fetched: who wants them is told so, with the release, before anything is asked for;
    files alone are backed up."""
    scope = scope_of(api, "Before 4.5")
    document, _ = exporting.of_pages(api, scope["id"], "before", 1)
    of_now, of_then = mayan.version.encode(), b"4.4.16"
    lossy.alter = lambda _method, path, body: body.replace(of_now, of_then) if path.endswith("/project/") else body
    with through(tmp_path, mayan, lossy) as here:
        with pytest.raises(RequestWrong, match=r"Mayan EDMS 4\.4\.16: version exports cannot be fetched"):
            here.night(**scope)
        assert (lossy.exports(), here.places.archive.snapshots()) == (0, [])

        assert here.night(**{**scope, "exports": "none"}).ended == "verified"
        assert sorted(here.within(document)) == ["before.pdf", "document.json"]
