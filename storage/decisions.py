"""Decisions of persons about snapshots: hold and release, accept and reject, as small files of the archive.

Pure: values to canonical bytes and back, and what follows from several. They lie in the archive, so that losing
the catalog releases nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast, get_args

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import ScopeKey, from_text, key_of_folders, scope_folder, to_text

FORMAT = 1
FOLDER = "decisions/"
_NAME = re.compile(r"decisions/([^/]+)/([^/]+)/([0-9]{8,12})\.([1-9][0-9]{0,8})\.json")

Kind = Literal["hold", "release", "accept", "reject"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a snapshot. Of several, the one with the highest `n` is the last."""

    kind: Kind
    key: ScopeKey
    number: int
    snapshot: str  # id
    made_at: datetime
    by: str  # who; "" stands for a decision that cannot be read, which counts as a hold
    reason: str
    until: datetime | None = None  # of a hold: when it ends by itself
    n: int = 0  # place among the decisions about this snapshot, from 1; 0 until it is written

    @property
    def unreadable(self) -> bool:
        """Whether it stands for one that cannot be read."""
        return not self.by


def decision_name(key: ScopeKey, number: int, n: int) -> str:
    """Where a decision lies. Create-if-absent on this name makes it."""
    return f"{FOLDER}{scope_folder(key)}{number:08d}.{n}.json"


def folder(key: ScopeKey | None) -> str:
    """The folder of a scope's decisions, or of all."""
    return FOLDER if key is None else f"{FOLDER}{scope_folder(key)}"


def parse_name(name: str) -> tuple[ScopeKey, int, int] | None:
    """The scope, number and place that the name of a decision says; None for a name that is no decision's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        found = key_of_folders(match[1], match[2]), int(match[3]), int(match[4])
    except ValueError:
        return None
    return found if decision_name(*found) == name and found[1] > 0 else None


def encode(decision: Decision) -> bytes:
    """Canonical bytes of a decision (FORMAT.md section 9). Raises ValueError for one that nobody made."""
    _check(decision)
    value = {
        "format": FORMAT,
        "kind": "decision",
        "decision": decision.kind,
        "source": decision.key.source,
        "scope": decision.key.scope,
        "number": decision.number,
        "n": decision.n,
        "snapshot": decision.snapshot,
        "made_at": to_text(decision.made_at),
        "by": decision.by,
        "reason": decision.reason,
        "until": None if decision.until is None else to_text(decision.until),
    }
    return canonical.seal(value)


def decode(data: bytes, name: str) -> Decision:
    """The decision in `data`. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        if (value["kind"], value["format"]) != ("decision", FORMAT):
            raise FormatUnknown(
                f"{name}: a {value['kind']} of format {value['format']!r}, a decision was expected"
            )
        found = _decision(value)
        _check(found)
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a decision that this version wrote: {exc!r}") from exc
    if decision_name(found.key, found.number, found.n) != name:
        raise ObjectCorrupt(f"{name}: holds decision {found.n} about {found.key} number {found.number}")
    return found


def stand_in(key: ScopeKey, number: int, n: int, snapshot: str, *, at: datetime, problem: str) -> Decision:
    """A hold in the place of a decision that cannot be read."""
    reason = f"decision {n} about it cannot be read, so it is held: {problem}"
    return Decision("hold", key, number, snapshot, at, "", reason, None, n)


def ordered(decisions: Iterable[Decision]) -> list[Decision]:
    """By scope and number, and those about one snapshot as they were made."""
    return sorted(decisions, key=lambda one: (str(one.key), one.number, one.n))


def held(decisions: Iterable[Decision], now: datetime) -> dict[str, str]:
    """The snapshots held at `now`, by id, and why: a hold without a later release, not ended by itself.

    Only a release ends what a decision that cannot be read may hold: who accepts or rejects says nothing of holds.
    """
    reasons: dict[str, list[str]] = {}
    for decision in ordered(decisions):
        if decision.kind == "release":
            reasons.pop(decision.snapshot, None)
        elif decision.kind == "hold" and (decision.until is None or now < decision.until):
            reasons.setdefault(decision.snapshot, []).append(decision.reason)
    return {snapshot: "; ".join(dict.fromkeys(why)) for snapshot, why in reasons.items()}


def judged(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The last accept or reject about each snapshot, by id."""
    return {one.snapshot: one for one in ordered(decisions) if one.kind in ("accept", "reject")}


def numbered(decision: Decision, n: int) -> Decision:
    """The decision at its place."""
    return replace(decision, n=n)


def _check(decision: Decision) -> None:
    if decision.kind not in get_args(Kind) or not decision.by.strip() or decision.n < 1 or decision.number < 1:
        raise ValueError(f"{decision.kind} by {decision.by!r}, number {decision.number}, place {decision.n}")
    if decision.until is not None and decision.kind != "hold":
        raise ValueError(f"{decision.kind} until {decision.until}: only a hold ends by itself")
    canonical.digest(decision.snapshot)


def _decision(value: dict[str, Any]) -> Decision:
    return Decision(
        kind=cast(Kind, canonical.text(value["decision"])),
        key=ScopeKey(canonical.text(value["source"]), canonical.text(value["scope"])),
        number=canonical.count(value["number"]),
        snapshot=canonical.digest(value["snapshot"]),
        made_at=from_text(value["made_at"]),
        by=canonical.text(value["by"]),
        reason=canonical.text(value["reason"]),
        until=None if value["until"] is None else from_text(value["until"]),
        n=canonical.count(value["n"]),
    )
