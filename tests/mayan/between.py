"""What stands between a client and its server: it can lose, cut, change and refuse, and act before an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeAlias

import httpx

Fate: TypeAlias = Literal["pass", "lose question", "lose answer", "cut answer", "refuse"]
HOP = ("connection", "transfer-encoding", "content-encoding", "keep-alive", "date", "server")
SIZE = "content-length"


class Between(ThreadingHTTPServer):
    """Hands on what comes to `url`. Small bodies only: they are held in memory."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = url
        self.asked: list[tuple[str, str]] = []  # method and path, without the query, of all that came
        self.fate: Callable[[str, str], Fate] = lambda _method, _path: "pass"
        self.alter: Callable[[str, str, bytes], bytes] = lambda _method, _path, body: body

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def exports(self) -> int:
        """How often one was asked for."""
        return sum(method == "POST" and path.endswith("/export/") for method, path in self.asked)


class Handler(BaseHTTPRequestHandler):
    server: Between

    def handle_any(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, path))
        fate = self.server.fate(self.command, path)
        self.close_connection = True
        if fate == "lose question":
            return
        if fate == "refuse":  # as a proxy does: 401, and no word why
            self.send_response(401)
            self.send_header(SIZE, "0")
            self.end_headers()
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in (*HOP, "host")}
        answer = httpx.request(
            self.command, self.server.target + self.path, content=body, headers=headers, timeout=60
        )
        if fate == "lose answer":
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in (*HOP, SIZE):
                self.send_header(name, value)
        body = self.server.alter(self.command, path, answer.content)
        size = answer.headers.get(SIZE) if self.command == "HEAD" else str(len(body))
        if size is not None and answer.status_code != 204:
            self.send_header(SIZE, size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if fate == "cut answer" else body)

    do_GET = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def between(url: str) -> Iterator[Between]:
    """While the context lasts."""
    with Between(url) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
