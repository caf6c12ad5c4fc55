"""The Prefect server at hand: the configured one, else one of our own that outlives the command that started it.

It finds, starts and stops a server and says what a client must set; it does not import Prefect (the command
line loads this before it knows whether Prefect is needed) and knows nothing of flows or deployments.

Our own server listens on loopback only. It gets a short list of variables instead of the whole environment,
so that the keys of the sources are not held by a process that does not need them.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from flows.server_configured import configured_api_url

START_DEADLINE_S = 90.0  # a first start on a slow disk takes about 15 s: the database is made and migrated
STOP_DEADLINE_S = 15.0  # between SIGTERM and SIGKILL
HEALTH_TIMEOUT_S = 5.0
LOG = "prefect-server.log"  # in the state folder, for its owner only
LOG_LINES_QUOTED = 12

INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV",
             "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")  # fmt: skip
INHERITED_PREFIXES = ("PYTHON", "PREFECT_SERVER_SERVICES_", "PREFECT_SERVER_LOGGING_", "PREFECT_SERVER_UI_")

Origin = Literal["configured", "reused", "started", "replaced"]


class PrefectTrouble(Exception):
    """Prefect cannot be used as asked; `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ServerAtHand:
    """A server that answered its health check a moment ago."""

    api_url: str  # ends in /api
    ui_url: str
    origin: Origin
    pid: int | None  # of our own server; None for a configured one

    def describe(self) -> str:
        """One sentence for the user."""
        match self.origin:
            case "configured":
                return f"using the configured Prefect server at {self.api_url}"
            case "reused":
                return f"using our Prefect server at {self.ui_url} (pid {self.pid}), already running"
            case "started":
                return f"started our Prefect server at {self.ui_url} (pid {self.pid}); it goes on running"
            case "replaced":
                return f"our Prefect server had died; started another at {self.ui_url} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Record:
    """What `prefect-server.json` says. The pid alone proves nothing after a reboot: its start time does."""

    api_url: str
    pid: int
    process_started: float  # seconds since the epoch, as the kernel tells it
    started_at: str
    version: str


def ensure_server(state: Path, *, environ: Mapping[str, str] = os.environ) -> ServerAtHand:
    """The configured server, else ours: reused while it lives, started (or replaced) otherwise.

    A configured server that does not answer is an error: starting another beside it would split the history.
    Processes that call this at the same moment get the same server. Retry: yes.
    Raises PrefectTrouble: a configured server is silent, or ours does not start.
    """
    url, ours = configured_api_url(environ), _read_record(state)
    if url and not (ours and ours.api_url == url):  # adopt() put ours into the environment
        _require_answer(url)
        ui = environ.get("PREFECT_UI_URL") or _ui_url(url)
        return ServerAtHand(api_url=url, ui_url=ui, origin="configured", pid=None)
    with _locked(state):
        (state / LOG).touch(0o600)
        (state / LOG).chmod(0o600)  # an older version made it for everybody to read
        record = _read_record(state)
        if record and _is_alive(record) and _answers_within(record, HEALTH_TIMEOUT_S):
            return ServerAtHand(record.api_url, _ui_url(record.api_url), "reused", record.pid)
        if record:
            _stop(record)  # alive but mute: two servers on one database would schedule everything twice
        fresh = _start(state, environ)
        return ServerAtHand(fresh.api_url, _ui_url(fresh.api_url), "replaced" if record else "started", fresh.pid)


def answering_server(state: Path, *, environ: Mapping[str, str] = os.environ) -> ServerAtHand | None:
    """The server that `ensure_server` would find, if one answers now; none is started. It does not raise."""
    url, ours = configured_api_url(environ), _read_record(state)
    if url and not (ours and ours.api_url == url):
        found = ServerAtHand(url, environ.get("PREFECT_UI_URL") or _ui_url(url), "configured", None)
    elif ours and _is_alive(ours):
        found = ServerAtHand(ours.api_url, _ui_url(ours.api_url), "reused", ours.pid)
    else:
        return None
    return found if _health_trouble(found.api_url) is None else None


def stop_server(state: Path) -> bool:
    """Stop our server if it is ours and lives: SIGTERM, then SIGKILL. True if there was one to stop."""
    if not state.is_dir():
        return False
    with _locked(state):
        record = _read_record(state)
        stopped = record is not None and _stop(record)
        _record_path(state).unlink(missing_ok=True)
        return stopped


def client_environment(server: ServerAtHand, state: Path) -> dict[str, str]:
    """What a process must have in its environment before it imports Prefect, so that it talks to `server`."""
    settings = {
        "PREFECT_API_URL": server.api_url,
        "PREFECT_UI_URL": server.ui_url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # an ephemeral server loses records on exit
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # our modules log through the standard library; this copies their lines into the run's log
        "PREFECT_LOGGING_EXTRA_LOGGERS": os.environ.get("PREFECT_LOGGING_EXTRA_LOGGERS") or "flows,storage",
    }
    if server.origin == "configured":
        return settings
    return settings | {"PREFECT_HOME": str(_home(state))} | _past_any_proxy(os.environ)


def adopt(server: ServerAtHand, state: Path) -> None:
    """Make this process (and those it starts) a client of `server`. To be called before Prefect is imported.

    Raises PrefectTrouble if Prefect was imported before and holds another address: its settings are read once.
    """
    os.environ.update(client_environment(server, state))
    if (loaded := sys.modules.get("prefect.settings")) is None:
        return
    held = loaded.get_current_settings().api.url
    if held != server.api_url:
        raise PrefectTrouble(
            f"prefect: was imported with the server {held}, wanted {server.api_url}",
            "call adopt() before anything imports prefect, flows.backup or flows.upkeep",
        )


# -- health


def _require_answer(api_url: str) -> None:
    if (trouble := _health_trouble(api_url)) is None:
        return
    raise PrefectTrouble(
        f"{api_url}: {trouble}, promised a Prefect server",
        "start that server, or correct PREFECT_API_URL (or the active Prefect profile); "
        "with none set, Strongroom starts a server of its own",
    )


def _health_trouble(api_url: str) -> str | None:
    """None if a Prefect server answers. 401 and 403 are answers: the client will say what is wrong."""
    if urlsplit(api_url).scheme not in ("http", "https"):
        return "is not an http or https address"
    loopback = urlsplit(api_url).hostname in ("127.0.0.1", "localhost", "::1")
    proxies = urllib.request.ProxyHandler({}) if loopback else urllib.request.ProxyHandler()
    try:
        with urllib.request.build_opener(proxies).open(api_url.rstrip("/") + "/health", timeout=HEALTH_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as exc:
        return None if exc.code in (401, 403) else f"health check answered {exc.code}"
    except (OSError, ValueError) as exc:
        return f"no answer ({getattr(exc, 'reason', exc)})"


def _answers_within(record: Record, deadline_s: float) -> bool:
    """Whether the server answers its health check before the deadline, as long as its process lives."""
    end = time.monotonic() + deadline_s
    while _is_alive(record):
        if _health_trouble(record.api_url) is None:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return False


def _is_alive(record: Record) -> bool:
    return _process(record) is not None


def _process(record: Record) -> psutil.Process | None:
    """The very process that the record names, or None; one that is dead but not yet reaped is None."""
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.process_started) < 0.1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


# -- our own server


def _start(state: Path, environ: Mapping[str, str]) -> Record:
    log = state / LOG
    port = _free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as out:
        offset = out.tell()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=state,  # no prefect.toml or .env of the caller's folder, and no unmount blocked by it
            env=_server_environment(state, environ, api_url),
            start_new_session=True,  # Ctrl-C in the terminal is not meant for it
        )
    record = Record(
        api_url=api_url,
        pid=child.pid,
        process_started=psutil.Process(child.pid).create_time(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=metadata.version("prefect"),
    )
    _write_record(state, record)  # before the wait: a caller that is killed now leaves no unknown server
    if _answers_within(record, START_DEADLINE_S):
        return record
    code = child.poll()
    _stop(record)
    what = f"ended with status {code}" if code is not None else f"did not answer within {START_DEADLINE_S:.0f} s"
    raise PrefectTrouble(
        f"our Prefect server {what}; its last lines:\n{_last_lines(log, offset)}",
        f"the whole log is {log}; the database is in {_home(state)}",
    )


def _server_environment(state: Path, environ: Mapping[str, str], api_url: str) -> dict[str, str]:
    kept = {k: v for k, v in environ.items() if k in INHERITED or k.startswith(INHERITED_PREFIXES)}
    return kept | {
        "PREFECT_HOME": str(_home(state)),
        "PREFECT_API_URL": api_url,  # the UI in the browser and the server's own services use it
        "PREFECT_UI_URL": _ui_url(api_url),  # links in notifications
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # leases in memory are lost in a restart and leave their slots taken for ever
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # only events are purged unless asked; our catalog is the long-term record, so 90 days will do
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": environ.get(
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED", "events,flow_runs"
        ),
    }


def _stop(record: Record) -> bool:
    process = _process(record)
    if process is None:
        return False
    try:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE_S)
    except psutil.NoSuchProcess:
        pass  # it ended by itself between two of these steps
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_lines(log: Path, offset: int) -> str:
    with log.open("rb") as lines:
        lines.seek(offset)
        text = lines.read().decode("utf-8", "replace")
    return "\n".join([f"  {line}" for line in text.splitlines() if line.strip()][-LOG_LINES_QUOTED:])


def _ui_url(api_url: str) -> str:
    return api_url.rstrip("/").removesuffix("/api")


def _past_any_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy for the outside world must not be asked for 127.0.0.1."""
    hosts = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    have = [host for host in hosts.split(",") if host]
    wanted = ",".join([*have, *(host for host in ("127.0.0.1", "localhost") if host not in have)])
    return {"NO_PROXY": wanted, "no_proxy": wanted}


# -- files


def _home(state: Path) -> Path:
    return state.resolve() / "prefect"


def _record_path(state: Path) -> Path:
    return state / "prefect-server.json"


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One process at a time decides. The kernel lets go of the lock when its holder dies."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(state / "prefect-server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read_record(state: Path) -> Record | None:
    try:
        return Record(**json.loads(_record_path(state).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # absent or not ours: written by rename, so never half a file


def _write_record(state: Path, record: Record) -> None:
    temp = state / f".prefect-server.json.{os.getpid()}"
    temp.unlink(missing_ok=True)
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(asdict(record), out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    temp.replace(_record_path(state))
