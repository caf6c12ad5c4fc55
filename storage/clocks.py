"""Whether a clock can be trusted to let something go: by what the snapshots say of the time, and for how long.

Pure: what is known of snapshots in, a refusal out. Our own clock dated most of what there is, so it is no witness
for itself: where a system's clock was asked (`Seen.server_time`), only that tells when a backup was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from storage.dates import BEHIND, misdated
from storage.decisions import Decision
from storage.seen import Seen, at_text
from storage.snapshot import ScopeKey

BACKWARDS = timedelta(minutes=10)  # clocks of hosts differ; more than that is a wrong clock
QUIET = timedelta(days=31)  # without any backup so long, a clock may as well have jumped


class Refusal(NamedTuple):
    """Why nothing is let go, and what to try."""

    said: str
    hint: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the newest snapshots of a scope tell of the time, but for those that something contradicts."""

    at: datetime  # the newest was committed
    id: str = ""  # its id
    backup: datetime | None = None  # the newest that was fetched: by the system's clock, or by ours
    told: bool = False  # by the system's


Heads = Mapping[ScopeKey, Head]


def contradicted(one: Seen, decision: Decision | None) -> bool:
    """Whether the dates of a snapshot tell nothing of the time: a clock or a person says that they are wrong.

    By the system's clock, against our date or our commit; by a person who rejected it, or who decided about it
    before it was committed.
    """
    if decision and (decision.kind == "reject" or decision.made_at < one.committed_at - BACKWARDS):
        return True
    late = one.server_time is not None and one.committed_at - one.server_time > BEHIND
    return late or misdated(one) is not None


def head(newest_first: Iterable[Seen], judged: Mapping[str, Decision]) -> Head | None:
    """The head of one scope; None where none of its snapshots tells anything. Asks for no more than it needs."""
    found: Head | None = None
    for one in newest_first:
        if contradicted(one, judged.get(one.id)):
            continue
        found = found or Head(one.committed_at, one.id)
        if one.fetched:
            told = one.server_time is not None
            return Head(found.at, found.id, one.server_time or one.taken_at, told)
    return found


def backwards(key: ScopeKey, now: datetime, heads: Heads) -> Refusal | None:
    """Why `now` is too early for this scope; None where it is not.

    One scope ahead of all others stops itself, and the others where a system's clock says the same.
    """
    ahead = {other: head for other, head in heads.items() if now < head.at - BACKWARDS}
    sure = any(head.told and head.backup and now < head.backup - BACKWARDS for head in ahead.values())
    if key not in ahead and len(ahead) < 2 and not sure:
        return None
    one = key if key in ahead else max(ahead, key=lambda other: ahead[other].at)
    id = ahead[one].id[:8]
    return Refusal(
        f"time runs backwards: it is {at_text(now)} by this clock, and {one} was backed up at "
        f"{at_text(ahead[one].at)}; nothing is forgotten until the clock is right",
        f"set the clock; or, if that date is wrong: `strongroom accept {id} --reason …`, and if more is, `reject`",
    )


def quiet(now: datetime, heads: Heads) -> str:
    """Why this clock may have jumped ahead; "" where a backup within QUIET tells that it did not.

    A backup is what was fetched, by the system's clock; by ours only where no system tells its time. An import is
    none: it says nothing of the time.
    """
    told = [head.backup for head in heads.values() if head.backup and head.told]
    newest = max(told or [head.backup for head in heads.values() if head.backup], default=None)
    if newest is None:
        return "no backup tells the time"
    if now - newest > QUIET:
        return f"the newest backup is of {newest:%Y-%m-%d}, {(now - newest).days} days ago by this clock"
    return ""
