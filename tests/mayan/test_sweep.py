"""Changes that no event tells of are seen in time, and a log of events that was cleared is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.verify import Check, Outcome
from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import Office, office
from tests.mayan_server import Server

pytestmark = pytest.mark.mayan


@dataclass(frozen=True, slots=True)
class Site:
    """A server, and documents there that have a value each."""

    server: Server
    scope: dict[str, Any]
    documents: list[int]

    def change(self, value: str) -> None:
        """Their values, as only the database knows."""
        ids = ", ".join(map(str, self.documents))
        self.server.shell(
            "from mayan.apps.metadata.models import DocumentMetadata as Values\n"
            f"Values.objects.filter(document_id__in=[{ids}]).update(value={value!r})"
        )


@pytest.fixture(scope="module")
def site(start_mayan: Any) -> Iterator[Site]:
    """A server of its own: its events are cleared."""
    with start_mayan() as server, server.mayan.client() as api:
        kind = seeding.make_type(api, "Swept")
        made = [seeding.make_document(api, f"d {n}", [("a.pdf", pdf(f"{n}"))], type_id=kind).id for n in range(4)]
        for number in made:
            seeding.wait_versions(api, number)
            seeding.metadata(api, number, "colour", "red")
        yield Site(server, {"kind": "type", "id": str(kind), "sweep_days": 4}, made)


@pytest.fixture
def here(tmp_path: Path, site: Site) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, site.server.mayan) as made:
        yield made


def values(here: Office, site: Site) -> list[str]:
    """Of all documents, as the newest snapshot has them."""
    return sorted(here.document(number)["metadata"]["colour"] for number in site.documents)


def told(here: Office) -> Check:
    """What the newest snapshot says of changes."""
    (check,) = (one for one in here.newest.manifest.draft.checks if one.name == "changes told by events")
    return check


def test_a_change_without_an_event(site: Site, here: Office) -> None:
    """A quarter of the documents each night: none is trusted for longer than `sweep_days`."""
    site.change("red")
    here.days_on = 1
    here.night(**site.scope)
    site.change("blue")
    seen = []
    for here.days_on in (1, 2, 3, 4, 5):
        assert here.night(**site.scope).ended == "verified"
        seen.append(values(here, site).count("blue"))

    assert seen == [0, 1, 2, 3, 4]


def test_a_night_long_after_the_last_one(site: Site, here: Office) -> None:
    """Looks at everything."""
    site.change("red")
    here.days_on = 1
    here.night(**site.scope)
    site.change("green")
    here.days_on = 40
    here.night(**site.scope)

    assert values(here, site) == ["green"] * 4


def test_a_cleared_log_of_events_is_told(site: Site, here: Office) -> None:
    """The snapshot says that changes may be seen late; what the log still tells is used all the same."""
    here.night(**site.scope)
    here.night(**site.scope)
    assert told(here).outcome is Outcome.PASSED

    site.server.shell("from actstream.models import Action; Action.objects.all().delete()")
    with site.server.mayan.client() as api:
        seeding.tag(api, site.documents[0], "after")
    record = here.night(**site.scope)

    assert record.ended == "verified"
    assert told(here).outcome is Outcome.NOT_AVAILABLE
    assert "begins after the last backup; every document is looked at within 4 days" in told(here).reason
    assert here.document(site.documents[0])["tags"] == ["after"]
