"""A new archive and the first key to it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows import archivekey
from flows.config import Settings
from flows.errors import ConfigError
from flows.workbench import backend_of
from storage.archive import Archive
from storage.cipher import KEY_SIZE
from storage.keytext import holder_text
from storage.mark import MARK

HOLDER = "this host"  # the name of the first holder: where the nights run


@dataclass(frozen=True, slots=True)
class Made:
    """An archive, and the file that its first key was written to, if one was."""

    archive: Archive
    key_file: Path | None


def make_archive(settings: Settings, *, plain: bool, now: datetime) -> Made:
    """Make the configured archive, or open the one that is there. Retry: yes.

    It is encrypted unless `plain` says otherwise; a key file that is named and not there is made. Raises
    ConfigError where the configuration names no key, or one for a plain archive; else as `Archive.open`.
    """
    backend, named = backend_of(settings), archivekey.key_file(settings)
    if backend.size(MARK) is not None:
        return Made(Archive.open(backend, archivekey.configured(settings)), None)
    if plain:
        if settings.file.archive.key is not None:
            raise ConfigError(
                "--no-encryption: the configuration names a key for the archive",
                hint="take [archive] key out of it, or leave --no-encryption away",
            )
        return Made(Archive.create(backend, now=now), None)
    if named is not None:
        refuse_inside(named, backend.url, archivekey.WHERE)
    fresh = named if named is not None and make_key_file(named) else None
    secret = archivekey.configured(settings)
    if secret is None:
        raise ConfigError(
            f"{archivekey.WHERE}: none is named, and a new archive is encrypted",
            hint='below [archive] add key = { file = "strongroom.key" }, which is made then; or --no-encryption',
        )
    try:
        return Made(Archive.create(backend, now=now, secret=secret, holder=HOLDER), fresh)
    except ValueError as exc:
        raise ConfigError(f"{archivekey.WHERE}: {exc}", hint="a key file, or a longer passphrase") from exc


def make_key_file(path: Path) -> bool:
    """Write a new holder's key to `path` (mode 0600, durable); False where a file is there, which stays."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}", hint="look at the folder and its permissions") from exc
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(holder_text(secrets.token_bytes(KEY_SIZE)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as exc:
        path.unlink(missing_ok=True)  # half a key would be taken for one
        raise ConfigError(f"{path}: {exc.strerror}", hint="free space on that disk, then run again") from exc
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # a key that a power loss takes away takes the archive with it
    finally:
        os.close(folder)
    return True


def refuse_inside(key: Path, archive: str, where: str) -> None:
    """Raises ConfigError for a key file within the archive that it opens; `where` names who asked for it there."""
    if key.resolve().is_relative_to(Path(archive).resolve()):
        raise ConfigError(
            f"{where}: {key} lies in the archive: whoever has that would have its key",
            hint="name a place outside of it",
        )
