"""From the spool into the archive: what is asked of the files, what a snapshot says of itself, the writing.

Used by the engine for exports that were fetched, and by `importing.py` for files that somebody already has.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import metadata

from flows import spool
from flows.export import Intent, Status
from flows.sources.base import Source
from flows.spool import Spooled
from storage.errors import ObjectCorrupt, StorageError
from storage.snapshot import Draft, Snapshot
from storage.verify import Check, Outcome, measure
from storage.writer import Complete, Writer


def checks_of(
    source: Source, intent: Intent, status: Status, spooled: Iterable[Spooled], witnessed: Sequence[Check]
) -> Iterator[Check]:
    """Every question to the files of a job, and its answer; `witnessed` is what the system says of the whole."""
    fetched = stored = 0
    for item in spooled:
        yield from item.checks
        if item.stored is None:  # else it was looked at when it came, and found good: only such count as stored
            yield from source.inspect(intent, status, item.file, item.path)
            fetched += 1
        else:
            stored += 1
    if not fetched and not stored:
        yield Check("files", Outcome.FAILED, got="the finished job offers none", promised="at least one")
    yield from witnessed
    yield from read_back(fetched=fetched, stored=stored)


def read_back(*, fetched: int, stored: int = 0) -> list[Check]:
    """What the commit will have proven: a snapshot whose read-back fails is never written."""
    name = "read back from the archive"
    checks = []
    if fetched or not stored:
        checks.append(Check(name, Outcome.PASSED, got="every byte, before the commit"))
    if stored:
        reason = "stored since an earlier snapshot and proven then; scrub reads them again"
        checks.append(Check(name, Outcome.NOT_AVAILABLE, got=f"{stored} files", reason=reason))
    return checks


def write(
    writer: Writer, draft: Draft, spooled: Iterable[Spooled], *, clock: Callable[[], datetime], complete: Complete
) -> Snapshot:
    """Put the files into the archive and commit; `complete` is the writer's. Raises StorageError.

    `spooled` may be gone through several times. Retry: yes, with a new writer.
    """
    for item in spooled:
        file = item.file
        if item.stored is not None:
            entry = replace(item.stored, path=file.name, promised=file.promised, media_type=file.media_type)
            writer.keep(entry)
            continue
        with item.path.open("rb") as content:
            writer.add(
                file.name,
                content,
                promised=file.promised,
                media_type=file.media_type,
                measured=item.measured,  # by the download: rebuilding proves these very bytes
            )
    try:
        return writer.commit(draft, clock=clock, complete=complete)
    except ObjectCorrupt:
        for item in spooled:
            if item.stored is None and measure(spool.read(item.path)) != item.measured:
                what = f"{item.path}: changed in the spool"
                raise StorageError(what, hint="run again: it is fetched anew") from None
        raise


def notes(leaves_out: Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...]:
    """What a reader in ten years must know: what such exports never hold, and what is to be said of this one."""
    never = (f"not in this backup: {', '.join(leaves_out)}",) if leaves_out else ()
    return (*never, *more)


def few(sentences: Sequence[str], most: int = 20) -> tuple[str, ...]:
    """The first of them, and how many more there are."""
    more = len(sentences) - most
    return (*sentences[:most], f"and {more} more") if more > 0 else tuple(sentences)


def tool() -> dict[str, str]:
    """What wrote a snapshot."""
    return {"strongroom": metadata.version("strongroom"), "python": platform.python_version()}
