"""Repair: whatever was damaged, the plan names exactly what is lost, and all else is whole again afterwards."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import timedelta

import pytest

from storage import lease, records
from storage.archive import Archive
from storage.backend import Memory
from storage.errors import StorageError
from storage.index import footer_of, pack_digest, pack_name
from storage.putback import open_with_copy
from storage.repair import Plan, Repaired, plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    contents,
    copy,
    draft,
    drop,
    new_archive,
    noise,
    overwrite,
    run_record,
    write,
)

NOW = START + 12 * NIGHT
DAMAGES = ["raw", "zstd", "footer", "trailer", "header", "cut", "emptied", "missing"]


def export(night: int) -> bytes:
    """A ZIP that is kept cut: members that change at different nights, some stored, some deflated."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data, method in (
            ("x/steady.bin", noise(40_000, 1), zipfile.ZIP_STORED),
            ("x/changing.bin", noise(30_000, 50 + night), zipfile.ZIP_STORED),
            ("x/table.csv", b"%d;42;17\n" % night * 3000, zipfile.ZIP_STORED),
            ("x/text.txt", noise(700, 70 + night).hex().encode() * 2, zipfile.ZIP_DEFLATED),
        ):
            made.writestr(zipfile.ZipInfo(name, (2026, 3, 1, 0, 0, 0)), data, method)
    return out.getvalue()


def files(night: int) -> dict[str, bytes]:
    return {"export.zip": export(night), "notes.txt": b"night %d\n" % night * 40, "same.bin": noise(900, 3)}


def history() -> Memory:
    """Four nights of one scope, the first forgotten in its grace, one night of another; two records."""
    memory = Memory()
    archive = new_archive(memory)
    for night in range(4):
        write(archive, files(night), night=night)
    write(archive, {"z": noise(500, 9)}, key=OFFICE)
    drop(archive, archive.snapshots(LAB)[0], now=NOW - timedelta(days=2))
    for run in ("20260301-a", "20260302-b"):
        archive.put_record(run, records.encode(run_record(run)))
    return memory


HEALTHY = history()
WHOLE = Archive.open(HEALTHY)
PACKS = sorted(filter(None, map(pack_digest, HEALTHY.list("packs/"))))


def files_of(archive: Archive, found: Snapshot) -> dict[str, bytes]:
    """The files of a snapshot that can be read, proven."""
    given = {}
    try:
        entries, reader = archive.entries(found), archive.reader(found)
    except StorageError:
        return {}
    for entry in entries:
        try:
            given[entry.path] = b"".join(reader.chunks(entry))
        except StorageError:
            continue
    return given


TRUTH = {found.id: files_of(WHOLE, found) for found in WHOLE.snapshots()}


