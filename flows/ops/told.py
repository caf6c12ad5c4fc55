"""The memory of what was told, in a file of the state folder: no alarm may need the catalog to be told."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.ops.telling import Memory, Told

log = logging.getLogger(__name__)
FORMAT = 1
PATIENCE_S = 120  # how long another look may take to tell; the sending of each message is bounded
STEP_S = 0.5


def read(path: Path) -> dict[str, Told]:
    """What was told. A file that cannot be used says nothing: it is logged, and set aside as `….damaged`."""
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r:.20}")
        return {str(id): Told.from_json(one) for id, one in value["told"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is damaged, or of a newer version"
        log.warning("%s: %s; what was told before is told again", path, why)
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError as exc:
        log.warning("%s: cannot be set aside: %s", path, exc.strerror)
    return {}


def write(path: Path, memory: Memory) -> None:
    """Whole or not at all, on the disk, mode 0600. Raises OSError: then what was told is told again."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump({"format": FORMAT, "told": {id: one.to_json() for id, one in sorted(memory.items())}}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def alone(path: Path, *, sleep: Callable[[float], None]) -> Iterator[None]:
    """One process at a time reads, tells and writes. The kernel lets go of the lock when its holder dies.

    Where no lock can be had, because the disk refuses or its holder is stuck for PATIENCE_S, it goes on without:
    told twice is better than not at all.
    """
    handle = _locked(path.with_name(f"{path.name}.lock"), sleep)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(path: Path, sleep: Callable[[float], None]) -> int | None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        log.warning("%s: %s", path, exc.strerror)
        return None
    for _ in range(int(PATIENCE_S / STEP_S)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(STEP_S)
        except OSError as exc:  # a file system without locks
            log.warning("%s: %s", path, exc.strerror)
            break
        else:
            return handle
    else:
        log.warning("%s: another look has been telling for %s s", path, PATIENCE_S)
    os.close(handle)
    return None
