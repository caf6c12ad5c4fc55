"""The Prefect flows that make backups: `backup` for one scope, `nightly` for all of them.

Reads top to bottom as an export's life. The work is the engine's (`lifecycle.py`); what a run knows is in the
catalog, so Prefect's results and caches are off: a retry calls every task again, and each does only what is not
done yet. Pages that people read in the Prefect UI are `pages.py`.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import prefect.runtime
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from flows import config as configuration
from flows import pages
from flows.clock import SystemClock
from flows.config import Settings
from flows.discovery import NightPlan, plan_night
from flows.errors import ConfigError, Exit, without_traceback
from flows.export import Status
from flows.lifecycle import Engine
from flows.night import Found, Line, Night, NightFailed
from flows.ops.watched import watched
from flows.orchestration import Ask, RunEnd, deployment_lives, dispatch, slot
from flows.runlog import PROGRESS
from flows.spool import SpooledFiles
from flows.workbench import open_archive, open_catalog, open_engine
from storage.catalog import Catalog
from storage.errors import StorageError
from storage.jobs import InFlight
from storage.records import Ended, RunRecord
from storage.snapshot import ScopeKey, Snapshot

# Prefect gives these loggers its handler (PREFECT_LOGGING_EXTRA_LOGGERS), and leaves their level as it is.
for _name in ("flows", "storage"):
    logging.getLogger(_name).setLevel(logging.INFO)
log = logging.getLogger(__name__)
progress = logging.getLogger(PROGRESS)
# What is imported lives as long as the process. Else its end, and each collection before, walks all of it: half a
# second of CPU, more than the work of a small run (tests/bench/scopes.py).
gc.freeze()
NEWER = "a newer snapshot exists"


@task(name="login", task_run_name="login", cache_policy=NO_CACHE, persist_result=False)
def login(engine: Engine) -> None:
    """Prove the credential, and say who we are there."""
    # Who runs it by hand wants to know at once that the address is wrong; a night waits for a server to come back.
    account = engine.login(patient=_trigger() != "cli")
    log.info("%s: %s %s as %s", engine.key, engine.plan.table.system, account.version, account.user)


@task(name="start", task_run_name="start", cache_policy=NO_CACHE, persist_result=False)
def start(engine: Engine) -> InFlight:
    """Ask for the export, or find the one that an earlier run asked for."""
    return engine.start()


@task(name="wait", task_run_name="wait", cache_policy=NO_CACHE, persist_result=False)
def wait(engine: Engine, job: InFlight) -> Status:
    """Ask until the export is ready."""
    with pages.Progress(f"{engine.key}: the export on the server") as progress:
        return engine.wait(job, lambda status: progress.at(status.progress, status.raw))


@task(name="download", task_run_name="download", cache_policy=NO_CACHE, persist_result=False)
def download(engine: Engine, job: InFlight, status: Status) -> SpooledFiles:
    """Every file into the spool, its bytes proven."""
    with pages.Progress(f"{engine.key}: the download") as progress:
        return engine.download(job, status, progress.bytes)


@task(name="archive", task_run_name="archive", cache_policy=NO_CACHE, persist_result=False)
def archive(engine: Engine, job: InFlight, status: Status, spooled: SpooledFiles) -> Snapshot:
    """Check the content, put it into the archive, prove it there, commit."""
    return engine.keep(job, status, spooled)


@task(name="record", task_run_name="record", cache_policy=NO_CACHE, persist_result=False)
def record(engine: Engine, job: InFlight, found: Snapshot) -> RunRecord:
    """Record the run, clean up."""
    return engine.finish(job, found)


def _by_night() -> bool:
    """Whether this run is part of a night."""
    run = _flow_run()  # not `prefect.runtime`: that would ask the server, three times a run
    return run is not None and run.parent_task_run_id is not None


def _backup_name() -> str:
    given = prefect.runtime.flow_run.parameters
    return f"{given['source']}/{given['scope']} {_night(given.get('at'))}"


@flow(name="backup", flow_run_name=_backup_name, persist_result=False)
@watched("backup", part=_by_night)
def backup(
    source: str,
    scope: str,
    config: str | None = None,
    at: datetime | None = None,
    due: datetime | None = None,
    tags: list[str] | None = None,
) -> State[None]:
    """Back up one scope of one source.

    `scope`: a configured name, or what the command line takes, such as `group:1234`. `config`: path of
    strongroom.toml; none: $STRONGROOM_CONFIG, then the working directory. `at`: rehearse as if it were then:
    what it makes is dated so, and nothing is forgotten.
    `due`: a verified snapshot taken since makes this run superfluous, and it is skipped. `tags`: of the snapshot.
    A run that is no part of a night ends with a `prune` of its scope, as a night does; that has an end of its own.
    Then comes a look, as after a night: that a scope is well again is told at once.
    Every end, good or bad, is a recorded result; run it again whenever you like: it goes on where it stopped.
    """
    clock = SystemClock(_aware(at))
    try:
        with open_engine(config, source, scope, at=_aware(at), tags=tags or ()) as engine:
            ended = _run(engine, _aware(due))
            key = engine.key
    except (ConfigError, StorageError) as error:
        # Before there was a run that could be recorded.
        pages.trouble(ScopeKey(source, scope), error)
        return Failed(message=without_traceback(error))
    if not _by_night():
        _retain(config, [key], None if at is None else clock.now())
    return ended


def _run(engine: Engine, due: datetime | None) -> State[None]:
    engine.begin(trigger=_trigger(), flow_run=prefect.runtime.flow_run.id or "")
    try:
        login(engine)
        with (
            engine.lease(
                on_wait=lambda holder: progress.info("%s: waiting, the credential is with %s", engine.key, holder)
            ),
            slot(engine.key.source),
        ):
            good = engine.last_good()
            if due is not None and good is not None and good >= due:
                return _state(engine.skip(f"a verified snapshot of {good:%Y-%m-%d %H:%M} UTC is there"))
            # Who asks for this very scope by hand wants an export, whatever the system says of changes.
            if _by_night() and (reason := engine.unchanged()):
                return _state(engine.skip(reason, ended=Ended.UNCHANGED))
            job = start(engine)
            status = wait(engine, job)
            spooled = download(engine, job, status)
            found = archive(engine, job, status, spooled)
            kept = record(engine, job, found)
        pages.proof(found, engine.entries(found), kept)
        return _state(kept)
    except Exception as error:  # the outer edge: every error becomes a recorded run
        failed = engine.log.fail(error)
        if failed.exit_code == Exit.UNEXPECTED:
            log.exception("%s: unexpected", engine.key)
        pages.failure(failed)
        return _state(failed)
    except BaseException as error:  # cancelled: recorded, and then Prefect's business
        engine.log.fail(error)
        raise


def _state(kept: RunRecord) -> State[None]:
    """How the run looks in Prefect: named by how it ended, with the reason as its message."""
    name = kept.ended.value.capitalize()
    if kept.ended is Ended.VERIFIED:
        return Completed(name=name, message=f"snapshot {kept.snapshot[:8]}, {kept.bytes_fetched} bytes fetched")
    if kept.ended in (Ended.SKIPPED, Ended.UNCHANGED):
        return Completed(name=name, message=kept.reason)
    if kept.ended is Ended.PARTIAL:
        return Completed(name=name, message=f"snapshot {kept.snapshot[:8]}: {kept.reason}")
    return Failed(name=name, message=f"{kept.reason}; hint: {kept.hint}" if kept.hint else kept.reason)


def _nightly_name() -> str:
    given = prefect.runtime.flow_run.parameters
    scope = f"/{given['scope']}" if given.get("scope") else ""
    return f"{given.get('source') or 'all sources'}{scope} {_night(given.get('at'))}"


@flow(name="nightly", flow_run_name=_nightly_name, persist_result=False)
@watched("nightly")
def nightly(
    source: str | None = None,
    config: str | None = None,
    at: datetime | None = None,
    tags: list[str] | None = None,
    scope: str | None = None,
) -> State[Night]:
    """Back up every configured scope of one source, or of all; every-scopes stand for whoever is there tonight.

    `scope`: only this one of that source, as it is configured. Without it, a run that a schedule started leaves
    out the scopes that have schedules of their own; one that a person started leaves out none.
    One deployment run per scope where a worker or `strongroom serve` lives; else directly, here. One after
    another per credential in either case. A scheduled run, or a retried one, leaves out scopes that have a
    verified snapshot newer than the time it was due: nights missed while the machine was off are made up for
    once, and a retry does only what is missing. It ends with a `prune` of its scopes, which has an end of its own.
    Then comes a look: who is to be told of alarms is told now. A rehearsal (`at`) tells nobody.
    The state's data tell who started it what became of each scope: a Night, or the NightFailed that has it.
    """
    clock = SystemClock(_aware(at))
    try:
        settings = configuration.load(configuration.find(config))
        since = _due_at()
        store = open_archive(settings)
        with open_catalog(settings, store) as catalog:
            patient = _trigger() != "cli"
            plan = plan_night(
                settings,
                store,
                catalog,
                source,
                scope=scope,
                own=_trigger() != "schedule",
                since=since,
                clock=SystemClock(),
                patient=patient,
            )
            _note(catalog, plan.found, clock.now())
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))
    for found in plan.found:
        for remark in found.remarks():
            log.info("%s", remark)
    ends = _run_all(plan, str(settings.path), at=_aware(at), since=since, tags=tags)
    lines = [Line(a.source, a.scope, Ended.SKIPPED, reason=NEWER, label=plan.labels[a]) for a in plan.fresh]
    lines += _lines(settings, plan, ends)
    lines += [line for found in plan.found for line in found.lines()]
    night = Night(tuple(lines), plan.found)
    for line in night.bad:
        log.warning("%s: %s: %s", line.shown, line.word, line.reason)
    pages.night(night, None if at is not None else settings.report)
    scopes = [ScopeKey(ask.source, ask.scope) for ask in (*plan.asks, *plan.fresh)]
    # A rehearsed night has gone on meanwhile: by the clock of its start, tonight's snapshots would lie ahead.
    _retain(str(settings.path), scopes, None if at is None else clock.now())
    return _night_state(night)


def _note(catalog: Catalog, found: Sequence[Found], now: datetime) -> None:
    """Tell the watch of lists that failed, and of who vanished: a full disk for that must cost no backup."""
    try:
        for one in found:
            for kind, wrong in one.notices().items():
                catalog.notices.say(kind, {one.name: wrong}, now=now)
    except StorageError as error:  # the night's own end says it, too
        log.warning("the watch is not told of the lists: %s", error)


def _retain(config: str | None, keys: Sequence[ScopeKey], at: datetime | None) -> None:
    """Apply retention to those of these scopes that have snapshots, as a run of its own.

    `at`: only tell what would go then. Whatever comes of it, the backups stay as they are.
    """
    from flows.retaining import lets_go, policies  # noqa: PLC0415 - late: most runs are a part of a night
    from flows.upkeep import prune  # noqa: PLC0415

    try:
        settings = configuration.load(configuration.find(config))
        policy_of, known = policies(settings), set(open_archive(settings).scopes())
        going = [str(key) for key in keys if key in known and lets_go(policy_of(key))]
        if going:
            prune(config=config, scopes=going, at=at, free=False, return_state=True)
    except Exception as error:  # Prefect's own, of every kind: what is kept is kept
        log.warning("retention did not run, the next night's will: %s", error)


def _run_all(
    plan: NightPlan, config: str, *, at: datetime | None, since: datetime | None, tags: list[str] | None
) -> list[RunEnd]:
    """Run what is planned; how each run ended, in the plan's order."""
    ends: dict[Ask, RunEnd] = {}
    if plan.asks and deployment_lives():
        attempt = f"{prefect.runtime.flow_run.id}:{prefect.runtime.flow_run.run_count}"
        dispatched = dispatch(plan.queues, config=config, at=at, due=since, tags=tags or (), parent=attempt)
        ends = {end.ask: end for end in dispatched if end.picked_up}
    for ask in plan.asks:
        if ask not in ends:
            state = backup(ask.source, ask.scope, config, at, since, tags, return_state=True)
            flow_run = str(state.state_details.flow_run_id or "")
            ends[ask] = RunEnd(ask, flow_run, state.type.value, state.name or "", state.message or "")
    return [ends[ask] for ask in plan.asks]


