"""The verb that compares two snapshots: diff. It changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Annotated, Any

import typer

from flows.changes import Change, Pair, by_record, new_names, with_names
from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    ScopeOption,
    SnapshotArgument,
    SourceOption,
    day,
    number,
    out,
    painted,
    print_json,
    print_table,
    shown,
)
from flows.cli.look import meant, the_archive
from flows.cli.views import leaf_json
from flows.errors import Exit
from storage.contents import Leaf, leaves, readings
from storage.difference import Difference, difference
from storage.errors import StorageError
from storage.reader import Reader
from storage.snapshot import Snapshot

MAX_TEXT = 8 << 20  # bytes of a file that is looked into for names


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(diff)


def diff(
    before: SnapshotArgument,
    after: Annotated[str, typer.Argument(help="The same; latest is that of the first one's scope.")] = "latest",
    long: Annotated[bool, typer.Option("--long", "-l", help="Every file by name.")] = False,
    source: SourceOption = "",
    scope: ScopeOption = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say what differs between two snapshots, by record: added, removed, changed, renamed.

    Files are compared by SHA-256, members of a ZIP by size and CRC-32. What has equal content under another name
    is renamed. Exit code 0 whether something differs or not: `--json` says it in `same`.
    """
    from flows.sources import record_of

    store = the_archive(archive, config)
    one = meant(store, before, source=source, scope=scope)
    near = (source or one.key.source, scope or one.key.scope) if after == "latest" else ("", "")
    other = meant(store, after, source=near[0], scope=near[1])
    reader = store.reader(one, other)
    sides = [leaves(reader, reader.entries(found)) for found in (one, other)]
    found = difference(*sides)
    changes = by_record(found, record_of(other.manifest.draft.system), _names_only(reader, found))
    if json:
        print_json("diff", _json(one, other, found, changes))
    else:
        _print(one, other, found, changes, long=long)
    return Exit.DONE


def _names_only(reader: Reader, found: Difference) -> set[Pair]:
    """The changed ones that differ in nothing but the names of what is renamed: reads both sides of each."""
    names = new_names(found.renamed)
    pairs = [pair for pair in found.changed if names and max(leaf.size for leaf in pair) <= MAX_TEXT]
    old = _digests(reader, [before for before, _ in pairs], lambda text: with_names(text, names))
    new = _digests(reader, [after for _, after in pairs], lambda text: text)
    return {(before, after) for before, after in pairs if before in old and old[before] == new.get(after)}


def _digests(reader: Reader, some: Iterable[Leaf], told: Callable[[bytes], bytes]) -> dict[Leaf, bytes]:
    """SHA-256 of what is told of each; what cannot be read is left out, and stays *changed*."""
    digests = {}
    for leaf, chunks in readings(reader, sorted(some, key=lambda leaf: (leaf.entry.path, leaf.place or 0))):
        with suppress(StorageError):
            digests[leaf] = hashlib.sha256(told(b"".join(chunks))).digest()
    return digests


def _json(one: Snapshot, other: Snapshot, found: Difference, changes: list[Change]) -> dict[str, Any]:
    return {
        "before": one.id,
        "after": other.id,
        "same": not found,
        "files_same": found.same,
        "records": [
            {
                "record": change.id or None,
                "label": change.label,
                "size": change.size,
                "added": [leaf_json(leaf) for leaf in change.added],
                "removed": [leaf_json(leaf) for leaf in change.removed],
                **{
                    kind: [{"before": leaf_json(old), "after": leaf_json(new)} for old, new in pairs]
                    for kind, pairs in (
                        ("changed", change.changed), ("renamed", change.renamed), ("names", change.names)
                    )
                },
            }
            for change in changes
        ],
    }  # fmt: skip


def _print(one: Snapshot, other: Snapshot, found: Difference, changes: list[Change], *, long: bool) -> None:
    for sign, side in (("before", one), ("after", other)):
        taken, quality = day(side.manifest.draft.taken_at), side.manifest.draft.quality.value
        out.print(f"{sign:<7} {side.id[:8]}  {painted(str(side.key))}  {taken}  {painted(quality)}")
    loud = [change for change in changes if change.id and not change.quiet]
    if loud:
        rows = [
            (
                change.id,
                shown(change.label),
                number(len(change.added)),
                number(len(change.removed)),
                number(len(change.changed)),
                f"{change.size:+,}",
            )
            for change in loud
        ]
        print_table("", ("record", "label", "added files", "removed files", "changed files", "bytes"), rows)
    for change in changes:
        if long or (not change.id and not change.quiet):
            _print_files(change, long=long)
    quiet = sum(1 for change in changes if change.id and change.quiet)
    told = [f"{number(found.same)} files the same", f"{number(len(loud))} records changed"]
    if quiet:
        told.append(f"{number(quiet)} records the same but for names that the export gave anew")
    if found.renamed:
        told.append(f"{number(len(found.renamed))} files renamed")
    out.print("; ".join(told))


def _print_files(change: Change, *, long: bool) -> None:
    for sign, some in (("+", change.added), ("-", change.removed)):
        for leaf in some:
            print(f"{sign} {shown(leaf.path)}  {number(leaf.size)}")
    for old, new in change.changed:
        print(f"~ {shown(new.path)}  {number(old.size)} -> {number(new.size)}")
    for old, new in change.renamed if long else ():
        print(f"> {shown(old.path)} -> {shown(new.path)}")
    for _, new in change.names if long else ():
        print(f"= {shown(new.path)}  names only")
