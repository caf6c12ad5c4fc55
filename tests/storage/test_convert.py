"""A plain archive copied into an encrypted one: bit for bit, whatever stops it, whatever is in it."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from storage import canonical, keytext
from storage.about import texts
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.convert import Converted, convert
from storage.encrypted import Encrypted
from storage.errors import KeyWrong, NotEncrypted, ObjectCorrupt
from storage.keyring import Keyring
from storage.lease import TTL
from storage.scrub import scrub
from tests.doubles import (
    LAB,
    NIGHT,
    START,
    Died,
    FaultyBackend,
    contents,
    copy,
    drop,
    new_archive,
    noise,
    read,
    write,
)

SECRET = keytext.holder_text(bytes(range(32)))
GOLDEN = Path(__file__).parents[1] / "golden"
NOW = datetime(2029, 1, 1, tzinfo=UTC)


def plain() -> Memory:
    memory = Memory()
    archive = new_archive(memory)
    for night in range(3):
        write(archive, {"a": noise(300, night), "b": b"text"}, night=night)
    drop(archive, archive.snapshots(LAB)[0], now=START + 5 * NIGHT)
    return memory


def converted(source: Memory, target: Memory | FaultyBackend, secret: str = SECRET) -> Converted:
    return convert(Archive.open(source), target, secret=secret, holder="night", clock=lambda: NOW)


@pytest.mark.parametrize("name", ["archive-v1.zip", "archive-v2.zip", "archive-v3.zip"])
def test_archives_of_every_format_come_over_whole(tmp_path: Path, name: str) -> None:
    """The same snapshots under the same ids, the same files, and a scrub says the same of both."""
    with zipfile.ZipFile(GOLDEN / name) as stored:
        stored.extractall(tmp_path / "plain")
    source = Archive.open(LocalDisk(tmp_path / "plain"))
    done = convert(source, LocalDisk(tmp_path / "new"), secret=SECRET, holder="night", clock=lambda: NOW)

    new = Archive.open(LocalDisk(tmp_path / "new"), SECRET)
    assert (new.id, new.encrypted, done.files) == (source.id, True, done.copied)
    assert [found.id for found in new.snapshots()] == [found.id for found in source.snapshots()]
    assert [read(new, found) for found in new.snapshots()] == [read(source, found) for found in source.snapshots()]
    assert [tomb.id for tomb in new.tombstones()] == [tomb.id for tomb in source.tombstones()]
    assert new.decisions() == source.decisions()
    assert scrub(new).findings == scrub(source).findings
    assert texts().keys() <= set(new.backend.list("about/"))  # with the program that decrypts it


def test_a_kill_at_every_call_leaves_what_another_run_completes() -> None:
    """Before and after each call below: no archive is there before all of it is, and a second run ends it."""
    source = plain()
    expected = [read(Archive.open(source), found) for found in Archive.open(source).snapshots()]
    died = 0
    for when in ("before", "after"):
        for call in count(1):
            below = Memory()
            target = FaultyBackend(below).die(call, when)
            origin = copy(source)
            try:
                converted(origin, target)
            except Died:
                died += 1
            else:
                if target.unused:
                    break
                continue  # that call itself says that nothing is there
            if below.size("strongroom.json") is not None:
                whole = Archive.open(below, SECRET)
                assert [read(whole, found) for found in whole.snapshots()] == expected
            later = convert(Archive.open(origin), below, secret=SECRET, holder="x", clock=lambda: NOW + 2 * TTL)
            assert [read(later.archive, found) for found in later.archive.snapshots()] == expected
            assert scrub(later.archive).findings == ()
            assert len(list(below.list("keys/"))) == 1
    assert died > 55


def test_what_came_since_comes_over_by_another_run() -> None:
    """Nights go on meanwhile; the rest is copied, nothing twice."""
    source, target = plain(), Memory()
    first = converted(source, target)
    write(Archive.open(source), {"new": noise(500, 8)}, night=4)

    second = converted(source, target)

    assert 0 < second.copied < first.copied
    assert {"new": noise(500, 8)} in [read(second.archive, found) for found in second.archive.snapshots()]
    assert converted(source, target).copied == 0


def test_an_encrypted_archive_goes_on_where_the_plain_one_was() -> None:
    """The next night chains behind the last, and stores only what is new."""
    source, target = plain(), Memory()
    archive = converted(source, target).archive
    before = archive.newest(LAB)
    found = write(archive, {"a": noise(300, 2), "c": b"more"}, night=6)

    assert before is not None and found.previous == before.id
    assert found.manifest.objects_reused >= 1
    assert scrub(archive).findings == ()


def test_nothing_is_mixed_up() -> None:
    """Another archive at the target, a plain copy, an encrypted source, another key: refused, nothing changed."""
    source = plain()
    other, twin = Memory(), copy(source)
    new_archive(other)
    for target, error in ((other, ObjectCorrupt), (twin, NotEncrypted)):
        before = {name: target.get(name) for name in target.list("")}
        with pytest.raises(error):
            converted(source, target)
        assert {name: target.get(name) for name in target.list("")} == before
    target = Memory()
    done = converted(source, target)
    with pytest.raises(KeyWrong):
        converted(source, target, keytext.holder_text(bytes(32)))
    with pytest.raises(NotEncrypted, match="encrypted already"):
        convert(done.archive, Memory(), secret=SECRET, holder="x", clock=lambda: NOW)
    with pytest.raises(ValueError, match="at least 12"):
        converted(source, Memory(), "short")


@pytest.mark.parametrize("paper", [False, True])
def test_a_key_from_before_a_rotation_converts_no_more(paper: bool) -> None:
    """What came since would go there with the old key: refused as for other writers, and nothing is put."""
    source, target = plain(), Memory()
    converted(source, target)
    ring = Keyring.open(target, SECRET)
    old = keytext.paper_text(ring.archive_id, ring.keys) if paper else keytext.holder_text(bytes(32))
    if not paper:
        ring.add("Anna", old, now=NOW)
    ring.rotate(SECRET, now=NOW)
    write(Archive.open(source), {"new": noise(500, 8)}, night=4)
    before = contents(target)

    with pytest.raises(KeyWrong, match="from before a rotation"):
        converted(source, target, old)
    assert contents(target) == before
    assert converted(source, target).copied > 0
    new = Archive.open(target, SECRET)
    assert {"new": noise(500, 8)} in [read(new, found) for found in new.snapshots()]


def test_a_disk_that_gives_back_something_else_is_told() -> None:
    """Each file is read back: one that rots on its way ends the conversion, and there is no archive."""
    source, below = plain(), Memory()

    class Rotten(Memory):
        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            data = super().get(name, offset, length)
            return data[:-1] + bytes([data[-1] ^ 1]) if name.startswith("packs/") else data

    below = Rotten()
    with pytest.raises(ObjectCorrupt, match=r"\.pack"):
        converted(source, below)
    assert below.size("strongroom.json") is None


def test_damage_comes_over_as_it_is() -> None:
    """A damaged file stays evidence: the copy is of bytes, and scrub tells the same of both."""
    source = plain()
    name = next(iter(source.list("packs/")))
    data = source.get(name)
    source.delete(name)
    source.put_new(name, [data[:-60] + b"rot" + data[-57:]])
    stray = "snapshots/lab/readme.txt"
    source.put_new(stray, [b"by hand"])

    done = converted(source, Memory())

    told = {finding.name for finding in scrub(Archive.open(source)).findings}
    assert {finding.name for finding in scrub(done.archive).findings} == told - {stray}


def test_the_mark_says_the_same_archive() -> None:
    """Its id and its birthday stay; only that it is encrypted is new."""
    source, target = plain(), Memory()
    converted(source, target)
    old, new = (canonical.unseal(each.get("strongroom.json")) for each in (source, target))

    assert new.pop("encryption") and new.pop("format") == 2 and old.pop("format") == 1
    assert new == old
    assert isinstance(Archive.open(target, SECRET).backend, Encrypted)
