"""Verbs that show: demo, demo-server."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import JsonOption
from flows.errors import ConfigError, Exit

StartOption = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="When it is there at first, in UTC; by default, now."
    ),
]
MARK = ".strongroom-demo"  # only a folder that holds it is ever emptied


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(demo)
    app.command("demo-server")(demo_server)


def demo(
    folder: Annotated[Path, typer.Option(help="Where archive, catalog and configuration are made.")] = Path(
        "strongroom-demo"
    ),
    nights: Annotated[int, typer.Option(min=1, max=60, help="How many nights pass.")] = 4,
    stay: Annotated[bool, typer.Option("--stay", help="Keep server and Prefect UI up until Ctrl-C.")] = False,
    start: StartOption = None,
    json: JsonOption = False,
) -> int:
    """Back up a made-up lab and admissions office for some nights, prove it, restore. Needs this machine alone."""
    from flows.cli.story import tell

    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise ConfigError(f"{folder}: is not empty and not a demo's", hint="name another --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    # By default its last night is this one: snapshots of days to come would count nowhere.
    first = _utc(start) if start else datetime.now(UTC) - timedelta(days=nights - 1)
    return tell(folder, nights=nights, start=first, stay=stay, json=json)


def demo_server(
    port: Annotated[int, typer.Option(help="Of the lab; the office has a free one. 0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Which lab and office are made up.")] = 1,
    start: StartOption = None,
) -> int:
    """Serve a made-up lab in RSpace's dialect, and an admissions office in WebAdMIT's, on loopback, until Ctrl-C.

    Prints one JSON line about them.
    """
    from flows.demo import serve_forever

    try:
        serve_forever(port, seed, start=_utc(start) if start else datetime.now(UTC))
    except OSError as exc:
        raise ConfigError(f"--port {port}: {exc.strerror}", hint="take another one") from exc
    return Exit.DONE


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC)
