"""Verbs about the archive as a whole: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import ArchiveOption, ConfigOption, JsonOption, byte_bar, number, out, print_json, say
from flows.cli.key import FileOption, secret_for
from flows.cli.look import the_archive
from flows.errors import ConfigError, Exit

app = typer.Typer(name="archive", help="The archive as a whole.")


def register(parent: typer.Typer) -> None:
    """Add these verbs to the app."""
    parent.add_typer(app, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The archive as a whole."""


@app.command()
def convert(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the encrypted archive is to be.")],
    file: FileOption = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Copy a plain archive into an encrypted one, proven file by file: the same snapshots under the same ids.

    May be killed and run again. The plain archive stays: delete it when the new one is in use.
    """
    from flows.clock import SystemClock
    from flows.making import HOLDER
    from storage.backend import open_url
    from storage.convert import convert as copy_encrypted

    source = the_archive(archive, config)
    total = sum(source.backend.size(name) or 0 for name in source.backend.list("packs/"))
    secret = secret_for(file, str(to))
    try:
        with byte_bar(quiet=json) as bar:
            task = bar.add_task("encrypting", total=total)
            done = copy_encrypted(
                source,
                open_url(str(to)),
                secret=secret,
                holder=HOLDER,
                clock=SystemClock().now,
                on_bytes=lambda size: bar.update(task, advance=size),
            )
    except ValueError as exc:
        raise ConfigError(f"archive convert: {exc}") from exc
    if json:
        facts = {
            "archive": done.archive.backend.url,
            "files": done.files,
            "copied": done.copied,
            "bytes": done.bytes,
        }
        print_json("archive convert", facts)
        return Exit.DONE
    said = f"{number(done.files)} files, each proven; {number(done.copied)} copied now"
    out.print(f"{done.archive.backend.url}: {said}", markup=False, soft_wrap=True)
    key = f'{{ file = "{file}" }}' if file is not None else "{ … }, where the passphrase is"
    if done.copied:
        say("next: while no backup runs, this once more, for what came meanwhile")
    say(f'then: in strongroom.toml, [archive] url = "{to}" and key = {key}; `strongroom scrub --all`')
    say("then: without its key nobody can read it: `strongroom key export --paper`, and prove it: `key drill`")
    say("last: delete the plain archive, and every copy of it: nothing else keeps its content from readers")
    return Exit.DONE
