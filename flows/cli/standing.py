"""The verb that says how each scope stands: status. It asks catalog and archive, and no system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import ConfigOption, JsonOption, day, number, out, print_json, print_table
from flows.errors import Exit
from storage.holder import Holder
from storage.records import Ended
from storage.snapshot import ScopeKey, from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flows.config import SourceTable
    from storage.archive import Archive
    from storage.catalog import Catalog
    from storage.latest import Stood
    from storage.tables import Run

STALE_AFTER = timedelta(hours=26)  # a night, and two hours for a slow one


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(status)


def status(
    tell: Annotated[bool, typer.Option("--tell", help="Tell the addresses of [notify] what is new.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say how each configured scope stands; exit code 5 where one has no recent snapshot that counts."""
    from flows import config as configuration
    from flows.ops.look import open_and_look
    from flows.workbench import open_archive, open_catalog
    from storage.latest import stood

    settings = configuration.load(configuration.find(config))
    now = datetime.now(UTC)
    if tell:
        open_and_look(settings, now=now, only_tell=True)
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        scopes = {key: stood(archive, key, now=now) for key in archive.scopes()}
        newest = {key: one.newest.manifest.draft.taken_at for key, one in scopes.items() if one.newest}
        rows = [row for source in settings.sources for row in _rows(source, catalog, newest, now)]
        marked = _marked(scopes, now)
        kept = _kept(archive, catalog, now)
    if json:
        print_json("status", {"scopes": rows, **marked, "upkeep": kept})
    elif not rows:
        out.print("no scope is configured")
    else:
        _print(rows)
    if not json:
        _print_marked(marked)
        _print_kept(kept)
    return Exit.STALE if any(row["stale"] for row in rows) else Exit.DONE


def stale(good: datetime | None, unchanged: datetime | None, now: datetime) -> bool:
    """Whether a scope has no recent snapshot that counts, nor one that the system lately called up to date."""
    if good is None:
        return True
    return now - max(good, unchanged or good) > STALE_AFTER


def _rows(
    source: SourceTable, catalog: Catalog, newest: Mapping[ScopeKey, datetime], now: datetime
) -> Iterator[dict[str, Any]]:
    """A row per scope; after an every-scope's own, one for each of its members that had a run or a snapshot."""
    from flows.roster import known_members

    scopes = source.scopes()
    alone = {scope.name for scope in scopes if not scope.every}
    for scope in scopes:
        if not scope.every:
            yield _row(ScopeKey(source.name, scope.name), catalog, newest, now)
            continue
        member = partial(source.dialect.member, scope)
        known = known_members(scope, member, catalog.known_scopes(source.name, now=now))
        members = [name for name in known if name not in alone]
        yield {
            **_row(ScopeKey(source.name, scope.name), catalog, newest, now),
            "members": len(members),
            "stale": not members,
        }
        for name in members:
            yield {**_row(ScopeKey(source.name, name), catalog, newest, now), "every": scope.name}


def _row(key: ScopeKey, catalog: Catalog, newest: Mapping[ScopeKey, datetime], now: datetime) -> dict[str, Any]:
    good = newest.get(key)
    last = next(iter(catalog.runs(key, limit=1)), None)
    same = next(iter(catalog.runs(key, ended=Ended.UNCHANGED, limit=1)), None)
    unchanged = None if same is None else from_text(same.started_at)
    job = catalog.jobs.open(key)
    return {
        "source": key.source,
        "scope": key.scope,
        "last_verified_at": good and to_text(good),
        "unchanged_at": unchanged and to_text(unchanged),
        "stale": stale(good, unchanged, now),
        "last_run": last and (last.ended or _under_way(last)),
        "reason": last.reason if last else "",
        "hint": last.hint if last else "",
        "open_job": job and job.id,
    }


def _under_way(run: Run) -> str:
    """What a run without an end does; one whose process is gone does nothing any more."""
    if Holder.decode(run.holder).dead():
        return f"died: {run.phase}; run again: it goes on with the same export"
    return f"under way: {run.phase}, since {day(from_text(run.started_at))}"


