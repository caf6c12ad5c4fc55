"""The demo world: a laboratory, its clock, the export jobs, the switches, and the activity log.

It speaks no dialect and no HTTP; dialects ask it who a key belongs to, start jobs and fetch their files.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from flows.demo import archive, jobs, lab
from flows.demo.archive_names import random_text
from flows.demo.faults import Faults
from flows.demo.jobs import BuiltFile, Job, Outcome, Plan
from flows.demo.lab import User
from flows.demo.nights import work_a_day
from flows.demo.throttle import Throttle
from flows.demo.worldclock import START, WorldClock

_FIRST_JOB = 23
_POOL = 2  # exports at a time for the whole server: a Java pool grows past its core only when the queue is full


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the activity log."""

    at: datetime
    username: str
    action: str
    payload: dict[str, Any] = field(default_factory=dict)
    domain: str = "RECORD"


class World:
    """Thread-safe. Content depends on `seed`, `documents_per_user` and the nights passed, on nothing else."""

    def __init__(
        self,
        seed: int = 1,
        *,
        nights: int = 0,
        documents_per_user: int = 15,
        queue_s: float = 0.05,
        run_s: float = 0.15,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seed = seed
        self.clock = WorldClock(START, ticks)
        self.lab = lab.build(seed, START, documents_per_user)
        self.faults = Faults()
        self.throttle = Throttle()
        self.queue_s = queue_s  # seconds a job stays STARTING
        self.run_s = run_s  # seconds a job stays STARTED
        self.bulk_bytes = 0  # added to each export started from now on
        self.serve_file: Path | None = None  # the next export that completes serves this file instead
        self.foreign_origin = ""  # http://host:port of the second listener
        self.wait: Callable[[float], object] = threading.Event().wait  # real seconds, for planning delays
        self.jobs: dict[int, Job] = {}
        self._forgotten: list[Job] = []  # wiped from the history; their files and events stay
        self._tokens: dict[str, int] = {}
        self._events: list[Event] = []
        self._night = 0
        self._last_job = _FIRST_JOB - 1
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.RLock()
        self.pass_nights(nights)

    # -- time ---------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def pass_nights(self, count: int = 1) -> None:
        """Move on by whole days; on each, every owner changes a little."""
        with self._lock:
            for _ in range(count):
                self._night += 1
                self.clock.advance(timedelta(days=1).total_seconds())
                # readers in other threads keep the lab of the day before until this one is complete
                tomorrow = self.lab.copy()
                changes = work_a_day(tomorrow, self._night, self.clock.base())
                self.lab = tomorrow
                for change in changes:
                    document = change.document
                    username = self.lab.users[document.owner_id].username
                    payload = {"id": f"SD{document.id}", "name": document.name, "type": "DOCUMENT"}
                    self._events.append(Event(document.modified_at, username, change.action, payload))

    # -- people -------------------------------------------------------------------------------------------

    def user(self, username: str) -> User:
        return next(u for u in self.lab.users.values() if u.username == username)

    def user_of_key(self, key: str) -> User | None:
        return self._unless_off(next((u for u in self.lab.users.values() if u.api_key == key), None))

    def user_of_token(self, token: str) -> User | None:
        return self._unless_off(self.lab.users.get(self._tokens.get(token, 0)))

    def issue_token(self, username: str, password: str) -> str | None:
        """A bearer token, or None when name and password do not belong together."""
        for user in self.lab.users.values():
            if (user.username, user.password) == (username, password):
                token = f"demo-token-{random_text(Random(f'{self.seed}:token:{len(self._tokens)}'))}"
                self._tokens[token] = user.id
                return token
        return None

    def _unless_off(self, user: User | None) -> User | None:
        off = self.faults.user_off
        if user is None or not off or off not in (user.username, "*"):
            return user
        return None if self.faults.take("user_off") else user

    # -- jobs ---------------------------------------------------------------------------------------------

    def running_job(self, user_id: int) -> Job | None:
        now = self.now()
        with self._lock:
            return next((j for j in self.jobs.values() if j.user_id == user_id and jobs.is_running(j, now)), None)

    def start_job(self, plan: Plan) -> Job:
        """Queue an export of what was planned. Takes the switches that decide how this job will end."""
        with self._lock:
            self._last_job += 1
            seed = f"{self.seed}:job:{self._last_job}"
            minute, secret = f"{plan.planned_at:%Y-%m-%d-%H-%M}", random_text(Random(seed))
            name = f"RSpace-{minute}-{plan.format}-{plan.who}-{secret}.zip"
            now = self.now()
            start_at = self._start_at(now + timedelta(seconds=self.faults.take("queue_delay_s") or self.queue_s))
            job = Job(
                self._last_job, plan.exporter.id, plan, name, f"{seed}:content",
                now, start_at, start_at + timedelta(seconds=self.run_s),
            )  # fmt: skip
            self._decide(job)
            self.jobs[job.id] = job
            return job

    def _start_at(self, wanted: datetime) -> datetime:
        busy = sorted(
            j.end_at
            for j in self.jobs.values()
            if j.end_at > wanted and j.outcome in (Outcome.COMPLETED, Outcome.FAILED)
        )
        return busy[-_POOL] if len(busy) >= _POOL else wanted

    def _decide(self, job: Job) -> None:
        faults = self.faults
        for switch, outcome in _ENDINGS.items():
            if taken := faults.take(switch):
                job.outcome, job.failure = outcome, str(taken)
                return
        job.wrong_crc = faults.take("wrong_crc")
        job.purge_at_once = faults.take("purge_at_once")
        job.foreign_enclosure = faults.take("foreign_enclosure")
        job.serve_file, self.serve_file = self.serve_file, None
        job.plan = replace(job.plan, bulk_bytes=self.bulk_bytes)
        if missing := faults.take("missing_document"):
            gone = job.plan.revisions[0].document.id if missing == 1 and job.plan.revisions else missing
            job.plan = replace(job.plan, revisions=tuple(r for r in job.plan.revisions if r.document.id != gone))
        if faults.take("empty_export"):
            job.plan = replace(job.plan, revisions=(), files=(), folders=(), bulk_bytes=0)

    def wipe_jobs(self) -> None:
        """Forget the job history, as the 2.25 upgrade did. Nothing runs any more; files stay for download."""
        with self._lock:
            self._forgotten += self.jobs.values()
            self.jobs.clear()

    # -- files --------------------------------------------------------------------------------------------

    def file_of(self, job: Job) -> BuiltFile | None:
        """The finished archive, built at the first question; None while there is none or once it is purged."""
        now = self.now()
        with job.lock:
            if not jobs.has_archive(job, now):
                if job.built and job.built.path != job.serve_file:
                    job.built.path.unlink(missing_ok=True)
                    job.built = None
                return None
            if job.built is None and job.serve_file is not None:
                job.built = archive.measure(job.serve_file)
            if job.built is None:
                job.built = archive.build(job, self.lab.seed, self._directory() / job.zip_name)
            return job.built

    def job_of_file(self, zip_name: str) -> Job | None:
        with self._lock:
            return next((j for j in [*self.jobs.values(), *self._forgotten] if j.zip_name == zip_name), None)

    def _directory(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="strongroom-demo-")
            return Path(self._folder.name)

    def close(self) -> None:
        """Delete every archive built. The world can still be asked, and would build them again."""
        with self._lock:
            for job in [*self.jobs.values(), *self._forgotten]:
                job.built = None
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    # -- activity -----------------------------------------------------------------------------------------

    def log(self, user: User, action: str) -> None:
        with self._lock:
            self._events.append(Event(self.now(), user.username, action))

    def events(self) -> list[Event]:
        """Oldest first. An export is in the log only once it has succeeded."""
        now = self.now()
        with self._lock:
            done = [
                j for j in [*self.jobs.values(), *self._forgotten]
                if j.outcome is Outcome.COMPLETED and now >= j.end_at
            ]  # fmt: skip
            return sorted([*self._events, *map(_export_event, done)], key=lambda e: e.at)


# switch -> how a job with it ends
_ENDINGS = {
    "launch_failed": Outcome.LAUNCH_FAILED,
    "zombie": Outcome.ZOMBIE,
    "job_500": Outcome.NO_RESULT,
    "job_fails": Outcome.FAILED,
}


def _export_event(job: Job) -> Event:
    plan = job.plan
    documents = {r.document.id: r.document.name for r in plan.revisions}
    files = {f.id: f.name for f in plan.files}
    payload = {
        "configuration": {"archiveType": plan.format, "exportScope": plan.scope.upper()},
        "exportPath": {"name": job.zip_name},
        "exported": [{"id": i, "name": name} for i, name in (documents | files).items()],
    }
    return Event(job.end_at, plan.exporter.username, "EXPORT", payload)
