"""The server at hand with real server processes: started, reused, replaced, configured, stopped."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from flows import server_at_hand
from flows.server_at_hand import (
    PrefectTrouble,
    ServerAtHand,
    client_environment,
    configured_api_url,
    ensure_server,
    stop_server,
)

ROOT = Path(__file__).parents[2]
ENSURE = """
import json, sys
from pathlib import Path
from flows.server_at_hand import ensure_server
server = ensure_server(Path(sys.argv[1]))
print(json.dumps([server.origin, server.pid, server.api_url]))
assert "prefect" not in sys.modules
"""
PREFECTS_ANSWER = """
import json, os, sys
for folder, environ in json.load(sys.stdin):
    for name in [name for name in os.environ if name.startswith("PREFECT") or name == "HOME"]:
        del os.environ[name]
    os.environ.update(environ)
    os.chdir(folder)
    from prefect.settings import Settings
    print(json.dumps(Settings().api.url))
"""


def bare_environment(home: Path) -> dict[str, str]:
    """This process's environment without a word about Prefect, and a home without profiles."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("server") / "state"
    yield folder
    stop_server(folder)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: no prefect.toml or .env of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.server
def test_one_server_for_all_and_another_when_it_was_killed(state: Path, elsewhere: Path) -> None:
    """Two processes at once start one; a third reuses it; after kill -9 the next one replaces it."""
    environ = bare_environment(elsewhere)

    def ensure(_: int) -> tuple[str, int, str]:
        command = [sys.executable, "-c", ENSURE, str(state)]
        done = subprocess.run(command, env=environ, cwd=elsewhere, capture_output=True, check=True)
        origin, pid, url = json.loads(done.stdout)
        return origin, pid, url

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(ensure, range(2)))

    assert sorted(origin for origin, _, _ in both) == ["reused", "started"]
    assert len({(pid, url) for _, pid, url in both}) == 1
    record = state / "prefect-server.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    log = state / "prefect-server.log"
    log.chmod(0o644)

    again = ensure_server(state, environ=environ)
    assert (again.origin, again.pid) == ("reused", both[0][1])
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert again.describe().startswith("using our Prefect server at http://127.0.0.1:")

    adopted = environ | client_environment(again, state)
    assert ensure_server(state, environ=adopted) == again  # not taken for somebody else's

    assert again.pid is not None
    os.kill(again.pid, 9)
    other = ensure_server(state, environ=environ)
    assert other.origin == "replaced"
    assert other.pid != again.pid
    assert json.loads(record.read_text("utf-8"))["pid"] == other.pid
    _check_its_environment(other, state)
    _check_a_client_of(other, state, environ)

    assert stop_server(state)
    assert not record.exists()
    assert not stop_server(state)
    assert other.pid is not None
    assert not psutil.pid_exists(other.pid) or psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE


