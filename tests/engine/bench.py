"""A bench for the engine: a real engine over a demo server that speaks RSpace's dialect, on one travelling clock.

Nothing waits: whoever sleeps moves the server's clock and the engine's together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from flows import config
from flows.config import Settings
from flows.credentials import connection
from flows.demo import DemoServer, World
from flows.demo.message import FORM, Request, Response
from flows.demo.rspace import RSpace as DemoRSpace
from flows.errors import Exit
from flows.export import Status
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.base import Source
from flows.sources.rspace import RSpace
from flows.sources.rspace_complete import records_in
from flows.spool import SpooledFiles
from storage import records
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.jobs import InFlight
from storage.records import Ended, RunRecord
from storage.snapshot import Snapshot, record_name
from storage.tables import Run
from storage.verify import Check, Quality

GROUP = 11  # the demo's laboratory
OTHER_KEY = "x" * 32

Wrap = Callable[[Source], Source]
Change = Callable[[Request, Response], Response]


class Killed(BaseException):
    """The process is gone: nobody catches this, and nobody records it."""


class Dying:
    """A source during one of whose verbs the process dies: before the verb did its work, or after."""

    def __init__(self, source: Source, verb: str, *, after: bool, error: BaseException | None = None) -> None:
        self._source, self._verb, self._after, self._error = source, verb, after, error or Killed()

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._source, name)
        if name != self._verb:
            return inner

        def die(*given: Any, **named: Any) -> None:
            if self._after:
                inner(*given, **named)
            raise self._error

        return die


class Timed(Protocol):
    """A demo's world, as far as its time goes."""

    def now(self) -> datetime: ...

    def advance(self, seconds: float) -> None: ...


class TravellingClock:
    """The world's clock. To sleep is to move it, and then to let whatever was waiting for that time happen."""

    def __init__(self, world: Timed) -> None:
        self._world = world
        self._due: list[tuple[datetime, Callable[[], None]]] = []
        self._lock = threading.RLock()
        self.slept: list[float] = []
        self.ahead = timedelta()  # of the server's clock

    def now(self) -> datetime:
        return self._world.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._world.advance(seconds)
            due = [act for at, act in self._due if at <= self.now()]
            self._due = [(at, act) for at, act in self._due if at > self.now()]
        for act in due:
            act()

    def dice(self) -> float:
        return 0.5

    def at(self, moment: datetime, act: Callable[[], None]) -> None:
        """Do `act` in the first sleep that reaches `moment`."""
        self._due.append((moment, act))


