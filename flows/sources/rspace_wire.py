"""RSpace over HTTP: the credential, the limit on requests, what its errors mean, lists by the page.

Knows paths of nothing in particular. Facts: contract rspace.md sections 1, 3, 4 and 5.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar

from flows.errors import SourceRefused, SourceUnavailable, SourceUnexpected
from flows.export import shown
from flows.sources.base import Connection, Download
from flows.sources.client import Answer, Client

ACCEPT_FILE = "application/octet-stream, application/json;q=0.9"  # section 3: else errors come as HTML
TRIES = 3  # of a request that the limit on requests refuses
PAGE = 100  # rows of a list at once, the most that there are (section 5)
MAX_ROWS = 1_000_000  # of a list: more is a server that does not stop
MAX_FIELD = 200  # characters of a value that we read; more is not RSpace's
T = TypeVar("T")
_FILE_NAME = re.compile(r"[\w\-]{20,}\.(?:zip|csv|eln)")
_KEY_START = re.compile(r"for token \S+")
_EXPORT_RUNS = re.compile(r"already.*running.*export|running export job", re.IGNORECASE)  # section 4


class Wire:
    """One credential on one RSpace server."""

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._secrets = connection.secrets
        self._ever = set(connection.secrets.values())
        self._client = Client(connection, _headers(connection.secrets))
        self._sleep = sleep

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """An answer of 200. Raises what `refusal` says of any other."""
        answer = self.ask(path, params)
        if answer.status != 200:
            raise refusal(answer)
        return answer

    def ask(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """The answer, whatever its status, once the limit on requests lets it through."""
        return self._admitted(lambda: self._client.get(path, params, sleep=self._sleep))

    def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """The answer to a form, sent once; again only where the limit on requests had refused it."""
        return self._admitted(lambda: self._client.post(path, form, timeout_s=self._connection.start_timeout_s))

    def stream(self, url: str, refuse: Callable[[Answer], Exception]) -> AbstractContextManager[Download]:
        """A file, as `Client.stream`. A token that has run out since was renewed by the question for its link."""
        return self._client.stream(url, accept=ACCEPT_FILE, refuse=lambda answer: refuse(self._cut(answer)))

    def rows(
        self,
        path: str,
        name: str,
        params: Mapping[str, str] | None = None,
        refuse: Callable[[Answer], Exception] | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """A paged list (section 5), row by row. Raises SourceUnexpected for a page that is none."""
        got = 0
        for number in range(MAX_ROWS // PAGE):
            answer = self.ask(path, {**(params or {}), "pageNumber": str(number), "pageSize": str(PAGE)})
            if answer.status != 200:
                raise (refuse or refusal)(answer)
            page = mapping(answer).get(name)
            if not isinstance(page, list):
                raise SourceUnexpected(f"RSpace: a list of {name} without {name}")
            if not all(isinstance(row, dict) for row in page):  # what is not read would be missed by nobody
                raise SourceUnexpected(f"RSpace: a list of {name} with something else in it")
            yield from page
            got += len(page)
            total = mapping(answer).get("totalHits")
            counted = total if isinstance(total, int) and not isinstance(total, bool) else -1
            # A count may be wrong and a page be filtered: a list ends where the count is met, with a short page
            # unless the count has more, or with an empty page.
            if not page or got == counted or (len(page) < PAGE and got > counted):
                return
        raise SourceUnexpected(f"RSpace: a list of {name} that does not end")

    def _admitted(self, ask: Callable[[], Answer]) -> Answer:
        """The answer once RSpace's limit on requests lets it through: being refused by it has no effect there."""
        for _ in range(TRIES - 1):
            answer = self._authorised(ask)
            if answer.status != 429 or export_runs(answer):
                return answer
            self._sleep(limit_s(answer))
        return self._authorised(ask)

    def _authorised(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, with a fresh token where the one at hand has run out; a server's echo of a secret is cut."""
        answer = ask()
        if answer.status == 401 and "token" in self._secrets and self._connection.renew is not None:
            fresh = self._connection.renew()
            if fresh != self._secrets:
                self._secrets = fresh
                self._ever |= set(fresh.values())
                self._client.headers = _headers(fresh)
                answer = ask()
        return self._cut(answer)

    def _cut(self, answer: Answer) -> Answer:
        """The answer without any secret that was ever sent: servers repeat them, and messages repeat servers."""
        body = answer.body
        for secret in self._ever:
            body = body.replace(secret.encode(), b"***")
        return replace(answer, body=body)


def _headers(secrets: Mapping[str, str]) -> dict[str, str]:
    """The credential. Section 4: the key wins where both are sent, so only one is."""
    if "api_key" in secrets:
        return {"apiKey": secrets["api_key"]}
    return {"Authorization": f"Bearer {secrets['token']}"}


def refusal(answer: Answer) -> Exception:
    """What an answer means that is no success (section 4)."""
    said = message(answer)
    tail = f": {said}" if said else ""
    if answer.status in (401, 403):
        return SourceRefused(
            f"RSpace refuses the key{tail}", hint="check the key or token, and that its user is enabled"
        )
    if answer.status == 429:
        return SourceUnavailable("RSpace asks for fewer requests", sent=False, retry_after_s=limit_s(answer))
    if answer.status >= 500:
        return SourceUnavailable(f"RSpace answers {answer.status}{tail}", answered=own_error(answer))
    return SourceUnexpected(f"RSpace answers {answer.status}{tail}", hint="check that url is an RSpace server's")


def own_error(answer: Answer) -> bool:
    """Whether a 500 is RSpace's own, in its own form; what a proxy says while it is away is none (section 4)."""
    return answer.status == 500 and isinstance(mapping(answer).get("internalCode"), int)


def export_runs(answer: Answer) -> bool:
    """Whether a 429 means a running export, and not the limit on requests (section 4: both have one code).

    The text tells, and from 2.25 on it may be in any language: then the headers do, which say whether there is
    any allowance left.
    """
    if answer.status != 429:
        return False
    names = ("x-rate-limit-remaining", "x-rate-limit-remaining-hour", "x-rate-limit-remaining-day")
    left = [answer.headers[name] for name in names if name in answer.headers]
    allowed = [bool(re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text)) and float(text) >= 2 for text in left]
    return bool(_EXPORT_RUNS.search(message(answer))) or (bool(allowed) and all(allowed))