def _lines(settings: Settings, plan: NightPlan, ends: Sequence[RunEnd]) -> list[Line]:
    """What became of each scope: as its run was recorded, else as Prefect has it."""
    ended: dict[Ask, Line] = {}
    try:
        with open_catalog(settings, open_archive(settings)) as catalog:
            for end in ends:
                for run in catalog.runs(flow_run=end.flow_run_id, limit=1) if end.flow_run_id else ():
                    if run.ended:
                        ended[end.ask] = Line.of(run, plan.labels[end.ask])
    except (ConfigError, StorageError) as error:  # what was kept is kept: the night must still be told
        log.warning("the catalog cannot be asked how the runs ended: %s", error)
    return [ended.get(end.ask) or _line(end, plan.labels[end.ask]) for end in ends]


def _line(end: RunEnd, label: str) -> Line:
    """A run of which nothing was recorded: it was never begun, or its process died."""
    code = Exit.DONE if end.completed else Exit.UNEXPECTED
    word, ask = end.state_name.lower(), end.ask
    return Line(ask.source, ask.scope, word, code, end.message, label=label, flow_run=end.flow_run_id)


def _night_state(night: Night) -> State[Night]:
    """How the night looks in Prefect; its data are for who started it."""
    if not night.bad:
        return Completed(message=night.sentence(), data=night)
    some_well = any(line.well for line in night.lines)
    return Failed(name="Partly" if some_well else "Failed", message=night.sentence(), data=NightFailed(night))


def _due_at() -> datetime | None:
    """Since when a snapshot makes this run superfluous; None for a first run by hand, which always runs."""
    run = prefect.runtime.flow_run
    if _trigger() != "schedule" and run.run_count <= 1:
        return None
    begun = _flow_run()
    first = None if begun is None else begun.start_time
    return min(time for time in (first, run.scheduled_start_time) if time is not None)


def _flow_run() -> FlowRun | None:
    """What this process knows of the flow run that it is in."""
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def _trigger() -> str:
    """What started this run: schedule, deployment or cli."""
    if prefect.runtime.deployment.id is None:
        return "cli"
    return "schedule" if "auto-scheduled" in (prefect.runtime.flow_run.tags or []) else "deployment"


def _aware(instant: datetime | None) -> datetime | None:
    """An instant that a form or a command line gave without a zone is meant in UTC."""
    return instant if instant is None or instant.tzinfo else instant.replace(tzinfo=UTC)


def _night(at: object) -> str:
    """The date in a run's name: that of the rehearsed night, else of the time it was scheduled for."""
    instant = at if isinstance(at, datetime) else prefect.runtime.flow_run.scheduled_start_time
    return f"{instant or SystemClock().now():%Y-%m-%d}"
