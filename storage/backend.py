"""Where bytes lie: five verbs on names, the same for a folder, memory and, later, object storage.

No rename, append or lock is visible, because object storage has none. Retries, caches and copies are wrappers of
this protocol, not options of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from storage.errors import BackendFailed, ObjectMissing, StorageError

_NAME = re.compile(r"[A-Za-z0-9_%-][A-Za-z0-9._%-]*(/[A-Za-z0-9_%-][A-Za-z0-9._%-]*)*")
_SCRATCH = "tmp"  # half-written files of LocalDisk; no name of ours begins with it
_SCRATCH_S = 86_400.0  # after this long without a write, a half-written file belongs to nobody


def check_name(name: str) -> str:
    """`name` itself. Raises ValueError for one that could leave the archive or that a backend cannot hold."""
    if not _fits(name):
        raise ValueError(f"not a name in an archive: {name!r:.200}")
    return name


def _fits(name: str) -> bool:
    parts = name.split("/")
    plain = _NAME.fullmatch(name) and parts[0] != _SCRATCH
    return bool(plain) and len(name) <= 900 and all(len(part) <= 240 for part in parts)


class Backend(Protocol):
    """A flat space of immutable files under names such as `packs/ab/abcd.pack`.

    Every verb is durable when it returns. Raises BackendFailed where the place refuses; retry: yes, all verbs
    may be repeated with the same arguments.
    """

    @property
    def url(self) -> str:
        """Where this is, as a user would write it. Holds no secret."""

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        """Create `name` with these bytes. False, with nothing changed, where it already exists.

        Atomic: a reader sees all of it or nothing, and of two writers exactly one gets True.
        """

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all. Fewer where the file ends. Raises ObjectMissing."""

    def size(self, name: str) -> int | None:
        """Bytes in `name`; None where there is no such file."""

    def list(self, prefix: str) -> Iterator[str]:
        """All names that start with `prefix` (a folder with its slash; "" for all), sorted.

        What lies there under a name that no archive has (a desktop's droppings) is passed over; a folder that
        cannot be read raises: taking it for empty would free what it needs.
        """

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens where it is not there."""


class Memory:
    """A backend in memory, for tests and for trying things."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return "memory:"

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        data = b"".join(chunks)
        with self._lock:
            if check_name(name) in self._files:
                return False
            self._files[name] = data
            return True

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            data = self._files[check_name(name)]
        except KeyError:
            raise ObjectMissing(f"{name}: not in the archive") from None
        return data[offset:] if length is None else data[offset : offset + length]

    def size(self, name: str) -> int | None:
        data = self._files.get(check_name(name))
        return None if data is None else len(data)

    def list(self, prefix: str) -> Iterator[str]:
        _check_prefix(prefix)
        with self._lock:
            return iter(sorted(name for name in self._files if name.startswith(prefix)))

    def delete(self, name: str) -> None:
        self._files.pop(check_name(name), None)


class LocalDisk:
    """A folder. Files are written under `tmp/`, fsynced, then linked to their name, which fails if it is taken.

    Needs hard links (every usual Linux and macOS file system has them; FAT and some network mounts do not).
    Source for the order write, fsync, link, fsync of the folder: POSIX fsync(2), link(2).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()  # folders whose names this process saw reach the disk
        self._cleaned = False

    @property
    def url(self) -> str:
        return str(self.root)

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        final = self.root / check_name(name)
        scratch = self.root / _SCRATCH / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with _mapped(name):
                return self._put_new(final, scratch, chunks)
        except FileNotFoundError as exc:
            self._durable.clear()
            raise BackendFailed(f"{name}: {self.root} changed while it was written", hint="run again") from exc

    def _put_new(self, final: Path, scratch: Path, chunks: Iterable[bytes]) -> bool:
        if final.exists():
            self._make_folder(final.parent)
            _sync_folder(final.parent)  # whoever linked it may have died before its folder was durable
            return False
        self._make_folder(scratch.parent)
        try:
            with scratch.open("xb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
                _let_go(stream.fileno())
            scratch.chmod(0o400)
            self._clean(scratch)
            self._make_folder(final.parent)
            try:
                os.link(scratch, final)
            except FileExistsError:
                return False
            finally:
                _sync_folder(final.parent)
            return True
        finally:
            scratch.unlink(missing_ok=True)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            with _mapped(name), (self.root / check_name(name)).open("rb") as stream:
                stream.seek(offset)
                return stream.read() if length is None else stream.read(length)
        except FileNotFoundError:
            raise ObjectMissing(f"{name}: not in the archive {self.root}") from None

    def size(self, name: str) -> int | None:
        try:
            with _mapped(name):
                return (self.root / check_name(name)).stat().st_size
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[str]:
        folder = self.root / _check_prefix(prefix).rpartition("/")[0]
        with _mapped(prefix):
            walk = os.walk(folder, onerror=_raise_unless_missing)
            paths = [Path(top) / file for top, _, files in walk for file in files]
        names = (path.relative_to(self.root).as_posix() for path in paths)
        return iter(sorted(name for name in names if name.startswith(prefix) and _fits(name)))

    def delete(self, name: str) -> None:
        with _mapped(name):
            path = self.root / check_name(name)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                _sync_folder(path.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder`, and make its name durable in its parents: another process may have died before it did."""
        if folder in self._durable:
            return
        inside = folder != self.root and folder.is_relative_to(self.root)
        if not inside and folder.is_dir():
            return
        self._make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)
        self._durable.add(folder)

    def _clean(self, fresh: Path) -> None:
        """Once: delete what killed processes left half-written. Ages are told by the disk's own clock."""
        if self._cleaned:
            return
        self._cleaned = True
        now_s = fresh.stat().st_mtime
        for left in fresh.parent.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if now_s - left.stat().st_mtime > _SCRATCH_S:
                    left.unlink()


def open_url(url: str, *, base: Path | None = None) -> Backend:
    """The backend that `[archive] url` or `--archive` names. Raises StorageError for a kind not built.

    A plain path is a folder, relative to `base` (the configuration's folder) or to the working directory.
    """
    if "://" in url and not url.startswith("file://"):
        raise StorageError(
            f"archive url {url.partition('://')[0]}://…: this version keeps archives in folders",
            hint='give a path, for example url = "archive"',
        )
    path = Path(url.removeprefix("file://")).expanduser()
    return LocalDisk(path if path.is_absolute() else (base or Path.cwd()) / path)


def _check_prefix(prefix: str) -> str:
    if prefix:
        check_name(prefix.removesuffix("/"))
    return prefix


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _let_go(handle: int) -> None:
    """Have the kernel drop what it caches of a file: who reads it back then reads the disk. Linux only."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _mapped(name: str) -> Iterator[None]:
    """OSError becomes BackendFailed with words for the usual causes; a missing file stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        hints = {
            errno.ENOSPC: "the disk is full: free space, then run again; nothing finished was lost",
            errno.EDQUOT: "the quota is used up: raise it, then run again; nothing finished was lost",
            errno.EROFS: "the file system is mounted read-only",
            errno.EPERM: "a file system without hard links cannot hold an archive; or a permission is missing",
            errno.ENOTSUP: "a file system without hard links cannot hold an archive",
        }
        raise BackendFailed(f"{name}: {exc.strerror or exc}", hint=hints.get(exc.errno or 0, "")) from exc
