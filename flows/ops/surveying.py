"""Asks archive, catalog and disks what a survey holds. No system is asked, and no pack is read."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from flows.config import Settings, SourceTable
from flows.ops.alarm import Alarm
from flows.ops.survey import Disk, Drilled, EverySeen, Ran, ScopeSeen, Scrubbed, Shot, Survey
from flows.ops.watch import alarms
from flows.retaining import ARCHIVE, lets_go, policies
from flows.roster import known_members
from flows.schedule import last_before, next_after, within
from flows.workbench import backend_of, open_archive, open_catalog
from storage.archive import Archive, Damaged
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.decisions import held
from storage.facts import same_names
from storage.halves import halves
from storage.holder import Holder
from storage.latest import Stood, stood
from storage.readings import PASSED
from storage.records import LISTING, PRUNE, Ended, Notice
from storage.scrub import packs_there
from storage.snapshot import ScopeKey, Snapshot, from_text, to_text
from storage.tables import Run
from storage.turns import age
from storage.upkeep import disagreements, with_history

BACK = timedelta(days=40)  # so far go the runs that are asked for where nobody says how far
SKEW = timedelta(minutes=10)  # that the clocks of two processes may differ
MANY = 100_000  # runs of one scope: more than anybody has


def survey(
    settings: Settings, archive: Archive, catalog: Catalog, *, now: datetime, back: timedelta = BACK
) -> Survey:
    """What is known at `now`, and of runs what began within `back`. Raises StorageError. Retry: yes.

    Reads manifests and tombstones, each once: half a second of one core for a thousand. What is damaged is told in
    `damaged`, and passed over elsewhere. Catalog and archive are compared by names, and only where these differ in
    full, which takes longer than all else: what they say of one thing, each scrub compares.
    """
    since = now - back
    damaged: list[Damaged] = []
    live = archive.snapshots(damaged=damaged)
    packs = packs_there(archive, live, archive.tombstones(damaged=damaged))
    read = age(with_history(packs, catalog), now=now)
    asked = _Asked(settings, archive, catalog, now, since, live)
    scopes, everies = asked.scopes()
    scrubs, drills = list(_scrubs(catalog, since)), list(_drills(catalog, since))
    ahead = [(one.ended_at, "a scrub") for one in scrubs if one.ended_at > now + SKEW]
    ahead += [(one.ended_at, "a drill") for one in drills if one.ended_at > now + SKEW]
    halved = [Damaged(half.links[0].name, half.problem) for half in halves(archive) if half.error]
    told = [one.told for one in (*damaged, *halved)]
    if not same_names(catalog, archive):
        told += [f"{one.name}: {one.problem}" for one in disagreements(catalog, archive, now=now)]
    return Survey(
        at=now,
        since=since,
        archive=archive.backend.url,
        archive_id=archive.id,
        encrypted=archive.encrypted,
        scopes=tuple(scopes),
        everies=tuple(everies),
        disks=tuple(_disks(settings)),
        packs=read.packs,
        packs_bytes=sum(pack.size for pack in packs),
        never_read=read.never_read,
        oldest_unread_at=read.oldest_at,
        grown=tuple(catalog.grown()),
        scrubs=tuple(one for one in scrubs if one.ended_at <= now + SKEW),
        drills=tuple(one for one in drills if one.ended_at <= now + SKEW),
        damaged=tuple(dict.fromkeys(told)),
        ahead=(*asked.ahead, *ahead),
        notices=tuple(_notices(settings, catalog, scopes, everies)),
    )


def known(settings: Settings, *, now: datetime) -> tuple[Survey, list[Alarm]]:
    """Open archive and catalog, survey them, and say what is wrong. Raises ConfigError, StorageError, OSError."""
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        seen = survey(settings, archive, catalog, now=now)
    return seen, alarms(seen, settings.file.watch, settings.file.upkeep)


class _Asked:
    """The scopes, one after another."""

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        catalog: Catalog,
        now: datetime,
        since: datetime,
        live: Iterable[Snapshot],
    ) -> None:
        self._settings, self._archive, self._catalog = settings, archive, catalog
        self._now, self._since = now, since
        self.ahead: list[tuple[datetime, str]] = []  # runs dated after now
        self._live: dict[ScopeKey, list[Snapshot]] = {key: [] for key in archive.scopes()}
        for found in live:
            self._live.setdefault(found.key, []).append(found)

    def scopes(self) -> tuple[list[ScopeSeen], list[EverySeen]]:
        """Those of the configuration in its order, then the others that the archive has."""
        found: dict[ScopeKey, ScopeSeen] = {}
        everies: list[EverySeen] = []
        for source in self._settings.sources:
            for key, every in self._configured(source, everies):
                found.setdefault(key, self._scope(key, source, every))
        for key in sorted(set(self._live) - set(found), key=str):
            found[key] = self._scope(key, None, "")
        return list(found.values()), everies

    def _configured(self, source: SourceTable, everies: list[EverySeen]) -> Iterator[tuple[ScopeKey, str]]:
        """Of a source: each scope, and for an every-scope each member that had a run or a snapshot."""
        scopes = source.scopes()
        alone = {scope.name for scope in scopes if not scope.every}
        # Where nights have stopped, who was only ever tried is still missing, however long ago that was.
        last = self._catalog.last_ended(source.name)
        tried = self._now if last is None else min(self._now, from_text(last.ended_at))
        for scope in scopes:
            if not scope.every:
                yield ScopeKey(source.name, scope.name), ""
                continue
            member = partial(source.dialect.member, scope)
            known = known_members(scope, member, self._catalog.known_scopes(source.name, now=tried))
            members = [name for name in known if name not in alone]
            key = ScopeKey(source.name, scope.name)
            everies.append(EverySeen(key, len(members), self._within(source, scope.name)))
            for name in members:
                yield ScopeKey(source.name, name), scope.name

    def _within(self, source: SourceTable | None, scope: str) -> timedelta:
        """How old the last good news may be."""
        limit_h = (source and source.verified_within_h) or self._settings.file.watch.verified_within_h
        schedule = None if source is None else source.schedule_of(scope)
        return timedelta(hours=limit_h) if limit_h else within(schedule, now=self._now)

    def _scope(self, key: ScopeKey, source: SourceTable | None, every: str) -> ScopeSeen:
        live, empty = self._live.get(key), Stood({}, (), (), None)
        one = empty if live is None else stood(self._archive, key, now=self._now, live=live)
        shots = _shots(one, self._now)
        newest = None if one.newest is None else shots[one.newest.id]
        schedule = None if source is None else source.schedule_of(key.scope)
        runs_of = partial(self._catalog.runs, source=key.source, scope=key.scope)
        same = next(iter(runs_of(ended=Ended.UNCHANGED, limit=1)), None)
        rows = runs_of(since=to_text(self._since), limit=MANY) or runs_of(limit=1)
        runs = [ran(row) for row in rows]
        self.ahead += [(run.started_at, f"a run of {key}") for run in runs if run.started_at > self._now + SKEW]
        job = self._catalog.jobs.open(key)
        return ScopeSeen(
            key=key,
            system=source.system if source else rows[0].system if rows else "",
            configured=source is not None,
            every=every,
            within=self._within(source, key.scope),
            due_at=last_before(schedule, now=self._now) if schedule else None,
            next_at=next_after(schedule, now=self._now) if schedule else None,
            newest=newest,
            shots=tuple(sorted(shots.values(), key=lambda shot: (shot.taken_at, shot.number), reverse=True)),
            runs=tuple(run for run in runs if run.started_at <= self._now + SKEW),
            unchanged_at=None if same is None else from_text(same.started_at),
            job="" if job is None else job.id,
        )


def ran(row: Run) -> Ran:
    """A run, as the catalog has it."""
    return Ran(
        id=row.id,
        started_at=from_text(row.started_at),
        ended_at=from_text(row.ended_at) if row.ended_at else None,
        ended=row.ended,
        exit=row.exit_code or 0,
        reason=row.reason,
        hint=row.hint,
        trigger=row.trigger,
        snapshot=row.snapshot,
        bytes_fetched=row.bytes_fetched,
        phase="" if row.ended else row.phase,
        dead=not row.ended and bool(row.holder) and Holder.decode(row.holder).dead(),
    )


def _shots(one: Stood, now: datetime) -> Mapping[str, Shot]:
    standings = {stands.id: stands for stands in one.standings}
    holds = held(one.decisions, now)
    return {
        found.id: Shot(
            id=found.id,
            number=found.number,
            taken_at=found.manifest.draft.taken_at,
            committed_at=found.manifest.committed_at,
            quality=found.manifest.draft.quality.value,
            files=found.manifest.files,
            size=found.manifest.size,
            stored_bytes=found.manifest.stored_bytes,
            counts=standings[found.id].counts,
            why_not=standings[found.id].why_not,
            settle=standings[found.id].ask,
            held=holds.get(found.id, ""),
            settled=bool(standings[found.id].settled_by),
        )
        for found in one.snapshots.values()
    }


def _disks(settings: Settings) -> Iterator[Disk]:
    backend = backend_of(settings)
    places = [("archive", backend.root)] if isinstance(backend, LocalDisk) else []
    for what, path in (*places, ("state", settings.state)):
        usage = shutil.disk_usage(_there(path))
        yield Disk(what, str(path), usage.free, usage.total)


def _there(path: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _notices(
    settings: Settings, catalog: Catalog, scopes: Iterable[ScopeSeen], everies: Iterable[EverySeen]
) -> Iterator[Notice]:
    """Those that a coming night could take back: what is no longer configured is nobody's trouble."""
    policy_of = policies(settings)
    pruned = {ARCHIVE, *(str(scope.key) for scope in scopes if lets_go(policy_of(scope.key)))}
    members = {str(scope.key) for scope in scopes if scope.every}
    listed = {str(every.key) for every in everies}
    for notice in catalog.notices.all():
        if notice.kind == PRUNE and notice.of in pruned:
            yield notice
        if notice.of in listed and (notice.kind == LISTING or notice.about in members):
            yield notice


def _scrubs(catalog: Catalog, since: datetime) -> Iterator[Scrubbed]:
    for row in catalog.readings.scrubs(since):
        yield Scrubbed(
            id=row.id,
            started_at=from_text(row.started_at),
            ended_at=from_text(row.ended_at),
            asked=row.asked,
            packs=row.packs,
            packs_read=row.packs_read,
            bytes_read=row.bytes_read,
            findings=row.findings,
        )


def _drills(catalog: Catalog, since: datetime) -> Iterator[Drilled]:
    for row in catalog.readings.drills(since):
        yield Drilled(
            id=row.id,
            key=ScopeKey(row.source, row.scope),
            snapshot=row.snapshot,
            ended_at=from_text(row.ended_at),
            outcome=row.outcome,
            passed=row.outcome == PASSED,
            files=row.files,
            bytes=row.bytes,
            seconds=row.milliseconds / 1000,
            problem=row.problem,
        )
