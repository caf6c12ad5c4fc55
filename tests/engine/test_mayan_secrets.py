"""A server that repeats what it was sent: no secret comes back out of its refusals, and data stay as they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.errors import SourceError
from flows.sources.base import Connection
from flows.sources.mayan import Mayan

TOKEN = "0123456789abcdef0123456789abcdef01234567"


class Parrot(BaseHTTPRequestHandler):
    """Gives a token for a password, a list whose label is the password, and else refuses with what it heard."""

    def do_GET(self) -> None:
        if "/tags/" in self.path:
            self.say(200, {"count": 1, "next": None, "results": [{"label": "word"}]})
        else:
            self.say(403, {"detail": f"refused: {dict(self.headers)} word"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(200, {"token": TOKEN})

    def say(self, status: int, answer: object) -> None:
        """One JSON answer."""
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("secrets", "login"),
    [
        ({"token": TOKEN}, ""),
        ({"session": TOKEN}, ""),
        ({"username": "ada", "password": "word"}, ""),
        ({"username": "ada", "password": "word"}, "basic"),
    ],
)
def test_a_refusal_repeats_no_secret(url: str, secrets: dict[str, str], login: str) -> None:
    """Neither the configured ones nor those made of them: the token that was obtained, the header of Basic."""
    source = Mayan(Connection(url=url, secrets=secrets, login=login, requests_per_s=0))

    with pytest.raises(SourceError) as caught:
        source.login()

    said = f"{caught.value} {caught.value.hint}"
    assert "***" in said
    assert not [secret for secret in (TOKEN, "YWRhOndvcmQ=") if secret in said]
    assert "password" not in secrets or not said.rstrip().endswith("word")
    source.close()


def test_what_is_no_refusal_stays_as_it_is(url: str) -> None:
    """A password may be a word of a label."""
    source = Mayan(Connection(url=url, secrets={"username": "ada", "password": "word"}, requests_per_s=0))

    assert list(source.wire.rows("/tags/")) == [{"label": "word"}]
    source.close()
