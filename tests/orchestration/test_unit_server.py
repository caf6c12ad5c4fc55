"""The Prefect server as its unit starts it: on PostgreSQL, with a login, and nothing in SQLite."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows import config
from flows.ops import health, units
from tests.orchestration.house import wait_until

pytestmark = pytest.mark.server
LOGIN, PASSWORD = "admin:let-me-in", "s3cret"


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own on loopback: the URL that Prefect is given. It does not run as root."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL is not here: apt-get install postgresql, its bin folder on the path")
    folder, port = Path(tempfile.mkdtemp(prefix="strongroom-pg-")), free_port()
    other: dict[str, Any] = {} if os.geteuid() else {"user": "nobody", "group": "nogroup", "extra_groups": []}
    if other:
        shutil.chown(folder, other["user"])
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    made = ["initdb", "-D", f"{folder}/db", "-U", "prefect", "-A", "scram-sha-256", "--no-sync",
            f"--pwfile={folder / 'password'}"]  # fmt: skip
    subprocess.run(made, cwd=folder, stdout=subprocess.DEVNULL, check=True, **other)
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    started = ["postgres", "-D", f"{folder}/db", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(started, cwd=folder, stdout=log, stderr=log, **other)
    try:
        yield f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        child.terminate()
        child.wait(30)
        shutil.rmtree(folder)


def test_the_server_of_the_unit_keeps_its_records_in_postgresql(tmp_path: Path, postgres: str) -> None:
    """It starts with what the unit gives it, keeps what it is told, asks who we are, and doctor is content."""
    (tmp_path / "strongroom.toml").write_text("")
    (tmp_path / "state").mkdir()
    made = units.machine(config.load(tmp_path / "strongroom.toml"), workers=2, postgres=True)
    unit = units.units(replace(made, port=free_port()))["strongroom-server.service"]
    given = [shlex.split(line) for line in re.findall(r"^Environment=(.*)$", unit, re.M)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= dict(pair.split("=", 1) for line in given for pair in line)
    environ |= {"HOME": str(tmp_path), "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres}
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    url = environ["PREFECT_API_URL"]

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(
            shlex.split(command),
            cwd=tmp_path / "state",
            env={**environ, "PREFECT_SERVER_API_AUTH_STRING": LOGIN},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(answers, (tmp_path / "log").read_text() or "the server answers", 90)
        assert httpx.get(f"{url}/admin/version", trust_env=False).status_code == 401
        with httpx.Client(base_url=url, auth=("admin", "let-me-in"), trust_env=False) as api:
            assert api.post("/flows/", json={"name": "kept"}).status_code == 201
            assert api.get("/flows/name/kept").json()["name"] == "kept"
        assert health.prefect({**environ, "PREFECT_API_AUTH_STRING": LOGIN})[1] == ""
    finally:
        for process in (*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)):
            process.terminate()
        child.wait(60)
    assert (tmp_path / "state" / "prefect" / "ui" / "v2").is_dir()
    assert not list((tmp_path / "state" / "prefect").glob("*.db"))
