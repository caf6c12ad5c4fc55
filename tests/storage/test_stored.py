"""A format is for ever: archives that were stored once and for all are read by the code, and by a reader alone."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import storage
from storage import columns, records, snapshot, zipplan
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.catalog import Catalog
from storage.facts import differences
from storage.index import pack_name
from storage.records import Ended
from storage.repair import plan_repair, repair
from storage.restore import Restored, restore
from storage.scrub import scrub
from storage.snapshot import ScopeKey
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import LAB, NIGHT, START, draft, new_archive, noise, pack_of, read, write

STANDALONE = Path(storage.__file__).parent / "standalone.py"
GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = {
    "archive-v1": (6, [Ended.VERIFIED, Ended.FAILED]),
    "archive-v2": (31, [Ended.VERIFIED, Ended.FAILED, *Ended]),
    "archive-v3": (49, [Ended.VERIFIED, Ended.FAILED, *Ended]),
}


@pytest.fixture(params=ROWS)
def version(request: pytest.FixtureRequest) -> str:
    """Each of the stored archives."""
    name: str = request.param
    return name


@pytest.fixture
def golden(version: str, tmp_path: Path) -> Path:
    """A stored archive, unpacked."""
    with zipfile.ZipFile(GOLDEN / f"{version}.zip") as stored:
        stored.extractall(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def promised(version: str) -> dict[str, Any]:
    """What is in it: snapshot -> path -> SHA-256."""
    loaded: dict[str, Any] = json.loads((GOLDEN / f"{version}.json").read_text())
    return loaded


def alone(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The standalone reader as a program, away from the project."""
    return subprocess.run(
        [sys.executable, "-I", STANDALONE, *arguments], capture_output=True, text=True, check=False
    )


def test_a_stored_archive_is_whole(golden: Path, promised: dict[str, Any]) -> None:
    """Nothing found, and every snapshot is there."""
    archive = Archive.open(LocalDisk(golden))

    assert scrub(archive).findings == ()
    assert {found.id for found in archive.snapshots()} == promised["snapshots"].keys()
    assert [tomb.id for tomb in archive.tombstones()] == promised["forgotten"]


def test_a_stored_archive_restores(golden: Path, promised: dict[str, Any], tmp_path: Path) -> None:
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


def test_a_stored_archive_fills_a_catalog(golden: Path, version: str, tmp_path: Path) -> None:
    """Snapshots, a tombstone and records of an older version make rows today."""
    rows, ends = ROWS[version]
    archive = Archive.open(LocalDisk(golden))
    with Catalog.open(tmp_path / "c.db") as catalog:
        assert catalog.reindex(archive) == rows
        assert differences(catalog, archive, now=START) == []
        assert catalog.reindex(archive) == 0
    ended = [record.ended for name, data in archive.records() if (record := records.decode(data, name))]

    assert sorted(ended) == sorted(ends)


def test_a_stored_archive_goes_on(golden: Path) -> None:
    """A writer of today follows a chain of any format; what was there stays readable, and the whole is whole."""
    archive = Archive.open(LocalDisk(golden))
    before = len(archive.snapshots(LAB))
    found = write(archive, {"SD1/form.xml": b"today", "large": noise(200_000, 1)}, key=LAB, night=400)

    assert found.manifest.format == snapshot.FORMAT
    assert len(archive.snapshots(LAB)) == before + 1
    assert read(archive, found)["SD1/form.xml"] == b"today"
    assert scrub(archive).findings == ()
    assert alone(golden).returncode == 0


def test_the_stored_archives_cover_what_is_odd() -> None:
    """The second one has plans of several steps, every ending, every flag, and both formats in one chain."""
    backend = Memory()
    with zipfile.ZipFile(GOLDEN / "archive-v2.zip") as stored:
        for name in stored.namelist():
            backend.put_new(name, [stored.read(name)])
    archive = Archive.open(backend)
    plans, deepest = [], 0
    for found in archive.snapshots():
        reader = archive.reader(found)
        for entry in archive.entries(found):
            if entry.recipe.kind == "zip":
                deepest = max(deepest, len(entry.recipe.steps))
                plans.append(reader.text(entry.recipe.steps))
    sections = []
    for plan in plans:
        cut = columns.Sections(plan, zipplan.HEAD.size)
        sections.append([cut.take() for _ in range(16)])

    assert deepest >= 3
    assert {ending for one in sections for ending in one[10]} == {0, 1, 2, 3, 255}
    assert {plan[24] for plan in plans} >= {1, 2, 3}
    assert all(any(one[number] for one in sections) for number in range(16))
    assert {found.manifest.format for found in archive.snapshots(LAB)} == {1, 2}


