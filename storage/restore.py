"""Gives the files of a snapshot back to a folder, or single members of them, verified while they are written.

Needs an archive and nothing else: no catalog, no configuration, no write access to the archive. Where hostile or
clashing names go is decided in `places.py`.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.archive import Archive
from storage.aside import one_behind, syncing
from storage.contents import Leaf, leaves_of, readings
from storage.errors import BackendFailed, FormatUnknown, ObjectCorrupt, ObjectMissing, StorageError
from storage.listing import Entry
from storage.places import places
from storage.snapshot import Snapshot

_TAKEN = "restore to an empty folder"


@dataclass(frozen=True, slots=True)
class Restored:
    """One file given back: its entry and where it lies now."""

    entry: Entry
    path: Path
    leaf: Leaf | None = None  # where not the file but a leaf of it was asked for


@dataclass(frozen=True, slots=True)
class Lost:
    """One file that could not be given back, and why."""

    entry: Entry
    problem: str
    leaf: Leaf | None = None
    hint: str = ""


def restore(
    archive: Archive,
    found: Snapshot,
    to: Path,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> list[Restored | Lost]:
    """Write every file of the snapshot below `to`, which is made where missing.

    A file appears under its name only when its size and SHA-256 are proven; a file that cannot be proven is
    `Lost` and the rest goes on. A file that is already there with the right bytes is left alone, one with other
    bytes is not overwritten, and no symbolic link below `to` is followed: BackendFailed. Retry: yes, and every
    file goes to the same place again.
    """
    reader = archive.reader(found)
    entries = reader.entries(found)
    results: list[Restored | Lost] = []
    for entry, place in zip(entries, places([entry.path for entry in entries]), strict=True):
        try:
            write_proven(reader.chunks(entry), entry.measured.size, to, place, on_bytes=on_bytes)
            results.append(Restored(entry, to / place))
        except (ObjectMissing, ObjectCorrupt, FormatUnknown) as exc:
            results.append(Lost(entry, str(exc)))
    return results


def restore_leaves(
    archive: Archive,
    found: Snapshot,
    to: Path,
    wanted: Callable[[str], bool],
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> list[Restored | Lost]:
    """As `restore`, of the leaves whose paths are wanted: below `to` under their own paths, members unpacked.

    Leaves that share a path all come back. A member appears when its size and CRC-32 are proven; one whose method
    is unknown, and a ZIP whose members cannot be told, are `Lost`. Retry: yes, with the same wish. Memory: a plan,
    and the leaves that are wanted.
    """
    reader = archive.reader(found)
    entries = reader.entries(found)
    some: list[Leaf] = []
    results: list[Restored | Lost] = []
    for entry in entries:
        try:
            of_entry = list(leaves_of(reader, entry, wanted, alone=len(entries) == 1))
        except StorageError as exc:
            results.append(Lost(entry, str(exc), hint=exc.hint))
        else:
            some += [leaf for leaf in of_entry if not leaf.folder]
    chosen = places([leaf.path for leaf in some])
    for (leaf, chunks), place in zip(readings(reader, some), chosen, strict=True):
        try:
            write_proven(chunks, leaf.size, to, place, on_bytes=on_bytes)
            results.append(Restored(leaf.entry, to / place, leaf))
        except (ObjectMissing, ObjectCorrupt, FormatUnknown) as exc:
            results.append(Lost(leaf.entry, str(exc), leaf, exc.hint))
    return results


def write_proven(
    chunks: Iterator[bytes],
    size: int,
    to: Path,
    place: Path,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Write what proves itself at its end, `size` bytes, to `place` below `to`: it appears whole or not at all.

    Raises what `chunks` raises; BackendFailed where something else is there, or the disk refuses. Retry: yes.
    """
    path = to / place
    scratch = path.parent / f".{secrets.token_hex(6)}.part"
    try:
        _make_folders(to, place.parent)
        already = _already(path)
        if already not in (None, size):
            raise BackendFailed(f"{path}: a different file is already there", hint=_TAKEN)
        with scratch.open("xb") as stream:
            with syncing(stream.fileno()) as wrote:
                for chunk in one_behind(stream.write, _readable(chunks)):
                    on_bytes(len(chunk))
                    wrote(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if already is None:
            scratch.replace(path)
        elif not _same(path, scratch):
            raise BackendFailed(f"{path}: a different file is already there", hint=_TAKEN)
    except OSError as exc:
        raise BackendFailed(f"{path}: {exc.strerror or exc}", hint="look at free space and permissions") from exc
    finally:
        scratch.unlink(missing_ok=True)


def _readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes; a place that refuses to read them loses this file, not those after it."""
    try:
        yield from chunks
    except BackendFailed as exc:
        raise ObjectCorrupt(str(exc)) from exc


def _make_folders(to: Path, below: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    folder = to
    for part in below.parts:
        folder /= part
        if folder.is_symlink():
            raise BackendFailed(f"{folder}: a symbolic link, it is not followed", hint=_TAKEN)
        folder.mkdir(exist_ok=True)


def _already(path: Path) -> int | None:
    """Bytes of the file that is there; None for none. Raises BackendFailed for what is not a plain file."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(there.st_mode):
        raise BackendFailed(f"{path}: something that is no plain file is already there", hint=_TAKEN)
    return there.st_size


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            x, y = a.read(1 << 20), b.read(1 << 20)
            if x != y:
                return False
            if not x:
                return True
