"""Erasing: content goes for good, whatever others share stays whole, and nothing stops half-way for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from storage import evidence, secondlook
from storage.archive import Archive
from storage.backend import Backend, LocalDisk, Memory
from storage.decisions import Decision
from storage.erase import erase, plan_erase
from storage.errors import SnapshotUnknown, StorageError
from storage.losses import needed
from storage.objects import Oid
from storage.prune import free, undelete
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot, manifest_name, tombstone_name
from storage.sweeping import GRACE, packs_present, sweep
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Died,
    FaultyBackend,
    copy,
    drop,
    new_archive,
    noise,
    opened,
    read,
    write,
)
from tests.storage.acting import Beside, Runner, deaths, later, listed

NOW = START + 20 * NIGHT
WORD = b"Maria Rossi 4711"
SECRET = noise(300, 77) + WORD + noise(300, 78)  # does not shrink, so it lies in its pack as it is
SHARED = noise(600, 1)


def tick(now: datetime = NOW) -> Ticks:
    return Ticks(now)


class Ticks:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def history(secret: str | None = None) -> tuple[Memory, Snapshot]:
    """Three nights and another scope, of which the second night alone holds the word; it."""
    memory = Memory()
    archive = new_archive(memory, secret)
    write(archive, {"a": SHARED, "b": noise(200, 2)})
    second = write(archive, {"a": SHARED, "secret": SECRET, "c": noise(400, 3)}, night=1)
    write(archive, {"a": SHARED, "c": noise(400, 3)}, night=2)
    write(archive, {"a": SHARED, "z": noise(300, 4)}, key=OFFICE, night=2)
    return memory, second


def go(archive: Archive, target: Snapshot | ScopeKey, now: datetime = NOW) -> object:
    """Erase it, as it is planned now."""
    if isinstance(target, Snapshot):
        plan = plan_erase(archive, snapshots=[target], now=now)
    else:
        plan = plan_erase(archive, key=target, now=now)
    return erase(archive, plan, reason="he asked for it", by="ada@host", clock=tick(now))


def has_word(backend: Backend) -> list[str]:
    """Files that hold the word, for whoever has the key."""
    backend = opened(backend).backend
    return [name for name in backend.list("") if WORD in backend.get(name)]


def only_its(archive: Archive, one: Snapshot) -> set[Oid]:
    """The objects that no other snapshot needs."""
    others = [found for found in archive.snapshots() if found.id != one.id]
    theirs = {oid for found in others for oid in needed(archive.reader(found), found)}
    return set(needed(archive.reader(one), one)) - theirs


def everything(archive: Archive) -> dict[str, dict[str, bytes]]:
    return {found.id: read(archive, found) for found in archive.snapshots()}


def test_what_only_it_held_is_gone_at_once_and_the_rest_is_whole() -> None:
    """No byte of the word anywhere, no footer lists its objects, every other snapshot reads as before."""
    memory, second = history()
    archive = Archive.open(memory)
    before, theirs = everything(archive), only_its(archive, second)
    assert has_word(memory)
    go(archive, second)

    assert has_word(memory) == []
    assert not theirs & listed(archive)
    assert everything(archive) == {one: files for one, files in before.items() if one != second.id}
    assert scrub(archive).findings == ()
    (tomb,) = archive.tombstones()
    assert (tomb.why, tomb.id, tomb.reason) == ("erased", second.id, "he asked for it (ada@host)")
    assert list(memory.list("snapshots/lab/group%201234/00000002")) == [tomb.name]
    with pytest.raises(SnapshotUnknown, match="erased"):
        undelete(archive, second.id, by="ada", reason="", clock=tick())


def test_the_bytes_that_are_told_are_those_that_the_packs_lost() -> None:
    """What others need of such a pack lies in another one now, and is not won."""
    memory = Memory()
    archive = new_archive(memory)
    big = noise(100_000, 5)
    gone = write(archive, {"big": big, "secret": SECRET})
    write(archive, {"big": big}, night=1)
    before = sum(packs_present(archive).values())
    done = erase(archive, plan_erase(archive, snapshots=[gone], now=NOW), reason="law", by="ada", clock=tick())

    assert done.bytes_freed == before - sum(packs_present(archive).values())


def test_a_plan_says_what_stays_and_changes_nothing() -> None:
    """Names, bytes and sentences; a held one is refused, by its reason, and then nothing is done."""
    memory, second = history()
    archive = Archive.open(memory)
    before = dict(memory._files)
    plan = plan_erase(archive, snapshots=[second], now=NOW)

    assert memory._files == before
    assert plan.held == ()
    assert plan.bytes_freed > len(SECRET)
    assert any("others" in said or "need them, too" in said for said in plan.stays)
    archive.decide(Decision("hold", LAB, 2, second.id, NOW, "bob", "a trial"))
    assert "a trial" in plan_erase(archive, snapshots=[second], now=NOW).held[0]
    before = dict(memory._files)
    with pytest.raises(StorageError, match="a trial"):
        erase(archive, plan, reason="x", by="ada", clock=tick())
    assert {n: d for n, d in memory._files.items() if not n.startswith("leases/")} == before


def test_a_forgotten_one_loses_its_tombstone_s_manifest() -> None:
    """What its manifest says must not stay in the tombstone either."""
    memory, second = history()
    archive = Archive.open(memory)
    drop(archive, second, now=NOW)
    (tomb,) = archive.tombstones()
    plan = plan_erase(archive, snapshots=[tomb], now=NOW)
    erase(archive, plan, reason="x", by="ada", clock=tick())

    assert memory.size(tombstone_name(LAB, 2)) is None
    assert has_word(memory) == []
    assert scrub(archive).findings == ()


def test_a_scope_goes_with_all_that_it_ever_held_and_its_evidence() -> None:
    """Forgotten ones and damaged bytes too; the other scope shares what it needs."""
    memory, second = history()
    archive = Archive.open(memory)
    drop(archive, second, now=NOW)
    evidence.keep(memory, manifest_name(LAB, 1), b"rot " + WORD, now=NOW, reason="rot")
    evidence.keep(memory, manifest_name(OFFICE, 1), b"other rot", now=NOW, reason="rot")
    before = everything(archive)
    go(archive, LAB)

    assert has_word(memory) == []
    assert everything(archive) == {one.id: before[one.id] for one in archive.snapshots(OFFICE)}
    assert {tomb.why for tomb in archive.tombstones(LAB)} == {"erased"}
    assert len(list(memory.list("evidence/"))) == 2
    assert scrub(archive).findings == ()
    assert write(archive, {"a": SECRET}, night=21).number == 4


def test_the_same_bytes_in_a_pack_of_somebody_else_go_too() -> None:
    """Two backups at once stored them twice; the other one is forgotten, past its grace, and not swept yet."""
    memory = Memory()
    archive = new_archive(memory)
    one = Runner(memory, LAB, {"s": SECRET}, START)
    two = Runner(memory, OFFICE, {"s": SECRET, "k": SHARED}, START)
    one.step()
    two.step()
    first, second = one.finish(), two.finish()
    drop(archive, second, now=NOW - 2 * GRACE)
    go(archive, first)

    assert has_word(memory) == []
    sweep(archive, now=NOW)
    assert scrub(archive).findings == ()


def test_content_that_another_snapshot_holds_stays_readable() -> None:
    """It is said, and nothing of the other is lost."""
    memory, second = history()
    archive = Archive.open(memory)
    other = write(archive, {"s": SECRET}, key=OFFICE, night=3)
    go(archive, second)

    assert read(archive, other) == {"s": SECRET}
    go(archive, other)
    assert has_word(memory) == []
    assert scrub(archive).findings == ()


@pytest.mark.parametrize("again", ["erase", "free"])
def test_killed_at_any_call_the_next_one_ends_it(again: str) -> None:
    """At each instant all other snapshots are whole; run again, or with the next freeing, the word is gone."""
    base, second = history()
    archive = Archive.open(copy(base))
    theirs = only_its(archive, second)
    rest = {one: files for one, files in everything(archive).items() if one != second.id}
    died = 0
    for memory in deaths(base, lambda archive: go(archive, second), copy):
        died += 1
        archive = Archive.open(memory)
        found = everything(archive)
        assert {one: files for one, files in found.items() if one != second.id} == rest
        assert scrub(archive).findings == ()
        begun = second.id not in found
        if again == "erase":
            go(archive, second, later(NOW))
        else:
            free(archive, clock=tick(later(NOW)))
        if again == "erase" or begun:
            assert has_word(memory) == []
            assert not theirs & listed(archive)
            assert archive.half_erased() == []
        assert {one: files for one, files in everything(archive).items() if one != second.id} == rest
        assert scrub(archive).findings == ()
        sweep(archive, now=later(NOW, 3))
        sweep(archive, now=later(NOW, 3) + GRACE)
        named = {p for found in archive.snapshots() for p in archive.packs_of(found.manifest)}
        if begun:
            assert {name[-69:-5] for name in memory.list("packs/")} <= named
    assert died > 7


def test_beside_two_writers_at_every_call_nobody_loses_anything() -> None:
    """Two backups, one of the same content, take steps at call n of the erasing: both end whole, the word is where
    somebody needs it and nowhere else."""
    base, second = history()
    runs = again = 0
    for at in count(1):
        memory = copy(base)
        one = Runner(memory, LAB, {"a": SHARED, "secret": SECRET}, NOW)
        two = Runner(memory, OFFICE, {"a": SHARED, "n": noise(500, 9)}, NOW)
        one.step()
        two.step()

        def beside(number: int, at: int = at, one: Runner = one, two: Runner = two) -> None:
            if number == at or number in (at + 3, at + 7, at + 11):
                one.step()
                two.step()

        archive = Archive.open(memory)
        wrapped = Beside(memory, beside)
        archive.backend = wrapped
        go(archive, second)
        done = one.finish(), two.finish()
        runs, again = runs + 1, again + one.again + two.again
        archive = Archive.open(memory)
        assert read(archive, done[0]) == {"a": SHARED, "secret": SECRET}
        assert read(archive, done[1]) == {"a": SHARED, "n": noise(500, 9)}
        assert len(everything(archive)) == 5
        assert scrub(archive).findings == ()
        if wrapped.calls < at:
            break
    assert runs > 40
    assert again > 0, "some had to run again"


class Interrupting(Beside):
    """A writer's backend in which something happens before its manifest is put, and something behind it."""

    def __init__(self, inner: Backend, before: Callable[[], object], behind: Callable[[], object]) -> None:
        super().__init__(inner, lambda _: None)
        self._first, self._behind = before, behind

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        if not name.startswith("snapshots/"):
            return super().put_new(name, chunks)
        self._first()
        made = super().put_new(name, chunks)
        self._behind()
        return made


