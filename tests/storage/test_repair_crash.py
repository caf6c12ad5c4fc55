"""Repairs that die, meet each other, a backup or a sweep: nothing is lost, and run again they end the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from io import BytesIO
from itertools import count
from typing import TypeVar

import pytest

from storage import canonical
from storage.archive import Archive
from storage.backend import Backend, Memory
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
    Below,
    Cases,
    Clock,
    Died,
    FaultyBackend,
    contents,
    copy,
    draft,
    new_archive,
    noise,
    opened,
    overwrite,
    put_around,
    secret_of,
    write,
)
from tests.storage.repairing import NOW, files, files_of, story

Given = dict[str, dict[str, bytes]]


def damaged(secret: str | None) -> Memory:
    """A pack gone, two spoiled in their middle and one cut; a manifest, a tombstone and a record rotten."""
    tale = story(secret)
    memory = copy(tale.healthy)
    for pack, how in zip(tale.packs, ("missing", "raw", "footer", "cut", "zstd"), strict=False):
        tale.spoil(memory, pack, how)
    view = Below(opened(memory))
    names = list(view.list(""))
    for kind in ("snapshots/lab", "forgotten.json", "records/"):
        overwrite(view, next(name for name in reversed(names) if kind in name), b"rot of %s" % kind.encode())
    return memory


def mended(memory: Memory, twin: Archive | None, run: str = "20260313-r") -> Plan:
    """Scrub, plan and repair, as the verb does."""
    archive, mark = open_with_copy(memory, twin, secret_of(memory))
    plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
    repair(archive, plan, copy=twin, clock=Clock(NOW), record_id=run)
    return plan


def given(memory: Memory) -> Given:
    archive = opened(memory)
    return {found.id: files_of(archive, found) for found in archive.snapshots(damaged=[])}


def evidence(memory: Memory) -> dict[str, bytes]:
    """Damaged bytes that were kept, by the name of their file."""
    backend = opened(memory).backend
    return {name: backend.get(name) for name in backend.list("evidence/") if name.endswith(".bin")}


def findings(memory: Memory) -> set[tuple[str, str]]:
    return {(finding.name, finding.problem) for finding in scrub(opened(memory)).findings}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("with_copy", [True, False])
def test_a_repair_may_die_at_any_call(with_copy: bool, when: str, cases: Cases) -> None:
    """Run again it ends as one that never died: the same files, findings, evidence and notes."""
    tale = story(cases.secret)
    twin = opened(copy(tale.healthy)) if with_copy else None
    base, goal = damaged(cases.secret), damaged(cases.secret)
    mended(goal, twin)
    worst = given(goal)
    if with_copy:
        assert worst == tale.truth
        assert findings(goal) == set()
    deaths = 0
    for call in count(1, cases.share):
        memory = copy(base)
        try:
            archive, mark = open_with_copy(memory, twin, secret_of(memory))
            plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
            put_around(archive, FaultyBackend).die(call, when)
            repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
            break
        except Died:
            deaths += 1
        sweep_if_safe(memory)
        mended(memory, twin, "20260313-s")
        assert given(memory) == worst
        assert findings(memory) == findings(goal)
        assert evidence(memory).keys() == evidence(goal).keys()
        assert len(list(memory.list("replaced/"))) == len(list(goal.list("replaced/")))

    assert deaths > 30 // cases.share


def sweep_if_safe(memory: Memory) -> None:
    """A sweep in between frees nothing that is needed, if it runs at all."""
    archive = opened(memory)
    try:
        sweep(archive, now=NOW)
    except StorageError:
        return


def test_a_record_is_lost_at_most(secret: str | None) -> None:
    """A repair that died right before its record has done all else: nothing is left to do."""
    tale = story(secret)
    twin = opened(copy(tale.healthy))
    memory = damaged(secret)
    archive = opened(memory)
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    records = list(memory.list("records/"))
    put_around(archive, FaultyBackend).fail(
        "put_new", after=_puts(memory, plan, twin) - 1, error=Died("at the record")
    )
    with pytest.raises(Died):
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")

    assert list(memory.list("records/")) == records
    assert not mended(memory, twin)


def _puts(memory: Memory, plan: Plan, twin: Archive) -> int:
    """Files that a repair of the same damage puts."""
    calls = 0

    class Counting(FaultyBackend):
        def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
            nonlocal calls
            calls += 1
            return super().put_new(name, chunks)

    archive = opened(copy(memory))
    put_around(archive, Counting)
    repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
    return calls


T = TypeVar("T")


class Meets(FaultyBackend):
    """Something else happens, whole, between two calls of a repair."""

    def __init__(self, inner: Backend, at: int, other: Callable[[], object]) -> None:
        super().__init__(inner)
        self.at, self.other, self.met = at, other, False

    def _around(self, verb: str, effect: Callable[[], T]) -> T:
        if self.calls == self.at:
            self.met = True
            self.other()
        return super()._around(verb, effect)


def meetings(base: Memory, twin: Archive | None, other: Callable[[Memory], object], cases: Cases) -> int:
    """`other` between every two calls of a repair, then the repair again: all is there. How often."""
    goal = copy(base)
    mended(goal, twin)
    worst = given(goal)
    for at in count(0, cases.share):
        memory = copy(base)
        archive = opened(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        meets = put_around(archive, lambda below: Meets(below, at, lambda: other(memory)))  # noqa: B023 - called before the next turn
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            return at
        mended(memory, twin, "20260313-t")
        after = given(memory)
        for one, kept in worst.items():  # more, where the other has put anew what was lost
            assert kept.items() <= after[one].items()
        assert not plan_repair(opened(memory), scrub(opened(memory)).findings, copy=twin)
        for later in (NOW, NOW + GRACE + timedelta(seconds=1)):
            if with_nothing_unread(memory):
                sweep(opened(memory), now=later)
        assert given(memory) == after
    raise AssertionError


def with_nothing_unread(memory: Memory) -> bool:
    return all(finding.lost for finding in scrub(opened(memory)).findings)


@pytest.mark.parametrize("with_copy", [True, False])
def test_two_repairs_at_once_are_harmless(with_copy: bool, cases: Cases) -> None:
    """A whole one between any two calls of the other."""
    tale = story(cases.secret)
    twin = opened(copy(tale.healthy)) if with_copy else None

    assert meetings(damaged(cases.secret), twin, lambda memory: mended(memory, twin, "20260313-o"), cases) > 30


def test_a_backup_beside_a_repair_loses_nothing(cases: Cases) -> None:
    """One that began before, reusing what is whole of the old packs, and one in the middle."""
    tale = story(cases.secret)
    base = copy(tale.healthy)
    for pack in tale.packs[:4]:
        tale.spoil(base, pack, "raw")

    def back_up(memory: Memory) -> None:
        try:
            found = write(opened(memory), files(5), night=7)
        except StorageError:
            return  # it met damage; the engine stores all anew then
        assert files_of(opened(memory), found) == files(5)

    assert meetings(base, None, back_up, cases) > 20


def test_a_sweep_beside_a_repair_frees_nothing_that_is_needed(cases: Cases) -> None:
    """Packs that were written and have no note yet belong to nobody, and stay."""
    tale = story(cases.secret)
    base = copy(tale.healthy)
    for pack in tale.packs:
        tale.spoil(base, pack, "raw")

    assert meetings(base, None, lambda memory: sweep(opened(memory), now=NOW), cases) > 20


def test_a_backup_that_began_before_may_commit_behind_a_repair(secret: str | None) -> None:
    """Its manifest names the replaced pack: it is read through the note."""
    tale = story(secret)
    twin = opened(copy(tale.healthy)) if secret else None  # from the rest of one that is encrypted nothing is read
    for pack in tale.packs:
        memory = copy(tale.healthy)
        writer = Writer(opened(memory), LAB)
        tale.spoil(memory, pack, "header")  # nothing is lost of it, and who read its footer before does not notice
        for path, data in files(3).items():
            writer.add(path, BytesIO(data), promised=Promise(size=len(data)))
        mended(memory, twin)
        found = writer.commit(draft(LAB, START + 7 * NIGHT), clock=Clock(START + 7 * NIGHT))

        assert files_of(opened(memory), found) == files(3)
        assert scrub(opened(memory)).findings == ()
        assert pack_name(pack) in contents(memory)


def test_a_listing_that_comes_back_later_brings_its_other_packs_with_it(secret: str | None) -> None:
    """Two packs gone, one of them the listing's: what the other held is known only once the listing is back."""
    healthy = Memory()
    found = write(new_archive(healthy, secret), {"a": noise(500, 1), "b": b"b" * 300})
    truth = given(healthy)
    memory = copy(healthy)
    for pack in found.manifest.packs:
        memory.delete(pack_name(pack))
    mended(memory, None)
    assert given(memory) == {found.id: {}}
    mended(memory, opened(healthy), "20260313-s")

    assert given(memory) == truth
    assert findings(memory) == set()


