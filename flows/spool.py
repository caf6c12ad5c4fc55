"""Every file of a job into the spool, its bytes proven against what the system promised.

What an earlier run fetched is measured again and not fetched again; what the archive holds is only named. Knows no
system, and of the archive what it is told.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.clock import Clock
from flows.download import check_disk, receive
from flows.errors import Exit, RunFailed, SourceError, SourceUnavailable, SourceUnexpected
from flows.export import ExportFile, JobRef, Pace
from flows.sources.base import Source
from storage.listing import Entry
from storage.verify import Check, Measured, Outcome, compare, measure

log = logging.getLogger(__name__)
PIECE = 4 << 20  # bytes read at a time
CHECK_EVERY = 256 << 20  # bytes between two looks at the disk

Progress = Callable[[int, int], None]
"""Called with bytes that just arrived, and the bytes of the whole file as far as they are known (else 0)."""


Holdings = Callable[[str], Entry | None]
"""The file of this SHA-256 in the archive, as far as its objects are there; None where it is to be fetched."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """An export file whose bytes are proven against every promise: in the spool, or `stored` in the archive."""

    file: ExportFile
    path: Path  # nothing lies there for a file that is stored
    measured: Measured
    checks: tuple[Check, ...]
    stored: Entry | None = None


def fetch_all(
    source: Source,
    ref: JobRef,
    files: Iterable[ExportFile],
    folder: Path,
    *,
    tries: int,
    pace: Pace,
    clock: Clock,
    holdings: Holdings,
    on_bytes: Progress,
) -> list[Spooled]:
    """The files in `folder`, which is made (mode 0700).

    Raises FileGone; SourceUnavailable where no try got the whole file; RunFailed with exit VERIFICATION where
    every try got bytes that are not those promised. Retry: yes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    spooled = []
    names: set[str] = set()
    for file in files:
        if file.name in names:
            raise SourceUnexpected(f"{file.shown}: the job offers two files of this name")
        names.add(file.name)
        path = folder / hashlib.sha256(file.name.encode()).hexdigest()[:32]
        item = _stored(source, file, path, holdings) or _already(source, file, path)
        if item is None:
            item = _fetch(source, ref, file, path, tries=tries, pace=pace, clock=clock, on_bytes=on_bytes)
            _note(path).write_text(json.dumps({"name": file.name, "sha256": item.measured.sha256}))
        spooled.append(item)
    return spooled


def read(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces."""
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _stored(source: Source, file: ExportFile, path: Path, holdings: Holdings) -> Spooled | None:
    """The file, if the system promises a SHA-256 and the archive has those bytes."""
    entry = holdings(file.promised.sha256) if file.promised.sha256 else None
    if entry is None:
        return None
    checks = _compare(source, file, entry.measured)
    return None if _failed(checks) else Spooled(file, path, entry.measured, tuple(checks), entry)


def _already(source: Source, file: ExportFile, path: Path) -> Spooled | None:
    """The file from an earlier run, measured anew: a note that does not fit its bytes is worth nothing."""
    try:
        note = json.loads(_note(path).read_text())
        measured = measure(read(path))
    except (OSError, ValueError):
        return None
    checks = _compare(source, file, measured)
    if note != {"name": file.name, "sha256": measured.sha256} or _failed(checks):
        return None
    return Spooled(file, path, measured, tuple(checks))


def _fetch(
    source: Source, ref: JobRef, file: ExportFile, path: Path, *, tries: int, pace: Pace, clock: Clock,
    on_bytes: Progress,
) -> Spooled:  # fmt: skip
    _note(path).unlink(missing_ok=True)
    for attempt in range(1, tries + 1):
        problem: SourceError
        try:
            item = _try(source, ref, file, path, _watched(path, pace, clock, on_bytes))
            failed = _failed(item.checks)
            if not failed:
                return item
            problem = RunFailed(
                f"{failed[0].sentence()}, {attempt} of {attempt} times",
                exit=Exit.VERIFICATION,
                hint="the file on the server is not the one that was announced; run again for a new export",
                checks=item.checks,
            )
        except SourceUnavailable as exc:
            problem = exc
        if attempt < tries:
            log.warning("%s (try %d of %d)", problem, attempt, tries)
            clock.sleep(pace.gap(attempt, jitter=clock.dice(), retry_after_s=problem.retry_after_s))
    raise problem


def _try(source: Source, ref: JobRef, file: ExportFile, path: Path, on_bytes: Progress) -> Spooled:
    path.unlink(missing_ok=True)  # from the beginning: no system here can prove that a part is of the same file
    with source.open(ref, file) as download:
        total = file.promised.size or download.total or 0
        # Spool and archive usually share a disk: the file lies there twice before the spool is freed.
        check_disk(path.parent, 2 * total)
        measured = receive(download, path, most=file.promised.size, on_bytes=lambda piece: on_bytes(piece, total))
    return Spooled(file, path, measured, tuple(_compare(source, file, measured)))


def _watched(path: Path, pace: Pace, clock: Clock, on_bytes: Progress) -> Progress:
    """`on_bytes`, and two bounds: the time that one download may take, and the disk, asked again now and then."""
    deadline = clock.now() + timedelta(seconds=pace.ceiling_s)
    unchecked = 0

    def watched(piece: int, total: int) -> None:
        nonlocal unchecked
        unchecked += piece
        if unchecked >= CHECK_EVERY:
            unchecked = 0
            check_disk(path.parent, 0)
        if clock.now() > deadline:
            raise SourceUnavailable(f"the download took more than {timedelta(seconds=pace.ceiling_s)}")
        on_bytes(piece, total)

    return watched


def _compare(source: Source, file: ExportFile, measured: Measured) -> list[Check]:
    return compare(file.promised, measured, file=file.shown, silent=source.capabilities.silent_about)


def _failed(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.outcome is Outcome.FAILED]


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
