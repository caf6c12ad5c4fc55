"""The report: one page of HTML for whoever looks after the backups, which needs no network and no server.

`flows/ops/nights.py`, `figures.py` and `series.py` say what it tells, `charts.py` draws, `page.html.j2` lays out.
matplotlib, half a second to load, is loaded when the first picture is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from flows.config import Settings
from flows.errors import ConfigError
from flows.ops.alarm import Alarm
from flows.ops.nights import dues, zone_of
from flows.ops.report.figures import MONTH, Going
from flows.ops.report.render import render
from flows.ops.survey import Survey
from flows.ops.whole import unread_within
from flows.retaining import plan_for, policies
from flows.schedule import nights_of
from storage.archive import Archive
from storage.planning import ScopePlan
from storage.snapshot import ScopeKey


def write(
    settings: Settings, survey: Survey, alarms: Sequence[Alarm], path: Path, archive: Archive | None = None
) -> Path:
    """Write the page, whole or not at all, over one that is there. `archive`: to tell what retention will take.

    Who may read it is up to the folder and the umask, as with any file: it holds names of scopes and of the
    archive, no secret, no content. Raises ConfigError where it cannot be written, StorageError of the archive.
    Retry: yes.
    """
    text = page(settings, survey, alarms, None if archive is None else foreseen(settings, archive, survey.at))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        hint = "name another file: --to, or [report] file"
        raise ConfigError(f"{path}: {exc.strerror or exc}", hint=hint) from exc
    return path


def page(
    settings: Settings, survey: Survey, alarms: Sequence[Alarm], going: Mapping[ScopeKey, Going] | None = None
) -> str:
    """The page. `going`: of each scope what retention will take; None: not asked, and not told."""
    watch, upkeep = settings.file.watch, settings.file.upkeep
    return render(
        survey,
        alarms,
        dues(settings, survey),
        going,
        zone=zone_of(settings),
        limit_days=unread_within(watch, upkeep) / timedelta(days=1),
        drill_days=watch.drill_within_days if upkeep.drill else None,
    )


def foreseen(settings: Settings, archive: Archive, now: datetime) -> dict[ScopeKey, Going]:
    """What retention will take of each scope that the archive has. Reads manifests. Raises BackendFailed."""
    policy_of = policies(settings)
    nights = nights_of(settings, policy_of, now=now)
    made = plan_for(archive, archive.scopes(), policy_of, now=now, nights_of=nights)
    return {scope.key: _going(scope, now) for scope in made.scopes}


def _going(scope: ScopePlan, now: datetime) -> Going:
    if scope.refused:
        return Going(None, 0, refused=True)
    instants = sorted(_instants(scope, now))
    return Going(min(instants, default=None), sum(at <= now + MONTH for at in instants))


def _instants(scope: ScopePlan, now: datetime) -> Iterator[datetime]:
    for _ in (*scope.forgets, *scope.erases):
        yield now
    yield from (at for at in scope.goes_on.values() if at is not None)
