"""A bench for WebAdMIT: a real engine over the demo server that speaks its dialect, on one travelling clock.

Nothing waits: whoever sleeps moves the server's clock and the engine's together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import config
from flows.credentials import connection
from flows.demo import Admissions, WebAdmitServer
from flows.demo.webadmit_office import DIRECTOR
from flows.demo.webadmit_runs import Run
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.base import Source
from flows.sources.webadmit import WebAdMIT
from storage import records
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.records import RunRecord
from storage.snapshot import Snapshot, record_name
from tests.engine.bench import TravellingClock, Wrap, carry, told, toml

SCHOOL = 'organization = "Demo School of Nursing"'
NIGHTLY = f'export = "Nightly applicants"\n{SCHOOL}'
PAPERS = f'pdf = "Full applications"\n{SCHOOL}'


@dataclass
class School:
    """A folder with configuration, archive and catalog, and the server that its one source talks to."""

    folder: Path
    server: WebAdmitServer
    clock: TravellingClock
    archive: Archive
    catalog: Catalog
    keys: set[str] = field(default_factory=set)  # every one that there ever was
    open_sources: list[WebAdMIT] = field(default_factory=list)

    @property
    def world(self) -> Admissions:
        return self.server.world

    @property
    def spool(self) -> Path:
        return self.folder / "state" / "spool"

    # -- one run

    def give_key(self) -> None:
        """Put the director's key where the source reads it."""
        key = self.world.keys[DIRECTOR]
        self.keys.add(key)
        (self.folder / "key").write_text(key)

    def give_every_key(self) -> None:
        """From now on, who makes a new key in WebAdMIT puts it there as well, before anybody asks again."""
        honest = self.world.rotate_key

        def rotate(person: str = DIRECTOR) -> str:
            key = honest(person)
            self.give_key()
            return key

        self.world.rotate_key = rotate  # type: ignore[method-assign]  # this bench's world, and only it

    def settings(self, scope: str, **table: Any) -> config.Settings:
        """The configuration, written and read. `table`: further keys of [[source]]."""
        lines = "".join(f"{name} = {toml(value)}\n" for name, value in table.items())
        path = self.folder / "strongroom.toml"
        path.write_text(
            f'[[source]]\nname = "admissions"\nsystem = "webadmit"\nurl = "{self.server.url}"\n'
            f'api_key = {{ file = "key" }}\n{lines}[[source.scope]]\n{scope}\n'
        )
        return config.load(path)

    def source(self, settings: config.Settings) -> WebAdMIT:
        """A connected dialect."""
        link = connection(settings, settings.source("admissions"))
        made = WebAdMIT(link, sleep=self.clock.sleep, monotonic=self.seconds)
        self.open_sources.append(made)
        return made

    def seconds(self) -> float:
        return self.clock.now().timestamp()

    def engine(self, scope: str = NIGHTLY, *, wrap: Wrap = lambda s: s, **table: Any) -> Engine:
        """A new engine, as a new process would make it."""
        settings = self.settings(scope, **table)
        source = settings.source("admissions")
        (wanted,) = source.scopes()
        plan = Plan(source, wanted, settings.policy("admissions", wanted.name), source.pace())
        made: Source = wrap(self.source(settings))
        return Engine(plan, made, Places(self.archive, self.catalog, self.spool, tuple(self.keys)), self.clock)

    def run(self, scope: str = NIGHTLY, **table: Any) -> RunRecord:
        """One night."""
        return carry(self.engine(scope, **table))

    # -- what is left behind

    def posts(self) -> list[int]:
        """Statuses of the answers to questions for a run; 0 where the connection was cut instead."""
        return [seen.status for seen in self.server.requests if seen.method == "POST"]

    def ours(self) -> list[Run]:
        """The runs that the source's own key started."""
        return [run for run in self.runs() if run.started_by == DIRECTOR]

    def runs(self) -> list[Run]:
        return [*self.world.runs.values(), *self.world.batches.values()]

    def snapshot(self, record: RunRecord) -> Snapshot:
        return self.archive.find(record.snapshot)

    def content(self, found: Snapshot) -> dict[str, bytes]:
        """The files of a snapshot, out of the archive."""
        reader = self.archive.reader(found)
        return {entry.path: b"".join(reader.chunks(entry)) for entry in self.archive.entries(found)}

    def made(self, record: RunRecord) -> list[bytes]:
        """The store's own bytes of the run that a snapshot is of."""
        number = self.snapshot(record).manifest.draft.job["id"]
        (run,) = [run for run in self.runs() if run.id == number]
        return [self.world.body(run, stored) for stored in run.files]

    def recorded(self, record: RunRecord) -> None:
        """Assert that archive and catalog tell the same of this run."""
        name = record_name(record.id)
        assert records.decode(self.archive.backend.get(name), name) == record
        row = next(row for row in self.catalog.runs(limit=1000) if row.id == record.id)
        assert told(row) == (
            record.ended.value, record.exit_code, record.reason, record.hint, record.snapshot,
            record.bytes_fetched,
        )  # fmt: skip

    def assert_silent(self, log: str) -> None:
        """Assert that the key went to WebAdMIT alone, links were opened as given, and neither is written down."""
        assert self.world.leaked == []
        assert self.world.links_altered == 0
        assert {seen.method for seen in self.server.store_requests} <= {"GET"}
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "key"]
        held = log.encode() + b"".join(path.read_bytes() for path in files)
        for secret in (
            *self.keys,
            "Signature=",
            "AWSAccessKeyId",
            "AKIADEMO",
            "_original.",
            self.server.store_url,
        ):
            assert secret.encode() not in held


def make(folder: Path, server: WebAdmitServer) -> School:
    """A bench over a running server."""
    clock = TravellingClock(server.world)
    server.world.wait = server.world.advance  # a slow store takes the clock's time, not ours
    archive = Archive.create(LocalDisk(folder / "archive"), now=clock.now())
    made = School(folder, server, clock, archive, Catalog.open(folder / "state" / "catalog.db"))
    made.give_key()
    return made
