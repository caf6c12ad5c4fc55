"""The lock beside a catalog: shared by whoever has it open, had alone by whoever puts another file in its place.

SQLite's own locks belong to the file itself, and so does its journal, by name: a file that is replaced while
another process has it open would be written to in vain, or worse, take the other's journal for its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import Busy


def share(path: Path) -> int:
    """Share the lock of the catalog at `path`, and wait for who has it alone. The handle: close it to let go."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Have the lock alone. Raises Busy where anybody has the catalog open. The kernel frees it when we die."""
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for the run, or whatever else has it open, to end"
            raise Busy(f"{path}: in use", hint=hint) from None
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
