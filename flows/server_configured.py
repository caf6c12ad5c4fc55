"""Which Prefect server is configured: found as Prefect finds it, without the second that importing it costs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def configured_api_url(environ: Mapping[str, str], folder: Path | None = None) -> str | None:
    """The API address that Prefect itself would use; None where none is configured.

    In its order: environment, `.env`, `prefect.toml`, `pyproject.toml`, the active profile.
    Source: Prefect 3.8.8, prefect/settings/base.py and sources.py; a test compares the two.
    """
    here = folder or Path.cwd()
    return (
        environ.get("PREFECT_API_URL")
        or _dotenv(here / ".env").get("PREFECT_API_URL")
        or _at(_toml(here / "prefect.toml"), "api", "url")
        or _at(_toml(here / "pyproject.toml"), "tool", "prefect", "api", "url")
        or _profile_api_url(environ, here)
        or None
    )


def _profile_api_url(environ: Mapping[str, str], here: Path) -> str | None:
    home = Path(environ.get("HOME") or Path.home())
    named = (
        environ.get("PREFECT_PROFILES_PATH")
        or _dotenv(here / ".env").get("PREFECT_PROFILES_PATH")
        or _at(_toml(here / "prefect.toml"), "profiles_path")
        or _at(_toml(here / "pyproject.toml"), "tool", "prefect", "profiles_path")
    )
    prefect_home = Path(environ.get("PREFECT_HOME") or home / ".prefect").expanduser()
    profiles = _toml(here / Path(named).expanduser() if named else prefect_home / "profiles.toml")
    active = environ.get("PREFECT_PROFILE") or _at(profiles, "active")
    return _at(profiles, "profiles", active, "PREFECT_API_URL") if active else None


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in path.read_text("utf-8").splitlines())
    return {name.strip(): value.strip().strip("'\"") for name, sign, value in pairs if sign}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}  # Prefect warns about a broken file itself, and goes on without it


def _at(table: Mapping[str, Any], *keys: str) -> str | None:
    value: Any = table
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None
