"""What the rules' tests look with: requests as they go out, and the moment before a verb of a source.

Nothing is replaced: what is watched happens all the same.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from flows.export import JobRef, Status
from flows.lifecycle import Engine
from flows.sources.base import Source
from flows.sources.client import Answer
from flows.sources.rspace import RSpace
from flows.sources.rspace_scopes import parse_scope
from tests.engine.bench import Bench, Killed, carry


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it went out, and when."""

    at: datetime
    method: str
    url: httpx.URL
    headers: httpx.Headers
    read_timeout_s: float

    @property
    def what(self) -> str:
        """Method and the API's part of the path: `GET jobs`, `POST export`, or `GET file` for any download."""
        if self.url.path.endswith(".zip"):
            return f"{self.method} file"
        return f"{self.method} {self.url.path.removeprefix('/api/v1/').partition('/')[0]}"


class Wire:
    """Everything that sources send, in order."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.sent: list[Sent] = []

    def engine(self, scope: str = "user", **given: Any) -> Engine:
        """A new engine, listened to."""
        engine = self._bench.engine(scope, **given)
        self.listen(self._bench.open_sources[-1])
        return engine

    def listen(self, source: RSpace) -> RSpace:
        """Note what this source sends from now on."""
        client = source._wire._client
        for http in (client._http, client._bare):
            http.event_hooks = {"request": [self._note]}
        return source

    def of(self, what: str) -> list[Sent]:
        """Those of one kind."""
        return [one for one in self.sent if one.what == what]

    def _note(self, request: httpx.Request) -> None:
        timeout = request.extensions["timeout"]["read"]
        self.sent.append(Sent(self._bench.clock.now(), request.method, request.url, request.headers, timeout))


class Watched:
    """A source that does as it does, and tells each verb before it comes."""

    def __init__(self, source: Source, look: Callable[[str], None]) -> None:
        self._source, self._look = source, look

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._source, name)
        if not callable(inner):
            return inner

        def call(*given: Any, **named: Any) -> Any:
            self._look(name)
            return inner(*given, **named)

        return call


def watched(look: Callable[[str], None]) -> Callable[[Source], Source]:
    """For `Bench.engine(wrap=…)`."""
    return lambda source: cast(Source, Watched(source, look))


def altered(path: Path, made: Path, member: str, old: bytes, new: bytes) -> Path:
    """A copy of a ZIP with other text in one member; sound in itself. Fails where the text is not there."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith(f"/{member}"):
                assert old in data
                data = data.replace(old, new)
            target.writestr(info, data)
    return made


def written(bench: Bench, name: str, data: bytes) -> Path:
    """A file beside the configuration."""
    path = bench.folder / name
    path.write_bytes(data)
    return path


def killed_before(bench: Bench, phase: str, **given: Any) -> None:
    """A run of whose process nothing is left before a phase."""

    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine("user", **given), between=between)


def answer(status: str = "COMPLETED", checksum: str = "1") -> Answer:
    """What RSpace says of a job, in its own layout (section 2)."""
    link = {"link": "https://eln.example/api/v1/export/RSpace-2026.zip", "rel": "enclosure"}
    result = {"expiryDate": "2026-08-23T17:19:44.123Z", "size": 5, "checksum": checksum, "algorithm": "CRC32"}
    good = status == "COMPLETED"
    body = {
        "id": 23,
        "status": status,
        "percentComplete": 100.0 if good else -1.0,
        "result": result if good else None,
        "_links": [link] if good else [],
    }
    return Answer(200, {}, json.dumps(body).encode())


def ready(bench: Bench, source: RSpace) -> tuple[JobRef, Status]:
    """An export of the credential's own work, started and finished without an engine."""
    intent = source.prepare(parse_scope("user"), source.login(), now=bench.clock.now())
    ref = source.start(intent, now=bench.clock.now())
    bench.world.advance(60)
    return ref, source.poll([ref])[ref.key]
