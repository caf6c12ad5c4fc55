"""Scrub and drill as scheduled flows on a real Prefect server: their states, their pages, what they leave."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from flows.ops.deployments import MAINTENANCE
from tests.e2e.home import Home, until
from tests.e2e.test_serve import ended, lives, start, state

pytestmark = pytest.mark.server


def page(api: httpx.Client, key: str) -> Any:
    """The newest page under that key."""
    body = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC"}
    return api.post("/artifacts/filter", json=body).json()[0]


def run(api: httpx.Client, *deployments: str) -> list[Any]:
    """The states in which a run of each ends, all started at once."""
    made = [start(api, f"{name}/{name}") for name in deployments]
    until(f"{deployments} ended", lambda: all(ended(api, one) for one in made))
    return [state(api, one) for one in made]


def test_scrub_and_drill_run_by_prefect(home: Home, api: httpx.Client) -> None:
    """Scheduled; a good end and a bad one each, with heads and files on their pages, recorded and remembered."""
    assert home.run("run", "lab/user").returncode == 0
    (snapshot,) = home.json("snapshots")["snapshots"]
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        for name, usual in MAINTENANCE.items():
            schedules = api.get(f"/deployments/name/{name}/{name}").json()["schedules"]
            assert [one["schedule"]["cron"] for one in schedules] == ([usual.cron] if usual.cron else [])

        scrubbed, drilled = run(api, "scrub", "drill")

        assert (scrubbed["type"], drilled["type"]) == ("COMPLETED", "COMPLETED"), (scrubbed, drilled)
        assert f"lab/user 1 {snapshot['id'][:12]}" in scrubbed["message"]
        assert "passed; 1 files" in drilled["message"]
        assert f"`{snapshot['id']}`" in page(api, "scrub")["data"]
        assert '"outcome": "passed"' in page(api, "drill")["data"]
        status = home.json("status")["upkeep"]
        records = [json.loads(path.read_text()) for path in (home.folder / "archive" / "records").rglob("*.json")]
        assert sorted(record["kind"] for record in records) == ["drill", "run", "scrub"]
        # A night's share is read to the end of a pack: of the two, content and listing, one or both.
        (left,) = (record["packs"] - record["packs_read"] for record in records if record["kind"] == "scrub")
        assert left <= 1
        assert (status["never_read"], status["last_drill"]["outcome"]) == (left, "passed")

        for pack in (home.folder / "archive" / "packs").rglob("*.pack"):
            data = bytearray(pack.read_bytes())
            data[60] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
        ends = run(api, "scrub", "drill", "upkeep")

        assert {(end["type"], end["name"]) for end in ends} == {("FAILED", "Damaged")}, ends
        assert re.search(r"\b[12] findings, the first: packs/", ends[0]["message"])  # as many as it read
        assert snapshot["id"][:8] in page(api, "scrub")["data"]
        assert '"outcome": "failed"' in page(api, "drill")["data"]
        whole = snapshot["files"][0]["name"]
        assert not any(whole in page(api, key)["data"] for key in ("scrub", "drill"))
        assert not any(whole in end["message"] for end in ends)
    assert list((home.folder / "state" / "drill").iterdir()) == []


@pytest.mark.parametrize(("switch", "why"), [("false", "drill = false"), ("true", "no snapshot yet")])
def test_a_drill_without_work_is_skipped(home: Home, api: httpx.Client, switch: str, why: str) -> None:
    """Switched off by `[upkeep] drill = false`, or an archive without snapshots."""
    home.config.write_text(f"[upkeep]\ndrill = {switch}\n" + home.config.read_text())
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        (end,) = run(api, "drill")

    assert (end["type"], end["name"]) == ("COMPLETED", "Skipped")
    assert why in end["message"]
