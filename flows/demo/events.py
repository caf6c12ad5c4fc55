"""The activity log's lines: what people did, and the line that a successful export writes about itself.

It keeps nothing; the world does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flows.demo.jobs import Job, Outcome
from flows.demo.lab import Document, User


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the activity log."""

    at: datetime
    username: str
    action: str
    payload: dict[str, Any] = field(default_factory=dict)
    domain: str = "RECORD"


def of_document(action: str, document: Document, owner: User, at: datetime) -> Event:
    payload = {"id": f"SD{document.id}", "name": document.name, "type": "DOCUMENT"}
    return Event(at, owner.username, action, payload)


def is_logged(job: Job, now: datetime) -> bool:
    """An export is in the log only once it has succeeded."""
    return job.outcome is Outcome.COMPLETED and now >= job.end_at and not job.event_lost


def of_export(job: Job) -> Event:
    plan = job.plan
    documents = {r.document.id: r.document.name for r in plan.revisions}
    files = {f.id: f.name for f in plan.files}
    payload = {
        "configuration": {"archiveType": plan.format, "exportScope": plan.scope.upper()},
        "exportPath": {"name": job.zip_name},
        "exported": [{"id": i, "name": name} for i, name in (documents | files).items()],
    }
    return Event(job.end_at, plan.exporter.username, "EXPORT", payload)
