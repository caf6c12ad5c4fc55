"""The doctor's questions about operations: a sentence where all is well, a warning or a hint where not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from flows import config
from flows.cli.app import run
from flows.config import Settings
from flows.errors import ConfigError
from flows.ops import health
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture
LOGIN = "admin:secret"
SOURCE = """
[[source]]
name = "lab"
system = "rspace"
url = "https://eln.example.org"
api_key = { env = "NONE" }
"""
SCOPE = '[[source.scope]]\nkind = "user"\nid = 7\n'


def settings(folder: Path, text: str) -> Settings:
    """A configuration."""
    (folder / "strongroom.toml").write_text(text)
    return config.load(folder / "strongroom.toml")


def test_scopes_without_a_schedule_are_named(tmp_path: Path) -> None:
    """A scope's own schedule will do, and so will its source's."""
    assert health.schedules(settings(tmp_path, SOURCE + SCOPE)) == (
        "none", "lab/user:7: run by hand only; give the source `schedule = { cron = … }`",
    )  # fmt: skip
    own = SCOPE + 'schedule = { cron = "0 5 * * 6", timezone = "UTC" }\n'
    assert health.schedules(settings(tmp_path, SOURCE + own)) == ("lab/user:7 by '0 5 * * 6', UTC", "")
    whole = SOURCE + 'schedule = { cron = "30 3 * * *" }\n' + SCOPE
    assert health.schedules(settings(tmp_path, whole)) == ("lab by '30 3 * * *', UTC", "")


def test_addresses_are_looked_for_and_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody to tell is a warning, an address that is not there costs the check, none of them is ever shown."""
    assert "nobody is told" in health.addresses(settings(tmp_path, ""))[1]

    text = '[notify]\nto = [{ env = "TELL_ME" }]\n[[ping]]\nof = "nightly"\nurl = { file = "ping" }\n'
    monkeypatch.setenv("TELL_ME", "ntfy://topic-secret")
    with pytest.raises(ConfigError, match=r"ping 1: url: file .*ping cannot be read"):
        health.addresses(settings(tmp_path, text))
    (tmp_path / "ping").write_text("https://ping.example.org/secret")
    assert health.addresses(settings(tmp_path, text)) == ("1 to tell, 1 to ping", "")
    monkeypatch.setenv("TELL_ME", " ")
    with pytest.raises(ConfigError, match="notify: to, number 1: environment variable TELL_ME is empty") as told:
        health.addresses(settings(tmp_path, text))
    assert "secret" not in str(told.value)
    monkeypatch.setenv("TELL_ME", "mailer://secret")
    with pytest.raises(ConfigError, match="notify: to, number 1: no address that Apprise knows") as told:
        health.addresses(settings(tmp_path, text))
    assert "secret" not in str(told.value)


def test_metrics_can_be_written_and_are_not_shown_to_everybody(tmp_path: Path) -> None:
    """A folder that is not there is told before the first night; an address that others reach is warned of."""
    with pytest.raises(ConfigError, match=r"none: takes no file"):
        health.metrics(settings(tmp_path, '[metrics]\nfile = "none/s.prom"\n'))

    here = settings(tmp_path, '[metrics]\nfile = "s.prom"\nlisten = "127.0.0.1:9187"\n')
    assert health.metrics(here) == ("s.prom, 127.0.0.1:9187", "")
    wide = settings(tmp_path, '[metrics]\nlisten = "0.0.0.0:9187"\n')
    assert "can read the names of scopes" in health.metrics(wide)[1]