def die() -> None:
    """At this instant."""
    raise Died


def test_a_writer_that_dies_before_its_second_look_is_found() -> None:
    """Its manifest lacks what was erased; the next freeing gives it up, and the chain goes on."""
    memory, second = history()
    run = Interrupting(memory, lambda: go(Archive.open(memory), second), die)
    drop(Archive.open(memory), Archive.open(memory).snapshots(LAB)[-1], now=NOW)  # the one with the word is newest
    writer = Runner(run, LAB, {"a": SHARED, "secret": SECRET}, NOW)
    with pytest.raises(Died):
        writer.finish()
    archive = Archive.open(memory)
    (late,) = (found for found in archive.snapshots() if found.number == 4)
    assert secondlook.lacks(archive, late)
    free(archive, clock=tick(later(NOW)))

    assert [tomb.why for tomb in archive.tombstones() if tomb.number == 4] == ["lost"]
    assert scrub(archive).findings == ()
    assert has_word(memory) == []
    assert read(archive, write(archive, {"secret": SECRET}, night=30)) == {"secret": SECRET}


def test_an_erasing_between_any_two_calls_of_a_writer_costs_it_a_second_try_at_most() -> None:
    """All of the erasing happens at call n of a backup that shares the word: it ends whole, as do the others."""
    base, second = history()
    drop(Archive.open(base), Archive.open(base).snapshots(LAB)[-1], now=NOW)
    again = 0
    for at in count(1):
        memory = copy(base)

        def all_of_it(number: int, at: int = at, memory: Memory = memory) -> None:
            if number == at:
                go(Archive.open(memory), second)

        beside = Beside(memory, all_of_it)
        run = Runner(beside, LAB, {"a": SHARED, "secret": SECRET}, NOW)
        done = run.finish()
        again += run.again
        archive = Archive.open(memory)
        assert read(archive, done) == {"a": SHARED, "secret": SECRET}
        everything(archive)
        assert scrub(archive).findings == ()
        if beside.calls < at:
            break
    assert again > 5


