"""Repairs that die, meet each other, a backup or a sweep: nothing is lost, and run again they end the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from io import BytesIO
from itertools import count

import pytest

from storage import canonical
from storage.archive import Archive
from storage.backend import Memory
from storage.errors import StorageError
from storage.index import pack_name
from storage.putback import open_with_copy
from storage.repair import Plan, plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    START,
    Clock,
    Died,
    FaultyBackend,
    contents,
    copy,
    draft,
    new_archive,
    noise,
    overwrite,
    write,
)
from tests.storage.test_repair import HEALTHY, NOW, PACKS, TRUTH, WHOLE, files, files_of, spoil

Given = dict[str, dict[str, bytes]]


def damaged() -> Memory:
    """A pack gone, two spoiled in their middle and one cut; a manifest, a tombstone and a record rotten."""
    memory = copy(HEALTHY)
    for pack, how in zip(PACKS, ("missing", "raw", "footer", "cut", "zstd"), strict=False):
        spoil(memory, pack, how)
    names = list(memory.list(""))
    for kind in ("snapshots/lab", "forgotten.json", "records/"):
        overwrite(memory, next(name for name in reversed(names) if kind in name), b"rot of %s" % kind.encode())
    return memory


def mended(memory: Memory | FaultyBackend, twin: Archive | None, run: str = "20260313-r") -> Plan:
    """Scrub, plan and repair, as the verb does."""
    archive, mark = open_with_copy(memory, twin)
    plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
    repair(archive, plan, copy=twin, clock=Clock(NOW), record_id=run)
    return plan


def given(memory: Memory) -> Given:
    archive = Archive.open(memory)
    return {found.id: files_of(archive, found) for found in archive.snapshots(damaged=[])}


def findings(memory: Memory) -> set[tuple[str, str]]:
    return {(finding.name, finding.problem) for finding in scrub(Archive.open(memory)).findings}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("with_copy", [True, False])
def test_a_repair_may_die_at_any_call(with_copy: bool, when: str) -> None:
    """Run again it ends as one that never died: the same files, findings, evidence and notes."""
    twin = Archive.open(copy(HEALTHY)) if with_copy else None
    base, goal = damaged(), damaged()
    mended(goal, twin)
    worst = given(goal)
    if with_copy:
        assert worst == TRUTH
        assert findings(goal) == set()
    deaths = 0
    for call in count(1):
        memory = copy(base)
        try:
            archive, mark = open_with_copy(memory, twin)
            plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
            archive.backend = FaultyBackend(memory).die(call, when)
            repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
            break
        except Died:
            deaths += 1
        sweep_if_safe(memory)
        mended(memory, twin, "20260313-s")
        assert given(memory) == worst
        assert findings(memory) == findings(goal)
        kept = {name for name in memory.list("evidence/") if name.endswith(".bin")}
        assert kept == {name for name in goal.list("evidence/") if name.endswith(".bin")}
        assert len(list(memory.list("replaced/"))) == len(list(goal.list("replaced/")))

    assert deaths > 30


def sweep_if_safe(memory: Memory) -> None:
    """A sweep in between frees nothing that is needed, if it runs at all."""
    archive = Archive.open(memory)
    try:
        sweep(archive, now=NOW)
    except StorageError:
        return


def test_a_record_is_lost_at_most() -> None:
    """A repair that died right before its record has done all else: nothing is left to do."""
    twin = Archive.open(copy(HEALTHY))
    memory = damaged()
    archive = Archive.open(memory)
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    records = list(memory.list("records/"))
    archive.backend = FaultyBackend(memory)
    archive.backend.fail("put_new", after=_puts(plan, twin) - 1, error=Died("at the record"))
    with pytest.raises(Died):
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")

    assert list(memory.list("records/")) == records
    assert not mended(memory, twin)


def _puts(plan: Plan, twin: Archive) -> int:
    """Files that a repair of the same damage puts."""
    calls = 0

    class Counting(FaultyBackend):
        def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
            nonlocal calls
            calls += 1
            return super().put_new(name, chunks)

    archive = Archive.open(damaged())
    archive.backend = Counting(archive.backend)
    repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
    return calls


class Meets(FaultyBackend):
    """Something else happens, whole, between two calls of a repair."""

    def __init__(self, inner: Memory, at: int, other: Callable[[], object]) -> None:
        super().__init__(inner)
        self.at, self.other, self.met = at, other, False

    def _around(self, verb, effect):  # type: ignore[no-untyped-def]
        if self.calls == self.at:
            self.met = True
            self.other()
        return super()._around(verb, effect)


def meetings(base: Memory, twin: Archive | None, other: Callable[[Memory], object]) -> int:
    """`other` between every two calls of a repair, then the repair again: all is there. How often."""
    goal = copy(base)
    mended(goal, twin)
    worst = given(goal)
    for at in count():
        memory = copy(base)
        archive = Archive.open(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        meets = Meets(memory, at, lambda memory=memory: other(memory))  # type: ignore[misc]
        archive.backend = meets
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            return at
        mended(memory, twin, "20260313-t")
        after = given(memory)
        assert {one: after[one] for one in worst} == worst
        assert not plan_repair(Archive.open(memory), scrub(Archive.open(memory)).findings, copy=twin)
        for later in (NOW, NOW + GRACE + timedelta(seconds=1)):
            if with_nothing_unread(memory):
                sweep(Archive.open(memory), now=later)
        assert given(memory) == after
    raise AssertionError


def with_nothing_unread(memory: Memory) -> bool:
    return all(finding.lost for finding in scrub(Archive.open(memory)).findings)


@pytest.mark.parametrize("with_copy", [True, False])
def test_two_repairs_at_once_are_harmless(with_copy: bool) -> None:
    """A whole one between any two calls of the other."""
    twin = Archive.open(copy(HEALTHY)) if with_copy else None

    assert meetings(damaged(), twin, lambda memory: mended(memory, twin, "20260313-o")) > 30


def test_a_backup_beside_a_repair_loses_nothing() -> None:
    """One that began before, reusing what is whole of the old packs, and one in the middle."""
    base = copy(HEALTHY)
    for pack in PACKS[:4]:
        spoil(base, pack, "raw")

    def back_up(memory: Memory) -> None:
        try:
            found = write(Archive.open(memory), files(5), night=7)
        except StorageError:
            return  # it met damage; the engine stores all anew then
        assert files_of(Archive.open(memory), found) == files(5)

    assert meetings(base, None, back_up) > 20


def test_a_sweep_beside_a_repair_frees_nothing_that_is_needed() -> None:
    """Packs that were written and have no note yet belong to nobody, and stay."""
    base = copy(HEALTHY)
    for pack in PACKS:
        spoil(base, pack, "raw")

    assert meetings(base, None, lambda memory: sweep(Archive.open(memory), now=NOW)) > 20


def test_a_backup_that_began_before_may_commit_behind_a_repair() -> None:
    """Its manifest names the replaced pack: it is read through the note."""
    for pack in PACKS:
        memory = copy(HEALTHY)
        writer = Writer(Archive.open(memory), LAB)
        spoil(memory, pack, "header")  # nothing is lost of it, and who read its footer before does not notice
        for path, data in files(3).items():
            writer.add(path, BytesIO(data), promised=Promise(size=len(data)))
        mended(memory, None)
        found = writer.commit(draft(LAB, START + 7 * NIGHT), clock=Clock(START + 7 * NIGHT))

        assert files_of(Archive.open(memory), found) == files(3)
        assert scrub(Archive.open(memory)).findings == ()
        assert pack_name(pack) in contents(memory)


def test_a_listing_that_comes_back_later_brings_its_other_packs_with_it() -> None:
    """Two packs gone, one of them the listing's: what the other held is known only once the listing is back."""
    healthy = Memory()
    found = write(new_archive(healthy), {"a": noise(500, 1), "b": b"b" * 300})
    truth = given(healthy)
    memory = copy(healthy)
    for pack in found.manifest.packs:
        memory.delete(pack_name(pack))
    mended(memory, None)
    assert given(memory) == {found.id: {}}
    mended(memory, Archive.open(healthy), "20260313-s")

    assert given(memory) == truth
    assert findings(memory) == set()


