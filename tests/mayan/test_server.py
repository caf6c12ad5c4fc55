"""What the other tests rely on: the server is a real one, obeys its options, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.mayan import group, seeding
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

ROOT = Path(__file__).parents[2]
STARTER = """
import json, signal
from tests.mayan_server import Server
server = Server()
print(json.dumps([server.leader, str(server.folder), server.mayan.url]), flush=True)
signal.pause()
"""
QUICK = {
    "CONVERTER_IMAGE_GENERATION_TIMEOUT": "10",  # seconds; a page that is drawn is locked for twice as many
    "LOCK_MANAGER_DEFAULT_LOCK_TIMEOUT": "1",  # seconds; 30
    "DOWNLOAD_FILE_EXPIRATION_INTERVAL": "1",  # seconds; 2880
    "REST_API_THROTTLING_RATE_ANONYMOUS": "2/minute",  # 5/second
}
PURGE = "mayan.apps.storage.tasks.task_download_files_stale_delete"


@pytest.fixture(scope="module")
def quick(start_mayan: StartMayan) -> Iterator[Server]:
    """A server whose locks and download files live for a second, with a low limit for strangers."""
    with start_mayan(settings=QUICK) as server:
        yield server


def test_login(mayan: Mayan, admin: httpx.Client) -> None:
    """Token and password are the administrator's, the version is the one asked for, a stranger is nobody."""
    assert admin.get("/users/current/").json()["username"] == mayan.user
    assert admin.get("/project/").json()["__version__"] == mayan.version == "4.12.2"
    assert httpx.get(f"{mayan.url}/api/v4/users/current/", auth=(mayan.user, mayan.password)).status_code == 200
    assert httpx.get(f"{mayan.url}/api/v4/users/current/").status_code == 403


def test_a_file_comes_back_as_it_was(admin: httpx.Client) -> None:
    """Every byte of what was uploaded, of a kind that has pages and of one that has none."""
    sent = [("a.pdf", pdf("bytes", pages=2)), ("b.bin", bytes(range(256)) * 40)]
    document = seeding.make_document(admin, "Bytes", sent)

    for file, (name, content) in zip(document.files, sent, strict=True):
        got = admin.get(f"/documents/{document.id}/files/{file.id}/download/")
        assert (file.filename, file.size, got.content) == (name, len(content), content)


def test_a_killed_worker_exports_nothing_and_settings_hold(quick: Server) -> None:
    """An export dies with its worker; the lock that it held goes after its second, and so does a download file."""
    with quick.mayan.client() as api:
        document = seeding.make_document(api, "Long", [("long.pdf", pdf("long", pages=20))])
        (version,) = seeding.wait_versions(api, document.id)
        export = f"/documents/{document.id}/versions/{version}/export/"
        drawn = quick.folder / "media" / "document_version_page_image_cache"
        before = len(list(drawn.rglob("*")))
        seeding.ok(api.post(export))
        seeding.wait(lambda: len(list(drawn.rglob("*"))) > before or None, "the first page is drawn")
        quick.kill_worker()

        assert not seeding.rows(api, "/downloads/")
        seeding.make_type(api, "the server itself goes on")
        quick.start_worker()
        made = made_anew(api, export)  # within 30 s of the death: the default would refuse with a LockError
        assert made["filename"].startswith("Long")

        def expired() -> bool | None:  # the dead task may have been taken up again, and end now
            quick.run_task(PURGE)
            return None if seeding.rows(api, "/downloads/") else True

        seeding.wait(expired, "the exports have expired", 180)


def made_anew(api: httpx.Client, export: str) -> seeding.Json:
    """An export, asked for again where it was not made in a while: a page of it may still be locked."""
    for _ in range(5):
        seeding.ok(api.post(export))
        with suppress(AssertionError):
            return seeding.wait(lambda: seeding.rows(api, "/downloads/") or None, "the export is listed", 40)[0]
    raise AssertionError("no export was made in five times")


def test_a_low_limit_for_strangers_holds(quick: Server) -> None:
    """The third question in a minute is refused."""
    said = [httpx.get(f"{quick.mayan.url}/api/v4/project/").status_code for _ in range(3)]

    assert said[-1] == 429


def test_without_a_worker_nothing_is_done_until_there_is_one(start_mayan: StartMayan) -> None:
    """An upload is accepted and its file has no checksum; a worker that comes later sees to it."""
    with start_mayan(workers=0) as server, server.mayan.client() as api:
        made = seeding.make_document(api, "Waits")
        path = f"/documents/{made.id}/files/"
        seeding.ok(api.post(path, data={"action_name": "replace"}, files={"file_new": ("a.pdf", pdf("waits"))}))
        assert not any(row["checksum"] for row in seeding.rows(api, path))

        server.start_worker()
        seeding.wait(lambda: any(row["checksum"] for row in seeding.rows(api, path)) or None, "the file is listed")


def test_stop_leaves_nothing(mayan: Mayan, admin: httpx.Client, start_mayan: StartMayan) -> None:
    """No process and no folder; another server beside it goes on."""
    server = start_mayan(workers=2, beat=True)
    living = group.members(server.leader)
    assert len(living) >= 8  # a shell, redis, gunicorn and its worker, Celery and its two, beat
    assert "beat: Starting..." in server.log("beat")
    server.stop()

    assert group.members(server.leader) == []
    assert not server.folder.exists()
    assert admin.get("/users/current/").json()["username"] == mayan.user


def test_a_killed_starter_leaves_nothing(mayan: Mayan) -> None:
    """SIGKILL to who started a server ends the server and removes its folder."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", STARTER], env=environ, stdout=subprocess.PIPE) as starter:
        assert starter.stdout
        leader, folder, url = json.loads(starter.stdout.readline())
        assert len(group.members(leader)) >= 6
        assert httpx.get(f"{url}/api/v4/project/").status_code == 200
        starter.send_signal(signal.SIGKILL)
        starter.wait()

    seeding.wait(lambda: None if group.members(leader) else True, "the server has ended", deadline_s=5)
    seeding.wait(lambda: None if Path(folder).exists() else True, "its folder is gone", deadline_s=5)
