"""Verbs that look into snapshots: ls, find, dump. They change nothing in the archive."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    ScopeOption,
    SnapshotArgument,
    SourceOption,
    complain,
    number,
    print_json,
    print_table,
    say,
    shown,
)
from flows.cli.look import meant, the_archive, unread_hint
from flows.cli.views import history_json, leaf_json
from flows.errors import ConfigError, Exit
from storage.archive import Damaged
from storage.contents import Leaf, leaves, readings
from storage.snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command("ls")(list_contents)
    app.command()(find)
    app.command()(dump)


def ids_of(system: str) -> Callable[[str], str]:
    """The id of the record that a path belongs to, in the words of that system; "" for none."""
    from flows.sources import record_of

    tell = record_of(system)

    def record_id(path: str) -> str:
        record = tell(path)
        return record.id if record else ""

    return record_id


@dataclass(slots=True)
class _Folder:
    """A folder of which only the sums are shown."""

    path: str
    files: int = 0
    size: int = 0


def list_contents(
    snapshot: SnapshotArgument = "latest",
    path: Annotated[str, typer.Argument(help="A folder, or one file.")] = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="With bytes and CRC-32.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="With what is in its folders.")] = False,
    source: SourceOption = "",
    scope: ScopeOption = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """List what a snapshot holds: files, and the members of its ZIPs.

    The one ZIP of an export is gone into: its members go by their own names, without the export's.
    """
    store = the_archive(archive, config)
    found = meant(store, snapshot, source=source, scope=scope)
    reader = store.reader(found)
    below = path.strip("/")
    inside = leaves(
        reader, reader.entries(found), lambda one: not below or one == path or f"{one}/".startswith(f"{below}/")
    )
    rows = inside if recursive else _one_level(inside, below)
    if json:
        contents = [_row_json(row) for row in rows]
        print_json("ls", {"snapshot": found.id, "path": path, "contents": contents})
        count = len(contents)
    else:
        count = sum(_print_row(row, long=long) for row in rows)
    if count or not path:
        return Exit.DONE
    complain(f"{shown(path)}: not in snapshot {found.id[:8]}", f"strongroom ls {found.id[:8]}")
    return Exit.USAGE


def find(
    pattern: Annotated[str, typer.Argument(help="A record's id such as SD123, a glob, or a part of a path.")],
    source: SourceOption = "",
    scope: ScopeOption = "",
    snapshot: Annotated[str, typer.Option(help="Only in this snapshot.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only in snapshots taken then or later (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only in snapshots taken before that (UTC).")] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Find files and members by name in all snapshots: who holds them first and last, in how many versions.

    SD12 does not find SD123. A glob means a whole path or any name in it; `*` goes through slashes. A part of a
    name is found whatever its case; brackets, as in `notes.txt [3]`, mean themselves, too.
    """
    from storage.history import histories
    from storage.patterns import finder

    if not pattern:
        raise ConfigError("find: an empty pattern", hint="`strongroom ls` lists everything")
    store = the_archive(archive, config)
    damaged: list[Damaged] = []
    if snapshot:
        chosen = [meant(store, snapshot, source=source, scope=scope)]
    else:
        chosen = [
            one
            for one in store.snapshots(damaged=damaged)
            if one.key.source == (source or one.key.source) and one.key.scope == (scope or one.key.scope)
        ]
    chosen = [one for one in chosen if _taken(one, since, until)]
    wanted = {system: finder(pattern, ids_of(system)) for system in {one.manifest.draft.system for one in chosen}}
    hits = histories(store, chosen, lambda one: wanted[one.manifest.draft.system], damaged=damaged)
    if json:
        print_json(
            "find",
            {
                "pattern": pattern,
                "snapshots": len(chosen),
                "hits": [history_json(hit) for hit in hits],
                "damaged": [bad.name for bad in damaged],
            },
        )
    elif hits:
        print_table(
            "",
            ("scope", "name", "first", "last", "snapshots number", "versions number", "newest bytes"),
            [
                (
                    str(hit.key),
                    shown(hit.path),
                    _night(hit.first),
                    _night(hit.last),
                    number(hit.snapshots),
                    number(len(hit.versions)),
                    number(hit.newest.leaf.size),
                )
                for hit in hits
            ],
        )
    if not json:
        say(f"{number(len(hits))} found in {number(len(chosen))} snapshots")
    for bad in damaged:
        complain(bad.told, unread_hint(store))
    return Exit.VERIFICATION if damaged else Exit.DONE


