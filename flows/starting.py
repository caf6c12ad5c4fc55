"""The first phase of a run: the job that an earlier run left open, as far as it can be used, or a new one.

The intent is saved before the question goes out and the vendor's handle right after: whoever is killed in between
leaves behind what the next run needs to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from flows.clock import Clock, new_id
from flows.errors import SourceBusy, SourceError, SourceUnavailable, SourceUnexpected
from flows.export import Account, Intent, JobRef, Resume, plan_resume
from flows.plan import Places, Plan
from flows.sources.base import Source
from storage.jobs import InFlight

log = logging.getLogger(__name__)


class Starting:
    """Finds or starts the job of one run. `close(job, because)` ends a job that is of no use."""

    def __init__(
        self, plan: Plan, source: Source, places: Places, clock: Clock, close: Callable[[str, str], None]
    ) -> None:
        self._plan = plan
        self._source = source
        self._catalog = places.catalog
        self._clock = clock
        self._close = close
        self.started_here = False  # this very run asked for the export

    def job(self, account: Account, left: InFlight | None) -> InFlight:
        """The job to wait for. `left`: what an earlier run left open.

        Raises SourceBusy, SourceRefused, RunFailed (nothing was started, the job is closed), SourceUnavailable
        (nobody knows: the job stays open, and the next run finds out).
        """
        if left is not None:
            intent = Intent.from_json(left.intent)
            plan = plan_resume(
                same_request=intent.wanted == self._plan.scope,
                asked=left.asked_at is not None,
                known=left.ref is not None,
                ready=left.status is not None,
                opened_at=left.opened_at,
                now=self._clock.now(),
                fresh_for=self._plan.table.fresh_for,
            )
            log.info("open job %s from %s: %s", left.id, left.opened_at, plan.value)
            resumed = self._resume(left, intent, plan)
            if resumed is not None:
                return resumed
        return self._start_new(account)

    def _resume(self, job: InFlight, intent: Intent, plan: Resume) -> InFlight | None:
        """The job, ready to be waited for; None, and the job closed, where it is of no use any more."""
        match plan:
            case Resume.ASK:
                return self._ask(job, intent)
            case Resume.RECOVER:
                ref = self._source.recover(intent, asked_at=job.asked_at or job.opened_at)
                if ref is not None:
                    self._catalog.jobs.save_ref(job.id, ref.to_json())
                    return self._catalog.jobs.get(job.id)
                return self._ask(job, intent, patient=True)
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
        except SourceUnavailable:
            return True  # waiting will ask again, with more patience
        except SourceUnexpected as exc:
            if self._clock.now() - job.opened_at <= self._plan.table.fresh_for:
                raise  # it may get better; nights on end of the same answer must not stop all others
            self._close(job.id, str(exc))
            return False
        old = self._clock.now() - job.opened_at > self._plan.table.fresh_for
        if status.state.waits or (status.state.ready and not old):
            return True
        ended = "ready, but too old" if status.state.ready else status.detail or status.raw
        self._close(job.id, f"{status.state.value}: {ended}")
        return False

    def _start_new(self, account: Account) -> InFlight:
        scope = self._source.discover(self._plan.scope)
        now = self._clock.now()
        intent = self._source.prepare(scope, account, now=now)
        if scope != self._plan.scope:
            intent = replace(intent, asked_for=self._plan.scope)
        job_id = new_id(now)
        self._catalog.jobs.save_intent(job_id, self._plan.key, intent.to_json(), now=now)
        return self._ask(self._catalog.jobs.get(job_id), intent)

    def _ask(self, job: InFlight, intent: Intent, *, patient: bool = False) -> InFlight:
        """Send the question. `patient`: an earlier one may run, so that being refused as busy is waited out."""
        deadline = self._clock.now() + timedelta(seconds=self._plan.pace.ceiling_s)
        asked = 0
        while True:
            self._catalog.jobs.mark_asked(job.id, now=self._clock.now())
            try:
                ref = self._source.start(intent, now=self._clock.now())
            except SourceBusy as exc:
                if not patient:
                    self._close(job.id, str(exc))
                    raise
                if self._clock.now() >= deadline:
                    raise
                gap = self._plan.pace.gap(asked, jitter=self._clock.dice(), retry_after_s=exc.retry_after_s)
                self._clock.sleep(gap)
                asked += 1
            except SourceUnavailable:
                raise  # the question may have arrived: the job stays open, and the next run finds out
            except SourceError as exc:
                self._close(job.id, str(exc))
                raise
            else:
                self._catalog.jobs.save_ref(job.id, ref.to_json())
                self.started_here = True
                return self._catalog.jobs.get(job.id)
