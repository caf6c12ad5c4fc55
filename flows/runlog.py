"""A run's own history: that it is under way, what it is doing, and how it ended, in catalog and archive.

Decides nothing about exports; `lifecycle.py` tells it what happened.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from flows.clock import Clock, new_id
from flows.errors import ConfigError, Exit, SourceError, verdict
from flows.export import Scope, without_secrets
from storage import records
from storage.archive import Archive
from storage.catalog import Beginning, Catalog
from storage.errors import FormatUnknown, ObjectCorrupt, StorageError
from storage.holder import this_process
from storage.records import Ended, RunRecord
from storage.snapshot import ScopeKey, from_text, record_name
from storage.verify import Check, fold

log = logging.getLogger(__name__)
PROGRESS = "flows.progress"  # the logger that says each step of a run, for who watches
progress = logging.getLogger(PROGRESS)
MAX_REASON = 1000  # characters: a foreign library's exception may repeat whole answers


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, as its engine sees it."""

    ended: Ended
    exit: Exit = Exit.DONE
    reason: str = ""
    hint: str = ""
    snapshot: str = ""
    checks: tuple[Check, ...] = ()


class RunLog:
    """The history of one run. `begin` first; then `phase` at each step; `end` or `fail` once."""

    def __init__(self, archive: Archive, catalog: Catalog, clock: Clock, secrets: tuple[str, ...]) -> None:
        self._archive = archive
        self._catalog = catalog
        self._clock = clock
        self._secrets = secrets
        self._beginning: Beginning | None = None
        self.job_id = ""
        self.bytes_fetched = 0
        self._phase_now = ""

    @property
    def run_id(self) -> str:
        """Ours, once begun."""
        return self._begun().id

    def begin(self, key: ScopeKey, system: str, scope: Scope, *, trigger: str, flow_run: str) -> None:
        """Note that a run is under way, and record the end of earlier ones whose process died."""
        self._bury_dead(key)
        now = self._clock.now()
        self._beginning = Beginning(
            id=new_id(now),
            key=key,
            system=system,
            request=scope.to_json(),
            trigger=trigger,
            flow_run=flow_run,
            started_at=now,
            holder=this_process(),
        )
        self._catalog.begin_run(self._beginning)

    def phase(self, phase: str, job_id: str = "") -> None:
        """Note what the run does now, and for which job."""
        self.job_id = job_id or self.job_id
        if phase != self._phase_now:  # it may be noted again, with its job
            progress.info("%s: %s", self._begun().key, phase)
        self._phase_now = phase
        self._catalog.note_phase(self.run_id, phase, self.job_id)

    def end(self, end: End) -> RunRecord:
        """Record the end: the archive first, then the catalog. Retry: yes."""
        record = self._enter(self._record(end))
        progress.info("%s: ended: %s", record.key, record.ended)
        return record

    def fail(self, error: BaseException) -> RunRecord:
        """Record that the run ended by `error`; where the archive cannot take it, in the catalog alone."""
        ended, code, hint = verdict(error)
        known = isinstance(error, SourceError | StorageError | ConfigError)
        reason = str(error) if known else f"{type(error).__name__}: {error}".rstrip(": ")
        if not isinstance(error, Exception):  # Ctrl-C, a cancel in Prefect, a supervisor's signal
            reason = f"interrupted, phase: {self._phase_now or 'beginning'}"
        checks = tuple(fold(getattr(error, "checks", ())))
        record = self._record(End(ended, code, " ".join(reason.split()), hint, checks=checks))
        progress.info("%s: ended: %s", record.key, record.ended)
        try:
            return self._enter(record)
        except StorageError:
            self._catalog.record_run(record)
            return record

    def _record(self, end: End) -> RunRecord:
        begun = self._begun()
        return RunRecord(
            id=begun.id,
            key=begun.key,
            system=begun.system,
            request=begun.request,
            trigger=begun.trigger,
            flow_run=begun.flow_run,
            job=self.job_id,
            started_at=begun.started_at,
            ended_at=self._clock.now(),
            ended=end.ended,
            exit_code=int(end.exit),
            reason=without_secrets(end.reason, self._secrets)[:MAX_REASON],
            hint=without_secrets(end.hint, self._secrets),
            snapshot=end.snapshot,
            checks=end.checks,
            bytes_fetched=self.bytes_fetched,
        )

    def _enter(self, record: RunRecord) -> RunRecord:
        """Put the record into archive and catalog; what stands there now: the first record of a run stays."""
        if not self._archive.put_record(record.id, records.encode(record)):
            name = record_name(record.id)
            first = records.decode(self._archive.backend.get(name), name)
            if first is not None and first.ended is not record.ended:
                log.warning("%s: had ended as %s before: %s", record.key, first.ended, record.reason)
            record = first or record
        self._catalog.record_run(record)
        return record

    def _begun(self) -> Beginning:
        if self._beginning is None:
            raise RuntimeError("a run's log begins with begin()")
        return self._beginning

    def _bury_dead(self, key: ScopeKey) -> None:
        """Record runs whose process died, unless they got as far as their own record: the first record stands."""
        for row in self._catalog.dead_runs(key):
            record = RunRecord(
                id=row.id,
                key=key,
                system=row.system,
                request=json.loads(row.request),
                trigger=row.trigger,
                flow_run=row.flow_run,
                job=row.job,
                started_at=from_text(row.started_at),
                ended_at=max(from_text(row.started_at), self._clock.now()),
                ended=Ended.INTERRUPTED,
                exit_code=int(Exit.INTERRUPTED),
                reason=f"its process ended without a word, phase: {row.phase or 'beginning'}",
                hint="the next run goes on with the same job",
            )
            try:
                self._enter(record)
            except (ObjectCorrupt, FormatUnknown) as exc:  # a damaged record of the past stops no night
                log.warning("%s; `strongroom scrub --all` names what is damaged", exc)
                self._catalog.record_run(record)
