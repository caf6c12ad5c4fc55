"""Small verbs that put things into a Mayan EDMS through its API; each returns when what it did is to be seen.

All take the client of an administrator (`Mayan.client()`), which waits out a 429. A refusal is an AssertionError
with what the server said, and so is a wait of more than a minute for its worker.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

Found = TypeVar("Found")
Json = dict[str, Any]

POLL_S = 0.1
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is listed with its checksum."""

    id: int
    filename: str
    size: int
    checksum: str  # SHA-256, hex


@dataclass(frozen=True, slots=True)
class Document:
    """A document and the files it was made with, in the order in which they were sent."""

    id: int
    label: str
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a role (and a group) of its own."""

    id: int
    role_id: int
    name: str
    password: str
    token: str


# -- documents


def make_type(api: httpx.Client, label: str) -> int:
    """A document type; its id."""
    return int(post(api, "/document_types/", label=label)["id"])


def make_document(
    api: httpx.Client,
    label: str,
    files: Sequence[tuple[str, bytes]] = (),
    *,
    type_id: int = 1,
    description: str = "",
    language: str = "eng",
) -> Document:
    """A document with these files, one after the other; each replaces the pages of the one before."""
    named = {"document_type_id": type_id, "label": label, "description": description, "language": language}
    made = post(api, "/documents/", **named)
    listed = tuple(add_file(api, int(made["id"]), name, content) for name, content in files)
    return Document(int(made["id"]), label, listed)


def add_file(
    api: httpx.Client, document_id: int, name: str, content: bytes, *, action: str = "replace", comment: str = ""
) -> File:
    """One more file: `action` says what becomes of the pages (replace, append, keep).

    Returns when it is listed with its checksum and its type; a version of its pages comes later (`wait_versions`).
    """
    before = {row["id"] for row in rows(api, f"/documents/{document_id}/files/")}
    fields = {"action_name": action, "comment": comment, "filename": name}
    ok(api.post(f"/documents/{document_id}/files/", data=fields, files={"file_new": (name, content)}))
    checksum = hashlib.sha256(content).hexdigest()

    def listed() -> File | None:
        for row in rows(api, f"/documents/{document_id}/files/"):
            if row["id"] not in before and row["checksum"] == checksum and row["mimetype"]:
                return File(row["id"], row["filename"], row["size"], row["checksum"])
        return None

    return wait(listed, f"file {name} of document {document_id} is listed with its checksum")


def wait_versions(api: httpx.Client, document_id: int, count: int = 1) -> list[int]:
    """The ids of the versions that have pages, in their order, once there are so many.

    A file of an unknown kind may get a version without pages, and at any time.
    """

    def versions() -> list[int] | None:
        found = [row["id"] for row in rows(api, f"/documents/{document_id}/versions/")]
        paged = [each for each in found if page_count(api, document_id, each)]
        return sorted(paged) if len(paged) >= count else None

    return wait(versions, f"document {document_id} has {count} versions with pages")


def page_count(api: httpx.Client, document_id: int, version_id: int) -> int:
    """Of a version."""
    return int(get(api, f"/documents/{document_id}/versions/{version_id}/pages/?page_size=1")["count"])


def remap(api: httpx.Client, document_id: int, pages: Sequence[tuple[int, int]]) -> int:
    """A new version of these pages (file's id, page's number from 1), which becomes the active one; its id."""
    models = rows(api, "/content_types/")
    model = next(row["id"] for row in models if row["model"] == "documentfilepage")
    versions = f"/documents/{document_id}/versions/"
    version_id = int(post(api, versions, comment="remapped", active=True)["id"])
    for place, (file_id, number) in enumerate(pages, 1):
        found = rows(api, f"/documents/{document_id}/files/{file_id}/pages/")
        page = next(row["id"] for row in found if row["page_number"] == number)
        post(api, f"{versions}{version_id}/pages/", content_type_id=model, object_id=page, page_number=place)
    return version_id


def quiet(api: httpx.Client, polls: int = 30, deadline_s: float = 60) -> None:
    """Returns when no event came for so many polls: Mayan writes them behind what they tell of, by its worker."""
    last, same = -1, 0

    def still() -> bool | None:
        nonlocal last, same
        newest = int(get(api, "/events/?page_size=1&_ordering=-id")["results"][0]["id"])
        last, same = newest, same + 1 if newest == last else 0
        return same >= polls or None

    wait(still, "no more events come", deadline_s)


def trash(api: httpx.Client, document_id: int) -> None:
    """Into the trash; returns when it is there."""
    ok(api.delete(f"/documents/{document_id}/"))
    wait(
        lambda: any(row["id"] == document_id for row in rows(api, "/trashed_documents/")) or None,
        f"document {document_id} is in the trash",
    )


# -- what hangs on a document


def tag(api: httpx.Client, document_id: int, label: str, color: str = "#336699") -> int:
    """Attaches a tag, made where there is none of that label; its id."""
    tag_id = _named(api, "/tags/", "label", label, color=color)
    done(api, f"/documents/{document_id}/tags/attach/", {"tag": tag_id})
    return tag_id


def cabinet(api: httpx.Client, document_id: int, path: str) -> int:
    """Puts a document into the last of nested cabinets, as "Letters/2026", made where they are missing; its id."""
    parent: int | None = None
    for label in path.split("/"):
        found = [
            row for row in _cabinets(rows(api, "/cabinets/")) if (row["label"], row["parent"]) == (label, parent)
        ]
        parent = int((found or [post(api, "/cabinets/", label=label, parent=parent)])[0]["id"])
    assert parent is not None
    done(api, f"/cabinets/{parent}/documents/add/", {"document": document_id})
    return parent


def metadata(api: httpx.Client, document_id: int, name: str, value: str) -> int:
    """Gives a document a value; its type is made, and allowed for the document's type, where needed; that id."""
    type_id = _named(api, "/metadata_types/", "name", name, label=name.capitalize())
    allowed = f"/document_types/{get(api, f'/documents/{document_id}/')['document_type']['id']}/metadata_types/"
    if type_id not in [row["metadata_type"]["id"] for row in rows(api, allowed)]:
        post(api, allowed, metadata_type_id=type_id, required=False)
    post(api, f"/documents/{document_id}/metadata/", metadata_type_id=type_id, value=value)
    return type_id


