"""Verbs of retention: forget, a plan until `--apply`, and undelete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import rules
from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    complain,
    day,
    number,
    out,
    print_json,
    print_table,
    say,
)
from flows.cli.decide import ReasonOption, parse_until
from flows.cli.opened import Opened, opened
from flows.errors import ConfigError, Exit
from storage.policy import Policy
from storage.snapshot import ScopeKey, to_text

if TYPE_CHECKING:
    from flows.retaining import Carried, PolicyOf
    from storage.archive import Archive
    from storage.planning import Plan, ScopePlan
    from storage.retention import Verdict

ApplyOption = Annotated[bool, typer.Option("--apply", help="Do it; without, the plan is shown.")]
ConfirmOption = Annotated[
    int | None,
    typer.Option(
        "--confirm", metavar="N", help="That so many go at once is meant: the number that the plan says."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(forget)
    app.command()(undelete)


def forget(
    scopes: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE[/SCOPE]]…", help="Sources or scopes; none: all.")
    ] = None,
    apply: ApplyOption = False,
    confirm: ConfirmOption = None,
    explain: Annotated[
        str, typer.Option(metavar="SNAPSHOT", help="Everything about one: why it stays or goes, and when.")
    ] = "",
    at: Annotated[
        str, typer.Option(metavar="DATE", help="What will be kept then, if every night until then goes well.")
    ] = "",
    simulate: Annotated[
        str, typer.Option(metavar="CRON", help="What such a schedule leads to; needs no archive.")
    ] = "",
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long to simulate.")] = "2y",
    picture: Annotated[
        Path | None, typer.Option(help="With --simulate: write the calendar here (.png, .svg, .pdf).")
    ] = None,
    keep_last: rules.Last = None,
    keep_hourly: rules.Hourly = None,
    keep_daily: rules.Daily = None,
    keep_weekly: rules.Weekly = None,
    keep_monthly: rules.Monthly = None,
    keep_yearly: rules.Yearly = None,
    keep_within: rules.Within = None,
    keep_within_hourly: rules.WithinHourly = None,
    keep_within_daily: rules.WithinDaily = None,
    keep_within_weekly: rules.WithinWeekly = None,
    keep_within_monthly: rules.WithinMonthly = None,
    keep_within_yearly: rules.WithinYearly = None,
    keep_tag: rules.Tags = None,
    timezone: rules.Zone = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Show which snapshots the policies keep and which they let go, and why; with --apply, forget those.

    What is forgotten is listed by `snapshots --gone`, can be brought back by `undelete` for seven days, and is
    freed by `prune` after them.
    """
    given: rules.Given = {
        "keep_last": keep_last,
        "keep_hourly": keep_hourly,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_within": keep_within,
        "keep_within_hourly": keep_within_hourly,
        "keep_within_daily": keep_within_daily,
        "keep_within_weekly": keep_within_weekly,
        "keep_within_monthly": keep_within_monthly,
        "keep_within_yearly": keep_within_yearly,
        "keep_tags": keep_tag or None,
        "timezone": timezone,
    }
    modes = {"--apply": apply, "--explain": explain, "--at": at, "--simulate": simulate}
    asked = [name for name, value in modes.items() if value]
    if len(asked) > 1:
        raise ConfigError(f"forget: {' and '.join(asked)} ask for different things", hint="leave one out")
    if picture is not None and not simulate:
        raise ConfigError("forget --picture: draws the calendar of --simulate", hint="add --simulate CRON")
    if simulate:
        from flows.cli.calendar import simulated

        base = simulated_policy(scopes or [], config, given)
        return simulated(simulate, span, base, picture=picture, json=json)
    when = parse_until("--at", at) if at else None
    if apply and rules.is_given(given) and confirm is None:
        raise ConfigError(
            "forget --apply with rules of its own: the number to be forgotten is not confirmed",
            hint="look at the plan without --apply, then add --confirm N",
        )
    return _forget(
        scopes or [], given, archive, config, apply=apply, confirm=confirm, explain=explain, when=when, json=json
    )


def simulated_policy(scopes: Sequence[str], config: Path | None, given: rules.Given) -> Policy:
    """The policy to simulate: the given rules, else those of the scope that is named, else the default one."""
    from flows import config as configuration

    path = configuration.find(config)
    base = Policy()
    if path.exists() or config is not None or not rules.is_given(given):
        settings = configuration.load(path)
        source, _, scope = (scopes[0] if scopes else "").partition("/")
        base = settings.policy(source, scope) if source else settings.file.policy.policy()
    return rules.replaced(base, given)


