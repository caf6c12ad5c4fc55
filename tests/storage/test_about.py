"""An archive carries its own description, whoever made it and whenever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import storage
from storage import snapshot
from storage.about import texts
from storage.archive import Archive
from storage.scrub import scrub
from tests.doubles import contents, new_archive, overwrite, write

TEXTS = [Path(storage.__file__).parent / name for name in ("FORMAT.md", "standalone.py", "standalone_decrypt.py")]


def test_an_archive_describes_itself() -> None:
    """The text and both programs lie in it from the beginning, named by what they hold; again changes nothing."""
    archive = new_archive()
    about = {name: data for name, data in contents(archive.backend).items() if name.startswith("about/")}

    assert about == texts()
    assert sorted(about.values()) == sorted(path.read_bytes() for path in TEXTS)
    assert all(hashlib.sha256(data).hexdigest() == Path(name).stem for name, data in about.items())
    before = contents(archive.backend)
    Archive.create(archive.backend, now=snapshot.from_text("2026-04-01T00:00:00.000000Z"))
    assert contents(archive.backend) == before


def test_a_writer_describes_an_archive_of_an_older_version() -> None:
    """Beside the texts that are there; reading adds nothing."""
    archive = new_archive()
    for name in texts():
        archive.backend.delete(name)
    older = b"# The format of an archive, version 1\n"
    older_name = f"about/{hashlib.sha256(older).hexdigest()}.md"
    archive.backend.put_new(older_name, [older])
    Archive.open(archive.backend).snapshots()
    assert list(archive.backend.list("about/")) == [older_name]
    write(archive, {"a": b"1"})

    assert list(archive.backend.list("about/")) == sorted([older_name, *texts()])
    assert scrub(archive).findings == ()


def test_a_description_that_changed_is_found() -> None:
    """By its own name; and what else lies there is no file of an archive."""
    archive = new_archive()
    name = next(iter(texts()))
    overwrite(archive.backend, name, b"something else")
    archive.backend.put_new("about/readme.txt", [b"hello"])

    assert sorted(finding.name for finding in scrub(archive).findings) == sorted([name, "about/readme.txt"])
