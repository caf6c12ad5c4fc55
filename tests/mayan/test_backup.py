"""Documents of a real Mayan EDMS, night after night: all of each, and only what changed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from tests.mayan import seeding
from tests.mayan.files import pdf, png
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan

pytestmark = pytest.mark.mayan

ODD = 'a/b "q" <é> 文書 %: *?'


@pytest.fixture
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


@pytest.fixture
def here(tmp_path: Path, mayan: Mayan) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, mayan) as made:
        yield made


def scope_of(api: httpx.Client, label: str) -> dict[str, Any]:
    """A scope of a new document type, so that tests on one server do not see each other's documents."""
    return {"kind": "type", "id": str(seeding.make_type(api, label))}


def make(api: httpx.Client, scope: dict[str, Any], label: str, *files: tuple[str, bytes]) -> seeding.Document:
    """A document of the scope's type."""
    return seeding.make_document(api, label, files, type_id=int(scope["id"]))


def test_a_document_is_kept_whole(api: httpx.Client, here: Office) -> None:
    """Its files bit for bit under names that a person can read, and everything that the API tells of it."""
    scope = scope_of(api, "Letters")
    first, second = pdf("one", pages=3), png("two")
    made = make(api, scope, ODD, ("a.pdf", first), ("a.pdf", second), ("notes/b?.txt", b"plain text"))
    seeding.wait_versions(api, made.id, 2)
    seeding.tag(api, made.id, "urgent")
    seeding.cabinet(api, made.id, "Top/Sub")
    seeding.metadata(api, made.id, "invoice", "42")
    seeding.comment(api, made.id, "Seen.")
    seeding.quiet(api)

    record = here.night(**scope)

    assert (record.ended, record.exit_code) == ("verified", 0)
    there = here.within(made.id)
    one, two, three = (file.id for file in made.files)
    assert {name: data for name, data in there.items() if name != "document.json"} == {
        f"a [{one}].pdf": first, f"a [{two}].pdf": second, "notes_b_.txt": b"plain text",
    }  # fmt: skip
    told = here.document(made.id)
    assert (told["label"], told["type"], told["unsettled"]) == (ODD, "Letters", False)
    assert [(file["id"], file["filename"], file["size"], file["sha256"]) for file in told["files"]] == [
        (one, "a.pdf", len(first), hashlib.sha256(first).hexdigest()),
        (two, "a.pdf", len(second), hashlib.sha256(second).hexdigest()),
        (three, "notes/b?.txt", 10, hashlib.sha256(b"plain text").hexdigest()),
    ]
    assert (told["tags"], told["cabinets"], told["metadata"]) == (["urgent"], ["Top / Sub"], {"invoice": "42"})
    assert [(said["user"], said["text"]) for said in told["comments"]] == [("admin", "Seen.")]
    version = told["versions"][0]
    assert version["pages"] == [{"file": one, "page": n, "page_of_file": n} for n in (1, 2, 3)]
    counted = Counter((check.name, check.outcome.value) for check in record.checks)
    assert (counted["sha256", "passed"], counted["documents listed", "passed"]) == (3, 1)
    (folder,) = {path.rpartition("/")[0] for path in here.files() if "/" in path}
    assert folder == f"Letters/a_b _q_ _é_ 文書 %_ __ [{made.id}]"


def test_a_night_without_changes_asks_for_the_list_alone(api: httpx.Client, here: Office) -> None:
    """However many documents there are: what is asked does not grow with them but for the list."""
    scope = scope_of(api, "Quiet")
    for n in range(12):
        seeding.wait_versions(api, make(api, scope, f"document {n}", (f"{n}.pdf", pdf(f"text {n}"))).id)
    seeding.quiet(api)
    here.night(**scope)
    first, asked = here.files(), here.requests

    record = here.night(**scope)

    assert record.ended == "verified"
    assert asked - here.requests > 12 * 7  # of each document: files, pages, versions, metadata, tags and so on
    assert record.bytes_fetched == len(here.files()["mayan.json"])
    assert {name: data for name, data in here.files().items() if name != "mayan.json"} == {
        name: data for name, data in first.items() if name != "mayan.json"
    }


