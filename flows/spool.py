"""Every file of a job into the spool, its bytes proven against what the system promised.

What an earlier run fetched is measured again and not fetched again; what the archive holds is only named. Knows no
system, and of the archive what it is told.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from flows.clock import Clock
from flows.disk import check_disk
from flows.download import receive
from flows.errors import (
    Exit,
    FileGone,
    RunFailed,
    SourceBusy,
    SourceError,
    SourceUnavailable,
    SourceUnexpected,
)
from flows.export import ExportFile, JobRef, Pace
from flows.patience import Patience
from flows.sources.base import Source
from storage.errors import BackendFailed, ObjectMissing
from storage.listing import Entry
from storage.verify import Check, Measured, Outcome, Promise, compare, measure

log = logging.getLogger(__name__)
PIECE = 4 << 20  # bytes read at a time
CHECK_EVERY = 256 << 20  # bytes between two looks at the disk
JOURNAL = "files.jsonl"  # in a job's folder: what was offered and proven, in order; a line each

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


class SpooledFiles:
    """The files of a job, proven, in the order in which they were offered; and those that could not be had.

    Read from the spool's journal each time. Memory: one file's row. `holdings` must still know what it knew.
    """

    def __init__(self, folder: Path, silent: str, holdings: Holdings) -> None:
        self._folder = folder
        self._silent = silent
        self._holdings = holdings

    def __iter__(self) -> Iterator[Spooled]:
        """Raises ObjectMissing for one that was stored and is no more."""
        for row in self._rows():
            if "lacking" not in row:
                yield self._spooled(row)

    def __len__(self) -> int:
        return sum("lacking" not in row for row in self._rows())

    @property
    def lacking(self) -> tuple[str, ...]:
        """What could not be had, a sentence each; as far as the journal can be read, where power was lost."""
        found: list[str] = []
        with suppress(ValueError):
            found.extend(row["lacking"] for row in self._rows() if "lacking" in row)
        return tuple(found)

    def paths(self) -> Mapping[str, Path]:
        """Where those that were fetched lie, by name."""
        return _Paths(self._folder, self)

    def _spooled(self, row: dict[str, Any]) -> Spooled:
        file = ExportFile(row["name"], Promise(*row["promised"]), row["media_type"], said=row.get("said", ""))
        measured = Measured(*row["measured"])
        stored = self._holdings(measured.sha256) if row["stored"] else None
        if row["stored"] and stored is None:
            raise ObjectMissing(f"{file.shown}: it was in the archive, and is no more")
        checks = compare(file.promised, measured, file=file.shown, silent=self._silent)
        return Spooled(file, _place(self._folder, file.name), measured, tuple(checks), stored)

    def _rows(self) -> Iterator[dict[str, Any]]:
        with suppress(FileNotFoundError), (self._folder / JOURNAL).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


class _Paths(Mapping[str, Path]):
    def __init__(self, folder: Path, files: SpooledFiles) -> None:
        self._folder, self._files = folder, files

    def __getitem__(self, name: str) -> Path:
        path = arrived(self._folder, name)
        if path is None:
            raise KeyError(name)
        return path

    def __iter__(self) -> Iterator[str]:
        return (item.file.name for item in self._files if item.stored is None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def arrived(folder: Path, name: str) -> Path | None:
    """Where a job's file of this name lies, that arrived whole; None where there is none."""
    path = _place(folder, name)
    try:
        return path if json.loads(_note(path).read_text())["name"] == name and path.exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fetch_all(
    source: Source,
    ref: JobRef,
    offer: Callable[[], Iterable[ExportFile]],
    folder: Path,
    *,
    tries: int,
    pace: Pace,
    clock: Clock,
    holdings: Holdings,
    on_bytes: Progress,
) -> SpooledFiles:
    """The files that `offer` offers in `folder`, which is made (mode 0700). `offer` may be asked several times.

    Raises FileGone; SourceUnavailable where no try got the whole file; RunFailed with exit VERIFICATION where
    every try got bytes that are not those promised; the first and the last only of systems whose files do not
    stand each for itself. Retry: yes.
    """
    with _disk(folder), (folder / JOURNAL).open("w", encoding="utf-8") as journal:
        for file in _offered(offer, pace, clock):
            path = _place(folder, file.name)
            try:
                item = _stored(source, file, path, holdings) or _already(source, file, path)
                if item is None:
                    item = _fetch(source, ref, file, path, tries=tries, pace=pace, clock=clock, on_bytes=on_bytes)
                row = _row(item)
            except (FileGone, RunFailed, SourceUnavailable) as exc:
                if not _its_own(source, exc):
                    raise
                log.warning("left out: %s", exc)
                path.unlink(missing_ok=True)
                row = {"lacking": str(exc)}
            journal.write(json.dumps(row) + "\n")
    return SpooledFiles(folder, source.capabilities.silent_about, holdings)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """The folder, made; what its disk refuses raises BackendFailed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as exc:
        raise BackendFailed(f"{folder}: {exc.strerror or exc}", hint="free space; the job is remembered") from exc


def _its_own(source: Source, exc: SourceError) -> bool:
    """Whether this is the trouble of one file, which costs itself. Asks the system where that is not clear."""
    if not source.capabilities.file_by_file:
        return False
    if isinstance(exc, RunFailed):
        return exc.exit in (Exit.VERIFICATION, Exit.VENDOR)
    if isinstance(exc, SourceUnavailable):
        if not exc.answered:
            return False
        source.login()
    return True


def _offered(offer: Callable[[], Iterable[ExportFile]], pace: Pace, clock: Clock) -> Iterator[ExportFile]:
    """Every file once. Where the list breaks off it is begun again, as long as patience allows without news.

    Raises SourceUnexpected where one list names a file twice; SourceUnavailable when patience runs out.
    """
    seen: dict[str, int] = {}  # in which list a name stood last
    patience = Patience(clock, pace)
    for turn in count():
        try:
            for file in offer():
                before = seen.get(file.name)
                if before == turn:
                    raise SourceUnexpected(f"{file.shown}: the job offers two files of this name")
                seen[file.name] = turn
                if before is None:
                    patience = Patience(clock, pace)
                    yield file
            return
        except SourceBusy:
            raise
        except SourceUnavailable as exc:
            if not patience.wait(exc):
                raise


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
    path.unlink(missing_ok=True)
    part = _Part()
    for attempt in range(1, tries + 1):
        problem: SourceError
        try:
            item = _try(source, ref, file, path, part, _watched(path, pace, clock, on_bytes))
            failed = _failed(item.checks)
            if not failed:
                return item
            problem = RunFailed(
                f"{failed[0].sentence()}, {attempt} of {attempt} times",
                exit=Exit.VERIFICATION,
                hint="the file on the server is not the one that was announced; run again for a new export",
                checks=item.checks,
            )
            part = _Part()
        except SourceUnavailable as exc:
            problem = exc
        if attempt < tries:
            log.warning("%s (try %d of %d)", problem, attempt, tries)
            clock.sleep(pace.gap(attempt, jitter=clock.dice(), retry_after_s=problem.retry_after_s))
    raise problem


@dataclass
class _Part:
    """What an earlier try of the same run left: a later process cannot know whether the disk has all of it."""

    validator: str = ""  # of the file that it is a part of; "": it is of no use


def _try(source: Source, ref: JobRef, file: ExportFile, path: Path, part: _Part, on_bytes: Progress) -> Spooled:
    if not (source.capabilities.ranges and part.validator):
        path.unlink(missing_ok=True)  # from the beginning: nothing proves that a part is of the same file
    offset = path.stat().st_size if path.exists() else 0
    with source.open(ref, file, offset=offset, validator=part.validator if offset else "") as download:
        part.validator = download.validator
        total = file.promised.size or download.total or 0
        # Spool and archive usually share a disk: the file lies there twice before the spool is freed.
        check_disk(path.parent, 2 * total)
        measured = receive(
            download, path, offset=offset, most=file.promised.size, on_bytes=lambda piece: on_bytes(piece, total)
        )
        item = Spooled(file, path, measured, tuple(_compare(source, file, measured)))
        if not _failed(item.checks):  # noted before the source lets go: it may remove the file at the system
            _note(path).write_text(json.dumps({"name": file.name, "sha256": measured.sha256}))
    return item


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


def _place(folder: Path, name: str) -> Path:
    return folder / hashlib.sha256(name.encode()).hexdigest()[:32]


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _row(item: Spooled) -> dict[str, Any]:
    file, promised, measured = item.file, item.file.promised, item.measured
    return {
        "name": file.name,
        "promised": [promised.size, promised.crc32, promised.sha256],
        "media_type": file.media_type,
        "said": file.said,
        "measured": [measured.size, measured.crc32, measured.sha256],
        "stored": item.stored is not None,
    }
