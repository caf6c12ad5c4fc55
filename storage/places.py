"""Where the files of a snapshot go below a folder, whatever they are called.

Pure: names in, relative paths out. A name comes from a system that may be broken or hostile; the path it gets
stays below the folder, clashes with no other, and is the same each time.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_PART = 200  # bytes of one name: file systems stop at 255
_WHOLE = 1000  # bytes of a path below the folder: systems stop at 4096, macOS at 1024
_DEPTH = 40  # folders


def places(names: Sequence[str]) -> list[Path]:
    """A place for each name, in the order given. No two are equal, on file systems that fold case too, and none
    is a folder of another: who comes second gets `~2` before its ending.

    Names that need no cleaning choose first, so that a hostile one cannot take the place of an honest one.
    """
    chosen: dict[int, Path] = {}
    taken = _Taken()
    honest_first = sorted(range(len(names)), key=lambda i: (safe_path(names[i]).as_posix() != names[i], i))
    for place in honest_first:
        chosen[place] = taken.claim(safe_path(names[place]))
    return [chosen[place] for place in range(len(names))]


def safe_path(name: str) -> Path:
    """A relative path that stays where it is put, whatever `name` says.

    Slashes and backslashes part folders; empty parts and parts of dots and spaces alone are dropped; control
    characters and colons become `_`; a part is cut to 200 bytes, its ending kept. A path too long or too deep
    becomes `long/` and a hash of the name; a name of nothing becomes `unnamed`.
    """
    parts = []
    for part in name.replace("\\", "/").split("/"):
        clean = "".join("_" if c == ":" or unicodedata.category(c) in ("Cc", "Cs") else c for c in part)
        if clean.strip(" ."):
            parts.append(_cut(clean))
    if not parts:
        return Path("unnamed")
    if len(parts) > _DEPTH or sum(len(part.encode()) + 1 for part in parts) > _WHOLE:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return Path("long", digest[:32] + _ending(parts[-1]))
    return Path(*parts)


class _Taken:
    """Places that are given away, told apart as a file system that folds case would."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._next: dict[str, int] = {}  # the number to try next, so that many clashes stay cheap

    def claim(self, wish: Path) -> Path:
        """`wish`, or its nearest neighbour that is free."""
        path = Path()
        for part in wish.parts[:-1]:
            path = self._free(path / part, folder=True)
            self._folders.add(_folded(path))
        path = self._free(path / wish.name, folder=False)
        self._files.add(_folded(path))
        return path

    def _free(self, path: Path, *, folder: bool) -> Path:
        first = _folded(path)
        number = self._next.get(first, 2)
        candidate = path
        while (key := _folded(candidate)) in self._files or (not folder and key in self._folders):
            candidate = path.with_name(f"{path.stem}~{number}{path.suffix}")
            number += 1
        if candidate != path:
            self._next[first] = number if not folder else 2
        return candidate


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _ending(part: str) -> str:
    return PurePosixPath(part).suffix[:20]


def _cut(part: str) -> str:
    data = part.encode()
    if len(data) <= _PART:
        return part
    ending = _ending(part)
    return data[: _PART - len(ending.encode())].decode(errors="ignore") + ending
