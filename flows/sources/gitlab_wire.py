"""GitLab over HTTP: the token, what errors mean, lists in pages, and the download with its redirect.

Facts: docs.gitlab.com/api/rest (PRIVATE-TOKEN, 429, X-Next-Page, moved paths answer a redirect),
docs.gitlab.com/administration/settings/import_export_rate_limits (a minute's limits),
gitlab.com/gitlab-org/gitlab/-/issues/199738 (their 429 tells no time),
docs.gitlab.com/administration/object_storage (without `proxy_download` a download is a redirect to the store).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flows.errors import FileGone, RequestWrong, SourceRefused, SourceUnavailable, SourceUnexpected
from flows.sources.base import Connection, Download
from flows.sources.client import Answer, Client

API = "/api/v4"
PAGE = 100  # rows of a list
PAGES = 1000
LIMITED_S = 60.0  # after a 429 that tells no time: the limits of exports are by the minute
MOST_S = 3600.0  # whatever a server asks for
RIGHTS = "an export needs the role Maintainer or Owner in the project, and a token with the scope api"
AGAIN = "run again: it starts a new export"


class Wire:
    """One token on one server."""

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._secrets = connection.secrets
        self._ever = set(connection.secrets.values())
        self._client = Client(connection, _headers(connection.secrets))
        self._sleep = sleep

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def ask(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET, whatever its status, but for a dead token."""
        return self._admitted(lambda: self._client.get(API + path, params, sleep=self._sleep))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """An answer of 200. Raises what `refusal` says of any other."""
        answer = self.ask(path, params)
        if answer.status != 200:
            raise refusal(answer)
        return answer

    def post(self, path: str) -> Answer:
        """The answer to a POST, sent once. Raises SourceUnavailable: then nobody knows whether it arrived."""
        timeout_s = self._connection.start_timeout_s
        return self._admitted(lambda: self._client.send("POST", API + path, timeout_s=timeout_s))

    def rows(self, path: str, params: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """A list, page by page. Raises SourceUnexpected for what is none, or has no end."""
        page = "1"
        for _ in range(PAGES):
            answer = self.get(path, {**params, "per_page": str(PAGE), "page": page})
            found = answer.json()
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise SourceUnexpected("GitLab: a list that is none")
            yield from found
            page = answer.headers.get("x-next-page", str(int(page) + 1) if len(found) == PAGE else "").strip()
            if not re.fullmatch(r"[0-9]{1,6}", page):
                return
        raise SourceUnexpected(f"GitLab: a list of more than {PAGES} pages")

    @contextmanager
    def download(self, path: str, what: str) -> Iterator[Download]:
        """A file of gzip; `what`: for messages. A store that GitLab points to is asked without the token.

        Raises FileGone, SourceUnavailable. Retry: yes.
        """
        with ExitStack() as stack:
            try:
                refuse = lambda answer: _no_file(self._cut(answer), what)  # noqa: E731
                got = stack.enter_context(self._client.stream(API + path, accept="*/*", refuse=refuse))
            except _Elsewhere as exc:
                link = self._checked(exc.link, what)
                got = stack.enter_context(self._client.signed(link, refuse=lambda a: _not_stored(a, what)))
            yield replace(got, chunks=_gzip(got, what), validator="")

    def _checked(self, link: str, what: str) -> str:
        """Raises SourceUnexpected for a link that is no file's place; it is not repeated: it may be a secret."""
        to, base = urlsplit(link), urlsplit(self._connection.url)
        host = (to.hostname or "").lower()
        if not host or to.netloc == base.netloc:
            hint = "check url, and what stands before GitLab, such as a login page"
            raise SourceUnexpected(f"{what}: GitLab sends us to a page of its own", hint=hint)
        if to.scheme != "https" and base.scheme == "https":
            raise SourceUnexpected(f"{what}: GitLab sends us to a link that is not https")
        hosts = self._connection.link_hosts
        if hosts is not None and not any(host == known or host.endswith(f".{known}") for known in hosts):
            hint = "if GitLab keeps its exports there, name that host in link_hosts"
            raise SourceUnexpected(f"{what}: {host[:100]} is not among link_hosts", hint=hint)
        return link

    def _admitted(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, with a new token where the old one has died meanwhile."""
        answer = ask()
        if answer.status == 401 and self._connection.renew is not None:
            fresh = self._connection.renew()
            if fresh != self._secrets:
                self._secrets = fresh
                self._ever |= set(fresh.values())
                self._client.headers = _headers(fresh)
                answer = ask()
        if answer.status == 401:
            raise refusal(answer)
        return self._cut(answer)

    def _cut(self, answer: Answer) -> Answer:
        """Without any token that was ever sent: servers repeat them, and messages repeat servers."""
        body = answer.body
        for secret in self._ever:
            body = body.replace(secret.encode(), b"***")
        return replace(answer, body=body)


class NotThere(SourceRefused):
    """GitLab knows nothing of that name, or says so to this token. Retry: no."""


class _Elsewhere(Exception):
    """The file lies behind another link."""

    def __init__(self, link: str) -> None:
        super().__init__("elsewhere")
        self.link = link


def _headers(secrets: Mapping[str, str]) -> dict[str, str]:
    return {"PRIVATE-TOKEN": secrets["token"]}


def refusal(answer: Answer) -> Exception:
    """What an answer means that is no success."""
    said = message(answer)
    tail = f": {said}" if said else ""
    match answer.status:
        case 401:
            return SourceRefused("GitLab refuses the token", hint="it may have expired: make a new one")
        case 403:
            return SourceRefused(f"GitLab does not allow it{tail}", hint=RIGHTS)
        case 404 if answer.json() is not None:
            hint = "it is gone, or this token does not see it, or project exports are switched off on this GitLab"
            return NotThere(f"GitLab: not there{tail}", hint=hint)
        case 400 | 422:
            return RequestWrong(f"GitLab refuses the request{tail or f' ({answer.status})'}")
        case 429:
            asked = answer.headers.get("retry-after", "").strip()
            wait_s = min(float(asked), MOST_S) if re.fullmatch(r"[0-9]{1,9}", asked) else LIMITED_S
            text = f"GitLab's limit of requests is reached{tail}"
            return SourceUnavailable(text, sent=False, retry_after_s=wait_s)
        case code if code >= 500:
            return SourceUnavailable(f"GitLab answers {code}{tail}", answered=True)
        case code if 300 <= code < 400:
            hint = "the project may have moved: write its new path, or its number; or url leads elsewhere"
            return SourceRefused(f"GitLab sends us elsewhere ({code}), which is not followed", hint=hint)
        case code:
            return SourceUnexpected(f"GitLab answers {code}{tail}", hint="check url: it leads somewhere else")


def message(answer: Answer) -> str:
    """What an error says of itself, in one bounded line; "" for a web page and for no body at all."""
    body = answer.json() if answer.body else None
    found: list[object] = []
    if isinstance(body, dict):
        inner = body.get("message")
        found = [*(inner.values() if isinstance(inner, dict) else [inner]), body.get("error_description")]
        found += [] if any(found) else [body.get("error")]
    text = "; ".join(" ".join(part.split()) for part in found if isinstance(part, str) and part.strip())
    return "".join(char for char in text if char.isprintable())[:300]


def _no_file(answer: Answer, what: str) -> Exception:
    """What stands in the file's place; a redirect is where it lies."""
    if answer.status in (301, 302, 303, 307, 308):
        return _Elsewhere(answer.headers.get("location", ""))
    if answer.status == 404 and answer.json() is None:
        return SourceUnavailable(f"{what}: GitLab answers 404 with a web page", answered=True)
    if answer.status == 404 and "not available yet" in message(answer):
        return SourceUnavailable(f"{what}: GitLab is still laying it down", answered=True)
    if answer.status == 404:
        return FileGone(f"{what}: GitLab has it no more: {message(answer)}", hint=AGAIN)
    return refusal(answer)


def _not_stored(answer: Answer, what: str) -> Exception:
    """What a store's refusal means. Its text holds the signature: none of it is repeated."""
    if answer.status in (404, 410):
        return FileGone(f"{what}: GitLab's store has it no more", hint=AGAIN)
    return SourceUnavailable(f"{what}: GitLab's store answers {answer.status}", answered=True)


def _gzip(download: Download, what: str) -> Iterator[bytes | bytearray]:
    """The bytes, unless they do not begin as gzip does, whatever the status said."""
    begun = b""
    for piece in download.chunks:
        if len(begun) < 2:
            begun += bytes(piece[:2])
            if not b"\x1f\x8b".startswith(begun[:2]):
                page = "a page" if begun[:1] in b"<\n\r\t {" else "something that is no gzip"
                raise SourceUnavailable(f"{what}: {page} comes in its place", answered=True)
        yield piece
    if len(begun) < 2:
        raise SourceUnavailable(f"{what}: nothing comes in its place", answered=True)
