"""The memory of a restore into a target: what was asked for and what was made, on the disk before the next step.

A file of JSON lines in the state folder, one for each snapshot and target. A line that a kill cut short tells
nothing, and is cut off before the next one is written. One restore at a time: a lock of the operating system,
which dies with its process, says so.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from storage.errors import BackendFailed, Busy

FORMAT = 1


class FileLedger:
    """See `sources.base.Ledger`. Memory: of each unit its name and, as text, what was noted."""

    def __init__(self, path: Path, handle: int, facts: dict[str, bytes]) -> None:
        self.path = path
        self._handle = handle  # which appends
        self._facts = facts

    def of(self, unit: str) -> Mapping[str, Any]:
        """See `sources.base.Ledger`."""
        found: dict[str, Any] = json.loads(self._facts.get(unit, b"{}"))
        return found

    def note(self, unit: str, **facts: Any) -> None:
        """See `sources.base.Ledger`. Raises BackendFailed."""
        line = _text({"unit": unit, **facts}) + b"\n"
        try:
            # Not by a stream, which would try again, and fail, when it is closed.
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._handle)
        except OSError as exc:
            raise BackendFailed(f"{self.path}: {exc.strerror or exc}") from exc
        _add(self._facts, unit, facts)


def place(folder: Path, snapshot: str, url: str) -> Path:
    """Where the ledger of a snapshot and a target lies."""
    return folder / f"{snapshot[:16]}-{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:16]}.jsonl"


def made(folder: Path, url: str) -> dict[str, set[str]]:
    """The units that restores of each snapshot made in a target, by all ledgers; what is no line is passed over.

    Memory: a name for each unit. Raises BackendFailed.
    """
    found: dict[str, set[str]] = {}
    try:
        for path in sorted(folder.glob(place(Path(), "*", url).name)):
            snapshot, units = "", set()
            for line in path.read_bytes().splitlines():
                with suppress(ValueError, AttributeError):
                    row = json.loads(line)
                    snapshot = row.get("snapshot") or snapshot
                    if row.get("unit") and "id" in row:
                        units.add(row["unit"])
            found[snapshot] = units
    except OSError as exc:
        raise BackendFailed(f"{folder}: {exc.strerror or exc}") from exc
    return found


@contextmanager
def open_ledger(folder: Path, snapshot: str, url: str) -> Iterator[FileLedger]:
    """The ledger, made (mode 0600) where there is none. Its unit "" holds what it is about.

    Raises Busy while another process has it; BackendFailed where the disk refuses, or it is not ours.
    """
    path = place(folder, snapshot, url)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as exc:
        raise BackendFailed(f"{path}: {exc.strerror or exc}") from exc
    with os.fdopen(handle, "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"{path}: another restore of this snapshot into this target runs"
            raise Busy(text, hint="wait for it to end") from None
        ledger = FileLedger(path, handle, _read(path, stream))
        if not ledger.of(""):
            ledger.note("", format=FORMAT, id=snapshot[:16], snapshot=snapshot, target=url)
        about = ledger.of("")
        if (about.get("format"), about.get("snapshot"), about.get("target")) != (FORMAT, snapshot, url):
            raise BackendFailed(f"{path}: not the ledger of a restore of {snapshot[:8]} into {url}")
        yield ledger


def _read(path: Path, stream: BinaryIO) -> dict[str, bytes]:
    """What was noted; the file ends with its last whole line."""
    facts: dict[str, bytes] = {}
    end = 0
    for line in stream:
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            _add(facts, row.pop("unit"), row)
        except (ValueError, KeyError, AttributeError, TypeError) as exc:
            hint = "without it nobody knows what was made: move it away only where the target holds nothing of it"
            raise BackendFailed(f"{path}: byte {end}: not a line of a ledger", hint=hint) from exc
        end += len(line)
    stream.truncate(end)
    return facts


def _add(facts: dict[str, bytes], unit: str, more: Mapping[str, Any]) -> None:
    """Kept as text: dictionaries take five times as much, and there may be a million units."""
    known = facts.get(unit)
    facts[unit] = _text({**json.loads(known), **more} if known else more)


def _text(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()
