"""What is wrong, told from a survey: the rules of the watch.

Pure. A night that never ran is as wrong as one that failed. State is set when a run ends, never when it starts: a
run that is under way makes nothing look fresh, and hides nothing. `scopes.py` and `whole.py` have the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.configtables import UpkeepTable
from flows.ops import scopes, whole
from flows.ops.alarm import Alarm, Level
from flows.ops.survey import Survey
from flows.ops.tables import WatchTable

KINDS = {
    "stale": "no good news within the limit: no verified snapshot, and no night that found nothing changed",
    "damaged": "something of the archive cannot be read, is missing, or is not what the catalog knows",
    "scrub": "the last scrub found damage, or there was never one",
    "drill": "the last drill failed, or none passed within the limit",
    "members": "an every-scope stands for nobody that is known, or no scope is configured: nothing is backed up",
    "disk": "a disk has little room, or will be full soon as the archive grows",
    "listing": "the system did not say who there is, or lists nobody: who is new is not backed up",
    "clock": "something is dated after now: our clock is wrong, or was",
    "failed": "the last run did not end well",
    "died": "the last run has no end, and its process is gone",
    "missed": "a night was due, and no run began",
    "slow": "a run is under way for longer than one should be",
    "waiting": "a snapshot whose level or date is strange waits for a person",
    "vanished": "a member of an every-scope is no longer listed, so no night backs it up",
    "prune": "retention did not go through: a fuse, an error, or a reason that a person has to see",
    "odd size": "a snapshot holds much less or more than the scope's nights do",
    "unread": "kept bytes were not read for longer than the limit",
}  # of equal alarms the kind that stands first here is told first


def alarms(survey: Survey, watch: WatchTable, upkeep: UpkeepTable) -> list[Alarm]:
    """Everything that is beyond its limit, the worst first; no two have one id. Total: it raises nothing."""
    order = {kind: place for place, kind in enumerate(KINDS)}
    found = sorted(_all(survey, watch, upkeep), key=lambda alarm: (-alarm.level, order[alarm.kind]))
    worst: dict[str, Alarm] = {}
    for alarm in found:
        worst.setdefault(alarm.id, alarm)
    return list(worst.values())


def critical(found: list[Alarm]) -> bool:
    """Whether somebody must look now: what `status` ends with exit code 5 for."""
    return any(alarm.level is Level.CRITICAL for alarm in found)


def _all(survey: Survey, watch: WatchTable, upkeep: UpkeepTable) -> Iterator[Alarm]:
    quiet = scopes.quiet_since(survey)
    for scope in survey.scopes:
        yield from scopes.waiting(scope)
        if scope.configured:
            yield from scopes.late(scope, survey.at, quiet)
            yield from scopes.badly(scope, survey.at)
            yield from scopes.slow(scope, survey.at, watch)
            yield from scopes.odd_size(scope, watch)
    yield from whole.members(survey)
    yield from whole.notices(survey)
    yield from whole.damaged(survey)
    yield from whole.read(survey, watch, upkeep)
    yield from whole.drilled(survey, watch, upkeep)
    yield from whole.disks(survey, watch)
    yield from whole.clock(survey)
