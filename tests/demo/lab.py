"""A demo server with a clock that stands still, and a client that keeps its connection open."""

from __future__ import annotations

import io
import re
import ssl
import zipfile
from pathlib import Path
from typing import Any

import httpx

from flows.demo import DemoServer

PICTURE = re.compile(r"(chemd|sktch|math|annot)[\w-]{14}\.(png|svg)")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # http only: loading certificates would cost 50 ms a test


class Lab:
    """A demo server and a client that keeps its connection open."""

    def __init__(self, server: DemoServer, client: httpx.Client, keyless: httpx.Client) -> None:
        self.server, self.world, self.client = server, server.world, client
        self.faults = server.world.faults
        self.keyless = keyless

    def key(self, username: str) -> dict[str, str]:
        return {"apiKey": self.world.user(username).api_key}

    def get(self, path: str, user: str = "mrossi", **headers: str) -> httpx.Response:
        return self.client.get(f"/api/v1/{path}", headers=self.key(user) | headers)

    def start(self, what: str = "xml/user", user: str = "mrossi") -> httpx.Response:
        return self.client.post(f"/api/v1/export/{what}", headers=self.key(user))

    def finished(self, what: str = "xml/user", user: str = "mrossi") -> dict[str, Any]:
        """Start, let the world's clock pass the end, poll once."""
        started = self.start(what, user)
        assert started.status_code == 202, started.text
        self.world.advance(1)
        job: dict[str, Any] = self.get(f"jobs/{started.json()['id']}", user).json()
        return job

    def archive(self, what: str, user: str = "mrossi") -> zipfile.ZipFile:
        link = self.finished(what, user)["_links"][0]["link"]
        return zipfile.ZipFile(io.BytesIO(self.client.get(link, headers=self.key(user)).content))

    def contents(self, what: str, user: str = "mrossi") -> dict[str, bytes]:
        """Members without the top folder and the manifest, random picture names made equal."""
        with self.archive(what, user) as archive:
            members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        return {
            PICTURE.sub(r"\1.\2", name): PICTURE.sub(r"\1.\2", data.decode("latin-1")).encode("latin-1")
            for name, data in members.items()
            if name not in ("manifest.txt", "index.html")
        }

    def poll(self, id_: int = 23) -> httpx.Response:
        return self.client.get(f"/api/v1/jobs/{id_}")

    def download(self, job: dict[str, Any]) -> httpx.Response:
        return self.client.get(job["_links"][0]["link"])

    def control(self, **wishes: Any) -> httpx.Response:
        return self.client.post("/demo/control", json=wishes)

    def built(self, id_: int) -> Path:
        """The archive of a job, as it lies on the server's disk."""
        file = self.world.jobs[id_].built
        assert file is not None
        return file.path
