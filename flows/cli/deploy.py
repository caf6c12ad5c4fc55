"""deploy: a Prefect server gets what the configuration says; and the doctor's question about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import ConfigOption, JsonOption, clean, complain, out, print_json, say
from flows.cli.make import join_prefect
from flows.errors import ConfigError, Exit

if TYPE_CHECKING:
    from flows.config import Settings


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(deploy)


def deploy(
    pool: Annotated[
        str, typer.Option(help="The process work pool whose workers take the runs; made where it is missing.")
    ] = "strongroom",
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Also take over what `prefect deploy` made of prefect.yaml.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make the deployments, schedules, limits and automations of the configuration on the Prefect server.

    Says what was made, changed or removed; a second time nothing is. What you paused stays paused. It touches
    nothing that it did not make. For runs on a worker: `prefect worker start --pool strongroom --limit 3`.
    """
    from flows import config as configuration
    from flows.workbench import open_archive

    settings = configuration.load(configuration.find(config))
    archive_id = open_archive(settings).id
    server = join_prefect(settings)
    from flows.ops.deploy import automate
    from flows.ops.deploy import deploy as make
    from flows.ops.deployments import IN_THE_WAY, UNCHANGED, sentence

    done = make(settings, archive_id, pool=pool, adopt=adopt, dry_run=dry_run)
    steps = [*done.steps, *automate(settings, archive_id, done.ids, dry_run=dry_run)]
    if json:
        told = [step.to_json() for step in steps]
        print_json("deploy", {"dry_run": dry_run, "pool": pool, "steps": told, "prefect": server.ui_url})
    else:
        for line in (line for step in steps if step.what != UNCHANGED for line in step.lines()):
            out.print(clean(line), markup=False, soft_wrap=True)
        out.print(f"{'would be: ' if dry_run else ''}{sentence(steps)}", markup=False, soft_wrap=True)
    taken = [step.thing.name for step in steps if step.what == IN_THE_WAY]
    if taken:
        hint = f"made by hand? --adopt takes it over; another's? `prefect deployment delete {taken[0]}`"
        complain(f"{', '.join(taken)}: made by somebody else, left as it is", hint)
        return Exit.PARTLY
    if not json:
        say(f"runs are taken by: prefect worker start --pool {pool} --limit 3")
    return Exit.DONE


def by_hand(settings: Settings) -> str | None:
    """What is wrong with a prefect.yaml beside the configuration; "" for nothing, None where there is none."""
    from flows.ops.prefectyaml import FILE, check_prefect_yaml

    if not (settings.folder / FILE).exists():
        return None
    try:
        check_prefect_yaml(settings.folder / FILE)
    except ConfigError as exc:
        return f"{exc}; {exc.hint}"
    return ""


def agreement(settings: Settings, archive_id: str) -> tuple[str, str] | None:
    """Whether a server's deployments are as configured: a sentence and a warning; None where none answers."""
    from flows.server_at_hand import adopt, answering_server

    server = answering_server(settings.state)
    if server is None:
        return None
    try:
        adopt(server, settings.state)
        from flows.ops import deploy

        return deploy.agreement(settings, archive_id)
    except Exception as exc:  # nights may run without: the doctor goes on
        return server.api_url, f"cannot be asked: {exc}"
