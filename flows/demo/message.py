"""Requests and responses as values, between the HTTP shell and whichever dialect answers.

It opens no socket and knows no dialect; it also writes JSON the way Jackson's pretty printer does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # decoded, without query
    query: str  # raw
    headers: dict[str, str]  # names in lower case
    body: bytes
    origin: str  # http://host:port as the client addressed it

    def parameters(self) -> dict[str, list[str]]:
        """Query string and form body together, as a servlet container merges them."""
        merged = parse_qs(self.query, keep_blank_values=True)
        if self.headers.get("content-type", "").startswith(FORM):
            for name, values in parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True).items():
                merged.setdefault(name, []).extend(values)
        return merged

    def parameter(self, name: str, default: str = "") -> str:
        return self.parameters().get(name, [default])[0]

    @property
    def has_credentials(self) -> bool:
        return "apikey" in self.headers or "authorization" in self.headers


@dataclass(slots=True)
class Response:
    """`body` or `file`; the fields from `drop` on tell the shell how to misbehave while sending."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    offset: int = 0  # first byte of `file` to send
    drop: bool = False  # close the connection instead of answering
    cut_after: int | None = None  # bytes of body sent before the connection is closed
    length: int | None = None  # what Content-Length says instead of the truth; 0: there is no such header
    pause: Callable[[], object] | None = None  # called before each piece of `body`


def jackson(value: Any, depth: int = 0) -> str:
    """JSON laid out as Jackson's default pretty printer does: `"a" : 1`, and arrays on one line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        if not value:
            return "{ }"
        rows = (f"{inner}{json.dumps(str(k))} : {jackson(v, depth + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list | tuple):
        return f"[ {', '.join(jackson(v, depth) for v in value)} ]" if value else "[ ]"
    return json.dumps(value, ensure_ascii=False)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(status, jackson(value).encode())


def web_page(status: int, heading: str) -> Response:
    """What a servlet container or a proxy shows a browser; no client should ever parse it."""
    page = (
        '<!doctype html><html lang="en"><head><title>'
        f"{heading}</title></head><body><h1>{heading}</h1><p>Type: Status report</p></body></html>\n"
    )
    return Response(status, page.encode(), "text/html;charset=utf-8")
