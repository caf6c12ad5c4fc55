"""The format is for ever: the examples in its specification, and an archive that was stored once and for all."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import storage
from storage import canonical, records
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.objects import PlainSha256
from storage.packs import BLOCK, COUNTS, HEADER, MAX_FOOTER, MAX_OBJECT, OBJECT, TRAILER, Kind, PackBuilder
from storage.prune import GRACE
from storage.records import Ended
from storage.restore import Restored, restore
from storage.scrub import scrub
from tests.storage import standalone_reader as standalone

FORMAT = (Path(storage.__file__).parent / "FORMAT.md").read_text()
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """The stored archive, unpacked."""
    with zipfile.ZipFile(GOLDEN / "archive-v1.zip") as stored:
        stored.extractall(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def promised() -> dict[str, Any]:
    """What is in it: snapshot -> path -> SHA-256."""
    loaded: dict[str, Any] = json.loads((GOLDEN / "archive-v1.json").read_text())
    return loaded


def example_pack() -> bytes:
    rows = re.findall(r"^[0-9a-f]{4}  ([0-9a-f ]+)$", FORMAT, re.MULTILINE)
    return bytes.fromhex("".join(rows))


def test_the_specifications_pack_is_what_the_code_writes() -> None:
    """Byte for byte, and under the name that the specification gives."""
    builder = PackBuilder("sha256", b"0123456789abcdef")
    for data in (b"hello\n", b"again\n"):
        builder.add(PlainSha256().oid(data), data, Kind.CONTENT)
    name, parts = builder.finish()

    assert example_pack() == b"".join(parts)
    assert f"Its name is `{name}`" in FORMAT


def test_the_specifications_pack_is_read_by_the_standalone_reader() -> None:
    """Both objects, under their names."""
    found = standalone.objects_of(example_pack())

    assert found == {hashlib.sha256(data).digest(): data for data in (b"hello\n", b"again\n")}


def test_the_specifications_mark_is_sealed_rightly() -> None:
    """The example file can be taken as it stands."""
    (line,) = re.findall(r"^(\{.*\})$", FORMAT, re.MULTILINE)

    assert canonical.unseal(line.encode() + b"\n")["kind"] == "archive"


def test_the_specification_states_the_sizes_that_the_code_has() -> None:
    """Of every structure and every bound."""
    sizes = (HEADER.size, BLOCK.size, OBJECT.size, TRAILER.size, COUNTS.size)

    assert sizes == (40, 49, 45, 52, 8)
    assert "header has 40 bytes, a block's row 49, an object's row 45, the trailer 52" in FORMAT
    assert all(f" {bound} " in FORMAT.replace(" |", "  ") for bound in (MAX_OBJECT, MAX_FOOTER))
    assert GRACE.days == 7


def test_the_specification_names_every_way_to_end() -> None:
    """And nothing else is written there."""
    assert all(f"`{ended.value}`" in FORMAT for ended in Ended)


def test_the_stored_archive_is_whole(golden: Path, promised: dict[str, Any]) -> None:
    """Nothing found, and every snapshot is there."""
    archive = Archive.open(LocalDisk(golden))

    assert scrub(archive).findings == ()
    assert {found.id for found in archive.snapshots()} == promised["snapshots"].keys()
    assert [tomb.id for tomb in archive.tombstones()] == promised["forgotten"]


def test_the_stored_archive_restores(golden: Path, promised: dict[str, Any], tmp_path: Path) -> None:
    """Every file of every snapshot, hostile names too."""
    archive = Archive.open(LocalDisk(golden))
    for found in archive.snapshots():
        results = restore(archive, found, tmp_path / "to" / found.id[:8])
        sums = {
            result.entry.path: hashlib.sha256(result.path.read_bytes()).hexdigest()
            for result in results
            if isinstance(result, Restored)
        }
        assert sums == promised["snapshots"][found.id]


def test_the_stored_archive_fills_a_catalog(golden: Path, tmp_path: Path) -> None:
    """Snapshots, a tombstone and records of an older version make rows today."""
    archive = Archive.open(LocalDisk(golden))
    with Catalog.open(tmp_path / "c.db") as catalog:
        assert catalog.reindex(archive) == 6
    ended = [records.decode(data, name) for name, data in archive.records()]

    assert [record.ended for record in ended if record] == [Ended.VERIFIED, Ended.FAILED]


def test_the_stored_archive_is_read_by_the_standalone_reader(golden: Path, promised: dict[str, Any]) -> None:
    """From the specification alone: the same snapshots, the same bytes."""
    sums = {
        found: {path: hashlib.sha256(data).hexdigest() for path, data in standalone.files(golden, manifest)}
        for found, manifest in standalone.snapshots(golden)
    }

    assert sums == promised["snapshots"]


def test_the_standalone_reader_stands_alone(golden: Path, tmp_path: Path, promised: dict[str, Any]) -> None:
    """As a program, away from the project: one line per file, with the sums promised."""
    script = tmp_path / "reader.py"
    script.write_bytes(Path(standalone.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", script, golden, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]

    expected = sorted(one for files in promised["snapshots"].values() for one in files.values())
    assert sorted(line[3] for line in lines) == expected
    assert sorted(hashlib.sha256(Path(line[0]).read_bytes()).hexdigest() for line in lines) == expected


def test_the_standalone_reader_proves_what_it_reads(golden: Path) -> None:
    """A changed byte of a manifest, and of a pack, ends it."""
    manifest = next(golden.glob("snapshots/*/*/*3.json"))
    manifest.write_bytes(manifest.read_bytes().replace(b"quarantined", b"verified"))
    with pytest.raises(standalone.Broken, match="seal"):
        list(standalone.snapshots(golden))
    for pack in golden.glob("packs/*/*.pack"):
        data = bytearray(pack.read_bytes())
        data[60] ^= 1
        with pytest.raises(standalone.Broken, match="does not agree"):
            standalone.objects_of(bytes(data))
