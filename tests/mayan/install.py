"""What a Mayan EDMS needs on this machine: Debian's packages and an environment for each version, installed once.

Debian's packages come by apt-get, and only as root; Python's come from PyPI into the cache,
`$XDG_CACHE_HOME/strongroom-mayan/<version>/venv`. Processes that ask at the same moment wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Release:
    """What one version needs that its wheel does not say."""

    pins: tuple[str, ...]  # its image adds these to the wheel's requirements, as its literals say
    web: tuple[str, ...]  # gunicorn's kind of worker
    sqlite: str  # options by which two processes share one file; they exist since Django 5.1


_WAL = "'transaction_mode':'IMMEDIATE','init_command':'PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;'"
_NEW = Release(("redis==7.4.1", "psycopg[binary]==3.3.4"), ("--worker-class", "gevent"), f"'timeout':60,{_WAL}")
RELEASES = {
    "4.12.2": _NEW,
    "4.11.5": _NEW,
    "4.5.13": Release(
        ("redis==4.6.0", "kombu<5.4", "psycopg2-binary==2.9.9"),  # a newer kombu wants a newer redis
        ("--worker-class", "gthread", "--threads", "4"),
        "'timeout':60",
    ),
}
NEWEST = "4.12.2"
DEBIAN = {
    "libmagic1": "mime types",
    "poppler-utils": "pages of PDFs",
    "redis-server": "broker and locks",
    "gnupg": "signatures, from 4.12",
    "gnupg1": "signatures, to 4.11: without it an upload says 201 and its file never comes",
    "libimage-exiftool-perl": "file metadata",
    "libldap2-dev": "python-ldap is built",
    "libsasl2-dev": "python-ldap is built",
    "gcc": "python-ldap is built",
}
POSTGRES = "postgresql"


class CannotHave(Exception):
    """No server can be had on this machine; says which step failed and why. A retry helps when that is mended."""


def cache() -> Path:
    """Where environments and pristine data lie, for all versions."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "strongroom-mayan"


@contextmanager
def alone(name: str) -> Iterator[Path]:
    """`cache()/name`, while no other process is in here for it. The kernel lets go when the holder dies."""
    folder = cache() / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def debian(*, postgres: bool) -> None:
    """Installs Debian's packages that are missing. Raises CannotHave: not Debian, not root, or apt-get fails."""
    wanted = [*DEBIAN, *([POSTGRES] if postgres else [])]
    if not shutil.which("dpkg-query"):
        raise CannotHave(f"there is no dpkg here; a Mayan EDMS wants what Debian calls {' '.join(wanted)}")
    with alone("apt"):
        missing = [name for name in wanted if not _installed(name)]
        if not missing:
            return
        if os.geteuid() != 0:
            raise CannotHave(f"not root, and not installed: {' '.join(missing)} (apt-get install, once)")
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], environ)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], environ)


def environment(version: str) -> Path:
    """The virtual environment of a version, made where it is missing or half made.

    Raises CannotHave: pip fails.
    """
    if version not in RELEASES:
        raise CannotHave(f"Mayan EDMS {version}: the versions known here are {', '.join(RELEASES)}")
    with alone(version) as folder:
        home, done = folder / "venv", folder / "venv.done"
        wanted = "\n".join([f"mayan-edms=={version}", *RELEASES[version].pins])
        if done.exists() and done.read_text() == wanted:
            return home
        done.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(home)], bare())
        run([str(home / "bin" / "pip"), "install", "-q", *wanted.splitlines()], bare())
        done.write_text(wanted)
        return home


def bare() -> dict[str, str]:
    """This process's environment without what would lead another Python, or another Mayan, astray."""
    strange = ("PYTHON", "MAYAN_", "DJANGO_", "CELERY_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)}


def run(command: Sequence[str], environ: dict[str, str]) -> None:
    """A step of the preparation. Raises CannotHave with what it said last."""
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise CannotHave(f"{command[0]}: {exc}") from exc
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-12:])
        raise CannotHave(f"{' '.join(command)}: exit code {done.returncode}\n{said}")


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f=${Status}", package]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return said == "install ok installed"
