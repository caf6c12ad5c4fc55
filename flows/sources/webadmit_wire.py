"""WebAdMIT over HTTP: the key, how much it may be used, what errors mean, the shape of answers.

Facts: contract webadmit.md sections A2 and A3. The key goes to the configured address alone: links to files are
opened by a client that does not know it (`webadmit_link.py`).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flows.errors import ConfigError, RequestWrong, SourceRefused, SourceUnavailable, SourceUnexpected
from flows.sources.base import Connection
from flows.sources.client import Answer, Client
from flows.sources.webadmit_budget import Budget, over, retry_after_s

API = "/api/v1"
MAX_TEXT = 300  # characters of a text in our messages


class Wire:
    """One key on one server."""

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if urlsplit(connection.url).scheme != "https" and not local(connection.url):
            raise ConfigError(
                f"url {connection.url!r}: WebAdMIT is asked by https alone: its key must not be read"
            )
        self._connection = connection
        self._secrets = connection.secrets
        self._ever = set(connection.secrets.values())
        self.client = Client(connection, _headers(connection.secrets))
        self._sleep, self._monotonic = sleep, monotonic
        self.budget = Budget(connection.requests_per_s, at=monotonic())

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    def get(self, path: str) -> Answer:
        """An answer of 200. Raises what `refusal` says of any other."""
        answer = self.ask(path)
        if answer.status != 200:
            raise refusal(answer)
        return answer

    def ask(self, path: str) -> Answer:
        """The answer to a GET, whatever its status, but for a dead key and a used-up allowance."""
        return self._admitted(lambda: self.client.get(path, sleep=self._sleep))

    def post(self, path: str, body: Any = None) -> Answer:
        """The answer to a POST, sent once. Raises SourceUnavailable: then nobody knows whether it arrived."""
        timeout_s = self._connection.start_timeout_s
        return self._admitted(lambda: self.client.send("POST", path, json=body, timeout_s=timeout_s))

    def _admitted(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, within the budget, and with a new key where the old one has died meanwhile."""
        answer = self._counted(ask)
        if answer.status == 401 and self._connection.renew is not None:
            fresh = self._connection.renew()
            if fresh != self._secrets:
                self._secrets = fresh
                self._ever |= set(fresh.values())
                self.client.headers = _headers(fresh)
                answer = self._counted(ask)
        if answer.status == 401 or over(answer.status, answer.headers):
            raise refusal(answer)
        return answer

    def _counted(self, ask: Callable[[], Answer]) -> Answer:
        wait_s = self.budget.wait_s(self._monotonic())
        if wait_s:
            self._sleep(wait_s)
        self.budget = self.budget.spent(self._monotonic())
        answer = ask()
        self.budget = self.budget.told(answer.headers)
        return self._cut(answer)

    def _cut(self, answer: Answer) -> Answer:
        """A refusal without any key that was ever sent: servers repeat them, and messages repeat servers."""
        body = answer.body
        for secret in self._ever if answer.status >= 400 else ():
            body = body.replace(secret.encode(), b"***")
        return replace(answer, body=body)


def _headers(secrets: Mapping[str, str]) -> dict[str, str]:
    return {"x-api-key": secrets["api_key"]}


def local(url: str) -> bool:
    """Whether an address is this machine's own: tests and the demo speak http there."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(answer: Answer) -> Exception:
    """What an answer means that is no success. A 401 has no body, and a proxy's has a web page."""
    said = message(answer)
    tail = f": {said}" if said else ""
    if over(answer.status, answer.headers):
        wait_s = retry_after_s(answer.headers, answer.date)
        told = f"; it asks to wait {wait_s:.0f} s" if "retry-after" in answer.headers else ""
        return SourceUnavailable(
            f"WebAdMIT: the key's requests of this hour are used up{told}",
            sent=False,
            retry_after_s=wait_s,
            hint="another program may use the same key; ask less often, or give each its own user",
        )
    match answer.status:
        case 401:
            return SourceRefused(
                "WebAdMIT refuses the API key",
                hint="who makes a new key in WebAdMIT ends the old one at once; put the new one in its place",
            )
        case 403:
            return SourceRefused(
                f"WebAdMIT refuses what was asked{tail}", hint='check the identity\'s permission "API Access"'
            )
        case 404 if answer.json() is not None:
            return SourceRefused(
                f"WebAdMIT: not there{tail}", hint="its identity or export is gone, perhaps to a new cycle"
            )
        case 404:
            return SourceUnexpected("WebAdMIT answers 404 with a web page", hint="check url")
        case 400 | 422:
            return RequestWrong(f"WebAdMIT refuses the request{tail or f' ({answer.status})'}")
        case code if code >= 500:
            return SourceUnavailable(f"WebAdMIT answers {code}{tail}", answered=True)
        case code:
            return SourceUnexpected(f"WebAdMIT answers {code}{tail}", hint="check url: it leads somewhere else")


def message(answer: Answer) -> str:
    """What an error says of itself, in one line; "" for a web page and for no body at all."""
    body = answer.json() if answer.body else None
    if not isinstance(body, dict):
        return ""
    found = [body.get("message")]
    errors = body.get("errors")
    for group in errors.values() if isinstance(errors, dict) else ():
        found += group[:5] if isinstance(group, list) else [group]
    return "; ".join(plain(text) for text in found if isinstance(text, str) and text.strip())[:400]


def plain(text: str) -> str:
    """A text of the server's for our messages: one line, bounded."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:2000]).split())[:MAX_TEXT]