@dataclass
class Bench:
    """A folder with configuration, archive and catalog, and the server that its one source talks to."""

    folder: Path
    server: DemoServer
    clock: TravellingClock
    archive: Archive
    catalog: Catalog
    table: dict[str, Any] = field(default_factory=dict)  # further keys of [[source]]
    secret_by: str = "file"  # or command
    open_sources: list[RSpace] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.server.world

    @property
    def spool(self) -> Path:
        return self.folder / "state" / "spool"

    # -- one run

    def settings(self, *, user: str = "mrossi", key: str = "", token: str = "", **table: Any) -> Settings:
        """The configuration, written and read; the API key, or the bearer token, comes from a file beside it."""
        secret = self.folder / f"key-{user}"
        secret.write_text(token or key or self.world.user(user).api_key)
        keys = {"url": self.server.url, **self.table, **table}
        lines = [f"{name} = {toml(value)}" for name, value in keys.items()]
        where = secret.name if self.secret_by == "file" else f"cat {secret.name}"
        path = self.folder / "strongroom.toml"
        path.write_text(
            '[[source]]\nname = "lab"\nsystem = "rspace"\n'
            f'{"token" if token else "api_key"} = {{ {self.secret_by} = "{where}" }}\n' + "\n".join(lines) + "\n"
        )
        return config.load(path)

    def scope(self, kind: str, **options: Any) -> str:
        """Configure one scope, besides which there is no other, and tell its name."""
        name = options.pop("name", "it")
        self.table["scope"] = [{"kind": kind, "name": name, **options}]
        return str(name)

    def lie(self, where: str, change: Change) -> None:
        """From now on, `change` has its way with each answer to a request whose path ends so.

        With a slash at the end it is any path with that in it.
        """
        honest = self.server._rspace.handle

        def handle(request: Request) -> Response:
            answer = honest(request)
            meant = where in request.path if where.endswith("/") else request.path.endswith(where)
            return change(request, answer) if meant else answer

        self.server._rspace.handle = handle  # type: ignore[method-assign]  # this bench's server, and only it

    def instead(self, where: str, *answers: Response) -> None:
        """The next POSTs to a path that ends so get these answers, one each, and nothing is done for them."""
        honest = self.server._rspace.handle
        left = list(answers)

        def handle(request: Request) -> Response:
            if left and request.method == "POST" and request.path.endswith(where):
                return left.pop(0)
            return honest(request)

        self.server._rspace.handle = handle  # type: ignore[method-assign]  # this bench's server, and only it

    def elsewhere(self, path: str = "html/user", *, user: str = "mrossi", run_s: float = 30, **form: str) -> None:
        """Somebody starts an export on RSpace's web page. It is not among `posts`."""
        usual, self.world.run_s = self.world.run_s, run_s
        headers = {"apikey": self.world.user(user).api_key, "content-type": FORM}
        body = urlencode(form).encode()
        target = f"/api/v1/export/{path}"
        answer = DemoRSpace(self.world).handle(Request("POST", target, "", headers, body, self.server.url))
        self.world.run_s = usual
        assert answer.status == 202, answer.body

    def source(self, settings: Settings) -> RSpace:
        """A connected dialect."""
        link = connection(settings, settings.source("lab"))
        source = RSpace(link, sleep=self.clock.sleep)
        self.open_sources.append(source)
        return source

    def engine(
        self,
        scope: str = "user",
        *,
        user: str = "mrossi",
        key: str = "",
        token: str = "",
        wrap: Wrap = lambda s: s,
        **table: Any,
    ) -> Engine:
        """A new engine, as a new process would make it. `table`: keys of [[source]]."""
        settings = self.settings(user=user, key=key, token=token, **table)
        source = settings.source("lab")
        plan = Plan(source, settings.scope(source, scope), settings.policy("lab", scope), source.pace())
        secrets = tuple(connection(settings, source).secrets.values())
        places = Places(self.archive, self.catalog, self.spool, secrets)
        return Engine(plan, wrap(self.source(settings)), places, self.clock)

    def run(self, scope: str = "user", **given: Any) -> RunRecord:
        """One whole run of a new engine."""
        return carry(self.engine(scope, **given))

    # -- what is left behind

    def posts(self) -> int:
        """Exports that were asked for."""
        return sum(1 for seen in self.server.requests if seen[0] == "POST")

    def answers_to_posts(self) -> list[int]:
        """Status of each POST; 0 where the connection was cut instead."""
        return [seen[3] for seen in self.server.requests if seen[0] == "POST"]

    def downloads(self) -> int:
        """Files that were asked for."""
        return sum(1 for seen in self.server.requests if seen[0] == "GET" and "/export/" in seen[1])

    def snapshots(self, quality: str = "") -> list[Snapshot]:
        """What the archive holds."""
        return [s for s in self.archive.snapshots() if quality in ("", s.manifest.draft.quality)]

    def content(self, found: Snapshot) -> bytes:
        """The bytes of a snapshot's only file, out of the archive."""
        (entry,) = self.archive.entries(found)
        return b"".join(self.archive.reader(found).chunks(entry))

    def held(self, record: RunRecord) -> set[int]:
        """The documents in the file that a run kept, out of the archive."""
        path = self.folder / "held.zip"
        path.write_bytes(self.content(self.archive.find(record.snapshot)))
        found = records_in([path])
        assert found is not None
        return found[0]

    def document_ids(self, owner: int = 2) -> list[int]:
        """Whose documents there are now, by the owner's number."""
        return [document.id for document in self.world.lab.documents_of(owner)]

    def served(self, job: int) -> bytes:
        """The bytes of the server's own file of a job."""
        built = self.world.file_of(self.world.jobs[job])
        assert built is not None
        return built.path.read_bytes()

    def recorded(self, record: RunRecord) -> None:
        """Assert that archive and catalog tell the same of this run, and that nothing of it is a secret."""
        name = record_name(record.id)
        data = self.archive.backend.get(name)
        assert records.decode(data, name) == record
        row = next(row for row in self.catalog.runs(limit=1000) if row.id == record.id)
        assert told(row) == (
            record.ended.value, record.exit_code, record.reason, record.hint, record.snapshot,
            record.bytes_fetched,
        )  # fmt: skip
        for secret in self.secrets():
            assert secret not in data.decode()

    def secrets(self) -> list[str]:
        """Keys, and whole names of export files."""
        keys = [user.api_key for user in self.world.lab.users.values()]
        return [*keys, OTHER_KEY, *(job.zip_name for job in self.world.jobs.values())]

    def assert_end(self, record: RunRecord, ended: Ended, code: Exit, *words: str) -> None:
        """Assert that a run ended so, kept nothing, and tells in short why and what to try."""
        assert (record.ended, record.exit_code, record.snapshot) == (ended, int(code), "")
        assert [word for word in words if word not in record.reason] == []
        assert 0 < len(record.reason) < 500
        assert 0 < len(record.hint) < 300
        assert not record.hint.endswith(".")
        self.recorded(record)

    def assert_tidy(self, record: RunRecord) -> None:
        """Assert that a run that kept something left no open job and no spool."""
        assert self.catalog.jobs.open(record.key) is None
        assert list(self.spool.glob("*")) == []

    def again(self, scope: str = "user", **given: Any) -> RunRecord:
        """One more run, with nothing wrong any more: verified, the server's bytes, and tidy afterwards."""
        self.world.faults.reset()
        record = self.run(scope, **given)
        assert (record.ended, record.reason) == (Ended.VERIFIED, "")
        self.recorded(record)
        self.assert_tidy(record)
        found = self.archive.find(record.snapshot)
        assert self.content(found) == self.served_as(found)
        return record

    def served_as(self, found: Snapshot) -> bytes:
        """The bytes of the server's own file that a snapshot is of."""
        (entry,) = self.archive.entries(found)
        job = self.world.job_of_file(entry.path)
        assert job is not None
        built = self.world.file_of(job)
        assert built is not None
        return built.path.read_bytes()

    def job(self, scope: str = "user") -> InFlight | None:
        """The open job of a scope."""
        return self.catalog.jobs.open(self.engine(scope).key)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)


