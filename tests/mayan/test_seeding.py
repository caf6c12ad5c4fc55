"""The verbs that seed a server do what they say, on every version that the tests use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.mayan import seeding
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf, png
from tests.mayan.install import RELEASES
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

READS = ("documents.document_view", "documents.document_file_view")


@pytest.fixture(scope="module", params=RELEASES)
def each(request: pytest.FixtureRequest, start_mayan: StartMayan, mayan_server: Server) -> Iterator[Mayan]:
    """Servers of all versions, one after the other; the newest is the session's."""
    if request.param == mayan_server.mayan.version:
        yield mayan_server.mayan
        return
    with start_mayan(version=request.param) as server:
        yield server.mayan


def test_every_verb(each: Mayan) -> None:
    """What was asked for is to be seen through the API when the verb returns."""
    with each.client() as api:
        assert seeding.get(api, "/project/")["__version__"] == each.version
        letters = seeding.make_type(api, "Seeded letters")
        files = [("a.pdf", pdf("alpha", pages=3)), ("b.png", png("beta")), ("c.bin", bytes(range(256)))]
        made = seeding.make_document(
            api, "Alpha", files, type_id=letters, description="Of the seventh", language="deu"
        )
        path = f"/documents/{made.id}/"
        told = seeding.get(api, path)
        assert (told["label"], told["description"], told["language"]) == ("Alpha", "Of the seventh", "deu")
        assert told["document_type"]["label"] == "Seeded letters"
        assert [file.filename for file in made.files] == ["a.pdf", "b.png", "c.bin"]
        versions = seeding.wait_versions(api, made.id, 2)
        assert [seeding.page_count(api, made.id, version) for version in versions] == [3, 1]

        tags = [seeding.tag(api, made.id, label) for label in ("urgent", "later")]
        assert sorted(row["id"] for row in seeding.rows(api, f"{path}tags/")) == sorted(tags)
        seeding.tag(api, seeding.make_document(api, "Beta").id, "urgent")
        assert [row["label"] for row in seeding.rows(api, "/tags/")].count("urgent") == 1

        inner = seeding.cabinet(api, made.id, "Letters/2026/May")
        assert seeding.cabinet(api, made.id, "Letters/2026/May") == inner
        seeding.cabinet(api, made.id, "Letters/2025")
        cabinets = [row["full_path"] for row in seeding.rows(api, f"{path}cabinets/")]
        assert sorted(cabinets) == ["Letters / 2025", "Letters / 2026 / May"]

        seeding.metadata(api, made.id, "project", "X-1")
        assert [row["value"] for row in seeding.rows(api, f"{path}metadata/")] == ["X-1"]
        seeding.comment(api, made.id, "Seen.")
        assert [row["text"] for row in seeding.rows(api, f"{path}comments/")] == ["Seen."]

        first = made.files[0].id
        remapped = seeding.remap(api, made.id, [(first, 3), (first, 1)])
        assert seeding.get(api, path)["version_active"]["id"] == remapped
        assert seeding.page_count(api, made.id, remapped) == 2

        gone = seeding.make_document(api, "Gone", [("g.pdf", pdf("gone"))])
        seeding.trash(api, gone.id)
        assert api.get(f"/documents/{gone.id}/").status_code == 404


def test_a_user_may_do_what_was_granted_and_no_more(each: Mayan) -> None:
    """A permission that is taken away shows at once."""
    with each.client() as api:
        made = seeding.make_document(api, "Seen", [("s.pdf", pdf("seen"))])
        person = seeding.make_user(api, "reader", READS)
        with replace(each, user=person.name, password=person.password, token=person.token).client() as own:
            assert seeding.get(own, "/users/current/")["username"] == "reader"
            assert len(seeding.rows(own, f"/documents/{made.id}/files/")) == 1
            assert own.get(f"/documents/{made.id}/files/{made.files[0].id}/download/").status_code == 404

            seeding.revoke(api, person, "documents.document_file_view")
            refused = own.get(f"/documents/{made.id}/files/")  # 4.5: 404; later: 200 and an empty list
            assert refused.status_code == 404 or refused.json()["count"] == 0


def test_postgres(start_mayan: StartMayan) -> None:
    """There a name that is longer than its column is an error, which SQLite does not know."""
    with start_mayan(db="postgres") as server, server.mayan.client() as api:
        made = seeding.make_document(api, "L" * 240, [("l.pdf", pdf("long"))])
        (version,) = seeding.wait_versions(api, made.id)
        seeding.ok(api.post(f"/documents/{made.id}/versions/{version}/export/"))
        errors = f"/objects/documents/documentversion/{version}/errors/"
        (error,) = seeding.wait(lambda: seeding.rows(api, errors) or None, "the export has failed")
        assert "value too long" in error["text"]
        assert not seeding.rows(api, "/downloads/")
