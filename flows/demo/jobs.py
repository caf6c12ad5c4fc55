"""One export job: what was planned, and its status at any instant. Pure rules over the world's clock.

It builds no archive and answers no request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from flows.demo.lab import Document, Folder, GalleryFile, User

STORAGE_TIME = timedelta(hours=48)  # archive.folder.storagetime as shipped


class Outcome(StrEnum):
    """How the job is going to end; decided when it starts."""

    COMPLETED = "completed"
    FAILED = "failed"
    LAUNCH_FAILED = "launch failed"
    NO_RESULT = "no result"  # COMPLETED in the database, but each poll answers 500
    ZOMBIE = "zombie"


@dataclass(frozen=True, slots=True)
class Revision:
    document: Document
    suffix: str = ""  # -rev<N> when revisions are exported


@dataclass(frozen=True, slots=True)
class Plan:
    """What the planning scan found: frozen values, so later changes of the lab do not reach the archive."""

    format: str  # xml or html
    scope: str  # user, group or selection
    exporter: User
    who: str  # middle part of the zip name
    version: str  # of the server, as the manifest repeats it
    source_url: str
    planned_at: datetime
    users: tuple[User, ...]
    revisions: tuple[Revision, ...]
    files: tuple[GalleryFile, ...]  # all that the archive holds, those beside a document included
    gallery: tuple[GalleryFile, ...]  # those that get a folder of their own
    folders: tuple[Folder, ...]
    with_revisions: bool
    target: str = ""  # as in the request's path: user, user/<id>, group, group/<id>, selection
    bulk_bytes: int = 0

    @property
    def items(self) -> int:
        return len(self.revisions) + len(self.files) + len(self.folders)


@dataclass(frozen=True, slots=True)
class BuiltFile:
    path: Path
    size: int
    crc32: int  # unsigned


@dataclass(slots=True)
class Job:
    id: int
    user_id: int
    plan: Plan
    zip_name: str
    random_seed: str  # of everything this export makes up: archive id, picture names
    created_at: datetime
    start_at: datetime
    end_at: datetime
    outcome: Outcome = Outcome.COMPLETED
    failure: str = ""
    wrong_crc: bool = False
    purge_at_once: bool = False
    foreign_enclosure: bool = False
    event_lost: bool = False
    serve_file: Path | None = None
    built: BuiltFile | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Progress:
    status: str  # a Spring Batch BatchStatus name
    percent: float


def progress(job: Job, now: datetime) -> Progress:
    """Status and percentComplete, with the dip to -1.0 between the end of the work and COMPLETED."""
    if job.outcome is Outcome.LAUNCH_FAILED:
        return Progress("FAILED", -1.0)
    if now < job.start_at:
        return Progress("STARTING", -1.0)
    if job.outcome is Outcome.ZOMBIE:
        return Progress("STARTED", -1.0)
    if now >= job.end_at:
        failed = job.outcome is Outcome.FAILED
        return Progress("FAILED", -1.0) if failed else Progress("COMPLETED", 100.0)
    done = (now - job.start_at) / (job.end_at - job.start_at)
    if done >= 0.95:
        return Progress("STARTED", -1.0)
    # the items are through after three quarters; the rest is zipping, which does not tick
    return Progress("STARTED", percent_complete(job.plan.items, int(min(1.0, done / 0.75) * job.plan.items)))


def percent_complete(items: int, done: int) -> float:
    total = int(max(2, items + 1) * 1.1)
    return min(100.0, round((1 + done) / total * 100, 2))


def is_running(job: Job, now: datetime) -> bool:
    return progress(job, now).status in ("STARTING", "STARTED")


def is_purged(job: Job, now: datetime) -> bool:
    return job.purge_at_once or now >= job.end_at + STORAGE_TIME


def has_archive(job: Job, now: datetime) -> bool:
    return job.outcome is Outcome.COMPLETED and now >= job.end_at and not is_purged(job, now)
