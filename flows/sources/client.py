"""HTTP for dialects: time-outs, TLS, retries of harmless requests, and httpx's errors turned into ours.

The only module that imports httpx. Knows no system; a dialect says what an answer means.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes as unquote
from urllib.parse import urlsplit

import httpx
import tenacity

from flows.errors import ConfigError, SourceUnavailable, SourceUnexpected
from flows.sources.base import Connection, Download

PIECE = 1 << 20  # bytes handed on at a time: small pieces cost more than the network does
MAX_ANSWER = 64 << 20  # bytes of an answer that is not a file; more is no answer of an API we know
TRICKLE_S = 1.0  # what came in so long is handed on, however little it is
TRIES = 3  # of a request that may be repeated
GATEWAY = (502, 503, 504)  # said by a proxy while the system behind it is away
USER_AGENT = "strongroom"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(/[!-~]*)")  # without user and password
_STRONG = re.compile(r'"[!#-~]{1,200}"')  # an ETag that names bytes, and not only what they mean

# httpx logs every URL at INFO and httpcore every header at DEBUG: a link may be a secret, a header is one.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, read into memory."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def date(self) -> datetime | None:
        """The server's clock, from its Date header."""
        try:
            at = parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError, TypeError, OverflowError):
            return None
        return at if 2000 <= at.year < 3000 else None  # a date that nobody can reckon with is none

    def json(self) -> Any:
        """The body as JSON; None where it is not, such as an HTML error page."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Changed(SourceUnavailable):
    """What an answer goes on with is not, or cannot be shown to be, the file that a part is of.

    Retry: yes, for the whole file.
    """


class Client:
    """One system at one base URL. Credentials go to that origin and to no other.

    Redirects are not followed. Links to other origins are opened by a second client that knows neither the
    credentials nor the cookies of the first.
    """

    def __init__(self, connection: Connection, headers: Mapping[str, str]) -> None:
        parts = urlsplit(connection.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url {connection.url!r}: not an http or https address")
        self.base = connection.url.rstrip("/")
        self._origin = _origin(self.base)
        self._connection = connection
        self.headers = headers  # of the credential; may be changed between two requests
        if connection.ca_file is None:
            verify = httpx.create_ssl_context(trust_env=connection.proxy is None)  # once: it costs 25 ms of CPU
        else:
            try:
                verify = ssl.create_default_context(cafile=str(connection.ca_file))
            except (OSError, ssl.SSLError) as exc:
                raise ConfigError(f"ca_file {connection.ca_file}: {exc}") from exc
        read_s, connect_s = connection.read_timeout_s, connection.connect_timeout_s
        self._http, self._bare = (
            httpx.Client(
                timeout=httpx.Timeout(read_s, connect=connect_s),
                verify=verify,
                proxy=connection.proxy,
                trust_env=connection.proxy is None,
                follow_redirects=False,
                headers={"User-Agent": USER_AGENT},
            )
            for _ in range(2)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._bare.close()

    def get(self, path: str, params: Mapping[str, str] | None = None, *, sleep: Callable[[float], None]) -> Answer:
        """GET, tried up to three times where no answer came, or a gateway's. Raises SourceUnavailable. Retry: yes.

        Any status is an answer: the dialect reads it.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5),
            retry=tenacity.retry_if_exception_type(SourceUnavailable)
            | tenacity.retry_if_result(lambda answer: answer.status in GATEWAY),
            sleep=sleep,
            retry_error_callback=_last,
        )
        return retrying(self._request, "GET", path, params, None, self._connection.read_timeout_s)

    def post(self, path: str, form: Mapping[str, str], *, timeout_s: float) -> Answer:
        """POST a form, once. Raises SourceUnavailable: then nobody knows whether it arrived. Retry: no."""
        return self._request("POST", path, None, form, timeout_s)

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, BinaryIO]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        """Any request, once: with JSON, or a form, or a form with files. Raises as `post`. Retry: no."""
        return self._request(method, path, None, form, timeout_s, json=json, files=files, more=headers)

    @contextmanager
    def stream(self, url: str, *, accept: str, refuse: Callable[[Answer], Exception]) -> Iterator[Download]:
        """Open a file. `url` may be a path at the base or a link; a link to another origin gets no credentials.

        An answer other than 200 is read, bounded, and turned into an exception by `refuse`. What breaks later
        raises SourceUnavailable out of `chunks`. `Accept-Encoding: identity`, and the raw bytes are given: what
        is kept is what was sent.
        """
        link = self.base + url if url.startswith("/") else url
        try:
            ours = _origin(link) == self._origin
        except ValueError as exc:
            raise SourceUnexpected(f"{_where(self.base)}: the system gave a link that is no URL") from exc
        if self._origin[0] == "https" and not link.startswith("https:"):
            raise SourceUnexpected(f"{_where(self.base)}: the system gave a link that is not https")
        http = self._http if ours else self._bare
        headers = {**(self.headers if ours else {}), "Accept": accept, "Accept-Encoding": "identity"}
        with _mapped(_where(link)), http.stream("GET", link, headers=headers) as response:
            if response.status_code != 200:
                raise refuse(_answer(response))
            total = _length(response)
            yield Download(_pieces(response, total, _where(link)), 0, total)

    @contextmanager
    def signed(
        self, link: str, *, offset: int = 0, validator: str = "", refuse: Callable[[Answer], Exception]
    ) -> Iterator[Download]:
        """Open a link that is itself the credential: sent as it is, with nothing of ours beside it.

        No key, no cookie, no body and so no type of one; no redirect is followed. `offset` with the `validator`
        (a strong ETag) of an earlier answer asks for the rest of that very file; the answer says in `start` what
        it gives. Raises Changed where the rest is not of that file; else as `stream`.
        """
        if not _is_kept(link):
            raise SourceUnexpected(f"{_where(self.base)}: the system gave a link that is no web address")
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        self._bare.cookies.clear()
        where = _where(link)
        with _mapped(where), self._bare.stream("GET", link, headers=headers) as response:
            known, length = response.headers, _length(response)
            if response.status_code == 416 or (response.status_code == 206 and not offset):
                raise Changed(f"{where}: has no part of the file from {offset} on", answered=True)
            if response.status_code == 206:
                found = _CONTENT_RANGE.fullmatch(known.get("content-range", ""))
                if found is None or int(found[1]) != offset or known.get("etag") != validator:
                    raise Changed(f"{where}: goes on with another file", answered=True)
                yield Download(_pieces(response, length, where), offset, int(found[2]), validator)
            elif response.status_code == 200:
                etag = known.get("etag", "")
                strong = etag if _STRONG.fullmatch(etag) else ""
                yield Download(_pieces(response, length, where), 0, length, strong)
            else:
                raise refuse(_answer(response))

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        timeout_s: float,
        *,
        json: Any = None,
        files: Mapping[str, tuple[str, BinaryIO]] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        url = self.base + path
        headers = {**self.headers, **(more or {}), "Accept": "application/json"}
        timeout = httpx.Timeout(timeout_s, connect=self._connection.connect_timeout_s)
        with (
            _mapped(_where(url)),
            self._http.stream(
                method, url, params=params, data=form, json=json, files=files, headers=headers, timeout=timeout
            ) as response,
        ):
            return _answer(response)


