"""Gives the files of a snapshot back to a folder, verified while they are written.

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
from storage.aside import one_behind
from storage.errors import BackendFailed, FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.listing import Entry
from storage.places import places
from storage.reader import Reader
from storage.snapshot import Snapshot

_TAKEN = "restore to an empty folder"


@dataclass(frozen=True, slots=True)
class Restored:
    """One file given back: its entry and where it lies now."""

    entry: Entry
    path: Path


@dataclass(frozen=True, slots=True)
class Lost:
    """One file that could not be given back, and why."""

    entry: Entry
    problem: str


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
    entries = archive.entries(found)
    results: list[Restored | Lost] = []
    for entry, place in zip(entries, places([entry.path for entry in entries]), strict=True):
        try:
            _restore_file(reader, entry, to, place, on_bytes)
            results.append(Restored(entry, to / place))
        except (ObjectMissing, ObjectCorrupt, FormatUnknown) as exc:
            results.append(Lost(entry, str(exc)))
    return results


def _restore_file(reader: Reader, entry: Entry, to: Path, place: Path, on_bytes: Callable[[int], None]) -> None:
    path = to / place
    scratch = path.parent / f".{secrets.token_hex(6)}.part"
    try:
        _make_folders(to, place.parent)
        already = _already(path)
        if already not in (None, entry.measured.size):
            raise BackendFailed(f"{path}: a different file is already there", hint=_TAKEN)
        with scratch.open("xb") as stream:
            for chunk in one_behind(stream.write, _readable(reader, entry)):
                on_bytes(len(chunk))
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


def _readable(reader: Reader, entry: Entry) -> Iterator[bytes]:
    """The file's bytes; a place that refuses to read them loses this file, not those after it."""
    try:
        yield from reader.chunks(entry)
    except BackendFailed as exc:
        raise ObjectCorrupt(f"{entry.path}: {exc}") from exc


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