def _marked(scopes: Mapping[ScopeKey, Stood], now: datetime) -> dict[str, list[dict[str, Any]]]:
    """What is held, and what waits for a person to settle it, in all scopes of the archive, oldest first."""
    from storage.decisions import held

    holds: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for key, one in scopes.items():
        why = held(one.decisions, now)
        shape = {
            found.id: {"id": found.id, "source": key.source, "scope": key.scope, "number": found.number}
            for found in one.snapshots.values()
        }
        holds += [{**told, "reason": why[found]} for found, told in shape.items() if found in why]
        waiting += [
            {**shape[stands.id], "why": stands.why_not, "settle": stands.ask}
            for stands in one.standings
            if stands.pending
        ]
    return {"held": holds, "waiting": waiting}


def _print_marked(marked: dict[str, list[dict[str, Any]]]) -> None:
    for one in marked["held"]:
        name = f"{one['source']}/{one['scope']} number {one['number']}, {one['id'][:8]}"
        out.print(f"held: {name}: {one['reason']}", markup=False, soft_wrap=True)
    for one in marked["waiting"]:
        name = f"{one['source']}/{one['scope']} number {one['number']}, {one['id'][:8]}"
        settle = one["settle"]
        out.print(f"waits for a person: {name}: {one['why']}; `{settle}`", markup=False, soft_wrap=True)


def _kept(archive: Archive, catalog: Catalog, now: datetime) -> dict[str, Any]:
    """How long ago the kept bytes were read, and what came of the last scrub and the last drill."""
    from storage.upkeep import age_of

    age = age_of(archive, catalog, now=now)
    scrub, drill = catalog.readings.last_scrub(), catalog.readings.last_drill()
    return {
        "packs": age.packs,
        "never_read": age.never_read,
        "oldest_unread_at": age.oldest_at and to_text(age.oldest_at),
        "oldest_unread_s": age.oldest_at and int((now - age.oldest_at).total_seconds()),
        "last_scrub": scrub
        and {name: getattr(scrub, name) for name in ("id", "ended_at", "asked", "bytes_read", "findings")},
        "last_drill": drill
        and {
            **{
                name: getattr(drill, name) for name in ("id", "snapshot", "source", "scope", "ended_at", "outcome")
            },
            **{name: getattr(drill, name) for name in ("files", "bytes", "problem")},
            "seconds": drill.milliseconds / 1000,
        },
    }


def _print_kept(kept: dict[str, Any]) -> None:
    if kept["oldest_unread_at"]:
        days = kept["oldest_unread_s"] // 86400
        never = f"{kept['never_read']} of {kept['packs']} packs never read since they were written"
        out.print(f"oldest unread byte: {days} days, since {day(from_text(kept['oldest_unread_at']))}; {never}")
    if scrub := kept["last_scrub"]:
        found = f"{scrub['findings'] or 'no'} findings in {number(scrub['bytes_read'])} bytes"
        out.print(f"last scrub: {day(from_text(scrub['ended_at']))}: {found}")
    if drill := kept["last_drill"]:
        back = f"{number(drill['bytes'])} bytes restored in {drill['seconds']:,.1f} s"
        name = f"{drill['source']}/{drill['scope']} {drill['snapshot'][:8]}"
        out.print(
            f"last drill: {day(from_text(drill['ended_at']))}: {name} {drill['outcome']}, {back}", markup=False
        )


def _print(rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        if "members" in row:
            count = row["members"]
            age = f"members: {count}" if count else "no member is known yet (stale)"
            cells.append((row["source"], row["scope"], age, "", ""))
            continue
        good, same = row["last_verified_at"], row["unchanged_at"]
        age = "never" if good is None else day(from_text(good))
        if good and same and same > good:
            age += f", unchanged {day(from_text(same))}"
        age += " (stale)" if good and row["stale"] else ""
        cells.append((row["source"], row["scope"], age, row["last_run"] or "none", row["reason"]))
    print_table("", ("source", "scope", "last verified", "last run", "reason"), cells)
