"""Answers who asks for the metrics over HTTP, while `serve` runs.

Nothing here ends the process that it is in: where a survey fails, the answer is 503, the reason is logged, and
Prometheus says `up == 0`. Metrics hold no secret, and names of scopes.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flows.clock import SystemClock
from flows.config import Settings
from flows.ops import metrics
from flows.ops.surveying import known

FRESH_S = 60.0  # so old may an answer be: a survey reads all manifests
SILENT_S = 30.0  # who has not asked by then is not waited for
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


def listen(settings: Settings) -> str:
    """Answer at `[metrics] listen` from a thread of this process, until it ends.

    Returns a sentence to say; "" where nothing is configured. A port that cannot be had is told in it, and costs
    nothing else.
    """
    address = settings.file.metrics.listen
    if address is None:
        return ""
    host, _, port = address.rpartition(":")
    try:
        server = Server((host, int(port)), Recent(lambda: told(settings)))
    except (OSError, OverflowError) as exc:
        return f"no metrics: {address}: {exc.strerror if isinstance(exc, OSError) else exc}"
    threading.Thread(target=_serve, args=(server,), name="metrics", daemon=True).start()
    return f"metrics at http://{address}/metrics"


def told(settings: Settings) -> bytes:
    """The metrics as they are now, as text. Raises ConfigError, StorageError, OSError. Retry: yes."""
    return metrics.text(*known(settings, now=SystemClock().now()))


def is_loopback(host: str) -> bool:
    """Whether only this machine can ask there; False for a name that is not localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Recent:
    """What `make` gives, made anew when it is older than `FRESH_S`; one at a time, however many ask."""

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._lock = threading.Lock()
        self._at: float | None = None
        self._told = b""

    def get(self) -> bytes:
        """Raises what `make` raises; then the next call tries again."""
        with self._lock:
            if self._at is None or self._clock() - self._at >= FRESH_S:
                self._told = self._make()
                self._at = self._clock()
            return self._told


class Server(ThreadingHTTPServer):
    """Each asker has a thread of its own, so that one who is silent keeps nobody waiting."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], recent: Recent) -> None:
        """Raises OSError where the port cannot be had."""
        self.recent = recent
        super().__init__(address, _Answer)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked has gone: nothing to tell."""


class _Answer(BaseHTTPRequestHandler):
    timeout = SILENT_S
    server: Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._send(404, "text/plain; charset=utf-8", b"the metrics are at /metrics\n")
            return
        try:
            text = self.server.recent.get()
        except Exception as exc:  # whatever it is: `serve` goes on. The reason is for who reads our log
            log.warning("metrics: %s: %s", type(exc).__name__, exc)
            self._send(503, "text/plain; charset=utf-8", b"there are none now: the log of `serve` says why\n")
            return
        self._send(200, CONTENT_TYPE, text)

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it would be a line each minute."""


def _serve(server: Server) -> None:
    # `serve` waits for these two in a thread of its own, or in its main one: no thread of ours may take them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    server.serve_forever()
