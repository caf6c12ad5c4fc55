"""Verbs that make backups: run, import, serve."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import ConfigOption, JsonOption, advise, complain, number, out, painted, print_json, say
from flows.cli.views import run_json
from flows.errors import ConfigError, Exit

if TYPE_CHECKING:
    from flows.config import Settings
    from flows.night import Night
    from flows.server_at_hand import ServerAtHand
    from storage.tables import Run


TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", help="A tag of the snapshots; may be given again. See `forget --keep-tag`."),
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(run)
    app.command("import")(import_)
    app.command()(serve)


def run(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE[/SCOPE]]", help="A source, or one scope such as lab/group:1234."),
    ] = None,
    tag: TagOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Back up now: one scope, one source, or everything that is configured.

    Through a worker or `strongroom serve` where one lives, else directly; either way a Prefect server shows it.
    """
    from flows import config as configuration
    from flows.credentials import check
    from flows.workbench import sound_tags

    settings = configuration.load(configuration.find(config))
    source, _, scope = (target or "").partition("/")
    if source and scope:
        settings.scope(settings.source(source), scope)  # a wrong name is told before anything is started
    if not source and not any(table.scope for table in settings.sources):
        raise ConfigError(
            f"{settings.path}: no scope is configured", hint="add a [[source]] with a [[source.scope]]"
        )
    for table in [settings.source(source)] if source else settings.sources:
        check(settings, table)  # and so is a secret that is not there
    tags = list(sound_tags(tag or ()))
    ui = join_prefect(settings).ui_url
    tell_progress()
    if not scope:
        night, trouble = _run_many(settings, source or None, tags)
        return report(settings, night, trouble=trouble, json=json, ui=ui)
    flow_run, trouble = _run_one(settings, source, scope, tags)
    return report_one(settings, flow_run, trouble=trouble, json=json, ui=ui)


def join_prefect(settings: Settings, *, passing: bool = False) -> ServerAtHand:
    """Make this process a client of the Prefect server at hand. Before Prefect is imported."""
    from flows.server_at_hand import adopt, ensure_server
    from flows.workbench import open_archive

    open_archive(settings)  # a missing archive is told before a server is started
    server = ensure_server(settings.state)
    # A demo's server ends with it: it is not said to go on running.
    say(f"a Prefect server of the demo's own is at {server.ui_url}" if passing else server.describe())
    adopt(server, settings.state)
    # The run's log is in Prefect, tracebacks included; the terminal gets the result, the reason and the hint.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    return server


