"""GitLab's dialect on two ports: the API as far as project exports need it, and the object store behind it.

As strict as documents and GitLab's source are (flows/sources/gitlab.py names them): roles, limits by the minute,
404 before there is an export, one file for each project.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

from flows.demo.gitlab_archive import GITLAB_VERSION
from flows.demo.gitlab_world import MAINTAINER, Forge, Project
from flows.demo.message import Request, Response, web_page
from flows.demo.server import Listener

MINUTE = timedelta(minutes=1)
_PROJECT = re.compile(r"/api/v4/projects/(.+?)(/export(?:/download)?)?")
_GROUP = re.compile(r"/api/v4/groups/(.+)/projects")


class Seen(NamedTuple):
    """One request and its answer."""

    method: str
    path: str  # decoded, without query
    status: int  # 0: the connection was cut instead
    token: str


class GitLabServer:
    """Usable as a context manager; leaving it closes both ports and cuts open connections."""

    def __init__(self, world: Forge | None = None) -> None:
        self.world = world if world is not None else Forge()
        self.requests: list[Seen] = []
        self.store_requests: list[Seen] = []
        self._links: dict[str, tuple[bytes, datetime]] = {}
        self._api = Listener(0, self._answer, self.world.now, "nginx")
        self._store = Listener(0, self._answer_store, self.world.now, "AmazonS3")
        self.url, self.store_url = self._api.url, self._store.url

    def __enter__(self) -> Self:
        self._api.start()
        self._store.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._api.close()
        self._store.close()

    def _answer(self, request: Request) -> Response:
        with self.world.lock:
            answer = self._routed(request)
        token = request.headers.get("private-token", "")
        self.requests.append(Seen(request.method, request.path, 0 if answer.drop else answer.status, token))
        return answer

    def _routed(self, request: Request) -> Response:
        world, faults = self.world, self.world.faults
        if faults.take_drop(request.path):
            return Response(502, drop=True)
        if status := faults.take_status(request.method, request.path):
            return web_page(status, "a proxy's page")
        token = request.headers.get("private-token", "")
        user = next((name for name, known in world.tokens.items() if known == token), "")
        if not user or faults.peek("token_off"):
            return Response(401, b"", "")
        if request.path == "/api/v4/user":
            return _json({"id": 7, "username": user})
        if request.path == "/api/v4/metadata":
            return _json({"version": GITLAB_VERSION, "revision": "0b1c2d3e4f5", "enterprise": True})
        if request.path == "/api/v4/projects":
            return self._list(request, user, "")
        if found := _GROUP.fullmatch(request.path):
            return self._list(request, user, found[1])
        if found := _PROJECT.fullmatch(request.path):
            return self._project(request, user, found[1], found[2] or "")
        return _said(404, "404 Not Found")

    def _list(self, request: Request, user: str, group: str) -> Response:
        least = int(request.parameter("min_access_level", "10"))
        rows = [
            {"id": project.id, "path_with_namespace": project.path}
            for project in self.world.projects.values()
            if project.levels.get(user, 0) >= least and project.path.startswith(f"{group}/" if group else "")
        ]
        size, page = int(request.parameter("per_page", "20")), int(request.parameter("page", "1"))
        more = str(page + 1) if len(rows) > page * size else ""
        answer = _json(rows[(page - 1) * size : page * size])
        answer.headers |= {"X-Next-Page": more, "X-Total": str(len(rows))}
        return answer

    def _project(self, request: Request, user: str, name: str, rest: str) -> Response:
        known = self.world.projects.values()
        project = next((one for one in known if name in (str(one.id), one.path)), None)
        if project is None or user not in project.levels:
            return _said(404, "404 Project Not Found")
        row = {"id": project.id, "path_with_namespace": project.path, "empty_repo": project.empty_repo}
        if not rest:
            return _json(row)
        if self.world.faults.peek("exports_off"):
            return _said(404, "404 Not Found")
        if project.levels[user] < MAINTAINER:
            return _said(403, "403 Forbidden")
        if request.method == "POST" and rest == "/export":
            return self._start(project, user)
        if rest == "/export":
            word = self.world.faults.take("status_word", f"project/{project.id}")
            return _json({**row, "export_status": word or self.world.status(project)})
        return self._download(project, user)

    def _start(self, project: Project, user: str) -> Response:
        faults, target, now = self.world.faults, f"project/{project.id}", self.world.now()
        lately = [at for at in self.world.asked.get(user, []) if now - at < MINUTE]
        if len(lately) >= 6 and not faults.peek("no_limits"):
            return self._limited()
        self.world.asked[user] = [*lately, now]
        if faults.take("too_large", target):
            return _said(400, "The project size exceeds the export limit.")
        self.world.ask(project, user)
        if faults.take("token_replaced", target):
            self.world.replace_token(user)
        if faults.take("lose_start_answer", target):
            return Response(202, drop=True)
        return web_page(500, "Whoops") if faults.take("start_500", target) else _said(202, "202 Accepted")

    def _limited(self) -> Response:
        text = "This endpoint has been requested too many times. Try again later."
        answer = _json({"message": {"error": text}}, 429)
        if self.world.faults.peek("retry_after"):
            answer.headers["Retry-After"] = "45"
        return answer

    def _download(self, project: Project, user: str) -> Response:
        faults, target, now = self.world.faults, f"project/{project.id}", self.world.now()
        last = project.downloads.get(user)
        if last is not None and now - last < MINUTE and not faults.peek("no_limits"):
            return self._limited()
        project.downloads[user] = now
        self.world.settle(project)
        if not project.file:
            return _said(404, "404 Not found or has expired")
        if faults.take("not_yet", target):
            return _said(404, "The project export file is not available yet")
        if faults.take("login_page", target):
            return Response(302, b"", "", {"Location": f"{self.url}/users/sign_in"})
        if faults.take("html_page", target):
            return web_page(200, "GitLab is not responding")
        if faults.take("stored", target):
            path = f"/exports/{secrets.token_hex(8)}/export.tar.gz"
            life = timedelta(seconds=faults.take("link_life_s", target) or 600)
            self._links[path] = project.file, now + life
            link = f"{self.store_url}{path}?X-Amz-Signature={secrets.token_hex(8)}"
            return Response(302, b"", "", {"Location": link})
        return self._sent(project.file, target)

    def _sent(self, body: bytes, target: str = "") -> Response:
        faults = self.world.faults
        answer = Response(200, body, "application/gzip", cut_after=faults.take("cut_after", target) or None)
        if off := faults.take("length_off", target):
            answer.length = len(body) + off
        if faults.take("no_length", target):
            answer.length = 0
        return answer

    def _answer_store(self, request: Request) -> Response:
        with self.world.lock:
            body, until = self._links.get(request.path, (b"", self.world.now()))
            if not body or self.world.now() >= until:
                answer = Response(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
            else:
                answer = self._sent(body)
        token = request.headers.get("private-token", "")
        self.store_requests.append(Seen(request.method, request.path, answer.status, token))
        return answer


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode())


def _said(status: int, text: str) -> Response:
    return _json({"message": text}, status)
