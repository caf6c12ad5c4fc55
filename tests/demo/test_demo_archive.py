"""The demo server's archives: written as the real exporter writes them, repeatable, changing a little each night.

How they are asked for is in test_demo.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

from flows.demo import World
from tests.demo.lab import PICTURE, Lab


def test_members_are_written_as_the_java_exporter_writes_them(lab: Lab) -> None:
    """All members are deflated with streaming flags below one folder named as the zip; folders take 2 bytes."""
    archive = lab.archive("xml/user")
    infos = archive.infolist()

    top = lab.world.jobs[23].zip_name.removesuffix(".zip")
    assert re.fullmatch(r"RSpace-2026-11-16-02-30-xml-mrossi-[\w-]{14}", top)
    assert infos[0].filename == f"{top}/"
    assert all(i.filename.startswith(f"{top}/") for i in infos)
    assert {(i.flag_bits, i.compress_type) for i in infos} == {(0x808, zipfile.ZIP_DEFLATED)}
    assert {i.compress_size for i in infos if i.is_dir()} == {2}


def test_manifest_lists_the_keys_of_the_real_one_in_order(lab: Lab) -> None:
    """The manifest is sorted key:value lines with the scope and the world's date."""
    archive = lab.archive("xml/group")
    manifest = next(n for n in archive.namelist() if n.endswith("/manifest.txt"))

    rows = [line.split(":", 1) for line in archive.read(manifest).decode().splitlines()]

    assert [key for key, _ in rows] == [
        "Database version", "Exported by", "RSPace application version", "Source URL", "archiveId",
        "archiveSource", "exportDate", "scope",
    ]  # fmt: skip
    assert dict(rows)["scope"] == "GROUP"
    assert dict(rows)["exportDate"] == "2026-11-16"


def test_xml_archive_has_documents_gallery_and_schemas(lab: Lab) -> None:
    """A user's xml export holds each document with form and icon, each gallery file, and the common files."""
    names = set(lab.contents("xml/user"))

    common = {
        "folderTree.xml",
        "linkResolver.xml",
        "documentSchema.xsd",
        "formSchema.xsd",
        "extWorkflowSchema.xsd",
    }
    assert common | {"users.xml", "usersSchema.xsd", "messages.xml", "messagesSchemax.xsd", "resources/"} <= names
    assert sum(bool(re.fullmatch(r"doc_[\w-]+-\d+/doc_[\w-]+-\d+\.xml", n)) for n in names) == 15
    assert sum(bool(re.fullmatch(r"doc_[\w-]+/formIcon_\d\.png", n)) for n in names) == 15
    files = [f for f in lab.world.lab.files.values() if f.owner_id == 1]
    assert sum(n.startswith("media_") and n.endswith("/") for n in names) == len(files)


def test_a_sysadmin_exports_anybody_under_the_own_name(lab: Lab) -> None:
    """The zip's name and users.xml are the exporter's, the documents the exported user's."""
    members = lab.contents("xml/user/2", "sysadmin1")

    assert "-xml-sysadmin1-" in lab.world.jobs[23].zip_name
    assert b"<username>sysadmin1</username>" in members["users.xml"]
    owned = {d.id for d in lab.world.lab.documents_of(2)}
    assert {int(m[1]) for n in members if (m := re.match(r"doc_.*-(\d+)/$", n))} == owned
    assert lab.start("xml/group/11", "sysadmin1").status_code == 202


def test_selection_puts_attachments_beside_the_document(lab: Lab) -> None:
    """A selection has no gallery, users or messages; its attachments are in the documents' folders."""
    documents = [d for d in lab.world.lab.documents_of(1) if d.file_ids]
    names = set(lab.contents(f"xml/selection?selections={documents[0].id}&maxLinkLevel=0"))

    file = lab.world.lab.files[documents[0].file_ids[0]]
    assert any(n.startswith("doc_") and n.endswith(f"-{documents[0].id}/{file.name}") for n in names)
    assert not any(n.startswith(("media_", "users.xml", "messages.xml")) for n in names)


def test_html_archive_has_pages_and_indexes(lab: Lab) -> None:
    """An html export has both indexes, a page per folder and document, and styles, but no xml."""
    archive = lab.archive("html/user")
    names = {n.partition("/")[2] for n in archive.namelist()}

    home = lab.world.user("mrossi").home_folder_id
    assert {"index.html", "a-zIndex.html", "nfs-Links.html", f"mrossi-{home}.html", "resources/index.css"} <= names
    assert sum(bool(re.fullmatch(r"doc_[\w-]+/doc_[\w-]+\.html", n)) for n in names) == 15
    assert not any(n.endswith(".xml") for n in names)


