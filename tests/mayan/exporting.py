"""What a server says of exports, for tests of them."""

from __future__ import annotations

from io import BytesIO

import httpx
from pypdf import PdfReader

from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import Office
from tests.mayan_server import Server

VERB = "document_exports.document_version_exported"
TASK = "task_document_version_export["


def of_pages(api: httpx.Client, type_id: str, label: str, pages: int) -> tuple[int, int]:
    """A document of that type with a version of so many pages: the ids of both."""
    made = seeding.make_document(
        api, label, [(f"{label}.pdf"[-80:], pdf(label[:20], pages))], type_id=int(type_id)
    )
    (version,) = seeding.wait_versions(api, made.id)
    return made.id, version


def ask(api: httpx.Client, document: int, version: int) -> None:
    """An export by hand."""
    seeding.ok(api.post(f"/documents/{document}/versions/{version}/export/"))


def received(server: Server) -> int:
    """How many exports the server's workers took up, ever: nothing else remembers one that was removed."""
    return sum(TASK in line and line.endswith(" received") for line in server.log("worker").splitlines())


def downloaded(api: httpx.Client, file: int) -> int:
    """How often a file was downloaded, or asked for by HEAD, ever."""
    found = seeding.rows(api, f"/objects/documents/documentfile/{file}/events/")
    return sum(row["verb"]["id"].endswith(".document_file_downloaded") for row in found)


def left(api: httpx.Client) -> list[int]:
    """Download files that there are, anybody's that may be seen."""
    return [row["id"] for row in seeding.rows(api, "/downloads/")]


def messages(api: httpx.Client) -> list[int]:
    """Download files of which a message of one's own tells."""
    found = seeding.rows(api, "/messages/")
    return [int(row["sender_object_id"]) for row in found if row["sender_model_name"] == "downloadfile"]


def tidy(api: httpx.Client) -> None:
    """Takes away what a test of exports left on a server that others use, too."""
    for number in left(api):
        seeding.ok(api.delete(f"/downloads/{number}/"))
    for row in seeding.rows(api, "/messages/"):
        seeding.ok(api.delete(f"/messages/{row['id']}/"))


def finished(api: httpx.Client, version: int, times: int = 1, deadline_s: float = seeding.DEADLINE_S) -> None:
    """Waits until so many exports of a version are there, whole."""
    path = f"/objects/documents/documentversion/{version}/events/"

    def there() -> bool | None:
        return sum(row["verb"]["id"] == VERB for row in seeding.rows(api, path)) >= times or None

    seeding.wait(there, f"version {version} is exported", deadline_s)


def pages_kept(here: Office, document: int) -> list[int]:
    """The pages of each export in the newest snapshot."""
    kept = here.within(document).items()
    return [len(PdfReader(BytesIO(data)).pages) for name, data in kept if name.startswith("version ")]
