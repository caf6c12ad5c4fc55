"""The key of an encrypted archive, from the place that the configuration or the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from flows.config import Settings
from flows.credentials import resolve, text_of
from flows.errors import ConfigError
from storage.errors import KeyMissing

TEXT, FILE = "STRONGROOM_KEY", "STRONGROOM_KEY_FILE"  # the key itself, and a file that holds it
WHERE = "[archive] key"
_HINT = "put the key back there, or name another holder's, or a file with the paper copy"


def configured(settings: Settings) -> str | None:
    """The key that the configuration names, else that of the environment. Raises KeyMissing."""
    ref = settings.file.archive.key
    if ref is None:
        return from_environment()
    try:
        value, origin = resolve(ref, WHERE, settings.folder)
    except ConfigError as exc:
        raise KeyMissing(str(exc), hint=exc.hint or _HINT) from exc
    return _not_empty(value, f"{WHERE}: {origin}")


def from_environment() -> str | None:
    """The key of STRONGROOM_KEY, or of the file that STRONGROOM_KEY_FILE names; None where neither is set.

    Raises KeyMissing.
    """
    if TEXT in os.environ:
        return _not_empty(os.environ[TEXT], TEXT)
    if FILE in os.environ:
        path = Path(os.environ[FILE]).expanduser()
        try:
            return _not_empty(text_of(path, FILE), f"{FILE}: {path}")
        except ConfigError as exc:
            raise KeyMissing(str(exc), hint=_HINT) from exc
    return None


def key_file(settings: Settings) -> Path | None:
    """The file that the configuration names; None where the key lies elsewhere."""
    ref = settings.file.archive.key
    return None if ref is None or ref.file is None else settings.beside(ref.file)


def _not_empty(value: str, origin: str) -> str:
    if not value.strip():
        raise KeyMissing(f"{origin} is empty or not set", hint=_HINT)
    return value.strip()
