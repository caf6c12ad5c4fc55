"""The doctor's questions about operations: what runs the nights, who is told, who may ask.

Each gives what is so, and a warning where something should be done; "" for none. What costs nights is raised.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from flows.config import Settings
from flows.configtables import SecretRef
from flows.credentials import secret
from flows.errors import ConfigError
from flows.health import NETWORK, file_system
from flows.ops.listening import is_loopback
from flows.ops.send import is_address
from flows.server_configured import configured_api_url

ANSWER_S = 5.0
SYSTEMD = Path("/run/systemd/system")  # there where systemd runs: sd_booted(3)
RUNNERS = ("strongroom-serve.service", "strongroom-server.service", "strongroom-worker@1.service")
WATCH = "strongroom-watch.timer"
AUTH = "PREFECT_API_AUTH_STRING"  # user:password, of a client

Told = tuple[str, str]


def schedules(settings: Settings) -> Told:
    """When the nights of each source are; a warning for scopes that have none."""
    said, without = [], []
    for source in settings.sources:
        whole, own = source.schedule, source.own_schedules()
        crons = [f"{source.name} by {whole.cron!r}, {whole.timezone}"] if whole else []
        said += crons + [f"{source.name}/{name} by {one.cron!r}, {one.timezone}" for name, one in own.items()]
        if whole is None:
            without += [f"{source.name}/{scope.name}" for scope in source.scopes() if scope.name not in own]
    warning = f"{', '.join(without)}: run by hand only; give the source `schedule = {{ cron = … }}`"
    return "; ".join(said) or "none", warning if without else ""


def addresses(settings: Settings) -> Told:
    """The addresses of [notify] and [[ping]] are there, and Apprise knows such; nothing is sent.

    Those in Prefect blocks are not asked for. Raises ConfigError where one cannot be used.
    """
    told, pings = settings.file.notify.to, settings.file.ping
    for number, ref in enumerate(told, start=1):
        where = f"notify: to, number {number}"
        if (address := _there(ref, where, settings.folder)) and not is_address(address):
            raise ConfigError(
                f"{where}: no address that Apprise knows", hint="`strongroom tell --test` sends to each"
            )
    for number, ping in enumerate(pings, start=1):
        _there(ping.url, f"ping {number}: url", settings.folder)
    warning = "" if told or pings else "nobody is told when a night fails: set [notify] to, or a [[ping]]"
    return f"{len(told)} to tell, {len(pings)} to ping", warning


def _there(ref: SecretRef, where: str, folder: Path) -> str:
    """What is there, as it will be sent to; "" for what only Prefect's server knows."""
    return "" if ref.prefect_secret is not None else secret(ref, where, folder)


def metrics(settings: Settings) -> Told:
    """The folder of the metrics' file takes files. Raises ConfigError where not. A warning where more than this
    machine can ask for metrics: they tell names of scopes, and nobody is asked who he is."""
    file, listen = settings.file.metrics.file, settings.file.metrics.listen
    if file is not None:
        folder = settings.beside(file).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"metrics: {folder}: takes no file of ours",
                hint="make it, and let the user who runs this write there",
            )
    warning = ""
    if listen is not None and not is_loopback(listen.rpartition(":")[0]):
        warning = f"whoever reaches {listen} can read the names of scopes, without TLS: listen on 127.0.0.1"
    return ", ".join(filter(None, (file, listen))) or "told to nobody", warning


