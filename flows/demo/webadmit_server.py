"""WebAdMIT on two ports: the API, which takes control commands as well, and the object store of its links."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from flows.demo import webadmit_control, webadmit_store
from flows.demo.message import Request, Response
from flows.demo.server import Listener
from flows.demo.webadmit import WebAdmit, kind_of
from flows.demo.webadmit_office import DIRECTOR
from flows.demo.webadmit_world import Admissions


class Seen(NamedTuple):
    """One request and its answer."""

    kind: str  # see webadmit.py; "object" at the store
    method: str
    path: str  # without query
    status: int  # 0: the connection was cut instead
    key: str  # the x-api-key as it was sent


class WebAdmitServer:
    """An admissions world on two ports. It can stand alone, or beside a `DemoServer` by sharing its clock.

    Usable as a context manager; leaving it closes both ports and cuts open connections.
    """

    def __init__(self, world: Admissions | None = None, port: int = 0) -> None:
        self.world = world if world is not None else Admissions()
        self.requests: list[Seen] = []  # to the API, everything but control, in the order of the answers
        self.store_requests: list[Seen] = []
        self._closing = threading.Event()
        self.world.wait = self._closing.wait
        self.dialect = WebAdmit(self.world)
        self._api = Listener(port, self._answer, self.world.server_now, "nginx")
        self._store = Listener(0, self._answer_store, self.world.server_now, "AmazonS3")
        self.url = self._api.url
        self.store_url = self.world.store_origin = self._store.url

    def start(self) -> Self:
        self._api.start()
        self._store.start()
        return self

    def close(self) -> None:
        self._closing.set()
        self._api.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def count(self, kind: str) -> int:
        """How many requests of a kind there were so far, at the API or (kind "object") at the store."""
        return sum(1 for seen in [*self.requests, *self.store_requests] if seen.kind == kind)

    def announce(self) -> dict[str, Any]:
        """What somebody needs to use this server: addresses, the director's key, where to steer it."""
        return {
            "url": self.url,
            "store_url": self.store_url,
            "api_key": self.world.keys[DIRECTOR],
            "keys": dict(self.world.keys),
            "control": f"{self.url}/demo/control",
        }

    def _answer(self, request: Request) -> Response:
        if request.path.startswith("/demo/"):
            shown = {"requests": self._log, "report": self._report, "announce": self.announce}
            return webadmit_control.handle(self.world, request, shown)
        answer = self.dialect.handle(request)
        self.requests.append(_seen(kind_of(request), request, answer))
        return answer

    def _answer_store(self, request: Request) -> Response:
        answer = webadmit_store.handle(self.world, request)
        self.store_requests.append(_seen("object", request, answer))
        return answer

    def _log(self) -> dict[str, Any]:
        both = {"requests": self.requests, "store": self.store_requests}
        return {name: [seen._asdict() for seen in list(rows)] for name, rows in both.items()}

    def _report(self) -> dict[str, Any]:
        kinds = Counter(seen.kind for seen in [*self.requests, *self.store_requests])
        return webadmit_control.report(self.world, dict(kinds))


def _seen(kind: str, request: Request, answer: Response) -> Seen:
    status = 0 if answer.drop else answer.status
    return Seen(kind, request.method, request.path, status, request.headers.get("x-api-key", ""))
