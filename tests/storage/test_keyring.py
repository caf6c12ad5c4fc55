"""Keys rotated, holders in and out, paper proven: who can read what afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from storage import keytext, lease
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.errors import Busy, KeyWrong, NotEncrypted, ObjectCorrupt, StorageError
from storage.keyring import Keyring, drilled, proven_on
from storage.mark import MARK
from storage.scrub import scrub
from tests.doubles import LAB, Died, FaultyBackend, copy, new_archive, noise, overwrite, read, write

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
NIGHT_KEY, OTHER = (keytext.holder_text(bytes([at]) * 32) for at in (1, 2))


def archive() -> Memory:
    memory = Memory()
    made = Archive.create(memory, now=NOW, secret=NIGHT_KEY, holder="night")
    write(made, {"a": noise(300, 1)})
    return memory


def paper_of(memory: Memory) -> str:
    ring = Keyring.open(memory, NIGHT_KEY)
    return keytext.paper_text(ring.archive_id, ring.keys)


def test_after_a_rotation_old_holders_read_what_was_there_before() -> None:
    """The given key reads and writes all; another holder, and old paper, end at the rotation, and are told so."""
    memory = archive()
    Keyring.open(memory, NIGHT_KEY).add("Anna", OTHER, now=NOW)
    paper = paper_of(memory)
    before = Archive.open(memory, NIGHT_KEY).snapshots()[0]

    behind = Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    mine = Archive.open(memory, NIGHT_KEY)
    after = write(mine, {"a": noise(300, 1), "b": b"secret of today" * 20}, night=1)

    assert [one.name for one in behind] == ["Anna"]
    assert [read(mine, found)["a"] for found in (before, after)] == [noise(300, 1)] * 2
    assert scrub(mine).findings == ()
    for secret in (OTHER, paper):
        theirs = Archive.open(memory, secret)
        assert read(theirs, before) == {"a": noise(300, 1)}
        with pytest.raises(ObjectCorrupt, match="from before a rotation") as caught:
            theirs.newest(LAB)
        assert "made since" in caught.value.hint
        everything = {name: memory.get(name) for name in memory.list("")}
        with pytest.raises(KeyWrong, match="from before a rotation"):
            write(theirs, {"c": b"x"}, night=2)
        with pytest.raises(KeyWrong, match="from before a rotation"):
            theirs.backend.delete(before.name)
        assert {name: memory.get(name) for name in memory.list("")} == everything


def test_a_rotation_killed_anywhere_leaves_the_archive_open_to_its_holder() -> None:
    """Before and after each call: the key still opens all, and another rotation ends well with one file of it."""
    for when in ("before", "after"):
        for call in count(1):
            memory = copy(archive())
            below = FaultyBackend(memory)
            ring = Keyring.open(below, NIGHT_KEY)
            below.die(below.calls + call, when)
            try:
                ring.rotate(NIGHT_KEY, now=NOW)
            except Died:
                opened = Archive.open(memory, NIGHT_KEY)
                assert read(opened, opened.snapshots()[0]) == {"a": noise(300, 1)}
                write(opened, {"b": b"x"}, night=1)
                Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW + lease.TTL)
                assert len(list(memory.list("keys/"))) == 1
                assert scrub(Archive.open(memory, NIGHT_KEY)).findings == ()
            else:
                assert below.unused
                break


def test_the_last_holder_stays() -> None:
    """Others go by name or id; two of one name are told apart by their ids only."""
    memory = archive()
    ring = Keyring.open(memory, NIGHT_KEY)
    with pytest.raises(ValueError, match="last holder"):
        ring.remove(ring.chosen("night"), now=NOW)
    second = ring.add("night", OTHER, now=NOW)
    with pytest.raises(ValueError, match="2 holders"):
        ring.chosen("night")
    with pytest.raises(ValueError, match="0 holders"):
        ring.chosen("nobody")
    ring.remove(ring.chosen(second.id), now=NOW)

    assert [one.name for one in ring.holders()] == ["night"]
    with pytest.raises(KeyWrong):
        Archive.open(memory, OTHER)


def test_the_last_holder_of_the_newest_key_stays() -> None:
    """Others are there, but from before a rotation: without it nobody could read what came since."""
    memory = archive()
    ring = Keyring.open(memory, NIGHT_KEY)
    behind = ring.add("Anna", OTHER, now=NOW)
    ring.rotate(NIGHT_KEY, now=NOW)
    with pytest.raises(ValueError, match="last holder of all keys"):
        ring.remove(ring.chosen("night"), now=NOW)

    ring.add("Anna anew", OTHER, now=NOW)
    ring.remove(behind, now=NOW)
    ring.remove(ring.chosen("night"), now=NOW)
    assert len(Archive.open(memory, OTHER).snapshots()) == 1


def test_of_two_rotations_from_the_same_keys_one_is_refused() -> None:
    """Each would have a newest key of its own, and what the one wrote would be damaged to the other."""
    memory = archive()
    Keyring.open(memory, NIGHT_KEY).add("Anna", OTHER, now=NOW)
    first, second, again = (Keyring.open(memory, secret) for secret in (NIGHT_KEY, OTHER, NIGHT_KEY))
    first.rotate(NIGHT_KEY, now=NOW)
    for late in (second, Keyring.open(memory, OTHER)):
        with pytest.raises(KeyWrong, match="1 of 2 keys"):
            late.rotate(OTHER, now=NOW)
        with pytest.raises(KeyWrong, match="1 of 2 keys"):
            late.add("Berta", keytext.holder_text(bytes(32)), now=NOW)
    again.rotate(NIGHT_KEY, now=NOW)  # the same holder goes on from the newest
    now = Keyring.open(memory, NIGHT_KEY)

    assert len(now.keys) == 3
    with lease.held(Archive.open(memory, NIGHT_KEY).backend, lambda: NOW):
        with pytest.raises(Busy):
            now.rotate(NIGHT_KEY, now=NOW)
        with pytest.raises(Busy):
            now.remove(now.chosen("Anna"), now=NOW)


def test_a_damaged_record_of_paper_is_as_if_it_were_none() -> None:
    """Whoever asks when paper was proven is told of the one before; damage is for `scrub` to tell."""
    memory = archive()
    for when in (NOW, NOW + lease.TTL):
        drilled(memory, paper_of(memory), now=when)
    name = max(name for name in memory.list("records/") if "-paper-" in name)
    overwrite(memory, name, memory.get(name)[:-1] + b"!")

    assert proven_on(Archive.open(memory, NIGHT_KEY)) == (NOW, 1)


@pytest.mark.parametrize("which", ["keys/", MARK, "snapshots/"])
def test_nothing_is_read_of_a_planted_file_without_end(tmp_path: Path, which: str) -> None:
    """A terabyte that takes no room: as a holder's file it hinders nobody, as another it is damage."""
    disk = LocalDisk(tmp_path)
    write(Archive.create(disk, now=NOW, secret=NIGHT_KEY, holder="night"), {"a": noise(300, 1)})
    name = f"keys/{'0' * 16}.json" if which == "keys/" else next(disk.list(which))
    path = tmp_path / name
    path.touch()
    path.chmod(0o600)
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)

    if which == "keys/":
        assert len(Archive.open(disk, NIGHT_KEY).snapshots()) == 1
    else:
        with pytest.raises(ObjectCorrupt):
            Archive.open(disk, NIGHT_KEY).snapshots()


