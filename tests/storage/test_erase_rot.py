"""What is damaged stops no erasing and no freeing for ever, and costs nobody else a byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from storage import tombstone
from storage.archive import Archive
from storage.backend import Memory
from storage.decisions import Decision
from storage.erase import erase, plan_erase
from storage.errors import ObjectCorrupt, SnapshotUnknown, StorageError
from storage.giveup import give_up, plan_give_up
from storage.halves import halves
from storage.index import Index, pack_name
from storage.losses import listing_oids
from storage.prune import free
from storage.repair import plan_repair, repair
from storage.rewrite import plan_rewrite
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot
from storage.sweeping import GRACE
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Below,
    copy,
    drop,
    located,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    write,
)
from tests.storage.acting import deaths, later
from tests.storage.test_erase import SECRET, SHARED, everything, go, has_word, history, tick

NOW = START + 20 * NIGHT
GONE = 2  # the number that was to be erased, in the chain of LAB
Rot = Callable[[Memory, str], None]


def one_byte(memory: Memory, name: str) -> None:
    """Most of it can still be made out by eye."""
    view = Below(opened(memory))
    data = view.get(name)
    overwrite(view, name, data[:30] + bytes([data[30] ^ 1]) + data[31:])


def all_of_it(memory: Memory, name: str) -> None:
    """Nothing can."""
    overwrite(Below(opened(memory)), name, b"rot")


def half_done(files: str, secret: str | None = None) -> tuple[Memory, Snapshot]:
    """A history in which an erasing was killed behind its first tombstone; what lies below: `files`."""
    memory, second = history(secret)
    view = Below(opened(memory))
    manifest = view.get(second.name)
    if files != "manifest":
        drop(opened(memory), second, now=NOW)
    if files == "both":  # a forgetting was killed before it
        view.put_new(second.name, [manifest])
    begun(memory, second)
    return memory, second


def begun(memory: Memory, found: Snapshot) -> None:
    """The first step of an erasing."""
    tomb = tombstone.erased(found, at=NOW, reason="law")
    opened(memory).backend.put_new(tomb.name, [tombstone.encode(tomb)])


def rotten(files: str, rot: Rot, secret: str | None = None) -> tuple[Memory, Memory]:
    """The same with all of these damaged; and a copy from before that."""
    memory, _ = half_done(files, secret)
    twin = copy(memory)
    for half in halves(opened(memory)):
        for link in half.links:
            rot(memory, link.name)
    return memory, twin


def mended(archive: Archive, twin: Archive | None = None) -> None:
    """As `repair --apply` does, with and without a copy."""
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    repair(archive, plan, copy=twin, clock=tick(later(NOW)), record_id="20260322-r")


def given_up(archive: Archive, key: ScopeKey = LAB, number: int = GONE, now: datetime = NOW) -> None:
    give_up(archive, plan_give_up(archive, key, number, reason="no copy", now=now))


def no_trace(memory: Memory) -> None:
    """Nothing of the number is left but that it was erased."""
    archive = opened(memory)
    assert has_word(memory) == []
    assert [link.name for link in archive.links(LAB) if link.number == GONE] == [
        tomb.name for tomb in archive.tombstones(LAB)
    ]
    assert list(archive.backend.list("evidence/")) == []
    assert scrub(archive).findings == ()


FILES = pytest.mark.parametrize("files", ["manifest", "tombstone", "both"])
ROTS = pytest.mark.parametrize("rot", [one_byte, all_of_it])


@FILES
@ROTS
def test_one_that_cannot_be_read_stops_nobody_else_and_is_told(files: str, rot: Rot, secret: str | None) -> None:
    """Space is freed, others are erased; scrub and the plan name the file and both ways out; it stays so long."""
    memory, _ = rotten(files, rot, secret)
    archive = opened(memory)
    before = everything(archive)
    (half,) = halves(archive)
    free(archive, clock=tick())
    go(archive, OFFICE)

    assert list(everything(archive).values()) == [before[one.id] for one in archive.snapshots() if one.key == LAB]
    assert {tomb.key for tomb in archive.tombstones() if tomb.why == "erased"} == {LAB, OFFICE}
    (finding,) = scrub(archive).findings
    assert finding.name == half.links[0].name
    assert "--from COPY" in finding.problem
    assert "--give-up" in finding.problem
    assert any(finding.problem in said for said in plan_erase(archive, key=LAB, now=NOW).stays)
    assert halves(archive)[0].links == half.links


@FILES
@ROTS
def test_a_copy_lets_its_erasing_go_on_wherever_the_repair_is_killed(
    files: str, rot: Rot, secret: str | None
) -> None:
    """It comes back below its tombstone, no pack with it; the next freeing ends it, and no evidence is kept."""
    base, twin = rotten(files, rot, secret)
    died = 0
    rest = everything(opened(twin))
    for memory in [*deaths(base, lambda archive: mended(archive, opened(twin)), copy), copy(base)]:
        died += 1
        archive = opened(memory)
        packs = set(memory.list("packs/"))
        mended(archive, opened(twin))
        assert scrub(archive).findings == ()
        assert set(memory.list("packs/")) == packs
        assert everything(archive) == rest
        free(archive, clock=tick(later(NOW, 2)))
        no_trace(memory)
        assert everything(archive) == rest
    assert died > 2


@FILES
def test_given_up_it_goes_with_all_that_its_bytes_still_name(files: str) -> None:
    """At once, and killed at any call: the next one ends it. Nobody else loses a byte."""
    base, twin = rotten(files, one_byte)
    died = 0
    rest = everything(opened(twin))
    for memory in [*deaths(base, given_up, copy), copy(base)]:
        died += 1
        archive = opened(memory)
        assert everything(archive) == rest
        if halves(archive):
            given_up(archive, now=later(NOW))
        no_trace(memory)
        assert everything(archive) == rest
    assert died > 7


def test_given_up_without_a_word_left_its_own_packs_go_like_unnamed_ones(secret: str | None) -> None:
    """Seven days after they were first met; a pack that others need stays, and is all that stays."""
    memory = Memory()
    archive = new_archive(memory, secret)
    target = write(archive, {"secret": SECRET}, key=OFFICE)
    write(archive, {"a": SHARED})
    begun(memory, target)
    all_of_it(memory, target.name)
    rest = everything(archive)
    given_up(archive, OFFICE, 1)
    assert scrub(archive).findings == ()
    assert has_word(memory)
    for now in (later(NOW, 2), later(NOW, 3) + GRACE):
        free(archive, clock=tick(now))

    assert has_word(memory) == []
    assert everything(archive) == rest
    with pytest.raises(SnapshotUnknown, match="gone already"):
        given_up(archive, OFFICE, 1)


@pytest.mark.parametrize("files", ["manifest", "tombstone"])
def test_where_its_tombstone_is_damaged_too_nothing_of_it_is_kept(files: str, secret: str | None) -> None:
    """What was to be erased goes, though a number that is given up keeps its damaged bytes else."""
    memory, _ = rotten(files, one_byte, secret)
    view = Below(opened(memory))
    tomb = next(name for name in view.list("snapshots/") if name.endswith(".erased.json"))
    below = {view.get(link.name) for half in halves(opened(memory)) for link in half.links}
    overwrite(view, tomb, b"rotten tomb")
    archive = opened(memory)
    rest = {one.id for one in archive.snapshots()}
    free(archive, clock=tick())
    assert {view.get(link.name) for half in halves(archive) for link in half.links} == below
    given_up(archive)
    named = {pack_name(pack) for one in archive.snapshots() for pack in archive.packs_of(one.manifest)}
    for now in (later(NOW, 2), later(NOW, 3) + GRACE) if secret else ():
        free(archive, clock=tick(now))  # its bytes name no pack any more: what nobody else names goes

    assert set(has_word(memory)) <= (named if secret else set())
    assert not {archive.backend.get(name) for name in archive.backend.list("evidence/")} & below
    assert [link.name for link in archive.links(LAB) if link.number == GONE] == [tomb]
    assert {one.id for one in archive.snapshots()} == rest
    assert scrub(archive).findings == ()
    free(archive, clock=tick(later(NOW, 4) + GRACE))


def test_a_damaged_pack_that_nobody_else_names_stops_nothing() -> None:
    """It goes whole."""
    memory, _ = history()
    archive = opened(memory)
    alone = write(archive, {"secret": SECRET[::-1]}, key=ScopeKey("x", "y"))
    rest = {one: files for one, files in everything(archive).items() if one != alone.id}
    for pack in alone.manifest.packs:
        no_footer(memory, pack)
    archive = opened(memory)
    go(archive, alone)

    assert not any(memory.size(pack_name(pack)) for pack in alone.manifest.packs)
    assert everything(archive) == rest
    assert scrub(archive).findings == ()


def test_a_damaged_pack_that_others_name_is_first_repaired() -> None:
    """What it held for them is elsewhere then; it lies there as evidence, and goes, too."""
    memory, second = history()
    archive = opened(memory)
    rest = {one: files for one, files in everything(archive).items() if one != second.id}
    no_footer(memory, pack_of(archive, second, "secret"))
    with pytest.raises(ObjectCorrupt, match="cannot be told what others need"):
        go(opened(memory), second)
    archive = opened(memory)
    mended(archive)
    go(archive, second, later(NOW))

    assert has_word(memory) == []
    assert everything(archive) == rest
    assert scrub(archive).findings == ()


def no_footer(memory: Memory, pack: str) -> None:
    """Damage at the end of a pack: what it lists is not proven any more."""
    name = pack_name(pack)
    overwrite(memory, name, memory.get(name)[:-9] + b"damaged!!")


# -- listings that are lost


def shares() -> tuple[Memory, Snapshot, Snapshot, Memory]:
    """One whose secret lies in a pack with what another needs, whose own pack, with its listing, is missing; both,
    and a copy from before."""
    memory = Memory()
    archive = new_archive(memory)
    first = write(archive, {"secret": SECRET, "a": SHARED, "k": noise(700, 9)}, key=OFFICE)
    second = write(archive, {"a": SHARED, "k": noise(700, 9), "g": b"22" * 50}, night=1)
    drop(archive, write(archive, {"only": noise(4000, 5)}, key=OFFICE, night=2), now=NOW)
    twin = copy(memory)
    assert no_listing(archive, second) not in first.manifest.packs
    return memory, first, second, twin


def no_listing(archive: Archive, found: Snapshot) -> str:
    """The pack with its listing is deleted; which one that was."""
    index = Index(archive.backend, archive.scheme)
    index.load_readable(found.manifest.packs)
    pack = located(index, next(listing_oids(found.manifest))).pack
    archive.backend.delete(pack_name(pack))
    return pack


def test_a_snapshot_that_may_still_be_mended_is_named_and_loses_nothing() -> None:
    """The refusal says whose listing, and what to do about it: a copy, or `repair`, which says that it is lost."""
    memory, first, second, twin = shares()
    before = {name: memory.get(name) for name in memory.list("packs/")}
    with pytest.raises(ObjectCorrupt, match=rf"number 1 \({second.id[:8]}\): what it needs of ") as told:
        plan_erase(opened(memory), snapshots=[first], now=NOW)

    assert "repair --from COPY" in told.value.hint
    assert {name: memory.get(name) for name in memory.list("packs/")} == before
    archive = opened(memory)
    mended(archive, opened(twin))
    go(archive, first)
    assert has_word(memory) == []
    assert everything(archive)[second.id] == {"a": SHARED, "k": noise(700, 9), "g": b"22" * 50}


def test_a_listing_that_is_lost_for_good_stops_no_erasing() -> None:
    """The word is gone; the plan says who may lose by it; a copy gives that one back whole all the same."""
    memory, first, second, twin = shares()
    archive = opened(memory)
    mended(archive)
    plan = plan_erase(archive, snapshots=[first], now=NOW)
    assert any(second.id[:8] in said and "is lost" in said for said in plan.stays)
    go(archive, first)

    assert has_word(memory) == []
    assert [one.lost for one in scrub(archive).findings] == [True]
    mended(archive, opened(twin))
    assert scrub(archive).findings == ()
    assert everything(archive) == {second.id: {"a": SHARED, "k": noise(700, 9), "g": b"22" * 50}}
    assert has_word(memory) == []


def test_what_such_a_snapshot_may_need_beside_stays() -> None:
    """Of a pack that it names, only what must go goes: it had a file there that nobody else has."""
    memory = Memory()
    archive = new_archive(memory)
    mine = noise(900, 11)
    other = write(archive, {"secret": SECRET, "mine": mine})
    keeps = write(archive, {"mine": mine}, night=1)
    drop(archive, other, now=NOW)
    first = write(archive, {"secret": SECRET}, key=OFFICE, night=2)
    no_listing(archive, keeps)
    archive = opened(memory)
    mended(archive)
    go(archive, first)
    (tomb,) = (tomb for tomb in archive.tombstones() if tomb.id == other.id)
    erase(archive, plan_erase(archive, snapshots=[tomb], now=NOW), reason="law", by="ada", clock=tick())

    assert has_word(memory) == []
    assert any(mine in memory.get(name) for name in memory.list("packs/"))


def test_packs_are_rewritten_beside_a_snapshot_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those that it names; once it is given up, those too."""
    monkeypatch.setattr("storage.rewrite.WORTH", 1000)
    memory = Memory()
    archive = new_archive(memory)
    names: dict[str, set[str]] = {}
    for key in (LAB, OFFICE):
        first = write(archive, {"a": noise(300, len(key.source)), "dead": noise(9000, len(key.scope))}, key=key)
        write(archive, {"a": noise(300, len(key.source)), "b": noise(400, 3)}, key=key, night=1)
        write(archive, {"b": noise(400, 4)}, key=key, night=2)
        drop(archive, first, now=NOW - 2 * GRACE)
        names[key.source] = set(first.manifest.packs)
    worth = {one.pack for one in plan_rewrite(archive, now=NOW)}
    assert all(worth & packs for packs in names.values())
    no_listing(archive, archive.snapshots(LAB)[0])
    archive = opened(memory)
    for _ in range(2):  # whether the loss is noted or not
        assert {one.pack for one in plan_rewrite(archive, now=NOW)} == worth - names["lab"]
        mended(archive)
    for number in (2, 3):  # the second listing follows from the first
        given_up(archive, number=number)
    free(archive, clock=tick())
    assert not any(memory.size(pack_name(pack)) for pack in names["lab"])
    assert scrub(archive).findings == ()


def test_one_that_has_lost_its_listing_is_given_up_unless_it_is_held() -> None:
    """Its number stays taken, its manifest goes to the evidence; one whose loss nobody noted can be read."""
    memory, _, second, _ = shares()
    archive = opened(memory)
    with pytest.raises(SnapshotUnknown, match="can be read"):
        given_up(archive, number=1)
    mended(archive)
    archive.decide(Decision("hold", LAB, 1, second.id, NOW, "ada", "a trial"))
    with pytest.raises(StorageError, match="held: a trial"):
        given_up(archive, number=1)
    archive.decide(Decision("release", LAB, 1, second.id, NOW, "ada", ""))
    data = memory.get(second.name)
    given_up(archive, number=1)

    (tomb,) = archive.tombstones(LAB)
    assert (tomb.why, tomb.id, tomb.reason) == ("lost", second.id, "no copy")
    assert data in {memory.get(name) for name in memory.list("evidence/")}
    assert scrub(archive).findings == ()
