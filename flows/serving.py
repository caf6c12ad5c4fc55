"""Serving: all deployments run from one process, with their schedules, until it is told to end.

What is served is defined in `backup.py` and `upkeep.py`; who takes a run, and how one is dispatched, is
`orchestration.py`. Measured with Prefect 3.8.8: `prefect.serve()` on SIGTERM does not await its own stop, so it
exits in 3 s, the flow dies without `finally` and its run stays Running for ever. `serve` here awaits it: `finally`
runs, and the run is Cancelled in 3 to 6 s. Schedules without slugs over slugged ones are refused with 422.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from flows.server_at_hand import PrefectTrouble

# Flows of `upkeep.py`, and when they run: as in prefect.yaml, and out of the nights.
# Nights and the weekly upkeep prune by themselves: its own deployment is for whoever starts it by hand.
MAINTENANCE: dict[str, str | None] = {
    "scrub": "0 12 * * *",
    "drill": "0 13 * * 6",
    "upkeep": "30 12 * * 0",
    "prune": None,
}


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a served deployment runs: five cron fields in a named zone, for one source or for all."""

    cron: str
    timezone: str
    source: str | None = None


def serve(config: str, *, nightly: Sequence[Timetable], timezone: str, limit: int = 3) -> None:
    """Serve backups, the nightly runs and maintenance from this process until SIGTERM or Ctrl-C.

    Both signals cancel the runs under way and wait for them (3 to 6 s each, one after another; SIGKILL after
    30 s), so give the supervisor time. `limit` is how many backups run at once; each schedule has a
    place of its own beside them, since a nightly run holds one while it waits for its backups. MAINTENANCE runs by
    the clock of `timezone`.
    Schedules are not paused at the end: what was missed starts late, and the flow decides whether it is still due.
    Raises PrefectTrouble: limit below 1.
    """
    if limit < 1:
        raise PrefectTrouble(f"serve: limit {limit}, wanted 1 or more", "it counts the backups that run at once")
    from flows import backup as backups  # noqa: PLC0415 - late: these two import this module
    from flows import upkeep as maintenance  # noqa: PLC0415

    parameters = {"config": str(Path(config).resolve())}
    options: Any = {"entrypoint_type": EntrypointType.MODULE_PATH, "parameters": parameters}
    made: list[Any] = [  # Any: typed as "or a coroutine", which it is in an event loop only
        backups.backup.to_deployment("adhoc", **options),
        backups.nightly.to_deployment("nightly", schedules=[_schedule(each) for each in nightly], **options),
    ]
    for name, cron in MAINTENANCE.items():
        keeping: Any = getattr(maintenance, name)
        schedules = [_schedule(Timetable(cron, timezone))] if cron else []
        made.append(keeping.to_deployment(name, schedules=schedules, **options))
    serve_until_told(made, limit=limit + len(nightly) + len(MAINTENANCE))


def serve_until_told(deployments: Sequence[RunnerDeployment], *, limit: int) -> None:
    """Register these deployments and run what is due of them, until SIGTERM or SIGINT. The process is to end then.

    SIGINT is blocked here and so in each child: a terminal sends it to all of them, and only we cancel in order.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    runner = Runner(name="strongroom", limit=limit, pause_on_shutdown=False)
    for deployment in deployments:
        _take_over(deployment)
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


def _schedule(table: Timetable) -> Schedule:
    parameters = {"source": table.source} if table.source else {}
    return Cron(table.cron, timezone=table.timezone, parameters=parameters)


def _take_over(deployment: RunnerDeployment) -> None:
    """Make room on the server: schedules without slugs over ones with (from prefect.yaml) are refused with 422."""
    deployment.work_pool_name = None  # said aloud, or the server keeps the pool
    with get_client(sync_client=True) as client:
        try:
            there = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
        except ObjectNotFound:
            return
        for schedule in there.schedules:
            client.delete_deployment_schedule(there.id, schedule.id)
