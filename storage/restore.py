"""Gives the files of a snapshot back to a folder, verified while they are written.

Needs an archive and nothing else: no catalog, no configuration, no write access to the archive.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.archive import Archive, Reader
from storage.errors import BackendFailed, ObjectCorrupt, ObjectMissing
from storage.listing import Entry
from storage.snapshot import Snapshot


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
    bytes is not overwritten: BackendFailed. Hostile names stay below `to` (see `safe_path`). Retry: yes.
    """
    reader = archive.reader(found)
    results: list[Restored | Lost] = []
    for entry in archive.entries(found):
        path = to / safe_path(entry.path)
        try:
            _restore_file(reader, entry, path, on_bytes)
            results.append(Restored(entry, path))
        except (ObjectMissing, ObjectCorrupt) as exc:
            results.append(Lost(entry, str(exc)))
    return results


def safe_path(name: str) -> Path:
    """A relative path that stays where it is put, whatever `name` says.

    Empty, `.` and `..` parts are dropped, as are a leading slash or drive; control characters, backslashes and
    colons become `_`; a part is cut to 200 bytes, its ending kept. A name of nothing becomes `unnamed`.
    """
    parts = []
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        clean = "".join("_" if ord(c) < 32 or ord(c) == 127 or c in ":/\0" else c for c in part)
        if clean.strip(" .") and part != "/":
            parts.append(_cut(clean))
    return Path(*parts) if parts else Path("unnamed")


def _cut(part: str, limit: int = 200) -> str:
    data = part.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    ending = PurePosixPath(part).suffix[:20]
    return data[: limit - len(ending.encode())].decode(errors="ignore") + ending


def _restore_file(reader: Reader, entry: Entry, path: Path, on_bytes: Callable[[int], None]) -> None:
    scratch = path.parent / f".{secrets.token_hex(6)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size != entry.measured.size:
            raise BackendFailed(f"{path}: a different file is already there", hint="restore to an empty folder")
        with scratch.open("xb") as stream:
            for chunk in reader.chunks(entry):
                stream.write(chunk)
                on_bytes(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists() and not _same(path, scratch):
            raise BackendFailed(f"{path}: a different file is already there", hint="restore to an empty folder")
        scratch.replace(path)
    except OSError as exc:
        raise BackendFailed(f"{path}: {exc.strerror or exc}", hint="look at free space and permissions") from exc
    finally:
        scratch.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            x, y = a.read(1 << 20), b.read(1 << 20)
            if x != y:
                return False
            if not x:
                return True
