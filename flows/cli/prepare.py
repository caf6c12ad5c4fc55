"""Verbs that prepare: init, doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import deploy
from flows.cli.asking import confirmed, somebody
from flows.cli.console import ConfigOption, JsonOption, clean, complain, out, print_json, say
from flows.errors import ConfigError, Exit, SourceError, verdict
from storage.errors import StorageError

if TYPE_CHECKING:
    from flows.config import Settings

TEMPLATE = """\
# Strongroom's configuration. Secrets are named here, never written here.

[archive]
url = "archive"                      # a folder beside this file, or an absolute path
key = { file = "strongroom.key" }    # opens it; or { env = "…" } { command = "…" } { prefect_secret = "…" }

[state]
folder = "state"                     # catalog, spool, Prefect's files: a local disk, one host

[policy]                             # how many snapshots of each scope to keep; none set: keep all
timezone = "UTC"                     # days, weeks and months are cut in this zone
# keep_last = 3
# keep_daily = 14
# keep_weekly = 8
# keep_monthly = 24
# keep_yearly = 10

[notify]                             # who is told when a night fails; `strongroom tell --test` tries it
# to = [{ env = "NOTIFY_URL" }]      # addresses as Apprise knows them: mailto:// slack:// ntfy:// …

# One block per account. Take the # away and put your own in.
#
# [[source]]
# name = "lab"
# system = "rspace"
# url = "https://eln.example.org"
# api_key = { env = "RSPACE_API_KEY" }        # or { file = "…" } { command = "…" } { prefect_secret = "…" }
# schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }
#
# [[source.scope]]
# kind = "group"                              # user, group, selection
# id = 1234                                   # none: the key's own
# format = "xml"                              # or html
#
# [[source.scope]]
# kind = "user"                               # or group
# every = true                                # everybody whom the key may export, newcomers too
# except = [7, 9]                             # but not these ids
#
# [[source]]
# name = "office"
# system = "mayan"                            # Mayan EDMS
# url = "https://dms.example.org"
# token = { env = "MAYAN_TOKEN" }             # or username and password
#
# [[source.scope]]
# kind = "all"                                # or type, cabinet, tag (with id = …), search, ids
#
# [[source]]
# name = "admissions"
# system = "webadmit"
# url = "https://api.webadmit.org"
# api_key = { env = "WEBADMIT_API_KEY" }
#
# [[source.scope]]
# export = "Nightly full"                     # by its name in WebAdMIT; or pdf = "…", a PDF Manager template
# organization = "School of Nursing"          # what tells the key's identities apart
#
# [[source]]
# name = "forge"
# system = "gitlab"
# url = "https://gitlab.example.org"
# token = { env = "GITLAB_TOKEN" }            # scope api, of a maintainer
#
# [[source.scope]]
# project = "group/project"                   # or every = "project"
"""
KEY = TEMPLATE.splitlines()[4]
PLAIN = """\
# not encrypted: whoever can read its files can read what is in them; `strongroom archive convert` encrypts it"""


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(init)
    app.command()(doctor)


