"""Serving: all deployments run from one process, with their schedules, until it is told to end.

What is served is `ops/deployments.py`; who takes a run, and how one is dispatched, is `orchestration.py`.
Measured with Prefect 3.8.8: `prefect.serve()` on SIGTERM does not await its own stop, so it
exits in 3 s, the flow dies without `finally` and its run stays Running for ever. `serve` here awaits it: `finally`
runs, and the run is Cancelled in 3 to 6 s. What is on the server as it should be is not registered anew: where a
schedule is replaced, its late runs go with it, and a missed night would be lost.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from flows.config import Settings
from flows.ops.deploy import automate, deploy
from flows.ops.deployments import IN_THE_WAY, deployments
from flows.server_at_hand import PrefectTrouble

log = logging.getLogger(__name__)


def serve(settings: Settings, archive_id: str, *, limit: int = 3) -> None:
    """Serve backups, the nightly runs and maintenance from this process until SIGTERM or Ctrl-C.

    Both signals cancel the runs under way and wait for them (3 to 6 s each, one after another; SIGKILL after
    30 s), so give the supervisor time. `limit` is how many backups run at once; each schedule has a
    place of its own beside them, since a nightly run holds one while it waits for its backups.
    Schedules are not paused at the end: what was missed starts late, and the flow decides whether it is still due.
    Raises PrefectTrouble: limit below 1, the server is silent, another archive's deployments have our names.
    """
    if limit < 1:
        raise PrefectTrouble(f"serve: limit {limit}, wanted 1 or more", "it counts the backups that run at once")
    done = deploy(settings, archive_id, pool=None, adopt=True)
    if taken := [step.thing.name for step in done.steps if step.what == IN_THE_WAY]:
        hint = "one Prefect server serves one archive: name another in PREFECT_API_URL, or delete these"
        raise PrefectTrouble(f"{', '.join(taken)}: on this Prefect server, made by somebody else", hint)
    try:
        automate(settings, archive_id, done.ids)
    except PrefectTrouble as exc:  # nights must not wait for it
        log.warning("no automations: %s; %s", exc, exc.hint)
    schedules = sum(len(each.schedules) for each in deployments(settings))
    serve_until_told([_Made.of(name, each) for name, each in done.ids.items()], limit=limit + schedules)


class _Made(RunnerDeployment):
    """A deployment that is on the server already, as it should be: a runner only asks for its runs."""

    _id: UUID

    @classmethod
    def of(cls, full_name: str, id: UUID) -> _Made:
        flow, _, name = full_name.partition("/")
        made = cls(name=name, flow_name=flow)
        made._id = id
        return made

    async def aapply(self, *_: Any, **__: Any) -> UUID:
        """What a runner calls to register it."""
        return self._id


def serve_until_told(deployments: Sequence[RunnerDeployment], *, limit: int) -> None:
    """Register these deployments and run what is due of them, until SIGTERM or SIGINT. The process is to end then.

    SIGINT is blocked here and so in each child: a terminal sends it to all of them, and only we cancel in order.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    runner = Runner(name="strongroom", limit=limit, pause_on_shutdown=False)
    for deployment in deployments:
        runner.add_deployment(deployment)
    asyncio.run(_until_told(runner))


async def _until_told(runner: Runner) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    polling = asyncio.create_task(runner.start())
    while not runner.started and not polling.done():
        await asyncio.sleep(0.05)
    loop.add_signal_handler(signal.SIGTERM, told.set)  # in place of the Runner's own, which cancels nothing
    threading.Thread(target=_wait_for_ctrl_c, args=(loop, told), daemon=True).start()
    waiter = asyncio.create_task(told.wait())
    await asyncio.wait({polling, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not polling.done():
        await runner.astop()
    await polling


def _wait_for_ctrl_c(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    signal.sigwait({signal.SIGINT})
    loop.call_soon_threadsafe(told.set)