def test_the_third_stored_archive_covers_what_format_3_brought() -> None:
    """All formats in one chain, every kind of tombstone, retired packs that are needed, and gone; decisions."""
    backend = Memory()
    with zipfile.ZipFile(GOLDEN / "archive-v3.zip") as stored:
        for name in stored.namelist():
            backend.put_new(name, [stored.read(name)])
    archive = Archive.open(backend)
    live, tombs = archive.snapshots(LAB), archive.tombstones()
    there = [backend.size(pack_name(pack)) is not None for pack in archive.replacements()]
    kinds = {(tomb.why, bool(tomb.id), tomb.manifest.format if tomb.manifest else 3) for tomb in tombs}

    assert {found.manifest.format for found in live} == {1, 2, 3}
    assert any(found.manifest.draft.tags for found in live)
    assert any(found.manifest.draft.level and found.manifest.draft.level.compared for found in live)
    assert kinds >= {("forgotten", True, 2), ("forgotten", True, 3), ("erased", True, 3)}
    assert kinds >= {("lost", True, 3), ("lost", False, 3)}
    assert sorted(there) == [False, True]
    assert {decision.kind for decision in archive.decisions()} == {"hold", "release", "accept", "reject"}
    needy = archive.snapshots(ScopeKey("lab", "retired 12"))[-1]
    for pack in archive.replacements():
        if backend.size(pack_name(pack)) is not None:
            backend.delete(pack_name(pack))
    assert [finding.snapshots for finding in scrub(archive).findings] == [(needy.id,)]


def test_a_stored_archive_is_read_by_the_standalone_reader(
    golden: Path, promised: dict[str, Any], tmp_path: Path
) -> None:
    """As a program, away from the project: one line per file, with the sums promised, and nothing outside."""
    before = sorted(tmp_path.rglob("*"))
    done = alone(golden, tmp_path / "out")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    given = [line for line in lines if line[0] != "snapshot"]

    assert (done.returncode, done.stderr) == (0, "")
    assert {line[1] for line in lines if line[0] == "snapshot"} == promised["snapshots"].keys()
    for line in given:
        assert hashlib.sha256(Path(line[0]).read_bytes()).hexdigest() == line[3]
    told = sorted((Path(line[0]).parent.name, line[2], line[3]) for line in given)
    kept = promised["snapshots"].items()
    assert told == sorted((found[:16], repr(path), sum_) for found, held in kept for path, sum_ in held.items())
    outside = [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(tmp_path / "out")]
    assert outside == before


def test_the_standalone_reader_reads_one_snapshot(golden: Path, promised: dict[str, Any], tmp_path: Path) -> None:
    """That whose id begins so; an id that nothing has is told."""
    chosen = min(promised["snapshots"])
    done = alone(golden, tmp_path / "out", "--snapshot", chosen[:10])

    assert [path.name for path in (tmp_path / "out").iterdir()] == [chosen[:16]]
    assert done.returncode == 0
    assert "no snapshot has an id" in alone(golden, "--snapshot", "zzz").stderr


