"""What is Prefect beside the flows: who would pick up a run, dispatch, serving, secrets.

It does not say what a backup is; it hands (source, scope) pairs to a deployment and reports how each run ended.
The rules (`next_starts`, `gives_up`, `is_fresh`) are pure; the acts go through the synchronous client.

Measured with Prefect 3.8.8, both with `serve()` and with a process worker:

- `serve()` and workers poll every 10 s, run or no run; each poll sets the deployment's `last_polled` and READY.
- After kill -9 the deployment stays READY for 62 to 75 s (60 s limit, checked every 15 s), the pool likewise, a
  worker ONLINE up to 100 s. So READY alone proves nothing: the age of `last_polled` does, within 30 s.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import prefect.runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.concurrency.sync import concurrency
from prefect.deployments import run_deployment
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging.handlers import APILogWorker
from prefect.states import Cancelled, Cancelling, Crashed, Scheduled

from flows.ops.deployments import limit_of
from flows.server_at_hand import PrefectTrouble

ADHOC = "backup/adhoc"
FRESH = timedelta(seconds=30)  # three polls of a worker or a serve()
PATIENCE_S = 60.0  # how long a run waits while nobody is there to take it
STUCK_S = 90.0  # ... when somebody is there, but takes nothing and runs nothing of ours (all places taken)
GONE_S = 300.0  # how long a running one goes on being believed in when nobody of its kind polls any more
OUTAGE_S = 900.0  # how long the server may be silent before a dispatch fails
AHEAD = 8  # runs of one dispatch that wait to be taken: more only cost the server, which marks and tells them all
NOT_PICKED_UP = "NotPickedUp"  # the name of the Cancelled state that says so
BUSY = 503  # says a server whose SQLite another writer has
SLOT_LEASE_S = 60.0  # a dead holder's slot is free again after so long, and some 15 s; Prefect allows no less
SLOT_S = 120.0  # how long a run waits for its slot: longer than a dead holder has it, and no night for 200 scopes
WAITING = frozenset({StateType.SCHEDULED, StateType.PENDING})

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """One run to start: which source, which scope."""

    source: str
    scope: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How the run of one ask ended (or, for who watches, how it stands)."""

    ask: Ask
    flow_run_id: str
    state_type: str  # COMPLETED, FAILED, CRASHED, CANCELLED
    state_name: str
    message: str

    @property
    def picked_up(self) -> bool:
        """False: nobody took the run in time, nothing was done, and the caller may do it directly."""
        return self.state_name != NOT_PICKED_UP

    @property
    def completed(self) -> bool:
        return self.state_type == StateType.COMPLETED.value

    @property
    def final(self) -> bool:
        return StateType(self.state_type) in TERMINAL_STATES


OnChange = Callable[[RunEnd], None]  # called with the state so far, each time that it changes


# -- rules


def next_starts(
    queues: Mapping[str, Sequence[T]], active: Collection[str], *, waiting: int = 0, ahead: int = AHEAD
) -> list[tuple[str, T]]:
    """The head of each queue whose credential has nothing running: (credential, item), in the queues' order.

    As many as make `ahead` with those `waiting` to be taken.
    """
    heads = [(key, queue[0]) for key, queue in queues.items() if queue and key not in active]
    return heads[: max(ahead - waiting, 0)]


def is_fresh(last_polled: datetime | None, now: datetime, fresh: timedelta = FRESH) -> bool:
    """Whether somebody polled lately. A time ahead of ours counts as now: clocks of two hosts differ."""
    return last_polled is not None and now - last_polled <= fresh


def gives_up(waited_s: float, lonely_s: float, idle_s: float, *, patience_s: float) -> bool:
    """Whether a run that has not started is called off: nobody is there, or who is there takes nothing of ours."""
    return lonely_s > patience_s or (waited_s > STUCK_S and idle_s > STUCK_S)


# -- who is there


def deployment_lives(name: str = ADHOC) -> bool:
    """Whether a worker or a `serve()` polled for `name` within 30 s and its pool is not paused.

    One that died is noticed within 30 s, one that starts within about 3 s. An unknown deployment does not live.
    """
    with get_client(sync_client=True) as client:
        return _lives(client, name)


def _lives(client: SyncPrefectClient, name: str) -> bool:
    try:
        deployment = client.read_deployment_by_name(name)
        if not is_fresh(deployment.last_polled, datetime.now(UTC)):
            return False
        pool, queue = deployment.work_pool_name, deployment.work_queue_name
        if pool is None:
            return True
        # a worker goes on polling a paused pool or queue, and gets nothing
        held = queue is not None and client.read_work_queue_by_name(queue, work_pool_name=pool).is_paused
        return not held and not client.read_work_pool(pool).is_paused
    except ObjectNotFound:
        return False


# -- dispatch


