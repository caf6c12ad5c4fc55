"""Steering the demo server: how switches are set and counted, the control address, the command.

What each switch does is in test_demo_faults.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.demo import Faults
from flows.demo.faults import SWITCHES
from tests.demo.lab import Lab

# -- the switches themselves ----------------------------------------------------------------------------------


def test_every_switch_can_be_set_counted_and_reset() -> None:
    """Each field accepts true or a value, is used up after its times, and reset clears it."""
    for name, default in SWITCHES.items():
        faults = Faults()
        value: Any = "page" if isinstance(default, str) else True
        counted: dict[str, Any] = {name: {"value": value, "times": 2}}
        faults.set(**counted)
        assert [bool(faults.take(name)) for _ in range(3)] == [True, True, False]
        faults.set(**{name: value})
        assert faults.active() == {name: getattr(faults, name)}
        faults.reset()
        assert faults.active() == {}


def test_unknown_and_unfitting_switches_are_refused() -> None:
    """A misspelt switch names the known ones; a text switch refuses a number."""
    with pytest.raises(ValueError, match=r"unknown fault wrong_crcs, known are queue_delay_s"):
        Faults().set(wrong_crcs=True)
    with pytest.raises(ValueError, match="wants a text"):
        Faults().set(user_off=3)


# -- control --------------------------------------------------------------------------------------------------


def test_control_moves_time_and_nights(lab: Lab) -> None:
    """advance_s moves the clock; nights also lets people work; neither shows in the request log."""
    before = dict(lab.world.lab.documents)
    assert lab.control(advance_s=60).json()["now"] == "2026-11-16T02:31:00.000Z"
    assert lab.world.lab.documents == before
    assert lab.control(nights=2).json()["now"] == "2026-11-18T02:31:00.000Z"
    assert lab.world.lab.documents != before
    assert lab.server.requests == []


def test_control_deletes_somebody_s_work(lab: Lab) -> None:
    """All documents but the first ones and the files that only the others showed; an unknown user is refused."""
    world = lab.world
    owner = world.user("mrossi").id
    first = world.lab.documents_of(owner)[0]
    others = [document for document in world.lab.documents.values() if document.owner_id != owner]

    assert lab.control(delete_work={"mrossi": 1}).status_code == 200

    left = world.lab
    assert left.documents_of(owner) == [first]
    assert {file.id for file in left.files.values() if file.owner_id == owner} == set(first.file_ids)
    assert [document for document in left.documents.values() if document.owner_id != owner] == others
    assert lab.control(delete_work={"nobody": 0}).status_code == 400


def test_control_sets_and_resets_faults(lab: Lab) -> None:
    """Switches can be set with or without a count, are shown, and null clears them."""
    shown = lab.control(faults={"zombie": True, "truncate_after": {"value": 9, "times": 2}}).json()["faults"]
    assert shown == {"zombie": True, "truncate_after": {"value": 9, "times": 2}}
    assert lab.control(faults=None).json()["faults"] == {}
    refused = lab.control(faults={"zombi": True})
    assert refused.status_code == 400
    assert "unknown fault zombi" in refused.json()["error"]
    assert lab.control(nonsense=1).status_code == 400


def test_control_serves_a_given_file_once(lab: Lab, tmp_path: Path) -> None:
    """The next completed export is that very file with its own size and CRC; the one after is built again."""
    given = tmp_path / "real.zip"
    given.write_bytes(b"PK-like bytes" * 1000)
    assert lab.control(serve_file=str(given)).status_code == 200
    job = lab.finished("html/group")
    assert lab.download(job).content == given.read_bytes()
    assert job["result"]["checksum"] == str(zlib.crc32(given.read_bytes()))
    assert lab.finished()["result"]["size"] != given.stat().st_size
    assert lab.control(serve_file=str(tmp_path / "none.zip")).status_code == 400


def test_control_asks_for_bulk_and_speed(lab: Lab) -> None:
    """bulk_bytes enlarges the next exports, run_s stretches their life."""
    lab.control(bulk_bytes=3_000_000, run_s=500)
    assert lab.finished()["status"] == "STARTED"
    lab.world.advance(500)
    assert lab.poll().json()["result"]["size"] > 3_000_000


def test_control_shows_the_request_log(lab: Lab) -> None:
    """GET /demo/requests lists what was asked on both ports."""
    lab.client.get("/api/v1/status")
    log = lab.client.get("/demo/requests").json()
    assert log == {
        "requests": [{"method": "GET", "path": "/api/v1/status", "has_key": True, "status": 200}],
        "foreign": [],
    }
    assert lab.client.get("/demo/nothing").status_code == 404


def test_the_command_prints_one_line_and_ends_on_a_signal() -> None:
    """`python -m flows.demo` announces address, keys and ids, serves, finishes jobs at once, and stops cleanly."""
    command = [sys.executable, "-m", "flows.demo", "--port", "0", "--seed", "5", "--poll-free"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        rspace = told["rspace"]
        with httpx.Client(base_url=rspace["url"], headers={"apiKey": rspace["api_key"]}) as client:
            me = client.get("/api/v1/userDetails/whoami").json()
            job = client.post(f"/api/v1/export/xml/group/{rspace['group_id']}").json()
            done = client.get(f"/api/v1/jobs/{job['id']}").json()
            assert client.post(told["control"], json={"advance_s": 1}).status_code == 200
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=10)

    assert (me["id"], done["status"]) == (rspace["user_id"], "COMPLETED")
    assert set(rspace) == {"url", "api_key", "user_id", "group_id", "record_ids", "users", "groups"}
    assert len(rspace["users"]) == 4
    assert (process.returncode, rest, errors) == (0, "", "")