def comment(api: httpx.Client, document_id: int, text: str) -> int:
    """Its id."""
    return int(post(api, f"/documents/{document_id}/comments/", text=text)["id"])


# -- people


def make_user(api: httpx.Client, name: str, permissions: Sequence[str]) -> Person:
    """A user who may do this and nothing else, everywhere: permissions as "documents.document_view"."""
    password = f"{name}-of-tests-only"
    user_id = int(post(api, "/users/", username=name, password=password)["id"])
    group_id = int(post(api, "/groups/", name=f"group of {name}")["id"])
    role_id = int(post(api, "/roles/", label=f"role of {name}")["id"])
    done(api, f"/groups/{group_id}/users/add/", {"user": user_id})
    done(api, f"/roles/{role_id}/groups/add/", {"group": group_id})
    asked = {"username": name, "password": password}
    token = str(ok(api.post("/auth/token/obtain/?format=json", json=asked)).json()["token"])
    person = Person(user_id, role_id, name, password, token)
    for permission in permissions:
        grant(api, person, permission)
    return person


def grant(api: httpx.Client, person: Person, permission: str) -> None:
    """From the next request on."""
    done(api, f"/roles/{person.role_id}/permissions/add/", {"permission": permission})


def revoke(api: httpx.Client, person: Person, permission: str) -> None:
    """From the next request on."""
    done(api, f"/roles/{person.role_id}/permissions/remove/", {"permission": permission})


# -- how all this asks


def ok(response: httpx.Response) -> httpx.Response:
    """The response if it is a success."""
    request = response.request
    assert response.is_success, f"{request.method} {request.url}: {response.status_code} {response.text[:500]}"
    return response


def get(api: httpx.Client, path: str) -> Json:
    """One answer."""
    answer: Json = ok(api.get(path)).json()
    return answer


def post(api: httpx.Client, path: str, **body: Any) -> Json:
    """What was made."""
    answer: Json = done(api, path, body).json()
    return answer


def done(api: httpx.Client, path: str, body: Json) -> httpx.Response:
    """The answer to a question that was carried out.

    Asked again where SQLite was locked by the server's own worker: to that 4.5 answers 500, and has done nothing.
    """
    response = api.post(path, json=body)
    for _ in range(4):
        if response.status_code == 500:
            response = api.post(path, json=body)
    return ok(response)


def rows(api: httpx.Client, path: str) -> list[Json]:
    """All rows of a list, over its pages."""
    found: list[Json] = []
    url: str | None = f"{path}?page_size=100"
    while url:
        page = get(api, url)
        found += page["results"]
        url = page["next"]
    return found


def wait(find: Callable[[], Found | None], what: str, deadline_s: float = DEADLINE_S) -> Found:
    """What `find` gives in the end; asked again every 0.1 s."""
    end = time.monotonic() + deadline_s
    while (found := find()) is None:
        assert time.monotonic() < end, f"not within {deadline_s:.0f} s: {what}"
        time.sleep(POLL_S)
    return found


def _named(api: httpx.Client, path: str, key: str, name: str, **rest: str) -> int:
    """The id of the one of that name, made where there is none."""
    found = [row for row in rows(api, path) if row[key] == name]
    return int((found or [post(api, path, **{key: name}, **rest)])[0]["id"])


def _cabinets(top: Sequence[Json]) -> Iterator[Json]:
    """Those in the list and all below them, whichever way a version lists them; each once or more."""
    for row in top:
        yield row
        yield from _cabinets(row.get("children") or [])
