"""Kept bytes against their names: reads the archive and says what is damaged, what is missing, whom it hits.

Changes nothing. Finds what is not there any more too: a number missing from a chain, a manifest whose successor
names another predecessor, a pack that a snapshot needs. Files that stand alone carry a seal and prove themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise

from storage import canonical, records, snapshot
from storage.about import about_digest
from storage.archive import FORMAT_NAME, Archive, Damaged
from storage.errors import ObjectMissing, StorageError
from storage.index import footer_of, pack_digest, pack_name
from storage.prune import read_sighting, unnamed_digest
from storage.snapshot import ScopeKey, Snapshot, Tombstone

PIECE = 8 << 20  # bytes of a pack read at a time
_MISSING = "missing"
_OTHER_KINDS = ("archive", "snapshot", "tombstone", "unnamed")  # a record may be of any kind but these


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the file, what it is, and the snapshots that cannot be trusted because of it."""

    name: str
    problem: str
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a scrub read and found. `heads` are the newest link of every chain: note them down elsewhere."""

    findings: tuple[Finding, ...]
    snapshots: int
    packs: int
    bytes_read: int
    heads: Mapping[str, tuple[int, str]]  # "source/scope" -> number, id


def scrub(archive: Archive, *, on_bytes: Callable[[int], None] = lambda _: None) -> Report:
    """Read every byte of the archive once. Raises only what opening the backend raises. Memory: one piece.

    A newest manifest that was deleted cannot be told from one that never was: compare `heads` with a copy.
    """
    damaged: list[Damaged] = []
    live = archive.snapshots(damaged=damaged)
    tombs = archive.tombstones(damaged=damaged)
    findings = list(_unreadable(damaged, live, tombs))
    findings += _chain_gaps(live, tombs, {bad.name for bad in damaged})
    findings += _foreign(archive, live)
    users: dict[str, list[str]] = {}
    for found in live:
        for pack in found.manifest.packs:
            users.setdefault(pack, []).append(found.id)
    present = {digest for digest in map(pack_digest, archive.backend.list("packs/")) if digest}
    bytes_read = 0
    for pack in sorted(present | users.keys()):
        problem, size = _read_pack(archive, pack, on_bytes)
        bytes_read += size
        if problem and (pack in users or problem != _MISSING):  # nobody needs it: a sweep freed it just now
            findings.append(Finding(pack_name(pack), problem, tuple(users.get(pack, ()))))
    hit = {found_id for finding in findings for found_id in finding.snapshots}
    findings += _unreadable_listings(archive, (found for found in live if found.id not in hit))
    findings += _bad_small_files(archive)
    findings += _strays(archive)
    findings += _bad_descriptions(archive)
    return Report(tuple(findings), len(live), len(present), bytes_read, _heads(live, tombs))


def _read_pack(archive: Archive, pack: str, on_bytes: Callable[[int], None]) -> tuple[str, int]:
    """What is wrong with a pack ("" for nothing) and how many bytes were read."""
    name = pack_name(pack)
    size = archive.backend.size(name)
    if size is None:
        return _MISSING, 0
    digest = hashlib.sha256()
    done = 0
    try:
        while done < size:
            piece = archive.backend.get(name, done, PIECE)
            if not piece:
                break
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
    before |= {(t.manifest.draft.key, t.manifest.number - 1): t.manifest.previous for t in tombs}
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
        manifest = tomb.manifest
        links.setdefault(manifest.draft.key, {})[manifest.number] = (tomb.id, manifest.previous)
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
            promised = chain[before][0] if before in chain else None
            if found_id and previous is not None and (number == 1 or promised not in (None, previous)):
                yield Finding(
                    snapshot.manifest_name(key, number),
                    f"chained to {previous[:12]}, number {before} is {str(promised)[:12]}",
                    (found_id,),
                )


def _foreign(archive: Archive, live: list[Snapshot]) -> Iterator[Finding]:
    others = [found for found in live if found.manifest.archive_id != archive.id]
    if others:
        problem = f"this archive is {archive.id[:12]}, snapshots name {others[0].manifest.archive_id[:12]}"
        yield Finding(FORMAT_NAME, problem, tuple(found.id for found in others))


def _unreadable_listings(archive: Archive, live: Iterable[Snapshot]) -> Iterator[Finding]:
    for found in live:
        try:
            entries, reader = archive.entries(found), archive.reader(found)
        except StorageError as exc:
            yield Finding(found.name, f"its listing cannot be read: {exc}", (found.id,))
            continue
        if (len(entries), sum(e.measured.size for e in entries)) != (
            found.manifest.files,
            found.manifest.size,
        ):
            yield Finding(found.name, "its listing and its manifest count differently", (found.id,))
        lacking = [entry.path for entry in entries if reader.lacks(entry)]
        if lacking:
            yield Finding(found.name, f"{lacking[0]}: in none of its packs ({len(lacking)} files)", (found.id,))


def _bad_small_files(archive: Archive) -> Iterator[Finding]:
    for name in [FORMAT_NAME, *archive.backend.list("records/"), *archive.backend.list("unnamed/")]:
        try:
            data = archive.backend.get(name)
            kind = canonical.unseal(data).get("kind")
            if unnamed_digest(name):
                read_sighting(data, name)
            elif name.startswith("records/") and kind in _OTHER_KINDS:
                yield Finding(name, f"holds a file of kind {kind!r}")
            elif name.startswith("records/"):
                record = records.decode(data, name)
                if record is not None and snapshot.record_name(record.id) != name:
                    yield Finding(name, f"holds the record of run {record.id}")
        except ObjectMissing:
            continue  # deleted since the names were listed
        except (ValueError, StorageError) as exc:
            yield Finding(name, f"cannot be read: {exc}")


def _strays(archive: Archive) -> Iterator[Finding]:
    """Files that no archive has. Named, because a misplaced pack or manifest looks like that."""
    for name in archive.backend.list(""):
        folder = name.partition("/")[0]
        known = {
            FORMAT_NAME: True,
            "records": True,
            "packs": pack_digest(name) is not None,
            "snapshots": snapshot.parse_name(name) is not None,
            "unnamed": unnamed_digest(name) is not None,
            "about": about_digest(name) is not None,
        }
        if not known.get(folder, False):
            yield Finding(name, "no file of an archive: put by somebody else, or renamed")


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
    links += [(str(t.manifest.draft.key), t.manifest.number, t.id) for t in tombs]
    links.sort()
    return {
        key: (last[1], last[2])
        for key, group in groupby(links, key=lambda link: link[0])
        for last in [list(group)[-1]]
    }
