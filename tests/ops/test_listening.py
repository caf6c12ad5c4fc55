"""Metrics over HTTP: one survey for many askers, and nothing that ends who serves."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows import config
from flows.config import Settings
from flows.making import make_archive
from flows.ops.listening import FRESH_S, Recent, Server, is_loopback, listen, told
from tests.ops.surveys import NOW


class Counted:
    """What is asked each time, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 1000.0
        self.trouble: Exception | None = None
        self.recent = Recent(self.make, lambda: self.now)

    def make(self) -> bytes:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return b"asked %d\n" % self.asked


@contextmanager
def answering(recent: Recent) -> Iterator[int]:
    """A server on loopback, until the end of the block; its port."""
    server = Server(("127.0.0.1", 0), recent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(port: int, path: str = "/metrics") -> tuple[int, str]:
    """Status and text."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def test_a_survey_serves_all_who_ask_within_a_minute() -> None:
    """A second asker, and one who is half a minute later, cost nothing."""
    counted = Counted()
    with answering(counted.recent) as port:
        threads = [threading.Thread(target=get, args=(port,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get(port) == (200, "asked 1\n")
        counted.now += FRESH_S - 1
        assert get(port) == (200, "asked 1\n")
        counted.now += 1
        assert get(port) == (200, "asked 2\n")


def test_trouble_is_an_answer_and_not_the_end() -> None:
    """503 without a word of what went wrong, which is in our log; the next who asks may be luckier."""
    counted = Counted()
    counted.trouble = RuntimeError("/srv/secret/path")
    with answering(counted.recent) as port:
        status, text = get(port)
        assert status == 503
        assert "secret" not in text
        counted.trouble = None
        assert get(port) == (200, "asked 2\n")
        assert get(port, "/")[0] == 404


def test_who_says_nothing_keeps_nobody_waiting() -> None:
    """A connection that is opened and left."""
    counted = Counted()
    with answering(counted.recent) as port, socket.create_connection(("127.0.0.1", port)):
        assert get(port) == (200, "asked 1\n")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A configuration with an empty archive, and metrics on a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "strongroom.toml"
    path.write_text(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
    made = config.load(path)
    make_archive(made, plain=True, now=NOW)
    return made


def test_the_configured_address_answers(settings: Settings) -> None:
    """With what Prometheus reads; the same port a second time is told, and does no harm."""
    address = settings.file.metrics.listen
    assert address is not None
    assert listen(settings) == f"metrics at http://{address}/metrics"

    status, text = get(int(address.rpartition(":")[2]))
    assert status == 200
    names = [family.name for family in text_string_to_metric_families(text)]
    assert "strongroom_packs" in names
    assert listen(settings).startswith(f"no metrics: {address}: ")


def test_nothing_is_opened_that_is_not_asked_for(tmp_path: Path) -> None:
    """Without `[metrics] listen` there is no port."""
    path = tmp_path / "strongroom.toml"
    path.write_text("")

    assert listen(config.load(path)) == ""


def test_an_archive_that_is_gone_is_told_by_raising(settings: Settings) -> None:
    """So that nobody is shown the figures of a disk that is not mounted."""
    (settings.folder / "archive").rename(settings.folder / "away")

    with pytest.raises(Exception, match="no archive"):
        told(settings)


@pytest.mark.parametrize(
    ("host", "only_here"), [("127.0.0.1", True), ("localhost", True), ("10.0.0.1", False), ("backup", False)]
)
def test_loopback(host: str, only_here: bool) -> None:
    """Who can ask there."""
    assert is_loopback(host) is only_here
