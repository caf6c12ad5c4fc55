"""`forget --explain`: everything about one snapshot, why it stays or goes, and when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.cli import rules
from flows.cli.console import complain, day, out, print_json
from flows.cli.decide import find_live
from flows.cli.opened import Opened
from flows.cli.retain import goes_on_text, kept_whole, tell_kept_whole, verdict_json, verdict_word
from flows.cli.views import decision_json, standing_json, standing_text
from flows.errors import Exit

if TYPE_CHECKING:
    from flows.retaining import PolicyOf
    from storage.decisions import Decision
    from storage.planning import Nights, ScopePlan
    from storage.retention import Verdict
    from storage.snapshot import ScopeKey, Snapshot


def explained(
    place: Opened,
    ref: str,
    policy_of: PolicyOf,
    nights_of: Callable[[ScopeKey], Nights],
    *,
    now: datetime,
    given: rules.Given,
    json: bool,
) -> int:
    """Print it; exit code 3 where its scope is refused."""
    from storage.planning import plan_scope

    found = find_live(place.archive, ref)
    scope = plan_scope(place.archive, found.key, policy_of(found.key), nights_of(found.key), now=now)
    (verdict,) = (v for v in scope.verdicts if v.candidate.id == found.id)
    made = [one for one in scope.decisions if one.snapshot == found.id]
    after = _after(scope, verdict)
    if json:
        shape: dict[str, Any] = {
            **verdict_json(scope, verdict),
            "policy": rules.told(scope.policy),
            "quality": found.manifest.draft.quality.value,
            "tags": list(found.manifest.draft.tags),
            "standing": standing_json(scope.standings[found.id]),
            "held": verdict.candidate.held,
            "newer": after[0],
            "newer_that_count": after[1],
            "decisions": [decision_json(one) for one in made],
            "refused": scope.refused,
        }
        print_json("explain", {"snapshot": shape})
    else:
        _tell(scope, verdict, found, made, after)
        tell_kept_whole(place, kept_whole(place, [found.key], given))
    return Exit.PARTLY if scope.refused else Exit.DONE


def _after(scope: ScopePlan, verdict: Verdict) -> tuple[int, int]:
    """How many are newer, and how many of those count."""
    mine = verdict.candidate
    newer = [v.candidate for v in scope.verdicts if v.candidate.taken_at > mine.taken_at]
    return len(newer), sum(1 for one in newer if one.counts)


def _tell(
    scope: ScopePlan, verdict: Verdict, found: Snapshot, made: list[Decision], after: tuple[int, int]
) -> None:
    draft, mine = found.manifest.draft, verdict.candidate
    floors = [reason for reason in verdict.reasons if reason.startswith("floor")]
    other = [reason for reason in verdict.reasons if not reason.startswith(("floor", "held"))]
    facts = [
        ("scope", f"{scope.key}, number {mine.number} of its chain"),
        ("taken", f"{day(mine.taken_at)}, committed {day(found.manifest.committed_at)}"),
        ("quality", draft.quality.value),
        ("tags", ", ".join(draft.tags)),
        ("standing", standing_text(scope.standings[found.id])),
        ("policy", rules.told(scope.policy)),
        ("verdict", verdict_word(verdict)),
        *(("because", reason) for reason in other),
        ("nearest", verdict.missed),
        *(("floor", reason.removeprefix("floor: ")) for reason in floors),
        ("held", mine.held),
        ("newer", f"{after[0]} snapshots, {after[1]} of them count"),
        ("goes on", goes_on_text(scope, verdict)),
    ]
    out.print(f"[bold]snapshot[/] {found.id}")
    for name, value in facts:
        if value:
            out.print(f"  {name:<8} {value}", markup=False, soft_wrap=True)
    for one in made:
        end = f", until {day(one.until)}" if one.until else ""
        said = f"{one.kind} by {one.by or 'nobody known'}, {day(one.made_at)}{end}: {one.reason}"
        out.print(f"  decided  {said}", markup=False, soft_wrap=True)
    if scope.standings[found.id].ask:
        out.print(f"  to settle it: {scope.standings[found.id].ask}", markup=False, soft_wrap=True)
    if scope.refused:
        complain(f"{scope.key}: {scope.refused}", scope.hint)