def _last(state: tenacity.RetryCallState) -> Answer:
    """What the last try gave: its answer, or its exception raised."""
    assert state.outcome is not None  # noqa: S101
    answer: Answer = state.outcome.result()
    return answer


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _is_kept(link: str) -> bool:
    """Whether httpx asks for what a link says.

    It sends a usual one byte for byte. It may encode a sign, which changes nothing; what else it would make of an
    odd one is not what was signed. (Its way around that, `target`, would show the link to a proxy.)
    """
    parts = _LINK.fullmatch(link)
    try:
        _origin(link)
        return parts is not None and unquote(httpx.URL(link).raw_path) == unquote(parts[1])
    except (ValueError, httpx.InvalidURL):
        return False


def _where(url: str) -> str:
    """The server, for messages: paths and queries may be secrets."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _answer(response: httpx.Response) -> Answer:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise SourceUnexpected(f"{_where(str(response.url))}: an answer of more than {MAX_ANSWER} bytes")
    return Answer(response.status_code, dict(response.headers), bytes(body))


def _length(response: httpx.Response) -> int | None:
    """The bytes of the body, as its headers say; None: they do not."""
    length = response.headers.get("content-length", "")
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _pieces(response: httpx.Response, total: int | None, where: str) -> Iterator[bytes | bytearray]:
    """Pieces of at least PIECE bytes, or what came in a second: who counts them must see a trickle, too."""
    with _mapped(where):
        stream = response.iter_raw()
        sock = _socket_of(response)
        if total is None or sock is None:
            yield from _joined(stream)
            return
        first = next(stream, b"")
        yield first
        if len(first) == total:
            yield from stream  # the end, so that the connection can serve again
        else:
            # What came with the headers is handed on; what the connection still gives is the file alone.
            yield from _received(sock, total - len(first))


def _joined(stream: Iterator[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    length = 0
    told_at = time.monotonic()
    for chunk in stream:
        parts.append(chunk)
        length += len(chunk)
        if length >= PIECE or time.monotonic() - told_at > TRICKLE_S:
            yield b"".join(parts)
            parts, length, told_at = [], 0, time.monotonic()
    if parts:
        yield b"".join(parts)


def _socket_of(response: httpx.Response) -> socket.socket | None:
    """Where the body can be read without httpx: its steps cost more than the bytes do, by TLS twice as much.

    None where what comes is not the body as it is: chunks, HTTP/2, TLS within a proxy's TLS.
    """
    stream = response.extensions.get("network_stream")
    plain = response.http_version.startswith("HTTP/1") and "transfer-encoding" not in response.headers
    if stream is None or not plain or isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        return None
    found: socket.socket | None = stream.get_extra_info("socket")
    return found


def _received(sock: socket.socket, left: int) -> Iterator[bytes | bytearray]:
    """The next `left` bytes. Raises httpx's errors; the time-out is that of the read before."""
    while left:
        piece = bytearray(min(PIECE, left))
        view, done, told_at = memoryview(piece), 0, time.monotonic()
        try:
            while done < len(piece) and (not done or time.monotonic() - told_at <= TRICKLE_S):
                count = sock.recv_into(view[done:])
                if not count:
                    break
                done += count
        except TimeoutError as exc:
            raise httpx.ReadTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpx.ReadError(str(exc)) from exc
        if done:
            yield piece if done == len(piece) else bytes(view[:done])
        if not count:
            raise httpx.RemoteProtocolError(f"{left - done} bytes are missing")
        left -= done


@contextmanager
def _mapped(where: str) -> Iterator[None]:
    """httpx's errors as ours, without those beneath: they hold the request, and so a link or a key."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise SourceUnavailable(f"{where}: no connection in time", sent=False) from None
    except httpx.TimeoutException:
        raise SourceUnavailable(f"{where}: no answer in time") from None
    except httpx.ConnectError as exc:
        hint = (
            "if its certificate is signed by your own authority, name that in ca_file"
            if "CERT" in str(exc)
            else ""
        )
        raise SourceUnavailable(f"{where}: no connection ({exc})", sent=False, hint=hint) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise SourceUnexpected(f"{where}: the system gave a link that is no web address") from None
    except httpx.HTTPError as exc:
        raise SourceUnavailable(f"{where}: the connection broke ({type(exc).__name__})") from None
