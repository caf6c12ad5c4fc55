"""The verb that forgets what the policies let go and frees space: prune, a plan until `--apply`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import ArchiveOption, ConfigOption, JsonOption, complain, number, out, print_json, say
from flows.cli.opened import opened
from flows.cli.retain import (
    ApplyOption,
    ConfirmOption,
    exit_code,
    kept_whole,
    plan_json,
    print_done,
    print_scope,
    tell_kept_whole,
    verdict_json,
)
from flows.errors import ConfigError, Exit

if TYPE_CHECKING:
    from datetime import timedelta

    from storage.planning import Plan
    from storage.prune import Freed, FreePlan


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(prune)


def prune(
    apply: ApplyOption = False,
    confirm: ConfirmOption = None,
    max_duration: Annotated[str, typer.Option(help="Begin no further step after so long: 30m, 1h30m.")] = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Forget what the policies let go, and free the space of what was forgotten more than seven days ago.

    Shows the plan and the space to be won; with --apply, does both. May be killed and run again.
    """
    from flows.clock import SystemClock
    from flows.retaining import carry_out, freed_by, plan_for, policies
    from storage.prune import free, plan_free

    at_most = _duration(max_duration)
    now = datetime.now(UTC)
    with opened(archive, config) as place:
        keys = place.archive.scopes()
        whole = kept_whole(place, keys)
        made = plan_for(place.archive, keys, policies(place.settings), now=now)
        fuse = made.fuse(confirm)
        clock, sure = SystemClock().now, confirm == made.forgetting
        space, done, freed = None, None, None
        if apply and not fuse:
            done = carry_out(place.archive, place.catalog, made, clock=clock)
        # Where a clock or a chain is in doubt, nothing may go that cannot be brought back.
        if done and not made.refused:
            work = partial(free, place.archive, clock=clock, max_duration=at_most, sure=sure)
            freed = freed_by(work, place.catalog, clock=clock)
        elif not made.refused:
            space = plan_free(place.archive, now=now)
    if json:
        going = [verdict_json(s, v) for s in made.scopes for v in (*s.forgets, *s.erases)]
        shape = {"going": going, **plan_json(made, fuse, done), "not_configured": whole}
        print_json("prune", {**shape, "space": space and space_json(space), "freed": freed and freed_json(freed)})
        return _exit(made, fuse, freed, apply=apply)
    for scope in made.scopes:
        if scope.forgets or scope.erases:
            print_scope(scope, only_going=True)
    tell_kept_whole(place, whole)
    print_done(made, fuse, done, apply=apply)
    _print_space(space, freed)
    if freed and freed.waits:
        complain(f"the rest is not freed: {freed.waits}", "back up; or, where the clock is right: --confirm 0")
    return _exit(made, fuse, freed, apply=apply)


def _exit(made: Plan, fuse: str, freed: Freed | None, *, apply: bool) -> Exit:
    return Exit.PARTLY if freed and freed.waits else exit_code(made, fuse, apply=apply)


def space_json(space: FreePlan) -> dict[str, Any]:
    """What can be freed, for machines."""
    return {
        "now_packs": len(space.now_packs),
        "now_bytes": space.now_bytes,
        "later_bytes": space.later_bytes,
        "rewrites": len(space.rewrites),
    }


def freed_json(freed: Freed) -> dict[str, Any]:
    """What was freed, for machines."""
    return {
        "packs": len(freed.packs),
        "bytes": freed.bytes_freed,
        "rewritten": len(freed.rewritten),
        "later_bytes": freed.later_bytes,
        "unfinished": freed.unfinished,
        "waits": freed.waits,
    }


def _print_space(space: FreePlan | None, freed: Freed | None) -> None:
    if space is not None:
        mostly = f"; {len(space.rewrites)} packs are mostly dead and would be rewritten" if space.rewrites else ""
        out.print(
            f"to be freed now: {number(space.now_bytes)} bytes in {len(space.now_packs)} packs; "
            f"later, after the grace time: {number(space.later_bytes)} bytes{mostly}"
        )
    if freed is None:
        if space is None:
            say("no space is freed while a scope is refused")
        return
    rewritten = f"; {len(freed.rewritten)} mostly dead packs rewritten" if freed.rewritten else ""
    out.print(
        f"freed: {number(freed.bytes_freed)} bytes in {len(freed.packs)} packs{rewritten}; "
        f"later, after the grace time: {number(freed.later_bytes)} bytes"
    )
    if freed.unfinished:
        say("the time was up before all was done: the next prune goes on")


def _duration(text: str) -> timedelta | None:
    from storage.turns import parse_duration

    try:
        return parse_duration(text) if text else None
    except ValueError as exc:
        raise ConfigError(f"--max-duration {exc}") from exc
