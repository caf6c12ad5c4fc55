"""RSpace's activity log: who did what and when, and which records each export really held.

Reading it writes a SEARCH line into it, as the real one does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flows.demo.events import Event
from flows.demo.lab import User
from flows.demo.rspace_call import Call, day_range, page, words
from flows.demo.rspace_errors import invalid, plain_refusal
from flows.demo.worldclock import iso_millis

_ACTIONS = frozenset(
    (
        "CREATE", "DELETE", "DOWNLOAD", "DUPLICATE", "EXPORT", "MOVE", "READ", "RENAME", "RESTORE", "SEARCH",
        "SHARE", "SIGN", "TRANSFER", "UNSHARE", "VIEW", "WITNESSED", "WRITE",
    )
)  # fmt: skip
_LOG_DAYS = 183  # the log reaches no further back


def _activity(call: Call) -> Any:
    if status := call.world.faults.take("activity_status"):
        raise plain_refusal(status, "The activity log could not be searched")
    if call.world.faults.take("activity_rotated"):
        call.world.rotate_log()
    actions = words(call, "actions")
    if unknown := sorted(actions - _ACTIONS):
        raise invalid([("actions", ",".join(unknown), "must be known actions")], "activitySearchCriteria")
    domains, names, oid = words(call, "domains"), words(call, "usernames"), call.request.parameter("oid")
    first, last = day_range(f"{call.request.parameter('dateFrom')};{call.request.parameter('dateTo')}")
    first = max(first, call.world.now() - timedelta(days=_LOG_DAYS))
    lab = call.world.lab
    people = {u.username: u for u in [*lab.former.values(), *lab.users.values()]}
    found = [
        e for e in call.world.events()
        if first <= e.at < last
        and lab.can_read(call.user, people[e.username].id)
        and (not actions or e.action in actions)
        and (not domains or e.domain in domains)
        and (not names or e.username in names)
        and (not oid or e.payload.get("id") == oid)
    ]  # fmt: skip
    call.world.log(call.user, "SEARCH")
    if call.request.parameter("orderBy", "date desc") != "date asc":
        found.reverse()
    return page(call, "activities", [_event_row(e, people[e.username]) for e in found])


def _event_row(event: Event, user: User) -> dict[str, Any]:
    return {
        "username": event.username,
        "fullName": user.full_name,
        "domain": event.domain,
        "action": event.action,
        "timestamp": iso_millis(event.at),
        "payload": event.payload,
        "_links": [],
    }


# path below /api/v1, as a pattern -> the function that answers
ENDPOINTS: dict[str, Callable[..., Any]] = {
    "activity": _activity,
}
