"""Numbers that are damaged or missing for good, given up by a person: then space is freed again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from storage import canonical, evidence, tombstone
from storage.archive import Archive
from storage.backend import Memory
from storage.catalog import Catalog
from storage.compare import Kind
from storage.errors import FormatUnknown, SnapshotUnknown, StorageError
from storage.facts import differences
from storage.giveup import give_up, plan_give_up
from storage.index import pack_digest
from storage.scrub import scrub
from storage.snapshot import ScopeKey, manifest_name, tombstone_name
from storage.sweeping import GRACE, sweep
from tests.doubles import LAB, NIGHT, START, Died, FaultyBackend, copy, drop, new_archive, overwrite, read, write

NOW = START + 30 * NIGHT
Spoil = Callable[[Memory, int], None]


def rot(backend: Memory, number: int) -> None:
    overwrite(backend, manifest_name(LAB, number), b"rot")


def gap(backend: Memory, number: int) -> None:
    backend.delete(manifest_name(LAB, number))


def rotten_tomb(backend: Memory, number: int) -> None:
    archive = Archive.open(backend)
    drop(archive, next(found for found in archive.snapshots() if found.number == number), now=START)
    overwrite(backend, tombstone_name(LAB, number), b"rotten tomb")


def both(backend: Memory, number: int) -> None:
    rotten_tomb(backend, number)
    backend.put_new(manifest_name(LAB, number), [b"rot"])


SPOILS = {"manifest": rot, "gap": gap, "tombstone": rotten_tomb, "both": both}
CASES = [(name, number) for name in SPOILS for number in (1, 2, 3) if (name, number) != ("gap", 3)]


def spoiled(how: str, number: int) -> Memory:
    """Three nights of which one is spoiled."""
    memory = Memory()
    archive = new_archive(memory)
    for night in range(3):
        write(archive, {"a": b"%d" % night * 500}, night=night)
    SPOILS[how](memory, number)
    return memory


def given_up(backend: Memory | FaultyBackend, number: int) -> None:
    """Plan and do it."""
    archive = Archive.open(backend)
    give_up(archive, plan_give_up(archive, LAB, number, reason="a bad disk", now=NOW))


@pytest.mark.parametrize(("how", "number"), CASES)
def test_what_is_given_up_blocks_nothing_any_more(how: str, number: int) -> None:
    """Refused before, freed after; no finding, the damaged bytes are kept, and the chain goes on."""
    memory = spoiled(how, number)
    archive = Archive.open(memory)
    found = {name: data for name in memory.list("snapshots/") if (data := memory.get(name)).startswith(b"rot")}
    others = [one for one in archive.snapshots(damaged=[]) if one.number != number]
    with pytest.raises(StorageError):
        sweep(archive, now=NOW)
    assert scrub(archive).findings
    given_up(memory, number)
    (tomb,) = archive.tombstones()

    assert (tomb.why, tomb.key, tomb.number, tomb.reason) == ("lost", LAB, number, "a bad disk")
    assert tomb.id == {1: others[0].previous if number < 3 else "", 2: others[-1].previous, 3: ""}[number]
    assert scrub(archive).findings == ()
    assert {memory.get(name) for name in memory.list("evidence/") if name.endswith(".bin")} == set(found.values())
    for days in (0, 7):
        sweep(archive, now=NOW + days * NIGHT)
    named = {pack for one in others for pack in one.manifest.packs}
    assert set(map(pack_digest, memory.list("packs/"))) == named
    after = write(archive, {"a": b"after"}, night=40)
    assert (after.number, after.previous) == (4, others[-1].id if number < 3 else None)
    assert [read(archive, one)["a"][:1] for one in archive.snapshots()] == [
        *(b"%d" % (one.number - 1) for one in others),
        b"a",
    ]
    assert scrub(archive).findings == ()


@pytest.mark.parametrize(("how", "number"), CASES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_giving_up_may_die_at_any_call(how: str, number: int, when: str) -> None:
    """Run again, it is done; and a backup between never gets the number, nor is it lost."""
    for call in count(1):
        memory = spoiled(how, number)
        faulty = FaultyBackend(memory)
        archive = Archive.open(faulty)
        plan = plan_give_up(archive, LAB, number, reason="a bad disk", now=NOW)
        faulty.die(call, when)
        try:
            give_up(archive, plan)
        except Died:
            made = write(Archive.open(memory), {"a": b"meanwhile"}, night=35)
            assert made.number == 4
            try:
                given_up(memory, number)
            except SnapshotUnknown as exc:
                assert "gone already" in str(exc)
            sweep(Archive.open(memory), now=NOW)  # takes a manifest beside its tombstone away
            assert Archive.open(memory).find(made.id) == made
        assert scrub(Archive.open(memory)).findings == ()
        assert not list(evidence.problems(memory))
        if faulty.unused:
            break
    assert call > 2


def test_a_whole_manifest_under_a_damaged_tombstone_is_live_again() -> None:
    """Nothing is lost: only the tombstone goes to the evidence."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    archive.backend.put_new(tombstone_name(LAB, 1), [b"rot"])
    plan = plan_give_up(archive, LAB, 1, reason="a bad disk", now=NOW)
    assert plan.tomb is None
    give_up(archive, plan)

    assert archive.snapshots() == [found]
    assert scrub(archive).findings == ()