def test_a_number_that_a_backup_takes_meanwhile_is_its_own(secret: str | None) -> None:
    """A newest manifest is gone and would come back from a copy; a backup that takes its number first, owns it."""
    tale = story(secret)
    twin = opened(copy(tale.healthy))
    newest = tale.whole.snapshots(LAB)[-1].name
    base = copy(tale.healthy)
    Below(opened(base)).delete(newest)
    told: list[int] = []
    for at in count():
        memory = copy(base)
        archive = opened(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        made: list[Snapshot] = []

        def back_up(to: Memory = memory, made: list[Snapshot] = made) -> None:
            made.append(write(opened(to), files(5), night=7))

        meets = put_around(archive, lambda below: Meets(below, at, back_up))  # noqa: B023 - called before the next turn
        repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            break
        after = opened(memory)
        assert files_of(after, after.find(made[0].id)) == files(5)
        assert scrub(after).findings == ()
        told.append(len(list(after.backend.list("evidence/"))))

    assert at >= 2
    assert set(told) == {0, 2}  # taken before it was put: the copy's manifest is in the evidence, with its note


def test_a_damaged_newest_manifest_may_lose_its_number_to_a_backup(secret: str | None) -> None:
    """Between its going to the evidence and its coming back: what the backup put stands, both others are kept."""
    tale = story(secret)
    twin = opened(copy(tale.healthy))
    newest = tale.whole.snapshots(LAB)[-1]
    whole = tale.whole.backend.get(newest.name)
    lost = 0
    for at in count():
        memory = copy(tale.healthy)
        overwrite(Below(opened(memory)), newest.name, b"rot")
        archive = opened(memory)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        made: list[Snapshot] = []

        def back_up(to: Memory = memory, made: list[Snapshot] = made) -> None:
            made.append(write(opened(to), files(5), night=7))

        meets = put_around(archive, lambda below: Meets(below, at, back_up))  # noqa: B023 - called before the next turn
        done = repair(archive, plan, copy=twin, clock=Clock(NOW), record_id="20260313-r")
        if not meets.met:
            break
        after = opened(memory)
        assert files_of(after, after.find(made[0].id)) == files(5)
        kept = set(evidence(memory).values())
        record = canonical.unseal(after.backend.get("records/202603/20260313-r.json"))
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
