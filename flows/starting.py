"""The first phase of a run: the job that an earlier run left open, as far as it can be used, or a new one.

The intent is saved before the question goes out and the vendor's handle right after: whoever is killed in between
leaves behind what the next run needs to know. A question whose answer was lost is not simply repeated: an export
may run because of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from flows.clock import Clock, new_id
from flows.errors import Exit, Narrowed, RunFailed, SourceBusy, SourceError, SourceUnavailable, SourceUnexpected
from flows.export import Account, Intent, JobRef, Resume, Status, plan_resume
from flows.patience import patiently
from flows.plan import Places, Plan
from flows.sources.base import Capabilities, Source
from storage.jobs import InFlight
from storage.records import Ended
from storage.snapshot import from_text

log = logging.getLogger(__name__)
progress = logging.getLogger("flows.progress")
MAX_NARROWED = 20  # questions in a row with one part less: each costs the system a whole plan
CLOCKS_APART = timedelta(days=2)  # how far the system's clock and ours may differ, and a dialect look back
LOST_HINT = (
    "something between here and the system swallows its answers; the job is remembered and looked for again"
)


class AnswerLost(Exception):
    """The question went out and no usable answer came: an export may have been started."""


class Starting:
    """Finds or starts the job of one run. `close(job, because)` ends a job that is of no use."""

    def __init__(
        self, plan: Plan, source: Source, places: Places, clock: Clock, close: Callable[[str, str], None]
    ) -> None:
        self._plan = plan
        self._source = source
        self._archive = places.archive
        self._catalog = places.catalog
        self._jobs = places.catalog.jobs
        self._clock = clock
        self._close = close
        self.started_here = False  # this very run asked for the export

    def job(self, account: Account, left: InFlight | None) -> InFlight:
        """The job to wait for. `left`: what an earlier run left open.

        Raises SourceBusy, SourceRefused, NothingThere, RunFailed (nothing was started, the job is closed);
        SourceUnavailable, and RunFailed that says *lost* (the job stays open, and the next run finds out).
        """
        if left is not None and not _readable(left):
            self._close(left.id, "written by another version of this program")
        elif left is not None:
            plan = plan_resume(
                same_request=_intent(left).wanted == self._plan.scope,
                asked=left.asked_at is not None,
                known=left.ref is not None,
                ready=left.status is not None,
                opened_at=left.opened_at,
                now=self._clock.now(),
                fresh_for=self._plan.table.fresh_for,
            )
            log.info("open job %s from %s: %s", left.id, left.opened_at, plan.value)
            resumed = self._resume(left, plan)
            if resumed is not None:
                return resumed
        return self._start_new(account)

    def _resume(self, job: InFlight, plan: Resume) -> InFlight | None:
        """The job, ready to be waited for; None, and the job closed, where it is of no use any more."""
        match plan:
            case Resume.ASK:
                return self._ask(job)
            case Resume.RECOVER:
                return self._find(job)
            case Resume.GO_ON:
                return job if self._of_use(job) else None
            case Resume.RENEW:
                self._close(job.id, "too old, or the scope has changed")
                return None

    def _of_use(self, job: InFlight) -> bool:
        """Whether a known job may still give its files; if not, it is closed."""
        ref = JobRef.from_json(job.ref or {})
        try:
            status = self._source.poll([ref])[ref.key]
        except (SourceUnavailable, SourceUnexpected) as exc:
            # Waiting will ask again, with more patience. But nights on end of the same answer, from a server that
            # is there, must not stop all others; where the job runs after all, a new question is refused as busy.
            longest = self._plan.table.fresh_for
            if isinstance(exc, SourceUnavailable):
                longest += timedelta(seconds=self._plan.pace.ceiling_s)
            if self._clock.now() - job.opened_at <= longest:
                return True
            self._close(job.id, str(exc))
            return False
        except KeyError as exc:
            self._close(job.id, f"written by another version of this program: no {exc} in it")
            return False
        old = self._clock.now() - job.opened_at > self._plan.table.fresh_for
        if status.state.waits or (status.state.ready and not old):
            return True
        ended = "ready, but too old" if status.state.ready else status.detail or status.raw
        self._close(job.id, f"{status.state.value}: {ended}")
        return False

    def _start_new(self, account: Account) -> InFlight:
        pace, clock = self._plan.pace, self._clock
        scope = patiently(lambda: self._source.discover(self._plan.scope), clock, pace)
        intent = patiently(lambda: self._source.prepare(scope, account, now=clock.now()), clock, pace)
        if intent.scope != self._plan.scope:
            intent = replace(intent, asked_for=self._plan.scope)
        now = clock.now()
        job_id = new_id(now)
        self._jobs.save_intent(job_id, self._plan.key, intent.to_json(), now=now)
        return self._ask(self._jobs.get(job_id))

    # -- asking

    def _ask(self, job: InFlight) -> InFlight:
        """Send the question; wait while the system is away, or busy with another export of the credential."""
        since = self._clock.now()
        while True:
            try:
                return self._send(self._jobs.get(job.id))
            except AnswerLost as exc:
                progress.warning("%s: %s; looking for the export that it may have started", job.key, exc)
                return self._find(self._jobs.get(job.id))
            except SourceBusy as exc:
                # At the longest gap: somebody else's export is no business of ours that needs a close watch.
                gap = self._plan.pace.gap(60, jitter=self._clock.dice(), retry_after_s=exc.retry_after_s)
                waited = self._clock.now() - since
                if waited + timedelta(seconds=gap) > self._busy_wait():
                    self._close(job.id, str(exc))
                    raise self._blocked(exc) from exc
                progress.info("%s: %s; asked again in %.0f s", job.key, exc, gap)
                self._clock.sleep(gap)

    def _send(self, job: InFlight, *, lost: bool = False) -> InFlight:
        """The question, asked again only where it cannot have arrived. `lost`: an earlier one may have.

        Raises AnswerLost, SourceBusy, SourceUnavailable (it never arrived); else the job is closed.
        """
        intent = _intent(job)

        def send() -> JobRef:
            self._jobs.mark_asked(job.id, now=self._clock.now())
            try:
                return self._source.start(intent, now=self._clock.now())
            except SourceUnavailable as exc:
                if exc.sent and not isinstance(exc, SourceBusy):
                    # It may be planned from now on for as long as a plan takes: so long nothing is asked again.
                    self._jobs.mark_asked(job.id, now=self._clock.now())
                    raise AnswerLost(str(exc)) from exc
                if not lost:
                    self._jobs.unmark_asked(job.id)
                raise

        narrowed = 0
        while True:
            try:
                ref = patiently(send, self._clock, self._plan.pace)
            except Narrowed as exc:
                narrowed += 1
                if narrowed > MAX_NARROWED:
                    self._close(job.id, str(exc))
                    raise
                log.warning("%s: %s; asked for without it", job.key, exc)
                intent = exc.instead
                self._jobs.save_instead(job.id, intent.to_json())
            except SourceUnavailable:
                raise
            except SourceError as exc:
                self._close(job.id, str(exc))
                raise
            else:
                self._jobs.save_ref(job.id, ref.to_json())
                self.started_here = True
                return self._jobs.get(job.id)

    def _find(self, job: InFlight) -> InFlight:
        """What a question started whose answer was lost; where that shows nothing, the question once more.

        While the system may still be planning the first one, a second would start a second export (contract
        rspace.md section 1: its check for a running export is not atomic). For `start_timeout_s`, longer than any
        plan should take, it is only looked for. After that asking is harmless: where the first one runs, a system
        that refuses a second says *busy*, and one that repeats gives the same job. Where that answer is lost as
        well, nothing is asked a third time by this run: a system that swallows every answer may start one each.
        """
        clock, pace, capabilities = self._clock, self._plan.pace, self._source.capabilities
        asked_at = min(job.asked_at or job.opened_at, clock.now())
        grace = timedelta(seconds=self._plan.table.start_timeout_s)
        ask_at = asked_at if capabilities.second_start == "same job" else asked_at + grace
        end = asked_at + timedelta(seconds=pace.ceiling_s)
        intent, source = _intent(job), self._plan.table.name

        def ours(name: str) -> bool:
            since = asked_at - CLOCKS_APART  # an export asked for later is kept later
            return self._catalog.holds_file(source, name, self._archive, since=since)

        def recover() -> JobRef | None:
            return self._source.recover(intent, asked_at=asked_at, ours=ours)

        lost_again = False
        said, code, hint = "", Exit.VENDOR, ""
        looked = 0
        while True:
            ref = patiently(recover, clock, pace)
            if ref is not None:
                log.info("%s: found the export whose answer was lost", job.key)
                self._jobs.save_ref(job.id, ref.to_json())
                return self._jobs.get(job.id)
            if clock.now() >= ask_at and not lost_again:
                try:
                    return self._send(self._jobs.get(job.id), lost=True)
                except AnswerLost as exc:
                    lost_again, end = True, min(end, clock.now() + grace)
                    said, code, hint = f"lost once more: {exc}", Exit.VENDOR, LOST_HINT
                except SourceBusy as exc:
                    said, code, hint = str(exc), Exit.BUSY, exc.hint
                ask_at = clock.now() + grace
            if said and clock.now() >= end:
                waited = clock.now() - asked_at
                text = f"{self._plan.key}: the answer to the question was lost; after {waited}: {said}"
                raise RunFailed(text, ended=Ended.LOST, exit=code, hint=hint)
            clock.sleep(pace.gap(looked, jitter=clock.dice()))
            looked += 1

    # -- blocked

    def _busy_wait(self) -> timedelta:
        """How long to wait for another export of the credential: not at all where that was in vain just now."""
        wait = timedelta(seconds=self._plan.table.busy_wait_s)
        last = self._catalog.last_ended(self._plan.table.name)
        lately = last is not None and timedelta(0) <= self._clock.now() - from_text(last.ended_at) < wait
        in_vain = lately and last is not None and last.exit_code == Exit.BUSY
        return timedelta(0) if in_vain or self._stuck() else wait

    def _stuck(self) -> tuple[InFlight, JobRef] | None:
        """A job of ours, of another scope of this source, that still runs after longer than any export may."""
        for job in self._jobs.open_of(self._plan.table.name):
            if job.ref is None or job.status is not None or job.key == self._plan.key or not _readable(job):
                continue
            ref = JobRef.from_json(job.ref)
            if self._clock.now() - ref.started_at <= timedelta(seconds=self._plan.pace.ceiling_s):
                continue
            with contextlib.suppress(SourceError, KeyError):
                if self._source.poll([ref])[ref.key].state.waits:
                    return job, ref
        return None

    def _blocked(self, exc: SourceBusy) -> SourceError:
        stuck = self._stuck()
        if stuck is None:
            return exc
        job, ref = stuck
        return RunFailed(
            f"{exc}: that of {job.key.scope}, since {ref.started_at:%Y-%m-%d %H:%M} UTC",
            exit=Exit.BUSY,
            hint=stuck_hint(self._source.capabilities, ref),
        )


def _readable(job: InFlight) -> bool:
    """Whether this version understands what an earlier one saved."""
    try:
        Intent.from_json(job.intent)
        JobRef.from_json(job.ref) if job.ref is not None else None
        Status.from_json(job.status) if job.status is not None else None
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _intent(job: InFlight) -> Intent:
    return Intent.from_json(job.intent)


def stuck_hint(capabilities: Capabilities, ref: JobRef) -> str:
    """What to do about a job that never ends: the dialect's words, with the job's handle."""
    try:
        return capabilities.stuck.format(**ref.handle) or "ask the system's administrator what became of it"
    except KeyError:
        return "ask the system's administrator what became of it"
