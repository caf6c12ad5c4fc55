"""What Mayan lost, or what was taken away there, is told; and what it still has is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.errors import Exit
from flows.sources import record_of
from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan


@pytest.fixture
def mayan(fresh_mayan: Server) -> Mayan:
    """A server of this file's own: nobody else's documents are spoiled."""
    return fresh_mayan.mayan


@pytest.fixture
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


@pytest.fixture
def here(tmp_path: Path, mayan: Mayan) -> Iterator[Office]:
    """Empty, before its first night."""
    with office(tmp_path, mayan) as made:
        yield made


def spoil(server: Server, file: seeding.File, how: str) -> None:
    """One byte of a file on the server's disk, or the whole file."""
    for path in (server.folder / "media" / "document_storage").rglob("*"):
        if path.is_file() and path.stat().st_size == file.size:
            data = bytearray(path.read_bytes())
            if hashlib.sha256(data).hexdigest() == file.checksum:
                data[-1] ^= 1
                path.write_bytes(data) if how == "changed" else path.unlink()
                return
    raise AssertionError("the file is not there")


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_file_that_is_not_what_it_was(api: httpx.Client, fresh_mayan: Server, here: Office, how: str) -> None:
    """It alone is left out and named, with its document and the id by which it can be given up."""
    kind = seeding.make_type(api, f"Rotten {how}")
    scope = {"kind": "type", "id": str(kind)}
    files = [("one.pdf", pdf(f"first {how}")), ("two.pdf", pdf(f"second of them {how}"))]
    bad = seeding.make_document(api, "A label that is long enough for all", files, type_id=kind)
    good = seeding.make_document(api, "good", [("g.pdf", pdf(f"good {how}"))], type_id=kind)
    for made in (good, bad):
        seeding.wait_versions(api, made.id)
    spoiled = bad.files[1]  # the latest, by which rights are looked at
    spoil(fresh_mayan, spoiled, how)

    record = here.night(**scope)

    assert (record.ended, record.exit_code) == ("partial", Exit.PARTLY)
    said = f"document {bad.id} ('A label that is long enough for all'), file {spoiled.id} ('two.pdf')"
    assert said in record.reason
    assert ("promised" if how == "changed" else "answers 500") in record.reason
    assert any(said in note for note in here.newest.manifest.draft.notes)
    assert sorted(here.within(bad.id)) == ["document.json", "one.pdf"]
    assert here.within(good.id)["g.pdf"] == pdf(f"good {how}")
    assert here.night(**scope).ended == "partial"

    assert here.night(**scope, except_files=[spoiled.id]).ended == "verified"
    assert sorted(here.within(bad.id)) == ["document.json", "one.pdf"]


def test_a_fall_is_quarantined(api: httpx.Client, here: Office) -> None:
    """Half of the documents are gone over night: kept, told by their labels, and no backup that counts."""
    kind = seeding.make_type(api, "Falling")
    made = [
        seeding.make_document(api, f"sheet {n}", [("s.bin", b"sheet %d" % n)], type_id=kind) for n in range(24)
    ]
    scope = {"kind": "type", "id": str(kind)}
    for _ in range(2):
        assert here.night(**scope).ended == "verified"
    for document in made[:16]:
        api.delete(f"/documents/{document.id}/")
    seeding.wait(
        lambda: len(seeding.rows(api, f"/document_types/{kind}/documents/")) == 8 or None, "they are in the trash"
    )

    record = here.night(**scope)

    assert (record.ended, record.exit_code) == ("quarantined", Exit.QUARANTINED)
    assert "8 records" in record.reason
    tell = record_of("mayan")
    paths = [path for path in here.files() if path.endswith("/s.bin")]
    assert {found.label for path in paths if (found := tell(path))} == {f"sheet {n}" for n in range(16, 24)}