def test_every_change_is_seen_the_next_night(api: httpx.Client, here: Office) -> None:
    """Whatever was done to a document, and to nothing else: only that one is looked at whole."""
    scope = scope_of(api, "Changes")
    made = [make(api, scope, f"document {n}", (f"{n}.pdf", pdf(f"change {n}", pages=2))) for n in range(8)]
    for document in made:
        seeding.wait_versions(api, document.id)
    label, content, tagged, filed, valued, noted, remapped, quiet = (document.id for document in made)
    here.night(**scope)
    before = {number: here.within(number) for number in (document.id for document in made)}

    seeding.ok(api.patch(f"/documents/{label}/", json={"label": "another label"}))
    seeding.add_file(api, content, "new.pdf", pdf("new"))
    seeding.tag(api, tagged, "changed")
    seeding.cabinet(api, filed, "Changed")
    seeding.metadata(api, valued, "changed", "yes")
    first = seeding.rows(api, f"/documents/{noted}/files/")[0]["id"]
    seeding.ok(api.patch(f"/documents/{noted}/files/{first}/", json={"comment": "looked at", "filename": "x.pdf"}))
    seeding.remap(api, remapped, [(made[6].files[0].id, 2)])
    record = here.night(**scope)

    assert record.ended == "verified"
    now = {number: here.within(number) for number in before}
    assert here.document(label)["label"] == "another label"
    assert [file["filename"] for file in here.document(content)["files"]] == ["1.pdf", "new.pdf"]
    assert here.document(tagged)["tags"] == ["changed"]
    assert here.document(filed)["cabinets"] == ["Changed"]
    assert here.document(valued)["metadata"] == {"changed": "yes"}
    assert here.document(noted)["files"][0]["comment"] == "looked at"
    active = [version for version in here.document(remapped)["versions"] if version["active"]]
    assert [version["pages"] for version in active] == [
        [{"file": made[6].files[0].id, "page": 1, "page_of_file": 2}]
    ]
    assert now[quiet] == before[quiet]


def test_what_is_gone_is_not_in_the_next_snapshot(api: httpx.Client, here: Office) -> None:
    """Trashed documents are left out, and kept in the nights before."""
    scope = scope_of(api, "Gone")
    made = [make(api, scope, f"document {n}", (f"{n}.pdf", pdf(f"gone {n}"))) for n in range(4)]
    here.night(**scope)
    first = here.newest
    seeding.trash(api, made[2].id)

    record = here.night(**scope)

    assert record.ended in ("verified", "quarantined")  # one of four is beyond what a young history allows
    assert not here.within(made[2].id)
    assert any(f"[{made[2].id}]" in path for path in here.files(first))


def test_exports_are_fetched_whole_and_removed_at_the_server(api: httpx.Client, here: Office) -> None:
    """Of active versions: so many pages as the version has; named again the next night; nothing is left there."""
    scope = {**scope_of(api, "Exported"), "exports": "active"}
    made = make(api, scope, ODD, ("a.pdf", pdf("export", pages=6)))
    seeding.wait_versions(api, made.id)
    text = make(api, scope, "no version", ("a.bin", b"no pages"))

    assert here.night(**scope).ended == "verified"
    (export,) = (data for name, data in here.within(made.id).items() if name.startswith("version "))
    assert len(PdfReader(BytesIO(export)).pages) == 6
    assert sorted(here.within(text.id)) == ["a.bin", "document.json"]
    assert seeding.rows(api, "/downloads/") == []
    assert not any(row["sender_model_name"] == "downloadfile" for row in seeding.rows(api, "/messages/"))

    assert here.night(**scope).ended == "verified"
    assert seeding.rows(api, "/downloads/") == []
    assert here.within(made.id)[f"version {here.document(made.id)['versions'][0]['id']}.pdf"] == export
