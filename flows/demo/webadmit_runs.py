"""A run of WebAdMIT's, of an export or of a PDF template: its life by the clock, and the words for its status.

It decides nothing about files or HTTP. There is no progress, cancelling or deleting, and no reason for a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from flows.demo.webadmit_faults import WebAdmitFaults
from flows.demo.webadmit_formats import Flaws
from flows.demo.webadmit_office import Export, Template

EXPORT, BATCH = "export", "template"  # kinds, and first words of a switch's target
RUNNING = ("initializing", "queued", "in_progress")
WITH_FILES = ("available", "success_with_errors")
FOR_EVER = timedelta(days=36500)


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies in the object store under one key."""

    key: str  # path at the store, without the leading slash
    id: int  # of the file
    part: int = 0  # of a batch
    parts: int = 1


@dataclass(slots=True)
class Run:
    id: int
    kind: str  # EXPORT or BATCH
    template: Export | Template
    started_by: str  # username, or "schedule"
    began_at: datetime
    queued_at: datetime
    works_at: datetime  # its data are those of this moment
    ends_at: datetime
    end: str  # status in the end, in snake_case
    flaws: Flaws
    files: tuple[Stored, ...]
    serve_file: Path | None = None  # each of its objects is this file
    callback: str = ""
    callback_early: bool = False
    callback_doubled: bool = False
    callback_forged: bool = False
    callback_on_failure: bool = False
    called: int = 0  # callbacks sent

    @property
    def template_id(self) -> int:
        return self.template.id

    @property
    def identity_id(self) -> int:
        return self.template.identity_id

    @property
    def target(self) -> str:
        """What a switch is aimed at."""
        return f"{self.kind}/{self.template_id}"


def status(run: Run, now: datetime) -> str:
    """In snake_case, the way it is meant; spelling is the dialect's business."""
    if now < run.queued_at:
        return RUNNING[0]
    if now < run.works_at:
        return RUNNING[1]
    return RUNNING[2] if now < run.ends_at else run.end


def is_running(run: Run, now: datetime) -> bool:
    return now < run.ends_at


def has_files(run: Run, now: datetime) -> bool:
    return not is_running(run, now) and run.end in WITH_FILES


def changed_at(run: Run, now: datetime) -> datetime:
    """When its status last became another one."""
    return max(moment for moment in (run.began_at, run.queued_at, run.works_at, run.ends_at) if moment <= now)


def close(run: Run, now: datetime) -> None:
    """What the vendor's support does with a run that hangs: it has failed."""
    run.ends_at, run.end = now, "failed"
    run.works_at, run.queued_at = min(run.works_at, now), min(run.queued_at, now)


def wire(word: str) -> str:
    """As exports spell a status: `In Progress`."""
    return word.replace("_", " ").title() if word.islower() else word


def remake(run: Run) -> None:
    """From now on its objects are other ones, under the same keys."""
    run.flaws = replace(run.flaws, revised=run.flaws.revised + 1)


def flaws(faults: WebAdmitFaults, target: str) -> Flaws:
    """Take the switches of the file that a run makes."""
    rows = faults.take("rows_left", target) or None
    return Flaws(
        rows=0 if faults.take("no_rows", target) else rows,
        ragged=faults.take("ragged", target),
        short_to=faults.take("short_object", target),
        bad_member=faults.take("bad_member", target),
        biff=faults.take("xls_biff", target),
    )


def most_at_once(found: Iterable[Run], by: str) -> int:
    """How many runs that one person started were running at the same time, at most."""
    edges = []
    for run in found:
        if run.started_by == by:
            edges += [(run.began_at, 1), (run.ends_at, -1)]
    most = running = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        running += step
        most = max(most, running)
    return most
