"""The encrypted archive that was stored once and for all: the code reads it, and so do the two programs alone."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.encrypted import Encrypted
from storage.errors import KeyMissing
from storage.restore import Restored, restore
from storage.scrub import scrub
from tests.doubles import LAB, noise, read, write
from tests.storage.alone import DECRYPTER, GOLDEN, READER, SECRETS, VECTORS, run

PROMISED: dict[str, Any] = json.loads((GOLDEN / "archive-v3-encrypted.json").read_text())


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """The stored archive, unpacked."""
    with zipfile.ZipFile(GOLDEN / "archive-v3-encrypted.zip") as stored:
        stored.extractall(tmp_path / "archive")
    return tmp_path / "archive"


def sums(root: Path) -> dict[str, str]:
    """Every file below a folder, and its SHA-256."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("how", SECRETS)
def test_a_stored_encrypted_archive_is_whole(golden: Path, how: str) -> None:
    """To whoever has the passphrase, the key file or the paper copy: nothing found, every file as it was."""
    archive = Archive.open(LocalDisk(golden), SECRETS[how])
    files = {name: hashlib.sha256(archive.backend.get(name)).hexdigest() for name in archive.backend.list("")}

    assert scrub(archive).findings == ()
    assert {found.id for found in archive.snapshots()} == PROMISED["snapshots"].keys()
    assert files == PROMISED["files"]
    with pytest.raises(KeyMissing):
        Archive.open(LocalDisk(golden))


def test_a_stored_encrypted_archive_restores(golden: Path, tmp_path: Path) -> None:
    """Every file of every snapshot, bit for bit."""
    archive = Archive.open(LocalDisk(golden), SECRETS["key file"])
    for found in archive.snapshots():
        results = restore(archive, found, tmp_path / "to" / found.id[:8])
        given = {
            result.entry.path: hashlib.sha256(result.path.read_bytes()).hexdigest()
            for result in results
            if isinstance(result, Restored)
        }
        assert given == PROMISED["snapshots"][found.id]


def test_a_stored_encrypted_archive_goes_on(golden: Path, tmp_path: Path) -> None:
    """A writer of today follows a chain in it; the programs read what it added."""
    archive = Archive.open(LocalDisk(golden), SECRETS["key file"])
    found = write(archive, {"SD1/form.xml": b"today", "large": noise(200_000, 1)}, key=LAB, night=700)

    assert read(archive, found)["SD1/form.xml"] == b"today"
    assert scrub(archive).findings == ()
    assert run(DECRYPTER, golden, tmp_path / "plain", key=SECRETS["key file"]).returncode == 0
    assert found.id in run(READER, tmp_path / "plain").stdout


def test_the_stored_encrypted_archive_covers_what_is_odd(golden: Path) -> None:
    """Files of both keys, names of several parts, evidence, and nothing that tells a source or a scope."""
    archive = Archive.open(LocalDisk(golden), SECRETS["key file"])
    assert isinstance(archive.backend, Encrypted)
    stored = [path for path in golden.rglob("*") if path.is_file()]
    heads = {path.read_bytes()[8:16].hex() for path in stored if path.read_bytes()[:7] == b"SRCRYPT"}
    names = " ".join(path.relative_to(golden).as_posix() for path in stored)

    assert heads == {key["id"] for key in VECTORS["keys"]}
    assert "-/" in names
    assert not [word for word in ("lab", "group", "user", "%", "forgotten", "00000001") if word in names]
    assert any(name.startswith("evidence/") for name in archive.backend.list(""))


@pytest.mark.parametrize("how", SECRETS)
def test_a_stored_encrypted_archive_is_read_by_the_programs_in_it(golden: Path, how: str, tmp_path: Path) -> None:
    """As programs, away from the project: decrypted under plain names, then given back with the sums promised."""
    before = sums(golden)
    done = run(DECRYPTER, golden, tmp_path / "plain", key=SECRETS[how])
    given = run(READER, tmp_path / "plain", tmp_path / "out")
    lines = [line.split("\t") for line in given.stdout.splitlines() if not line.startswith("snapshot")]

    assert (done.returncode, done.stderr, given.returncode, given.stderr) == (0, "", 0, "")
    assert sums(tmp_path / "plain") == PROMISED["files"]
    assert sums(golden) == before
    assert sorted(line[3] for line in lines) == sorted(
        digest for held in PROMISED["snapshots"].values() for digest in held.values()
    )
    assert all(hashlib.sha256(Path(line[0]).read_bytes()).hexdigest() == line[3] for line in lines)
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "plain", "out"}


def test_the_reader_alone_says_that_an_archive_is_encrypted(golden: Path) -> None:
    """One line about what comes first, in place of every file that it cannot read."""
    done = run(READER, golden)

    assert done.returncode == 1
    assert done.stderr.startswith("encrypted: first comes the other program")
    assert len(done.stderr.splitlines()) == 1