def test_one_secret_is_one_holder() -> None:
    """A second holder by the same key file would only look like a second way in."""
    memory = archive()
    ring = Keyring.open(memory, NIGHT_KEY)
    with pytest.raises(ValueError, match="has this key file already"):
        ring.add("the safe", NIGHT_KEY, now=NOW)


def test_paper_is_proven_by_reading_with_it() -> None:
    """The newest snapshot is read whole by nothing but the lines; the archive remembers when."""
    memory = archive()
    paper = paper_of(memory)
    assert proven_on(Archive.open(memory, NIGHT_KEY)) is None
    for name in list(memory.list("keys/")):
        memory.delete(name)

    proven = drilled(memory, paper, now=NOW)

    assert proven.snapshot and proven.chain == str(LAB)
    assert proven_on(Archive.open(memory, paper)) == (NOW, 1)
    assert scrub(Archive.open(memory, paper)).findings == ()


def test_a_new_page_is_proven_by_what_needs_its_newest_key() -> None:
    """Not by an older snapshot of a later date; by that where nothing came since the rotation."""
    memory = archive()
    write(Archive.open(memory, NIGHT_KEY), {"b": noise(300, 2)}, night=9)
    Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    assert drilled(memory, paper_of(memory), now=NOW).key == 1

    made = [write(Archive.open(memory, NIGHT_KEY), {"b": noise(300, 2)}, night=night) for night in (3, 4, 2)]

    proven = drilled(memory, paper_of(memory), now=NOW + lease.TTL)
    assert (proven.snapshot, proven.keys, proven.key) == (made[1].id, 2, 2)


def test_paper_that_does_not_read_is_not_proven() -> None:
    """Another archive's, one from before a rotation, no paper at all, a damaged snapshot: no record."""
    memory = archive()
    paper, other = paper_of(memory), paper_of(archive())
    for text, got in ((other, "is of archive"), ("correct horse battery", "first line"), (paper[:-8], "line 5")):
        with pytest.raises(KeyWrong, match=got):
            drilled(memory, text, now=NOW)
    Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    with pytest.raises(KeyWrong, match="1 of 2 keys"):
        drilled(memory, paper, now=NOW)
    for name in list(memory.list("packs/")):
        data = memory.get(name)
        memory.delete(name)
        memory.put_new(name, [data[:100] + bytes([data[100] ^ 1]) + data[101:]])
    with pytest.raises(StorageError):
        drilled(memory, paper_of(memory), now=NOW)
    assert proven_on(Archive.open(memory, NIGHT_KEY)) is None


def test_a_rotation_needs_a_holder() -> None:
    """By paper alone nobody would hold the new key; a plain archive has none to rotate."""
    memory = archive()
    paper = paper_of(memory)
    with pytest.raises(ValueError, match="held by nobody"):
        Keyring.open(memory, paper).rotate(paper, now=NOW)
    with pytest.raises(NotEncrypted, match="has no keys"):
        Keyring.open(new_archive().backend, None)
