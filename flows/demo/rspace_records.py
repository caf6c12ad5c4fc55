"""RSpace's calls about records: folder tree, documents, gallery files.

It lists what a caller may read and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.demo import prose, rspace_search
from flows.demo.archive_names import FORMS, form_id
from flows.demo.lab import Document, Folder, GalleryFile
from flows.demo.rspace_call import Call, missing, page, to_number
from flows.demo.rspace_errors import unauthorized
from flows.demo.rspace_people import person
from flows.demo.world import World
from flows.demo.worldclock import iso_millis


def _record(world: World, record: Folder | Document | GalleryFile) -> dict[str, Any]:
    """One line of a folder listing."""
    parent = record.folder_id if isinstance(record, GalleryFile) else record.parent_id
    kind, prefix, extra = "DOCUMENT", "SD", {}
    if isinstance(record, GalleryFile):
        kind, prefix = "MEDIA", "GL"
    elif isinstance(record, Folder):
        kind, prefix = record.kind, "NB" if record.kind == "NOTEBOOK" else "FL"
        extra = {"systemFolder": record.system, "sharedFolder": record.shared}
    modified = record.modified_at if isinstance(record, Document) else record.created_at
    return {
        "id": record.id,
        "globalId": f"{prefix}{record.id}",
        "name": record.name,
        "created": iso_millis(record.created_at),
        "lastModified": iso_millis(modified),
        "parentFolderId": parent,
        "type": kind,
        **extra,
        "owner": person(world.lab.users[record.owner_id]),
        "_links": [],
    }


def _tree(call: Call, id_: str | None = None) -> Any:
    """One level per call; without an id the caller's home folder."""
    lab = call.world.lab
    wanted_id = to_number(id_) if id_ else call.user.home_folder_id
    folder = None if wanted_id is None else lab.folders.get(wanted_id)
    if folder is None:
        raise missing("Folder", id_)
    if not lab.can_read(call.user, folder.owner_id):
        raise unauthorized(f"Unauthorized attempt by {call.user.username} to read folder {folder.id}")
    records: list[Folder | Document | GalleryFile] = [f for f in lab.folders.values() if f.parent_id == folder.id]
    records += [d for d in lab.documents.values() if d.parent_id == folder.id]
    if folder.shared:  # a shared document lies in two places at once
        records += [lab.documents[i] for i in sorted(lab.shared) if lab.documents[i].owner_id == folder.owner_id]
    records += [f for f in lab.files.values() if f.folder_id == folder.id]
    rows = [_record(call.world, r) for r in records]
    if wanted := call.request.parameter("typesToInclude"):
        kinds = {k.strip().upper() for k in wanted.split(",")}
        rows = [r for r in rows if r["type"] in kinds]
    return {"folderId": folder.id} | page(call, "records", rows)


def _document(world: World, document: Document) -> dict[str, Any]:
    number = form_id(document)
    tags = ",".join(world.lab.tags.get(document.id, ()))
    grandparent = world.lab.folders[document.parent_id].parent_id
    form = {
        "id": number,
        "globalId": f"FM{number}",
        "stableId": f"FM{number}",
        "version": 0,
        "name": FORMS[number],
    }
    return {
        "id": document.id,
        "globalId": f"SD{document.id}",
        "version": document.version,
        "name": document.name,
        "created": iso_millis(document.created_at),
        "lastModified": iso_millis(document.modified_at),
        "parentFolderId": document.parent_id,
        "grandParentId": grandparent,
        "signed": False,
        "tags": tags,
        "tagMetaData": tags,
        "form": form | {"tags": "", "iconId": None, "_links": []},
        "owner": person(world.lab.users[document.owner_id]),
        "_links": [],
    }


def _documents(call: Call) -> Any:
    """Everything the caller can read, newest change first unless ordered otherwise."""
    found = [d for d in call.world.lab.documents.values() if call.world.lab.is_shown(call.user, d)]
    found = rspace_search.search(call, found)
    found = rspace_search.ordered(found, call.request.parameter("orderBy", "lastModified desc"))
    return page(call, "documents", [_document(call.world, d) for d in found])


def _one_document(call: Call, id_: str) -> Any:
    document = call.world.lab.documents.get(to_number(id_))
    if document is None:
        raise missing("Document", id_)
    if not call.world.lab.can_read(call.user, document.owner_id):
        raise unauthorized(f"Unauthorized attempt by {call.user.username} to read document {document.id}")
    fields = [
        {
            "id": f.id,
            "globalId": f"FD{f.id}",
            "name": f.name,
            "type": "text",
            "content": "\n".join(f.paragraphs),
        }
        for f in document.fields
    ]
    return _document(call.world, document) | {"fields": fields}


def _files(call: Call) -> Any:
    found = [f for f in call.world.lab.files.values() if f.owner_id == call.user.id]
    if media := call.request.parameter("mediaType"):
        found = [f for f in found if media == ("image" if f.kind in ("png", "jpg") else "document")]
    return page(call, "files", [_file(f) for f in found])


def _one_file(call: Call, id_: str) -> Any:
    file = call.world.lab.files.get(to_number(id_))
    if file is None:
        raise missing("File", id_)
    if not call.world.lab.can_read(call.user, file.owner_id):
        raise unauthorized(f"Unauthorized attempt by {call.user.username} to read file {file.id}")
    return _file(file)


def _file(file: GalleryFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "globalId": f"GL{file.id}",
        "name": file.name,
        "caption": None,
        "contentType": prose.KINDS[file.kind][0],
        "created": iso_millis(file.created_at),
        "size": len(file.data()),
        "version": 1,
        "parentFolderId": file.folder_id,
        "_links": [],
    }


# path below /api/v1, as a pattern -> the function that answers
ENDPOINTS: dict[str, Callable[..., Any]] = {
    "folders/tree": _tree,
    "folders/tree/([^/]+)": _tree,
    "documents": _documents,
    "documents/([^/]+)": _one_document,
    "files": _files,
    "files/([^/]+)": _one_file,
}
