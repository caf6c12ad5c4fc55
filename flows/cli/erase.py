"""The verb that makes content go for good: erase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.asking import asked, somebody
from flows.cli.console import ArchiveOption, ConfigOption, JsonOption, complain, number, out, print_json, say
from flows.cli.decide import ReasonOption, find_any
from flows.cli.opened import Opened, opened
from flows.errors import ConfigError, Exit
from storage.snapshot import ScopeKey

if TYPE_CHECKING:
    from storage.erase import ErasePlan


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(erase)


def erase(
    target: Annotated[
        str, typer.Argument(metavar="SNAPSHOT|SOURCE/SCOPE", help="One snapshot, or all that a scope ever had.")
    ],
    reason: ReasonOption,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="NAME", help="The name, where no terminal is there to type it."),
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make content go for good, at once, whatever a policy says; nothing brings it back. Holds stop it.

    What other snapshots need, too, stays, and is told. Copies of the archive are not reached.
    """
    from flows.retaining import follow, who
    from storage.erase import erase as wipe

    if not reason.strip():
        raise ConfigError("erase --reason: is empty", hint="say why; the tombstone tells it")
    with opened(archive, config) as place:
        name, plan = _planned(place, target)
        plan = replace(plan, stays=(*plan.stays, *_spooled(place)))
        if not json:
            _tell(name, plan)
        if plan.held:
            raise ConfigError(
                f"{name}: nothing is erased: {'; '.join(plan.held)}", hint="`strongroom release` what may go"
            )
        if not _confirmed(name, confirm, json=json):
            if json:
                print_json("erase", {"applied": False, **_json(name, plan)})
            complain(f"{name}: nothing was erased: the name was not confirmed", f"--confirm {name}")
            return Exit.USAGE
        done = wipe(place.archive, plan, reason=reason.strip(), by=who(), clock=lambda: datetime.now(UTC))
        if place.catalog is not None:
            follow(place.archive, place.catalog, erased=True)
    if json:
        gone = {"erased": [tomb.id for tomb in done.tombstones], "freed": done.bytes_freed}
        print_json("erase", {"applied": True, **_json(name, plan), **gone})
    else:
        out.print(f"{len(done.tombstones)} erased, {number(done.bytes_freed)} bytes freed")
        say("hint: copies of the archive still hold it; `rsync --delete`, or erase there, too")
    return Exit.DONE


def _planned(place: Opened, target: str) -> tuple[str, ErasePlan]:
    """What is to be typed, and the plan."""
    from storage.erase import plan_erase

    now = datetime.now(UTC)
    source, slash, scope = target.partition("/")
    if not slash:
        found = find_any(place.archive, target)
        return found.id[:8], plan_erase(place.archive, snapshots=[found], now=now)
    key = ScopeKey(source, scope)
    if key not in place.archive.scopes():
        raise ConfigError(f"{target}: no snapshot of it was ever kept")
    return str(key), plan_erase(place.archive, key=key, now=now)


def _spooled(place: Opened) -> Iterator[str]:
    """Downloads of this host that are not in the archive yet, of whichever scope."""
    spool = place.settings.spool if place.settings else None
    if spool and spool.is_dir() and (count := len(list(spool.iterdir()))):
        yield f"downloads of {count} exports wait in {spool}: a backup clears its own, and old ones in a week"


def _confirmed(name: str, confirm: str | None, *, json: bool) -> bool:
    if confirm is None and somebody() and not json:
        confirm = asked(
            f"It cannot be brought back. Type {name} to erase it", instead=f"`--confirm {name}` asks nothing"
        )
    return confirm == name


def _json(name: str, plan: ErasePlan) -> dict[str, object]:
    return {
        "name": name,
        "snapshots": list(plan.names),
        "bytes_freed": plan.bytes_freed,
        "stays": list(plan.stays),
    }


def _tell(name: str, plan: ErasePlan) -> None:
    out.print(f"{name}: {len(plan.names)} to be erased, about {number(plan.bytes_freed)} bytes", markup=False)
    for one in plan.names:
        out.print(f"  {one}", markup=False, soft_wrap=True)
    for one in plan.stays:
        out.print(f"  stays: {one}", markup=False, soft_wrap=True)
