"""Forgetting, bringing back, freeing and rewriting, killed at every call, and beside two backups at every call."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import pytest

from storage import decisions
from storage.archive import Archive
from storage.backend import Backend, Memory
from storage.errors import ObjectMissing, SnapshotUnknown
from storage.index import pack_name
from storage.lease import TTL
from storage.planning import plan_scope
from storage.policy import Policy
from storage.prune import forget, free, plan_free, undelete
from storage.repair import plan_repair, repair
from storage.rewrite import plan_rewrite
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    copy,
    drop,
    new_archive,
    noise,
    overwrite,
    pack_of,
    read,
    write,
)
from tests.storage.acting import Beside, Runner, deaths, later

NOW = START + 20 * NIGHT
SMALL = noise(300, 1)
Operation = Callable[[Archive, datetime], object]


def at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


def everything(archive: Archive) -> dict[str, dict[str, bytes]]:
    return {found.id: read(archive, found) for found in archive.snapshots()}


@pytest.fixture(autouse=True)
def small_packs_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small archives have what is rewritten."""
    monkeypatch.setattr("storage.rewrite.WORTH", 1000)


def history() -> Memory:
    """A first night whose pack is mostly dead; three nights more; one forgotten in its grace, one beyond it."""
    memory = Memory()
    archive = new_archive(memory)
    first = write(archive, {"a": SMALL, "dead": noise(9000, 2)})
    write(archive, {"a": SMALL, "b": noise(500, 3)}, night=1)
    write(archive, {"b": noise(500, 4)}, night=2)
    write(archive, {"b": noise(500, 5)}, night=3)
    write(archive, {"b": noise(500, 6)}, night=4)
    write(archive, {"z": noise(300, 7)}, key=OFFICE, night=4)
    drop(archive, first, now=NOW - 2 * GRACE)
    drop(archive, archive.snapshots(LAB)[1], now=NOW - NIGHT)
    return memory


def forgotten(archive: Archive) -> str:
    """The id of the one in its grace."""
    return archive.tombstones(LAB)[1].id


def forget_some(archive: Archive, now: datetime) -> object:
    return forget(archive, plan_scope(archive, LAB, Policy(keep_last=2), now=now), now=now)


def bring_back(archive: Archive, now: datetime) -> object:
    """Whether it is forgotten or was brought back by one that died."""
    live = {one.id for one in archive.snapshots()}
    gone = [tomb.id for tomb in archive.tombstones(LAB) if tomb.number == 3]
    ref = gone[0] if gone else next(one for one in live if one not in BEFORE)
    return undelete(archive, ref, by="ada", reason="a trial", clock=at(now))


def free_space(archive: Archive, now: datetime) -> object:
    return free(archive, clock=at(now))


BEFORE = {one.id for one in Archive.open(history()).snapshots()}


@pytest.mark.parametrize("operation", [forget_some, bring_back, free_space])
def test_killed_at_any_call_nothing_is_lost_and_the_next_one_ends_it(operation: Operation) -> None:
    """Each live snapshot is whole after each death, and after the next one; nothing leaks for ever."""
    base = history()
    plain = Archive.open(copy(base))
    operation(plain, NOW)
    goal = everything(plain)
    known = everything(Archive.open(base)) | goal
    died = 0
    for memory in deaths(base, lambda archive: operation(archive, NOW), copy):
        died += 1
        archive = Archive.open(memory)
        found = everything(archive)
        assert found.items() <= known.items()
        assert scrub(archive).findings == ()
        operation(archive, later(NOW))
        assert everything(archive) == goal
        for night in (2, 9, 17):
            free(archive, clock=at(NOW + night * NIGHT))
        assert everything(archive) == goal
        assert scrub(archive).findings == ()
        named = {p for found in archive.snapshots() for p in archive.packs_of(found.manifest)}
        assert {name[-69:-5] for name in memory.list("packs/")} <= named
        assert list(memory.list("unnamed/")) == []
    assert died > 5


