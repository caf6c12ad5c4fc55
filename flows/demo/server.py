"""The HTTP shell of the demo server: sockets, threads, keep-alive, sending files, cutting connections.

What is answered is decided elsewhere (rspace, foreign, control); nothing here knows an address of RSpace.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from flows.demo import control, foreign
from flows.demo.message import Request, Response
from flows.demo.rspace import RSpace
from flows.demo.world import World

_HOST = "127.0.0.1"
_DRIP = 4096  # bytes of a piece that is sent by itself

Seen = tuple[str, str, bool, int]  # method, path without query, credentials sent, status (0: dropped)
Handle = Callable[[Request], Response]


class DemoServer:
    """A world on two ports: `url` speaks RSpace and takes control commands, `foreign_url` is the bucket.

    Usable as a context manager; leaving it closes both ports, cuts open connections, deletes the archives.
    """

    def __init__(self, world: World | None = None, port: int = 0) -> None:
        self.world = world if world is not None else World()
        self.requests: list[Seen] = []  # everything but control, in the order of arrival of the answers
        self.foreign_requests: list[Seen] = []
        self._closing = threading.Event()
        self.world.wait = self._closing.wait
        self._rspace = RSpace(self.world)
        self._main = Listener(port, self._answer, self.world.now)
        self._bucket = Listener(0, self._answer_foreign, self.world.now)
        self.url = self._main.url
        self.foreign_url = self.world.foreign_origin = self._bucket.url

    def start(self) -> Self:
        for listener in (self._main, self._bucket):
            listener.start()
        return self

    def close(self) -> None:
        self._closing.set()
        for listener in (self._main, self._bucket):
            listener.close()
        self.world.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, request: Request) -> Response:
        if request.path.startswith("/demo/"):
            return control.handle(self.world, request, self._log())
        answer = self._rspace.handle(request)
        self.requests.append(_seen(request, answer))
        return answer

    def _answer_foreign(self, request: Request) -> Response:
        answer = foreign.handle(self.world, request)
        self.foreign_requests.append(_seen(request, answer))
        return answer

    def _log(self) -> dict[str, Any]:
        names = ("method", "path", "has_key", "status")
        both = {"requests": self.requests, "foreign": self.foreign_requests}
        return {key: [dict(zip(names, row, strict=True)) for row in list(rows)] for key, rows in both.items()}


def _seen(request: Request, answer: Response) -> Seen:
    return (request.method, request.path, request.has_credentials, 0 if answer.drop else answer.status)


class Listener(ThreadingHTTPServer):
    """One port and its threads. Remembers open connections, so that closing does not wait for idle clients.

    `software` is what it calls itself in the header `Server`.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, handle: Handle, now: Callable[[], datetime], software: str = "Apache") -> None:
        super().__init__((_HOST, port), _Connection)
        self.software = software
        self.handle_value = handle
        self.now = now
        self.url = f"http://{_HOST}:{self.server_address[1]}"
        self.open_sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        for connection in list(self.open_sockets):
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a mistake of ours and must be seen."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.connection)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        request = self._request()
        self._send(request, self.server.handle_value(request))

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        origin = f"http://{headers.get('host', self.server.url.removeprefix('http://'))}"
        return Request(self.command, unquote(parts.path), parts.query, headers, body, origin)

    def _send(self, request: Request, answer: Response) -> None:
        if answer.drop:
            self._hang_up()
            return
        length = len(answer.body)
        if answer.file is not None:
            length = answer.file.stat().st_size - answer.offset
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        if answer.length is None:
            self.send_header("Content-Length", str(length))
        else:
            self._tell_length(answer.length)
        self.end_headers()
        if request.method == "HEAD":
            return
        sent = length if answer.cut_after is None else min(length, answer.cut_after)
        if answer.pause is not None:
            self._drip(answer.body[:sent], answer.pause)
        elif answer.file is None:
            self.wfile.write(answer.body[:sent])
        elif sent:  # sendfile takes 0 for everything
            self.wfile.flush()
            with answer.file.open("rb") as source:
                self.connection.sendfile(source, answer.offset, sent)
        if sent < length or answer.length is not None:
            self._hang_up()

    def _tell_length(self, length: int) -> None:
        """Not the truth: the connection ends with this answer."""
        self.send_header("Connection", "close")
        if length:
            self.send_header("Content-Length", str(length))

    def _drip(self, body: bytes, pause: Callable[[], object]) -> None:
        for start in range(0, len(body), _DRIP):
            pause()
            self.wfile.write(body[start : start + _DRIP])
            self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header tells the world's time, not the computer's."""
        return super().date_time_string(self.server.now().timestamp() if timestamp is None else timestamp)

    def version_string(self) -> str:
        return self.server.software

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are in `DemoServer.requests`; stderr stays quiet."""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)
