"""The Prefect flow of scheduled maintenance: read everything that is kept, then free what nothing needs."""

from __future__ import annotations

import logging

import prefect.runtime
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import config as configuration
from flows import pages
from flows.clock import SystemClock
from flows.errors import ConfigError, without_traceback
from flows.workbench import open_archive
from storage.archive import Archive
from storage.errors import StorageError
from storage.prune import Sweep, sweep
from storage.scrub import Report, scrub

log = logging.getLogger(__name__)


@task(name="scrub", cache_policy=NO_CACHE, persist_result=False)
def read_all(archive: Archive) -> Report:
    """Every kept byte against its name."""
    return scrub(archive)


@task(name="free space", cache_policy=NO_CACHE, persist_result=False)
def free_space(archive: Archive) -> Sweep:
    """Packs that only snapshots forgotten long ago needed."""
    return sweep(archive, now=SystemClock().now())


def _safe(report: Report) -> bool:
    """Whether it is known what every snapshot needs: a stray file elsewhere must not stop the freeing for ever."""
    known = ("packs/", "snapshots/", "replaced/")
    return not any(f.snapshots or f.name.startswith(known) for f in report.findings if not f.lost)


def _name() -> str:
    return f"upkeep {prefect.runtime.flow_run.scheduled_start_time or SystemClock().now():%Y-%m-%d}"


@flow(name="upkeep", flow_run_name=_name, persist_result=False)
def upkeep(config: str | None = None) -> State[None]:
    """Scrub the whole archive, then free space; nothing is freed while snapshots or packs are damaged."""
    try:
        archive = open_archive(configuration.load(configuration.find(config)))
        report = read_all(archive)
        rows: list[dict[str, object]] = [
            {"file": f.name, "problem": f.problem, "snapshots": " ".join(x[:8] for x in f.snapshots)}
            for f in report.findings
        ]
        heads = ", ".join(f"{key} {number} {head[:12]}" for key, (number, head) in sorted(report.heads.items()))
        summary = f"{report.bytes_read:,} bytes of {report.packs} packs read; heads: {heads or 'none'}"
        pages.upkeep("scrub", rows, summary)
        freed = free_space(archive) if _safe(report) else None
        if report.findings:
            return Failed(
                name="Damaged", message=f"{len(rows)} findings, the first: {rows[0]['file']}: {rows[0]['problem']}"
            )
        return Completed(message=f"{summary}; {freed.bytes_freed if freed else 0:,} bytes freed")
    except (ConfigError, StorageError) as error:
        return Failed(message=without_traceback(error))