@contextmanager
def prefect_server(host: str, *, version: str = "", login: str = "") -> Iterator[str]:
    """What answers as a Prefect server does when it is asked for its version; its API's address on loopback."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = not login or self.headers.get("Authorization") == "Basic YWRtaW46c2VjcmV0"
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(f'"{version or metadata.version("prefect")}"'.encode() if known else b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer((host, 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def asked(url: str, **environ: str) -> tuple[str, str]:
    """What the doctor says of the server that is configured."""
    return health.prefect({"PREFECT_API_URL": url, **environ})


def test_a_server_on_loopback_needs_no_login() -> None:
    """Its version is told."""
    with prefect_server("127.0.0.1") as url:
        assert asked(url) == (f"{url}, Prefect {metadata.version('prefect')}", "")


def test_a_server_of_another_version_is_warned_of() -> None:
    """Both versions are named."""
    with prefect_server("127.0.0.1", version="2.1.0") as url:
        assert asked(url)[1].startswith("the server is 2.1.0, this is ")


def test_a_server_that_is_open_to_the_network_is_warned_of() -> None:
    """Also where we ask it on loopback: what counts is where it listens. With a login it is well."""
    with prefect_server("0.0.0.0") as url:  # noqa: S104 - that is the point
        assert "PREFECT_SERVER_API_AUTH_STRING" in asked(url)[1]
    with prefect_server("0.0.0.0", login=LOGIN) as url:  # noqa: S104
        assert asked(url, PREFECT_API_AUTH_STRING=LOGIN)[1] == ""
        with pytest.raises(ConfigError, match=r"refuses our login \(401\)") as told:
            asked(url, PREFECT_API_AUTH_STRING="admin:wrong")
        assert "wrong" not in str(told.value) + told.value.hint


def test_a_configured_server_that_is_silent_costs_the_check() -> None:
    """Every run would fail."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
    with pytest.raises(ConfigError, match="no answer"):
        asked(url)
    with pytest.raises(ConfigError, match="not an http"):
        asked("ftp://127.0.0.1/api")


def test_no_server_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` and `serve` have their own."""
    monkeypatch.chdir(tmp_path)
    assert health.prefect({"HOME": str(tmp_path)})[1] == ""


def test_units_and_clock_are_what_systemd_says() -> None:
    """One process or several; without the watch nobody looks when Prefect is down."""
    on, off = "enabled", "not-found"
    states = {"strongroom-serve.service": on, "strongroom-server.service": off, health.WATCH: on}

    assert health.enabled(states) == (f"enabled: strongroom-serve.service, {health.WATCH}", "")
    assert "nobody looks" in health.enabled({**states, health.WATCH: off})[1]
    assert "starts the nights" in health.enabled({health.WATCH: on})[1]
    assert health.enabled({})[0] == "enabled: none"
    assert [health.kept_right(word)[1] != "" for word in ("yes", "no", "")] == [False, True, False]


def test_doctor_asks_all_of_it(shell: Shell) -> None:
    """Each question is a line; what only warns does not fail."""
    shell.run("init", "--yes", "--no-encryption")
    with (shell.folder / "strongroom.toml").open("a") as stream:
        stream.write('[metrics]\nlisten = "0.0.0.0:9187"\n')

    done = shell.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "warn notify: 0 to tell, 0 to ping; nobody is told when a night fails" in done.stdout
    assert "warn metrics: 0.0.0.0:9187; whoever reaches" in done.stdout
    assert "ok   prefect: " in done.stdout


def test_metrics_and_units_are_printed_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line: text for Prometheus, Grafana's dashboard, systemd's units."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STRONGROOM_CONFIG", raising=False)

    def told(*arguments: str, code: int = 0) -> str:
        assert run(arguments) == code
        said = capsys.readouterr()
        return said.out + said.err

    told("init", "--yes", "--no-encryption")
    assert "\nstrongroom_packs{archive=" in told("metrics")
    assert "wrote s.prom" in told("metrics", "--to", "s.prom")
    assert Path("s.prom").read_text().startswith("# HELP strongroom_build_info ")
    assert "does not end in .prom" in told("metrics", "--to", "s.txt", code=2)
    assert told("metrics", "--dashboard").startswith('{\n "title": "Strongroom"')

    assert "# ---- strongroom-serve.service\n" in told("units")
    Path("system").mkdir()
    said = told("units", "--to", "system", "--workers", "2", "--user", "backup")
    assert "enable --now strongroom-server strongroom-worker@1 strongroom-worker@2" in said
    assert "User=backup\n" in Path("system", "strongroom-worker@.service").read_text()
    assert "cannot be written" in told("units", "--to", "none", code=2)
    assert "--workers 2" in told("units", "--postgres", code=2)
    assert "no name of a user" in told("units", "--user", "a\nExecStart=/bin/sh", code=2)