def prefect(environ: Mapping[str, str] = os.environ) -> Told:
    """The configured Prefect server answers, takes our login, is of our version, and not open to the network.

    Raises ConfigError where it does not answer us.
    """
    home = environ.get("PREFECT_HOME")
    kind = file_system(Path(home).expanduser()) if home else ""
    warnings = []
    if kind in NETWORK:
        warnings.append(f"PREFECT_HOME {home} lies on {kind}, where SQLite's locks do not hold: name a local disk")
    url = configured_api_url(environ)
    if url is None:
        return "no server is configured: `run` and `serve` have their own, on loopback", "; ".join(warnings)
    version, ours = _version(url, environ), metadata.version("prefect")
    if version != ours:
        warnings.append(f"the server is {version}, this is {ours}: install one version on both")
    if _is_exposed(url) and _asked(url, "")[0] == 200:
        warnings.append(
            "whoever reaches it over the network can start runs and read its secrets: set "
            f"PREFECT_SERVER_API_AUTH_STRING for it, and {AUTH} for its clients"
        )
    return f"{url}, Prefect {version}", "; ".join(warnings)


def _version(url: str, environ: Mapping[str, str]) -> str:
    status, said = _asked(url, environ.get(AUTH, ""))
    if status == 200:
        return said.strip().strip('"')
    if status in (401, 403):
        raise ConfigError(f"{url}: refuses our login ({status})", hint=f"set {AUTH} as the server has it")
    hint = "start that server, or correct PREFECT_API_URL (or the active Prefect profile)"
    raise ConfigError(f"{url}: {said}, promised a Prefect server", hint=hint)


def _asked(url: str, login: str) -> tuple[int, str]:
    """Status and answer of the question for its version; 0 and the reason where there is none."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    proxies = urllib.request.ProxyHandler({}) if is_loopback(urlsplit(url).hostname or "") else None
    try:
        asked = urllib.request.Request(f"{url.rstrip('/')}/admin/version", headers=headers)  # noqa: S310 - see below
        if asked.type not in ("http", "https"):
            return 0, "is not an http or https address"
        opener = urllib.request.build_opener(proxies) if proxies else urllib.request.build_opener()
        with opener.open(asked, timeout=ANSWER_S) as answer:
            return answer.status, answer.read(1000).decode("utf-8", "replace")
    except urllib.error.HTTPError as exc:
        return exc.code, f"answered {exc.code}"
    except (OSError, ValueError) as exc:
        return 0, f"no answer ({getattr(exc, 'reason', exc)})"


def _is_exposed(url: str) -> bool:
    """Whether others can reach it: its address is none of loopback, or its port here listens on more than that."""
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return True
    try:
        links = psutil.net_connections("tcp")
    except psutil.Error:  # macOS tells it to root alone
        return False
    listening = [link.laddr for link in links if link.laddr and link.status == psutil.CONN_LISTEN]
    return any(at.port == parts.port and not is_loopback(at.ip) for at in listening)


def is_systemd() -> bool:
    """Whether systemd runs this machine."""
    return SYSTEMD.is_dir() and shutil.which("systemctl") is not None


def installed() -> Told:
    """Which of our units are enabled, as systemd says."""
    names = (*RUNNERS, WATCH)
    states = _said("systemctl", "is-enabled", *names).splitlines()
    return enabled(dict(zip(names, states, strict=False)))


def enabled(states: Mapping[str, str]) -> Told:
    """What it means that each unit is enabled, disabled, not-found, …"""
    on = [name for name, state in states.items() if state in ("enabled", "enabled-runtime")]
    lacks = [] if any(name in on for name in RUNNERS) else ["no unit of ours starts the nights after a boot"]
    if WATCH not in on:
        lacks.append("nobody looks when Prefect is down")
    hint = "; `strongroom units --to /etc/systemd/system`, then enable them" if lacks else ""
    return f"enabled: {', '.join(on) or 'none'}", "; ".join(lacks) + hint


def clock() -> Told:
    """Whether this machine's clock is kept right, as systemd says."""
    kept = _said("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
    return kept_right(kept)


def kept_right(kept: str) -> Told:
    """What `NTPSynchronized` means."""
    if kept == "no":
        return (
            "not synchronized",
            "dates of snapshots, and so what is kept, hang on it: `timedatectl set-ntp true`",
        )
    return "synchronized" if kept == "yes" else "not told", ""


def _said(*command: str) -> str:
    """What a program prints; "" where it cannot be asked."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
