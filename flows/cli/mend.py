"""The verb that mends what scrub found: repair."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flows.cli.console import ArchiveOption, ConfigOption, JsonOption, complain, err, number, out, print_json, say
from flows.cli.look import place_and_key
from flows.cli.views import hit_json
from flows.clock import new_id
from flows.errors import ConfigError, Exit
from storage.archive import Archive
from storage.backend import open_url
from storage.losses import Hit
from storage.repair import Mend, Plan
from storage.snapshot import ScopeKey, parse_name

_NAMED = 20  # files of a snapshot, and members of a file, that are named on a terminal
_COPY_HINT = "a copy of the archive may still have it: `strongroom repair --from FOLDER`"

_AS_FAR = (
    "hint: packs that it still names are cleared at once of what nobody else needs; others that nothing names go "
    "by `strongroom prune --apply`, 7 days after it first meets them; bytes in a pack that others need may stay "
    "until that pack goes"
)


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(repair)


def repair(
    copy: Annotated[
        str | None, typer.Option("--from", help="A copy of this archive, to take from what is damaged here.")
    ] = None,
    number_lost: Annotated[
        str | None,
        typer.Option(
            "--give-up",
            metavar="SOURCE/SCOPE/NUMBER",
            help="Give up a snapshot that is damaged or missing for good, so that space is freed or erased again.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why it is given up; its tombstone says so.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, the plan is shown.")] = False,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Mend what is damaged or missing as far as it can be proven, and name what is lost."""
    from storage.putback import open_with_copy
    from storage.repair import Repaired, plan_repair
    from storage.repair import repair as mend
    from storage.scrub import scrub

    if number_lost is not None:
        if copy is not None:
            raise ConfigError("--give-up and --from: first the copy, and only what it lacks is given up")
        backend, secret = place_and_key(archive, config)
        store, _ = open_with_copy(backend, None, secret)
        return _give_up(store, number_lost, reason, apply=apply, json=json)
    backend, secret = place_and_key(archive, config)
    twin = None if copy is None else Archive.open(open_url(copy), secret)
    store, mark = open_with_copy(backend, twin, secret)
    with err.status("reading the archive"):
        plan = plan_repair(store, scrub(store).findings, copy=twin, mark=mark)
        done = Repaired((), ())
        if apply:
            now = datetime.now(UTC)
            done = mend(store, plan, copy=twin, clock=lambda: datetime.now(UTC), record_id=new_id(now))
    if json:
        written = {"packs_written": list(done.packs_written), "evidence": list(done.evidence)}
        taken = [{"file": f.name, "problem": f.problem} for f in done.taken]
        print_json("repair", {"applied": apply and bool(plan), **_plan_json(plan), **written, "taken": taken})
    else:
        _tell(plan, done=apply)
        for finding in done.taken:
            complain(f"{finding.name}: {finding.problem}")
    if not apply and (plan or plan.left):
        return Exit.VERIFICATION
    return Exit.PARTLY if plan.hits or plan.left or done.taken else Exit.DONE


def _give_up(store: Archive, text: str, reason: str, *, apply: bool, json: bool) -> int:
    """Show, or do, what gives one number up."""
    from storage.giveup import HINT, give_up, plan_give_up

    source, _, rest = text.partition("/")
    scope, _, number_text = rest.rpartition("/")
    try:
        key, place = ScopeKey(source, scope), int(number_text)
        plan = plan_give_up(store, key, place, reason=reason, now=datetime.now(UTC))
    except ValueError as exc:
        what = "SOURCE/SCOPE/NUMBER and a --reason are needed"
        raise ConfigError(
            f"--give-up {text}: {exc}; {what}", hint="`strongroom scrub` names such numbers"
        ) from exc
    if apply:
        give_up(store, plan)
    known = plan.tomb.id if plan.tomb else ""
    if json:
        files = [name for name, _ in plan.damaged]
        shape = {"source": source, "scope": scope, "number": place, "id": known, "problem": plan.problem}
        ended = {
            "lost": plan.tomb is not None and not plan.erasing,
            "evidence": files,
            "deleted": list(plan.erasing),
        }
        print_json("give-up", {"applied": apply, **shape, **ended})
    else:
        out.print(f"{key} number {place}: {plan.problem}", markup=False, soft_wrap=True)
        if plan.erasing:
            end = "erased as far as it is known"
        else:
            lost = f"given up as lost{f', id {known[:8]}' if known else ''}"
            end = lost if plan.tomb else "live again, nothing is lost"
        out.print(f"{'it is' if apply else 'it would be'} {end}", markup=False)
        for name in plan.erasing:
            out.print(f"  {name}: deleted, and not kept as evidence", markup=False, soft_wrap=True)
        if plan.erasing:
            say(_AS_FAR)
        if not apply:
            say(f"hint: {HINT}; only what none has is given up")
            say("nothing was changed: `--apply` does this")
    return Exit.DONE if apply else Exit.VERIFICATION


