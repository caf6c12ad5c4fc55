"""Forgetting and freeing: what goes, what stays, and that nothing needed ever goes."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.archive import Archive, Damaged
from storage.errors import ObjectCorrupt, ObjectMissing, StorageError
from storage.index import pack_name
from storage.planning import plan_scope
from storage.policy import Policy
from storage.prune import forget
from storage.scrub import scrub
from storage.snapshot import manifest_name, parse_name, tombstone_name
from storage.sweeping import GRACE, plan_sweep, sweep
from storage.unnamed import unnamed_digest, unnamed_name
from storage.verify import Promise, Quality
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    draft,
    drop,
    new_archive,
    noise,
    overwrite,
    pack_of,
    read,
    write,
)

LATER = START + 30 * NIGHT


def packs(archive: Archive) -> int:
    return sum(1 for _ in archive.backend.list("packs/"))


def test_forgetting_leaves_a_tombstone_and_the_bytes() -> None:
    """The manifest is gone, the tombstone says when and why, the packs stay."""
    archive = new_archive()
    chain = [write(archive, {"a": b"%d" % n}, night=n) for n in range(4)]
    plan = plan_scope(archive, LAB, Policy(keep_last=3), now=LATER)
    (tomb,) = forget(archive, plan, now=LATER)

    assert (tomb.id, tomb.reason, tomb.forgotten_at) == (chain[0].id, "no rule keeps it", LATER)
    assert archive.tombstones() == [tomb]
    assert archive.snapshots() == chain[1:]
    assert packs(archive) == 8  # each night's content and listing


def test_forgetting_again_forgets_nothing_more() -> None:
    """The same verdicts and newly made ones: both are done."""
    archive = new_archive()
    for night in range(4):
        write(archive, {"a": b"%d" % night}, night=night)
    plan = plan_scope(archive, LAB, Policy(keep_last=2), now=LATER)
    forget(archive, plan, now=LATER)

    assert forget(archive, plan, now=LATER) == []
    assert forget(archive, plan_scope(archive, LAB, Policy(keep_last=2), now=LATER), now=LATER) == []


def test_quarantined_snapshots_do_not_displace_verified_ones() -> None:
    """Quality reaches the rule."""
    archive = new_archive()
    good = [write(archive, {"a": b"%d" % n}, night=n) for n in range(2)]
    for night in range(2, 6):
        write(archive, {"a": b"%d" % night}, night=night, quality=Quality.QUARANTINED)
    plan = plan_scope(archive, LAB, Policy(keep_last=2), now=LATER)

    assert {found.id for found in good} <= {v.candidate.id for v in plan.verdicts if v.keep}


def test_bytes_go_when_the_grace_is_over() -> None:
    """Not a second earlier; and only those that nothing else needs."""
    archive = new_archive()
    shared = noise(2000, 1)
    first = write(archive, {"a": shared, "b": noise(2000, 2)})
    second = write(archive, {"a": shared}, night=1)
    other = write(archive, {"z": noise(2000, 3)}, key=OFFICE)
    drop(archive, first, now=LATER)
    drop(archive, other, now=LATER)

    assert sweep(archive, now=LATER + GRACE - timedelta(seconds=1)).packs == ()
    freed = sweep(archive, now=LATER + GRACE)
    assert freed.packs == other.manifest.packs
    assert freed.bytes_freed == other.manifest.stored_bytes
    assert read(archive, second) == {"a": shared}
    assert sweep(archive, now=LATER + GRACE).packs == ()


def abandoned(archive: Archive) -> None:
    """The packs of a writer that died before its manifest."""
    writer = Writer(archive, LAB)
    writer.add("a", BytesIO(noise(40 << 20, 7)), promised=Promise())


def test_packs_of_a_dead_writer_go_a_grace_after_they_were_sighted() -> None:
    """Nothing that a crash leaves takes space for ever, and the note about it goes too."""
    archive = new_archive()
    abandoned(archive)
    assert packs(archive) == 1
    first = sweep(archive, now=LATER)
    assert (len(first.sighted), first.packs) == (1, ())
    assert sweep(archive, now=LATER + GRACE - timedelta(seconds=1)).packs == ()

    assert sweep(archive, now=LATER + GRACE).packs == first.sighted
    assert packs(archive) == 0
    assert list(archive.backend.list("unnamed/")) == []


def test_a_backup_that_runs_while_a_sweep_runs_loses_nothing() -> None:
    """Its packs are sighted, then named, and the note about them goes."""
    archive = new_archive()
    writer = Writer(archive, LAB)
    data = noise(40 << 20, 8)
    writer.add("a", BytesIO(data), promised=Promise())
    sweep(archive, now=LATER)
    found = writer.commit(draft(), clock=Clock())
    assert sweep(archive, now=LATER + 2 * GRACE).packs == ()

    assert list(archive.backend.list("unnamed/")) == []
    assert read(archive, found)["a"] == data


def test_content_that_comes_back_after_it_was_forgotten_is_not_freed() -> None:
    """The old pack goes by the old tombstone; tonight's, of the same bytes, is another pack."""
    archive = new_archive()
    data = noise(3000, 1)
    first = write(archive, {"a": data})
    write(archive, {"a": b"empty"}, night=1)
    content = pack_of(archive, first, "a")
    drop(archive, first, now=START)
    writer = Writer(archive, LAB)
    writer.add("a", BytesIO(data), promised=Promise())
    swept = sweep(archive, now=LATER)
    found = writer.commit(draft(taken_at=LATER), clock=Clock(LATER))
    sweep(archive, now=LATER + NIGHT)

    assert swept.packs == (content,)  # the next listing follows from the first one
    assert read(archive, found) == {"a": data}


