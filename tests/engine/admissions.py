"""A minimal admissions office on loopback: what WebAdMIT's client is asked to bear that no value can show.

Two servers, as there are two: the system, which knows the key, and the store, which must never see it. What they
say is scripted by the tests; there is no more of the system in them than the requests of one night.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flows import config
from flows.credentials import connection
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.webadmit import WebAdMIT
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.records import RunRecord
from storage.snapshot import Snapshot
from tests.engine.bench import carry

KEY = "0123456789abcdef0123456789abcdef"
CSV = b'"CAS ID","Name"\r\n' + b"".join(b'"%d","M\xfcller"\r\n' % number for number in range(200))
EXPIRED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str  # with its query
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer; a Content-Length among `headers` is sent as it is, or not at all where it is empty."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: Any, **headers: str) -> Reply:
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class Desk:
    """A server that answers by `answer`, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Asked], Reply], clock: Clock) -> None:
        self.answer = answer
        self.seen: list[Asked] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # heading and body are two writes

            def _any(self) -> None:
                length = int(self.headers.get("content-length", 0))
                names = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, names, self.rfile.read(length))
                desk.seen.append(asked)
                reply = desk.answer(asked)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = "Content-Length" in reply.headers

            do_GET = do_POST = do_CONNECT = _any

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(clock.now(), usegmt=True)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Run:
    """A run of an export: what each look at it says, the last word for ever."""

    id: int
    export: int
    words: list[str]
    link: bool = True
    looked: int = 0

    def look(self) -> str:
        self.looked += 1
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]


class Clock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)

    def dice(self) -> float:
        return 0.5


