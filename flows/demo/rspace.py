"""RSpace's dialect: which address answers what, who may call, which headers come back.

It holds the order of things for every call (limits, key, route); the answers themselves are in the
rspace_* files beside it, and the state is the world's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flows.demo import rspace_activity, rspace_export, rspace_people, rspace_records
from flows.demo.lab import User
from flows.demo.message import Request, Response, json_response, web_page
from flows.demo.rspace_call import Call
from flows.demo.rspace_errors import Refusal, error_response, unauthorized
from flows.demo.throttle import TOO_MANY, switched_off_headers
from flows.demo.world import World

Endpoint = Callable[..., Response | Any]  # (call, *path parts)

_ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", r"/api/v1/export/([^/]+)/([^/]+)", rspace_export.start),
    ("POST", r"/api/v1/export/([^/]+)/([^/]+)/([^/]+)", rspace_export.start),
    (
        "GET",
        r"/api/v1/export/([^/]+)",
        rspace_export.download,
    ),
    ("GET", r"/api/v1/jobs/([^/]+)", rspace_export.poll),
    *(
        ("GET", f"/api/v1/{path}", endpoint)
        for module in (rspace_people, rspace_records, rspace_activity)
        for path, endpoint in module.ENDPOINTS.items()
    ),
)
_REASONS = {
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    500: "Internal Server Error",
}


class RSpace:
    """Request in, response out, over one world. Thread-safe because the world is."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, request: Request) -> Response:
        world = self._world
        if status := world.faults.take_status(request.method, request.path):
            return web_page(status, f"{status} {_REASONS.get(status, 'Error')}")
        drop = world.faults.take_drop(request.path)
        if drop and not world.faults.drop_after_work:
            return Response(0, drop=True)
        answer = self._answer(request)
        answer.drop = answer.drop or drop
        return answer

    def _answer(self, request: Request) -> Response:
        if request.path == "/oauth/token" and request.method == "POST":
            return self._token(request)
        if not request.path.startswith("/api/"):
            return web_page(404, "HTTP Status 404 – Not Found")
        admitted, headers = True, switched_off_headers()
        if self._world.faults.take("throttling"):
            credential = request.headers.get("apikey") or request.headers.get("authorization", "")
            admitted, headers = self._world.throttle.admit(credential, self._world.now().timestamp())
        try:
            if not admitted:
                raise Refusal(429, 42901, TOO_MANY)
            answer = self._route(request)
        except Refusal as refusal:
            answer = error_response(refusal, request.headers.get("accept", ""), self._world.now())
        answer.headers |= headers
        return answer

    def _route(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        matches = [(m, e, found) for m, p, e in _ROUTES if (found := re.fullmatch(p, path))]
        if not matches:
            return web_page(404, "HTTP Status 404 – Not Found")
        call = Call(self._world, self._authenticate(request), request)
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, endpoint, found in matches:
            if wanted == method:
                answer = endpoint(call, *found.groups())
                return answer if isinstance(answer, Response) else json_response(answer)
        raise Refusal(405, 40501, f"Request method '{request.method}' is not supported")

    def _authenticate(self, request: Request) -> User:
        """The apiKey header wins over a bearer token when both are sent."""
        key = request.headers.get("apikey")
        token = request.headers.get("authorization", "")
        if key is not None:
            user, shown = self._world.user_of_key(key), key
        elif token.startswith("Bearer "):
            shown = token.removeprefix("Bearer ")
            user = self._world.user_of_token(shown)
        else:
            raise unauthorized("No API key or access token was sent with the request")
        if user is None:
            raise unauthorized(f"User could not be authenticated for token {shown[:4]}...")
        return user

    def _token(self, request: Request) -> Response:
        grant = request.parameter("grant_type")
        token = self._world.issue_token(request.parameter("username"), request.parameter("password"))
        if grant != "password" or token is None:
            refusal = unauthorized("The user name or password is wrong, or the grant type is not supported")
            return error_response(refusal, "", self._world.now())
        answer = {"access_token": token, "refresh_token": f"{token}-r", "expires_in": 3600, "scope": "all"}
        return json_response(answer | {"token_type": "bearer"})
