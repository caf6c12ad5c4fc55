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
from storage.records import Ended
from storage.snapshot import from_text, to_text

if TYPE_CHECKING:
    from storage.tables import Run

COLUMNS = ("scope", "began", "took", "ended", "snapshot", "fetched bytes", "started by", "why")
UNDER_WAY = "under way"
KILLED = "its process is gone; the next run goes on with its export"


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(runs)


def runs(
    source: SourceOption = "",
    scope: ScopeOption = "",
    ended: Annotated[str, typer.Option(help="Only those that ended so, such as failed; or 'under way'.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only those that began then or later (UTC).")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="Only so many, the newest.")] = 50,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """List runs, the newest last: how each ended, why, and what it fetched. No system is asked."""
    words = [UNDER_WAY, *(word.value for word in Ended)]
    if ended and ended not in words:
        raise ConfigError(f"--ended {ended!r}: expected one of {', '.join(words)}")
    rows, alive = _found(config, source, scope, ended, since, last)
    if json:
        print_json("runs", {"runs": [run_json(row) | {"under_way": row.id in alive} for row in rows]})
    elif rows:
        table("", COLUMNS, [_row(row, alive=row.id in alive) for row in rows])
    else:
        out.print("no runs")
    return Exit.DONE


def _found(
    config: Path | None, source: str, scope: str, ended: str, since: datetime | None, last: int
) -> tuple[list[Run], set[str]]:
    """The rows, oldest first, and the ids of those that are under way."""
    from flows import config as configuration
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(configuration.find(config))
    with open_catalog(settings, open_archive(settings)) as catalog:
        found = catalog.runs(
            source=source,
            scope=scope,
            ended=None if not ended else "" if ended == UNDER_WAY else ended,
            since="" if since is None else to_text(since.replace(tzinfo=UTC)),
            limit=last,
        )
        return found[::-1], {row.id for row in catalog.alive(now=datetime.now(UTC))}


def _row(row: Run, *, alive: bool) -> tuple[str, ...]:
    began = from_text(row.started_at)
    if row.ended:
        time, word, why = took(from_text(row.ended_at) - began), row.ended, row.reason
    else:
        doing = f": {row.phase}" if row.phase else ""
        time, word, why = ("", f"{UNDER_WAY}{doing}", "") if alive else ("", Ended.INTERRUPTED.value, KILLED)
    fetched = number(row.bytes_fetched) if row.bytes_fetched else ""
    return f"{row.source}/{row.scope}", day(began), time, word, row.snapshot[:8], fetched, row.trigger, why