@pytest.mark.parametrize("which", ["manifest", "tombstone"])
def test_nothing_is_freed_while_anything_cannot_be_read(which: str) -> None:
    """What a damaged file needs is not known."""
    archive = new_archive()
    first, second = write(archive, {"a": b"1"}), write(archive, {"a": b"2"}, night=1)
    drop(archive, first, now=START)
    overwrite(archive.backend, second.name if which == "manifest" else tombstone_name(LAB, 1), b"rot")
    with pytest.raises(ObjectCorrupt):
        sweep(archive, now=LATER)

    assert packs(archive) == 4


def test_a_forgetting_that_was_killed_is_finished_by_the_next() -> None:
    """A manifest beside its tombstone goes with the next forget, or the next sweep."""

    def again(archive: Archive) -> object:
        return forget(archive, plan_scope(archive, LAB, Policy(), now=LATER), now=LATER)

    for finish in (again, lambda archive: sweep(archive, now=LATER)):
        archive = new_archive()
        found = write(archive, {"a": b"1"})
        data = archive.backend.get(found.name)
        drop(archive, found, now=LATER)
        archive.backend.put_new(found.name, [data])
        finish(archive)

        assert archive.backend.size(found.name) is None
        assert len(archive.tombstones()) == 1


def test_a_manifest_beside_a_damaged_tombstone_stays() -> None:
    """It is the only whole copy of what the tombstone said."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    archive.backend.put_new(tombstone_name(LAB, 1), [b"rot"])
    forget(archive, plan_scope(archive, LAB, Policy(), now=LATER), now=LATER)

    assert archive.backend.size(found.name) is not None


def test_a_damaged_note_about_a_pack_is_written_anew() -> None:
    """Its grace starts again; nothing goes too early."""
    archive = new_archive()
    abandoned(archive)
    (pack,) = sweep(archive, now=LATER).sighted
    overwrite(archive.backend, unnamed_name(pack), b"rot")

    assert sweep(archive, now=LATER + GRACE).packs == ()
    assert sweep(archive, now=LATER + 2 * GRACE).packs == (pack,)


def test_names_of_notes_are_told_from_others() -> None:
    """A note is about a pack, or it is a stray."""
    assert unnamed_digest(unnamed_name("ab" * 32)) == "ab" * 32
    assert unnamed_digest("unnamed/README") is None


SETS = st.frozensets(st.sampled_from("abcdef"), max_size=4)


@given(st.data())
def test_a_plan_never_frees_what_is_needed(data: st.DataObject) -> None:
    """Whatever is live, forgotten and sighted: needed, young and unknown packs stay; old dead ones go."""
    from dataclasses import replace

    from storage.snapshot import Snapshot
    from storage.tombstone import Tombstone

    base = write(new_archive(), {}).manifest
    named = {letter: letter * 64 for letter in "abcdef"}

    def manifest(letters: frozenset[str]) -> object:
        return replace(base, packs=tuple(named[letter] for letter in sorted(letters)))

    live_sets = data.draw(st.lists(SETS, max_size=3))
    tomb_sets = data.draw(st.lists(st.tuples(SETS, st.integers(0, 14)), max_size=3))
    seen = data.draw(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 14)))
    live = [Snapshot("0" * 64, manifest(s)) for s in live_sets]  # type: ignore[arg-type]
    tombs = [Tombstone("0" * 64, START - days * NIGHT, "", manifest(s)) for s, days in tomb_sets]  # type: ignore[arg-type]
    sightings = {named[letter]: START - days * NIGHT for letter, days in seen.items()}
    plan = plan_sweep([(name, 5) for name in named.values()], live, tombs, sightings, now=START)
    freed = {name[0] for name in plan.packs}
    needed = set().union(*live_sets, *(s for s, days in tomb_sets if days < 7))
    dead = set().union(*(s for s, _ in tomb_sets))

    assert freed == {
        letter for letter in "abcdef" if letter not in needed and (letter in dead or seen.get(letter, 0) >= 7)
    }
    assert plan.bytes_freed == 5 * len(freed)
    assert not {name[0] for name in plan.sighted} & (freed | needed | dead | seen.keys())


def test_long_histories_lose_nothing_that_is_live() -> None:
    """Thirty seeded histories of writing, forgetting, sweeping and dying writers: live snapshots stay whole."""
    for seed in range(30):
        rng = random.Random(seed)
        archive = new_archive()
        now: datetime = START
        wanted: dict[str, dict[str, bytes]] = {}
        for night in range(25):
            now = START + night * 2 * NIGHT
            key = rng.choice([LAB, OFFICE])
            files = {name: noise(rng.choice([10, 200]), rng.randrange(6)) for name in rng.sample("abcd", 2)}
            wanted[write(archive, files, key=key, night=night * 2).id] = files
            if rng.random() < 0.5:
                plan = plan_scope(archive, key, Policy(keep_last=rng.randint(1, 4)), now=now + NIGHT)
                forget(archive, plan, now=now)
            if rng.random() < 0.5:
                sweep(archive, now=now)
        live = archive.snapshots()

        assert {s.id: read(archive, s) for s in live} == {s.id: wanted[s.id] for s in live}
        assert scrub(archive).findings == ()


def test_two_who_forget_at_once_forget_once() -> None:
    """The second finds the tombstone there and leaves it."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    plan = plan_scope(archive, LAB, Policy(keep_last=2), now=LATER)
    first = forget(archive, plan, now=LATER)
    forget(archive, plan, now=LATER + NIGHT)
    damaged: list[Damaged] = []

    assert archive.tombstones(damaged=damaged) == first
    assert damaged == []


def test_errors_of_a_sweep_are_ours() -> None:
    """A stray under `packs/` is nobody's pack and stays."""
    archive = new_archive()
    archive.backend.put_new("packs/README", [b"x"])
    try:
        plan = sweep(archive, now=LATER)
    except StorageError as exc:  # pragma: no cover
        raise AssertionError(str(exc)) from exc

    assert (plan.packs, plan.sighted) == ((), ())
    assert parse_name(manifest_name(LAB, 1)) is not None
    assert pack_name("ab" * 32).startswith("packs/ab/")


def test_nothing_is_freed_while_a_number_is_missing() -> None:
    """What a manifest that is gone needs is not known: it may be on its way back from a copy."""
    archive = new_archive()
    chain = [write(archive, {"a": noise(300, 1), "b": b"%d" % n}, night=n) for n in range(3)]
    drop(archive, chain[0], now=START)
    archive.backend.delete(chain[1].name)
    before = packs(archive)
    with pytest.raises(ObjectMissing, match=r"00000002\.json: missing"):
        sweep(archive, now=LATER)

    assert packs(archive) == before
