"""Kept bytes against their names: reads the archive and says what is damaged, what is missing, whom it hits.

Changes nothing. Finds what is not there any more too: a number missing from a chain, a manifest whose successor
names another predecessor, a pack that a snapshot needs, a head that was noted. Files that stand alone carry a seal
and prove themselves. All of that is looked at each time; only the bytes of packs may be read in turns.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise

from storage import canonical, decisions, evidence, keys, lease, records, replaced, snapshot, upkeep_records
from storage.about import about_digest
from storage.archive import Archive, Damaged
from storage.encrypted import check_up_to_date
from storage.errors import ObjectMissing, StorageError
from storage.halves import halves
from storage.index import footer_of, pack_digest, pack_name
from storage.mark import MARK
from storage.snapshot import ScopeKey, Snapshot
from storage.tombstone import Tombstone
from storage.turns import Kept
from storage.unnamed import read_sighting, unnamed_digest
from storage.upkeep_records import MISSING, ROLLED_BACK, STRAY, Finding, Noted
from storage.wholeness import not_whole

PIECE = 1 << 20  # bytes of a pack read at a time
THREADS = 2  # one reads while the other hashes: hashlib lets go of the interpreter for pieces of this size
# Kinds of files that are no records.
_RECORDLESS = ("archive", "snapshot", "tombstone", "unnamed", "replaced", "evidence", "decision", "lease")

Choice = Callable[[Sequence[Kept]], Sequence[str]]  # of the packs that are there: digests to read, in order


@dataclass(frozen=True, slots=True)
class Report:
    """What a scrub read and found. `heads` are the newest link of every chain: note them down elsewhere."""

    findings: tuple[Finding, ...]
    snapshots: int
    packs: int  # that are there
    packs_read: int
    bytes_read: int
    good: Mapping[str, int]  # packs read and found good: digest -> bytes
    heads: Mapping[str, tuple[int, str]]  # "source/scope" -> number, id


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of reading a pack."""

    pack: str
    problem: str  # "" for none
    size: int  # bytes read


def everything(packs: Sequence[Kept]) -> list[str]:
    """The choice to read all packs."""
    return [pack.digest for pack in packs]


