"""Runs against a real Mayan EDMS: one source, an archive and a catalog of its own, night after night."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from flows.clock import SystemClock
from flows.config import SourceTable
from flows.export import Account, Pace
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.base import Connection
from flows.sources.mayan import Mayan as Source
from flows.sources.mayan_asking import BOUNDS, Bounds
from flows.sources.mayan_scopes import scope_from_table
from storage.archive import Archive
from storage.backend import Memory
from storage.catalog import Catalog
from storage.policy import Policy
from storage.records import RunRecord
from storage.snapshot import Snapshot
from tests.mayan_server import Mayan

PACE = Pace(first_s=0.1, longest_s=1, patience_s=5)


class Later(Source):
    """A source whose server's clock is ahead."""

    def __init__(self, connection: Connection, by: timedelta, bounds: Bounds) -> None:
        super().__init__(connection, bounds=bounds)
        self._by = by

    def login(self) -> Account:
        account = super().login()
        assert account.server_time
        return replace(account, server_time=account.server_time + self._by)


class Office:
    """A source of one server, backed up by hand."""

    def __init__(self, places: Places, mayan: Mayan, **connection: Any) -> None:
        """`connection`: what is to be instead of the administrator's token and no limit on requests."""
        self.places = places
        given: dict[str, Any] = {"secrets": {"token": mayan.token}, "requests_per_s": 0, **connection}
        self._connection = Connection(url=mayan.url, **given)
        self.days_on = 0  # the next nights are so many days later, by both clocks
        self.bounds = BOUNDS  # how long exports are waited for
        self.requests = 0  # of the last night
        self.table = SourceTable(name="office", system="mayan", url=mayan.url)

    @contextmanager
    def engine(self, **scope: Any) -> Iterator[Engine]:
        """An engine for one run of a scope, as its table says; a source of its own."""
        source = Later(self._connection, timedelta(days=self.days_on), self.bounds)
        clock = SystemClock(SystemClock().now() + timedelta(days=self.days_on))
        try:
            wanted = scope_from_table(scope or {"kind": "all"})
            yield Engine(Plan(self.table, wanted, Policy(), PACE), source, self.places, clock)
        finally:
            self.requests = source.wire.requests
            source.close()

    def night(self, **scope: Any) -> RunRecord:
        """One run from beginning to end, recorded whatever its end. Raises what ends it."""
        with self.engine(**scope) as engine:
            engine.begin(trigger="cli")
            try:
                engine.login()
                with engine.lease():
                    job = engine.start()
                    status = engine.wait(job)
                    return engine.finish(job, engine.keep(job, status, engine.download(job, status)))
            except Exception as exc:
                engine.log.fail(exc)
                raise

    @property
    def newest(self) -> Snapshot:
        """The last snapshot."""
        return self.places.archive.snapshots()[-1]

    def files(self, found: Snapshot | None = None) -> dict[str, bytes]:
        """The files of a snapshot, the newest if none is named, proven."""
        one = found or self.newest
        reader = self.places.archive.reader(one)
        return {entry.path: b"".join(reader.chunks(entry)) for entry in self.places.archive.entries(one)}

    def document(self, number: int) -> dict[str, Any]:
        """What the newest snapshot tells of a document."""
        found: dict[str, Any] = json.loads(self.within(number)["document.json"])
        return found

    def within(self, number: int) -> Mapping[str, bytes]:
        """The files of one document in the newest snapshot, by their names there."""
        mark = f" [{number}]/"
        return {path.partition(mark)[2]: data for path, data in self.files().items() if mark in path}


@contextmanager
def office(folder: Path, mayan: Mayan, **connection: Any) -> Iterator[Office]:
    """With an archive in memory, and its catalog and spool below `folder`."""
    with Catalog.open(folder / "catalog.db") as catalog:
        archive = Archive.create(Memory(), now=SystemClock().now())
        yield Office(Places(archive, catalog, folder / "spool"), mayan, **connection)
