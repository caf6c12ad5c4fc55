"""Secrets: from the place that the configuration names, into a connection, and nowhere else."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from flows.config import Settings, SourceTable
from flows.configtables import SecretRef
from flows.errors import ConfigError
from flows.server_at_hand import PrefectTrouble
from flows.sources.base import Connection

COMMAND_TIMEOUT_S = 60


def check(settings: Settings, source: SourceTable) -> None:
    """Raises ConfigError where a secret is not there. Those in Prefect blocks are not asked for."""
    for key, ref in source.secret_refs().items():
        if isinstance(ref, SecretRef) and ref.prefect_secret is None:
            secret(ref, f"source {source.name!r}: {key}", settings.folder)


def connection(settings: Settings, source: SourceTable) -> Connection:
    """A connection with its secrets resolved. Raises ConfigError that names the key, never the value."""

    def secrets() -> dict[str, str]:
        return {
            key: ref if isinstance(ref, str) else secret(ref, f"source {source.name!r}: {key}", settings.folder)
            for key, ref in source.secret_refs().items()
        }

    return Connection(
        url=source.url,
        secrets=secrets(),
        ca_file=None if source.ca_file is None else settings.folder / source.ca_file,
        proxy=source.proxy,
        connect_timeout_s=source.connect_timeout_s,
        read_timeout_s=source.read_timeout_s,
        start_timeout_s=source.start_timeout_s,
        login=source.login,
        requests_per_s=source.requests_per_s,
        link_hosts=source.link_hosts,
        renew=secrets,
    )


def resolve(ref: SecretRef, where: str, folder: Path) -> tuple[str, str]:
    """What lies there, and words for the place. Raises ConfigError that names `where`, never the value."""
    if ref.env is not None:
        value, origin = os.environ.get(ref.env, ""), f"environment variable {ref.env}"
    elif ref.file is not None:
        value, origin = text_of(folder / Path(ref.file).expanduser(), where), f"file {ref.file}"
    elif ref.command is not None:
        value, origin = _from_command(ref.command, where, folder), "command"
    else:
        # Prefect takes a second to import; only who keeps secrets there pays for it.
        from flows.orchestration import prefect_secret

        try:
            value, origin = prefect_secret(ref.prefect_secret or ""), f"Prefect secret {ref.prefect_secret}"
        except PrefectTrouble as exc:
            raise ConfigError(f"{where}: {exc}", hint=exc.hint) from exc
    return value, origin


def secret(ref: SecretRef, where: str, folder: Path) -> str:
    """The first line of what lies there, in ASCII. Raises ConfigError that names `where`, never the value."""
    value, origin = resolve(ref, where, folder)
    line = value.splitlines()[0].strip() if value.strip() else ""
    if not line:
        raise ConfigError(f"{where}: {origin} is empty or not set")
    if not line.isascii() or not line.isprintable():
        raise ConfigError(f"{where}: {origin} holds characters that no header can carry")
    return line


def text_of(path: Path, where: str) -> str:
    """What the file holds. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{where}: file {path} cannot be read: {getattr(exc, 'strerror', exc)}") from exc


def _from_command(command: str, where: str, folder: Path) -> str:
    try:
        done = subprocess.run(
            shlex.split(command),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        raise ConfigError(f"{where}: the command could not be run ({type(exc).__name__})") from exc
    if done.returncode:
        # What it printed may hold the secret.
        raise ConfigError(f"{where}: the command ended with exit code {done.returncode}")
    return done.stdout
