"""The engine: carries one export of one scope through its life, and survives being killed anywhere in it.

Knows no Prefect (tasks are thin calls into it), no HTTP and no system's words. What it knows of a job is in the
catalog before the next step is taken, so any process can go on: phases are called in order by every run, and each
does only what is not done yet.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from flows import keeping, lease, levels, spool, waiting
from flows.athand import AtHand
from flows.clock import Clock, new_id
from flows.errors import (
    Exit,
    FileGone,
    RunFailed,
    SourceError,
)
from flows.export import (
    Account,
    Intent,
    JobRef,
    State,
    Status,
    without_secrets,
)
from flows.patience import patiently
from flows.plan import Places, Plan
from flows.runlog import End, RunLog
from flows.sources import record_of
from flows.sources.base import Kept, Receipt, Source
from flows.spool import Progress, SpooledFiles
from flows.starting import Starting
from storage import secondlook
from storage.errors import ObjectCorrupt, ObjectMissing, StorageError
from storage.holder import Holder
from storage.jobs import InFlight
from storage.latest import newest_counted
from storage.listing import Listing
from storage.records import Ended, RunRecord
from storage.snapshot import Draft, Snapshot, from_text
from storage.verify import Check, Outcome, Quality, fold, judge
from storage.writer import Writer

log = logging.getLogger(__name__)
SPOOL_DAYS = 7  # how long the spool of an open job waits for a run that goes on


class Engine:
    """One run. Call `begin`, `login`, then inside `lease()`: `start`, `wait`, `download`, `keep`, `finish`.

    On any error call `log.fail` instead of `finish`. Each method may be called again with the same arguments.
    """

    def __init__(self, plan: Plan, source: Source, places: Places, clock: Clock) -> None:
        self.plan = plan
        self.key = plan.key
        self.clock = clock
        self.account: Account | None = None
        self.log = RunLog(places.archive, places.catalog, clock, places.secrets)
        self._source = source
        self._archive = places.archive
        self._catalog = places.catalog
        self._spool = places.spool
        self._secrets = places.secrets
        self._files: tuple[str, AtHand] | None = None  # of the job of this id
        self._starting = Starting(plan, source, places, clock, self._close)

    def begin(self, *, trigger: str, flow_run: str = "") -> str:
        """Note that a run is under way. Our run id."""
        self.log.begin(self.key, self.plan.table.system, self.plan.scope, trigger=trigger, flow_run=flow_run)
        return self.log.run_id

    def login(self, *, patient: bool = True) -> Account:
        """Prove the credential. `patient`: wait while nobody answers. Raises SourceRefused, SourceUnavailable."""
        self.log.phase("login")
        self.account = (
            patiently(self._source.login, self.clock, self.plan.pace) if patient else self._source.login()
        )
        return self.account

    def unchanged(self) -> str:
        """Why this run is not needed: the system shows no change since the newest snapshot that counts; "" else.

        Never trusts silence for longer than `skip_unchanged_days`, and never where a job is open.
        """
        assert self.account is not None, "login comes first"  # noqa: S101
        days = timedelta(days=self.plan.table.skip_unchanged_days)
        if not days or self._catalog.jobs.open(self.key) is not None:
            return ""
        # An old export that was taken in since only makes this ask too early. One that was taken while a clock was
        # wrong does not count, and says nothing.
        newest = newest_counted(self._archive, self.key, now=self.clock.now())
        if newest is None or newest.manifest.draft.request != self.plan.scope.to_json():
            return ""
        draft = newest.manifest.draft
        if self.clock.now() + timedelta(days=1) - draft.taken_at > days:  # tomorrow would be too late
            return ""
        told = draft.vendor.get("server_time")
        try:
            names = tuple(entry.path for entry in self._archive.entries(newest))
        except StorageError as exc:  # a damaged snapshot is no reason to make none
            log.warning("%s: %s", self.key, exc)
            return ""
        kept = Kept(from_text(told) if told else None, names)
        account = self.account
        return patiently(
            lambda: self._source.unchanged(self.plan.scope, account, kept), self.clock, self.plan.pace
        )

    @contextmanager
    def lease(self, on_wait: Callable[[Holder], None] = lambda _: None) -> Iterator[None]:
        """Hold the credential's lease: the account on the server, however many keys and sources name it."""
        assert self.account is not None, "login comes first"  # noqa: S101
        table = self.plan.table
        credential = f"{table.system} {urlsplit(table.url).netloc} {self.account.user}"
        self.log.phase("waiting for the credential")
        with lease.held(self._catalog, credential, wait_s=table.lease_wait_s, on_wait=on_wait):
            yield

    # -- start

    def start(self) -> InFlight:
        """The scope's job: the one that an earlier run left open, as far as it can be used, or a new one.

        See `starting.py` for what it raises, and what is then known.
        """
        assert self.account is not None, "login comes first"  # noqa: S101
        self.log.phase("start")
        self._sweep_spool()
        job = self._catalog.jobs.open(self.key)
        done = None if job is None else self._committed(job)
        if done is not None:  # by a run that died before it said so
            self._catalog.record_snapshot(done, self._archive.entries)
        started = self._starting.job(self.account, job)
        self.log.phase("start", started.id)
        return started

    def _sweep_spool(self) -> None:
        """Free what is of no use in the spool.

        Of closed jobs, whose run died before it cleared it; and of jobs that nobody went on with for a week, such
        as those of a scope that was taken out of the configuration.
        """
        folders = {path.name: path for path in self._spool.iterdir()} if self._spool.is_dir() else {}
        old = new_id(self.clock.now() - timedelta(days=SPOOL_DAYS))  # ids begin with their date
        for name in folders.keys() - {job_id for job_id in self._catalog.jobs.open_ids() if job_id > old}:
            shutil.rmtree(folders[name], ignore_errors=True)

    # -- wait

    def wait(self, job: InFlight, on_status: Callable[[Status], None] = lambda _: None) -> Status:
        """Ask until the job has ended; its answer if that is *ready*.

        Raises RunFailed or FileGone for any other end (the job is closed); RunFailed at the ceiling and
        SourceUnavailable or SourceUnexpected when patience runs out (the job stays open).
        """
        self.log.phase("waiting for the export", job.id)
        ref = JobRef.from_json(job.ref or {})
        status = waiting.until_ended(self._source, ref, self.key, self.plan.pace, self.clock, on_status)
        if status.state.ready:
            self._catalog.jobs.save_status(job.id, status.to_json())
            return Status.from_json(self._catalog.jobs.get(job.id).status or {})
        error = waiting.end_of(self.key, status)
        self._close(job.id, str(error))
        raise error

    # -- download

    def download(
        self, job: InFlight, status: Status, on_bytes: Progress = lambda _piece, _total: None
    ) -> SpooledFiles:
        """Every file of the job in the spool, its bytes proven. What an earlier run fetched is not fetched again.

        Raises SourceUnavailable and StorageError with the job open; FileGone and RunFailed (the bytes are not
        those promised, however often they are fetched) with the job closed.
        """
        self.log.phase("downloading", job.id)
        intent, ref, at_hand = Intent.from_json(job.intent), JobRef.from_json(job.ref or {}), self._at_hand(job)
        if self._committed(job) is not None:
            return SpooledFiles(self._spool / job.id, "", at_hand.entry)

        def arrived(piece: int, total: int) -> None:
            self.log.bytes_fetched += piece
            on_bytes(piece, total)

        try:
            return spool.fetch_all(
                self._source,
                ref,
                lambda: self._source.files(intent, ref, status, at_hand),
                self._spool / job.id,
                tries=self.plan.table.download_tries,
                pace=self.plan.pace,
                clock=self.clock,
                holdings=at_hand.entry,
                on_bytes=arrived,
            )
        except FileGone as exc:
            self._close(job.id, str(exc))
            raise
        except RunFailed as exc:
            if exc.exit is Exit.VERIFICATION:  # not for want of disk: then the job is still good
                self._close(job.id, str(exc))
            raise

    # -- keep

    def keep(self, job: InFlight, status: Status, spooled: SpooledFiles) -> Snapshot:
        """Check what the files hold, put them into the archive, prove them there, commit. The snapshot.

        A job that an earlier run committed gives that snapshot again. Raises StorageError; retry: yes.
        """
        self.log.phase("archiving", job.id)
        done = self._committed(job)
        if done is not None:
            return done
        try:
            return self._keep(job, status, spooled)
        except (ObjectCorrupt, ObjectMissing) as exc:
            log.warning("objects of older packs are damaged; what cannot be proven is stored anew: %s", exc)
            self._at_hand(job).forget()
            return self._keep(job, status, self.download(job, status), proven=True)

    def _keep(self, job: InFlight, status: Status, spooled: SpooledFiles, *, proven: bool = False) -> Snapshot:
        intent, ref = Intent.from_json(job.intent), JobRef.from_json(job.ref or {})
        witnessed = self._witness(intent, ref, status, spooled)
        checks = fold(keeping.checks_of(self._source, intent, status, spooled, witnessed))
        omitted = self._omitted(job)
        request = self.plan.scope.to_json()
        if intent.scope != intent.wanted:
            request["resolved"] = intent.scope.to_json()
        draft = Draft(
            key=self.key,
            system=self.plan.table.system,
            request=request,
            run_id=self.log.run_id,
            job_id=job.id,
            job={**ref.handle, "adopted": ref.adopted},
            vendor={**intent.account.to_json(), "url": self.plan.table.url, "said": status.raw},
            taken_at=ref.started_at,
            quality=judge(checks, partial=status.state is State.READY_PARTIAL or bool(omitted)),
            checks=tuple(checks),
            notes=keeping.notes(self._source.never_holds(intent.scope), (*intent.notes, *keeping.few(omitted))),
            tool=keeping.tool(),
            tags=self.plan.tags,
        )
        now = self.clock.now
        records = self._source.records(intent, spooled.paths())
        complete = levels.beside_history(self._archive, record_of(self.plan.table.system), now, records)
        writer = Writer(self._archive, self.key, proven=proven)
        return keeping.write(writer, draft, spooled, clock=now, complete=complete)

    def _witness(self, intent: Intent, ref: JobRef, status: Status, spooled: SpooledFiles) -> list[Check]:
        """What the system says of the whole. A file in hand is not given up because nobody answers."""
        paths = spooled.paths()
        try:
            return patiently(lambda: self._source.witness(intent, ref, status, paths), self.clock, self.plan.pace)
        except SourceError as exc:
            return [Check("completeness", Outcome.NOT_AVAILABLE, reason=f"the system cannot be asked: {exc}")]

    def _omitted(self, job: InFlight) -> tuple[str, ...]:
        """What the scope names and the snapshot lacks, a sentence each."""
        files = SpooledFiles(self._spool / job.id, "", self._at_hand(job).entry)
        return (*Intent.from_json(job.intent).omitted, *files.lacking)

    def _committed(self, job: InFlight) -> Snapshot | None:
        if self._starting.started_here:
            return None
        links = self._archive.newest_first(self.key, damaged=[])  # one damaged night must not stop the others
        done = next((found for found in links if found.manifest.draft.job_id == job.id), None)
        # Its run may have died before it looked once more.
        if done is not None and secondlook.lacks(self._archive, done, surely=True):
            secondlook.withdraw(self._archive, done, now=self.clock.now())
            return None
        return done

    # -- the run ends

    def finish(self, job: InFlight, found: Snapshot) -> RunRecord:
        """Record the run, close the job, clean up here and at the vendor. Retry: yes."""
        self.log.phase("recording", job.id)
        quality = found.manifest.draft.quality
        omitted = self._omitted(job)
        failed = [check for check in found.manifest.draft.checks if check.outcome is Outcome.FAILED]
        code = {Quality.QUARANTINED: Exit.QUARANTINED, Quality.PARTIAL: Exit.PARTLY}.get(quality, Exit.DONE)
        record = self.log.end(
            End(
                Ended(quality.value),
                code,
                reason="; ".join([*(check.sentence() for check in failed[:3]), *keeping.few(omitted, 3)]),
                hint=levels.hint(self._archive, found, now=self.clock.now()) if failed else "",
                snapshot=found.id,
                checks=found.manifest.draft.checks,
            )
        )
        self._catalog.record_snapshot(found, self._archive.entries)
        if job.ref is not None:
            try:
                self._source.cleanup(JobRef.from_json(job.ref), Receipt(found.id, found.manifest.committed_at))
            except SourceError as exc:  # what is left there expires by itself; the night is kept all the same
                log.warning("%s: not cleaned up on the server: %s", self.key, exc)
        self._close(job.id, f"kept as snapshot {found.id[:8]}")
        return record

    def _at_hand(self, job: InFlight) -> AtHand:
        if self._files is None or self._files[0] != job.id:
            self._files = job.id, AtHand(self._archive, self.key, self._spool / job.id)
        return self._files[1]

    def last_good(self) -> datetime | None:
        """When the newest snapshot of the scope that counts was taken."""
        newest = newest_counted(self._archive, self.key, now=self.clock.now())
        return None if newest is None else newest.manifest.draft.taken_at

    def skip(self, reason: str, *, ended: Ended = Ended.SKIPPED) -> RunRecord:
        """Record that nothing was asked for, and why: *skipped* or *unchanged*."""
        return self.log.end(End(ended, reason=reason))

    def entries(self, found: Snapshot) -> Listing:
        """The files of a snapshot."""
        return self._archive.entries(found)

    def _close(self, job_id: str, because: str) -> None:
        because = without_secrets(because, self._secrets)
        self._catalog.jobs.close(job_id, because, now=self.clock.now())
        shutil.rmtree(self._spool / job_id, ignore_errors=True)
        log.info("job %s closed: %s", job_id, because)