class _Teller(logging.Handler):
    """Prints what runs say of their progress."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def tell_progress() -> None:
    """Print each step of the runs in this process as it comes: an export may take hours."""
    from flows.runlog import PROGRESS

    logger = logging.getLogger(PROGRESS)
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller())


def leave_prefect() -> None:
    """Send what Prefect still holds of logs and events, so that its server can be stopped."""
    from flows.orchestration import flush

    flush()


def _run_one(settings: Settings, source: str, scope: str, tags: list[str]) -> tuple[str, str]:
    """Run it: its flow run, and what Prefect says where no run of ours could be recorded."""
    from flows.backup import backup
    from flows.orchestration import deployment_lives, run_on_worker

    path = str(settings.path)
    if deployment_lives():
        say("a worker lives: it runs the backup")
        end = run_on_worker(
            source, scope, path, tags=tags, on_change=lambda now: say(f"{source}/{scope}: {now.state_name}")
        )
        if end.picked_up:
            return end.flow_run_id, end.message
        say("nobody took it: it runs here")
    state = backup(source, scope, path, tags=tags or None, return_state=True)
    return str(state.state_details.flow_run_id), state.message or ""


def _run_many(settings: Settings, source: str | None, tags: list[str]) -> tuple[Night | None, str]:
    """Run them: the night, None where it came to nothing; and what Prefect says of it."""
    from flows.backup import nightly
    from flows.night import Night, NightFailed

    state = nightly(source, str(settings.path), tags=tags or None, return_state=True)
    carried = getattr(state.data, "result", None)  # as Prefect wraps what a state carries
    night = carried.night if isinstance(carried, NightFailed) else carried
    return night if isinstance(night, Night) else None, state.message or ""


def report_one(settings: Settings, flow_run: str, *, trouble: str, json: bool, ui: str) -> int:
    """Print how a flow run ended, as the catalog has it; its exit code."""
    from flows.night import Line

    runs = _recorded(settings, [flow_run])
    if json:
        print_json("run", {"runs": [run_json(row) for row in runs], "prefect": ui})
    for row in runs:
        line = Line.of(row)
        if not json:
            kept = f"snapshot {row.snapshot[:8]}, {number(row.bytes_fetched)} bytes" if row.snapshot else ""
            why = "" if line.exit else row.reason  # an error is told below
            out.print(
                f"{painted(row.ended)}  {painted(line.name)}  {painted(kept or why)}".rstrip(), soft_wrap=True
            )
        if line.exit:
            complain(f"{line.name}: {row.reason}", row.hint)
    if not runs:
        complain(f"no run was recorded: {trouble}")
    return overall([row.exit_code or 0 for row in runs])


def report(settings: Settings, night: Night | None, *, trouble: str, json: bool, ui: str) -> int:
    """Print what became of each scope of a night, and of all in one sentence; the exit code for all of them."""
    if night is None or not night.lines:
        if json:
            print_json("run", {"runs": [], "prefect": ui})
        complain(f"no run was recorded: {trouble}")
        return Exit.UNEXPECTED
    if json:
        runs = _recorded(settings, [line.flow_run for line in night.lines if line.flow_run])
        print_json("run", {"runs": [run_json(row) for row in runs], **night.to_json(), "prefect": ui})
    else:
        for line in night.lines:
            kept = f"snapshot {line.snapshot[:8]}, {number(line.bytes_fetched)} bytes" if line.snapshot else ""
            said = "; ".join(part for part in (kept, line.reason) if part)
            out.print(f"{painted(line.word)}  {painted(line.shown)}  {painted(said)}".rstrip(), soft_wrap=True)
        for remark in night.remarks:
            out.print(painted(remark), soft_wrap=True)
        out.print(painted(night.sentence()), soft_wrap=True)
    hints: dict[str, list[str]] = {}
    for line in night.bad:
        hints.setdefault(line.hint, []).append(line.name)
        if json:  # else it stands above
            complain(f"{line.name}: {line.reason}")
    for hint, names in hints.items():
        advise(hint, names)
    return overall([line.exit for line in night.lines])


def _recorded(settings: Settings, flow_runs: Sequence[str]) -> list[Run]:
    """The runs that ended, as the catalog has them."""
    from flows.workbench import open_archive, open_catalog

    with open_catalog(settings, open_archive(settings)) as catalog:
        return [row for flow_run in flow_runs for row in catalog.runs(flow_run=flow_run, limit=1) if row.ended]


def overall(codes: Sequence[int]) -> Exit:
    """One exit code for several runs: theirs where they agree, *partly done* where some went well."""
    if not codes:
        return Exit.UNEXPECTED
    if len(set(codes)) == 1:
        return Exit(codes[0])
    return Exit.PARTLY if Exit.DONE in codes else Exit(max(codes))


def import_(
    files: Annotated[list[Path], typer.Argument(help="Export files that you already have.")],
    source: Annotated[str, typer.Option(help="Name of the source; it need not be configured.")],
    scope: Annotated[str, typer.Option(help="user:1, group:1 or selection:12,15; with :html for html.")],
    at: Annotated[
        datetime | None, typer.Option(help="When they were exported (UTC); default: what each file says.")
    ] = None,
    system: Annotated[str, typer.Option(help="The system they are from.")] = "rspace",
    tag: TagOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Take exports that you already have into the archive, checked and proven like any other."""
    from flows import config as configuration
    from flows.clock import SystemClock
    from flows.importing import import_files
    from flows.sources import DIALECTS
    from flows.workbench import open_archive, open_catalog, sound_tags

    if system not in DIALECTS:
        raise ConfigError(f"--system {system}: this version knows {', '.join(DIALECTS)}")
    if not configuration.NAME.fullmatch(source):
        raise ConfigError(f"--source {source!r}: expected lower-case letters, digits, - and _, at most 40")
    try:
        wanted = DIALECTS[system].parse_scope(scope)
    except ValueError as exc:
        raise ConfigError(f"--scope: {exc}") from exc
    tags = sound_tags(tag or ())
    settings = configuration.load(configuration.find(config))
    archive = open_archive(settings)
    when = at if at is None else at.replace(tzinfo=UTC)
    with open_catalog(settings, archive) as catalog:
        done = import_files(
            archive, catalog, DIALECTS[system], source, wanted, files, at=when, clock=SystemClock(), tags=tags
        )
    if json:
        rows = [{"file": str(i.file), "snapshot": i.snapshot.id, "quality": i.record.ended.value} for i in done]
        print_json("import", {"imported": rows})
    for item in done:
        if not json:
            out.print(f"{painted(item.record.ended.value)}  {item.file}  snapshot {item.snapshot.id[:8]}")
        if item.record.exit_code:
            complain(item.record.reason, item.record.hint)
    return overall([item.record.exit_code for item in done])


def serve(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many backups at once.")] = 3,
) -> int:
    """Run the schedules in one process, with a Prefect server and its UI on loopback, until Ctrl-C."""
    from flows import config as configuration
    from flows.credentials import check
    from flows.server_at_hand import stop_server
    from flows.workbench import open_archive

    settings = configuration.load(configuration.find(config))
    for table in settings.sources:
        check(settings, table)
    server = join_prefect(settings)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    from flows.ops.deployments import NIGHTLY, deployments
    from flows.ops.health import addresses
    from flows.ops.listening import listen
    from flows.serving import serve as serve_flows

    nights = [each for each in deployments(settings) if each.flow == NIGHTLY]
    for night in nights:
        for timed in night.schedules:
            scope = f"/{timed.parameters['scope']}" if timed.parameters else ""
            say(f"{night.name}{scope}: every night by {timed.cron!r}, {timed.timezone}")
    if not any(night.schedules for night in nights):
        say("no source has a schedule: runs are started by hand only")
    try:
        addresses(settings)
    except ConfigError as exc:  # nights must not wait for it
        complain(f"nobody is told there of a night that fails: {exc}", exc.hint)
    if scraped := listen(settings):
        say(scraped)
    say(f"serving until Ctrl-C; the UI is at {server.ui_url}")
    try:
        serve_flows(settings, open_archive(settings).id, limit=limit)
    finally:
        leave_prefect()
        if server.origin in ("started", "replaced"):  # one that was there goes on for those who use it
            stop_server(settings.state)
    return Exit.DONE
