"""Documents that are not as most are, lists of more than a page, and what changes while they are walked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.errors import SourceUnavailable
from flows.sources.base import Connection
from flows.sources.mayan import Mayan as Source
from flows.sources.mayan_documents import Documents
from flows.sources.mayan_scopes import scope_from_table
from flows.sources.mayan_wire import Wire
from tests.mayan import seeding
from tests.mayan.files import pdf, png
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

MANY = 230  # documents: of three pages


@pytest.fixture(scope="module")
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


@pytest.fixture
def here(tmp_path: Path, mayan: Mayan) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, mayan) as made:
        yield made


@pytest.fixture(scope="module")
def many(mayan_server: Server) -> tuple[dict[str, Any], list[int]]:
    """A scope of many documents, and their ids; made inside the server, by its API they would take a minute."""
    code = """
from mayan.apps.documents.models import DocumentType, Document
kind = DocumentType.objects.create(label="Many")
made = [Document.objects.create(document_type=kind, label="stub") for n in range(%d)]
print("made", kind.pk, *[one.pk for one in made])
"""
    said = mayan_server.shell(code % MANY).splitlines()
    (line,) = (line for line in said if line.startswith("made "))
    kind, *made = map(int, line.split()[1:])
    return {"kind": "type", "id": str(kind)}, made


def test_more_documents_than_a_page(many: tuple[dict[str, Any], list[int]], here: Office) -> None:
    """Each once, whatever they are called."""
    scope, made = many
    assert here.night(**scope).ended == "verified"
    assert len([path for path in here.files() if path.endswith("/document.json")]) == len(made)


@pytest.mark.parametrize("kind", ["type", "all"])
def test_a_document_that_goes_hides_no_other(
    api: httpx.Client, mayan: Mayan, many: tuple[dict[str, Any], list[int]], kind: str
) -> None:
    """Those that were listed already are deleted while the list is walked: everybody behind them is listed."""
    scope, made = many
    wire = Wire(Connection(mayan.url, {"token": mayan.token}, requests_per_s=0))
    wanted = scope_from_table(scope if kind == "type" else {"kind": "all"})
    rows = Documents(wire).rows(wanted)

    first = [row.id for row in islice(rows, 60)]
    for number in (number for number in first[:5] if number in made):
        seeding.trash(api, number)
    listed = [*first, *(row.id for row in rows)]
    wire.close()

    left = {row["id"] for row in seeding.rows(api, "/documents/")} & set(made)
    assert left <= set(listed)
    assert len(set(listed)) == len(listed)


class Breaking(Source):
    """A source whose list breaks off after so many files, once."""

    after: int | None = None

    def files(self, *given: Any) -> Any:
        for count, file in enumerate(super().files(*given)):
            if count == self.after:
                self.after = None
                raise SourceUnavailable("the connection broke", answered=True)
            yield file


def test_a_list_that_breaks_off_is_begun_again(
    api: httpx.Client, here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came is not asked for again, and nothing is there twice."""
    kind = seeding.make_type(api, "Broken off")
    made = [seeding.make_document(api, f"d {n}", [("a.pdf", pdf(f"off {n}"))], type_id=kind) for n in range(5)]
    for document in made:
        seeding.wait_versions(api, document.id)
    monkeypatch.setattr(Breaking, "after", 7)
    monkeypatch.setattr("tests.mayan.office.Source", Breaking)

    assert here.night(kind="type", id=str(kind)).ended == "verified"

    assert len(here.files()) == 2 * len(made) + 1
    for document in made:
        path = f"/objects/documents/documentfile/{document.files[0].id}/events/"
        verbs = [row["verb"]["id"] for row in seeding.rows(api, path)]
        expected = 2 if document is made[0] else 1  # the first is looked at beforehand, whether it may be fetched
        assert verbs.count("document_downloads.document_file_downloaded") == expected


def test_odd_ones(api: httpx.Client, here: Office) -> None:
    """Without files, with equal contents, with labels of every kind, of a type that has no pages."""
    kind = seeding.make_type(api, "Odd")
    same, text = png("same"), b"only text \xff\n" * 3
    stub = seeding.make_document(api, "stub", type_id=kind).id
    twin = seeding.make_document(api, "twin", [("a.png", same), ("A.png", same)], type_id=kind)
    other = seeding.make_document(api, "twin", [("a.png", same)], type_id=kind)
    plain = seeding.make_document(api, "x" * 200, [("x" * 200 + ".bin", text)], type_id=kind)
    blank = seeding.make_document(api, "to be blank", [("dots...", text)], type_id=kind)
    gone = seeding.make_document(api, "gone", [("g.bin", b"gone")], type_id=kind)
    seeding.trash(api, gone.id)
    api.patch(f"/documents/{blank.id}/", json={"label": ""})
    empty = api.post(
        f"/documents/{stub}/files/", data={"action_name": "replace"}, files={"file_new": ("zero", b"")}
    )
    assert empty.status_code == 400  # Mayan keeps no file without bytes
    scope = {"kind": "type", "id": str(kind)}

    assert here.night(**scope).ended == "verified"

    one, two = (file.id for file in twin.files)
    assert list(here.within(stub)) == ["document.json"]
    assert here.document(stub)["files"] == []
    assert sorted(here.within(twin.id)) == [f"A [{two}].png", f"a [{one}].png", "document.json"]
    assert here.within(other.id)["a.png"] == same
    assert here.within(plain.id)["x" * 146 + ".bin"] == text
    assert here.document(plain.id)["files"][0]["filename"] == "x" * 200 + ".bin"
    assert here.document(plain.id)["versions"] == []
    assert here.document(plain.id)["label"] == "x" * 200
    assert text in here.within(blank.id).values()
    assert not here.within(gone.id)
    digests = [hashlib.sha256(data).hexdigest() for data in here.files().values()]
    assert digests.count(hashlib.sha256(same).hexdigest()) == 3
    first = here.files()

    assert here.night(**scope).ended == "verified"
    assert set(here.files()) == set(first)
