"""Takes exports that somebody already has into the archive, with the same checks and the same proof.

A file that was not fetched by us has no promise: its size and checksum are *not available*, and it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows import keeping, levels, spool
from flows.clock import Clock
from flows.errors import ConfigError, Exit
from flows.export import Scope, shown
from flows.runlog import End, RunLog
from flows.sources.base import Dialect, Imports
from storage.archive import Archive
from storage.catalog import Catalog
from storage.records import Ended, RunRecord
from storage.snapshot import Draft, ScopeKey, Snapshot
from storage.verify import Outcome, Promise, Quality, compare, fold, judge, measure
from storage.writer import Writer

SILENT = "imported: nobody promised anything about this file"


@dataclass(frozen=True, slots=True)
class Imported:
    """One file taken in: its snapshot, and the record of the run that did it."""

    file: Path
    snapshot: Snapshot
    record: RunRecord


def import_files(
    archive: Archive,
    catalog: Catalog,
    dialect: Dialect,
    source: str,
    scope: Scope,
    files: Sequence[Path],
    *,
    at: datetime | None,
    clock: Clock,
    tags: tuple[str, ...] = (),
) -> list[Imported]:
    """One snapshot per file, oldest first. `at`: when they were exported; None: what each file says of itself.

    Raises ConfigError before anything is kept where a file cannot be read. A file whose checks fail, or that is
    unlike those of about its date, is kept, quarantined. Retry: yes; importing a file again makes another snapshot
    that shares every byte.
    """
    imports = dialect.imports
    if imports is None:
        raise ConfigError(f"{dialect.system}: there are no export files of it that could be imported")
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file}: no such file")
        try:
            file.open("rb").close()
        except OSError as exc:
            raise ConfigError(f"{file}: {exc.strerror}") from exc
    if at is not None and at > clock.now():
        raise ConfigError(f"--at {at:%Y-%m-%d %H:%M}: lies in the future")
    key = ScopeKey(source, scope.name)
    dated = sorted((min(at or imports.made_at(file), clock.now()), file) for file in files)
    return [
        _import(archive, catalog, dialect, imports, key, scope, file, made, at, clock, tags)
        for made, file in dated
    ]


def _import(
    archive: Archive, catalog: Catalog, dialect: Dialect, imports: Imports, key: ScopeKey, scope: Scope,
    file: Path, made: datetime, at: datetime | None, clock: Clock, tags: tuple[str, ...],
) -> Imported:  # fmt: skip
    log = RunLog(archive, catalog, clock, ())
    log.begin(key, dialect.system, scope, trigger="import", flow_run="")
    try:
        found = _keep(archive, dialect, imports, key, scope, file, made, at, log.run_id, clock, tags)
    except BaseException as exc:
        log.fail(exc)
        raise
    quality = found.manifest.draft.quality
    failed = [check for check in found.manifest.draft.checks if check.outcome is Outcome.FAILED]
    record = log.end(
        End(
            Ended(quality.value),
            Exit.QUARANTINED if quality is Quality.QUARANTINED else Exit.DONE,
            reason="; ".join(check.sentence() for check in failed[:3]),
            hint=levels.hint(archive, found, now=clock.now()) if failed else "",
            snapshot=found.id,
            checks=found.manifest.draft.checks,
        )
    )
    catalog.record_snapshot(found, archive.entries)
    return Imported(file, found, record)


def _keep(
    archive: Archive, dialect: Dialect, imports: Imports, key: ScopeKey, scope: Scope, file: Path, made: datetime,
    at: datetime | None, run_id: str, clock: Clock, tags: tuple[str, ...],
) -> Snapshot:  # fmt: skip
    name = shown(file.name)
    measured = measure(spool.read(file))
    checks = compare(Promise(), measured, file=name, silent=SILENT)
    checks += imports.inspect(scope, file, name, at)
    checks += keeping.read_back(fetched=1)
    writer = Writer(archive, key)
    with file.open("rb") as content:
        entry = writer.add(file.name, content, promised=Promise(), media_type="application/zip")
    if entry.measured != measured:
        raise ConfigError(f"{file}: changed while it was read", hint="import it when nobody writes to it")
    draft = Draft(
        key=key,
        system=dialect.system,
        request=scope.to_json(),
        run_id=run_id,
        job_id=run_id,
        job={},
        vendor={},
        taken_at=made,
        quality=judge(checks),
        checks=tuple(fold(checks)),
        notes=("imported from a file; it was not fetched from the system by Strongroom",),
        tool=keeping.tool(),
        tags=tags,
    )
    complete = levels.beside_history(archive, dialect.record_of, clock.now)
    return writer.commit(draft, clock=clock.now, complete=complete)
