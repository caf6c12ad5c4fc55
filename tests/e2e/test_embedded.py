"""Without any Prefect configured: `strongroom run` and `demo` start a server of their own and say so."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from flows.demo import DemoServer
from flows.server_at_hand import stop_server
from tests.e2e.home import Home

pytestmark = pytest.mark.server


def test_the_server_is_started_reused_and_replaced(tmp_path: Path, server: DemoServer, home: Home) -> None:
    """The first run starts a server, the second finds it by its file, and one that died is replaced."""
    environ = {name: value for name, value in home.environ.items() if name != "PREFECT_API_URL"}
    alone = Home(home.folder, server, home.key, environ)
    try:
        first = alone.run("run", "lab/user")
        second = alone.run("run", "lab/user")
        record = json.loads((home.folder / "state" / "prefect-server.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)
        third = alone.run("run", "lab/user")
    finally:
        stop_server(home.folder / "state")

    assert [done.returncode for done in (first, second, third)] == [0, 0, 0]
    assert "started our Prefect server" in first.stderr
    assert "already running" in second.stderr
    assert "had died" in third.stderr
    assert not (tmp_path / "home" / ".prefect").exists()


def test_the_demo_tells_its_story(tmp_path: Path, home: Home) -> None:
    """Nights of a lab and an office, proven, one of each scope forgotten, one restored; no server is left."""
    environ = {name: value for name, value in home.environ.items() if name != "PREFECT_API_URL"}
    alone = Home(tmp_path, home.server, home.key, environ)

    done = alone.run("demo", "--nights", "4", "--folder", "shown", timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("5 scopes: 5 verified") == 4
    assert done.stdout.count("admissions/export:Nightly applicants") >= 3
    assert done.stdout.count("admissions/pdf:Full applications") >= 3
    assert "5 snapshots were forgotten by keep_last = 3" in done.stdout + done.stderr
    assert done.stdout.count("bit for bit the same") == 2
    assert not (tmp_path / "shown" / "state" / "prefect-server.json").exists()


def test_the_demo_empties_no_folder_of_somebody_else(tmp_path: Path, home: Home) -> None:
    """A folder that is not a demo's stays as it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")

    done = home.run("demo", "--folder", "mine")

    assert done.returncode == 2
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
