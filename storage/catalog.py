"""The catalog: an index over manifests and records, plus what is in flight. With `jobs.py` and
`finished.py` the only user of SQLModel.

One file on one host, never on a network file system. Everything finished in it can be made again from the
archive (`reindex`, `rebuild.py`); what is in flight cannot, and losing it costs at most one more export.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, true
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, col, create_engine, select, text

from storage import finished, locking, schema, snapshot
from storage.archive import Archive, Damaged
from storage.compare import Facts
from storage.decisions import Decision
from storage.errors import CatalogUnusable
from storage.finished import Known, enter_decision, enter_forgotten, enter_run, enter_snapshot
from storage.holder import Holder, alive
from storage.jobs import Jobs
from storage.listing import Entry
from storage.notices import Notices
from storage.readings import Readings
from storage.records import KnownScope, RunRecord
from storage.rows import MAX_FILES, has_file_rows, to_json
from storage.snapshot import ScopeKey, Snapshot, to_text
from storage.tables import Fact, File, Lease, Run, Scope, SnapshotRow
from storage.tombstone import Tombstone

BUSY_S = 30  # how long a write waits for another process's
TRIED = timedelta(days=3)  # how long a scope without a snapshot is remembered for its runs
BATCH = 100  # runs or snapshots entered in one transaction while a catalog is filled


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that starts."""

    id: str
    key: ScopeKey
    system: str
    request: Mapping[str, Any]
    trigger: str
    flow_run: str
    started_at: datetime
    holder: Holder