def told(row: Run) -> tuple[str, int | None, str, str, str, int]:
    """What a catalog row says of a run's end."""
    return row.ended, row.exit_code, row.reason, row.hint, row.snapshot, row.bytes_fetched


def carry(
    engine: Engine,
    *,
    between: Callable[[str], None] = lambda _: None,
    on_status: Callable[[Status], None] = lambda _: None,
) -> RunRecord:
    """A run as the flow makes it, without Prefect. `between` is told what comes next."""
    engine.begin(trigger="cli")
    try:
        between("login")
        engine.login()
        with engine.lease():
            if reason := engine.unchanged():
                return engine.skip(reason, ended=Ended.UNCHANGED)
            between("start")
            job = engine.start()
            between("wait")
            status = engine.wait(job, on_status)
            between("download")
            spooled: SpooledFiles = engine.download(job, status)
            between("keep")
            found = engine.keep(job, status, spooled)
            between("finish")
            kept = engine.finish(job, found)
        between("end")
        return kept
    except Exception as exc:
        return engine.log.fail(exc)


def check(record: RunRecord, name: str) -> Check:
    """The one check of that name."""
    (found,) = [check for check in record.checks if check.name == name]
    return found


def by_name(checks: Iterable[Check]) -> dict[str, str]:
    """Outcome of each check."""
    return {check.name: check.outcome.value for check in checks}


def verified(found: Snapshot) -> bool:
    """Whether a snapshot counts."""
    return found.manifest.draft.quality is Quality.VERIFIED


def make(folder: Path, server: DemoServer) -> Bench:
    """A bench over a running server."""
    clock = TravellingClock(server.world)
    archive = Archive.create(LocalDisk(folder / "archive"), now=clock.now())
    return Bench(folder, server, clock, archive, Catalog.open(folder / "state" / "catalog.db"))