def _tell(plan: Plan, *, done: bool) -> None:
    if not plan and not plan.left and not plan.hits:
        out.print("nothing to do: no damage")
        return
    for pack in plan.packs:
        out.print(f"pack {pack[:12]}: missing; put back from the copy", markup=False)
    for mend in plan.mends:
        out.print(f"pack {mend.pack[:12]}: {mend.problem}; {_counts(mend)}", markup=False, soft_wrap=True)
    for small in plan.small:
        how = "its bytes go to the evidence" if small.whole is None else "comes back from the copy"
        out.print(f"{small.name}: {small.problem}; {how}", markup=False, soft_wrap=True)
    for hit in plan.hits:
        complain(f"lost of snapshot {hit.snapshot[:8]} of {hit.source}/{hit.scope}: {_names(hit)}")
    for finding in plan.left:
        complain(f"{finding.name}: {finding.problem}; stays as it is")
    if plan.hits or plan.left:
        say(f"hint: {_COPY_HINT}")
    gone = next((link for finding in plan.left if (link := parse_name(finding.name))), None)
    if gone:
        say(
            f"hint: until then no space is freed, or it is not erased; if no copy has it: "
            f"`strongroom repair --give-up '{gone.key}/{gone.number}' --reason TEXT`"
        )
    if plan and not done:
        say("nothing was changed: `strongroom repair --apply` does this")
    elif plan:
        say(f"repaired; {len(plan.hits) or 'no'} snapshots have lost something")
    else:
        say("nothing to do: nothing of this was found anywhere")


def _counts(mend: Mend) -> str:
    found = [
        (len(mend.itself), "saved from it"),
        (len(mend.elsewhere), "found in other packs"),
        (len(mend.copy), "found in the copy"),
        (len(mend.lost), "lost"),
    ]
    return (
        ", ".join(f"{number(count)} {words}" for count, words in found if count) or "no objects of it are needed"
    )


def _names(hit: Hit) -> str:
    """Files and members, as many as can be looked at; --json and the record name all."""
    if hit.listing:
        return "its listing, so all its files"
    return _some(
        [f"{f.path} (members {_some(f.members, ', ')})" if f.members else f.path for f in hit.files], "; "
    )


def _some(names: Sequence[str], between: str) -> str:
    more = f"{between}and {number(len(names) - _NAMED)} more, see --json" if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + more


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "packs_put_back": list(plan.packs),
        "packs_replaced": [
            {"pack": m.pack, "problem": m.problem, "itself": len(m.itself), "elsewhere": len(m.elsewhere),
             "copy": len(m.copy), "lost": len(m.lost)}
            for m in plan.mends
        ],
        "files_put_back": [{"file": s.name, "problem": s.problem} for s in plan.small if s.whole is not None],
        "files_taken_away": [{"file": s.name, "problem": s.problem} for s in plan.small if s.whole is None],
        "left": [{"file": f.name, "problem": f.problem} for f in plan.left],
        "lost": hit_json(plan.hits),
    }  # fmt: skip
