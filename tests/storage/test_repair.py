"""Repair: whatever was damaged, the plan names exactly what is lost, and all else is whole again afterwards."""

from __future__ import annotations

import io
import random
from datetime import timedelta

import pytest

from storage import keys, keytext
from storage.archive import Archive
from storage.backend import Memory
from storage.encrypted import Encrypted
from storage.errors import KeyWrong, StorageError
from storage.index import footer_of, pack_digest, pack_name
from storage.keyring import Keyring
from storage.mark import MARK
from storage.putback import open_with_copy
from storage.repair import plan_repair
from storage.scrub import scrub
from storage.sweeping import GRACE, sweep
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    SECRET,
    START,
    Below,
    Cases,
    Clock,
    contents,
    copy,
    draft,
    drop,
    new_archive,
    opened,
    overwrite,
    write,
)
from tests.storage.repairing import (
    DAMAGES,
    NOW,
    apply,
    check_sweeps,
    files,
    files_of,
    planned,
    story,
    told,
)

REMOVED, DAMAGED = (keytext.holder_text(bytes([n]) * 32) for n in (1, 2))


@pytest.mark.parametrize("how", DAMAGES)
def test_without_a_copy_what_can_be_proven_is_kept_and_the_rest_is_named(how: str, cases: Cases) -> None:
    """Every pack, damaged in this way: snapshots, files and members, no more and no less."""
    tale = story(cases.secret)
    tried = 0
    for pack in cases.some(tale.packs):
        memory = copy(tale.healthy)
        gone = tale.spoil(memory, pack, how)
        if gone is None:
            continue
        tried += 1
        archive = opened(memory)
        plan = planned(archive)
        lost = tale.expected(gone)
        assert told(plan) == lost
        damaged = memory.get(pack_name(pack)) if how != "missing" else b""
        apply(archive, plan)
        tale.check_end(memory, lost)
        if how != "missing":
            assert memory.get(pack_name(pack)) == damaged  # evidence
        check_sweeps(memory)

    assert tried >= 4 // cases.share


@pytest.mark.parametrize("how", DAMAGES)
def test_with_a_whole_copy_everything_is_healed(how: str, cases: Cases) -> None:
    """Every pack; a missing one is simply put back."""
    tale = story(cases.secret)
    for pack in cases.some(tale.packs):
        memory = copy(tale.healthy)
        if tale.spoil(memory, pack, how) is None:
            continue
        archive, twin = opened(memory), opened(copy(tale.healthy))
        plan = planned(archive, twin)
        assert (plan.hits, plan.left) == ((), ())
        apply(archive, plan, twin)
        tale.check_end(memory, {}, twin)
        if how == "missing" and plan:
            assert contents(memory).keys() - contents(tale.healthy).keys() == {"records/202603/20260313-r.json"}
        check_sweeps(memory)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_copy_that_is_found_later_heals_what_was_lost(how: str, cases: Cases) -> None:
    """The repair without it gives nothing up for ever: a second note says where the objects are now."""
    tale = story(cases.secret)
    for pack in cases.some(tale.packs):
        memory = copy(tale.healthy)
        if tale.spoil(memory, pack, how) is None:
            continue
        archive, twin = opened(memory), opened(copy(tale.healthy))
        apply(archive, planned(archive))
        apply(archive, planned(archive, twin), twin, "20260313-s")
        tale.check_end(memory, {}, twin)
        check_sweeps(memory)


