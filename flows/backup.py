"""The Prefect flows that make backups: `backup` for one scope, `nightly` for all of them.

Reads top to bottom as an export's life. The work is the engine's (`lifecycle.py`); what a run knows is in the
catalog, so Prefect's results and caches are off: a retry calls every task again, and each does only what is not
done yet. Pages that people read in the Prefect UI are `pages.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import prefect.runtime
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, get_run_context
from prefect.states import Completed, Failed

from flows import config as configuration
from flows import pages
from flows.clock import SystemClock
from flows.config import Settings
from flows.errors import ConfigError, Exit, without_traceback
from flows.export import Status
from flows.lifecycle import Engine
from flows.orchestration import Ask, RunEnd, deployment_lives, dispatch
from flows.spool import Spooled
from flows.workbench import open_archive, open_catalog, open_engine
from storage.errors import StorageError
from storage.jobs import InFlight
from storage.records import Ended, RunRecord
from storage.snapshot import ScopeKey, Snapshot

# Prefect gives these loggers its handler (PREFECT_LOGGING_EXTRA_LOGGERS), and leaves their level as it is.
for _name in ("flows", "storage"):
    logging.getLogger(_name).setLevel(logging.INFO)
log = logging.getLogger(__name__)


@task(name="login", task_run_name="login", cache_policy=NO_CACHE, persist_result=False)
def login(engine: Engine) -> None:
    """Prove the credential, and say who we are there."""
    account = engine.login()
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
def download(engine: Engine, job: InFlight, status: Status) -> list[Spooled]:
    """Every file into the spool, its bytes proven."""
    with pages.Progress(f"{engine.key}: the download") as progress:
        return engine.download(job, status, progress.bytes)


@task(name="archive", task_run_name="archive", cache_policy=NO_CACHE, persist_result=False)
def archive(engine: Engine, job: InFlight, status: Status, spooled: list[Spooled]) -> Snapshot:
    """Check the content, put it into the archive, prove it there, commit."""
    return engine.keep(job, status, spooled)


@task(name="record", task_run_name="record", cache_policy=NO_CACHE, persist_result=False)
def record(engine: Engine, job: InFlight, found: Snapshot) -> RunRecord:
    """Record the run, clean up, apply retention."""
    return engine.finish(job, found)


def _backup_name() -> str:
    given = prefect.runtime.flow_run.parameters
    return f"{given['source']}/{given['scope']} {_night(given.get('at'))}"


@flow(name="backup", flow_run_name=_backup_name, persist_result=False)
def backup(
    source: str, scope: str, config: str | None = None, at: datetime | None = None, due: datetime | None = None
) -> State[None]:
    """Back up one scope of one source.

    `scope`: a configured name, or what the command line takes, such as `group:1234`. `config`: path of
    strongroom.toml; none: $STRONGROOM_CONFIG, then the working directory. `at`: rehearse as if it were then.
    `due`: a verified snapshot taken since makes this run superfluous, and it is skipped.
    Every end, good or bad, is a recorded result; run it again whenever you like: it goes on where it stopped.
    """
    try:
        with open_engine(config, source, scope, at=_aware(at)) as engine:
            return _run(engine, _aware(due))
    except (ConfigError, StorageError) as error:
        # Before there was a run that could be recorded.
        pages.trouble(ScopeKey(source, scope), error)
        return Failed(message=without_traceback(error))


def _run(engine: Engine, due: datetime | None) -> State[None]:
    engine.begin(trigger=_trigger(), flow_run=prefect.runtime.flow_run.id or "")
    try:
        login(engine)
        with engine.lease(
            on_wait=lambda holder: log.info("%s: waiting, the credential is with %s", engine.key, holder)
        ):
            good = engine.last_good()
            if due is not None and good is not None and good >= due:
                return _state(engine.skip(f"a verified snapshot of {good:%Y-%m-%d %H:%M} UTC is there"))
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
    if kept.ended is Ended.SKIPPED:
        return Completed(name=name, message=kept.reason)
    if kept.ended is Ended.PARTIAL:
        return Completed(name=name, message=f"snapshot {kept.snapshot[:8]}: {kept.reason}")
    return Failed(name=name, message=f"{kept.reason}; hint: {kept.hint}" if kept.hint else kept.reason)


def _nightly_name() -> str:
    given = prefect.runtime.flow_run.parameters
    return f"{given.get('source') or 'all sources'} {_night(given.get('at'))}"


@flow(name="nightly", flow_run_name=_nightly_name, persist_result=False)
def nightly(source: str | None = None, config: str | None = None, at: datetime | None = None) -> State[list[str]]:
    """Back up every configured scope of one source, or of all.

    One deployment run per scope where a worker or `strongroom serve` lives; else directly, here. One after
    another per credential in either case. A scheduled run, or a retried one, leaves out scopes that have a
    verified snapshot newer than the time it was due: nights missed while the machine was off are made up for
    once, and a retry does only what is missing.
    """
    try:
        settings = configuration.load(configuration.find(config))
        since = _due_at()
        queues, fresh = _due(settings, source, since)
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))
    path = str(settings.path)
    lines: list[pages.Line] = [
        pages.Line(ask.source, ask.scope, "Skipped", "a newer snapshot exists") for ask in fresh
    ]
    left = [ask for queue in queues.values() for ask in queue]
    if left and deployment_lives():
        attempt = f"{prefect.runtime.flow_run.id}:{prefect.runtime.flow_run.run_count}"
        ends = dispatch(queues, config=path, at=_aware(at), due=since, parent=attempt)
        lines += [_line(e) for e in ends if e.picked_up]
        left = [end.ask for end in ends if not end.picked_up]
    for ask in left:
        state = backup(ask.source, ask.scope, path, at, since, return_state=True)
        flow_run = str(state.state_details.flow_run_id or "")
        lines.append(pages.Line(ask.source, ask.scope, state.name or "", state.message or "", flow_run))
    pages.night(lines)
    return _night_state(lines)


def _line(end: RunEnd) -> pages.Line:
    return pages.Line(end.ask.source, end.ask.scope, end.state_name, end.message, end.flow_run_id)


def _night_state(lines: Sequence[pages.Line]) -> State[list[str]]:
    """How the night looks in Prefect; its data are the flow runs that it was made of, for who started it."""
    runs = [line.flow_run for line in lines if line.flow_run]
    skipped = sum(1 for line in lines if line.ended == "Skipped")
    bad = [line for line in lines if line.ended not in ("Verified", "Skipped")]
    if not bad:
        rest = f", {skipped} not due" if skipped else ""
        return Completed(message=f"{len(lines)} scopes: {len(lines) - skipped} verified{rest}", data=runs)
    names = ", ".join(f"{line.source}/{line.scope} {line.ended.lower()}" for line in bad)
    name = "Partly" if len(bad) < len(lines) else "Failed"
    return Failed(name=name, message=f"{len(bad)} of {len(lines)}: {names}", data=runs)


def _due(settings: Settings, source: str | None, since: datetime | None) -> tuple[dict[str, list[Ask]], list[Ask]]:
    """What to run, queued per credential; and what has a verified snapshot taken since it was due."""
    tables = settings.sources if source is None else (settings.source(source),)
    queues: dict[str, list[Ask]] = {}
    fresh: list[Ask] = []
    with open_catalog(settings, open_archive(settings)) as catalog:
        for table in tables:
            credential = f"{table.url} {sorted(str(ref) for ref in table.secret_refs().values())}"
            for scope in table.scopes():
                ask = Ask(table.name, scope.name)
                good = catalog.last_good(ScopeKey(table.name, scope.name), now=SystemClock().now())
                if since is not None and good is not None and good >= since:
                    fresh.append(ask)
                else:
                    queues.setdefault(credential, []).append(ask)
    return queues, fresh


def _due_at() -> datetime | None:
    """Since when a snapshot makes this run superfluous; None for a first run by hand, which always runs."""
    run = prefect.runtime.flow_run
    if _trigger() != "schedule" and run.run_count <= 1:
        return None
    context = get_run_context()
    first = context.flow_run.start_time if isinstance(context, FlowRunContext) and context.flow_run else None
    return min(time for time in (first, run.scheduled_start_time) if time is not None)


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