@dataclass(slots=True)
class _Child:
    ask: Ask
    run_id: UUID
    since_s: float
    lonely_polls: int = 0  # on which it waited and nobody was there; not seconds, or a silent server would count
    seen: str = ""
    waits: bool = True  # nobody has taken it yet


def dispatch(
    queues: Mapping[str, Sequence[Ask]],
    *,
    config: str | None = None,
    at: datetime | None = None,
    due: datetime | None = None,
    tags: Sequence[str] = (),
    deployment: str = ADHOC,
    parent: str | None = None,
    patience_s: float = PATIENCE_S,
    on_change: OnChange | None = None,
    poll_s: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[RunEnd]:
    """Run every ask through `deployment`: one after another per credential, side by side across credentials.

    `queues` is credential -> asks. Ends are listed in the order in which they happened. `parent` (default: the
    flow run this is called in) makes asking idempotent: called again by a retry of the same parent, runs that
    exist are watched, or reported as they ended, not started again. A run that nobody starts is called off:
    see `gives_up` and `RunEnd.picked_up`. Cancelling the caller cancels the runs that are under way.
    Retry: yes. Raises PrefectTrouble: no such deployment, refused parameters, server silent for 15 minutes.
    """
    key = parent or prefect.runtime.flow_run.id or str(uuid4())
    instants = {name: value.isoformat() for name, value in (("at", at), ("due", due)) if value}
    asked = {"config": config, "tags": list(tags) or None, **instants}
    parameters = {name: value for name, value in asked.items() if value is not None}  # else the deployment's
    waiting = {credential: list(asks) for credential, asks in queues.items()}
    active: dict[str, _Child] = {}
    ended: list[RunEnd] = []
    with get_client(sync_client=True) as client:
        server = _Server(client, deployment, poll_s, patience_s, sleep, clock)
        try:
            while active or any(waiting.values()):
                for credential, ask in next_starts(waiting, active, waiting=_waiting(active)):
                    run_id = server.patiently(partial(_create, deployment, ask, parameters, key))
                    active[credential] = _Child(waiting[credential].pop(0), run_id, clock())
                for credential, now in server.patiently(partial(server.look, active)).items():
                    if on_change and now.state_name != active[credential].seen:
                        on_change(now)
                    active[credential].seen = now.state_name
                    if now.final:
                        del active[credential]
                        ended.append(now)
                if active and not next_starts(waiting, active, waiting=_waiting(active)):
                    sleep(poll_s)
        except BaseException as exc:
            if not isinstance(exc, Exception):  # a cancel or Ctrl-C; an error leaves the runs to finish
                server.cancel(active.values())
            raise
    return ended


def run_on_worker(
    source: str,
    scope: str,
    config: str | None,
    *,
    tags: Sequence[str] = (),
    deployment: str = ADHOC,
    on_change: OnChange | None = None,
    poll_s: float = 1.0,
) -> RunEnd:
    """Run one (source, scope) through `deployment` and watch it to its end; Ctrl-C cancels it. See `dispatch`."""
    queues = {source: [Ask(source, scope)]}
    (end,) = dispatch(queues, config=config, tags=tags, deployment=deployment, on_change=on_change, poll_s=poll_s)
    return end


def _waiting(active: Mapping[str, _Child]) -> int:
    return sum(child.waits for child in active.values())


def _create(deployment: str, ask: Ask, parameters: Mapping[str, str | list[str]], key: str) -> UUID:
    """A flow run of `ask`; inside a flow it is linked to that flow, as a subflow."""
    try:
        run = run_deployment(
            deployment,
            parameters={"source": ask.source, "scope": ask.scope, **parameters},
            idempotency_key=f"{key}:{ask.source}:{ask.scope}",
            timeout=0,
        )
    except ObjectNotFound as exc:
        raise PrefectTrouble(
            f"{deployment}: no such deployment on this Prefect server",
            "run `strongroom serve`, or `prefect deploy` and a worker",
        ) from exc
    except PrefectHTTPStatusError as exc:
        if exc.response.status_code not in (409, 422):
            raise
        raise PrefectTrouble(
            f"{deployment}: {ask.source} {ask.scope} was refused: {exc.response.text[:300]}",
            "the deployment is older than this program: deploy or serve again",
        ) from exc
    if not isinstance(run, FlowRun):  # Prefect handed back a coroutine
        raise PrefectTrouble(f"{deployment}: dispatched in an event loop", "call dispatch from a synchronous flow")
    return run.id


@dataclass(slots=True)
class _Server:
    """What a dispatch asks of the server, and how long it waits for an answer."""

    client: SyncPrefectClient
    deployment: str
    poll_s: float
    patience_s: float
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    idle_polls: int = 0  # since one of ours was taken, ran or ended; not seconds, for the same reason

    def look(self, active: Mapping[str, _Child]) -> dict[str, RunEnd]:
        """How the active runs stand, by credential; a run that nobody takes has been called off. Retry: yes."""
        ids = FlowRunFilterId(any_=[child.run_id for child in active.values()])
        runs = {run.id: run for run in self.client.read_flow_runs(flow_run_filter=FlowRunFilter(id=ids))}
        waiting = {run.id for run in runs.values() if run.state_type in WAITING and run.start_time is None}
        lives = bool(runs) and _lives(self.client, self.deployment)
        self.idle_polls = 0 if len(waiting) < len(runs) else self.idle_polls + 1
        for child in active.values():
            child.lonely_polls = 0 if lives else child.lonely_polls + 1
            waited_s, lonely_s = self.clock() - child.since_s, child.lonely_polls * self.poll_s
            child.waits = child.run_id in waiting
            run = runs.get(child.run_id)
            if child.run_id not in waiting:
                if run and run.state_type not in TERMINAL_STATES and lonely_s > GONE_S:
                    gone: State[None] = Crashed(message=f"who ran it has been gone for {lonely_s:.0f} s")
                    self.client.set_flow_run_state(child.run_id, gone, force=True)
                    runs[child.run_id] = self.client.read_flow_run(child.run_id)
            elif gives_up(waited_s, lonely_s, self.idle_polls * self.poll_s, patience_s=self.patience_s):
                off: State[None] = Cancelled(
                    name=NOT_PICKED_UP, message=f"nobody took the run in {waited_s:.0f} s"
                )
                self.client.set_flow_run_state(child.run_id, off)
                runs[child.run_id] = self.client.read_flow_run(child.run_id)
        return {credential: _end_of(child, runs.get(child.run_id)) for credential, child in active.items()}

    def cancel(self, children: Collection[_Child]) -> None:
        for child in children:
            self.client.set_flow_run_state(child.run_id, Cancelling(message="its asker was cancelled"))

    def patiently(self, call: Callable[[], T]) -> T:
        """`call`, again while the server is silent or busy. Three failures while it is well are the call's own."""
        end_s, own = self.clock() + OUTAGE_S, 0
        while True:
            try:
                return call()
            except PrefectTrouble:
                raise
            except Exception as exc:  # transport errors are httpx's, which only the sources' client may import
                busy = isinstance(exc, PrefectHTTPStatusError) and exc.response.status_code == BUSY
                own += not busy and self.client.api_healthcheck() is None
                if own >= 3 or self.clock() > end_s:
                    raise PrefectTrouble(
                        f"prefect server: {type(exc).__name__}: {exc}", "see its log; runs that started go on"
                    ) from exc
                self.sleep(5.0)


def _end_of(child: _Child, run: FlowRun | None) -> RunEnd:
    if run is None:
        return RunEnd(child.ask, str(child.run_id), "CANCELLED", "Deleted", "the flow run was deleted")
    state = run.state or Scheduled()
    return RunEnd(child.ask, str(run.id), state.type.value, state.name or "", state.message or "")


# -- limits


@contextmanager
def slot(source: str) -> Iterator[None]:
    """Hold one slot of the source's global concurrency limit: a second guard, for hosts that share no catalog.

    Only in runs of deployments. Best effort: without such a limit, with a silent server, or after SLOT_S the run
    goes on without, and a slot that is lost on the way costs nothing.
    """
    name = limit_of(source)
    with ExitStack() as held:
        if prefect.runtime.deployment.id is not None:
            try:
                waiting = concurrency(
                    name,
                    timeout_seconds=SLOT_S,
                    lease_duration=SLOT_LEASE_S,
                    raise_on_lease_renewal_failure=False,
                )
                held.enter_context(waiting)
            except Exception as exc:  # a time-out, Prefect's own, or its transport's
                log.warning("%s: goes on without a slot: %s", name, exc)
        kept = held.pop_all()
    try:
        yield
    finally:
        try:
            kept.close()
        except Exception as exc:
            log.warning("%s: the slot was not given back, it frees itself: %s", name, exc)


# -- leaving


def flush() -> None:
    """Send the logs and events that Prefect's threads still hold.

    Without it a process that stops the server first waits a minute at its exit for a server that is gone.
    """
    APILogWorker.drain_all()
    EventsWorker.drain_all()


# -- secrets


def prefect_secret(name: str) -> str:
    """The text in the Secret block `name`. Retry: yes. Raises PrefectTrouble, which never shows the value."""
    try:
        with get_client(sync_client=True) as client:
            block = client.read_block_document_by_name(name, "secret", include_secrets=True)
    except ObjectNotFound as exc:
        raise PrefectTrouble(
            f"prefect secret {name}: no such block on this Prefect server",
            "make it in the UI (Blocks, Secret), or use { file = … } or { env = … } instead",
        ) from exc
    value = block.data.get("value")
    if isinstance(value, str) and value:
        return value
    raise PrefectTrouble(
        f"prefect secret {name}: holds {type(value).__name__}, wanted a text that is not empty",
        "save the key as plain text, not as JSON",
    )
