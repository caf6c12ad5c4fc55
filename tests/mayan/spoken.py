"""What a server has, in the words of its own API, without what no restore brings back: for comparisons of two.

Nothing of the product is used here: what it forgets to keep, to give back or to compare shows as a difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import httpx

from tests.mayan import seeding
from tests.mayan.seeding import Json

Place: TypeAlias = tuple[int, int]  # of a page: the place of its file among the document's, and its number there
OF_METADATA = ("label", "default", "lookup", "parser", "parser_arguments", "validation", "validation_arguments")


def document(api: httpx.Client, number: int) -> Json:
    """All of a document; its files by the bytes that are downloaded, pages as (place of the file, page there).

    A page of something else than a file of this document is None.
    """
    base = f"/documents/{number}/"
    row = seeding.get(api, base)
    files = sorted(seeding.rows(api, f"{base}files/"), key=lambda file: int(file["id"]))
    places = {
        page["id"]: (place, page["page_number"])
        for place, file in enumerate(files)
        for page in seeding.rows(api, f"{base}files/{file['id']}/pages/")
    }
    versions = sorted(seeding.rows(api, f"{base}versions/"), key=lambda version: int(version["id"]))
    return {
        **{name: row[name] for name in ("label", "description", "language")},
        "type": row["document_type"]["label"],
        "files": [_file(api, base, file) for file in files],
        "pages of files": sorted(places.values()),
        "versions": [
            (version["active"], version["comment"], _pages(api, base, version["id"], places))
            for version in versions
        ],
        "metadata": sorted(
            (one["metadata_type"]["name"], one["value"]) for one in seeding.rows(api, f"{base}metadata/")
        ),
        "tags": sorted(one["label"] for one in seeding.rows(api, f"{base}tags/")),
        "cabinets": sorted((one["full_path"], one["label"]) for one in seeding.rows(api, f"{base}cabinets/")),
        "comments": [one["text"] for one in sorted(seeding.rows(api, f"{base}comments/"), key=lambda c: c["id"])],
    }


def around(api: httpx.Client) -> Json:
    """What documents refer to: types with what they link, metadata types, tags, cabinets."""
    types = {row["label"]: row["id"] for row in seeding.rows(api, "/document_types/")}
    return {
        "types": {
            label: {
                link["metadata_type"]["name"]: link["required"]
                for link in seeding.rows(api, f"/document_types/{number}/metadata_types/")
            }
            for label, number in types.items()
        },
        "metadata types": {
            row["name"]: [row[name] for name in OF_METADATA] for row in seeding.rows(api, "/metadata_types/")
        },
        "tags": {row["label"]: row["color"] for row in seeding.rows(api, "/tags/")},
        "cabinets": sorted((row["full_path"], row["label"]) for row in seeding.rows(api, "/cabinets/")),
    }


def _file(api: httpx.Client, base: str, row: Json) -> list[str]:
    data = seeding.ok(api.get(f"{base}files/{row['id']}/download/")).content
    digest = hashlib.sha256(data).hexdigest()
    assert (row["checksum"], row["size"]) == (digest, len(data)), f"{base}files/{row['id']}/: not what is listed"
    return [row["filename"], digest, row["comment"], row["mimetype"], row["encoding"]]


def _pages(api: httpx.Client, base: str, version: int, places: Mapping[int, Place]) -> list[Place | None]:
    pages = seeding.rows(api, f"{base}versions/{version}/pages/")
    ours = sorted(pages, key=lambda page: int(page["page_number"]))
    of_files = [page["content_type"]["model"] == "documentfilepage" for page in ours]
    return [places.get(page["object_id"]) if own else None for page, own in zip(ours, of_files, strict=True)]
