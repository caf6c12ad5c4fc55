"""systemd's units for a machine: which there are, and what is in them, from the configuration at hand.

The templates beside this file say why each line is there. Nothing here asks systemd anything.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from flows.config import Settings
from flows.errors import ConfigError
from flows.workbench import backend_of
from storage.backend import LocalDisk

USER = "strongroom"
PORT = 4200  # of the Prefect server: Prefect's own
LIMIT = 8  # more at once than a small machine has memory for help nobody: the systems are slower than we are
DRAIN_S = 900  # so long a worker that is stopped waits for its runs
HOMES = ("/home", "/root", "/run/user")  # what ProtectHome closes
SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108 - what PrivateTmp hides

WATCH = ("strongroom-watch.service", "strongroom-watch.timer")
SERVE = ("strongroom-serve.service", *WATCH)
WORKERS = ("strongroom-server.service", "strongroom-worker@.service", *WATCH)


@dataclass(frozen=True, slots=True)
class Machine:
    """What units are made for. Paths are absolute."""

    strongroom: str  # the program
    prefect: str
    config: str
    folder: str  # of the configuration: secrets' files and prefect.yaml are looked for there
    state: str
    archive: str  # "" for one that is no folder
    others: tuple[str, ...]  # folders of files that are written after each watch
    user: str
    workers: int  # 0: `serve` does it all
    postgres: bool
    port: int = PORT
    drain_s: int = DRAIN_S
    limit: int = LIMIT  # runs at once of one worker

    @property
    def secrets(self) -> str:
        """The file of variables for sources and [notify]."""
        return f"{self.folder}/strongroom.env"

    @property
    def server_secrets(self) -> str:
        """The file of variables for the Prefect server."""
        return f"{self.folder}/prefect-server.env"

    @property
    def mounts(self) -> tuple[str, ...]:
        """What must be mounted before a run."""
        return tuple(filter(None, (self.archive, self.state)))

    @property
    def writes(self) -> tuple[str, ...]:
        """Where something is written. With a dash: it may not be there, which the program tells better."""
        return (self.state, *(f"-{path}" for path in (self.archive, *self.others) if path))

    @property
    def in_home(self) -> bool:
        """Whether something that is needed lies in a folder that ProtectHome closes."""
        return self._needs(HOMES)

    @property
    def in_tmp(self) -> bool:
        """Whether something that is needed lies in a folder that PrivateTmp hides: for trying it out only."""
        return self._needs(SCRATCH)

    @property
    def enable(self) -> tuple[str, ...]:
        """What an administrator enables."""
        several = ("strongroom-server", *(f"strongroom-worker@{number + 1}" for number in range(self.workers)))
        return (*(several if self.workers else ("strongroom-serve",)), "strongroom-watch.timer")

    def _needs(self, folders: Sequence[str]) -> bool:
        needed = (self.strongroom, self.config, *self.mounts, *self.others)
        return any(Path(path).is_relative_to(folder) for path in needed for folder in folders)


def machine(settings: Settings, *, user: str = USER, workers: int = 0, postgres: bool = False) -> Machine:
    """This machine, this environment and this configuration.

    Raises ConfigError: postgres without workers, a user of no such name.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user):
        raise ConfigError(f"--user {user!r}: is no name of a user", hint="`useradd --system strongroom` makes one")
    if postgres and not workers:
        raise ConfigError("--postgres: is for a Prefect server beside workers", hint="add --workers 2")
    backend = backend_of(settings)
    files = (settings.file.metrics.file, settings.file.report.file)
    return Machine(
        strongroom=_program("strongroom"),
        prefect=_program("prefect"),
        config=str(settings.path),
        folder=str(settings.folder),
        state=str(settings.state),
        archive=str(backend.root.absolute()) if isinstance(backend, LocalDisk) else "",
        others=tuple(str(settings.beside(file).parent) for file in files if file),
        user=user,
        workers=workers,
        postgres=postgres,
    )


def units(machine: Machine) -> dict[str, str]:
    """The text of each unit by its file's name. Raises ConfigError for a path that no unit can hold."""
    templates = Environment(
        loader=PackageLoader("flows.ops", "units"),
        autoescape=False,  # noqa: S701 - no HTML: each path goes through one of these filters
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"raw": raw, "word": word, "arg": argument, "words": words}
    names = WORKERS if machine.workers else SERVE
    return {name: templates.get_template(f"{name}.j2").render(m=machine) for name in names}


def raw(text: str) -> str:
    """A path that stands alone on its line, where quotes would be part of it. Raises ConfigError."""
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise ConfigError(f"{text!r}: no unit of systemd can name this", hint="move it to a plain path")
    return text.replace("%", "%%")


def word(text: str) -> str:
    """A word among others, quoted where it must be."""
    escaped = raw(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(sign in " \"'\\;#" for sign in text) else escaped


def words(texts: Sequence[str]) -> str:
    """Several, each once."""
    return " ".join(map(word, dict.fromkeys(texts)))


def argument(text: str) -> str:
    """A word of a command line, in which systemd would put variables."""
    return word(text).replace("$", "$$")


def _program(name: str) -> str:
    """The program beside the Python that runs this."""
    return str(Path(sys.executable).with_name(name))