def _check_its_environment(server: ServerAtHand, state: Path) -> None:
    assert server.pid is not None
    environ = psutil.Process(server.pid).environ()
    assert environ["PREFECT_HOME"] == str(state.resolve() / "prefect")
    assert environ["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith("filesystem")
    assert environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.getsid(server.pid) == server.pid


def _check_a_client_of(server: ServerAtHand, state: Path, environ: dict[str, str]) -> None:
    """A client process with the environment that we name reaches this server."""
    environ = environ | client_environment(server, state)
    code = (
        "from prefect.client.orchestration import get_client\n"
        "with get_client(sync_client=True) as client:\n"
        "    assert client.api_healthcheck() is None\n"
        "    print(client.api_url, end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ | client_environment(server, state),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().rstrip("/") == server.api_url


def test_the_keys_of_sources_do_not_reach_our_server(tmp_path: Path) -> None:
    """It gets a short list of variables."""
    environ = {"PATH": "/bin", "RSPACE_API_KEY": "s3cret", "PREFECT_API_KEY": "s3cret", "LANG": "C.UTF-8"}

    given = server_at_hand._server_environment(tmp_path, environ, "http://127.0.0.1:1/api")

    assert "s3cret" not in given.values()
    assert given["PATH"] == "/bin"
    assert given["PREFECT_UI_URL"] == "http://127.0.0.1:1"


@pytest.mark.parametrize("before", ["", "lines of an older version\n"])
def test_a_server_that_cannot_start_is_quoted(tmp_path: Path, elsewhere: Path, before: str) -> None:
    """The message holds its last lines, the hint its log, which is for its owner only: also one from before."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "prefect.py").write_text("raise SystemExit('no such luck')", "utf-8")
    environ = bare_environment(tmp_path) | {"PYTHONPATH": str(broken)}
    log = tmp_path / "state" / "prefect-server.log"
    if before:
        log.parent.mkdir()
        log.write_text(before, "utf-8")
        log.chmod(0o644)

    with pytest.raises(PrefectTrouble, match=r"ended with status 1.*\n  no such luck") as caught:
        ensure_server(tmp_path / "state", environ=environ)

    assert str(log) in caught.value.hint
    assert (stat.S_IMODE(log.stat().st_mode), log.read_text("utf-8")) == (0o600, f"{before}no such luck\n")


class Healthy(BaseHTTPRequestHandler):
    """Answers Prefect's health check and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_configured_server_is_used_and_never_replaced(tmp_path: Path, elsewhere: Path) -> None:
    """It answers: used. It is silent, or is no Prefect server: an error with a hint, and nothing is started."""
    state = tmp_path / "state"
    with HTTPServer(("127.0.0.1", 0), Healthy) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{listening.server_port}"
        server = ensure_server(state, environ={"PREFECT_API_URL": f"{base}/api"})
        assert server == ServerAtHand(f"{base}/api", base, "configured", None)
        assert "PREFECT_HOME" not in client_environment(server, state)
        with pytest.raises(PrefectTrouble, match="health check answered 404"):
            ensure_server(state, environ={"PREFECT_API_URL": base})
        listening.shutdown()

    with pytest.raises(PrefectTrouble, match="no answer") as caught:
        ensure_server(state, environ={"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"})
    assert "PREFECT_API_URL" in caught.value.hint
    assert not state.exists()


def test_a_stranger_with_the_pid_of_our_dead_server_is_left_alone(tmp_path: Path) -> None:
    """After a reboot the pid may belong to anybody: the start time tells."""
    (tmp_path / "prefect-server.json").write_text(
        json.dumps(
            {
                "api_url": "http://127.0.0.1:1/api",
                "pid": os.getpid(),
                "process_started": time.time() + 1000,
                "started_at": "",
                "version": "",
            }
        ),
        "utf-8",
    )

    assert not stop_server(tmp_path)
    assert not (tmp_path / "prefect-server.json").exists()


def test_the_configured_address_is_the_one_that_prefect_itself_finds(tmp_path: Path) -> None:
    """Environment, .env, prefect.toml, pyproject.toml, profile: each alone, and each before the next."""
    files = {
        ".env": "# ours\nPREFECT_API_URL='http://dotenv/api'\n",
        "prefect.toml": '[api]\nurl = "http://prefect-toml/api"\n',
        "pyproject.toml": '[tool.prefect.api]\nurl = "http://pyproject/api"\n',
    }
    profiles = (
        'active = "one"\n[profiles.one]\nPREFECT_API_URL = "http://one/api"\n'
        '[profiles.two]\nPREFECT_API_URL = "http://two/api"\n[profiles.none]\n'
    )
    cases: list[tuple[Path, dict[str, str]]] = []
    for number, names in enumerate(
        [[], [".env"], ["prefect.toml"], ["pyproject.toml"], list(files), list(files)[1:]]
    ):
        folder = tmp_path / str(number)
        (folder / ".prefect").mkdir(parents=True)
        (folder / ".prefect" / "profiles.toml").write_text(profiles, "utf-8")
        for name in names:
            (folder / name).write_text(files[name], "utf-8")
        home = {"HOME": str(folder)}
        extras: list[dict[str, str]] = [
            {},
            {"PREFECT_API_URL": "http://environment/api"},
            {"PREFECT_PROFILE": "two"},
            {"PREFECT_PROFILE": "none"},
            {"PREFECT_PROFILE": "absent"},
            {"PREFECT_HOME": str(tmp_path / "nowhere")},
            {"PREFECT_PROFILES_PATH": str(tmp_path / "1" / ".prefect" / "profiles.toml")},
        ]
        cases += [(folder, home | extra) for extra in extras]

    ours = [configured_api_url(environ, folder) for folder, environ in cases]

    asked = json.dumps([(str(folder), environ) for folder, environ in cases])
    done = subprocess.run(
        [sys.executable, "-c", PREFECTS_ANSWER],
        input=asked.encode(),
        env=bare_environment(tmp_path / "0"),
        capture_output=True,
        check=True,
    )
    assert ours == [json.loads(line) for line in done.stdout.splitlines()]
    assert set(ours) > {None, "http://one/api", "http://two/api", "http://dotenv/api"}


def test_adopt_sets_the_environment_and_refuses_when_it_is_too_late(tmp_path: Path) -> None:
    """Before the import Prefect follows; after it, another address is an error instead of a surprise."""
    code = (
        "from pathlib import Path\n"
        "from flows.server_at_hand import PrefectTrouble, ServerAtHand, adopt\n"
        "adopt(ServerAtHand('http://127.0.0.1:1/api', 'http://127.0.0.1:1', 'started', 1), Path('state'))\n"
        "from prefect.settings import get_current_settings\n"
        "settings = get_current_settings()\n"
        "print(settings.api.url, settings.home, settings.server.ephemeral.enabled, settings.ui_url)\n"
        "adopt(ServerAtHand('http://127.0.0.1:1/api', 'http://127.0.0.1:1', 'reused', 1), Path('state'))\n"
        "try:\n"
        "    adopt(ServerAtHand('http://127.0.0.1:2/api', 'http://127.0.0.1:2', 'started', 1), Path('state'))\n"
        "except PrefectTrouble as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=bare_environment(tmp_path), capture_output=True, check=True
    )

    first, second = done.stdout.decode().splitlines()
    assert first == f"http://127.0.0.1:1/api {tmp_path / 'state' / 'prefect'} False http://127.0.0.1:1"
    assert second.startswith("prefect: was imported with the server http://127.0.0.1:1/api, wanted")


def test_a_proxy_is_not_asked_for_our_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user excludes already stays excluded."""
    monkeypatch.setenv("NO_PROXY", "intranet.example.org")
    monkeypatch.delenv("no_proxy", raising=False)

    given = client_environment(
        ServerAtHand("http://127.0.0.1:1/api", "http://127.0.0.1:1", "started", 1), tmp_path
    )

    assert given["NO_PROXY"] == "intranet.example.org,127.0.0.1,localhost"
