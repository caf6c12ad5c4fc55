"""A disk that loses power: what of a folder would be left, had the machine stopped at that instant.

Records what `storage.backend.LocalDisk` asks of the operating system, and works out from POSIX alone what is sure
to be there afterwards: the bytes of a file as far as fsync(2) saw them, and a name in a folder only if that folder
was synced after the name was made or removed. Changes of names that were not synced may be there or not, each by
itself and in any order. It says nothing about what a drive does to bytes that it reported as written.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Event:
    """`what`: mkdir, link, unlink (a change of a name), or sync (of the folder `path`)."""

    what: str
    path: Path
    data: bytes = b""  # of a link: what fsync saw of the file


@contextmanager
def recorded(patch: pytest.MonkeyPatch) -> Iterator[list[Event]]:
    """Everything that changes names or makes them durable, in order. The calls are carried out as well."""
    events: list[Event] = []
    folders: dict[int, Path] = {}
    synced: dict[int, int] = {}  # inode -> bytes of it that fsync saw
    real = {name: getattr(os, name) for name in ("open", "fsync", "link", "mkdir", "unlink")}

    def open_(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        handle: int = real["open"](path, flags, *args, **kwargs)
        folders[handle] = Path(path)
        return handle

    def fsync(handle: int) -> None:
        real["fsync"](handle)
        info = os.fstat(handle)
        if stat.S_ISDIR(info.st_mode):
            events.append(Event("sync", folders[handle]))
        else:
            synced[info.st_ino] = info.st_size

    def link(src: Any, dst: Any, **kwargs: Any) -> None:
        real["link"](src, dst, **kwargs)
        safe = synced.get(Path(src).stat().st_ino, 0)
        events.append(Event("link", Path(dst), Path(src).read_bytes()[:safe]))

    def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
        real["mkdir"](path, *args, **kwargs)
        events.append(Event("mkdir", Path(path)))

    def unlink(path: Any, *args: Any, **kwargs: Any) -> None:
        real["unlink"](path, *args, **kwargs)
        events.append(Event("unlink", Path(path)))

    with patch.context() as context:
        for name, ours in (
            ("open", open_),
            ("fsync", fsync),
            ("link", link),
            ("mkdir", mkdir),
            ("unlink", unlink),
        ):
            context.setattr(os, name, ours)
        yield events


def leave(events: Sequence[Event], root: Path, to: Path, chance: float, rng: random.Random) -> None:
    """Build at `to` what is left of `root` after these events. `chance`: that a change not synced is there."""
    names: dict[Path, Event] = {}
    waiting: dict[Path, list[Event]] = {}
    for event in events:
        if event.what == "sync":
            for change in waiting.pop(event.path, []):
                _apply(names, change)
        else:
            waiting.setdefault(event.path.parent, []).append(event)
    for changes in waiting.values():
        for change in changes:
            if rng.random() < chance:
                _apply(names, change)
    for path in sorted(names):
        reachable = all(parent in names for parent in [path, *path.parents] if parent.is_relative_to(root))
        target = to / path.relative_to(root) if path.is_relative_to(root) else None
        if target is None or not reachable:
            continue
        if names[path].what == "mkdir":
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.write_bytes(names[path].data)


def _apply(names: dict[Path, Event], change: Event) -> None:
    if change.what == "unlink":
        names.pop(change.path, None)
    else:
        names[change.path] = change
