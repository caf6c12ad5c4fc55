"""Makes a Prefect server have what `deployments.py` says: reads what is there, tells the difference, does it.

What agrees is not touched: a deployment that is written anew loses its future runs for a moment, and removing a
schedule takes its late runs along, so that a missed night would be lost. What an operator paused stays paused.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.filters import AutomationFilter, AutomationFilterTags
from prefect.events.schemas.automations import Automation
from prefect.exceptions import ObjectNotFound

from flows.config import Settings
from flows.ops.automations import automations, thing
from flows.ops.deployments import (
    CHANGED,
    IN_THE_WAY,
    MADE,
    NIGHTLY,
    REMOVED,
    TAG,
    Deployment,
    Step,
    Thing,
    Timed,
    deployments,
    difference,
    limit_of,
    mark,
    words,
)
from flows.orchestration import deployment_lives
from flows.server_at_hand import PrefectTrouble

AS_IT_IS = "as it is"  # no pool can be called so: whichever the deployments have
WATCH = "watch/watch"
DIFFERS = {
    MADE: "is missing",
    CHANGED: "is not as configured",
    REMOVED: "is no longer configured",
    IN_THE_WAY: "was made by somebody else",
}
UNKNOWN = UUID(int=0)  # in a rehearsal, of what would be made
PAGE = 200
SCHEDULE = "schedule "


@dataclass(frozen=True, slots=True)
class Deployed:
    """What was done (or would be), and the deployments by their full names."""

    steps: tuple[Step, ...]
    ids: Mapping[str, UUID]


def deploy(
    settings: Settings, archive_id: str, *, pool: str | None, adopt: bool = False, dry_run: bool = False
) -> Deployed:
    """Make deployments, the pool and the limits as configured; remove ours that no longer are.

    `pool`: a process pool, made where it is missing; None: who serves takes the runs. `adopt`: also what has our
    names and our code and no mark, as prefect.yaml makes it; what another archive has marked is never touched.
    Retry: yes, it goes on. Raises PrefectTrouble: the server is silent or refuses.
    """
    wanted = {each.full_name: each for each in deployments(settings, [mark(archive_id)])}
    with _server() as client:
        there = dict(_there(client, wanted, mark(archive_id)))
        if pool == AS_IT_IS:
            pool = next((found.work_pool_name for found in there.values()), None)
        should = [Thing("pool", pool, {})] if pool else []
        should += [_limit(source.name, 1) for source in settings.sources]
        should += [_wanted(each, pool) for each in wanted.values()]
        has = [Thing("pool", pool, {})] if pool and _has_pool(client, pool) else []
        has += _limits(client, {*(source.name for source in settings.sources), *_nights(there)})
        has += [
            _found(name, each, wanted.get(name), mark(archive_id), adopt=adopt) for name, each in there.items()
        ]
        steps = difference(should, has)
        ids = {name: found.id for name, found in there.items()}
        for step in () if dry_run else steps:
            name = step.thing.name
            match step.thing.kind, step.what:
                case "pool", "made":
                    client.create_work_pool(WorkPoolCreate(name=name, type="process"))
                case "limit", "made" | "changed":
                    client.upsert_global_concurrency_limit_by_name(name, int(step.thing.says["at once"]))
                case "limit", "removed":
                    client.delete_global_concurrency_limit_by_name(name)
                case "deployment", "made":
                    ids[name] = _make(client, wanted[name], pool)
                case "deployment", "changed":
                    _change(client, there[name], wanted[name], pool, [field for field, _, _ in step.fields])
                case "deployment", "removed":
                    client.delete_deployment(ids.pop(name))
        blocked = {step.thing.name for step in steps if step.what == IN_THE_WAY}
    return Deployed(tuple(steps), {name: found for name, found in ids.items() if name not in blocked})


def automate(settings: Settings, archive_id: str, ids: Mapping[str, UUID], *, dry_run: bool = False) -> list[Step]:
    """Make the automations as configured, after the deployments `ids`; remove ours that no longer are.

    Retry: yes. Raises PrefectTrouble: the server is silent or refuses, or has no such notification block.
    """
    ours = mark(archive_id)
    flows = sorted({name.partition("/")[0] for name in ids} - {"watch"})
    with _server() as client:
        watch = ids.get(WATCH, UNKNOWN if dry_run else None)
        block = _block(client, settings.file.notify.prefect_block)
        made = {each.name: each for each in automations(ours, flows, watch, block)}
        there = {each.name: each for each in _automations(client, ours)}
        steps = difference([thing(each) for each in made.values()], [thing(each) for each in there.values()])
        for step in () if dry_run else steps:
            name = step.thing.name
            if step.what == MADE:
                client.create_automation(made[name])
            elif step.what == CHANGED:  # one that is switched off stays so
                again = made[name].model_copy(update={"enabled": there[name].enabled})
                client.update_automation(there[name].id, again)
            elif step.what == REMOVED:
                client.delete_automation(there[name].id)
    return steps


def agreement(settings: Settings, archive_id: str) -> tuple[str, str]:
    """For the doctor: a sentence, and a warning; "" where the server has what is configured. Changes nothing."""
    done = deploy(settings, archive_id, pool=AS_IT_IS, adopt=True, dry_run=True)
    if not done.ids:
        hint = "`strongroom serve` or `deploy` makes them" if _scheduled(settings) else ""
        return "none on this server", hint
    steps = [*done.steps, *automate(settings, archive_id, done.ids, dry_run=True)]
    bad = [step for step in steps if step.what in DIFFERS]
    differ = [f"{step.thing.kind} {step.thing.name} {DIFFERS[step.what]}" for step in bad]
    if not differ:
        alone = _scheduled(settings) and not deployment_lives()
        nobody = "nobody takes their runs now: start `strongroom serve`, or a worker" if alone else ""
        return f"{len(done.ids)} on this server, as configured", nobody
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    settle = "restart `strongroom serve`, or `strongroom deploy`"
    return f"{len(done.ids)} on this server", f"{differ[0]}{more}: {settle}"


def _scheduled(settings: Settings) -> bool:
    return any(source.schedule or source.own_schedules() for source in settings.sources)


@contextmanager
def _server() -> Iterator[SyncPrefectClient]:
    """A client whose errors are told as trouble with Prefect."""
    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectTrouble:
        raise
    except Exception as exc:  # httpx's and Prefect's own, of every kind
        hint = "does it answer, and is it Prefect 3.8.8 or newer? What was done stays; deploy again"
        raise PrefectTrouble(f"prefect server: {type(exc).__name__}: {exc}", hint) from exc


# -- what is there


def _there(
    client: SyncPrefectClient, wanted: Mapping[str, Deployment], ours: str
) -> Iterator[tuple[str, DeploymentResponse]]:
    """Deployments that have a name that is wanted, then all others with our mark."""
    seen = set()
    for name in wanted:
        try:
            found = client.read_deployment_by_name(name)
        except ObjectNotFound:
            continue
        seen.add(found.id)
        yield name, found
    marked = DeploymentFilter(tags=DeploymentFilterTags(all_=[ours]))
    offset = 0
    while page := client.read_deployments(deployment_filter=marked, limit=PAGE, offset=offset):
        for found in page:
            if found.id not in seen:
                yield f"{client.read_flow(found.flow_id).name}/{found.name}", found
        offset += len(page)


def _nights(there: Mapping[str, DeploymentResponse]) -> Iterator[str]:
    """The sources whose nights are deployed."""
    return (name.partition("/")[2] for name in there if name.startswith(f"{NIGHTLY}/"))


def _has_pool(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return False
    return True


def _limit(source: str, at_once: int) -> Thing:
    return Thing("limit", limit_of(source), {"at once": str(at_once)})


def _limits(client: SyncPrefectClient, sources: set[str]) -> Iterator[Thing]:
    for source in sorted(sources):
        try:
            yield _limit(source, client.read_global_concurrency_limit_by_name(limit_of(source)).limit)
        except ObjectNotFound:
            continue


def _automations(client: SyncPrefectClient, ours: str) -> list[Automation]:
    marked = AutomationFilter(tags=AutomationFilterTags(all_=[ours]))
    return sorted(client.read_automations(automations=marked), key=lambda each: each.name)


def _block(client: SyncPrefectClient, name: str | None) -> UUID | None:
    if name is None:
        return None
    kind, _, called = name.partition("/")
    try:
        return client.read_block_document_by_name(called, kind).id
    except ObjectNotFound as exc:
        hint = "make it in Prefect's UI (Blocks), or leave [notify] prefect_block out"
        raise PrefectTrouble(f"prefect block {name}: no such block on this server", hint) from exc


# -- as they are compared


def _wanted(each: Deployment, pool: str | None) -> Thing:
    says = _says(
        each.entrypoint, each.description, each.tags, each.parameters, pool, None, _schema(each.entrypoint)
    )
    return Thing("deployment", each.full_name, says | {SCHEDULE + one.slug: one.text() for one in each.schedules})


def _found(name: str, each: DeploymentResponse, wanted: Deployment | None, ours: str, *, adopt: bool) -> Thing:
    marked = ours in each.tags
    unmarked = not any(tag.startswith(f"{TAG}:") for tag in each.tags)
    adopted = adopt and unmarked and wanted is not None and each.entrypoint == wanted.entrypoint
    says = _says(
        each.entrypoint or "",
        each.description or "",
        each.tags,
        each.parameters,
        each.work_pool_name,
        each.pull_steps,
        each.parameter_openapi_schema or {},
    )
    for schedule in each.schedules:
        # Without a slug it is an operator's; in one that we adopt it is of an earlier `serve`.
        if schedule.slug is not None or not marked:
            says[_key(schedule)] = _timed(schedule).text()
    return Thing("deployment", name, says, ours=marked or adopted)


def _says(
    entrypoint: str,
    description: str,
    tags: Sequence[str],
    parameters: Mapping[str, Any],
    pool: str | None,
    pull: Sequence[Mapping[str, Any]] | None,
    schema: Mapping[str, Any],
) -> dict[str, str]:
    takes = json.dumps(schema, sort_keys=True)
    return {
        "runs": entrypoint,
        "description": description,
        "tags": " ".join(sorted(tags)),
        "parameters": words(parameters),
        "pool": pool or "",
        "pull": json.dumps(pull) if pull else "",
        "takes": hashlib.sha256(takes.encode()).hexdigest()[:8],
    }


def _schema(entrypoint: str) -> dict[str, Any]:
    """The parameters that a flow takes, as Prefect keeps them."""
    module, _, name = entrypoint.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    made: dict[str, Any] = target.parameters.model_dump(exclude_unset=True)
    return made


def _key(schedule: DeploymentSchedule) -> str:
    return SCHEDULE + (schedule.slug or f"without a slug {schedule.id}")


def _timed(schedule: DeploymentSchedule) -> Timed:
    when = schedule.schedule
    if not isinstance(when, CronSchedule):
        return Timed(schedule.slug or "", repr(when), "")
    return Timed(schedule.slug or "", when.cron, when.timezone or "UTC", schedule.parameters)


# -- acts


def _make(client: SyncPrefectClient, each: Deployment, pool: str | None) -> UUID:
    return client.create_deployment(
        flow_id=client.create_flow_from_name(each.flow),
        name=each.name,
        entrypoint=each.entrypoint,
        description=each.description,
        tags=list(each.tags),
        parameters=dict(each.parameters),
        parameter_openapi_schema=_schema(each.entrypoint),
        enforce_parameter_schema=True,
        work_pool_name=pool,
        schedules=[_schedule(one) for one in each.schedules],
    )


def _change(
    client: SyncPrefectClient, old: DeploymentResponse, each: Deployment, pool: str | None, fields: Sequence[str]
) -> None:
    """Only what differs: a schedule is changed in its place, so that a pause of it stays."""
    if not all(field.startswith(SCHEDULE) for field in fields):
        update: dict[str, object] = {
            "entrypoint": each.entrypoint,
            "description": each.description,
            "tags": list(each.tags),
            "parameters": dict(each.parameters),
            "parameter_openapi_schema": _schema(each.entrypoint),
        }
        update |= {"work_pool_name": pool} if "pool" in fields else {}
        update |= {"pull_steps": None} if "pull" in fields else {}
        client.update_deployment(old.id, DeploymentUpdate.model_validate(update))
    there = {_key(schedule): schedule for schedule in old.schedules}
    wanted = {SCHEDULE + one.slug: one for one in each.schedules}
    for field in (field for field in fields if field.startswith(SCHEDULE)):
        if field not in wanted:
            client.delete_deployment_schedule(old.id, there[field].id)
        elif field in there:
            new = _schedule(wanted[field])
            client.update_deployment_schedule(
                old.id, there[field].id, schedule=new.schedule, parameters=new.parameters
            )
        else:
            client.create_deployment_schedules(old.id, [_schedule(wanted[field])])


def _schedule(timed: Timed) -> DeploymentScheduleCreate:
    when = CronSchedule(cron=timed.cron, timezone=timed.timezone)
    return DeploymentScheduleCreate(schedule=when, parameters=dict(timed.parameters), slug=timed.slug)