def test_what_can_be_read_is_not_given_up() -> None:
    """Nor what is gone already, what never was, what a newer version wrote; nor without a reason."""
    archive = new_archive()
    first, second = (write(archive, {}, night=night) for night in range(2))
    drop(archive, first, now=START)
    newer = copy(archive.backend)
    value = canonical.unseal(newer.get(second.name)) | {"format": 99}
    overwrite(newer, second.name, canonical.seal(value))
    for number, says in ((1, "gone already"), (2, "can be read"), (3, "no such number"), (0, "no such number")):
        with pytest.raises(SnapshotUnknown, match=says):
            plan_give_up(archive, LAB, number, reason="x", now=NOW)
    with pytest.raises(SnapshotUnknown, match="no such number"):
        plan_give_up(archive, ScopeKey("no", "where"), 1, reason="x", now=NOW)
    with pytest.raises(FormatUnknown, match="not given up"):
        plan_give_up(Archive.open(newer), LAB, 2, reason="x", now=NOW)
    with pytest.raises(ValueError, match="reason"):
        plan_give_up(archive, LAB, 2, reason=" ", now=NOW)


def test_a_catalog_that_knew_it_learns_that_it_is_lost(tmp_path: Path) -> None:
    """It is told what it lacks, not that the archive was rolled back; entered, nothing differs."""
    archive = new_archive()
    for night in range(2):
        write(archive, {"a": b"%d" % night}, night=night)
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.reindex(archive)
        overwrite(archive.backend, manifest_name(LAB, 2), b"rot")
        assert isinstance(archive.backend, Memory)
        given_up(archive.backend, 2)
        told = differences(catalog, archive, now=NOW)
        catalog.reindex(archive)

        assert [(one.kind, "lost in the archive" in one.problem) for one in told] == [(Kind.CATALOG_LACKS, True)]
        assert differences(catalog, archive, now=NOW) == []


def test_a_tombstone_that_somebody_else_put_stands() -> None:
    """Two who give the same number up at once: one is told."""
    memory = spoiled("gap", 2)
    archive = Archive.open(memory)
    plan = plan_give_up(archive, LAB, 2, reason="a bad disk", now=NOW)
    other = tombstone.lost(archive.id, LAB, 2, known="", at=NOW + GRACE, reason="mine")
    memory.put_new(other.name, [tombstone.encode(other)])
    with pytest.raises(StorageError, match="somebody else"):
        give_up(archive, plan)

    assert archive.tombstones() == [other]
