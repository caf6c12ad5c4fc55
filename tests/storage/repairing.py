"""What tests of repair share: a healthy archive, how it is spoiled, and what must be left of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import timedelta
from functools import cache

from storage import cipher, lease, records
from storage.archive import Archive
from storage.backend import Memory
from storage.encrypted import Encrypted
from storage.errors import StorageError
from storage.index import footer_of, pack_digest, pack_name
from storage.packs import Block
from storage.repair import Plan, Repaired, plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    contents,
    drop,
    new_archive,
    noise,
    opened,
    run_record,
    write,
)

NOW = START + 12 * NIGHT
DAMAGES = ["raw", "zstd", "footer", "trailer", "header", "cut", "emptied", "missing"]
Lost = dict[str, dict[str, set[str]] | None]  # by snapshot: of each lost file the members; None: its listing


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


def history(secret: str | None) -> Memory:
    """Four nights of one scope, the first forgotten in its grace, one night of another; two records."""
    memory = Memory()
    archive = new_archive(memory, secret)
    for night in range(4):
        write(archive, files(night), night=night)
    write(archive, {"z": noise(500, 9)}, key=OFFICE)
    drop(archive, archive.snapshots(LAB)[0], now=NOW - timedelta(days=2))
    for run in ("20260301-a", "20260302-b"):
        archive.put_record(run, records.encode(run_record(run)))
    return memory


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


class Story:
    """A healthy archive, and what is in it."""

    def __init__(self, secret: str | None) -> None:
        self.healthy = history(secret)
        self.whole = opened(self.healthy)
        self.packs = sorted(filter(None, map(pack_digest, self.healthy.list("packs/"))))
        names = self.whole.backend.list("")
        self.small = [name for name in names if name.endswith(".json") and not lease.is_lease(name)]
        self.truth = {found.id: files_of(self.whole, found) for found in self.whole.snapshots()}

    def spoil(self, memory: Memory, pack: str, how: str) -> set[bytes] | None:
        """Damage a pack; the oids that are gone with it. None where the pack has nothing to be damaged so."""
        name = pack_name(pack)
        data, footer = bytearray(self.healthy.get(name)), footer_of(self.whole.backend, pack)
        size = self.whole.backend.size(name)
        assert size is not None
        every = {bytes(row.oid) for row in footer.objects}
        gone: set[bytes] = set()
        at = None  # of the byte of the pack that is flipped
        match how:
            case "raw" | "zstd":
                blocks = [n for n, b in enumerate(footer.blocks) if b.codec == (how == "zstd")]
                if not blocks:
                    return None
                block = footer.blocks[blocks[0]]
                rows = [o for o in footer.objects if o.block == blocks[0]]
                gone = {rows[0].oid} if how == "raw" else {row.oid for row in rows}
                at = block.offset + (rows[0].offset if how == "raw" else block.stored // 2)
            case "footer":
                at = size - 52 - 45  # an oid
            case "trailer":
                at = size - 52  # where the footer is
            case "header":
                at = 0
            case "cut":
                del data[len(data) // 2 :]
            case "emptied":
                data.clear()
        if how in ("cut", "emptied", "missing"):
            gone = every
        elif at is not None and isinstance(self.whole.backend, Encrypted):
            segment = 0 if how == "header" else cipher.segment_of(at)
            last = cipher.segment_of(cipher.padding(size) - 1)
            spoiled = {n for n, one in enumerate(footer.blocks) if segment in _segments(one)}
            gone = {bytes(row.oid) for row in footer.objects if row.block in spoiled}
            if how in ("footer", "trailer", "header") or segment == last:
                gone = every  # where nothing says how long it is, or what is in it, none of it is found
            at = cipher.STREAM_AT if how == "header" else _stored_at(at)
        if at is not None:
            data[at] ^= 4
        memory.delete(name)
        if how != "missing":
            memory.put_new(name, [bytes(data)])
        return gone

    def expected(self, gone: set[bytes]) -> Lost:
        """Of each live snapshot that needs one of these objects the files and members it loses."""
        hits: Lost = {}
        for found in self.whole.snapshots():
            if any(bytes.fromhex(oid) in gone for step in found.manifest.listing for oid in step):
                hits[found.id] = None
                continue
            reader = self.whole.reader(found)
            lost: dict[str, set[str]] = {}
            for entry in self.whole.entries(found):
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

    def check_end(self, memory: Memory, lost: Lost, twin: Archive | None = None) -> None:
        """After a repair: all but `lost` is whole, a scrub tells the loss alone, and nothing is left to do."""
        archive = opened(memory)
        for found in archive.snapshots():
            gone = lost.get(found.id, {})
            want = {} if gone is None else {p: d for p, d in self.truth[found.id].items() if p not in gone}
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


@cache
def story(secret: str | None) -> Story:
    """The same in all tests of a process, not to be changed; in another, packs have other salts and so names."""
    return Story(secret)


def told(plan: Plan) -> Lost:
    return {
        hit.snapshot: None if hit.listing else {f.path: set(f.members) for f in hit.files} for hit in plan.hits
    }


def planned(archive: Archive, twin: Archive | None = None) -> Plan:
    return plan_repair(archive, scrub(archive).findings, copy=twin)


def apply(archive: Archive, plan: Plan, twin: Archive | None = None, run: str = "20260313-r") -> Repaired:
    return repair(archive, plan, copy=twin, clock=Clock(NOW), record_id=run)


def check_sweeps(memory: Memory) -> None:
    """Sweeps, now and much later, free nothing that anybody needs."""
    archive = opened(memory)
    before = {found.id: files_of(archive, found) for found in archive.snapshots()}
    for later in (NOW, NOW + GRACE, NOW + 3 * GRACE):
        sweep(archive, now=later)
    assert {found.id: files_of(archive, found) for found in archive.snapshots()} == before
    assert all(finding.lost for finding in scrub(archive).findings)


def _segments(block: Block) -> Iterable[int]:
    return range(cipher.segment_of(block.offset), cipher.segment_of(block.offset + block.stored - 1) + 1)


def _stored_at(at: int) -> int:
    """Where the byte at `at` of an encrypted file is stored."""
    segment = cipher.segment_of(at)
    begins = cipher.HEADER.size if segment == 0 else cipher.STREAM_AT + segment * cipher.SEGMENT
    return begins + at - cipher.plain_at(segment)