@pytest.mark.parametrize(
    ("ahead", "steps"),
    [(3, (0,)), (0, (0, 1, 2, 3))],
    ids=["they commit in it", "they do all in it"],
)
@pytest.mark.parametrize("operation", [forget_some, bring_back, free_space])
def test_beside_two_backups_at_any_call_everybody_ends_whole(
    operation: Operation, ahead: int, steps: tuple[int, ...]
) -> None:
    """Two backups, one of what is dead by now, have taken steps `ahead`; each call has its turn to have more."""
    base = history()
    plain = copy(base)
    operation(Archive.open(plain), NOW)
    goes = set(base.list("")) - set(plain.list(""))
    assert goes
    carried_out = committed = 0
    files = ({"a": SMALL, "dead": noise(9000, 2)}, {"z": noise(300, 7), "a": SMALL})
    for at_call in count(1):
        memory = copy(base)
        runs = Runner(memory, LAB, files[0], NOW), Runner(memory, OFFICE, files[1], NOW)
        for run in runs * ahead:
            run.step()

        def beside(number: int, at_call: int = at_call, runs: tuple[Runner, Runner] = runs) -> None:
            if number - at_call in steps:
                for run in runs:
                    run.step()

        wrapped = Beside(memory, beside)
        archive = Archive.open(memory)
        archive.backend = wrapped
        operation(archive, NOW)
        if wrapped.calls < at_call:
            break
        carried_out += goes.isdisjoint(memory.list(""))
        committed += sum(run.found is not None for run in runs)
        done = [run.finish() for run in runs]
        for night in (8, 16):
            archive = Archive.open(memory)
            assert [read(archive, one) for one in done] == list(files)
            everything(archive)
            assert scrub(archive).findings == ()
            free(archive, clock=at(NOW + night * NIGHT))
        assert [read(archive, one) for one in done] == list(files)
    rounds = at_call - 1
    assert rounds > 10
    assert carried_out == rounds
    assert committed == 2 * rounds if ahead else committed > rounds


@pytest.mark.parametrize("operation", [forget_some, bring_back, free_space])
def test_between_any_two_calls_of_a_backup_it_costs_that_backup_nothing(operation: Operation) -> None:
    """All of it happens at call n of a backup, which may have packs that nothing names yet: it ends whole."""
    base = history()
    files = {"a": SMALL, "dead": noise(9000, 2), "new": noise(700, 8)}
    for at_call in count(1):
        memory = copy(base)

        def all_of_it(number: int, at_call: int = at_call, memory: Memory = memory) -> None:
            if number == at_call:
                operation(Archive.open(memory), NOW)

        beside = Beside(memory, all_of_it)
        run = Runner(beside, LAB, files, NOW)
        done = run.finish()
        if beside.calls < at_call:
            break
        archive = Archive.open(memory)
        assert run.again == 0
        assert read(archive, done) == files
        everything(archive)
        assert scrub(archive).findings == ()
    assert at_call > 20


def test_what_is_brought_back_is_whole_held_and_not_forgotten_again() -> None:
    """Bit for bit, under its own id and number; the next night's retention leaves it alone."""
    archive = new_archive()
    chain = [write(archive, {"a": noise(400, n)}, night=n) for n in range(5)]
    forget_some(archive, NOW)
    assert len(archive.snapshots()) == 2
    back = undelete(archive, chain[1].id[:8], by="ada", reason="a trial", clock=at(NOW + NIGHT))

    assert back == chain[1]
    assert read(archive, back) == {"a": noise(400, 1)}
    assert decisions.held(archive.decisions(), NOW + NIGHT) == {back.id: "a trial"}
    later_on = NOW + 9 * NIGHT
    assert forget_some(archive, later_on) == []
    free(archive, clock=at(later_on))
    assert read(archive, back) == {"a": noise(400, 1)}
    assert undelete(archive, back.id, by="ada", reason="a trial", clock=at(later_on)) == back
    assert len(archive.decisions()) == 1


def test_what_was_freed_cannot_be_brought_back() -> None:
    """It says so, and nothing is changed; an id that is nobody's is told, too."""
    archive = new_archive()
    chain = [write(archive, {"a": noise(400, n)}, night=n) for n in range(5)]
    forget_some(archive, NOW)
    free(archive, clock=at(NOW + GRACE))
    with pytest.raises(ObjectMissing, match="were freed"):
        undelete(archive, chain[0].id, by="ada", reason="", clock=at(NOW + GRACE))
    with pytest.raises(SnapshotUnknown):
        undelete(archive, "0000", by="ada", reason="", clock=at(NOW + GRACE))

    assert (len(archive.tombstones()), archive.decisions()) == (3, [])


def test_one_that_is_held_after_it_was_forgotten_keeps_its_bytes() -> None:
    """Between a plan and a tombstone a person may decide: the bytes wait."""
    archive = new_archive()
    chain = [write(archive, {"a": noise(400, n)}, night=n) for n in range(5)]
    forget_some(archive, NOW)
    archive.decide(decisions.Decision("hold", LAB, 1, chain[0].id, NOW, "ada", "a trial"))
    free(archive, clock=at(NOW + 3 * GRACE))

    back = undelete(archive, chain[0].id, by="ada", reason="a trial", clock=at(NOW + 3 * GRACE))
    assert read(archive, back) == {"a": noise(400, 0)}


