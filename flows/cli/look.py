"""Verbs that look: snapshots, show, status. They change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    complain,
    day,
    number,
    out,
    painted,
    print_json,
    print_table,
)
from flows.cli.views import snapshot_json
from flows.errors import Exit
from storage.archive import Archive, Damaged, open_url
from storage.snapshot import ScopeKey, Snapshot, from_text, to_text

STALE_AFTER = timedelta(hours=26)  # a night, and two hours for a slow one


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(snapshots)
    app.command()(show)
    app.command()(status)


def the_archive(archive: str | None, config: Path | None) -> Archive:
    """The archive named, else the configured one. Raises ArchiveMissing, ConfigError."""
    if archive is not None:
        return Archive.open(open_url(archive))
    from flows import config as configuration
    from flows.workbench import open_archive

    return open_archive(configuration.load(configuration.find(config)))


def snapshots(
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    scope: Annotated[str | None, typer.Option(help="Only of this scope.")] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """List snapshots, oldest first."""
    store = the_archive(archive, config)
    damaged: list[Damaged] = []
    found = [
        s
        for s in store.snapshots(damaged=damaged)
        if (source is None or s.key.source == source) and (scope is None or s.key.scope == scope)
    ]
    if json:
        rows = [snapshot_json(s, store.entries(s)) for s in found]
        print_json("snapshots", {"snapshots": rows, "damaged": [bad.name for bad in damaged]})
    elif found:
        print_table(
            "", ("id", "source", "scope", "taken", "quality", "files", "size", "stored bytes"), _rows(found)
        )
    else:
        out.print("no snapshots")
    for bad in damaged:
        complain(f"{bad.name}: {bad.problem}", "`strongroom scrub --all` says whom it hits")
    return Exit.VERIFICATION if damaged else Exit.DONE


def show(
    snapshot: Annotated[str, typer.Argument(help="An id, a unique beginning of one, or latest.")] = "latest",
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    scope: Annotated[str, typer.Option(help="Only of this scope.")] = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Show one snapshot: its files, what was promised, every check and its outcome."""
    store = the_archive(archive, config)
    found = store.find(snapshot, source=source, scope=scope)
    entries = store.entries(found)
    if json:
        print_json("show", {"snapshot": snapshot_json(found, entries)})
        return Exit.DONE
    manifest, draft = found.manifest, found.manifest.draft
    out.print(f"[bold]snapshot[/] {found.id}")
    facts = [
        ("scope", f"{found.key}, number {manifest.number} of its chain"),
        ("quality", draft.quality.value),
        ("taken", f"{day(draft.taken_at)} (committed {day(manifest.committed_at)})"),
        (
            "system",
            " ".join(str(draft.vendor.get(k, "")) for k in ("url", "version", "user")).strip() or draft.system,
        ),
        ("size", f"{number(manifest.size)} bytes; the archive grew by {number(manifest.stored_bytes)}"),
        ("run", draft.run_id),
    ]
    for name, value in facts:
        out.print(f"  {name:<8} {painted(value)}")
    for note in draft.notes:
        out.print(f"  note     {painted(note)}")
    print_table(
        "",
        ("file", "size", "crc32", "sha256"),
        [(e.path, number(e.measured.size), f"{e.measured.crc32:08x}", e.measured.sha256) for e in entries],
    )
    print_table(
        "",
        ("check", "outcome", "got", "promised", "why"),
        [(c.name, c.outcome.value, c.got, c.promised, c.reason) for c in draft.checks],
    )
    return Exit.DONE


def status(config: ConfigOption = None, json: JsonOption = False) -> int:
    """Say how each configured scope stands; exit code 5 where one has no recent verified snapshot."""
    from flows import config as configuration
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(configuration.find(config))
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    with open_catalog(settings, open_archive(settings)) as catalog:
        for source in settings.sources:
            for scope in source.scopes():
                key = ScopeKey(source.name, scope.name)
                good = catalog.last_good(key, now=now)
                last = next(iter(catalog.runs(key, limit=1)), None)
                job = catalog.jobs.open(key)
                rows.append(
                    {
                        "source": key.source,
                        "scope": key.scope,
                        "last_verified_at": good and to_text(good),
                        "stale": good is None or now - good > STALE_AFTER,
                        "last_run": last and (last.ended or f"under way: {last.phase}"),
                        "reason": last.reason if last else "",
                        "hint": last.hint if last else "",
                        "open_job": job and job.id,
                    }
                )
    stale = [row for row in rows if row["stale"]]
    if json:
        print_json("status", {"scopes": rows})
    elif not rows:
        out.print("no scope is configured")
    else:
        _print_status(rows)
    return Exit.STALE if stale else Exit.DONE


def _print_status(rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        good = row["last_verified_at"]
        age = "never" if good is None else day(from_text(good)) + (" (stale)" if row["stale"] else "")
        cells.append((row["source"], row["scope"], age, row["last_run"] or "none", row["reason"]))
    print_table("", ("source", "scope", "last verified", "last run", "reason"), cells)


def _rows(found: list[Snapshot]) -> list[tuple[str, ...]]:
    return [
        (
            s.id[:8],
            s.key.source,
            s.key.scope,
            day(s.manifest.draft.taken_at),
            s.manifest.draft.quality.value,
            number(s.manifest.files),
            number(s.manifest.size),
            number(s.manifest.stored_bytes),
        )
        for s in found
    ]
