"""The Prefect flows of maintenance: watch, read what is kept, restore it for practice, let go what may go."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import prefect.runtime
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import config as configuration
from flows import pages
from flows.clock import SystemClock, new_id
from flows.config import Settings
from flows.errors import ConfigError, without_traceback
from flows.ops.alarm import Alarm
from flows.ops.look import look
from flows.ops.watched import watched
from flows.retaining import Carried, carry_out, freed_by, named, note, plan_for, policies
from flows.workbench import open_archive, open_catalog
from storage.archive import Archive
from storage.catalog import Catalog
from storage.drill import Drilled, pick
from storage.drill import drill as give_back
from storage.errors import StorageError
from storage.index import pack_digest
from storage.planning import Plan
from storage.prune import Freed, plan_free
from storage.prune import free as free_packs
from storage.scrub import Report
from storage.snapshot import ScopeKey, Snapshot
from storage.upkeep import Scrubbed, disagreements, scrub_in_turn

log = logging.getLogger(__name__)
MAX_SAID = 3  # alarms that a state's message names; the others are on the page


@task(name="scrub", cache_policy=NO_CACHE, persist_result=False)
def read_in_turn(settings: Settings, archive: Archive, catalog: Catalog) -> Scrubbed:
    """Every small file, and the packs that were unread for longest."""
    clock = SystemClock()
    return scrub_in_turn(
        archive,
        catalog,
        settings.nightly_scrub,
        record_id=new_id(clock.now()),
        clock=clock.now,
        compared=partial(disagreements, catalog, archive, now=clock.now()),
    )


@task(name="restore for practice", cache_policy=NO_CACHE, persist_result=False)
def practise(settings: Settings, archive: Archive, catalog: Catalog, found: Snapshot) -> Drilled:
    """One snapshot, given back to a scratch folder and proven."""
    clock = SystemClock()
    return give_back(archive, catalog, found, settings.scratch, record_id=new_id(clock.now()), clock=clock.now)


@task(name="plan what goes", cache_policy=NO_CACHE, persist_result=False)
def plan_what_goes(settings: Settings, archive: Archive, keys: list[ScopeKey], now: datetime) -> Plan:
    """What the policies let go of these scopes."""
    return plan_for(archive, keys, policies(settings), now=now)


@task(name="forget", cache_policy=NO_CACHE, persist_result=False)
def forget(archive: Archive, catalog: Catalog, made: Plan, clock: SystemClock) -> Carried:
    """What the plan says."""
    return carry_out(archive, catalog, made, clock=clock.now)


@task(name="free space", cache_policy=NO_CACHE, persist_result=False)
def free_space(archive: Archive, catalog: Catalog, clock: SystemClock, sure: bool) -> Freed:
    """Packs that only snapshots forgotten long ago needed. `sure`: a person looked at plan and clock."""
    return freed_by(partial(free_packs, archive, clock=clock.now, sure=sure), catalog, clock=clock.now)


def _name() -> str:
    due = prefect.runtime.flow_run.scheduled_start_time or SystemClock().now()
    return f"{prefect.runtime.flow_run.flow_name} {due:%Y-%m-%d}"


@contextmanager
def _opened(config: str | None) -> Iterator[tuple[Settings, Archive, Catalog]]:
    settings = configuration.load(configuration.find(config))
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        yield settings, archive, catalog


@flow(name="scrub", flow_run_name=_name, persist_result=False)
@watched("scrub")
def scrub(config: str | None = None) -> State[None]:
    """Look at every small file, and read so many packs that nightly scrubs read all within the configured days."""
    try:
        with _opened(config) as (settings, archive, catalog):
            done = _scrub(settings, archive, catalog)
        return _damaged(done) or Completed(message=_read(done))
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))


@flow(name="drill", flow_run_name=_name, persist_result=False)
@watched("drill")
def drill(config: str | None = None, snapshot: str | None = None) -> State[None]:
    """Restore a snapshot for practice: the one named, else the one whose turn it is, if that is switched on."""
    try:
        with _opened(config) as (settings, archive, catalog):
            if snapshot is None and not settings.file.upkeep.drill:
                return Completed(name="Skipped", message="[upkeep] drill = false")
            if snapshot is None and not archive.snapshots(damaged=[]):
                return Completed(name="Skipped", message="there is no snapshot yet")
            found = archive.find(snapshot, now=SystemClock().now()) if snapshot else pick(archive, catalog)
            done = practise(settings, archive, catalog, found)
        pages.drill(done)
        message = _unrecorded(done.sentence(), done.unrecorded)
        return Completed(message=message) if done.record.passed else Failed(name="Damaged", message=message)
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))


@flow(name="upkeep", flow_run_name=_name, persist_result=False)
@watched("upkeep")
def upkeep(config: str | None = None) -> State[None]:
    """Scrub, then prune; nothing is let go while snapshots or packs are damaged."""
    try:
        with _opened(config) as (settings, archive, catalog):
            done = _scrub(settings, archive, catalog)
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))
    if not _safe(done.report):
        return _damaged(done) or Completed(message=_read(done))
    pruned = prune(config=config, return_state=True)
    if damaged := _damaged(done):
        return Failed(name=damaged.name, message=f"{damaged.message}; {pruned.message}")
    message = f"{_read(done)}; {pruned.message}"
    return Completed(message=message) if pruned.is_completed() else Failed(name=pruned.name, message=message)


@flow(name="prune", flow_run_name=_name, persist_result=False)
def prune(
    config: str | None = None,
    scopes: list[str] | None = None,
    at: datetime | None = None,
    free: bool = True,
    confirm: int | None = None,
) -> State[None]:
    """Forget what the policies let go, of these scopes (such as lab/user) or of all, and free space.

    Ends as *Fuse*, with nothing done, where so many would go at once that a person has to look; `confirm` is the
    number that this person says. Ends as *Refused* where scopes could not be planned; the others were pruned. A
    scope of which no snapshot was ever kept stops it whole. `at`: only tell what would be done then; ends as
    *Rehearsed*. Run it again whenever you like.
    """
    clock = SystemClock(at if at is None or at.tzinfo else at.replace(tzinfo=UTC))
    try:
        with _opened(config) as (settings, archive, catalog):
            keys = archive.scopes() if scopes is None else named(archive, scopes)
            made = plan_what_goes(settings, archive, keys, clock.now())
            pages.plan(made)
            if at is not None:
                space = plan_free(archive, now=clock.now()) if free and not made.refused else None
                return Completed(name="Rehearsed", message=pages.rehearsed_sentence(made, space, confirm))
            if fuse := made.fuse(confirm):
                note(catalog, made, now=clock.now(), fuse=fuse)
                hint = f"look at `strongroom forget`; if it is meant, `--apply --confirm {made.forgetting}`"
                return Failed(name="Fuse", message=f"nothing was forgotten: {fuse}; hint: {hint}")
            done = forget(archive, catalog, made, clock)
            sure = confirm == made.forgetting
            freed = free_space(archive, catalog, clock, sure) if free and not made.refused else None
        pages.pruned(made, done, freed)
        message = pages.pruned_sentence(done, freed)
        if made.refused or made.waits:
            return Failed(name="Refused", message="; ".join([*made.refused, *made.waits, message]))
        if freed and freed.waits:
            return Failed(name="Refused", message=message)
        return Completed(message=message)
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))


@flow(name="watch", flow_run_name=_name, persist_result=False)
@watched("watch", looks=False)
def watch(config: str | None = None) -> State[None]:
    """Look whether everything is as it should be, and tell who is to be told: also of a night that never ran.

    Ends as *Alarm*, which is a failure, where something is critical, as *Warning*, which is none, where something
    should be looked at this week. No system is asked and no pack is read. Run it again whenever you like: what was
    told is not told again.
    """
    try:
        settings = configuration.load(configuration.find(config))
    except ConfigError as error:
        return Failed(message=without_traceback(error))
    looked = look(settings, now=SystemClock().now())
    pages.alarms(looked.alarms)
    if not looked.alarms:
        return Completed(message="no alarm")
    message = _alarmed(looked.alarms)
    if not looked.critical:
        return Completed(name="Warning", message=message)
    return Failed(name="Alarm", message=message)


def _alarmed(alarms: Sequence[Alarm]) -> str:
    """`3 alarms: …; …; …`, the worst first."""
    more = f"; and {len(alarms) - MAX_SAID} more" if len(alarms) > MAX_SAID else ""
    said = "; ".join(alarm.sentence for alarm in alarms[:MAX_SAID])
    return f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}: {said}{more}"


def _scrub(settings: Settings, archive: Archive, catalog: Catalog) -> Scrubbed:
    done = read_in_turn(settings, archive, catalog)
    pages.scrub(done)
    return done


def _safe(report: Report) -> bool:
    """Whether it is known what every snapshot needs: a stray file must not stop the freeing for ever.

    Among the packs: what is called otherwise is none, and a pack that is missing for it is a finding of its own. A
    manifest or a note under a wrong name may be the newest, which nothing else misses.
    """
    known = ("snapshots/", "replaced/")
    doubts = (f for f in report.findings if not f.lost)
    return not any(f.snapshots or pack_digest(f.name) or f.name.startswith(known) for f in doubts)


def _damaged(done: Scrubbed) -> State[None] | None:
    findings = done.report.findings
    if not findings:
        return None
    first = f"{findings[0].name}: {pages.masked(findings[0].problem)}"
    return Failed(name="Damaged", message=f"{len(findings)} findings, the first: {first}")


def _read(done: Scrubbed) -> str:
    report = done.report
    heads = ", ".join(f"{key} {number} {head[:12]}" for key, (number, head) in sorted(report.heads.items()))
    read = f"{report.bytes_read:,} bytes in {report.packs_read} of {report.packs} packs read"
    return _unrecorded(f"{read}; heads: {heads or 'none'}", done.unrecorded)


def _unrecorded(message: str, why: str) -> str:
    return f"{message}; no record was left: {pages.masked(why)}" if why else message
