"""What is in flight: a job per scope, from the intent to ask until its file is kept. Part of the catalog."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, SQLModel, select, text

from storage.errors import CatalogUnusable
from storage.finished import know_run, put
from storage.rows import to_json
from storage.snapshot import ScopeKey, from_text, to_text
from storage.tables import Fact, Job, Lease, Run

InFlightRows = list[list[SQLModel]]  # table by table
Sessions = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A job that is not closed: an intent, and what is known of the export it led to."""

    id: str
    key: ScopeKey
    intent: Mapping[str, Any]
    opened_at: datetime
    asked_at: datetime | None
    ref: Mapping[str, Any] | None
    status: Mapping[str, Any] | None


class Jobs:
    """The catalog's jobs. Raises CatalogUnusable where the catalog cannot be read or written. Retry: yes."""

    def __init__(self, read: Sessions, write: Sessions) -> None:
        self._read = read
        self._write = write

    def save_intent(self, job_id: str, key: ScopeKey, intent: Mapping[str, Any], *, now: datetime) -> None:
        """Save what is about to be asked, before it is asked."""
        with self._write() as session:
            session.add(
                Job(id=job_id, source=key.source, scope=key.scope, intent=to_json(intent), opened_at=to_text(now))
            )

    def mark_asked(self, job_id: str, *, now: datetime) -> None:
        """From here on, an export may exist at the vendor."""
        self._change(job_id, lambda row: setattr(row, "asked_at", to_text(now)))

    def unmark_asked(self, job_id: str) -> None:
        """The last question proved to have started nothing."""
        self._change(job_id, lambda row: setattr(row, "asked_at", ""))

    def save_instead(self, job_id: str, intent: Mapping[str, Any]) -> None:
        """Another question takes the place of one that was refused: nothing was started by that."""

        def change(row: Job) -> None:
            row.intent, row.asked_at = to_json(intent), ""

        self._change(job_id, change)

    def save_ref(self, job_id: str, ref: Mapping[str, Any]) -> None:
        """Save the vendor's handle, as soon as it is known."""
        self._change(job_id, lambda row: setattr(row, "ref", to_json(ref)))

    def save_status(self, job_id: str, status: Mapping[str, Any]) -> None:
        """Save the answer that said ready. The first one stands: later ones may promise less."""
        self._change(job_id, lambda row: setattr(row, "status", row.status or to_json(status)))

    def close(self, job_id: str, because: str, *, now: datetime) -> None:
        """The job needs no more work: its file is kept, or will never be had."""

        def close(row: Job) -> None:
            row.closed_at, row.closed_because = row.closed_at or to_text(now), row.closed_because or because

        self._change(job_id, close)

    def open(self, key: ScopeKey) -> InFlight | None:
        """The newest job of the scope that is not closed."""
        with self._read() as session:
            row = session.exec(
                select(Job)
                .where(Job.source == key.source, Job.scope == key.scope, Job.closed_at == "")
                .order_by(text("opened_at desc, id desc"))
            ).first()
            return None if row is None else _in_flight(row)

    def open_of(self, source: str) -> list[InFlight]:
        """The jobs of all scopes of a source that are not closed, oldest first."""
        with self._read() as session:
            rows = session.exec(
                select(Job).where(Job.source == source, Job.closed_at == "").order_by(text("opened_at, id"))
            )
            return [_in_flight(row) for row in rows]

    def open_ids(self) -> set[str]:
        """Our ids of all jobs that are not closed."""
        with self._read() as session:
            return set(session.exec(select(Job.id).where(Job.closed_at == "")))

    def get(self, job_id: str) -> InFlight:
        """A job by our id. Raises CatalogUnusable where it is not known."""
        with self._read() as session:
            row = session.get(Job, job_id)
            if row is None:
                raise CatalogUnusable(f"job {job_id}: not in the catalog", hint="run again")
            return _in_flight(row)

    def rows(self) -> tuple[InFlightRows, list[str]]:
        """All that is in flight, table by table; and why a table cannot be read, where one cannot."""
        tables: InFlightRows = []
        problems = []
        for query in (select(Job), select(Lease), select(Fact), select(Run).where(Run.ended_at == "")):
            try:
                with self._read() as session:
                    tables.append(list(session.exec(query)))
            except (CatalogUnusable, ValueError) as exc:
                problems.append(str(exc))
        return tables, problems

    def carry(self, tables: InFlightRows) -> int:
        """Enter another catalog's `rows`, but those that are here; how many were entered."""
        carried = 0
        with self._write() as session:
            ended = set(session.exec(select(Run.id)))
            for rows in tables:
                fresh = [row for row in rows if not isinstance(row, Run) or row.id not in ended]
                carried += len(fresh)
                for row in fresh:
                    put(session, type(row), [row.model_dump()], over=False)
                    if isinstance(row, Run):
                        know_run(session, row.model_dump())
        return carried

    def _change(self, job_id: str, change: Callable[[Job], None]) -> None:
        with self._write() as session:
            row = session.get(Job, job_id)
            if row is None:
                raise CatalogUnusable(f"job {job_id}: not in the catalog", hint="run again")
            change(row)
            session.add(row)


def _in_flight(row: Job) -> InFlight:
    return InFlight(
        id=row.id,
        key=ScopeKey(row.source, row.scope),
        intent=json.loads(row.intent),
        opened_at=from_text(row.opened_at),
        asked_at=from_text(row.asked_at) if row.asked_at else None,
        ref=json.loads(row.ref) if row.ref else None,
        status=json.loads(row.status) if row.status else None,
    )
