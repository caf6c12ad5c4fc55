"""kill -9 in a night of exports; then one more run: complete, and nothing was made or fetched twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.archive import Archive
from storage.backend import open_url
from storage.scrub import scrub
from tests.mayan import exporting, seeding
from tests.mayan.files import pdf
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

CONFIG = """
[[source]]
name = "office"
system = "mayan"
url = "{url}"
token = {{ env = "STRONGROOM_TEST_TOKEN" }}
requests_per_s = 0
poll_first_s = 0.05
[[source.scope]]
kind = "type"
id = "{type}"
name = "killed"
exports = "active"
"""
EXPORTS, DOWNLOADS = "flows.sources.mayan_exports:Exports", "flows.sources.mayan_downloads:Downloads"
# Where in the life of an export, or of the night, and at which call.
DEATHS = [
    (f"{EXPORTS}._note", 1, "after"),  # noted, and never asked for: the next run looks for it, then asks
    (f"{EXPORTS}._note", 2, "before"),  # asked for, and what came of it never noted
    (f"{DOWNLOADS}.look", 1, "before"),  # waited for
    (f"{DOWNLOADS}.fetch", 1, "after"),  # fetched, not yet in the spool
    (f"{DOWNLOADS}.remove", 1, "before"),  # in the spool, still at the server
    ("flows.sources.mayan:Mayan.open", 2, "after"),  # in a file
    ("storage.backend:LocalDisk.put_new", 1, "after"),  # in the archive
]


@pytest.fixture
def api(mayan: Mayan) -> Iterator[httpx.Client]:
    """An administrator's."""
    with mayan.client() as client:
        yield client


@pytest.mark.parametrize(("step", "call", "when"), DEATHS)
def test_a_killed_night_is_finished_by_the_next(
    tmp_path: Path, api: httpx.Client, mayan_server: Server, step: str, call: int, when: str
) -> None:
    """One more run is verified; each export was made once and none is left, each file was fetched once, or twice
    if it was the one that the process died in."""
    kind = str(seeding.make_type(api, f"{step} {when}"))
    document, _ = exporting.of_pages(api, kind, "killed", 2)
    seeding.add_file(api, document, "more.bin", b"no pages")
    seeding.make_document(api, "another", [("b.pdf", pdf("b"))], type_id=int(kind))
    seeding.wait_versions(api, document + 1)
    before = exporting.received(mayan_server)
    there = exporting.left(api), exporting.messages(api)  # of other tests on this server
    archive = Archive.create(open_url(str(tmp_path / "archive")), now=datetime.now(UTC))
    config = tmp_path / "strongroom.toml"
    config.write_text(CONFIG.format(url=mayan_server.mayan.url, type=kind))

    assert run(config, mayan_server.mayan, step, call, when) is None
    answer = run(config, mayan_server.mayan, "none", 0, "before")

    assert answer is not None
    assert answer["ended"] == "verified", answer
    assert len(archive.snapshots()) == 1
    assert not scrub(archive).findings
    assert exporting.received(mayan_server) - before == 2
    assert (exporting.left(api), exporting.messages(api)) == there
    fetched = [
        exporting.downloaded(api, file["id"])
        for each in (document, document + 1)
        for file in seeding.rows(api, f"/documents/{each}/files/")
    ]
    looked = 1  # by HEAD, whether downloads are allowed
    assert sum(fetched) <= 3 + looked + (step.endswith("open"))
    assert not list((tmp_path / "state" / "spool").iterdir())


def run(config: Path, mayan: Mayan, step: str, call: int, when: str) -> dict[str, Any] | None:
    """One night in a process of its own; None where it was killed, as told."""
    told = [str(config), "office", "killed", step, str(call), when, datetime.now(UTC).isoformat()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.driver", *told],
        env={**os.environ, "STRONGROOM_TEST_TOKEN": mayan.token},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode == -9:
        return None
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
