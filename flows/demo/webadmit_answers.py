"""What WebAdMIT's answers look like: compact JSON, its ways to say no, and the odd fields that nobody documented.

It decides nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flows.demo.message import Request, Response, web_page
from flows.demo.webadmit_world import Admissions

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request."""

    world: Admissions
    person: str
    request: Request


class Refusal(Exception):
    """An answer that is no success, raised from wherever it is found out."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(value: Any, status: int = 200, *, extra: bool = False) -> Response:
    """With `extra` each object has fields that no client can know."""
    told = _with_extra(value) if extra else value
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return Response(status, text.encode(), JSON)


def unauthorized() -> Response:
    """401 has no body and no type."""
    return Response(401, b"", "")


def not_found(world: Admissions, what: str, id_: object) -> Refusal:
    """In one of the three forms that were seen."""
    if world.faults.take("schema_404"):
        return Refusal(json_answer({"errors": {"schema": [f"{what} '{id_}' not found."]}}, 404))
    legacy = world.faults.take("legacy_404")
    return Refusal(json_answer({"message": "Not Found" if legacy else f"{what} '{id_}' not found."}, 404))


def no_such_address() -> Refusal:
    return Refusal(json_answer({"message": "Not Found"}, 404))


def unfitting(problem: str) -> Refusal:
    """422: the body does not fit the schema."""
    return Refusal(json_answer({"errors": {"schema": [problem]}}, 422))


def server_error() -> Response:
    """What Rails shows when it broke; no client should ever parse it."""
    return web_page(500, "We're sorry, but something went wrong (500)")


def document(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body; empty without a body. Raises Refusal with 400 on anything else."""
    if not request.body:
        return {}
    try:
        value = json.loads(request.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refusal(web_page(400, "400 Bad Request"))
    return value


def _with_extra(value: Any) -> Any:
    if isinstance(value, dict):
        added = {"links": {"self": None}, "created_by": {"status": "Failed", "id": 1}}
        return {"_version": 2, **{name: _with_extra(inner) for name, inner in value.items()}, **added}
    if isinstance(value, list):
        return [_with_extra(item) for item in value]
    return value