def kinds(root: Path) -> dict[str, Path]:
    """One file of each kind that the archive has."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        f"{path.relative_to(root).parts[0]}{''.join(path.suffixes[-2:])}": path
        for path in files
        if path.relative_to(root).parts[0] != "tmp"
    }


def test_the_standalone_reader_proves_what_it_reads(golden: Path, version: str) -> None:
    """One changed byte in a file of any kind is told, and ends with 1."""
    assert alone(golden).returncode == 0
    files = kinds(golden)
    assert len(files) == {"archive-v1": 6, "archive-v2": 8, "archive-v3": 12}[version]
    for kind, path in files.items():
        whole = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
        done = alone(golden)
        path.write_bytes(whole)

        assert done.returncode == 1, kind
        assert path.stem.partition(".")[0] in done.stderr, kind


def test_the_standalone_reader_goes_on_behind_damage(
    golden: Path, promised: dict[str, Any], tmp_path: Path
) -> None:
    """A pack that is gone costs the files in it; all others are given, and what was lost is listed."""
    total = sum(len(held) for held in promised["snapshots"].values())
    largest = max(golden.glob("packs/*/*.pack"), key=lambda path: path.stat().st_size)
    largest.unlink()
    next(iter(sorted(golden.glob("snapshots/*/*/*3.json")))).unlink()
    done = alone(golden, tmp_path / "out")
    given = [line.split("\t") for line in done.stdout.splitlines() if not line.startswith("snapshot")]

    assert done.returncode == 1
    assert 0 < len(given) < total
    assert all(hashlib.sha256(Path(line[0]).read_bytes()).hexdigest() == line[3] for line in given)
    assert largest.stem in done.stderr


def test_the_standalone_reader_takes_an_object_from_another_pack(tmp_path: Path) -> None:
    """A snapshot that names a damaged pack and one with the same object loses nothing."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    data = {"a": noise(3 << 10, 3), "b": noise(5 << 10, 4)}
    first = write(archive, data)
    pack = tmp_path / "archive" / pack_name(pack_of(archive, first, "a"))
    pack.chmod(0o600)
    with pack.open("r+b") as stream:
        stream.seek(50)
        stream.write(b"damaged")
    writer = Writer(archive, LAB, proven=True)
    for path, content in data.items():
        writer.add(path, io.BytesIO(content), promised=Promise())
    writer.commit(draft(LAB, START + NIGHT), clock=lambda: START + NIGHT)
    third = write(archive, {**data, "c": b"3"}, night=2)  # objects of both packs
    done = alone(tmp_path / "archive", tmp_path / "out", "--snapshot", third.id)
    given = {path.name: path.read_bytes() for path in (tmp_path / "out" / third.id[:16]).iterdir()}

    assert pack.stem in third.manifest.packs
    assert given == {"0": data["a"], "1": data["b"], "2": b"3"}
    assert pack.stem in done.stderr  # that it is damaged is told


def test_an_unproven_file_is_never_given_as_a_whole_one(tmp_path: Path) -> None:
    """A byte that changed in a block: the file's beginning stays apart, under another name."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    data = noise(3 << 20, 3)
    write(archive, {"large": data})
    pack = max((tmp_path / "archive").glob("packs/*/*.pack"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as stream:
        stream.seek(-(1 << 20), io.SEEK_END)
        stream.write(b"damaged")
    done = alone(tmp_path / "archive", tmp_path / "out")

    (left,) = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert done.returncode == 1
    assert left.name == "0.unproven"
    assert data.startswith(left.read_bytes())


def test_the_standalone_reader_follows_what_replaced_a_pack(tmp_path: Path) -> None:
    """A repaired archive is whole to it; the damaged pack is never opened, a damaged note is told."""
    root = tmp_path / "archive"
    archive = new_archive(LocalDisk(root))
    nights = [{"a": noise(3 << 10, 3), "b": noise(5 << 10, night)} for night in (4, 5)]
    for night, held in enumerate(nights):
        write(archive, held, night=night)
    damaged = sorted(root.glob("packs/*/*.pack"))
    for pack in damaged:  # in the salt: everything in it can be saved
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:30] + b"damaged" + pack.read_bytes()[37:])
    assert alone(root).returncode == 1
    plan = plan_repair(archive, scrub(archive).findings)
    repair(archive, plan, clock=lambda: START + 9 * NIGHT, record_id="20260310-r")
    damaged[0].unlink()
    damaged[1].write_bytes(b"")
    done = alone(root, tmp_path / "out")
    given = [Path(line.split("\t")[0]) for line in done.stdout.splitlines() if not line.startswith("snapshot")]

    assert (done.returncode, done.stderr) == (0, "")
    assert [path.read_bytes() for path in given] == [data for held in nights for data in held.values()]
    note = next(root.glob("replaced/*.json"))
    note.chmod(0o600)
    note.write_bytes(note.read_bytes().replace(b"replaced", b"replacep"))
    assert note.name in alone(root).stderr
