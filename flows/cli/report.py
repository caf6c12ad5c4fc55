"""The verb that writes the report: report. It asks catalog and archive, and no system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import ConfigOption, JsonOption, number, out, print_json
from flows.errors import Exit


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(report)


def report(
    to: Annotated[
        Path | None, typer.Option(help="The page; default [report] file, else report.html in the state folder.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=7, max=3660, help="So many nights back; default [report] days.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Write how it stands as one HTML page: alarms, a calendar of nights, sizes, forecasts, scrubs and drills."""
    from flows import config as configuration
    from flows.ops import report as page
    from flows.ops.surveying import survey
    from flows.ops.watch import alarms
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(configuration.find(config))
    back = timedelta(days=days or settings.file.report.days)
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        seen = survey(settings, archive, catalog, now=datetime.now(UTC), back=back)
        found = alarms(seen, settings.file.watch, settings.file.upkeep)
        path = page.write(settings, seen, found, (to or settings.report).absolute(), archive)
    size = path.stat().st_size
    if json:
        print_json("report", {"file": str(path), "bytes": size, "alarms": [alarm.to_json() for alarm in found]})
    else:
        out.print(f"{path}: {number(size)} bytes", markup=False, soft_wrap=True)
    return Exit.DONE
