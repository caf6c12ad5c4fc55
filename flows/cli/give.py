"""The verb that gives back: restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import ArchiveOption, ConfigOption, JsonOption, byte_bar, complain, out, print_json, say
from flows.cli.look import the_archive
from flows.cli.views import file_json
from flows.errors import Exit


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(restore)


def restore(
    snapshot: Annotated[str, typer.Argument(help="An id, a unique beginning of one, or latest.")],
    to: Annotated[Path, typer.Option(help="Folder to restore into; made where missing.")] = Path("restored"),
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    scope: Annotated[str, typer.Option(help="Only of this scope.")] = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Give a snapshot's files back, bit for bit, verified while they are written."""
    from storage.restore import Lost
    from storage.restore import restore as give_back

    store = the_archive(archive, config)
    found = store.find(snapshot, source=source, scope=scope)
    with byte_bar(quiet=json) as bar:
        task = bar.add_task("restore", total=found.manifest.size)
        results = give_back(store, found, to, on_bytes=lambda count: bar.update(task, advance=count))
    lost = [result for result in results if isinstance(result, Lost)]
    kept = [result for result in results if not isinstance(result, Lost)]
    if json:
        rows = [{**file_json(item.entry), "path": str(item.path)} for item in kept]
        losses = [{"name": item.entry.path, "problem": item.problem} for item in lost]
        print_json("restore", {"snapshot": found.id, "files": rows, "lost": losses})
    else:
        for item in kept:
            out.print(f"{item.path}  sha256 {item.entry.measured.sha256}", markup=False, soft_wrap=True)
        say(f"snapshot {found.id[:8]} of {found.key}: {len(kept)} files, each size and SHA-256 proven")
    if found.manifest.draft.quality != "verified":
        say(f"note: it is {found.manifest.draft.quality.value}; `strongroom show {found.id[:8]}` says why")
    for loss in lost:
        complain(f"{loss.entry.path}: {loss.problem}", "take it from a copy of the archive")
    if not lost:
        return Exit.DONE
    return Exit.PARTLY if kept else Exit.VERIFICATION