def dump(
    snapshot: SnapshotArgument,
    path: Annotated[str, typer.Argument(help="A file or member, as `ls` names it; or a ZIP by its own name.")],
    to: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file that is not there yet; default: standard output.")
    ] = None,
    copy: Annotated[
        int | None, typer.Option(min=1, help="Which, where several members have that name; from 1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="To a terminal, too.")] = False,
    source: SourceOption = "",
    scope: ScopeOption = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
) -> int:
    """Give one file or member to standard output, or to a file, which appears only when its bytes are proven.

    Exit code 4 where they cannot be proven: what came out by then on standard output is not to be used.
    """
    from storage.restore import write_proven

    if to is None and sys.stdout.isatty() and not force:
        raise ConfigError("dump: bytes are not written to a terminal", hint="use --out FILE, a pipe, or --force")
    store = the_archive(archive, config)
    found = meant(store, snapshot, source=source, scope=scope)
    reader = store.reader(found)
    entries = reader.entries(found)
    hits = [leaf for leaf in leaves(reader, entries, lambda one: one == path) if not leaf.folder]
    if not hits:
        hits = [Leaf(path, one.measured.size, one.measured.crc32, one) for one in entries if one.path == path]
    if not hits or (copy or 1) > len(hits):
        raise ConfigError(
            f"{shown(path)}: {len(hits) or 'not'} in snapshot {found.id[:8]}",
            hint=f"strongroom ls -R {found.id[:8]}",
        )
    if len(hits) > 1 and not copy:
        raise ConfigError(
            f"{shown(path)}: {len(hits)} members of that name in snapshot {found.id[:8]}",
            hint="choose one by --copy N",
        )
    ((leaf, chunks),) = readings(reader, [hits[(copy or 1) - 1]])
    if to is not None:
        write_proven(chunks, leaf.size, to.parent, Path(to.name))
        say(f"{to}: {number(leaf.size)} bytes, proven")
        return Exit.DONE
    for data in chunks:
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return Exit.DONE


def _one_level(inside: Iterable[Leaf], below: str) -> Iterator[Leaf | _Folder]:
    """What lies directly in a folder: sums of its folders first, by name, then files, in the order of the ZIP."""
    folders: dict[str, _Folder] = {}
    files = []
    start = len(below) + 1 if below else 0
    for leaf in inside:
        name, slash, _ = leaf.path[start:].partition("/")
        if leaf.path.rstrip("/") == below and leaf.folder:
            continue
        if not slash:
            files.append(leaf)
            continue
        folder = folders.setdefault(name, _Folder(f"{leaf.path[:start]}{name}/"))
        folder.files += not leaf.folder
        folder.size += leaf.size
    yield from (folders[name] for name in sorted(folders))
    yield from sorted(files, key=lambda leaf: leaf.path)


def _row_json(row: Leaf | _Folder) -> dict[str, Any]:
    if isinstance(row, _Folder):
        return {"path": row.path, "type": "folder", "files": row.files, "size": row.size}
    return leaf_json(row)


def _print_row(row: Leaf | _Folder, *, long: bool) -> bool:
    name = shown(row.path)
    if not long:
        line = name
    elif isinstance(row, _Folder):
        line = f"{number(row.size):>15}  {number(row.files):>8}  {name}"
    else:
        line = f"{number(row.size):>15}  {row.crc32:08x}  {name}"
    print(line)  # not by Rich, which takes its time with 100,000 lines
    return True


def _taken(one: Snapshot, since: datetime | None, until: datetime | None) -> bool:
    at = one.manifest.draft.taken_at
    return (since is None or at >= since.replace(tzinfo=UTC)) and (until is None or at < until.replace(tzinfo=UTC))


def _night(one: Snapshot) -> str:
    return f"{one.manifest.draft.taken_at:%Y-%m-%d} {one.id[:8]}"
