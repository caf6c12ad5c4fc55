"""The demo world: a laboratory, its clock, the export jobs, the switches, and the activity log.

It speaks no dialect and no HTTP; dialects ask it who a key belongs to, start jobs and fetch their files.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from flows.demo import archive, endings, events, jobs, lab, roster
from flows.demo.archive_names import random_text
from flows.demo.events import Event
from flows.demo.faults import Faults
from flows.demo.jobs import BuiltFile, Job, Outcome, Plan
from flows.demo.lab import Document, Lab, User
from flows.demo.nights import work_a_day
from flows.demo.throttle import Throttle
from flows.demo.worldclock import START, WorldClock

_FIRST_JOB = 23
_POOL = 2  # exports at a time for the whole server: a Java pool grows past its core only when the queue is full


class World:
    """Thread-safe. Content depends on the arguments before `queue_s` and on what is done to it, on nothing else.

    `users` are those besides the sysadmin, `never_logged_in` more who have no home folder. Whatever is asked
    for beyond the defaults is added: the first three users' records of night 0 stay the same. `start` is the time
    there at first: a backup by another clock is misdated.
    Raises ValueError on fewer than three users or more groups than there are people to lead them.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        nights: int = 0,
        documents_per_user: int = 15,
        users: int = roster.SMALLEST,
        groups: int = 1,
        never_logged_in: int = 0,
        system_folders: bool = False,
        start: datetime = START,
        queue_s: float = 0.05,
        run_s: float = 0.15,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seed = seed
        self.clock = WorldClock(start, ticks)
        self.lab = lab.build(seed, start, documents_per_user)
        self._system_folders = system_folders
        roster.extend(self.lab, start, documents_per_user, users=users, groups=groups)
        for _ in range(never_logged_in):
            roster.add_person(self.lab, start, logged_in=False)
        for user in self.lab.users.values() if system_folders else ():
            roster.add_system_folders(self.lab, user)
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
        self._log_begins = datetime.min.replace(tzinfo=UTC)
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
                with self._changing() as tomorrow:
                    changes = work_a_day(tomorrow, self._night, self.clock.base())
                for change in changes:
                    self._log_document(change.action, change.document, change.document.modified_at)

    @contextmanager
    def _changing(self) -> Iterator[Lab]:
        """A copy to change: readers in other threads keep the lab as it was until this one is complete."""
        with self._lock:
            changed = self.lab.copy()
            yield changed
            self.lab = changed

    # -- what people and administrators do ----------------------------------------------------------------

    def create_document(self, username: str) -> Document:
        """Somebody writes a document now."""
        with self._changing() as changed:
            rng = Random(f"{self.seed}:written:{changed.last_id}")
            document = lab.add_document(changed, rng, self.user(username).id, self.now())
        self._log_document("CREATE", document, document.created_at)
        return document

    def delete_document(self, document_id: int, *, by: str = "") -> None:
        """Its owner, or `by`, deletes a document: no longer listed or exported. Raises KeyError for none."""
        document = self.lab.documents[document_id]
        with self._changing() as changed:
            roster.remove_document(changed, document_id)
        self._log_document("DELETE", document, self.now(), by)

    def delete_work(self, username: str, *, keep: int = 0) -> None:
        """Somebody deletes all documents but the first `keep`, and the gallery files that those do not show."""
        owner = self.user(username).id
        for document in self.lab.documents_of(owner)[keep:]:
            self.delete_document(document.id)
        with self._changing() as changed:
            shown = {file for document in changed.documents_of(owner) for file in document.file_ids}
            gone = [i for i, file in changed.files.items() if file.owner_id == owner and i not in shown]
            for file in gone:
                del changed.files[file]

    def witness(self, document_id: int, *, by: str) -> None:
        """Somebody else confirms a document. Raises KeyError on an unknown id."""
        self._log_document("WITNESSED", self.lab.documents[document_id], self.now(), by)

    def share(self, document_id: int) -> None:
        """Its owner shares a document with his groups: from now on it lies below his Shared folder as well.

        Raises KeyError on an unknown id. Only worlds with system folders have such a folder.
        """
        with self._changing() as changed:
            changed.shared |= {changed.documents[document_id].id}

    def close_home(self, username: str) -> None:
        """The PI may no longer read this user's home: group exports leave it out, its shared work is listed."""
        with self._changing() as changed:
            changed.closed |= {self.user(username).id}

    def tag(self, document_id: int, *tags: str) -> None:
        """Give a document these tags instead of those that it has. They are listed, and not in any archive."""
        with self._changing() as changed:
            changed.tags[changed.documents[document_id].id] = tags

    def add_user(self, name: str = "", *, group_id: int | None = None, logged_in: bool = True) -> User:
        """A new account: `name` is first and last name, made up if empty. A group takes it as a plain member."""
        with self._changing() as changed:
            user = roster.add_person(changed, self.now(), name, logged_in=logged_in)
            if group_id is not None:
                roster.join(changed, group_id, user)
            if self._system_folders:
                roster.add_system_folders(changed, user)
        return user

    def remove_user(self, username: str) -> None:
        """An account is deleted with all its work. Raises ValueError for the leader of a group."""
        with self._changing() as changed:
            roster.remove_person(changed, self.user(username))

    def close_zombies(self) -> int:
        """Set every zombie to FAILED in the database, so that its user can export again; how many there were."""
        with self._lock:
            zombies = [j for j in self.jobs.values() if j.outcome is Outcome.ZOMBIE]
            for job in zombies:
                endings.close(job, self.now())
            return len(zombies)

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

    def revoke_tokens(self) -> None:
        """Every bearer token given so far has run out."""
        self._tokens = dict.fromkeys(self._tokens, 0)

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
            queue_s = self.faults.take("queue_delay_s", plan.target) or self.queue_s
            start_at = self._start_at(now + timedelta(seconds=queue_s))
            job = Job(
                self._last_job, plan.exporter.id, plan, name, f"{seed}:content",
                now, start_at, start_at + timedelta(seconds=self.run_s),
            )  # fmt: skip
            job.plan = replace(plan, bulk_bytes=self.bulk_bytes)
            endings.decide(job, self.faults)
            if job.outcome is Outcome.COMPLETED:
                job.serve_file, self.serve_file = self.serve_file, None
            self.jobs[job.id] = job
            return job

    def _start_at(self, wanted: datetime) -> datetime:
        busy = sorted(
            j.end_at
            for j in self.jobs.values()
            if j.end_at > wanted and j.outcome in (Outcome.COMPLETED, Outcome.FAILED)
        )
        return busy[-_POOL] if len(busy) >= _POOL else wanted

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

    def rotate_log(self) -> None:
        """What is older than now is no longer found, as when the server moves its log files away."""
        with self._lock:
            self._log_begins = self.now()

    def events(self) -> list[Event]:
        """Oldest first. An export is in the log only once it has succeeded."""
        now = self.now()
        with self._lock:
            done = [j for j in [*self.jobs.values(), *self._forgotten] if events.is_logged(j, now)]
            found = sorted([*self._events, *map(events.of_export, done)], key=lambda e: e.at)
            return [e for e in found if e.at >= self._log_begins]

    def _log_document(self, action: str, document: Document, at: datetime, by: str = "") -> None:
        user = self.user(by) if by else self.lab.users[document.owner_id]
        with self._lock:
            self._events.append(events.of_document(action, document, user, at))
