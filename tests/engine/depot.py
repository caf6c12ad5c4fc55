"""A bench for GitLab: a real engine over the demo server that speaks its dialect, on one travelling clock.

Nothing waits: whoever sleeps moves the server's clock and the engine's together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import config
from flows.credentials import connection
from flows.demo.gitlab import GitLabServer
from flows.demo.gitlab_world import BACKUP, Forge, Project
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.gitlab import GitLab
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.records import RunRecord
from tests.engine.bench import TravellingClock, Wrap, carry, toml

ALPHA = 'project = "lab/alpha"'


@dataclass
class Depot:
    """A folder with configuration, archive and catalog, and the server that its one source talks to."""

    folder: Path
    server: GitLabServer
    clock: TravellingClock
    archive: Archive
    catalog: Catalog
    tokens: set[str] = field(default_factory=set)  # every one that there ever was
    open_sources: list[GitLab] = field(default_factory=list)

    @property
    def world(self) -> Forge:
        return self.server.world

    @property
    def alpha(self) -> Project:
        return self.world.projects[11]

    def give_token(self) -> None:
        """Put the token where the source reads it."""
        self.tokens.add(self.world.tokens[BACKUP])
        (self.folder / "token").write_text(self.world.tokens[BACKUP])

    def settings(self, scope: str = ALPHA, **table: Any) -> config.Settings:
        """The configuration, written and read. `table`: further keys of [[source]]."""
        lines = "".join(f"{name} = {toml(value)}\n" for name, value in table.items())
        path = self.folder / "strongroom.toml"
        path.write_text(
            f'[[source]]\nname = "forge"\nsystem = "gitlab"\nurl = "{self.server.url}"\n'
            f'token = {{ file = "token" }}\n{lines}[[source.scope]]\n{scope}\n'
        )
        return config.load(path)

    def source(self, settings: config.Settings) -> GitLab:
        """A connected dialect."""
        link = connection(settings, settings.source("forge"))
        made = GitLab(link, sleep=self.clock.sleep, monotonic=lambda: self.clock.now().timestamp())
        self.open_sources.append(made)
        return made

    def engine(self, scope: str = ALPHA, *, wrap: Wrap = lambda s: s, **table: Any) -> Engine:
        """A new engine, as a new process would make it."""
        settings = self.settings(scope, **table)
        source = settings.source("forge")
        (wanted,) = source.scopes()
        plan = Plan(source, wanted, settings.policy("forge", wanted.name), source.pace())
        places = Places(self.archive, self.catalog, self.folder / "state" / "spool", tuple(self.tokens))
        return Engine(plan, wrap(self.source(settings)), places, self.clock)

    def run(self, scope: str = ALPHA, **table: Any) -> RunRecord:
        """One night."""
        return carry(self.engine(scope, **table))

    def content(self, record: RunRecord) -> bytes:
        """The one file of what a run kept, out of the archive."""
        found = self.archive.find(record.snapshot)
        (entry,) = self.archive.entries(found)
        return b"".join(self.archive.reader(found).chunks(entry))

    def starts(self) -> int:
        """Exports that our token asked for."""
        return sum(seen.method == "POST" and seen.token in self.tokens for seen in self.server.requests)

    def downloads(self) -> int:
        return sum(seen.path.endswith("/export/download") for seen in self.server.requests)


def make(folder: Path, server: GitLabServer) -> Depot:
    """A bench over a running server."""
    clock = TravellingClock(server.world)
    archive = Archive.create(LocalDisk(folder / "archive"), now=clock.now())
    made = Depot(folder, server, clock, archive, Catalog.open(folder / "state" / "catalog.db"))
    made.give_token()
    return made
