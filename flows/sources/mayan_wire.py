"""Mayan EDMS over HTTP: who we are, how fast we may ask, what its errors mean, lists by the page.

Knows paths of nothing in particular. Facts: contract mayan.md section 2.
"""

from __future__ import annotations

import base64
import secrets as random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, BinaryIO

from flows.errors import FileGone, RequestWrong, SourceRefused, SourceUnavailable, SourceUnexpected
from flows.sources.base import Connection, Download
from flows.sources.client import Answer, Client

API = "/api/v4"
PAGE = 100  # rows of a list at once, the most that there are
MAX_ROWS = 10_000_000  # of a list: more is a server that does not stop
TRIES = 6  # of a request that is refused for its rate: a refused one has no effect
RATE = 8.0  # requests a second: 4.10 and 4.11 allow ten
MAX_WAIT_S = 60  # whatever a server says

Row = Mapping[str, Any]


class Missing(FileGone):
    """404: it is not there, or not for this user to see; Mayan says the same of both. Retry: no."""


class Wire:
    """One credential on one server."""

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._client = Client(connection, {})
        self._sleep, self._monotonic = sleep, monotonic
        rate = RATE if connection.requests_per_s is None else connection.requests_per_s
        self._gap_s = 1 / rate if rate else 0.0
        self._next_at = 0.0
        self._known = False  # whether the client's headers say who we are
        self._ever = {secret for name, secret in connection.secrets.items() if name != "username"}
        self.requests = 0  # that were sent, for who counts them

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """An answer of 200 that is JSON. Raises what `refusal` says of any other."""
        answer = self.ask(path, params)
        if answer.status != 200:
            raise refusal(answer, path)
        if answer.json() is None:
            raise SourceUnexpected(f"Mayan EDMS: {path} answers with something else than JSON")
        return answer

    def ask(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET, whatever its status."""
        self._identify()
        return self._admitted(lambda: self._client.get(API + path, params, sleep=self._sleep))

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, BinaryIO]] | None = None,
    ) -> Answer:
        """The answer to anything that changes the server, sent once; again where its rate refused it."""
        self._identify()
        headers = self._csrf() if "session" in self._connection.secrets else {}
        timeout_s = self._connection.start_timeout_s

        def once() -> Answer:
            for _, stream in (files or {}).values():
                stream.seek(0)
            return self._client.send(
                method, API + path, json=json, form=form, files=files, headers=headers, timeout_s=timeout_s
            )

        return self._admitted(once)

    @contextmanager
    def stream(self, path: str, refuse: Callable[[Answer], Exception]) -> Iterator[Download]:
        """A file, as `Client.stream`, asked for again where the rate refused it."""
        self._identify()

        def refused(answer: Answer) -> Exception:
            return throttled(answer) if answer.status == 429 else refuse(self._cut(answer))

        with ExitStack() as stack:
            for left in reversed(range(TRIES)):
                self._wait()
                try:
                    opened = stack.enter_context(self._client.stream(API + path, accept="*/*", refuse=refused))
                    break
                except SourceUnavailable as exc:
                    if exc.retry_after_s is None or not left:
                        raise
                    self._sleep(exc.retry_after_s)
            yield opened

    @property
    def credential(self) -> str:
        """What it is, for messages."""
        given = self._connection.secrets
        return next((name for name in ("token", "session") if name in given), "user name and password")

    def count(self, path: str, params: Mapping[str, str] | None = None) -> int:
        """How many rows a list has."""
        found: int = member(self.get(path, {**(params or {}), "page_size": "1"}), "count", int)
        return found

    def rows(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[Row]:
        """A list, page after page. Raises SourceUnexpected for a page that is none."""
        for number in range(1, MAX_ROWS // PAGE):
            answer = self.get(path, {**(params or {}), "page": str(number), "page_size": str(PAGE)})
            page = rows_of(answer, path)
            yield from page
            if member(answer, "next", str, optional=True) is None:
                return
        raise SourceUnexpected(f"Mayan EDMS: {path} is a list that does not end")

    def by_id(self, path: str, params: Mapping[str, str] | None = None, *, above: int = 0) -> Iterator[Row]:
        """A list in the order of its ids, those beyond `above`: every row that is there all the time, once.

        The filters of lists (`filter_id`) are not used: Mayan answers them from its search index and from kept
        results, which lag behind. Raises as `rows`.
        """

        def page(number: int, size: int) -> list[Row]:
            query = {**(params or {}), "_ordering": "id", "page": str(number), "page_size": str(size)}
            try:
                return rows_of(self.get(path, query), path)
            except Missing:
                if number == 1:
                    raise
                return []  # rows went, and there is no such page any more

        return (row for row in in_order(page) if value(row, "id", int) > above)

    # -- who we are

    def _identify(self) -> None:
        if self._known:
            return
        given = self._connection.secrets
        if "token" in given:
            self._client.headers = {"Authorization": f"Token {given['token']}"}
        elif "session" in given:
            self._client.headers = {"Cookie": f"sessionid={given['session']}"}
        elif self._connection.login == "basic":
            both = f"{given['username']}:{given['password']}".encode()
            self._client.headers = {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
            self._ever.add(base64.b64encode(both).decode())
        else:
            self._client.headers = {"Authorization": f"Token {self._obtain(given)}"}
        self._known = True

    def _obtain(self, given: Mapping[str, str]) -> str:
        """The user's token: always the same one, which never ends."""
        body = {"username": given["username"], "password": given["password"]}
        answer = self._admitted(
            lambda: self._client.send(
                "POST",
                f"{API}/auth/token/obtain/?format=json",
                json=body,
                timeout_s=self._connection.read_timeout_s,
            )
        )
        if answer.status == 400:
            raise SourceRefused("Mayan EDMS does not know this user name and password")
        if answer.status != 200:
            raise refusal(answer, "/auth/token/obtain/")
        token: str = member(answer, "token", str)
        self._ever.add(token)
        return token

    def _csrf(self) -> dict[str, str]:
        """Django takes any value that comes twice, as cookie and as header, from a page of its own."""
        value = random.token_hex(16)
        cookie = f"sessionid={self._connection.secrets['session']}; csrftoken={value}"
        return {"Cookie": cookie, "X-CSRFToken": value, "Referer": self._client.base + "/"}

    # -- how fast

    def _admitted(self, ask: Callable[[], Answer]) -> Answer:
        for _ in range(TRIES - 1):
            self._wait()
            answer = self._cut(ask())
            if answer.status != 429:
                return answer
            self._sleep(retry_after_s(answer))
        self._wait()
        return self._cut(ask())

    def _cut(self, answer: Answer) -> Answer:
        """A refusal without any secret that was sent: servers repeat them, and messages repeat servers.

        What is no refusal is data: a short password may be a word of a document's.
        """
        body = answer.body
        for secret in self._ever if answer.status >= 400 else ():
            body = body.replace(secret.encode(), b"***")
        return replace(answer, body=body)

    def _wait(self) -> None:
        now = self._monotonic()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + self._gap_s
        self.requests += 1


def in_order(page: Callable[[int, int], list[Row]]) -> Iterator[Row]:
    """The rows of a list that is in the order of its ids. `page`: that of this number, from 1, and size.

    Each page begins at or before the last row that was seen. One that does not shows that rows before it went and
    those behind it moved up: some may stand before this page, and an earlier one is asked for. Raises
    SourceUnexpected for a list in another order.
    """
    last, end = 0, 1  # the last id that was seen, and its place, from 1
    while True:
        number, size = window(end)
        rows = page(number, size)
        ids = [value(row, "id", int) for row in rows]
        if ids != sorted(ids):
            raise SourceUnexpected("Mayan EDMS: a list that is not in the order of its ids")
        begin = (number - 1) * size
        if begin and (not ids or ids[0] > last):
            end = max(begin - PAGE, 1)
            continue
        for found, row in zip(ids, rows, strict=True):
            if found > last:
                last = found
                yield row
        if len(rows) < size:
            return
        end = begin + len(rows)


def window(end: int) -> tuple[int, int]:
    """Number and size of the page that holds row `end` (from 1) of a list, and the most rows behind it."""
    size = max(range(PAGE // 2, PAGE + 1), key=lambda size: size - (end - 1) % size)
    return (end - 1) // size + 1, size


def retry_after_s(answer: Answer) -> float:
    """How long a server that refuses for the rate wants to be left alone."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), MAX_WAIT_S) if text.isdigit() else 1.0


def throttled(answer: Answer) -> SourceUnavailable:
    """The exception for an answer of 429."""
    return SourceUnavailable(
        "Mayan EDMS: too many requests", retry_after_s=retry_after_s(answer), hint="lower requests_per_s"
    )


def refusal(answer: Answer, path: str) -> Exception:
    """The exception for an answer that is not a success."""
    said = detail(answer)
    match answer.status:
        case 401 | 403:
            return SourceRefused(f"Mayan EDMS refuses {path}: {said or answer.status}")
        case 404 if answer.json() is not None:
            return Missing(f"Mayan EDMS: {path} is not there, or not for this user to see")
        case 404:
            return SourceUnexpected(f"Mayan EDMS: {path} is no address of this version's")
        case 429:
            return throttled(answer)
        case 400 | 405 | 413 | 415:
            return RequestWrong(f"Mayan EDMS refuses {path}: {said or answer.status}")
        case code if code >= 500:
            return SourceUnavailable(f"Mayan EDMS answers {code} to {path}", answered=True)
        case code:
            return SourceUnexpected(f"Mayan EDMS answers {code} to {path}")


def detail(answer: Answer) -> str:
    """What an answer says of itself, in one line; "" where that is a web page."""
    body = answer.json()
    if not isinstance(body, dict):
        return ""
    parts = [body["detail"]] if "detail" in body else [f"{key}: {text}" for key, text in body.items()]
    return "; ".join(str(part) for part in parts)[:300]


def rows_of(answer: Answer, path: str) -> list[Row]:
    """The rows of one page. Raises SourceUnexpected."""
    found = member(answer, "results", list)
    if not all(isinstance(row, dict) for row in found):
        raise SourceUnexpected(f"Mayan EDMS: {path} is a list with something else in it")
    return list(found)


def member(answer: Answer, name: str, kind: type, *, optional: bool = False) -> Any:
    """A member of an answer. Raises SourceUnexpected where it is not there, or of another kind."""
    body = answer.json()
    if not isinstance(body, dict):
        raise SourceUnexpected("Mayan EDMS: an answer that is no JSON object")
    return value(body, name, kind, optional=optional)


def value(row: Row, name: str, kind: type, *, optional: bool = False) -> Any:
    """A member of a row, `kind` exactly; None where it may be null. Raises SourceUnexpected."""
    found = row.get(name)
    if found is None and optional:
        return None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise SourceUnexpected(f"Mayan EDMS: {name} is {type(found).__name__}, expected {kind.__name__}")
    return found


def from_mayan(text: str) -> datetime:
    """An instant as Mayan writes it. Raises SourceUnexpected for one that is none, or without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise SourceUnexpected(f"Mayan EDMS: {text!r} is no instant") from exc
    if found.tzinfo is None:
        raise SourceUnexpected(f"Mayan EDMS: {text!r} is an instant without a zone")
    return found