def init(
    config: ConfigOption = None,
    no_encryption: Annotated[
        bool,
        typer.Option(
            "--no-encryption", help="Everybody who can read the archive's files can read what is in them."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    json: JsonOption = False,
) -> int:
    """Write a commented strongroom.toml, make a key, and make the archive beside it, encrypted with that key.

    What is there already stays.
    """
    from flows import config as configuration
    from flows.making import make_archive
    from flows.workbench import refuse_second_archive

    path = configuration.find(config)
    if not yes and not path.exists() and not somebody():
        raise ConfigError(f"{path}: is not there, and there is no terminal to ask on", hint="--yes asks nothing")
    if not yes and not path.exists() and not confirmed(f"Write {path} and an archive beside it?", default=True):
        return Exit.INTERRUPTED
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.replace(KEY, PLAIN) if no_encryption else TEMPLATE)
        wrote = True
    except FileExistsError:
        wrote = False
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    settings = configuration.load(path)
    refuse_second_archive(settings)
    made = make_archive(settings, plain=no_encryption, now=datetime.now(UTC))
    archive = made.archive
    if json:
        facts = {
            "config": str(path),
            "wrote_config": wrote,
            "archive": archive.backend.url,
            "archive_id": archive.id,
            "encrypted": archive.encrypted,
            "key_file": None if made.key_file is None else str(made.key_file),
        }
        print_json("init", facts)
        return Exit.DONE
    said = f"wrote {path}" if wrote else f"{path} is there already and stays as it is"
    out.print(said, markup=False, soft_wrap=True)
    kind = (
        "encrypted" if archive.encrypted else "not encrypted: whoever can read its files can read what is in them"
    )
    out.print(f"archive {archive.id[:8]} in {archive.backend.url}, {kind}", markup=False, soft_wrap=True)
    if made.key_file is not None:
        out.print(
            f"its key is in {made.key_file}; this file is in no backup of yours", markup=False, soft_wrap=True
        )
        say("warning: without the key nobody can ever read this archive")
        say("hint: `strongroom key export --paper` prints a copy: keep it where fire and thieves do not come")
    say("next: add a [[source]] to the configuration, then `strongroom doctor`, then `strongroom run`")
    return Exit.DONE


@dataclass(frozen=True, slots=True)
class Finding:
    """One question of the doctor's."""

    what: str
    ok: bool
    detail: str
    exit: Exit = Exit.UNEXPECTED  # where it is not ok
    warning: str = ""  # where it is, and yet something should be done


def doctor(config: ConfigOption = None, json: JsonOption = False) -> int:
    """Check everything that a night needs: configuration, archive, catalog, disk, credentials, clocks.

    And what runs the nights and tells of them: schedules, notify, metrics, the Prefect server, systemd's units.
    """
    findings = list(_examine(config))
    if json:
        rows = [{"what": f.what, "ok": f.ok, "detail": f.detail, "warning": f.warning} for f in findings]
        print_json("doctor", {"findings": rows})
    else:
        for finding in findings:
            mark = "[yellow]warn[/]" if finding.warning else "[green]ok  [/]" if finding.ok else "[red]FAIL[/]"
            detail = f"{finding.detail}; {finding.warning}" if finding.warning else finding.detail
            out.print(f"{mark} {finding.what}: ", end="")
            out.print(clean(detail), markup=False, soft_wrap=True)
    bad = [finding for finding in findings if not finding.ok]
    if bad:
        complain(f"{len(bad)} of {len(findings)} checks failed")
    return bad[0].exit if bad else Exit.DONE


def _examine(config: Path | None) -> Iterator[Finding]:
    from flows import config as configuration
    from flows import health
    from flows.workbench import backend_of, open_archive

    path = configuration.find(config)
    try:
        settings = configuration.load(path)
    except ConfigError as exc:
        yield Finding("configuration", False, str(exc), Exit.USAGE)
        return
    yield Finding("configuration", True, f"{path}, {len(settings.sources)} sources")
    try:
        archive = open_archive(settings)
    except StorageError as exc:
        yield Finding("archive", False, f"{exc}; {exc.hint}", verdict(exc)[1])
        return
    yield _ask("archive", partial(health.archive, archive))
    detail, warning = health.keys(archive, backend_of(settings), settings.sources)
    yield Finding("keys", True, detail, warning="; ".join(filter(None, [warning, health.key_file(settings)])))
    yield _ask("catalog", partial(health.catalog, settings, archive))
    yield _ask("disk", partial(health.disk, settings))
    for source in settings.sources:
        yield _ask(f"source {source.name}", partial(health.source, settings, source))
    yield from _examine_operations(settings, archive.id)


def _examine_operations(settings: Settings, archive_id: str) -> Iterator[Finding]:
    """What runs the nights, and who is told of them."""
    from flows.ops import health

    yield _told("schedules", partial(health.schedules, settings))
    yield _told("notify", partial(health.addresses, settings))
    if settings.file.metrics.file or settings.file.metrics.listen:
        yield _told("metrics", partial(health.metrics, settings))
    yield _told("prefect", health.prefect)
    if (wrong := deploy.by_hand(settings)) is not None:
        yield Finding("prefect.yaml", True, "of Prefect's own `prefect deploy`", warning=wrong)
    if (found := deploy.agreement(settings, archive_id)) is not None:
        yield Finding("deployments", True, found[0], warning=found[1])
    if health.is_systemd():
        yield _told("units", health.installed)
        yield _told("clock", health.clock)


def _told(what: str, question: Callable[[], tuple[str, str]]) -> Finding:
    """A question whose answer may bring a warning."""
    try:
        detail, warning = question()
    except ConfigError as exc:
        return Finding(what, False, f"{exc}; {exc.hint}" if exc.hint else str(exc), verdict(exc)[1])
    return Finding(what, True, detail, warning=warning)


def _ask(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, question())
    except (ConfigError, SourceError, StorageError) as exc:
        return Finding(what, False, f"{exc}; {exc.hint}" if exc.hint else str(exc), verdict(exc)[1])
