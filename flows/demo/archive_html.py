"""The members of an html export: a page per folder, document and gallery file, two indexes, styles.

The pages link each other as the real ones do; they do not copy the product's looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape
from random import Random

from flows.demo import prose
from flows.demo.archive_names import Entry, Naming, plain_name
from flows.demo.jobs import Plan, Revision
from flows.demo.lab import Folder, GalleryFile

_ICONS = ("audioIcon", "document", "folder", "mainLogoN2", "notebook", "video")


def _icon(name: str) -> bytes:
    return prose.png(Random(name), 2500)


def entries(plan: Plan, naming: Naming, manifest: str) -> Iterator[Entry]:
    at = plan.planned_at
    yield Entry.text("index.html", _index(plan, naming, manifest), at)
    yield Entry.text("a-zIndex.html", _a_to_z(plan, naming), at)
    yield Entry.text("nfs-Links.html", _page("Filestore links", "<p>No filestore links</p>", ""), at)
    for sheet in ("document.css", "index.css"):
        yield Entry.text(f"resources/{sheet}", "body { font-family: sans-serif; margin: 2em }\n" * 12, at)
    for icon in _ICONS:
        yield Entry(f"resources/{icon}.png", partial(_icon, icon), at)
    for folder in plan.folders:
        yield Entry.text(_folder_name(folder), _folder_page(plan, naming, folder), at)
    parents = {f.id: _folder_name(f) for f in plan.folders}
    for revision in plan.revisions:
        name = naming.document(revision)
        parent = parents.get(revision.document.parent_id, "index.html")
        yield Entry.text(f"{name}/{name}.html", _document_page(naming, revision, parent), at)
        yield from naming.document_extras(revision, at)
    for file in plan.gallery:
        name = naming.media(file)
        parent = parents.get(file.folder_id, "index.html")
        yield Entry.text(f"{name}/{name}.html", _media_page(file, parent), at)
        yield Entry(f"{name}/{file.name}", file.data, file.created_at)


def _folder_name(folder: Folder) -> str:
    return f"{plain_name(folder.name)}-{folder.id}.html"


def _page(heading: str, body: str, up: str) -> str:
    return (
        f'<!DOCTYPE HTML>\n<html>\n<head>\n<title>{escape(heading)}</title>\n<meta charset="UTF-8">\n'
        f'<link href="{up}resources/{"document" if up else "index"}.css" rel="stylesheet" />\n</head>\n<body>\n'
        f'<div class="navigationSection"><a href="{up}index.html">Top</a></div>\n{body}\n</body>\n</html>\n'
    )


def _index(plan: Plan, naming: Naming, manifest: str) -> str:
    """Repeats the manifest, so it differs in every export."""
    rows = "\n".join(
        f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>"
        for key, _, value in (line.partition(":") for line in manifest.splitlines())
    )
    tops = [f for f in plan.folders if f.parent_id is None]
    links = [f'<a href="{_folder_name(f)}">{escape(f.name)}</a><br/>' for f in tops]
    if not tops:
        links = [_document_link(naming, r) for r in plan.revisions]
    return _page(
        "Export Root", f"<table>\n{rows}\n</table>\n<h3>Listing of Export Root</h3>\n" + "\n".join(links), ""
    )


def _a_to_z(plan: Plan, naming: Naming) -> str:
    ordered = sorted(plan.revisions, key=lambda r: (r.document.name, r.document.id, r.suffix))
    return _page("A-Z index", "\n".join(_document_link(naming, r) for r in ordered), "")


def _document_link(naming: Naming, revision: Revision) -> str:
    name = naming.document(revision)
    return f'<a href="{name}/{name}.html">{escape(revision.document.name)}</a><br/>'


def _folder_page(plan: Plan, naming: Naming, folder: Folder) -> str:
    lines = [f"<h3>Listing of {escape(folder.name)}</h3>"]
    lines += [
        f'<a href="{_folder_name(f)}">{escape(f.name)}</a><br/>' for f in plan.folders if f.parent_id == folder.id
    ]
    lines += [_document_link(naming, r) for r in plan.revisions if r.document.parent_id == folder.id]
    for file in plan.files:
        if file.folder_id == folder.id:
            name = naming.media(file)
            lines.append(f'<a href="{name}/{name}.html">{escape(file.name)}</a><br/>')
    return _page(folder.name, "\n".join(lines), "")


def _document_page(naming: Naming, revision: Revision, parent: str) -> str:
    document = revision.document
    lines = [
        f'<a href="../{parent}">Parent folder</a>',
        f"<h4>{escape(document.name)}</h4>",
        f"<p>Document SD{document.id} (version {document.version})</p>",
        f"<p>Created on {document.created_at:%a, %b %d, %Y  %H:%M}</p>",
    ]
    for field in document.fields:
        lines += [f"<h3>{escape(field.name)}</h3>", *field.paragraphs, "<hr>"]
    if document.rendered:
        lines.append(f'<p><img class="{document.rendered}" src="{naming.picture(revision)}" alt="rendered" /></p>')
    for file in naming.attachments(document):
        lines.append(f'<p><a class="attachmentLinked" href="{naming.link(file)}">{escape(file.name)}</a></p>')
    return _page(document.name, "\n".join(lines), "../")


def _media_page(file: GalleryFile, parent: str) -> str:
    shown = (
        f'<img src="{file.name}"/>' if file.kind in ("png", "jpg") else f'<a href="{file.name}">{file.name}</a>'
    )
    body = f'<a href="../{parent}">Parent folder</a>\n<h4>{file.name}</h4>\n'
    body += f"<p>Gallery file GL{file.id}</p>\n{shown}"
    return _page(file.name, body, "../")
