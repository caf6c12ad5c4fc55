"""The tombstone of an erased snapshot rots: what was decided to be erased never comes back to life."""

from __future__ import annotations

from collections.abc import Callable

from storage import tombstone
from storage.archive import Archive
from storage.backend import Memory
from storage.erase import plan_erase
from storage.giveup import plan_give_up
from storage.latest import newest_counted
from storage.prune import free
from storage.scrub import scrub
from storage.snapshot import erased_name
from tests.doubles import LAB, OFFICE, copy, read
from tests.storage.acting import deaths, later
from tests.storage.test_erase import go, has_word, history, tick
from tests.storage.test_erase_rot import FILES, GONE, NOW, ROTS, given_up, half_done, mended

Rot = Callable[[Memory, str], None]
NAME = erased_name(LAB, GONE)


def is_gone(memory: Memory) -> None:
    """The number is neither live nor forgotten, and nothing that is kept suffered."""
    archive = Archive.open(memory)
    live = archive.snapshots(damaged=[])
    assert (LAB, GONE) not in {(found.key, found.number) for found in live}
    assert not [tomb for tomb in archive.tombstones(damaged=[]) if tomb.why == "forgotten"]
    assert [len(read(archive, found)) for found in live] == [2, 2, 2]


@FILES
@ROTS
def test_given_up_it_is_erased_and_its_tombstone_is_put_anew(files: str, rot: Rot) -> None:
    """As what lay below tells it; no byte of the word is left, no finding, and the chain is whole."""
    memory, second = half_done(files)
    whole = tombstone.decode(memory.get(NAME), NAME)
    rot(memory, NAME)
    archive = Archive.open(memory)
    plan = plan_give_up(archive, LAB, GONE, reason="no copy", now=NOW)
    assert plan.tomb is not None
    assert plan.erasing
    given_up(archive)

    is_gone(memory)
    (tomb,) = Archive.open(memory).tombstones(LAB)
    assert (tomb.name, tomb.id, tomb.gone, tomb.why) == (NAME, second.id, whole.gone, "erased")
    assert has_word(memory) == []
    assert scrub(archive).findings == ()
    assert [link.name for link in archive.links(LAB) if link.number == GONE] == [NAME]


@FILES
@ROTS
def test_it_blocks_nobody_and_its_erasing_goes_on(files: str, rot: Rot) -> None:
    """Its name says all: freeing ends the erasing, others are erased; the scrub goes on telling the tombstone."""
    memory, _ = half_done(files)
    rot(memory, NAME)
    archive = Archive.open(memory)
    free(archive, clock=tick())

    is_gone(memory)
    assert has_word(memory) == []
    assert [finding.name for finding in scrub(archive).findings] == [NAME]
    assert plan_erase(archive, key=LAB, now=NOW).names
    go(archive, OFFICE)
    given_up(archive)
    assert [tomb.number for tomb in archive.tombstones(LAB)] == [GONE]
    assert scrub(archive).findings == ()


@FILES
def test_giving_it_up_may_be_killed_anywhere(files: str) -> None:
    """Behind each change it is gone; given up again, or freed, nothing of it is left and nothing is refused."""
    base, _ = half_done(files)
    data = base.get(NAME)
    base.delete(NAME)
    base.put_new(NAME, [data[:30] + bytes([data[30] ^ 1]) + data[31:]])
    died = 0
    for memory in deaths(base, given_up, copy):
        died += 1
        is_gone(memory)
        archive, now = Archive.open(memory), later(NOW)
        if scrub(archive).findings:
            given_up(archive, now=now)
        free(archive, clock=tick(later(now)))
        is_gone(memory)
        assert has_word(memory) == []
        assert scrub(archive).findings == ()
    assert died > 5


def test_wherever_an_erasing_died_its_rotten_tombstone_undoes_nothing() -> None:
    """It never counts as a copy again, with its packs or without them."""
    base, second = history()
    tried = 0
    for memory in deaths(base, lambda archive: go(archive, second), copy):
        if memory.size(NAME) is None:
            continue
        tried += 1
        memory.delete(NAME)
        memory.put_new(NAME, [b"rot"])
        archive = Archive.open(memory)
        given_up(archive, now=later(NOW))
        is_gone(memory)
        newest = newest_counted(archive, LAB, now=later(NOW))
        assert newest is not None
        assert newest.number == 3
        assert has_word(memory) == []
        free(archive, clock=tick(later(NOW, 2)))
    assert tried > 4


@FILES
@ROTS
def test_a_copy_gives_it_back_behind_its_erasing(files: str, rot: Rot) -> None:
    """A repair killed anywhere leaves nothing alive that was to be erased; freed and repaired, it is as it was."""
    base, _ = half_done(files)
    twin = Archive.open(copy(base))
    rot(base, NAME)
    for memory in [*deaths(base, lambda archive: mended(archive, twin), copy), copy(base)]:
        is_gone(memory)
        free(Archive.open(memory), clock=tick(later(NOW)))
        for freed in [*deaths(memory, lambda archive: mended(archive, twin), copy), memory]:
            is_gone(freed)
            mended(Archive.open(freed), twin)
            assert freed.get(NAME) == twin.backend.get(NAME)
            assert scrub(Archive.open(freed)).findings == ()
        assert has_word(memory) == []
