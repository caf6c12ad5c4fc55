"""The command line with a real Mayan EDMS: what a person sees of rights, and of documents that changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.clock import SystemClock
from flows.errors import Exit
from flows.plan import Places
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import Office
from tests.mayan.test_rights import EVENTS, FILES
from tests.mayan_server import Mayan
from tests.test_cli import Shell

pytestmark = pytest.mark.mayan

CONFIG = """
[[source]]
name = "office"
system = "mayan"
url = "{url}"
token = {{ file = "token" }}
requests_per_s = 0

[[source.scope]]
kind = "type"
id = "{kind}"
"""


def test_doctor_looks_at_rights(mayan: Mayan, tmp_path: Path) -> None:
    """Of every scope: what is missing for it is named, what is only of use is noted."""
    shell = Shell(tmp_path)
    with mayan.client() as api:
        kind = seeding.make_type(api, "Examined")
        seeding.make_document(api, "Paper", [("p.pdf", pdf("paper"))], type_id=kind)
        person = seeding.make_user(api, "examined", FILES)
        (tmp_path / "strongroom.toml").write_text(CONFIG.format(url=mayan.url, kind="Examined"))
        (tmp_path / "token").write_text(person.token)
        shell.run("init", "--yes", "--no-encryption")

        done = shell.run("doctor")
        assert done.returncode == Exit.DONE, done.stdout
        assert f"scopes: type-Examined (permission {EVENTS} is missing: changes of metadata" in done.stdout

        seeding.revoke(api, person, "comments.comment_view")
        done = shell.run("doctor")
    assert done.returncode == Exit.AUTHENTICATION
    assert "FAIL source office: Mayan EDMS: examined lacks permission comments.comment_view" in done.stdout
    assert person.token not in done.stdout + done.stderr


def test_documents_are_what_diff_and_find_tell_of(mayan: Mayan, tmp_path: Path) -> None:
    """By number and label."""
    shell = Shell(tmp_path)
    archive = Archive.create(LocalDisk(tmp_path / "archive"), now=SystemClock().now())
    with (
        mayan.client() as api,
        Catalog.open(tmp_path / "catalog.db") as catalog,
    ):
        kind = seeding.make_type(api, "Compared")
        same, other = (
            seeding.make_document(api, label, [("f.bin", label.encode())], type_id=kind)
            for label in ("the same", "another")
        )
        here = Office(Places(archive, catalog, tmp_path / "spool"), mayan)
        here.night(kind="type", id=str(kind))
        first = here.newest
        seeding.tag(api, other.id, "new here")
        here.night(kind="type", id=str(kind))

    found = shell.json("diff", first.id[:8], "latest", "--archive", "archive")
    changed = {row["record"]: row["label"] for row in found["records"] if row["record"]}
    assert changed == {str(other.id): "another"}
    found = shell.json("find", str(same.id), "--archive", "archive")
    text = json.dumps(found)
    assert f"the same [{same.id}]/document.json" in text
    assert f"[{other.id}]/" not in text