def scrub(
    archive: Archive,
    *,
    choose: Choice = everything,
    noted: Sequence[Noted] = (),
    time_is_up: Callable[[], bool] = lambda: False,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Report:
    """Look at every file of the archive, and read the packs that `choose` names until `time_is_up`; at least one.

    A newest manifest that was deleted cannot be told from one that never was: `noted` are heads that were there
    once and must still be in their chains. `on_bytes` is called from several threads, by one at a time. Raises
    only what opening the backend raises, and KeyWrong where a newer key would be needed to tell damage. Memory:
    THREADS pieces, the manifests, some 200 bytes an object.
    """
    check_up_to_date(archive.backend)
    damaged: list[Damaged] = []
    live = archive.snapshots(damaged=damaged)
    tombs = archive.tombstones(damaged=damaged)
    findings = list(_unreadable(damaged, live, tombs))
    findings += [Finding(half.links[0].name, half.problem) for half in halves(archive) if half.error]
    findings += _chain_gaps(live, tombs, {bad.name for bad in damaged})
    findings += _foreign(archive, live)
    findings += _rolled_back(noted, live, tombs, damaged)
    bad_notes: list[Damaged] = []
    notes = archive.replacements(damaged=bad_notes)
    findings += [Finding(bad.name, bad.problem) for bad in bad_notes]
    bad_decisions: list[Damaged] = []
    archive.decisions(damaged=bad_decisions)
    findings += [Finding(bad.name, f"{bad.problem}; its snapshot is held") for bad in bad_decisions]
    users: dict[str, list[str]] = {}
    needed: set[str] = set()
    for found in live:
        for pack in replaced.to_read(notes, found.manifest.packs):
            users.setdefault(pack, []).append(found.id)
        needed.update(replaced.current(notes, found.manifest.packs))
    kept = packs_there(archive, live, tombs)
    findings += [
        Finding(pack_name(pack), MISSING, tuple(users[pack]))
        for pack in sorted(needed - {there.digest for there in kept})
    ]
    done = _read_packs(archive, choose(kept), time_is_up, on_bytes)
    for read in done:
        if read.problem and (read.pack in needed or read.problem != MISSING):  # else a sweep freed it just now
            findings.append(Finding(pack_name(read.pack), read.problem, tuple(users.get(read.pack, ()))))
    hit = {found_id for finding in findings for found_id in finding.snapshots}
    findings += not_whole(archive, [found for found in live if found.id not in hit], notes)
    findings += _bad_small_files(archive)
    findings += [Finding(name, problem) for name, problem in evidence.problems(archive.backend)]
    findings += [Finding(name, f"{STRAY}: put by somebody else, or renamed") for name in strays(archive)]
    findings += _bad_descriptions(archive)
    check_up_to_date(archive.backend)  # where keys were rotated meanwhile, some findings are none
    return Report(
        findings=tuple(findings),
        snapshots=len(live),
        packs=len(kept),
        packs_read=len(done),
        bytes_read=sum(read.size for read in done),
        good={read.pack: read.size for read in done if not read.problem},
        heads=_heads(live, tombs),
    )


def packs_there(archive: Archive, live: Iterable[Snapshot], tombs: Iterable[Tombstone]) -> list[Kept]:
    """The packs that are there, by digest, and since when these snapshots name them, or what they replaced.

    One whose note says that it was damaged is left out: it is evidence, never read again.
    """
    notes = archive.replacements(damaged=[])
    written: dict[str, datetime] = {}
    for manifest in [*(found.manifest for found in live), *(tomb.manifest for tomb in tombs if tomb.manifest)]:
        for pack in replaced.to_read(notes, manifest.packs):
            written[pack] = min(manifest.committed_at, written.get(pack, manifest.committed_at))
    evident = {pack for pack, note in notes.items() if note.old != "retired"}
    digests = [
        digest for digest in map(pack_digest, archive.backend.list("packs/")) if digest and digest not in evident
    ]
    sized = [(digest, archive.backend.size(pack_name(digest))) for digest in digests]
    return [Kept(digest, size, written.get(digest)) for digest, size in sized if size is not None]


def _read_packs(
    archive: Archive, packs: Sequence[str], time_is_up: Callable[[], bool], on_bytes: Callable[[int], None]
) -> list[_Read]:
    """Read these packs, two at a time, until the time is up; the first in any case."""
    lock = threading.Lock()

    def told(count: int) -> None:
        with lock:
            on_bytes(count)

    def read(place: int) -> _Read | None:
        return None if place and time_is_up() else _Read(packs[place], *_read_pack(archive, packs[place], told))

    with ThreadPoolExecutor(THREADS) as threads:
        return [done for done in threads.map(read, range(len(packs))) if done is not None]


def _read_pack(archive: Archive, pack: str, on_bytes: Callable[[int], None]) -> tuple[str, int]:
    """What is wrong with a pack ("" for nothing) and how many bytes were read."""
    name = pack_name(pack)
    size = archive.backend.size(name)
    if size is None:
        return MISSING, 0
    digest = hashlib.sha256()
    done = 0
    try:
        while piece := archive.backend.get(name, done, PIECE):  # up to the empty one behind the end
            digest.update(piece)
            done += len(piece)
            on_bytes(len(piece))
        if digest.hexdigest() != pack:
            return f"sha256 {digest.hexdigest()[:12]}, its name promises {pack[:12]}", done
        footer_of(archive.backend, pack)
    except StorageError as exc:
        return str(exc), done
    return "", done


def _unreadable(damaged: list[Damaged], live: list[Snapshot], tombs: list[Tombstone]) -> Iterator[Finding]:
    """Damaged manifests and tombstones; the id of one stands in its successor, where there is one."""
    before = {(found.key, found.manifest.number - 1): found.manifest.previous for found in live}
    before |= {(tomb.key, tomb.number - 1): tomb.previous for tomb in tombs}
    for bad in damaged:
        link = snapshot.parse_name(bad.name)
        known = before.get((link.key, link.number)) if link else None
        yield Finding(bad.name, bad.problem, (known,) if known else ())


def _chain_gaps(live: list[Snapshot], tombs: list[Tombstone], damaged: set[str]) -> Iterator[Finding]:
    """Numbers that are missing, and links whose predecessor is not the one they were chained to."""
    links: dict[ScopeKey, dict[int, tuple[str, str | None]]] = {}
    for found in live:
        links.setdefault(found.key, {})[found.manifest.number] = (found.id, found.manifest.previous)
    for tomb in tombs:
        links.setdefault(tomb.key, {})[tomb.number] = (tomb.id, tomb.previous)
    unread = {(link.key, link.number) for link in map(snapshot.parse_name, damaged) if link}
    for key in sorted({*links, *(key for key, _ in unread)}, key=str):
        chain = links.get(key, {})
        numbers = sorted({*chain, *(number for other, number in unread if other == key)})
        for before, number in pairwise([0, *numbers]):
            found_id, previous = chain.get(number, ("", None))
            if number > before + 1:
                name = snapshot.manifest_name(key, before + 1)
                upto = f" to {number - 1}" if number > before + 2 else ""
                whose = (previous,) if previous and not upto else ()
                yield Finding(name, f"number {before + 1}{upto}: neither a snapshot nor a tombstone", whose)
                continue
            promised = chain[before][0] or None if before in chain else None
            if found_id and previous is not None and (number == 1 or promised not in (None, previous)):
                yield Finding(
                    snapshot.manifest_name(key, number),
                    f"chained to {previous[:12]}, number {before} is {str(promised)[:12]}",
                    (found_id,),
                )


def _rolled_back(
    noted: Iterable[Noted], live: Iterable[Snapshot], tombs: Iterable[Tombstone], damaged: Iterable[Damaged]
) -> Iterator[Finding]:
    """Heads that were noted and are in their chain no more; of each chain the newest tells it all."""
    links = {(str(found.key), found.manifest.number): found.id for found in live}
    links |= {(str(tomb.key), tomb.number): tomb.id for tomb in tombs}
    given_up = {(str(tomb.key), tomb.number) for tomb in tombs if not tomb.id}
    unread = {(str(link.key), link.number) for link in (snapshot.parse_name(bad.name) for bad in damaged) if link}
    lost: dict[str, Noted] = {}
    for head in noted:
        there = (head.chain, head.number)
        if links.get(there) != head.id and there not in unread | given_up:  # a damaged one is a finding already
            lost[head.chain] = max(head, lost.get(head.chain, head), key=lambda one: one.number)
    for chain, head in sorted(lost.items()):
        name = snapshot.manifest_name(upkeep_records.key_of(chain), head.number)
        when = f" noted on {head.at}" if head.at else ""
        gone = f"head of {chain}, number {head.number}, id {head.id[:12]}{when}, is not in the archive"
        yield Finding(name, f"{ROLLED_BACK}: {gone}", (head.id,))


def _foreign(archive: Archive, live: list[Snapshot]) -> Iterator[Finding]:
    others = [found for found in live if found.manifest.archive_id != archive.id]
    if others:
        problem = f"this archive is {archive.id[:12]}, snapshots name {others[0].manifest.archive_id[:12]}"
        yield Finding(MARK, problem, tuple(found.id for found in others))


def _bad_small_files(archive: Archive) -> Iterator[Finding]:
    folders = ("records/", "unnamed/", lease.FOLDER, keys.FOLDER)
    for name in [MARK, *(name for folder in folders for name in archive.backend.list(folder))]:
        try:
            data = archive.backend.get(name)
            kind = canonical.unseal(data).get("kind")
            if unnamed_digest(name):
                read_sighting(data, name)
            elif lease.is_lease(name):
                lease.decode(data, name)
            elif keys.is_holder(name):
                keys.decode(data, name)
            elif name.startswith("records/") and kind in _RECORDLESS:
                yield Finding(name, f"holds a file of kind {kind!r}")
            elif name.startswith("records/"):
                record = records.decode(data, name) or upkeep_records.decode(data, name)
                if record is not None and snapshot.record_name(record.id) != name:
                    yield Finding(name, f"holds the record of {kind} {record.id}")
        except ObjectMissing:
            continue  # deleted since the names were listed
        except (ValueError, StorageError) as exc:
            yield Finding(name, f"cannot be read: {exc}")


def strays(archive: Archive) -> Iterator[str]:
    """Files that no archive has. Named, because a misplaced pack or manifest looks like that."""
    for name in archive.backend.list(""):
        folder = name.partition("/")[0]
        known = {
            MARK: True,
            "records": True,
            "packs": pack_digest(name) is not None,
            "snapshots": snapshot.parse_name(name) is not None,
            "unnamed": unnamed_digest(name) is not None,
            "replaced": replaced.parse_name(name) is not None,
            "evidence": evidence.is_evidence(name),
            "decisions": decisions.parse_name(name) is not None,
            "about": about_digest(name) is not None,
            "leases": lease.is_lease(name),
            "keys": keys.is_holder(name),
        }
        if not known.get(folder, False):
            yield name


def _bad_descriptions(archive: Archive) -> Iterator[Finding]:
    for name in filter(about_digest, archive.backend.list("about/")):
        try:
            found = hashlib.sha256(archive.backend.get(name)).hexdigest()
        except StorageError as exc:
            yield Finding(name, f"cannot be read: {exc}")
        else:
            if found != about_digest(name):
                yield Finding(name, f"sha256 {found[:12]}: not the bytes that its name promises")


def _heads(live: list[Snapshot], tombs: list[Tombstone]) -> dict[str, tuple[int, str]]:
    links = [(str(s.key), s.manifest.number, s.id) for s in live]
    links += [(str(tomb.key), tomb.number, tomb.id) for tomb in tombs if tomb.id]
    links.sort()
    return {
        key: (last[1], last[2])
        for key, group in groupby(links, key=lambda link: link[0])
        for last in [list(group)[-1]]
    }
