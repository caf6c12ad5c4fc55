"""How a job is going to end: which switches it takes when it starts, and what an administrator does to a zombie.

Whether it has ended yet is in jobs.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flows.demo.faults import Faults
from flows.demo.jobs import Job, Outcome

# switch -> how a job with it ends
_ENDINGS = {
    "launch_failed": Outcome.LAUNCH_FAILED,
    "zombie": Outcome.ZOMBIE,
    "job_500": Outcome.NO_RESULT,
    "job_fails": Outcome.FAILED,
}


def decide(job: Job, faults: Faults) -> None:
    """Take the switches that hold for this job's target."""
    target = job.plan.target
    for switch, outcome in _ENDINGS.items():
        if taken := faults.take(switch, target):
            job.outcome, job.failure = outcome, str(taken)
            return
    job.wrong_crc = faults.take("wrong_crc", target)
    job.purge_at_once = faults.take("purge_at_once", target)
    job.foreign_enclosure = faults.take("foreign_enclosure", target)
    job.event_lost = faults.take("event_lost", target)
    if faults.take("s3_missing", target):
        job.foreign_enclosure = job.purge_at_once = True
    if missing := faults.take("missing_document", target):
        gone = job.plan.revisions[0].document.id if missing == 1 and job.plan.revisions else missing
        job.plan = replace(
            job.plan,
            revisions=tuple(r for r in job.plan.revisions if r.document.id != gone),
            gallery=tuple(f for f in job.plan.gallery if f.id != gone),
        )
    if faults.take("empty_export", target):
        job.plan = replace(job.plan, revisions=(), files=(), gallery=(), folders=(), bulk_bytes=0)


def close(job: Job, now: datetime) -> None:
    """What an administrator writes into the database: FAILED, ended now, no step that tells why."""
    job.outcome, job.failure = Outcome.FAILED, ""
    job.start_at, job.end_at = min(job.start_at, now), now