@pytest.mark.parametrize("how", ["raw", "zstd", "cut", "missing"])
def test_files_stored_anew_heal_the_old_snapshots(how: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """A backup behind the damage kept identical files: their objects are found there. Listings differ."""
    tale = story(cases.secret)
    for pack in cases.some(tale.packs):
        memory = copy(tale.healthy)
        gone = tale.spoil(memory, pack, how)
        if gone is None:
            continue
        archive = opened(memory)
        fresh = Writer(archive, LAB, proven=True)
        for night in range(4):
            for path, data in files(night).items():
                fresh.add(f"{night}/{path}", io.BytesIO(data), promised=Promise(size=len(data)))
        later = fresh.commit(draft(LAB, START + 5 * NIGHT), clock=Clock(START + 5 * NIGHT))
        held = {row.oid for p in {*later.manifest.packs} - {pack} for row in footer_of(archive.backend, p).objects}
        monkeypatch.setitem(tale.truth, later.id, files_of(archive, later))
        plan = planned(archive)
        assert told(plan) == tale.expected(gone - held)
        apply(archive, plan)
        tale.check_end(memory, tale.expected(gone - held))
        check_sweeps(memory)


def test_any_flipped_byte_ends_whole_or_told(cases: Cases) -> None:
    """Fifteen bytes of each pack, most in its tables: what the plan does not name comes back bit for bit."""
    tale = story(cases.secret)
    chosen = random.Random("flips")
    lost = 0
    packs = cases.some(tale.packs)
    for pack in packs:
        whole = tale.healthy.get(pack_name(pack))
        for at in chosen.choices(range(len(whole)), k=3) + chosen.choices(range(len(whole))[-400:], k=12):
            memory, data = copy(tale.healthy), bytearray(whole)
            data[at] ^= chosen.randint(1, 255)
            overwrite(memory, pack_name(pack), bytes(data))
            archive = opened(memory)
            plan = planned(archive)
            assert len(plan.mends) == 1
            apply(archive, plan)
            tale.check_end(memory, told(plan))
            lost += bool(plan.hits)

    assert 0 < lost <= 15 * len(packs)
    assert lost < 15 * len(packs) or cases.secret  # a byte of one that is encrypted costs all around it


def test_several_damaged_packs_are_mended_together(secret: str | None) -> None:
    """All packs cut, with a copy; and each with one flipped byte, without one."""
    tale = story(secret)
    memory, twin = copy(tale.healthy), opened(copy(tale.healthy))
    for pack in tale.packs:
        tale.spoil(memory, pack, "cut")
    archive = opened(memory)
    apply(archive, planned(archive, twin), twin)
    tale.check_end(memory, {}, twin)

    memory, gone = copy(tale.healthy), set()
    for pack in tale.packs:
        gone |= tale.spoil(memory, pack, "raw") or set()
    archive = opened(memory)
    plan = planned(archive)
    assert told(plan).keys() == tale.expected(gone).keys()
    apply(archive, plan)
    tale.check_end(memory, told(plan))


@pytest.mark.parametrize("how", ["emptied", "flipped", "missing"])
def test_small_files_come_back_from_a_copy(how: str, secret: str | None) -> None:
    """Manifest, tombstone, mark, record: byte for byte, and the damaged bytes are evidence. Not a lease."""
    tale = story(secret)
    twin = opened(copy(tale.healthy))
    for name in tale.small:
        if how == "missing" and keys.is_holder(name):
            continue  # removed
        memory = copy(tale.healthy)
        view = Below(opened(memory))
        data = view.get(name)
        view.delete(name)
        spoiled = b"" if how == "emptied" else bytes([data[0] ^ 1]) + data[1:]
        if how != "missing":
            view.put_new(name, [spoiled])
        archive, mark = open_with_copy(memory, twin, secret)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
        assert ([back.name for back in plan.small], plan.left, plan.hits) == ([name], (), ())
        done = apply(archive, plan, twin)
        back = opened(memory).backend
        assert back.get(name) == tale.whole.backend.get(name)
        assert len(done.evidence) == (how != "missing")
        assert all(back.get(f"evidence/{digest}.bin") == spoiled for digest in done.evidence)
        tale.check_end(memory, {}, twin)


def test_without_a_copy_a_damaged_small_file_stays_and_is_told(secret: str | None) -> None:
    """Nothing is guessed and nothing is deleted."""
    tale = story(secret)
    for name in [n for n in tale.small if n != MARK and not keys.is_holder(n)]:
        memory = copy(tale.healthy)
        overwrite(Below(opened(memory)), name, b"rot")
        before = contents(memory)
        archive = opened(memory)
        plan = planned(archive)
        assert [finding.name for finding in plan.left] == [name]
        apply(archive, plan)
        assert contents(memory) == before


def test_a_damaged_note_goes_to_the_evidence_and_is_written_anew(secret: str | None) -> None:
    """The pack that it was about is read again, found damaged, and replaced by what its note would have named."""
    tale = story(secret)
    memory = copy(tale.healthy)
    tale.spoil(memory, tale.packs[0], "header")
    archive = opened(memory)
    apply(archive, planned(archive))
    (name,) = archive.backend.list("replaced/")
    overwrite(memory, name, b"rot")
    archive = opened(memory)
    with pytest.raises(StorageError):
        sweep(archive, now=NOW)  # what the note protects is not known
    plan = planned(archive)
    assert [back.name for back in plan.small] == [name]
    apply(archive, plan, run="20260313-s")
    assert list(memory.list("replaced/")) == [name.replace(".1.json", ".2.json")]
    tale.check_end(memory, told(plan))


def test_a_backup_behind_a_repair_reuses_nothing_damaged(cases: Cases) -> None:
    """New manifests name the new packs, and the next snapshot is whole whatever was lost before."""
    tale = story(cases.secret)
    for pack in cases.some(tale.packs):
        memory = copy(tale.healthy)
        tale.spoil(memory, pack, "raw")
        archive = opened(memory)
        apply(archive, planned(archive))
        later = write(archive, files(3), night=6)
        assert pack not in later.manifest.packs
        assert files_of(archive, later) == files(3)
        assert all(later.id not in finding.snapshots for finding in scrub(archive).findings)


def test_a_copy_of_another_archive_is_refused(secret: str | None) -> None:
    """Its objects would prove themselves, but its chains are not ours."""
    tale = story(secret)
    with pytest.raises(StorageError, match="a copy of"):
        open_with_copy(copy(tale.healthy), new_archive(), secret)


def test_what_replaced_a_pack_goes_with_it(secret: str | None) -> None:
    """Once all its snapshots are forgotten and their grace is over: packs, what replaced them, notes."""
    tale = story(secret)
    memory = copy(tale.healthy)
    for pack in tale.packs:
        tale.spoil(memory, pack, "raw")
    archive = opened(memory)
    apply(archive, planned(archive))
    for found in archive.snapshots():
        drop(archive, found, now=NOW)
    sweep(archive, now=NOW + GRACE - timedelta(seconds=1))
    assert set(tale.packs) <= {pack_digest(name) for name in memory.list("packs/")}
    sweep(archive, now=NOW + GRACE)

    assert [*memory.list("packs/"), *memory.list("replaced/")] == []
    assert scrub(archive).findings == ()


@pytest.mark.parametrize("spoiled", [MARK, "keys/"])
def test_a_copy_from_before_a_rotation_mends_nothing_by_its_keys(spoiled: str) -> None:
    """What the new key has encrypted is not damaged, and is not replaced; a whole holder's file has all keys."""
    memory = Memory()
    write(Archive.create(memory, now=NOW, secret=SECRET, holder="night"), {"a": b"old" * 99})
    old = copy(memory)
    Keyring.open(memory, SECRET).rotate(SECRET, now=NOW)
    write(Archive.open(memory, SECRET), {"b": b"new" * 99}, night=1)
    healthy = copy(memory)
    (name,) = memory.list(spoiled)
    overwrite(memory, name, b"rot")
    twin = Archive.open(old, SECRET)

    if spoiled == MARK:
        archive, mark = open_with_copy(memory, twin, SECRET)
        apply(archive, plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark), twin)
        assert memory.get(MARK) == healthy.get(MARK)
        assert scrub(opened(memory)).findings == ()
        overwrite(memory, name, b"rot")
        (holder,) = memory.list("keys/")
        memory.delete(holder)
    with pytest.raises(KeyWrong, match="need a newer one"):
        open_with_copy(memory, twin, SECRET)