def test_attachments_keep_their_time_and_generated_files_do_not(lab: Lab) -> None:
    """Documents carry the export's minute, attachments the day they were uploaded."""
    archive = lab.archive("xml/user")

    times = {i.filename.rpartition("/")[2]: i.date_time for i in archive.infolist() if not i.is_dir()}
    file = next(f for f in lab.world.lab.files.values() if f.owner_id == 1)
    assert times["folderTree.xml"] == (2026, 11, 16, 2, 30, 0)
    assert times[file.name][:3] == (file.created_at.year, file.created_at.month, file.created_at.day)


def test_two_exports_of_unchanged_work_differ_in_names_only(lab: Lab) -> None:
    """No two exports are equal bytes, but without top folder, manifest and picture names they are."""
    first, second = lab.finished("xml/user"), lab.finished("xml/user")
    assert first["result"]["checksum"] != second["result"]["checksum"]

    pictures = [
        {n.rpartition("/")[2] for n in lab.archive("xml/user").namelist() if PICTURE.search(n)} for _ in "ab"
    ]
    assert pictures[0]
    assert not pictures[0] & pictures[1]
    assert lab.contents("xml/user") == lab.contents("xml/user")


def test_same_seed_and_nights_give_the_same_content() -> None:
    """Two worlds agree when seed and nights agree, and a different seed gives different work and keys."""
    worlds = [World(seed=7, nights=3), World(seed=7, nights=3), World(seed=8, nights=3)]
    labs = [w.lab for w in worlds]

    assert labs[0].documents == labs[1].documents
    assert [f.data() for f in labs[0].files.values()] == [f.data() for f in labs[1].files.values()]
    assert labs[0].users == labs[1].users
    assert labs[0].documents != labs[2].documents
    assert labs[0].users[1].api_key != labs[2].users[1].api_key
    assert all(re.fullmatch(r"\w{32}", u.api_key, re.ASCII) for u in labs[0].users.values())


def test_a_night_changes_a_little(lab: Lab) -> None:
    """After a night each owner has one edited document of fifteen, and one attachment or document is new."""
    before = lab.contents("xml/group")
    lab.world.pass_nights()
    after = lab.contents("xml/group")

    edited = {n for n in before if n.endswith(".xml") and before[n] != after.get(n)}
    assert 3 <= sum(n.startswith("doc_") for n in edited) <= 5
    added = set(after) - set(before)
    assert added
    assert len(added) <= 8
    assert set(before) <= set(after)


def test_revision_history_adds_every_version(lab: Lab) -> None:
    """With includeRevisionHistory each version has a folder of its own, counted from -rev1."""
    lab.world.pass_nights(2)
    edited = next(iter(lab.world.lab.older))

    names = lab.contents("xml/group?includeRevisionHistory=True")

    versions = {m[1] for n in names if (m := re.match(rf"doc_[\w-]+-{edited}-rev(\d)/", n))}
    assert versions == {str(n + 1) for n in range(len(lab.world.lab.older[edited]) + 1)}


def test_bulk_is_a_sound_zip_and_the_same_each_night(lab: Lab, tmp_path: Path) -> None:
    """Requested bulk arrives as incompressible attachments that unzip accepts and nights do not change."""
    lab.world.bulk_bytes = (64 << 20) + 12345
    job = lab.finished("xml/user")
    target = tmp_path / "bulk.zip"
    with (
        lab.client.stream("GET", job["_links"][0]["link"], headers=lab.key("mrossi")) as answer,
        target.open("wb") as out,
    ):
        for chunk in answer.iter_raw():
            out.write(chunk)

    assert str(zlib.crc32(target.read_bytes())) == job["result"]["checksum"]
    if shutil.which("unzip"):  # beside zipfile, where the machine has it
        assert subprocess.run(["unzip", "-tqq", str(target)], check=False).returncode == 0
    with zipfile.ZipFile(target) as archive:
        members = [i for i in archive.infolist() if i.filename.endswith(".raw")]
        assert [i.file_size for i in members] == [lab.world.bulk_bytes]
        assert members[0].compress_size > lab.world.bulk_bytes
        assert archive.testzip() is None
    lab.world.pass_nights()
    lab.finished("xml/user")
    with zipfile.ZipFile(lab.built(24)) as archive:
        assert [i.CRC for i in archive.infolist() if i.filename.endswith(".raw")] == [members[0].CRC]