def spoil(memory: Memory, pack: str, how: str) -> set[bytes] | None:
    """Damage a pack; the oids that are gone with it. None where the pack has nothing to be damaged so."""
    name = pack_name(pack)
    data, footer = bytearray(HEALTHY.get(name)), footer_of(HEALTHY, pack)
    gone: set[bytes] = set()
    match how:
        case "raw" | "zstd":
            blocks = [n for n, b in enumerate(footer.blocks) if b.codec == (how == "zstd")]
            if not blocks:
                return None
            block = footer.blocks[blocks[0]]
            rows = [o for o in footer.objects if o.block == blocks[0]]
            gone = {rows[0].oid} if how == "raw" else {row.oid for row in rows}
            data[block.offset + (rows[0].offset if how == "raw" else block.stored // 2)] ^= 4
        case "footer":
            data[-52 - 45] ^= 1  # an oid
        case "trailer":
            data[-52] ^= 0x80  # where the footer is
        case "header":
            data[0] ^= 1
        case "cut":
            del data[len(data) // 2 :]
        case "emptied":
            data.clear()
    if how in ("cut", "emptied", "missing"):
        gone = {row.oid for row in footer.objects}
    memory.delete(name)
    if how != "missing":
        memory.put_new(name, [bytes(data)])
    return gone


def expected(gone: set[bytes]) -> dict[str, dict[str, set[str]] | None]:
    """Of each live snapshot that needs one of these objects the files and members it loses; None: its listing."""
    hits: dict[str, dict[str, set[str]] | None] = {}
    for found in WHOLE.snapshots():
        if any(bytes.fromhex(oid) in gone for step in found.manifest.listing for oid in step):
            hits[found.id] = None
            continue
        reader = WHOLE.reader(found)
        lost: dict[str, set[str]] = {}
        for entry in WHOLE.entries(found):
            if not set(reader.oids(entry)) & gone:
                continue
            steps = {oid for step in entry.recipe.steps for oid in step}
            members = () if entry.recipe.kind != "zip" or steps & gone else reader.members(entry)
            lost[entry.path] = {
                m.name
                for m in members
                if not isinstance(m.planned.payload, bytes) and set(m.planned.payload) & gone
            }
        if lost:
            hits[found.id] = lost
    return hits


def told(plan: Plan) -> dict[str, dict[str, set[str]] | None]:
    return {
        hit.snapshot: None if hit.listing else {f.path: set(f.members) for f in hit.files} for hit in plan.hits
    }


def planned(archive: Archive, twin: Archive | None = None) -> Plan:
    return plan_repair(archive, scrub(archive).findings, copy=twin)


def apply(archive: Archive, plan: Plan, twin: Archive | None = None, run: str = "20260313-r") -> Repaired:
    return repair(archive, plan, copy=twin, clock=Clock(NOW), record_id=run)


def check_end(memory: Memory, lost: dict[str, dict[str, set[str]] | None], twin: Archive | None = None) -> None:
    """After a repair: all but `lost` is whole, a scrub tells the loss alone, and nothing is left to do."""
    archive = Archive.open(memory)
    for found in archive.snapshots():
        gone = lost.get(found.id, {})
        want = {} if gone is None else {p: data for p, data in TRUTH[found.id].items() if p not in gone}
        assert files_of(archive, found) == want
    findings = scrub(archive).findings
    assert all(finding.lost for finding in findings), findings
    assert sorted(found for finding in findings for found in finding.snapshots) == sorted(lost)
    before = contents(memory)
    again = planned(archive, twin)
    assert not again
    assert told(again) == lost
    apply(archive, again, twin, "20260314-r")
    assert contents(memory) == before
    assert archive.hits() == lost.keys()


def check_sweeps(memory: Memory) -> None:
    """Sweeps, now and much later, free nothing that anybody needs."""
    archive = Archive.open(memory)
    before = {found.id: files_of(archive, found) for found in archive.snapshots()}
    for later in (NOW, NOW + GRACE, NOW + 3 * GRACE):
        sweep(archive, now=later)
    assert {found.id: files_of(archive, found) for found in archive.snapshots()} == before
    assert all(finding.lost for finding in scrub(archive).findings)


@pytest.mark.parametrize("how", DAMAGES)
def test_without_a_copy_what_can_be_proven_is_kept_and_the_rest_is_named(how: str) -> None:
    """Every pack, damaged in this way: snapshots, files and members, no more and no less."""
    tried = 0
    for pack in PACKS:
        memory = copy(HEALTHY)
        gone = spoil(memory, pack, how)
        if gone is None:
            continue
        tried += 1
        archive = Archive.open(memory)
        plan = planned(archive)
        lost = expected(gone)
        assert told(plan) == lost
        damaged = memory.get(pack_name(pack)) if how != "missing" else b""
        apply(archive, plan)
        check_end(memory, lost)
        if how != "missing":
            assert memory.get(pack_name(pack)) == damaged  # evidence
        check_sweeps(memory)

    assert tried >= 4


@pytest.mark.parametrize("how", DAMAGES)
def test_with_a_whole_copy_everything_is_healed(how: str) -> None:
    """Every pack; a missing one is simply put back."""
    for pack in PACKS:
        memory = copy(HEALTHY)
        if spoil(memory, pack, how) is None:
            continue
        archive, twin = Archive.open(memory), Archive.open(copy(HEALTHY))
        plan = planned(archive, twin)
        assert (plan.hits, plan.left) == ((), ())
        apply(archive, plan, twin)
        check_end(memory, {}, twin)
        if how == "missing" and plan:
            assert contents(memory).keys() - contents(HEALTHY).keys() == {"records/202603/20260313-r.json"}
        check_sweeps(memory)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_copy_that_is_found_later_heals_what_was_lost(how: str) -> None:
    """The repair without it gives nothing up for ever: a second note says where the objects are now."""
    for pack in PACKS:
        memory = copy(HEALTHY)
        if spoil(memory, pack, how) is None:
            continue
        archive, twin = Archive.open(memory), Archive.open(copy(HEALTHY))
        apply(archive, planned(archive))
        apply(archive, planned(archive, twin), twin, "20260313-s")
        check_end(memory, {}, twin)
        check_sweeps(memory)


@pytest.mark.parametrize("how", ["raw", "zstd", "cut", "missing"])
def test_files_stored_anew_heal_the_old_snapshots(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup behind the damage kept identical files: their objects are found there. Listings differ."""
    for pack in PACKS:
        memory = copy(HEALTHY)
        gone = spoil(memory, pack, how)
        if gone is None:
            continue
        archive = Archive.open(memory)
        fresh = Writer(archive, LAB, proven=True)
        for night in range(4):
            for path, data in files(night).items():
                fresh.add(f"{night}/{path}", io.BytesIO(data), promised=Promise(size=len(data)))
        later = fresh.commit(draft(LAB, START + 5 * NIGHT), clock=Clock(START + 5 * NIGHT))
        held = {row.oid for p in {*later.manifest.packs} - {pack} for row in footer_of(memory, p).objects}
        monkeypatch.setitem(TRUTH, later.id, files_of(archive, later))
        plan = planned(archive)
        assert told(plan) == expected(gone - held)
        apply(archive, plan)
        check_end(memory, expected(gone - held))
        check_sweeps(memory)


def test_any_flipped_byte_ends_whole_or_told() -> None:
    """Fifteen bytes of each pack, most in its tables: what the plan does not name comes back bit for bit."""
    chosen = random.Random("flips")
    lost = 0
    for pack in PACKS:
        whole = HEALTHY.get(pack_name(pack))
        for at in chosen.choices(range(len(whole)), k=3) + chosen.choices(range(len(whole))[-400:], k=12):
            memory, data = copy(HEALTHY), bytearray(whole)
            data[at] ^= chosen.randint(1, 255)
            overwrite(memory, pack_name(pack), bytes(data))
            archive = Archive.open(memory)
            plan = planned(archive)
            assert len(plan.mends) == 1
            apply(archive, plan)
            check_end(memory, told(plan))
            lost += bool(plan.hits)

    assert 0 < lost < 15 * len(PACKS)


def test_several_damaged_packs_are_mended_together() -> None:
    """All packs cut, with a copy; and each with one flipped byte, without one."""
    memory, twin = copy(HEALTHY), Archive.open(copy(HEALTHY))
    for pack in PACKS:
        spoil(memory, pack, "cut")
    archive = Archive.open(memory)
    apply(archive, planned(archive, twin), twin)
    check_end(memory, {}, twin)

    memory, gone = copy(HEALTHY), set()
    for pack in PACKS:
        gone |= spoil(memory, pack, "raw") or set()
    archive = Archive.open(memory)
    plan = planned(archive)
    assert told(plan).keys() == expected(gone).keys()
    apply(archive, plan)
    check_end(memory, told(plan))


@pytest.mark.parametrize("how", ["emptied", "flipped", "missing"])
def test_small_files_come_back_from_a_copy(how: str) -> None:
    """Manifest, tombstone, mark, record: byte for byte, and the damaged bytes are evidence. Not a lease."""
    twin = Archive.open(copy(HEALTHY))
    for name in [n for n in HEALTHY.list("") if n.endswith(".json") and not lease.is_lease(n)]:
        memory = copy(HEALTHY)
        data = memory.get(name)
        memory.delete(name)
        spoiled = b"" if how == "emptied" else bytes([data[0] ^ 1]) + data[1:]
        if how != "missing":
            memory.put_new(name, [spoiled])
        archive, mark = open_with_copy(memory, twin)
        plan = plan_repair(archive, scrub(archive).findings, copy=twin, mark=mark)
        assert ([back.name for back in plan.small], plan.left, plan.hits) == ([name], (), ())
        done = apply(archive, plan, twin)
        assert memory.get(name) == data
        assert len(done.evidence) == (how != "missing")
        assert all(memory.get(f"evidence/{digest}.bin") == spoiled for digest in done.evidence)
        check_end(memory, {}, twin)


def test_without_a_copy_a_damaged_small_file_stays_and_is_told() -> None:
    """Nothing is guessed and nothing is deleted."""
    for name in [n for n in HEALTHY.list("") if n.endswith(".json") and n != "strongroom.json"]:
        memory = copy(HEALTHY)
        overwrite(memory, name, b"rot")
        before = contents(memory)
        archive = Archive.open(memory)
        plan = planned(archive)
        assert [finding.name for finding in plan.left] == [name]
        apply(archive, plan)
        assert contents(memory) == before


def test_a_damaged_note_goes_to_the_evidence_and_is_written_anew() -> None:
    """The pack that it was about is read again, found damaged, and replaced by what its note would have named."""
    memory = copy(HEALTHY)
    spoil(memory, PACKS[0], "header")
    archive = Archive.open(memory)
    apply(archive, planned(archive))
    (name,) = memory.list("replaced/")
    overwrite(memory, name, b"rot")
    archive = Archive.open(memory)
    with pytest.raises(StorageError):
        sweep(archive, now=NOW)  # what the note protects is not known
    plan = planned(archive)
    assert [back.name for back in plan.small] == [name]
    apply(archive, plan, run="20260313-s")
    assert list(memory.list("replaced/")) == [name.replace(".1.json", ".2.json")]
    check_end(memory, {})


def test_a_backup_behind_a_repair_reuses_nothing_damaged() -> None:
    """New manifests name the new packs, and the next snapshot is whole whatever was lost before."""
    for pack in PACKS:
        memory = copy(HEALTHY)
        spoil(memory, pack, "raw")
        archive = Archive.open(memory)
        apply(archive, planned(archive))
        later = write(archive, files(3), night=6)
        assert pack not in later.manifest.packs
        assert files_of(archive, later) == files(3)
        assert all(later.id not in finding.snapshots for finding in scrub(archive).findings)


def test_a_copy_of_another_archive_is_refused() -> None:
    """Its objects would prove themselves, but its chains are not ours."""
    with pytest.raises(StorageError, match="a copy of"):
        open_with_copy(copy(HEALTHY), new_archive())


def test_what_replaced_a_pack_goes_with_it() -> None:
    """Once all its snapshots are forgotten and their grace is over: packs, what replaced them, notes."""
    memory = copy(HEALTHY)
    for pack in PACKS:
        spoil(memory, pack, "raw")
    archive = Archive.open(memory)
    apply(archive, planned(archive))
    for found in archive.snapshots():
        drop(archive, found, now=NOW)
    sweep(archive, now=NOW + GRACE - timedelta(seconds=1))
    assert set(PACKS) <= {pack_digest(name) for name in memory.list("packs/")}
    sweep(archive, now=NOW + GRACE)

    assert [*memory.list("packs/"), *memory.list("replaced/")] == []
    assert scrub(archive).findings == ()