def _forget(
    names: Sequence[str],
    given: rules.Given,
    archive: str | None,
    config: Path | None,
    *,
    apply: bool,
    confirm: int | None,
    explain: str,
    when: datetime | None,
    json: bool,
) -> int:
    from flows.retaining import carry_out, plan_for, policies
    from flows.schedule import nights_of

    now = datetime.now(UTC)
    with opened(archive, config) as place:
        configured = policies(place.settings)
        policy_of: PolicyOf = lambda key: rules.replaced(configured(key), given)  # noqa: E731
        nights = nights_of(place.settings, policy_of, now=now)
        if explain:
            from flows.cli.explain import explained

            return explained(place, explain, policy_of, nights, now=now, given=given, json=json)
        keys = chosen(place.archive, names)
        whole = kept_whole(place, keys, given)
        made = plan_for(place.archive, keys, policy_of, now=now, nights_of=nights)
        if when is not None:
            from flows.cli.calendar import at

            tell_kept_whole(place, whole, json=json)
            return at(made, when, nights, now=now, json=json)
        if apply and rules.is_given(given) and confirm != made.forgetting:
            raise ConfigError(f"--confirm {confirm}: {made.forgetting} would be forgotten; look at the plan again")
        fuse = made.fuse(confirm)
        done = None
        if apply and not fuse:
            done = carry_out(place.archive, place.catalog, made, clock=lambda: datetime.now(UTC))
        assumed = _assumed(place, keys)
    if json:
        told: dict[str, Any] = {"snapshots": [verdict_json(s, v) for s in made.scopes for v in s.verdicts]}
        told |= {**plan_json(made, fuse, done), "nights_assumed": assumed, "not_configured": whole}
        print_json("forget", told)
    else:
        there = [scope for scope in made.scopes if scope.verdicts or scope.refused]
        for scope in there:
            print_scope(scope)
        if not there:
            out.print("no snapshots")
        if assumed and any(night for scope in made.scopes for night in scope.goes_on.values()):
            names = ", ".join(assumed)
            say(f"goes on: a night each day at 03:30 is assumed, no schedule of {names} is configured")
        tell_kept_whole(place, whole)
        print_done(made, fuse, done, apply=apply, own=rules.is_given(given))
    return exit_code(made, fuse, apply=apply)


def chosen(store: Archive, names: Sequence[str]) -> list[ScopeKey]:
    """The scopes of the archive that are meant; none: all. Raises ConfigError for a name of none."""
    from flows.retaining import never_kept

    known = store.scopes()
    found: list[ScopeKey] = []
    for name in names:
        source, _, scope = name.partition("/")
        mine = [key for key in known if key.source == source and scope in ("", key.scope)]
        if not mine:
            raise ConfigError(f"{name}: {never_kept(map(str, known))}")
        found += [key for key in mine if key not in found]
    return found if names else known


def _assumed(place: Opened, keys: Sequence[ScopeKey]) -> list[str]:
    from flows.schedule import scheduled

    return [s for s in dict.fromkeys(key.source for key in keys) if not scheduled(place.settings, s)]


def kept_whole(place: Opened, keys: Sequence[ScopeKey], given: rules.Given | None = None) -> list[str]:
    """The sources of which everything is kept because the configuration does not have them."""
    from flows.retaining import not_configured

    return [] if given and rules.is_given(given) else not_configured(place.settings, keys)


def tell_kept_whole(place: Opened, sources: Sequence[str], *, json: bool = False) -> None:
    """Say of which sources everything is kept, and how some of it is let go all the same."""
    if json or place.settings is None:
        return
    for source in sources:
        say(
            f"{place.settings.policy(source, '').unset}; hint: its [[source]], put back, gives it a policy; "
            f"`strongroom forget {source} --keep-last 7` tries rules for once"
        )


def exit_code(made: Plan, fuse: str, *, apply: bool) -> Exit:
    """3: what the policies say was not, or not wholly, planned or done. Nothing is wrong with what is kept."""
    return Exit.PARTLY if made.refused or made.waits or (apply and fuse) else Exit.DONE


def verdict_word(verdict: Verdict) -> str:
    """keep, forget, or erase."""
    return "keep" if verdict.keep else "erase" if verdict.must_go else "forget"


