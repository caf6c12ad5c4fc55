"""What a backup user must be allowed, on every version: all of it is enough, and each that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.errors import Exit, SourceError
from storage.verify import Outcome
from tests.mayan import exporting, seeding
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan.install import NEWEST
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

FILES = (
    "documents.document_view",
    "documents.document_file_view",
    "documents.document_version_view",
    "document_downloads.document_file_download",
    "documents_types.document_type_view",
    "metadata.metadata_document_view",
    "metadata_setup.metadata_type_view",
    "tags.tag_view",
    "cabinets.cabinet_view",
    "comments.comment_view",
)
EVENTS = "events.events_view"
ERRORS = "logging.error_log_view"
EXPORTS = (
    "document_exports.document_version_export",
    "messaging.message_view",
    "messaging.message_delete",
    ERRORS,
)


@dataclass(frozen=True, slots=True)
class Site:
    """A server, a document there that has all that a document may have, and who backs it up."""

    mayan: Mayan
    scope: dict[str, Any]
    document: int
    person: seeding.Person

    @contextmanager
    def without(self, *permissions: str) -> Iterator[None]:
        """The person lacks them for a while."""
        with self.mayan.client() as api:
            for permission in permissions:
                seeding.revoke(api, self.person, permission)
            try:
                yield
            finally:
                for permission in permissions:
                    seeding.grant(api, self.person, permission)


@pytest.fixture(scope="module", params=[NEWEST, "4.5.13"])
def site(request: pytest.FixtureRequest, start_mayan: StartMayan, mayan_server: Server) -> Iterator[Site]:
    """The oldest that is known here, and the newest, which is the session's."""
    if request.param == mayan_server.mayan.version:
        yield _site(mayan_server.mayan)
        return
    with start_mayan(version=request.param) as server:
        yield _site(server.mayan)


def _site(mayan: Mayan) -> Site:
    with mayan.client() as api:
        scope = {"kind": "type", "id": str(seeding.make_type(api, "Rights"))}
        person = seeding.make_user(api, "keeper", [*FILES, EVENTS, *EXPORTS])
        made = seeding.make_document(api, "Deed", type_id=int(scope["id"]))
        seeding.tag(api, made.id, "of rights")
        seeding.cabinet(api, made.id, "Rights/Deeds")
        seeding.metadata(api, made.id, "of_rights", "42")
        seeding.comment(api, made.id, "Seen.")
        # last: 4.5 on SQLite answers 500 to who writes while its worker does
        seeding.add_file(api, made.id, "deed.pdf", pdf("deed"))
        seeding.wait_versions(api, made.id)
        return Site(mayan, scope, made.id, person)


@pytest.fixture
def here(tmp_path: Path, site: Site) -> Iterator[Office]:
    """An office that backs up as that user."""
    with office(tmp_path, site.mayan, secrets={"token": site.person.token}) as made:
        yield made


def test_these_rights_are_enough(site: Site, here: Office) -> None:
    """Nothing is missing, and nothing is to be said; the night after asks for the list alone."""
    here.days_on = 1  # what changed in the ten minutes before a night is asked for in the next one, too
    with site.without(*EXPORTS):
        assert here.night(**site.scope).ended == "verified"
        asked = here.requests
        told = here.document(site.document)
        assert (told["tags"], told["cabinets"]) == (["of rights"], ["Rights / Deeds"])
        assert (told["metadata"], len(told["comments"])) == ({"of_rights": "42"}, 1)
        assert (len(told["files"]), len(told["versions"]), told["forbidden"]) == (1, 1, [])
        assert not [note for note in here.newest.manifest.draft.notes if "permission" in note]

        record = here.night(**site.scope)

    assert (record.ended, here.requests < asked) == ("verified", True)
    assert [check.outcome for check in record.checks if check.name == "changes told by events"] == [Outcome.PASSED]


@pytest.mark.parametrize("permission", FILES)
def test_what_is_missing_for_files_is_named(site: Site, here: Office, permission: str) -> None:
    """Before anything is fetched, and the night ends as refused: less than all is kept by nobody's mistake."""
    scope = {"kind": "all"} if permission == "documents.document_view" else site.scope
    with site.without(permission), pytest.raises(SourceError) as caught:
        here.night(**scope)

    assert permission in str(caught.value)
    assert caught.value.exit is Exit.AUTHENTICATION
    assert here.places.archive.snapshots() == []


