"""Kept bytes against their names: reads the archive and says what is damaged, what is missing, whom it hits.

Changes nothing. Finds what is not there any more too: a number missing from a chain, a manifest whose successor
names another predecessor, a pack that a snapshot needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from storage import canonical, snapshot
from storage.archive import FORMAT_NAME, Archive, Damaged
from storage.errors import ObjectMissing, StorageError
from storage.index import footer_of, pack_name
from storage.snapshot import ScopeKey, Snapshot, Tombstone

PIECE = 8 << 20  # bytes of a pack read at a time


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
    """Read every byte of the archive once. Raises only what opening the backend raises. Memory: one piece."""
    damaged: list[Damaged] = []
    live = archive.snapshots(damaged=damaged)
    tombs = list(_tombstones(archive, damaged))
    findings = [Finding(bad.name, bad.problem) for bad in damaged]
    findings += _chain_gaps(live, tombs, {bad.name for bad in damaged})
    users: dict[str, list[str]] = {}
    for found in live:
        for pack in found.manifest.packs:
            users.setdefault(pack, []).append(found.id)
    present = {name.rpartition("/")[2].removesuffix(".pack") for name in archive.backend.list("packs/")}
    bytes_read = 0
    for pack in sorted(present | users.keys()):
        problem, size = _read_pack(archive, pack, on_bytes)
        bytes_read += size
        if problem:
            findings.append(Finding(pack_name(pack), problem, tuple(users.get(pack, ()))))
    hit = {found_id for finding in findings for found_id in finding.snapshots}
    findings += _unreadable_listings(archive, (found for found in live if found.id not in hit))
    findings += _bad_records(archive)
    heads = _heads(live, tombs)
    return Report(tuple(findings), len(live), len(present), bytes_read, heads)


def _read_pack(archive: Archive, pack: str, on_bytes: Callable[[int], None]) -> tuple[str, int]:
    """What is wrong with a pack ("" for nothing) and how many bytes were read."""
    name = pack_name(pack)
    size = archive.backend.size(name)
    if size is None:
        return "missing", 0
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


def _chain_gaps(live: list[Snapshot], tombs: list[Tombstone], damaged: set[str]) -> Iterator[Finding]:
    """Numbers that are missing, and links whose predecessor is not the one they were chained to."""
    links: dict[ScopeKey, dict[int, tuple[str, str | None]]] = {}
    for found in live:
        links.setdefault(found.key, {})[found.manifest.number] = (found.id, found.manifest.previous)
    for tomb in tombs:
        # A tombstone is written before its manifest goes, so both may be there.
        manifest = tomb.manifest
        links.setdefault(manifest.draft.key, {})[manifest.number] = (tomb.id, manifest.previous)
    for key, chain in links.items():
        previous: str | None = None
        for number in range(1, max(chain) + 1):
            name = snapshot.manifest_name(key, number)
            if number not in chain:
                if name not in damaged:
                    yield Finding(name, "missing: neither a snapshot nor a tombstone has this number")
                previous = None
                continue
            found_id, before = chain[number]
            if number > 1 and previous is not None and before != previous:
                yield Finding(
                    name,
                    f"chained to {str(before)[:12]}, number {number - 1} is {previous[:12]}",
                    (found_id,),
                )
            previous = found_id


def _unreadable_listings(archive: Archive, live: Iterable[Snapshot]) -> Iterator[Finding]:
    for found in live:
        try:
            entries = archive.entries(found)
        except StorageError as exc:
            yield Finding(found.name, f"its listing cannot be read: {exc}", (found.id,))
            continue
        if (len(entries), sum(e.measured.size for e in entries)) != (
            found.manifest.files,
            found.manifest.size,
        ):
            yield Finding(found.name, "its listing and its manifest count differently", (found.id,))


def _tombstones(archive: Archive, damaged: list[Damaged]) -> Iterator[Tombstone]:
    for name in archive.backend.list("snapshots/"):
        if name.endswith(".forgotten.json"):
            try:
                yield snapshot.decode_tombstone(archive.backend.get(name), name)
            except StorageError as exc:
                damaged.append(Damaged(name, str(exc)))


def _bad_records(archive: Archive) -> Iterator[Finding]:
    for name in [FORMAT_NAME, *archive.backend.list("records/")]:
        try:
            data = archive.backend.get(name)
            if canonical.encode(canonical.decode(data)) != data:
                yield Finding(name, "not the canonical bytes that were written")
        except (ValueError, ObjectMissing) as exc:
            yield Finding(name, f"cannot be read: {exc}")


def _heads(live: list[Snapshot], tombs: list[Tombstone]) -> dict[str, tuple[int, str]]:
    links = [(str(s.key), s.manifest.number, s.id) for s in live]
    links += [(str(t.manifest.draft.key), t.manifest.number, t.id) for t in tombs]
    links.sort()
    return {
        key: (last[1], last[2])
        for key, group in groupby(links, key=lambda link: link[0])
        for last in [list(group)[-1]]
    }