def test_a_removed_holder_does_not_come_back_from_a_copy() -> None:
    """Nor does its key open the archive by way of the copy; what is damaged comes back, and opens again."""
    memory = copy(story(SECRET).healthy)
    archive = opened(memory)
    assert isinstance(archive.backend, Encrypted)
    names = {}
    for secret in (REMOVED, DAMAGED):
        holder = keys.wrap(archive.backend.keys, secret, archive_id=archive.id, name="x", now=NOW)
        names[secret] = holder.file
        memory.put_new(holder.file, [keys.encode(holder)])
    healthy = copy(memory)
    memory.delete(names[REMOVED])
    with pytest.raises(KeyWrong):
        open_with_copy(memory, Archive.open(healthy, REMOVED), REMOVED)
    overwrite(memory, names[DAMAGED], b"rot")
    with pytest.raises(KeyWrong):
        Archive.open(memory, DAMAGED)
    twin = Archive.open(healthy, DAMAGED)
    archive, mark = open_with_copy(memory, twin, DAMAGED)
    apply(archive, plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark), twin)

    assert memory.get(names[DAMAGED]) == healthy.get(names[DAMAGED])
    assert memory.size(names[REMOVED]) is None
    assert scrub(Archive.open(memory, DAMAGED)).findings == ()
