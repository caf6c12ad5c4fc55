"""What commands print: words for people on a terminal, one JSON object for machines, errors with their hint."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

SCHEMA = 1  # of every JSON object; a field may be added without raising it

WIDE = 200  # columns where nobody looks: what is piped must not be broken into lines

# No emoji: the name of a scope such as lab/group:1234 would become a picture where a colon follows it.
out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, emoji=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration; default $STRONGROOM_CONFIG, then ./strongroom.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
ArchiveOption = Annotated[
    str | None, typer.Option("--archive", "-a", help="The archive itself; then no configuration is needed.")
]

SnapshotArgument = Annotated[str, typer.Argument(help="An id, a unique beginning of one, or latest.")]
SourceOption = Annotated[str, typer.Option("--source", help="Only of this source.")]
ScopeOption = Annotated[str, typer.Option("--scope", help="Only of this scope.")]

_STYLE = {
    "verified": "green",
    **dict.fromkeys(("partial", "quarantined", "forget"), "yellow"),
    **dict.fromkeys(("skipped", "unchanged"), "dim"),
    **dict.fromkeys(
        ("failed", "refused", "lost", "expired", "interrupted", "vanished", "crashed", "erase"), "red"
    ),
    "verification failed": "red",
}
MAX_NAMED = 5  # scopes that one hint names
MANY = 1000  # rows from which a table is printed plainly: Rich takes a millisecond for each


def print_json(command: str, value: Mapping[str, Any]) -> None:
    """One object on one line."""
    print(json.dumps({"schema": SCHEMA, "command": command, **value}, ensure_ascii=False, default=str))


_RIGHT = ("bytes", "size", "number", "files", "snapshots")  # columns of numbers
_FOLDED = {  # columns that may take several lines, where the terminal is narrow
    *("file", "sha256", "got", "promised", "why", "reason", "reasons", "scope"),
    *("last verified", "next night", "last run"),
}


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns of numbers, by the end of their name, stand to the right."""
    if len(rows) >= MANY:
        _print_plainly(columns, rows)
        return
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        right = column.endswith(_RIGHT)
        whole = column not in _FOLDED
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*[painted(cell) for cell in row])
    out.print(table)


def _print_plainly(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The same without colour, as wide as it is."""
    cells = [columns, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        blanks = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        parts = zip(columns, row, blanks, strict=True)
        line = " ".join(blank + cell if name.endswith(_RIGHT) else cell + blank for name, cell, blank in parts)
        print(line.rstrip(), file=out.file)


def painted(word: str) -> str:
    """A word as Rich markup: qualities and ends in their colour, anything else as it is."""
    style = _STYLE.get(word)
    return f"[{style}]{escape(word)}[/]" if style else escape(clean(word))


def clean(text: str) -> str:
    """Text from elsewhere without control characters, which could move a terminal's cursor."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "�", text)


def shown(name: str) -> str:
    """A name from elsewhere on one line, as it is: what would move a cursor or turn the line round is escaped."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in hidden else c for c in name)


def say(text: str) -> None:
    """A line for people, on standard error, so that --json stays clean."""
    err.print(escape(clean(text)), soft_wrap=True)


def complain(message: str, hint: str = "") -> None:
    """An error: what, then what to try."""
    err.print(f"[red]error:[/] {escape(clean(message))}", soft_wrap=True)
    if hint:
        err.print(f"[bold]hint:[/] {escape(clean(hint))}", soft_wrap=True)


def advise(hint: str, names: Sequence[str]) -> None:
    """What to try about several things that went wrong alike."""
    if hint:
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        told = f"{', '.join(names[:MAX_NAMED])}{more}: {hint}"
        err.print(f"[bold]hint:[/] {escape(clean(told))}", soft_wrap=True)


def day(instant: datetime) -> str:
    """An instant as people read it, in their own zone, which is named."""
    return f"{instant.astimezone():%Y-%m-%d %H:%M %Z}"


def number(value: int) -> str:
    """Digits in groups of three."""
    return f"{value:,}"


def byte_bar(*, quiet: bool) -> Progress:
    """A bar that counts bytes, on standard error; none where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal)
