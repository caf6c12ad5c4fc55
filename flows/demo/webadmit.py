"""WebAdMIT's dialect: which address answers what, who may call, which headers come back.

It holds the order of things for every call (limits, key, route); the answers themselves are in the webadmit_*
files beside it, and the state is the world's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from random import Random
from typing import Any

from flows.demo import webadmit_exports, webadmit_limits, webadmit_pdf
from flows.demo.message import Request, Response, web_page
from flows.demo.webadmit_answers import (
    Call,
    Refusal,
    json_answer,
    no_such_address,
    server_error,
    unauthorized,
)
from flows.demo.webadmit_world import Admissions

Endpoint = Callable[..., Response | Any]  # (call, *ids in the path)

_ROUTES: tuple[tuple[str, str, str, Endpoint], ...] = (  # kind of request, method, address, answer
    ("identities", "GET", "/user_identities", webadmit_exports.identities),
    ("exports", "GET", "/user_identities/N/exports", webadmit_exports.exports),
    ("all exports", "GET", "/exports", webadmit_exports.all_exports),
    ("start", "POST", "/user_identities/N/exports/N/export_files", webadmit_exports.start),
    ("undocumented", "GET", "/user_identities/N/exports/N/export_files", webadmit_exports.undocumented),
    ("status", "GET", "/exports/N/export_files/N", webadmit_exports.check),
    ("recent", "GET", "/user_identities/N/export_files", webadmit_exports.recent),
    ("templates", "GET", "/user_identities/N/pdf_manager_templates", webadmit_pdf.templates),
    ("template", "GET", "/user_identities/N/pdf_manager_templates/N", webadmit_pdf.template),
    ("start batch", "POST", "/user_identities/N/pdf_manager_batches", webadmit_pdf.start),
    ("batches", "GET", "/user_identities/N/pdf_manager_batches", webadmit_pdf.batches),
    ("batch", "GET", "/user_identities/N/pdf_manager_batches/N", webadmit_pdf.batch),
    ("zip", "GET", "/user_identities/N/pdf_manager_zip_files/N/download", webadmit_pdf.download),
)
_PATTERNS = [
    (kind, method, re.compile("/api/v1" + address.replace("/N", r"/(\d{1,12})")), endpoint)
    for kind, method, address, endpoint in _ROUTES
]
_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


class WebAdmit:
    """Request in, response out, over one world. Thread-safe because the world is."""

    def __init__(self, world: Admissions) -> None:
        self._world = world
        self._gets = 0
        world.callbacks.batch_json = lambda run, state: webadmit_pdf.callback(world, run, state)

    def handle(self, request: Request) -> Response:
        """What a proxy in front does to it comes first: its pages carry none of WebAdMIT's headers."""
        faults = self._world.faults
        self._world.deliver()
        if status := faults.take_status(request.method, request.path):
            return web_page(status, f"{status} {_REASONS.get(status, 'Error')}")
        drop = faults.take_drop(request.path)
        if drop and not faults.drop_after_work:
            return Response(0, drop=True)
        answer = self._answer(request)
        answer.drop = answer.drop or drop
        return answer

    def _answer(self, request: Request) -> Response:
        world, faults = self._world, self._world.faults
        limit = faults.peek("rate_limit") or webadmit_limits.PER_HOUR
        person = world.person_of(request.headers.get("x-api-key", ""))
        if not person:
            answer, headers = unauthorized(), webadmit_limits.headers(limit, limit)
        else:
            fixed = faults.peek("fixed_window")
            wait_s, headers = world.limits.admit(person, world.now(), limit=limit, fixed=fixed)
            answer = self._over(wait_s) if wait_s else self._routed(request, person)
        answer.headers |= headers
        return answer

    def _over(self, wait_s: float) -> Response:
        faults = self._world.faults
        answer = json_answer({"message": "Rate limit exceeded"}, faults.peek("over_limit") or 429)
        if faults.peek("retry_after"):
            answer.headers["Retry-After"] = f"{wait_s:.0f}"
        return answer

    def _routed(self, request: Request, person: str) -> Response:
        if request.method == "GET" and self._is_unlucky():
            return server_error()
        try:
            answer = self._route(request, person)
        except Refusal as refusal:
            return refusal.answer
        return _cached(request, answer)

    def _route(self, request: Request, person: str) -> Response:
        for _, method, pattern, endpoint in _PATTERNS:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                value = endpoint(Call(self._world, person, request), *found.groups())
                extra = self._world.faults.peek("extra_fields")
                return value if isinstance(value, Response) else json_answer(value, extra=extra)
        raise no_such_address()

    def _is_unlucky(self) -> bool:
        """A share of the GETs, always the same ones of the same world."""
        self._gets += 1
        share = self._world.faults.peek("random_500")
        if not share or Random(f"{self._world.seed}:unlucky:{self._gets}").random() >= share:
            return False
        return bool(self._world.faults.take("random_500"))


def kind_of(request: Request) -> str:
    """What a request asks for, in one word or two."""
    for kind, method, pattern, _ in _PATTERNS:
        if method == request.method and pattern.fullmatch(request.path):
            return kind
    return "unknown"


def _cached(request: Request, answer: Response) -> Response:
    """Rack's ETag: who asks conditionally for a status gets 304 and no body while it is the same."""
    if answer.status != 200:
        return answer
    tag = f'W/"{hashlib.md5(answer.body, usedforsecurity=False).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "max-age=0, private, must-revalidate", "X-Runtime": "0.650"}
    if request.headers.get("if-none-match") == tag:
        return Response(304, b"", "", headers)
    answer.headers |= headers
    return answer