def test_a_pack_that_is_mostly_dead_is_rewritten_and_its_space_won() -> None:
    """It is shown first; a grace later the old pack is gone, and every snapshot reads as before."""
    archive = Archive.open(history())
    before = everything(archive)
    shown = plan_free(archive, now=NOW)
    assert [(one.dead_bytes > 8000, one.size > one.dead_bytes) for one in shown.rewrites] == [(True, True)]
    (pack,) = (one.pack for one in shown.rewrites)
    done = free(archive, clock=at(NOW))
    assert (done.packs, done.bytes_freed, done.rewritten) == (shown.now_packs, shown.now_bytes, (pack,))
    assert done.later_bytes > shown.rewrites[0].dead_bytes
    assert plan_rewrite(archive, now=NOW) == []
    assert scrub(archive).findings == ()
    gone = free(archive, clock=at(NOW + GRACE))

    assert pack in gone.packs
    assert everything(archive) == before
    assert scrub(archive).findings == ()


def test_packs_that_a_backup_may_reuse_are_not_rewritten() -> None:
    """What the newest snapshot of a scope names stays as it is, however little of it is needed."""
    archive = new_archive()
    first = write(archive, {"a": SMALL, "dead": noise(9000, 2)})
    write(archive, {"a": SMALL}, night=1)
    drop(archive, first, now=NOW - 2 * GRACE)

    assert plan_rewrite(archive, now=NOW) == []


def test_the_time_that_is_up_stops_it_and_the_next_one_goes_on() -> None:
    """It says that there is more."""
    archive = Archive.open(history())
    assert free(archive, clock=at(NOW), max_duration=timedelta(0)).unfinished
    assert plan_rewrite(archive, now=NOW)
    assert not free(archive, clock=at(NOW)).unfinished
    assert plan_rewrite(archive, now=NOW) == []


def test_a_pack_that_cannot_be_rewritten_is_no_work_left_undone() -> None:
    """Something needed of it is rotten: the next prune could not go on with it either, and none is promised."""
    memory = history()
    archive = Archive.open(memory)
    (pack,) = (one.pack for one in plan_rewrite(archive, now=NOW))
    spoil(memory, pack)

    done = free(archive, clock=at(NOW))

    assert [one.pack for one in plan_rewrite(archive, now=NOW)] == [pack]
    assert (done.rewritten, done.unfinished) == ((), False)


def test_what_stays_as_evidence_is_not_told_as_going_later() -> None:
    """The damaged pack beside the one that replaced it, as long as a snapshot names it."""
    archive = new_archive()
    chain = [write(archive, {"a": noise(3000, n)}, night=n) for n in range(2)]
    twin = Archive.open(copy(archive.backend))
    pack = pack_of(archive, chain[0], "a")
    spoil(archive.backend, pack)
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    repair(archive, plan, copy=twin, clock=at(NOW), record_id="20260330-000000-0000aaaa")

    assert free(archive, clock=at(START + 9 * NIGHT)).later_bytes == 0
    assert archive.backend.size(pack_name(pack))


def spoil(backend: Backend, pack: str) -> None:
    """One bit of what it holds, not of its index."""
    data = backend.get(pack_name(pack))
    overwrite(backend, pack_name(pack), data[:100] + bytes([data[100] ^ 1]) + data[101:])


def test_who_forgets_waits_for_who_frees() -> None:
    """One at a time; a lease of one that died runs out."""
    from storage import lease
    from storage.errors import Busy

    archive = Archive.open(history())
    with lease.held(archive.backend, at(NOW)), pytest.raises(Busy):
        forget_some(archive, NOW)
    assert isinstance(forget_some(archive, NOW + TTL), list)


def test_seeded_histories_of_all_verbs_lose_nothing() -> None:
    """Backups, forgetting, bringing back, freeing in any order: what is live reads as it was written, and much of
    each comes to pass."""
    forgotten = returned = freed = rewritten = 0
    for seed in range(4):
        rng, archive = random.Random(seed), new_archive()
        wanted: dict[str, dict[str, bytes]] = {}
        for night in range(20):
            now = START + night * 2 * NIGHT
            key = rng.choice([LAB, OFFICE])
            files = {n: noise(rng.choice([10, 4000]), rng.randrange(6)) for n in rng.sample("abcd", 2)}
            made: Snapshot = write(archive, files, key=key, night=night * 2)
            wanted[made.id] = files
            tombs = [tomb for tomb in archive.tombstones() if now - tomb.forgotten_at < GRACE]
            if rng.random() < 0.6:
                planned = plan_scope(archive, key, Policy(keep_last=rng.randint(1, 4)), now=now + NIGHT)
                forgotten += len(forget(archive, planned, now=now + NIGHT))
            if tombs and rng.random() < 0.3:
                tomb = rng.choice(tombs)
                back = undelete(archive, tomb.id, by="ada", reason="", clock=at(now + NIGHT))
                assert read(archive, back) == wanted[back.id]
                returned += 1
            if rng.random() < 0.5:
                done = free(archive, clock=at(now + NIGHT))
                freed, rewritten = freed + len(done.packs), rewritten + len(done.rewritten)
        assert everything(archive) == {one.id: wanted[one.id] for one in archive.snapshots()}
        assert scrub(archive).findings == ()
    assert min(forgotten, returned, freed, rewritten) > 0