def test_the_standalone_reader_knows_an_erased_number(tmp_path: Path) -> None:
    """It reads the others, and misses nothing."""
    disk = LocalDisk(tmp_path)
    memory, second = history()
    for name, data in memory._files.items():
        disk.put_new(name, [data])
    go(Archive.open(disk), second)
    reader = [sys.executable, str(Path(evidence.__file__).with_name("standalone.py")), str(tmp_path)]
    done = subprocess.run(reader, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert second.id[:8] not in done.stdout


def test_a_hold_that_comes_while_others_go_is_kept() -> None:
    """It is said just before its turn: the one before is gone, this one stays, and the message tells both."""

    class Says(FaultyBackend):
        """Somebody holds the second when the tombstone of the first is put."""

        def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
            put = super().put_new(name, chunks)
            if name.endswith(".erased.json"):
                with suppress(StorageError):
                    Archive.open(self.inner).decide(
                        Decision("hold", LAB, 2, second.id, START, "me", "a court asked for it")
                    )
            return put

    archive = new_archive()
    first, second = (write(archive, {"f": noise(9000, n)}, night=n) for n in (1, 2))
    write(archive, {"f": noise(9000, 3)}, night=3)
    beside = Archive(Says(archive.backend), archive.id, archive.scheme)
    plan = plan_erase(archive, snapshots=[first, second], now=START + 4 * NIGHT)
    with pytest.raises(StorageError, match=r"held just now: a court asked for it; 1 before it were erased"):
        erase(beside, plan, reason="law", by="me", clock=lambda: START + 4 * NIGHT)

    assert [found.number for found in archive.snapshots()] == [2, 3]
    assert read(archive, second) == {"f": noise(9000, 2)}