class Catalog:
    """An opened catalog. Each method is one transaction, durable when it returns. Retry: yes."""

    def __init__(self, engine: Engine, lock: int | None = None, *, names: bool = True) -> None:
        self.names = names  # of files and records; without, they are asked of the archive
        self._engine = engine
        self._lock = lock  # the handle of the lock that we share
        self.jobs = Jobs(self._read, self._write)  # what is in flight
        self.readings = Readings(self._read, self._write)  # what scrubs and drills have read
        self.notices = Notices(self._read, self._write)  # what is wrong and no run's end

    @classmethod
    def open(cls, path: Path, *, locked: bool = False, names: bool = True) -> Catalog:
        """Open, or make, the catalog at `path` (mode 0600). Raises CatalogUnusable, CatalogNewer.

        Waits, some seconds for 10,000 runs, while it is rebuilt. `locked`: the caller has its lock alone.
        `names`: false to enter none of files and records from now on.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = None if locked else locking.share(path)
        except OSError as exc:
            raise CatalogUnusable(f"{path}: {exc.strerror}", hint="look at its permissions") from exc
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S}, hide_parameters=True)
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        catalog = cls(engine, lock, names=names)
        try:
            _make_private(path)
            schema.migrate(engine, path)
        except DatabaseError as exc:
            catalog.close()
            raise CatalogUnusable(f"{path}: {exc.orig}") from exc
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what the catalog is about

    def fact(self, name: str) -> str:
        """The value noted under `name`; "" where there is none."""
        with self._read() as session:
            row = session.get(Fact, name)
            return "" if row is None else row.value

    def note_fact(self, name: str, value: str) -> None:
        """Note a value."""
        with self._write() as session:
            session.merge(Fact(name=name, value=value))

    # -- leases

    def take_lease(self, credential: str, holder: Holder, *, now: datetime, ttl: timedelta) -> Holder | None:
        """Take or renew the lease. None: it is ours until `now + ttl`. Else: who has it.

        A lease goes over at once when its holder is certainly dead, and when it has run out.
        """
        with self._write() as session:
            row = session.get(Lease, credential)
            expires = to_text(now + ttl)
            if row is None:
                row = Lease(credential=credential, holder="", since="", expires_at="")
            elif row.holder != holder.encode():
                other = Holder.decode(row.holder)
                if row.expires_at > to_text(now) and not other.dead():
                    return other
            if row.holder != holder.encode():
                row.since = to_text(now)
            row.holder, row.expires_at = holder.encode(), expires
            session.add(row)
            return None

    def drop_lease(self, credential: str, holder: Holder) -> None:
        """Give the lease back, if it is ours."""
        with self._write() as session:
            row = session.get(Lease, credential)
            if row is not None and row.holder == holder.encode():
                session.delete(row)

    # -- runs and jobs in flight

    def begin_run(self, run: Beginning) -> None:
        """Note that a run is under way."""
        row = Run(
            id=run.id,
            source=run.key.source,
            scope=run.key.scope,
            system=run.system,
            request=to_json(run.request),
            trigger=run.trigger,
            flow_run=run.flow_run,
            job="",
            started_at=to_text(run.started_at),
            holder=run.holder.encode(),
        )
        with self._write() as session:
            finished.put(session, Run, [row.model_dump()])
            finished.know_run(session, row.model_dump())

    def note_phase(self, run_id: str, phase: str, job: str = "") -> None:
        """Note what a run is doing."""
        with self._write() as session:
            row = session.get(Run, run_id)
            if row is not None and not row.ended_at:
                row.phase, row.job = phase, job or row.job
                session.add(row)

    def dead_runs(self, key: ScopeKey) -> list[Run]:
        """Runs of the scope that never ended and whose process is gone."""
        with self._read() as session:
            rows = session.exec(
                select(Run).where(Run.source == key.source, Run.scope == key.scope, Run.ended_at == "")
            ).all()
            return [row for row in rows if Holder.decode(row.holder).dead()]

    def alive(self, *, now: datetime) -> list[Run]:
        """Runs under way; of those of another host, whose lease has not run out: more is not known of them."""
        with self._read() as session:
            runs = session.exec(select(Run).where(Run.ended_at == "")).all()
            holding = set(session.exec(select(Lease.holder).where(Lease.expires_at > to_text(now))))
        return [run for run in runs if alive(run.holder, leased=run.holder in holding)]

    # -- finished things: rows made of manifests and records, here and when reindexing

    def record_run(self, record: RunRecord) -> None:
        """Enter a finished run. Retry: yes, the same record changes nothing."""
        with self._write() as session:
            enter_run(session, record, names=self.names)

    def record_snapshot(self, found: Snapshot, entries: Callable[[Snapshot], Iterable[Entry]]) -> None:
        """Enter a snapshot; its files, too, where they are at most MAX_FILES: only then is `entries` asked."""
        files = entries(found) if has_file_rows(found, names=self.names) else ()
        with self._write() as session:
            enter_snapshot(session, found, files)

    def record_forgotten(self, tomb: Tombstone) -> None:
        """Enter that a snapshot was forgotten, erased or given up."""
        with self._write() as session:
            enter_forgotten(session, tomb)

    def record_decision(self, decision: Decision) -> None:
        """Enter what a person decided, as `Archive.decide` gave it back."""
        with self._write() as session:
            enter_decision(session, decision)

    def reindex(self, archive: Archive, *, damaged: list[Damaged] | None = None) -> int:
        """Enter everything that the archive holds and this catalog does not; the number of runs and snapshots.

        Told apart by names, so that what is known is not read again. What is in flight stays as it is. A file that
        cannot be read raises, unless `damaged` is given to take it.
        """
        entered = 0
        lacking = finished.lacking(archive, self.known(), damaged, names=self.names)
        while batch := list(islice(lacking, BATCH)):
            with self._write() as session:
                for enter in batch:
                    enter(session)
            entered += len(batch)
        return entered

    def settle(self) -> None:
        """Empty SQLite's log, which may hold rows that were deleted. Not done while another process reads."""
        with _mapped():
            connection = self._engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def known(self) -> Known:
        """What is entered."""
        with self._read() as session:
            return finished.known(session)

    def facts(self, *, now: datetime) -> Facts:
        """Everything finished, as `compare` takes it. Memory: some 3 kB a run."""
        under_way = [run.id for run in self.alive(now=now)]
        with self._read() as session:
            return finished.facts(session, under_way)

    # -- questions

    def known_scopes(self, source: str, *, now: datetime) -> list[KnownScope]:
        """The scopes of a source that ever had a snapshot, or a run of the last three days, by name.

        What was only tried, longer ago, was a mistake of somebody's: whoever is there is tried each night.
        """
        with self._read() as session:
            snapshots = select(SnapshotRow.scope, SnapshotRow.forgotten_at).where(SnapshotRow.source == source)
            kept: dict[str, bool] = {}
            for scope, forgotten_at in session.exec(snapshots):
                kept[scope] = kept.get(scope, False) or not forgotten_at
            since = to_text(now - TRIED)
            lately = set(session.exec(select(Run.scope).where(Run.source == source, Run.started_at >= since)))
            rows = session.exec(select(Scope).where(Scope.source == source).order_by(text("name")))
            return [
                KnownScope(row.name, json.loads(row.request), kept.get(row.name, False))
                for row in rows
                if row.name in kept or row.name in lately
            ]

    def runs(
        self,
        *,
        source: str = "",
        scope: str = "",
        flow_run: str = "",
        ended: str | None = None,
        since: str = "",
        limit: int = 50,
    ) -> list[Run]:
        """The newest runs, of one source, scope or Prefect flow run, or of all; those that ended so ("": not yet),
        or all; those that began at `since` (as `to_text` writes it) or later."""
        query = select(Run).order_by(text("started_at desc, id desc")).limit(limit)
        if flow_run:
            query = query.where(Run.flow_run == flow_run)
        if ended is not None:
            query = query.where(Run.ended == ended)
        if since:
            query = query.where(Run.started_at >= since)
        if source:
            query = query.where(Run.source == source)
        if scope:
            query = query.where(Run.scope == scope)
        with self._read() as session:
            return list(session.exec(query))

    def grown(self) -> list[tuple[datetime, int]]:
        """When each snapshot ever was committed, and the bytes of packs that it added; oldest first."""
        with self._read() as session:
            return finished.grown(session)

    def holds_file(self, source: str, path: str, archive: Archive, *, since: datetime) -> bool:
        """Whether a live snapshot of the source has a file of that name.

        Of those with too many files for rows, only what was committed after `since` is looked at: the archive is
        asked for their listings, a second for each 100,000 files. Raises ObjectCorrupt for a damaged one.
        """
        mine = select(SnapshotRow).where(SnapshotRow.source == source, SnapshotRow.forgotten_at == "")
        rowless = SnapshotRow.files > MAX_FILES if self.names else true()
        large = mine.where(rowless, SnapshotRow.committed_at >= to_text(since))
        with self._read() as session:
            query = select(File.path).join(SnapshotRow, col(SnapshotRow.id) == col(File.snapshot))
            if session.exec(query.where(SnapshotRow.source == source, File.path == path)).first() is not None:
                return True
            rows = session.exec(large.order_by(text("committed_at desc"))).all()
        names = (snapshot.manifest_name(ScopeKey(row.source, row.scope), row.number) for row in rows)
        links = [link for link in map(snapshot.parse_name, names) if link is not None]
        return any(entry.path == path for found in archive.live(links) for entry in archive.entries(found))

    def last_ended(self, source: str) -> Run | None:
        """The run of any scope of the source that ended last."""
        with self._read() as session:
            query = select(Run).where(Run.source == source, Run.ended_at != "")
            return session.exec(query.order_by(text("ended_at desc, id desc"))).first()

    # -- inside

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with _mapped(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with _mapped(), Session(self._engine, expire_on_commit=False) as session:
            yield session


@contextmanager
def _mapped() -> Iterator[None]:
    """SQLite's errors become ours, without the values of a row: a file's name in one may be a secret."""
    try:
        yield
    except DatabaseError as exc:
        raise CatalogUnusable(
            f"catalog: {exc.orig}",
            hint="look at free space and permissions, then run again; damaged: `strongroom catalog rebuild`",
        ) from None


def _make_private(path: Path) -> None:
    # Only a file that is not there is opened: closing one that SQLite has open would drop SQLite's locks on it,
    # by the rules of POSIX. Source: sqlite.org/howtocorrupt.html, section 2.2.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise CatalogUnusable(f"{path}: is a directory", hint="name another [state] folder") from None
    except OSError as exc:
        raise CatalogUnusable(f"{path}: {exc.strerror}", hint="look at its permissions") from exc


def _prepare_connection(connection: Any, _: object) -> None:
    # Transactions begin by our own BEGIN IMMEDIATE (see `open`): a reader that becomes a writer half-way would
    # meet "database is locked" however long it waits. FULL: an intent must survive a power cut.
    connection.isolation_level = None
    # secure_delete: what was erased must not stay readable in free pages.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
