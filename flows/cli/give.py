"""The verb that gives back: restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.browse import ids_of
from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    SnapshotArgument,
    byte_bar,
    complain,
    number,
    out,
    print_json,
    say,
    shown,
)
from flows.cli.look import meant, the_archive
from flows.cli.views import file_json, leaf_json
from flows.errors import ConfigError, Exit
from storage.archive import Archive
from storage.snapshot import Snapshot

FOLDER = Path("restored")  # where nothing else is said


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(restore)


def restore(
    snapshot: SnapshotArgument = "latest",
    to: Annotated[Path | None, typer.Option(help="Folder to restore into, made where missing; restored.")] = None,
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    scope: Annotated[str, typer.Option(help="Only of this scope.")] = "",
    member: Annotated[
        list[str] | None,
        typer.Option(help="Only this file or member, unpacked: a path, a folder, a glob, or a record's id."),
    ] = None,
    to_source: Annotated[
        str, typer.Option(metavar="NAME", help="Into the system of this configured source, which makes all anew.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --to-source: say what would be made.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="With --to-source: only what lies at paths that begin so."),
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Give a snapshot's files back, bit for bit, verified while they are written.

    With --member, which may be given several times, single files and members of ZIPs, under their own paths. With
    --to-source, documents are made anew in a system: run again, it goes on and doubles nothing.
    """
    if to_source:
        if to is not None or member:
            raise ConfigError("--to-source: into a system; --to and --member are about a folder")
        from flows.cli.target import restore_to_source

        return restore_to_source(
            to_source,
            snapshot,
            source=source,
            scope=scope,
            only=only or [],
            dry_run=dry_run,
            archive=archive,
            config=config,
            json=json,
        )
    if dry_run or only:
        raise ConfigError("--dry-run and --only: belong to --to-source")
    from storage.restore import Lost
    from storage.restore import restore as give_back

    store = the_archive(archive, config)
    found = meant(store, snapshot, source=source, scope=scope)
    to = to or FOLDER
    if member:
        return _restore_members(store, found, to, member, json=json)
    with byte_bar(quiet=json) as bar:
        task = bar.add_task("restore", total=found.manifest.size)
        results = give_back(store, found, to, on_bytes=lambda count: bar.update(task, advance=count))
    lost = [result for result in results if isinstance(result, Lost)]
    kept = [result for result in results if not isinstance(result, Lost)]
    if json:
        rows = [{**file_json(item.entry), "path": str(item.path)} for item in kept]
        losses = [{"name": item.entry.path, "problem": item.problem} for item in lost]
        print_json("restore", {"snapshot": found.id, "files": rows, "lost": losses})
    else:
        for item in kept:
            out.print(f"{item.path}  sha256 {item.entry.measured.sha256}", markup=False, soft_wrap=True)
        say(f"snapshot {found.id[:8]} of {found.key}: {len(kept)} files, each size and SHA-256 proven")
    if found.manifest.draft.quality != "verified":
        say(f"note: it is {found.manifest.draft.quality.value}; `strongroom show {found.id[:8]}` says why")
    for loss in lost:
        complain(f"{loss.entry.path}: {loss.problem}", "take it from a copy of the archive")
    if not lost:
        return Exit.DONE
    return Exit.PARTLY if kept else Exit.VERIFICATION


def _restore_members(store: Archive, found: Snapshot, to: Path, patterns: list[str], *, json: bool) -> int:
    """Give back the leaves that any of the patterns means; a pattern that means none is told."""
    from storage.patterns import chooser
    from storage.restore import Lost, restore_leaves

    choosers = {pattern: chooser(pattern, ids_of(found.manifest.draft.system)) for pattern in patterns}
    idle = set(patterns)

    def wanted(path: str) -> bool:
        meant = [pattern for pattern, means in choosers.items() if means(path)]
        idle.difference_update(meant)
        return bool(meant)

    results = restore_leaves(store, found, to, wanted)
    lost = [result for result in results if isinstance(result, Lost)]
    kept = [result for result in results if not isinstance(result, Lost)]
    names = {id(item): item.leaf.path if item.leaf else item.entry.path for item in results}
    if json:
        rows = [{**leaf_json(item.leaf), "written": str(item.path)} for item in kept if item.leaf]
        losses = [{"name": names[id(item)], "problem": item.problem} for item in lost]
        print_json("restore", {"snapshot": found.id, "members": rows, "lost": losses, "not_found": sorted(idle)})
    else:
        for item in kept:
            out.print(str(item.path), markup=False, soft_wrap=True)
        say(f"snapshot {found.id[:8]} of {found.key}: {number(len(kept))} files, each size and CRC-32 proven")
    for loss in lost:
        complain(f"{shown(names[id(loss)])}: {loss.problem}", loss.hint)
    for pattern in sorted(idle):
        complain(f"{pattern}: nothing of that name in snapshot {found.id[:8]}", f"strongroom ls -R {found.id[:8]}")
    if not lost and not idle:
        return Exit.DONE
    return Exit.PARTLY if kept else Exit.VERIFICATION if lost else Exit.USAGE
