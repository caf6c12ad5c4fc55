"""What is wrong, told from a survey: the rules of the watch.

Pure. A night that never ran is as wrong as one that failed; what is fresh is judged by runs that ended.
"""

from __future__ import annotations

from flows.configtables import UpkeepTable
from flows.ops.alarm import Alarm, Level
from flows.ops.survey import Survey
from flows.ops.tables import WatchTable

KINDS = {"stale": "no good news within the limit"}


def alarms(survey: Survey, watch: WatchTable, upkeep: UpkeepTable) -> list[Alarm]:  # noqa: ARG001 - a stub
    """Everything that is beyond its limit, the worst first. Total: it raises nothing."""
    found = []
    for scope in survey.configured:
        if scope.good_at is None or survey.at - scope.good_at > scope.within:
            last = "never" if scope.good_at is None else f"{scope.good_at:%Y-%m-%d %H:%M} UTC"
            sentence = f"{scope.key}: last verified {last}, wanted within {scope.within}"
            found.append(Alarm("stale", str(scope.key), Level.CRITICAL, sentence))
    return found