def test_a_number_that_a_backup_takes_meanwhile_is_its_own() -> None:
    """A newest manifest is gone and would come back from a copy; a backup that takes its number first, owns it."""
    twin = Archive.open(copy(HEALTHY))
    newest = WHOLE.snapshots(LAB)[-1].name
    base = copy(HEALTHY)
    base.delete(newest)
    told: list[int] = []
    for at in count():
        memory = copy(base)
        archive = Archive.open(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        made: list[Snapshot] = []
        meets = Meets(memory, at, lambda to=memory, m=made: m.append(write(Archive.open(to), files(5), night=7)))  # type: ignore[misc]
        archive.backend = meets
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            break
        after = Archive.open(memory)
        assert files_of(after, after.find(made[0].id)) == files(5)
        assert scrub(after).findings == ()
        told.append(len(list(memory.list("evidence/"))))

    assert at >= 2
    assert set(told) == {0, 2}  # taken before it was put: the copy's manifest is in the evidence, with its note


def test_a_damaged_newest_manifest_may_lose_its_number_to_a_backup() -> None:
    """Between its going to the evidence and its coming back: what the backup put stands, both others are kept."""
    twin = Archive.open(copy(HEALTHY))
    newest = WHOLE.snapshots(LAB)[-1]
    whole = HEALTHY.get(newest.name)
    lost = 0
    for at in count():
        memory = copy(HEALTHY)
        overwrite(memory, newest.name, b"rot")
        archive = Archive.open(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        made: list[Snapshot] = []
        meets = Meets(memory, at, lambda to=memory, m=made: m.append(write(Archive.open(to), files(5), night=7)))  # type: ignore[misc]
        archive.backend = meets
        done = repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            break
        after = Archive.open(memory)
        assert files_of(after, after.find(made[0].id)) == files(5)
        kept = {memory.get(name) for name in memory.list("evidence/") if name.endswith(".bin")}
        record = canonical.unseal(memory.get("records/202603/20260313-r.json"))
        if made[0].manifest.number == newest.manifest.number:
            lost += 1
            assert kept == {b"rot", whole}
            assert [finding.name for finding in done.taken] == [newest.name]
            assert [left["file"] for left in record["left"]] == [newest.name]
            assert newest.name not in record["put_back"]
        else:
            assert (kept, done.taken, record["left"]) == ({b"rot"}, (), [])
            assert after.find(newest.id) == newest
        assert scrub(after).findings == ()

    assert lost