def limit_s(answer: Answer) -> float:
    """Seconds that the limit on requests asks to wait (section 4): at most an hour, whatever it says."""
    wait_ms = answer.headers.get("x-rate-limit-waittimemillis", "")
    return min(float(wait_ms) / 1000, 3600) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", wait_ms) else 15.0


def mapping(answer: Answer) -> Mapping[str, Any]:
    """The answer's JSON object; an empty one where it is none."""
    body = answer.json()
    return body if isinstance(body, dict) else {}


def field(answer: Answer, name: str, kind: type[T]) -> T:
    """A value of an answer, as it must be. Raises SourceUnexpected."""
    value = mapping(answer).get(name)
    text = str(value)
    if not isinstance(value, kind) or isinstance(value, bool) or len(text) > MAX_FIELD or not text.isprintable():
        raise SourceUnexpected(
            f"RSpace: an answer without a usable {name!r}", hint="check that url is an RSpace server's"
        )
    return value


def message(answer: Answer) -> str:
    """What an ApiError says, one line; "" for anything else. Texts of an HTML page are of no use to a reader."""
    body = answer.json()
    if not isinstance(body, dict):
        return ""
    parts = [plain(body.get("message")), *lines(body)]
    return "; ".join(dict.fromkeys(part for part in parts if part))[:400]


def lines(body: Mapping[str, Any]) -> list[str]:
    """The `errors` of an ApiError, those that say something."""
    errors = body.get("errors")
    return [line for line in map(plain, errors[:20]) if line] if isinstance(errors, list) else []


def plain(text: object) -> str:
    """A text of RSpace's for our messages: one line, bounded; a file's name is shortened, see `shown`.

    RSpace repeats the first characters of a key that it refuses (section 4): they are taken out.
    """
    given = text[:2000] if isinstance(text, str) else ""
    line = " ".join("".join(char if char.isprintable() else " " for char in given).split())
    line = _KEY_START.sub("for this token", line)
    return _FILE_NAME.sub(lambda found: shown(found[0]), line)[:300]
