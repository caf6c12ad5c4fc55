"""A made-up GitLab: projects, who maintains them, and the one export state and file that each project has.

It speaks no HTTP. The states follow GitLab's `Project#export_status`. Who answers holds its lock meanwhile.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from flows.demo.gitlab_archive import Shape, build
from flows.demo.gitlab_faults import GitLabFaults
from flows.demo.worldclock import START, WorldClock

MAINTAINER, DEVELOPER = 40, 30
KEPT = timedelta(hours=24)  # then a worker removes an export file
BACKUP, COLLEAGUE = "backup", "colleague"


@dataclass
class Export:
    """One that somebody asked for. Until `seen_at` no worker has it, and no status tells of it."""

    by: str
    seen_at: datetime
    started_at: datetime
    ends_at: datetime
    fails: bool
    shape: Shape


@dataclass
class Project:
    """One project, with what the server has of its exports."""

    id: int
    path: str
    levels: dict[str, int]  # user -> access level
    empty_repo: bool = False
    issues: int = 40
    exports: list[Export] = field(default_factory=list)  # under way, in the order of their start
    failed_at: datetime | None = None
    file: bytes = b""
    made_at: datetime | None = None
    downloads: dict[str, datetime] = field(default_factory=dict)  # user -> when last


class Forge:
    """The world. Exports take `queue_s` and `run_s` after a worker took them up, `pickup_s` after the question."""

    def __init__(
        self,
        seed: int = 1,
        *,
        start: datetime = START,
        pickup_s: float = 1.0,
        queue_s: float = 5.0,
        run_s: float = 30.0,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = WorldClock(start, ticks)
        self.now, self.advance = self.clock.now, self.clock.advance
        self.pickup_s, self.queue_s, self.run_s = pickup_s, queue_s, run_s
        self.faults = GitLabFaults()
        self.lock = threading.RLock()
        dice = Random(seed)
        self.tokens = {name: f"glpat-{dice.randbytes(10).hex()}" for name in (BACKUP, COLLEAGUE)}
        both = {BACKUP: MAINTAINER, COLLEAGUE: MAINTAINER}
        made = (
            Project(11, "lab/alpha", dict(both)),
            Project(12, "lab/tools/beta", dict(both), empty_repo=True),
            Project(13, "office/gamma", dict(both)),
            Project(14, "office/delta", {BACKUP: DEVELOPER, COLLEAGUE: MAINTAINER}),
            Project(15, "hidden/epsilon", {COLLEAGUE: MAINTAINER}),
        )
        self.projects = {project.id: project for project in made}
        self.asked: dict[str, list[datetime]] = {}  # user -> when exports were asked for

    def replace_token(self, user: str = BACKUP) -> str:
        """Make a new token; the old one is dead at once."""
        self.tokens[user] = f"glpat-{secrets.token_hex(10)}"
        return self.tokens[user]

    def ask(self, project: Project, by: str) -> Export:
        """Start an export, as POST does: the older file goes first."""
        target, take, now = f"project/{project.id}", self.faults.take, self.now()
        if not take("old_stays", target):
            project.file, project.made_at = b"", None
        seen_at = now + timedelta(seconds=take("pickup_s", target) or self.pickup_s)
        started_at = seen_at + timedelta(seconds=self.queue_s)
        run_s = 10.0**9 if take("never_ends", target) else self.run_s
        shape = Shape(
            no_bundle=take("no_bundle", target) or project.empty_repo,
            no_tree=take("no_tree", target),
            bad_line=take("bad_line", target),
            cut_bundle=take("cut_bundle", target),
            short_file=take("short_file", target),
            tar_stops=take("tar_stops", target),
        )
        fails = take("export_fails", target)
        made = Export(by, seen_at, started_at, started_at + timedelta(seconds=run_s), fails, shape)
        project.exports.append(made)
        return made

    def status(self, project: Project) -> str:
        """The project's word now."""
        now = self.now()
        self.settle(project)
        under_way = [export for export in project.exports if export.seen_at <= now]
        if under_way:
            started = any(export.started_at <= now for export in under_way)
            return "regeneration_in_progress" if project.file else "started" if started else "queued"
        if project.file:
            return "finished"
        return "failed" if self.faults.peek("failed_word") and project.failed_at else "none"

    def settle(self, project: Project) -> None:
        """What has ended has its file, which takes the place of another; what is old goes."""
        now = self.now()
        for export in [export for export in project.exports if export.ends_at <= now]:
            project.exports.remove(export)
            if export.fails:
                project.failed_at = now
            else:
                project.file = build(project.id, project.issues, at=export.started_at, shape=export.shape)
                project.made_at = export.ends_at
        if project.made_at is not None and now - project.made_at > KEPT:
            project.file, project.made_at = b"", None
