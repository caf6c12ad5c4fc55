"""The members of an xml export: documents, forms, gallery files, folder tree, users, messages, schemas.

It follows the element names of real archives as far as readers look at them; it is not importable into RSpace.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random
from xml.sax.saxutils import escape, quoteattr

from flows.demo import prose
from flows.demo.archive_names import FORMS, Entry, Naming, form_id
from flows.demo.jobs import Plan, Revision
from flows.demo.lab import Folder, GalleryFile, User

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_EMPTY_LISTS = (
    "audioList", "videoList", "chemdooleImageList", "mathList", "ImageAnnotationList", "attachList",
    "linkRecordList", "sketchImageList", "nfsElementList",
)  # fmt: skip


def entries(plan: Plan, naming: Naming) -> Iterator[Entry]:
    at = plan.planned_at
    people = {u.id: u for u in plan.users}
    folders = {f.id: f for f in plan.folders}
    yield Entry.text("folderTree.xml", _folder_tree(plan, people), at)
    yield Entry.text("linkResolver.xml", _link_resolver(plan), at)
    yield Entry.text("documentSchema.xsd", _schema("archivalDocument", ("name", "type", *_EMPTY_LISTS)), at)
    yield Entry.text(
        "formSchema.xsd", _schema("form", ("code", "type", "name", "formVersion", "listFormFields")), at
    )
    yield Entry.text("extWorkflowSchema.xsd", _schema("extWorkflowData", ("workflows", "invocations")), at)
    yield Entry("resources/commentIcon.gif", lambda: b"GIF89a" + Random("comment icon").randbytes(700), at)
    yield Entry("resources/getInfo12.png", lambda: prose.png(Random("info icon"), 800), at)
    if plan.scope != "selection":
        yield Entry.text("users.xml", _users(plan.exporter), at)
        yield Entry.text("usersSchema.xsd", _schema("archiveUsers", ("listOfUsers", "listOfGroups")), at)
        yield Entry.text(
            "messages.xml", f"{_HEAD}\n<archiveMessages>\n    <listOfMessages/>\n</archiveMessages>\n", at
        )
        yield Entry.text("messagesSchemax.xsd", _schema("archiveMessages", ("listOfMessages",)), at)
    for revision in plan.revisions:
        name = naming.document(revision)
        folder = folders.get(revision.document.parent_id)
        owner = people[revision.document.owner_id]
        yield Entry.text(f"{name}/{name}.xml", _document(revision, naming, folder, owner), at)
        yield Entry.text(f"{name}/{name}_form.xml", _form(revision, name), at)
        yield from naming.document_extras(revision, at)
    for file in plan.gallery:
        name = naming.media(file)
        yield Entry.text(f"{name}/{name}.xml", _media(file, people[file.owner_id]), at)
        yield Entry(f"{name}/{file.name}", file.data, file.created_at)


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _document(revision: Revision, naming: Naming, folder: Folder | None, owner: User) -> str:
    document = revision.document
    place = (folder.id, folder.name, folder.kind) if folder else (document.parent_id, owner.username, "FOLDER")
    head = (
        ("name", document.name), ("type", "NORMAL"), ("createdBy", owner.username), ("formType", "NORMAL"),
        ("creationDate", _stamp(document.created_at)), ("lastModifiedDate", _stamp(document.modified_at)),
        ("recordVersion", document.version), ("folderId", place[0]), ("folderName", place[1]),
        ("folderType", place[2]), ("schemaVersion", 1),
    )  # fmt: skip
    lines = [f'{_HEAD}<archivalDocument docId="{document.id}">', *(_element(1, *row) for row in head)]
    lines.append("    <listFields>")
    for number, field in enumerate(document.fields):
        html = "\n".join(field.paragraphs)
        files = naming.attachments(document) if number == len(document.fields) - 1 else []
        if number == 0 and document.rendered:
            html += f'\n<p><img class="{document.rendered}" src="{naming.picture(revision)}" alt="rendered" /></p>'
        if files:
            html += "\n" + "\n".join(_shown(naming, f) for f in files)
        if number == 0:
            html += "".join(f'\n<p><a id="{i}" class="linkedRecord" href="/globalId/SD{i}">SD{i}</a></p>'
                            for i in document.link_ids)  # fmt: skip
        lines += [
            f'        <field id="{field.id}">',
            _element(3, "fieldName", field.name),
            _element(3, "fieldType", "TEXT"),
            _element(3, "lastModifiedDate", f"{document.modified_at:%Y-%m-%d}"),
            _element(3, "fieldData", html),
            "            <commentList/>",
            *_image_list(naming, files, field.id, owner),
            *(f"            <{name}/>" for name in _EMPTY_LISTS),
            "        </field>",
        ]
    return "\n".join([*lines, "    </listFields>", "</archivalDocument>", ""])


def _shown(naming: Naming, file: GalleryFile) -> str:
    link = naming.link(file)
    if file.kind in ("png", "jpg"):
        return f'<p><img id="{file.id}" class="imageDropped" src="{link}" alt="image {file.name}" /></p>'
    return f'<div class="attachmentDiv"><a class="attachmentLinked" href="{link}">{file.name}</a></div>'


def _image_list(naming: Naming, files: list[GalleryFile], parent_id: int, owner: User) -> list[str]:
    if not files:
        return ["            <imageList/>"]
    lines = ["            <imageList>"]
    for file in files:
        rows = (
            ("schemaVersion", 1), ("parentId", parent_id), ("fileName", file.name),
            ("linkFile", naming.link(file)),
            ("contentType", prose.KINDS[file.kind][0]), ("extension", file.kind),
            ("creationDate", _stamp(file.created_at)), ("createdBy", owner.username),
        )  # fmt: skip
        lines.append(f'                <image-Info id="{file.id}" parentGalleryFolderId="{file.folder_id}">')
        lines += [_element(5, *row) for row in rows]
        lines.append("                </image-Info>")
    return [*lines, "            </imageList>"]


def _form(revision: Revision, name: str) -> str:
    document, number = revision.document, form_id(revision.document)
    lines = [
        f'{_HEAD}<form id="{number}">',
        _element(1, "code", f"{name}_form"),
        _element(1, "type", "NORMAL"),
        _element(1, "name", FORMS[number]),
        _element(1, "publishingState", "PUBLISHED"),
        _element(1, "formVersion", 0),
        "    <listFormFields>",
    ]
    for index, field in enumerate(document.fields):
        lines.append(f'        <fieldForm id="{number * 100 + index}">')
        lines += [
            _element(3, "name", field.name),
            _element(3, "columnIndex", index),
            _element(3, "type", "Text"),
        ]
        lines.append("        </fieldForm>")
    return "\n".join([*lines, "    </listFormFields>", "</form>", ""])


def _media(file: GalleryFile, owner: User) -> str:
    rows = (
        ("schemaVersion", 1), ("parentId", 0), ("fileName", file.name), ("contentType", prose.KINDS[file.kind][0]),
        ("extension", file.kind), ("creationDate", _stamp(file.created_at)), ("createdBy", owner.username),
    )  # fmt: skip
    head = f'<archivalGalleryMetadata id="{file.id}" parentGalleryFolderId="{file.folder_id}">'
    return "\n".join([_HEAD, head, *(_element(1, *row) for row in rows), "</archivalGalleryMetadata>", ""])


def _folder_tree(plan: Plan, people: dict[int, User]) -> str:
    if not plan.folders:
        return f"{_HEAD}\n<exportRecordList>\n    <listFolders/>\n</exportRecordList>\n"
    lines = [_HEAD, "<exportRecordList>", "    <listFolders>"]
    for folder in plan.folders:
        owner = people[folder.owner_id]
        parent = "" if folder.parent_id is None else f' parentId="{folder.parent_id}"'
        kind = "ROOT:FOLDER" if folder.parent_id is None else "FOLDER:SYSTEM" if folder.system else folder.kind
        lines.append(f'        <folderTree id="{folder.id}"{parent} name={quoteattr(folder.name)} type="{kind}">')
        lines.append("            <owner>")
        lines += [_element(4, "email", owner.email), _element(4, "fullName", owner.full_name)]
        lines += [_element(4, "uniqueName", owner.username), "            </owner>"]
        lines += [_element(3, "creationDate", _stamp(folder.created_at)), "        </folderTree>"]
    return "\n".join(
        [*lines, "    </listFolders>", "    <schemaVersion>1</schemaVersion>", "</exportRecordList>", ""]
    )


def _link_resolver(plan: Plan) -> str:
    inside = {r.document.id for r in plan.revisions}
    links = sorted({i for r in plan.revisions for i in r.document.link_ids if i in inside})
    linked = "".join(f"\n        <entry><key>{i}</key><value>{i}</value></entry>" for i in links)
    link_map = f"<linkMap>{linked}\n    </linkMap>" if links else "<linkMap/>"
    return (
        f"{_HEAD}\n<linkResolverMap>\n    <schemaVersion>1</schemaVersion>\n"
        f"    {link_map}\n    <newToOld/>\n</linkResolverMap>\n"
    )


def _users(exporter: User) -> str:
    """The exporter's, also when somebody else's work is exported: so does the real server."""
    role = "ROLE_SYSADMIN" if exporter.is_sysadmin else "ROLE_PI" if exporter.is_pi else "ROLE_USER"
    rows = (
        ("affiliation", "n/a"), ("email", exporter.email), ("firstName", exporter.first_name),
        ("lastName", exporter.last_name), ("username", exporter.username),
    )  # fmt: skip
    lines = [
        _HEAD,
        "<archiveUsers>",
        "    <schemaVersion>1</schemaVersion>",
        "    <listOfUsers>",
        "        <user>",
    ]
    lines += [_element(3, *row) for row in rows]
    lines += [
        f'            <listOfRoles><role name="{role}"/></listOfRoles>',
        "        </user>",
        "    </listOfUsers>",
    ]
    return "\n".join([*lines, "    <listOfGroups/>", "</archiveUsers>", ""])


def _schema(root: str, elements: tuple[str, ...]) -> str:
    rows = "".join(f'\n      <xs:element name="{e}" type="xs:anyType" minOccurs="0"/>' for e in elements)
    return (
        f'{_HEAD}\n<xs:schema version="1.0" xmlns:xs="http://www.w3.org/2001/XMLSchema">\n'
        f'  <xs:element name="{root}">\n    <xs:complexType><xs:sequence>{rows}\n'
        "    </xs:sequence></xs:complexType>\n  </xs:element>\n</xs:schema>\n"
    )


def _element(depth: int, name: str, value: object) -> str:
    return f"{'    ' * depth}<{name}>{escape(str(value))}</{name}>"