def test_a_type_may_be_named_by_who_may_not_see_it(site: Site, here: Office) -> None:
    """Then the permission is named all the same, not the type."""
    with site.without("documents_types.document_type_view"), pytest.raises(SourceError) as caught:
        here.night(kind="type", id="Rights")

    assert "documents_types.document_type_view" in str(caught.value)


def test_events_are_only_of_use(site: Site, here: Office) -> None:
    """Without them all is kept, and the snapshot says what is seen later."""
    with site.without(EVENTS):
        here.night(**site.scope)
        record = here.night(**site.scope)

    assert record.ended == "verified"
    assert [note for note in here.newest.manifest.draft.notes if EVENTS in note]
    assert [check.reason for check in record.checks if EVENTS in check.reason]


@pytest.mark.parametrize("permission", [EXPORTS[0], EVENTS])
def test_what_is_missing_for_exports_is_named(site: Site, here: Office, permission: str) -> None:
    """Files alone could be had, but were not what was asked for."""
    with site.without(permission), pytest.raises(SourceError) as caught:
        here.night(**site.scope, exports="active")

    assert permission in str(caught.value)
    assert caught.value.exit is Exit.AUTHENTICATION


@pytest.mark.parametrize("permission", EXPORTS[1:])
def test_what_makes_exports_only_tidier(
    site: Site, here: Office, permission: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a look at errors an export that fails is seen late, which is noted. Messages of exports stay where
    they may not be seen or deleted, which the log says, once; download files go all the same."""
    with site.without(permission):
        record = here.night(**site.scope, exports="active")

    assert record.ended == "verified"
    assert any(name.startswith("version ") for name in here.within(site.document))
    noted = [note for note in here.newest.manifest.draft.notes if permission in note]
    logged = caplog.text.count(permission)
    with replace(site.mayan, token=site.person.token).client() as api:  # messages are one's own
        left, stay = exporting.left(api), exporting.messages(api)
        for row in seeding.rows(api, "/messages/"):
            seeding.ok(api.delete(f"/messages/{row['id']}/"))
    if permission == ERRORS:
        assert (len(noted), logged, left, stay) == (1, 0, [], [])
    else:
        assert (noted, logged, left, len(stay)) == ([], 1, [], 1)


def test_one_document_may_be_for_others(site: Site, here: Office, tmp_path: Path) -> None:
    """Rights by access control lists: what one document lacks is named with it, and the others are kept."""
    with site.mayan.client() as api:
        lacks = FILES[1], FILES[7]
        person = seeding.make_user(api, "limited", [each for each in FILES if each not in lacks])
        _allow(api, person, site.document, *lacks)
        other = seeding.make_document(api, "Will", [("w.pdf", pdf("will"))], type_id=int(site.scope["id"]))
        seeding.wait_versions(api, other.id)
    with office(tmp_path / "limited", site.mayan, secrets={"token": person.token}) as limited:
        record = limited.night(**site.scope)

        assert (record.ended, record.exit_code) == ("partial", Exit.PARTLY)
        assert f"document {other.id} ('Will'): permission {FILES[1]} is missing" in record.reason
        assert FILES[7] in record.reason
        assert limited.within(site.document)["deed.pdf"] == pdf("deed")
        assert limited.document(other.id)["forbidden"] == [FILES[1], FILES[7]]
        with site.mayan.client() as api:
            for permission in (FILES[1], FILES[7]):
                seeding.grant(api, person, permission)

        assert limited.night(**site.scope).ended == "verified"
        assert limited.within(other.id)["w.pdf"] == pdf("will")
    with site.mayan.client() as api:
        seeding.trash(api, other.id)


def _allow(api: httpx.Client, person: seeding.Person, document: int, *permissions: str) -> None:
    """By an access control list of that document."""
    path = f"/objects/documents/document/{document}/acls/"
    acl = seeding.post(api, path, role_id=person.role_id)["id"]
    for permission in permissions:
        seeding.ok(api.post(f"{path}{acl}/permissions/add/", json={"permission": permission}))
