"""Verbs for who installs and watches Strongroom on a machine: metrics, units."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import ConfigOption, say
from flows.errors import ConfigError, Exit


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(metrics)
    app.command()(units)


def metrics(
    config: ConfigOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE.prom", help="For the node exporter's textfile collector.")
    ] = None,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Grafana's dashboard of them, as JSON.")] = False,
) -> int:
    """Print what is known of all backups as Prometheus' metrics; no system is asked, and no pack is read."""
    if dashboard:
        from flows.ops import dashboard as panels

        if to is not None:
            raise ConfigError("--dashboard: is printed, and not written by --to", hint="> grafana.json")
        print(panels.text(), end="")
        return Exit.DONE
    from flows import config as configuration
    from flows.ops import metrics as all_metrics
    from flows.ops.surveying import known

    if to is not None and to.suffix != ".prom":
        raise ConfigError(f"--to {to}: does not end in .prom", hint="the node exporter looks for no other files")
    settings = configuration.load(configuration.find(config))
    seen, alarms = known(settings, now=datetime.now(UTC))
    if to is None:
        print(all_metrics.text(seen, alarms).decode(), end="")
    else:
        all_metrics.write(seen, alarms, to.absolute())
        say(f"wrote {to}")
    return Exit.DONE


def units(
    config: ConfigOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write them there: /etc/systemd/system.")
    ] = None,
    user: Annotated[str, typer.Option("--user", help="As whom all of it runs.")] = "strongroom",
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=64, help="A Prefect server and N workers, instead of `serve`.")
    ] = 0,
    postgres: Annotated[
        bool, typer.Option("--postgres", help="The server keeps its records in PostgreSQL; see the README.")
    ] = False,
) -> int:
    """Print systemd's units for this machine and this configuration, or write them with --to."""
    from flows import config as configuration
    from flows.ops import units as all_units

    settings = configuration.load(configuration.find(config))
    machine = all_units.machine(settings, user=user, workers=workers, postgres=postgres)
    made = all_units.units(machine)
    if to is None:
        for name, text in made.items():
            print(f"# ---- {name}\n{text}")
        return Exit.DONE
    for name, text in made.items():
        _put(to / name, text)
        say(f"wrote {to / name}")
    say(f"next: `systemctl daemon-reload`, then `systemctl enable --now {' '.join(machine.enable)}`")
    return Exit.DONE


def _put(path: Path, text: str) -> None:
    """Write a file that systemd reads: whole or not at all, in place of an older one."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(path)
    except OSError as exc:
        missing = "make that folder first; systemd's is /etc/systemd/system"
        hint = missing if exc.errno == errno.ENOENT else "as root"
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}", hint=hint) from exc
