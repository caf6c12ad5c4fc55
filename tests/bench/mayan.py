"""What a night costs a real Mayan EDMS: requests and bytes, beside a script that fetches everything.

    python -m tests.bench.mayan [--documents 2000] [--changed 20]

Counted at a server that it starts and fills with small pictures (a version each, half of them twice the same);
what a night of 100,000 documents would ask follows from the counts. Numbers, not seconds: they are the same on any
machine. The peer is the shortest honest script: every list, every document's files, every file.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from flows.sources.mayan_scopes import SWEEP_DAYS
from tests.mayan import seeding
from tests.mayan.files import png
from tests.mayan.office import Office, office
from tests.mayan_server import Server

LARGE = 100_000
SETTINGS = {
    "REST_API_THROTTLING_ENABLED": "false",
    "SEARCH_BACKEND": "mayan.apps.dynamic_search.backends.django.DjangoSearchBackend",  # no index to be written
}


@dataclass(frozen=True, slots=True)
class Night:
    """What one night asked and fetched."""

    name: str
    requests: int
    fetched: int  # bytes of files


def fill(api: httpx.Client, many: int) -> None:
    """So many documents of one picture each; returns when each has its version."""
    for number in range(many):
        data = {"document_type_id": "1", "label": f"document {number}"}
        seeding.ok(api.post("/documents/upload/", data=data, files={"file": ("a.png", png(f"{number // 2}"))}))

    def ready() -> bool | None:
        query = "/documents/?page_size=100&_ordering=-id&_fields_only=version_active__id"
        rows = seeding.get(api, query)["results"]
        return all(row["version_active"] for row in rows) or None

    seeding.wait(ready, "the last documents have versions", deadline_s=3600)
    seeding.wait(lambda: None if _lacks(api) else True, "all documents have versions", deadline_s=3600)
    seeding.quiet(api, deadline_s=3600)


def _lacks(api: httpx.Client) -> int:
    rows = seeding.rows(api, "/documents/")
    return sum(1 for row in rows if not row["version_active"])


def change(api: httpx.Client, many: int) -> None:
    """Half of these documents get another file, half another value."""
    for number in range(1, many + 1):
        if number % 2:
            seeding.add_file(api, number, "new.png", png(f"new {number}"))
            seeding.wait_versions(api, number, 2)
        else:
            seeding.metadata(api, number, "state", f"changed {number}")
    seeding.quiet(api)


def everything(api: httpx.Client) -> Night:
    """The peer: it fetches all, each night."""
    requests = fetched = 0
    page: str | None = "/documents/?page_size=100"
    while page:
        listed = seeding.get(api, page)
        requests, page = requests + 1, listed["next"]
        for document in listed["results"]:
            files = seeding.get(api, f"/documents/{document['id']}/files/?page_size=100")["results"]
            requests += 1
            for file in files:
                path = f"/documents/{document['id']}/files/{file['id']}/download/"
                fetched += len(seeding.ok(api.get(path)).content)
                requests += 1
    return Night("a script that fetches everything", requests, fetched)


def nights(here: Office, api: httpx.Client, changed: int) -> Iterator[Night]:
    """The first, one without a change, one with some, and the peer's."""
    for name in ("the first", "nothing changed", f"{changed} changed"):
        if name.endswith(" changed") and name != "nothing changed":
            change(api, changed)
        before = here.files() if here.places.archive.snapshots() else {}
        here.night(kind="all")
        files = here.files()
        fetched = sum(
            len(data) for path, data in files.items() if not path.endswith(".json") and path not in before
        )
        yield Night(name, here.requests, fetched)
    yield everything(api)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--changed", type=int, default=20)
    given = parser.parse_args()
    with (
        Server(settings=SETTINGS) as server,
        server.mayan.client() as api,
        tempfile.TemporaryDirectory() as folder,
        office(Path(folder), server.mayan) as here,
    ):
        fill(api, given.documents)
        rows = list(nights(here, api, given.changed))
    print(f"| night of {given.documents} documents | requests | bytes of files |\n|---|---:|---:|")
    for row in rows:
        print(f"| {row.name} | {row.requests} | {row.fetched} |")
    first, quiet, some, _ = rows
    each = (some.requests - quiet.requests) / given.changed
    looked = (first.requests - quiet.requests) / given.documents - 1  # without its file
    pages = math.ceil(LARGE / 100) - math.ceil(given.documents / 100)
    changed, in_turn = each * LARGE / 100, looked * LARGE / SWEEP_DAYS
    print(f"a changed document: {each:.1f} requests; one that is looked at in its turn: {looked:.1f}")
    print(f"{LARGE} documents, 1 % changed: {pages} more for the list, {changed:.0f} for changed ones,", end=" ")
    print(f"{in_turn:.0f} for those in turn, {quiet.requests} else; the script: {LARGE // 100 + 2 * LARGE}")


if __name__ == "__main__":
    main()
