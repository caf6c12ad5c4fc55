"""The verb that lists runs, as the catalog has them: how each ended, when, and why. It changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import ConfigOption, JsonOption, ScopeOption, SourceOption, day, number, out, print_json
from flows.cli.console import print_table as table
from flows.cli.views import run_json
from flows.errors import ConfigError, Exit
from flows.ops.words import took
from storage.holder import Holder
from storage.records import Ended
from storage.snapshot import from_text, to_text

if TYPE_CHECKING:
    from storage.tables import Run

COLUMNS = ("scope", "began", "took", "ended", "snapshot", "fetched bytes", "started by", "why")
UNDER_WAY, NO_END = "under way", "no end"
KILLED = "its process is gone; the next run goes on with its export"


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(runs)


def runs(
    source: SourceOption = "",
    scope: ScopeOption = "",
    ended: Annotated[str, typer.Option(help="Only those of that end, such as failed, or 'no end'.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only those that began then or later (UTC).")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="Only so many, the newest.")] = 50,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """List runs, the newest last: how each ended, why, and what it fetched. No system is asked."""
    words = [UNDER_WAY, NO_END, *(word.value for word in Ended)]
    if ended and ended not in words:
        raise ConfigError(f"--ended {ended!r}: expected one of {', '.join(words)}")
    rows = [(row, _word(row)) for row in _found(config, source, scope, ended, since, last)]
    rows = [(row, word) for row, word in rows if ended in ("", word)]
    if json:
        print_json("runs", {"runs": [run_json(row) | {"under_way": word == UNDER_WAY} for row, word in rows]})
    elif rows:
        table("", COLUMNS, [_row(row, word) for row, word in rows])
    else:
        out.print("no runs")
    return Exit.DONE


def _found(
    config: Path | None, source: str, scope: str, ended: str, since: datetime | None, last: int
) -> list[Run]:
    """The rows, oldest first; for both words of those that did not end, all of them."""
    from flows import config as configuration
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(configuration.find(config))
    with open_catalog(settings, open_archive(settings)) as catalog:
        return catalog.runs(
            source=source,
            scope=scope,
            ended=None if not ended else "" if ended in (UNDER_WAY, NO_END) else ended,
            since="" if since is None else to_text(since.replace(tzinfo=UTC)),
            limit=last,
        )[::-1]


def _word(row: Run) -> str:
    """How it ended; of another host's that did not, nobody knows whether it is gone."""
    return row.ended or (NO_END if row.holder and Holder.decode(row.holder).dead() else UNDER_WAY)


def _row(row: Run, word: str) -> tuple[str, ...]:
    began = from_text(row.started_at)
    time = took(from_text(row.ended_at) - began) if row.ended_at else ""
    doing = f": {row.phase}" if row.phase and not row.ended else ""
    why = KILLED if word == NO_END else row.reason
    fetched = number(row.bytes_fetched) if row.bytes_fetched else ""
    scope = f"{row.source}/{row.scope}"
    return scope, day(began), time, f"{word}{doing}", row.snapshot[:8], fetched, row.trigger, why