def verdict_json(scope: ScopePlan, verdict: Verdict) -> dict[str, Any]:
    """The verdict on one snapshot, for machines."""
    one = verdict.candidate
    goes_on = scope.goes_on.get(one.id)
    return {
        "id": one.id,
        "source": scope.key.source,
        "scope": scope.key.scope,
        "number": one.number,
        "taken_at": to_text(one.taken_at),
        "verdict": verdict_word(verdict),
        "reasons": list(verdict.reasons),
        "missed": verdict.missed,
        "goes_on": goes_on and to_text(goes_on),
    }


def plan_json(made: Plan, fuse: str, done: Carried | None) -> dict[str, Any]:
    """What of a plan is beside its verdicts, for machines."""
    return {
        "forgetting": made.forgetting,
        "refused": made.refused,
        "waits": made.waits,
        "fuse": fuse,
        "applied": done is not None,
        "forgotten": [tomb.id for tomb in done.forgotten] if done else [],
        "erased": [tomb.id for tomb in done.erased] if done else [],
    }


def goes_on_text(scope: ScopePlan, verdict: Verdict) -> str:
    """The day on which one that is kept goes, in the policy's zone."""
    if not verdict.keep:
        return "now"
    if verdict.must_go:
        return "waits"
    night = scope.goes_on.get(verdict.candidate.id)
    return f"{night.astimezone(scope.policy.zone):%Y-%m-%d}" if night else "stays"


def print_scope(scope: ScopePlan, *, only_going: bool = False) -> None:
    """The plan of a scope: one line, and a table."""
    going = len(scope.forgets) + len(scope.erases)
    total = len(scope.verdicts)
    out.print(
        f"{scope.key}: {total} snapshots, {total - going} stay, {going} go; {rules.told(scope.policy)}",
        markup=False,
        soft_wrap=True,
    )
    shown = [v for v in scope.verdicts if not (only_going and v.keep)]
    if shown:
        print_table(
            "",
            ("id", "taken", "verdict", "reasons", "goes on"),
            [
                (
                    v.candidate.id[:8],
                    day(v.candidate.taken_at),
                    verdict_word(v),
                    "; ".join([*v.reasons, *([v.missed] if v.missed else [])]),
                    goes_on_text(scope, v),
                )
                for v in shown
            ],
        )


def print_done(made: Plan, fuse: str, done: Carried | None, *, apply: bool, own: bool = False) -> None:
    """What is left to say of a plan. `own`: by rules of the command line, which always have to be confirmed."""
    for scope in made.scopes:
        if scope.refused:
            complain(f"{scope.key}: {scope.refused}", scope.hint)
        if scope.waits:
            one = scope.waiting[-1].candidate.id[:8]
            complain(
                f"{scope.key}: {scope.waits}", f"`strongroom erase {one} --reason …`, or `strongroom hold` it"
            )
    if done is not None:
        erased = f", {len(done.erased)} erased ({number(done.bytes_freed)} bytes)" if done.erased else ""
        out.print(f"{len(done.forgotten)} forgotten{erased}")
    elif fuse and apply:
        complain(f"nothing was done: {fuse}", f"if that is meant: --confirm {made.forgetting}")
    elif made.forgetting:
        confirm = f" --confirm {made.forgetting}" if fuse or own else ""
        say(f"{f'{fuse}; ' if fuse else ''}nothing was changed: `--apply{confirm}` does this")
    else:
        say("nothing is to be forgotten")


def undelete(
    snapshot: Annotated[str, typer.Argument(help="The id of a forgotten one, or a unique beginning of it.")],
    reason: ReasonOption,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Bring a forgotten snapshot back within seven days; it is held from then on, until you release it."""
    from flows.retaining import follow, who
    from storage.decisions import held
    from storage.prune import undelete as bring_back

    if not reason.strip():
        raise ConfigError("undelete --reason: is empty", hint="say why; whoever looks in years will ask")
    with opened(archive, config) as place:
        found = bring_back(
            place.archive, snapshot, by=who(), reason=reason.strip(), clock=lambda: datetime.now(UTC)
        )
        if place.catalog is not None:
            follow(place.archive, place.catalog)
        kept = held(place.archive.decisions(found.key, damaged=[]), datetime.now(UTC)).get(found.id, "")
    if json:
        shape = {
            "id": found.id,
            "source": found.key.source,
            "scope": found.key.scope,
            "number": found.number,
            "held": kept,
        }
        print_json("undelete", {"snapshot": shape})
        return Exit.DONE
    state = "is back, and held" if kept else "is there, and was not forgotten"
    out.print(f"{found.key} number {found.number}, {found.id[:8]}: {state}", markup=False)
    if kept:
        say(f"hint: `strongroom release {found.id[:8]}` lets its policy decide again")
    return Exit.DONE
