"""A demo WebAdMIT whose clock stands still, and clients for its API and its object store."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from flows.demo import WebAdmitServer

Json = dict[str, Any]


class Admissions:
    """The server, a client that sends the director's key, and one that sends nothing."""

    def __init__(self, server: WebAdmitServer, client: httpx.Client, bare: httpx.Client) -> None:
        self.server, self.world = server, server.world
        self.faults = server.world.faults
        self.client, self.bare = client, bare
        self.export = self.world.export()
        self.identity = self.export.identity_id

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path if path.startswith("/") else f"/api/v1/{path}", headers=headers)

    def start(self, name: str = "Nightly applicants", **given: Any) -> httpx.Response:
        """POST a run of an export of the nursing school's newest cycle."""
        export = self.world.export(name)
        path = f"/api/v1/user_identities/{export.identity_id}/exports/{export.id}/export_files"
        return self.client.post(path, **given)

    def started(self, name: str = "Nightly applicants") -> Json:
        answer = self.start(name)
        assert answer.status_code == 201, answer.text
        run: Json = answer.json()["export_files"]
        return run

    def check(self, run: Json) -> Json:
        """GET a run by the href it was given with."""
        answer = self.get(run["href"])
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()["export_files"]
        return found

    def finished(self, name: str = "Nightly applicants") -> Json:
        """Start, let the world's clock pass the end, ask once."""
        run = self.started(name)
        self.world.advance(1)
        return self.check(run)

    def link(self, run: Json | None = None) -> str:
        """A new link to a finished run, which is made if none is given."""
        found = self.check(run) if run else self.finished()
        url: str = found["download_url"]
        return url

    def fetch(self, url: str, method: str = "GET", **headers: str) -> httpx.Response:
        """Ask the store, with nothing but what is given here."""
        return self.bare.request(method, url, headers=headers)

    def file(self, name: str = "Nightly applicants") -> bytes:
        """The bytes of a run that is made for it."""
        return self.fetch(self.finished(name)["download_url"]).content

    def batch(self, name: str = "Full applications", **given: Any) -> httpx.Response:
        """POST a PDF batch; `given` besides its template."""
        template = self.world.template(name)
        wish = {"pdf_manager_batch": {"pdf_manager_template_id": template.id, **given}}
        return self.client.post(f"/api/v1/user_identities/{template.identity_id}/pdf_manager_batches", json=wish)

    def finished_batch(self) -> Json:
        href = self.batch().json()["pdf_manager_batch"]["href"]
        self.world.advance(1)
        found: Json = self.get(href).json()["pdf_manager_batch"]
        return found

    def recent(self) -> list[Json]:
        found: list[Json] = self.get(f"user_identities/{self.identity}/export_files").json()["export_files"]
        return found

    def control(self, **wishes: Any) -> httpx.Response:
        return self.bare.post(f"{self.server.url}/demo/control", json=wishes)

    def report(self) -> Json:
        found: Json = self.bare.get(f"{self.server.url}/demo/report").json()
        return found


def code(answer: httpx.Response) -> str:
    """The <Code> of S3's error."""
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