class Office:
    """One identity with two exports and a PDF template, its runs, and the files in the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.api, self.store = Desk(self._api, self.clock), Desk(self._store, self.clock)
        self.key = KEY
        self.identities: list[dict[str, Any]] = [
            {"id": 42, "type": "Admissions User", "association": "SampleCAS", "organization": "Sample University",
             "cycle": "2025 - 2026", "more": 1},
        ]  # fmt: skip
        self.exports: list[dict[str, Any]] = [
            {"id": 7, "name": "Nightly", "list_type": "all", "format": "Comma-Separated Values",
             "mime_type": "text/csv;charset=iso-8859-1"},
            {"id": 8, "name": "Clip", "list_type": "clipboard", "format": "Comma-Separated Values",
             "mime_type": "text/csv;charset=iso-8859-1"},
        ]  # fmt: skip
        self.runs: dict[int, Run] = {}
        self.script = ["In Progress", "Available"]  # of the next run
        self.files = [CSV]
        self.post_status = 201
        self.lies: dict[str, Callable[[Asked], Reply | None]] = {}  # by a part of the path; None: the truth
        self.kept: Callable[[Asked], Reply | None] = lambda _: None  # the store's lie
        self.links = 0
        self.archive = Archive.create(LocalDisk(folder / "archive"), now=self.clock.now())
        self.catalog = Catalog.open(folder / "state" / "catalog.db")
        self.table: dict[str, Any] = {}
        self._sources: list[WebAdMIT] = []

    def close(self) -> None:
        for source in self._sources:
            source.close()
        self.api.close()
        self.store.close()
        self.catalog.close()

    def begin(self, *words: str, export: int = 7, link: bool = True) -> Run:
        """A run, by whomever."""
        run = Run(100 + len(self.runs), export, list(words or self.script), link)
        self.runs[run.id] = run
        return run

    # -- the client's side

    def source(self, *, scope: str = 'export = "Nightly"') -> WebAdMIT:
        settings = self._settings(scope)
        link = connection(settings, settings.source("admissions"))
        made = WebAdMIT(link, sleep=self.clock.sleep, monotonic=self.clock.seconds)
        self._sources.append(made)
        return made

    def run(self, *, scope: str = 'export = "Nightly"') -> RunRecord:
        """One night."""
        settings = self._settings(scope)
        table = settings.source("admissions")
        (wanted,) = table.scopes()
        plan = Plan(table, wanted, settings.policy("admissions", wanted.name), table.pace())
        places = Places(self.archive, self.catalog, self.folder / "state" / "spool", (KEY,))
        return carry(Engine(plan, self.source(scope=scope), places, self.clock))

    def snapshot(self, record: RunRecord) -> Snapshot:
        return self.archive.find(record.snapshot)

    def content(self, record: RunRecord) -> dict[str, bytes]:
        """The files of a run's snapshot, out of the archive."""
        found = self.snapshot(record)
        reader = self.archive.reader(found)
        return {entry.path: b"".join(reader.chunks(entry)) for entry in self.archive.entries(found)}

    def posts(self) -> list[Asked]:
        return [asked for asked in self.api.seen if asked.method == "POST"]

    def _settings(self, scope: str) -> config.Settings:
        (self.folder / "key").write_text(self.key)
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.table.items())
        path = self.folder / "strongroom.toml"
        path.write_text(
            f'[[source]]\nname = "admissions"\nsystem = "webadmit"\nurl = "{self.api.url}"\n'
            f'api_key = {{ file = "key" }}\n{lines}[[source.scope]]\n{scope}\n'
        )
        return config.load(path)

    # -- the system

    def _api(self, asked: Asked) -> Reply:
        for part, lie in self.lies.items():
            if part in asked.path and (told := lie(asked)) is not None:
                return told
        if asked.headers.get("x-api-key") != KEY:
            return Reply(401)
        path = asked.path.removeprefix("/api/v1")
        if path == "/user_identities":
            return Reply.of(200, {"href": asked.path, "user_identities": self.identities})
        if path.endswith("/42/exports"):
            return Reply.of(200, {"href": asked.path, "exports": self.exports})
        if path.endswith("/pdf_manager_templates"):
            return Reply.of(200, {"pdf_manager_templates": [{"id": 7, "name": "Documents", "list_name": "All"}]})
        if path.endswith("/pdf_manager_batches") and asked.method == "POST":
            return self._posted({"pdf_manager_batch": {"pdf_manager_template_id": 7}}, asked)
        if path.endswith("/exports/7/export_files") and asked.method == "POST":
            return self._posted(None, asked)
        if path.endswith(("/42/export_files", "/42/pdf_manager_batches")):
            name = path.rpartition("/")[2]
            return Reply.of(200, {name: [self._row(run, run.words[0], name) for run in self.runs.values()]})
        if found := re.fullmatch(r"/(?:exports/7|user_identities/42)/(\w+)/(\d+)", path):
            run = self.runs.get(int(found[2]))
            if run is not None:
                return self._told(run, found[1])
        if found := re.fullmatch(r"/user_identities/42/pdf_manager_zip_files/(\d+)/download", path):
            return Reply(302, headers={"Location": self._link(int(found[1]))})
        return Reply.of(404, {"message": "Not Found"})

    def _posted(self, wrapped: Any, asked: Asked) -> Reply:
        if wrapped is not None and json.loads(asked.body) != wrapped:
            return Reply.of(422, {"errors": {"schema": ["pdf_manager_batch is missing"]}})
        running = [run for run in self.runs.values() if run.words[0] in ("Queued", "In Progress", "in_progress")]
        run = running[0] if running else self.begin()
        name = "export_files" if wrapped is None else "pdf_manager_batch"
        word = run.look() if running else run.words[0]
        return Reply.of(self.post_status, {name: self._row(run, word, name)})

    def _row(self, run: Run, word: str, name: str) -> dict[str, Any]:
        if name.startswith("pdf"):
            href = f"/api/v1/user_identities/42/pdf_manager_batches/{run.id}"
            return {"href": href, "id": run.id, "state": word, "pdf_manager_template": {"id": run.export}}
        href = f"/api/v1/exports/{run.export}/export_files/{run.id}"
        trap = f"{self.store.url}/the-last-field"
        return {"id": run.id, "href": href, "export_id": run.export, "status": word, "zz_new": trap}

    def _told(self, run: Run, name: str) -> Reply:
        row = self._row(run, run.look(), name)
        word = str(row.get("status", row.get("state"))).lower()
        done = word.startswith(("available", "success")) and run.link
        if name == "export_files":
            return Reply.of(200, {name: {**row, **({"download_url": self._link(1)} if done else {})}})
        above = "/api/v1/user_identities/42/pdf_manager_zip_files"
        row["download_hrefs"] = [f"{above}/{n}/download" for n in range(len(self.files), 0, -1)] if done else []
        return Reply.of(200, {"pdf_manager_batch": row})

    def _link(self, number: int) -> str:
        self.links += 1
        query = f"Signature=secret%2Fnumber{self.links}&x=%22a.csv%22"
        return f"{self.store.url}/export_files/{number}_original.txt?{query}"

    # -- the store

    def _store(self, asked: Asked) -> Reply:
        told = self.kept(asked)
        return self.file(asked) if told is None else told

    def file(self, asked: Asked, *, etag: bool = True) -> Reply:
        """As a store gives it: whole, or from an offset where its name is still the same."""
        data = self.files[int(asked.path.partition("_original")[0].rpartition("/")[2]) - 1]
        name = f'"{hashlib.md5(data).hexdigest()}"'  # noqa: S324  # as stores do
        headers = {"ETag": name} if etag else {}
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        if wanted is None or asked.headers.get("if-range") != name:
            return Reply(200, data, headers)
        at = int(wanted[1])
        if at >= len(data):
            return Reply(416)
        return Reply(206, data[at:], {**headers, "Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})
