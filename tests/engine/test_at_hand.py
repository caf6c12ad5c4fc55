"""What is at hand of the last snapshot: by name and by SHA-256, as far as its objects are there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flows.athand import AtHand
from storage.archive import Archive
from storage.index import pack_name
from storage.verify import Promise, Quality
from tests.doubles import LAB, new_archive, noise, overwrite, pack_of, write

FILES = {"a": b"one", "b": b"two", "again": b"one"}


def sha256(data: bytes) -> str:
    """Of a promise."""
    return hashlib.sha256(data).hexdigest()


def at_hand(archive: Archive, folder: Path) -> AtHand:
    """Of a job of the lab."""
    return AtHand(archive, LAB, folder / "job")


def test_the_last_snapshots_files_are_at_hand(tmp_path: Path) -> None:
    """With their bytes and what is promised of them; of others nothing, whatever they are called."""
    archive = new_archive()
    write(archive, FILES)
    hand = at_hand(archive, tmp_path)

    assert {name: hand.before(name) for name in FILES} == FILES
    assert hand.promise("b") == Promise(3, sha256=sha256(b"two"))
    assert hand.has(sha256(b"one"))
    found = hand.entry(sha256(b"two"))
    assert found is not None
    assert found.path == "b"
    assert [hand.before(name) for name in ("c", "", "\udc80")] == [None] * 3
    assert [hand.has(text) for text in (sha256(b"three"), "", "none")] == [False] * 3


def test_nothing_is_at_hand_where_nothing_was_kept(tmp_path: Path) -> None:
    """No snapshot; one that is quarantined; one that is forgotten about."""
    archive = new_archive()
    assert at_hand(archive, tmp_path).before("a") is None
    write(archive, FILES, quality=Quality.QUARANTINED)
    assert not at_hand(archive, tmp_path).has(sha256(b"one"))
    write(archive, FILES, night=1)
    hand = at_hand(archive, tmp_path)
    assert hand.has(sha256(b"one"))

    hand.forget()

    assert not hand.has(sha256(b"one"))
    assert (hand.before("a"), hand.promise("a"), hand.entry(sha256(b"two"))) == (None, None, None)


def test_a_file_whose_objects_are_gone_is_not_at_hand_and_others_are(tmp_path: Path) -> None:
    """Of two files of one snapshot in two packs, the one whose pack is there."""
    archive = new_archive()
    write(archive, {"a": noise(1000, 1)})
    both = write(archive, {"a": noise(1000, 1), "b": noise(1000, 2)}, night=1)
    archive.backend.delete(pack_name(pack_of(archive, both, "a")))
    hand = at_hand(archive, tmp_path)

    assert not hand.has(sha256(noise(1000, 1)))
    assert hand.before("b") == noise(1000, 2)


def test_a_damaged_listing_puts_nothing_at_hand(tmp_path: Path) -> None:
    """All is fetched again, and nothing is raised."""
    archive = new_archive()
    found = write(archive, FILES)
    for name in list(archive.backend.list("packs/")):
        overwrite(archive.backend, name, b"rot")
    assert archive.snapshots() == [found]

    assert not at_hand(archive, tmp_path).has(sha256(b"one"))
