"""Which documents a scope has, on a real server: by id and by label, and what is told of those not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.errors import Exit, SourceError
from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan

pytestmark = pytest.mark.mayan


@dataclass(frozen=True, slots=True)
class Site:
    """A server and ids there, by name: documents, and what they are in."""

    mayan: Mayan
    ids: dict[str, int]

    def named(self, documents: set[int]) -> set[str]:
        """Documents by their names."""
        return {name for name, number in self.ids.items() if name.islower() and number in documents}


@pytest.fixture(scope="module")
def site(mayan: Mayan) -> Iterator[Site]:
    """On the session's server."""
    with mayan.client() as api:
        yield Site(mayan, _fill(api))


def _fill(api: httpx.Client) -> dict[str, int]:
    ids = {"Type": seeding.make_type(api, "Scoped")}
    for name in ("above", "below", "both", "elsewhere"):
        made = seeding.make_document(api, f"zebra {name}", type_id=ids["Type"] if name != "elsewhere" else 1)
        ids[name] = made.id
    ids["Top"] = seeding.cabinet(api, ids["above"], "Hill")
    ids["Sub"] = seeding.cabinet(api, ids["below"], "Hill/Side/Foot")
    for path in ("Hill", "Hill/Side", "Valley/Side"):
        seeding.cabinet(api, ids["both"], path)
    ids["Tag"] = seeding.tag(api, ids["both"], "striped")
    return ids


@pytest.fixture
def here(tmp_path: Path, site: Site) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, site.mayan) as made:
        yield made


def documents(here: Office) -> set[int]:
    """Those in the newest snapshot."""
    return {int(found[1]) for path in here.files() if (found := re.search(r" \[(\d+)\]/document\.json$", path))}


@pytest.mark.parametrize(
    ("kind", "called", "expected"),
    [
        ("type", "Type", {"above", "below", "both"}),
        ("type", "Scoped", {"above", "below", "both"}),
        ("cabinet", "Top", {"above", "below", "both"}),
        ("cabinet", "Hill", {"above", "below", "both"}),
        ("cabinet", "Sub", {"below"}),
        ("cabinet", "Hill / Side", {"below", "both"}),
        ("cabinet", "Foot", {"below"}),
        ("tag", "Tag", {"both"}),
        ("tag", "striped", {"both"}),
    ],
)
def test_a_scope_by_id_and_by_label(site: Site, here: Office, kind: str, called: str, expected: set[str]) -> None:
    """A cabinet with those in it; a document in two of them once."""
    record = here.night(kind=kind, id=str(site.ids.get(called, called)))

    assert record.ended == "verified"
    assert site.named(documents(here)) == expected
    assert len([path for path in here.files() if path.endswith("/document.json")]) == len(expected)


def test_all(site: Site, here: Office) -> None:
    """Whatever this user may see."""
    assert here.night(kind="all").ended == "verified"
    assert site.named(documents(here)) == {"above", "below", "both", "elsewhere"}


def test_a_search(site: Site, here: Office) -> None:
    """By the words that a person would search by, as soon as they are in Mayan's index."""
    with site.mayan.client() as api:
        path = "/search/documents.documentsearchresult/?q=zebra"
        seeding.wait(lambda: len(api.get(path).json()["results"]) == 4 or None, "the index knows them")

    assert here.night(kind="search", query="zebra").ended == "verified"
    assert site.named(documents(here)) == {"above", "below", "both", "elsewhere"}
    with pytest.raises(SourceError) as caught:
        here.night(kind="search", query="okapi")
    assert caught.value.exit is Exit.PARTLY


def test_ids_that_are_not_there_are_told(site: Site, here: Office) -> None:
    """The others are kept, and the night is partial: someone wanted that one."""
    with site.mayan.client() as api:
        gone = seeding.make_document(api, "gone").id
        seeding.trash(api, gone)
    wanted = [site.ids["above"], site.ids["elsewhere"], gone, 99_999]

    record = here.night(kind="ids", ids=wanted)

    assert (record.ended, record.exit_code) == ("partial", Exit.PARTLY)
    assert f"document {gone} is in the trash" in record.reason
    assert "document 99999 is not there, or not for this user to see" in record.reason
    assert site.named(documents(here)) == {"above", "elsewhere"}
    assert here.night(kind="ids", ids=wanted[:2]).ended == "verified"


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ({"kind": "cabinet", "id": "Side"}, "2 are called so, promised one"),
        ({"kind": "cabinet", "id": "Hill / Foot"}, "0 are called so, promised one"),
        ({"kind": "type", "id": "scoped"}, "0 are called so"),
        ({"kind": "tag", "id": "99999"}, "0 are called so"),
    ],
)
def test_what_a_label_names_must_be_one(site: Site, here: Office, scope: dict[str, Any], said: str) -> None:
    """Else it is refused, with what there is."""
    with pytest.raises(SourceError) as caught:
        here.night(**scope)

    assert said in str(caught.value)
    assert caught.value.exit is Exit.AUTHENTICATION
    assert "name it by its id; there are: " in caught.value.hint
    if scope["id"] == "Side":
        assert "'Hill / Side'" in caught.value.hint
        assert "'Valley / Side'" in caught.value.hint


def test_a_scope_by_label_follows_the_label(site: Site, here: Office, tmp_path: Path) -> None:
    """Looked up each night: a cabinet that was made anew under its name is the one that is meant."""
    with site.mayan.client() as api:
        made = seeding.make_document(api, "moved", [("m.pdf", pdf("moved"))])
        first = seeding.cabinet(api, made.id, "Camp")
        here.night(kind="cabinet", id="Camp")
        seeding.ok(api.delete(f"/cabinets/{first}/"))
        assert seeding.cabinet(api, made.id, "Camp") != first
        here.night(kind="cabinet", id="Camp")
        seeding.trash(api, made.id)

    assert documents(here) == {made.id}
    assert [found.manifest.number for found in here.places.archive.snapshots()] == [1, 2]
