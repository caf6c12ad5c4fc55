"""`restore --to-source`: a snapshot back into the system of a configured source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.browse import ids_of
from flows.cli.console import byte_bar, complain, number, out, print_json, say, shown
from flows.cli.look import the_archive
from flows.errors import ConfigError, Exit
from storage.errors import StorageError

if TYPE_CHECKING:
    from flows.giveback import Given, Twice
    from flows.sources.base import Outlook
    from storage.archive import Archive
    from storage.snapshot import Snapshot

NAMED = 20  # sentences of a kind on a terminal


def restore_to_source(
    name: str,
    snapshot: str,
    *,
    source: str,
    scope: str,
    only: Sequence[str],
    dry_run: bool,
    archive: str | None,
    config: Path | None,
    json: bool,
) -> int:
    """Give a snapshot back into the source `name`, or say what that would do."""
    from flows import config as configuration
    from flows.clock import SystemClock
    from flows.credentials import connection
    from flows.giveback import Held, give_back, look, twice
    from flows.ledger import made, open_ledger, place

    settings = configuration.load(configuration.find(config))
    table = settings.source(name)
    if table.dialect.give_back is None:
        raise ConfigError(
            f"source {name!r}: {table.system} takes no snapshot back",
            hint="without --to-source, `strongroom restore` writes the files to a folder",
        )
    store = the_archive(archive, config)
    found = store.find(snapshot, source=source, scope=scope)
    if found.manifest.draft.system != table.system:
        raise ConfigError(
            f"snapshot {found.id[:8]} is of {found.manifest.draft.system}, source {name!r} is {table.system}",
            hint="name a snapshot, or with --source whose newest one is meant",
        )
    folder = settings.state / "restore"
    hint = f"strongroom ls -R {found.id[:8]}"
    content = Held(store, found, place(folder, found.id, table.url).with_suffix(".parts"))
    clock, pace = SystemClock(), table.pace()
    for start in only:
        if not any(path.startswith(start) for path in content.names()):
            raise ConfigError(f"--only {shown(start)}: nothing in snapshot {found.id[:8]} begins so", hint=hint)
    receiver = table.dialect.give_back(connection(settings, table))
    try:
        outlook = look(receiver, content, only, clock, pace)
        if only and not (outlook.units or outlook.lacking or outlook.there.get("documents")):
            text = f"--only {shown(', '.join(only))}: no document of snapshot {found.id[:8]} begins so"
            raise ConfigError(text, hint=f"name its folder, as it stands in `{hint}`")
        before = {one: units for one, units in made(folder, table.url).items() if _may_meet(store, found, one)}
        doubled = twice(outlook, found.id, before, ids_of(table.system))
        if not json:
            _tell_outlook(outlook, doubled, found, name, dry_run=dry_run)
        if dry_run:
            if json:
                print_json("restore", _json(found, name, outlook, doubled, None))
            return Exit.DONE
        with open_ledger(folder, found.id, table.url) as ledger, byte_bar(quiet=json) as bar:
            many = len(outlook.units)
            task = bar.add_task("restore", total=outlook.makes["bytes"])
            given = give_back(
                receiver,
                content,
                outlook,
                ledger,
                clock=clock,
                pace=pace,
                on_bytes=lambda count: bar.update(task, advance=count),
                on_unit=lambda verb, place: bar.update(task, description=f"{verb} {place} of {many}"),
            )
    finally:
        receiver.close()
    if json:
        print_json("restore", _json(found, name, outlook, doubled, given))
    else:
        _tell_given(outlook, given)
    return given.exit(outlook)


def _may_meet(store: Archive, found: Snapshot, other: str) -> bool:
    """Whether another snapshot has ids of the same server: one of the same source, or of which nothing is left."""
    try:
        return store.find(other).key.source == found.key.source
    except StorageError:
        return True


def _tell_outlook(outlook: Outlook, doubled: Twice, found: Snapshot, name: str, *, dry_run: bool) -> None:
    would = "would be made" if dry_run else "to be made"
    out.print(f"snapshot {found.id[:8]} of {found.key} into {name}", markup=False, soft_wrap=True)
    out.print(f"{would}: {_counts(outlook.makes)}", markup=False, soft_wrap=True)
    out.print(f"there already, left as it is: {_counts(outlook.there)}", markup=False, soft_wrap=True)
    for heading, sentences in (("cannot come back", outlook.lacking), ("stays as it is there", outlook.notes)):
        for sentence in sentences:
            out.print(f"{heading}: {shown(sentence)}", markup=False, soft_wrap=True)
    if doubled.many:
        others = ", ".join(one[:8] for one in doubled.snapshots)
        out.print(
            f"twice: {number(doubled.many)} documents here were made from another snapshot ({others}), and "
            "will be there twice where nobody removed them",
            markup=False,
            soft_wrap=True,
        )
    for sentence in outlook.never:
        out.print(f"never comes back: {sentence}", markup=False, soft_wrap=True)
    if dry_run:
        say("nothing was changed: without --dry-run this is done")


def _tell_given(outlook: Outlook, given: Given) -> None:
    many = len(outlook.units)
    say(f"{number(given.equal)} of {number(many)} documents are there, compared with the snapshot")

    for heading, sentences in (("not given", given.problems), ("differs", given.differences)):
        for sentence in sentences[:NAMED]:
            complain(f"{heading}: {shown(sentence)}")
        if len(sentences) > NAMED:
            complain(f"{heading}: {number(len(sentences) - NAMED)} more", "--json names all")
    if given.problems:
        say("hint: mend what is named and run the same command again: it goes on, and doubles nothing")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number(count)} {name}" for name, count in counts.items() if count) or "nothing"


def _json(found: Snapshot, name: str, outlook: Outlook, doubled: Twice, given: Given | None) -> dict[str, Any]:
    plan = {
        "units": len(outlook.units),
        "makes": dict(outlook.makes),
        "there": dict(outlook.there),
        "twice": {"documents": doubled.many, "snapshots": list(doubled.snapshots)},
        "lacking": list(outlook.lacking),
        "notes": list(outlook.notes),
        "never": list(outlook.never),
    }
    shape = {"snapshot": found.id, "to_source": name, "dry_run": given is None, "plan": plan}
    if given is None:
        return shape
    return {**shape, "equal": given.equal, "problems": given.problems, "differences": given.differences}
