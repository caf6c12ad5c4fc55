"""The short link to a file: judged, opened in the same moment by a client that knows no key, and never repeated.

A link lives for less than 30 seconds and is whatever the store made it: it is not rebuilt, kept, logged or shown.
What the store says in place of the file is never data. Facts: contract webadmit.md section A4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from flows.errors import FileGone, SourceUnavailable, SourceUnexpected
from flows.sources.base import Download
from flows.sources.client import Answer, Changed, Client
from flows.sources.webadmit_content import error_page
from flows.sources.webadmit_wire import local

HOSTS = ("amazonaws.com",)
LINKS = 3  # asked for in a row, where they have expired or the file has changed
AGAIN = "run again: it starts a new one"
_FORM = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[!-~]*")
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")


class Expired(SourceUnavailable):
    """The link was too old when it was used. Retry: yes, with a new one."""


def checked(link: object, *, base: str, hosts: Sequence[str]) -> str:
    """The link, if it leads by https to where WebAdMIT's files may lie. Raises SourceUnexpected.

    `base`: the address of WebAdMIT; only one on this very machine may give links to this very machine.
    """
    if not isinstance(link, str) or not _FORM.fullmatch(link):
        raise SourceUnexpected("WebAdMIT gave a link that is no web address")
    if local(base) and local(link):
        return link
    parts = urlsplit(link)
    if parts.scheme != "https":
        raise SourceUnexpected("WebAdMIT gave a link that is not https")
    host = (parts.hostname or "").lower()
    if not any(host == known or host.endswith(f".{known}") for known in hosts):
        raise SourceUnexpected(
            f"WebAdMIT gave a link to {host[:100]}, which is not among link_hosts ({', '.join(hosts)})",
            hint="if the vendor keeps its files there now, name that host in link_hosts",
        )
    return link


@contextmanager
def opened(
    client: Client, fresh: Callable[[], str], what: str, *, html: bool, offset: int = 0, validator: str = ""
) -> Iterator[Download]:
    """A file by a link that `fresh` asks for now; another one where that is too old already.

    `what`: the file, for messages; `html`: a web page is what was asked for. With `offset`, the rest of the very
    file that `validator` names, else the whole. Raises FileGone, SourceUnavailable. Retry: yes.
    """
    with ExitStack() as stack:
        for left in reversed(range(LINKS)):
            link = fresh()
            signed = client.signed(link, offset=offset, validator=validator, refuse=lambda a: refusal(a, what))
            try:
                download = stack.enter_context(signed)
                break
            except Expired:
                if not left:
                    raise
            except Changed:
                if not left or not offset:
                    raise
                offset, validator = 0, ""
        if download.total is None:
            raise SourceUnavailable(f"{what}: the store does not say how many bytes it has", answered=True)
        yield replace(download, chunks=_data(download, what, html=html))


def refusal(answer: Answer, what: str) -> Exception:
    """What the store's refusal means. Its text holds the signature: none of it is repeated but the code."""
    found = _CODE.search(answer.body)
    code = f" ({found[1].decode()})" if found else ""
    if answer.status == 403 and b"Request has expired" in answer.body:
        return Expired(f"{what}: the link had expired before it was used", answered=True)
    if answer.status in (404, 410):
        return FileGone(f"{what}: the store has it no more{code}", hint=AGAIN)
    if 300 <= answer.status < 400:
        return SourceUnavailable(f"{what}: the store sends us elsewhere, which is not followed", answered=True)
    return SourceUnavailable(f"{what}: the store answers {answer.status}{code}", answered=True)


def _data(download: Download, what: str, *, html: bool) -> Iterator[bytes | bytearray]:
    """The bytes, unless they begin as an error page does, whatever the status said."""
    begun = download.start > 0
    for piece in download.chunks:
        if not begun and piece:
            page = error_page(bytes(piece[:512]), html=html)
            if page:
                raise SourceUnavailable(f"{what}: the store gives {page} in its place", answered=True)
            begun = True
        yield piece
