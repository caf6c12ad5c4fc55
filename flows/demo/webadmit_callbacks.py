"""Callbacks: what WebAdMIT posts to whoever starts a run and asks for it. Unsigned, never repeated, no promise.

They leave when the clock has passed the end of the run and somebody asks the demo server something, or moves its
clock: nothing here waits.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode

from flows.demo.webadmit_runs import EXPORT, WITH_FILES, Run, is_running, status, wire

_PATIENCE_S = 2.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True, slots=True)
class Sent:
    url: str
    body: str
    answer: int  # HTTP status; 0 where nobody was there


@dataclass
class Callbacks:
    sent: list[Sent] = field(default_factory=list)
    batch_json: Callable[[Run, str], dict[str, Any]] = lambda _run, _state: {}  # the dialect knows its shape

    def send_due(self, runs: Iterable[Run], now: datetime) -> None:
        """Post what is due; an answer, or none, changes nothing."""
        for run in runs:
            if not run.callback:
                continue
            if run.callback_early and status(run, now) == "queued":
                run.callback_early = False
                self._post(run, "available")
            if run.called or is_running(run, now):
                continue
            run.called = 3 if run.callback_doubled else 1
            if run.end in WITH_FILES or run.callback_on_failure:
                for _ in range(run.called):
                    self._post(run, run.end)
            if run.callback_forged:
                self._post(run, "available", id_=run.id + 1_000_000)

    def _post(self, run: Run, word: str, id_: int = 0) -> None:
        if run.kind == EXPORT:
            fields = {"id": id_ or run.id, "export_id": run.template_id, "status": wire(word)}
            body, kind = urlencode({f"export_file[{name}]": value for name, value in fields.items()}), _FORM
        else:
            told = self.batch_json(run, word)
            for inner in told.values():
                inner["id"] = id_ or run.id
            body, kind = json.dumps(told), _JSON
        request = urllib.request.Request(  # noqa: S310  # the caller's own address; the dialect has looked at it
            run.callback, body.encode(), {"Content-Type": kind}, method="POST"
        )
        try:
            with _DIRECT.open(request, timeout=_PATIENCE_S) as answer:
                code = int(answer.status)
        except (URLError, OSError, ValueError) as problem:
            code = int(getattr(problem, "code", 0) or 0)
        self.sent.append(Sent(run.callback, body, code))
