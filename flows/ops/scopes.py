"""The rules of the watch about one scope: its nights, its runs, its newest snapshots.

Pure; `watch.py` puts them together. Imports are no nights: one neither mends a night that failed, nor stands for
one that never began.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from statistics import median

from flows.ops.alarm import Alarm, Level
from flows.ops.survey import IMPORT, Ran, ScopeSeen, Shot, Survey
from flows.ops.tables import WatchTable
from flows.ops.words import amount, counted, instant, span

LATE = timedelta(hours=1)  # that a night may begin after it was due, or after the last run of its source
EARLIER = 10  # snapshots that an odd size is held against
FEWEST = 4  # of them; with fewer, nothing is usual yet
NAMED = 3  # snapshots that one hint names


def quiet_since(survey: Survey) -> dict[str, datetime]:
    """Of each source when a run of it last began or ended; now, where one is under way.

    The scopes of a source may take turns: as long as one of them runs, another's turn is still to come.
    """
    found: dict[str, datetime] = {}
    for scope in survey.configured:
        for run in _nights(scope)[:2]:
            last = survey.at if _under_way(run) else run.ended_at or run.started_at
            source = scope.key.source
            found[source] = max(found.get(source, last), min(last, survey.at))
    return found


def late(scope: ScopeSeen, now: datetime, quiet: Mapping[str, datetime]) -> Iterator[Alarm]:
    """`stale`, and `missed`: which is told before anything is stale, and beside it."""
    missed = _missed(scope, now, quiet.get(scope.key.source))
    if scope.stale(now):
        yield Alarm("stale", str(scope.key), Level.CRITICAL, _how_stale(scope, now, missed), _mend_it(scope))
    if missed:
        last = _nights(scope)[0]
        sentence = (
            f"{scope.key}: the night due at {instant(missed)} never ran; the last began {instant(last.started_at)}"
        )
        then = f", the next is due at {instant(scope.next_at)}" if scope.next_at else ""
        hint = "is `strongroom serve`, or a worker, running? was the schedule changed?"
        yield Alarm("missed", str(scope.key), Level.WARNING, sentence + then, hint)


def badly(scope: ScopeSeen, now: datetime) -> Iterator[Alarm]:
    """`failed` and `died`: how the last night ended. Critical: the one before did not end well, or it is stale."""
    ended = [run for run in _nights(scope) if run.ended or run.dead]
    if not ended or _is_well(scope, ended[0]):
        return
    last, before = ended[0], ended[1:2]
    if last.ended and any(shot.id == last.snapshot and shot.settle for shot in scope.shots):
        return  # `waiting` has it, with the command
    again = any(not _is_well(scope, run) for run in before)
    level = Level.CRITICAL if again or scope.stale(now) else Level.WARNING
    twice = "; nor did the run before it end well" if again else ""
    about, began = str(scope.key), instant(last.started_at)
    if not last.ended:
        doing = f" ({last.phase})" if last.phase else ""
        sentence = f"{about}: the run of {began}{doing} has no end, and its process is gone{twice}"
        hint = f"{_run_it(scope)}: it goes on with the same export"
        yield Alarm("died", about, level, sentence, hint)
        return
    # Why something was kept and does not count may name records.
    why = f"see `strongroom show {last.snapshot[:8]}`" if last.snapshot else last.reason
    sentence = f"{about}: the run of {began} ended {last.ended}" + (f": {why}" if why else "") + twice
    yield Alarm("failed", about, level, sentence, last.hint or _run_it(scope))


def slow(scope: ScopeSeen, now: datetime, watch: WatchTable) -> Iterator[Alarm]:
    """`slow`: the run that goes on now."""
    run = scope.under_way
    longest = timedelta(hours=watch.run_longest_h)
    if run is not None and now - run.started_at > longest:
        doing = f" ({run.phase})" if run.phase else ""
        since = f"since {instant(run.started_at)}, for {span(now - run.started_at)}"
        sentence = f"{scope.key}: a run is under way {since}{doing}; at most {span(longest)} were expected"
        hint = "look at it in Prefect, and in the system itself; a cancelled run is gone on with by the next one"
        yield Alarm("slow", str(scope.key), Level.WARNING, sentence, hint)


def odd_size(scope: ScopeSeen, watch: WatchTable) -> Iterator[Alarm]:
    """`odd size`: the newest that was taken, or else the newest that counts, beside those before it."""
    for shot in dict.fromkeys((*scope.shots[:1], *((scope.newest,) if scope.newest else ()))):
        usual = _usual(scope, shot)
        if usual is None or shot.settled:
            continue
        if usual * watch.smaller_than <= shot.size <= usual * watch.larger_than:
            continue
        share = f"{shot.size / usual:.0%} of" if shot.size < usual else f"{shot.size / usual:.1f} times"
        sentence = f"{scope.key}: {_called(shot)} holds {amount(shot.size)}, {share} the usual {amount(usual)}"
        hint = f"`strongroom diff {shot.id[:8]}` tells what came and went"
        yield Alarm("odd size", str(scope.key), Level.WARNING, sentence, hint)
        return


def waiting(scope: ScopeSeen) -> Iterator[Alarm]:
    """`waiting`: one for all of the scope that wait, with the commands that settle them."""
    shots = [shot for shot in scope.shots if shot.settle]
    if not shots:
        return
    more = f"; {len(shots) - 1} more {'waits' if len(shots) == 2 else 'wait'}" if shots[1:] else ""
    sentence = f"{scope.key}: {_called(shots[0])} waits for a person: {shots[0].why_not}{more}"
    commands = list(dict.fromkeys(shot.settle for shot in shots))
    others = f", and {len(commands) - NAMED} more" if len(commands) > NAMED else ""
    hint = " and ".join(f"`{command}`" for command in commands[:NAMED]) + others
    yield Alarm("waiting", str(scope.key), Level.WARNING, sentence, f"{hint}; `reject` where it is wrong")


# -- what the rules ask


def _nights(scope: ScopeSeen) -> list[Ran]:
    return [run for run in scope.runs if run.trigger != IMPORT]


def _under_way(run: Ran) -> bool:
    return not run.ended and not run.dead


def _is_well(scope: ScopeSeen, run: Ran) -> bool:
    """Whether it ended well, or a person has said since that what it kept is right."""
    return run.well or any(shot.id == run.snapshot and shot.counts for shot in scope.shots)


def _missed(scope: ScopeSeen, now: datetime, active: datetime | None) -> datetime | None:
    """The night that should have begun; None where it did or may still do, and before the scope's first night."""
    due, nights = scope.due_at, _nights(scope)
    if due is None or not nights:
        return None
    begun = any(run.started_at >= due or (run.ended_at or due) > due or _under_way(run) for run in nights)
    return due if not begun and now - max(due, active or due) > LATE else None


def _how_stale(scope: ScopeSeen, now: datetime, missed: datetime | None) -> str:
    """The sentence: what there is, what was wanted, what the last night did."""
    good, wanted = scope.good_at(now), f"wanted within {span(scope.within)}"
    if good is not None:
        told = f"last known to be backed up {instant(good)}, {span(now - good)} ago; {wanted}"
    elif scope.shots:
        newest = scope.shots[0]
        why = f" ({newest.quality})" if newest.quality != "verified" else ""
        kept = counted(len(scope.shots), "snapshot")
        told = f"nothing that counts is kept: {kept}, the newest of {instant(newest.taken_at)}{why}; {wanted}"
    else:
        told = f"never backed up; {wanted}"
    if missed:
        told += f"; the night due at {instant(missed)} never ran"
    elif scope.due_at and scope.runs:
        told += f"; the night due at {instant(scope.due_at)} did not bring it"
    elif scope.next_at and not scope.runs:
        told += f"; its next night is due at {instant(scope.next_at)}"
    if scope.under_way:
        told += f"; a run is under way since {instant(scope.under_way.started_at)}"
    return f"{scope.key}: {told}"


def _usual(scope: ScopeSeen, shot: Shot) -> float | None:
    """The median size of up to ten that count and are earlier; None where they are few, or empty.

    What was settled is a new beginning: those before it were of another size, or of another clock.
    """
    place = (shot.taken_at, shot.number)
    counted_ones: list[int] = []
    for one in scope.shots:
        if one.counts and (one.taken_at, one.number) < place:
            counted_ones.append(one.size)
            if one.settled:
                break
    return (median(counted_ones[:EARLIER]) or None) if len(counted_ones) >= FEWEST else None


def _called(shot: Shot) -> str:
    return f"number {shot.number} ({shot.id[:8]}, of {instant(shot.taken_at)})"


def _mend_it(scope: ScopeSeen) -> str:
    """What brings good news: to settle the newest, where that waits for a person, else a run."""
    settle = scope.shots[0].settle if scope.shots else ""
    return f"`{settle}` where it is right; else {_run_it(scope)}" if settle else _run_it(scope)


def _run_it(scope: ScopeSeen) -> str:
    return f"`strongroom run {shlex.quote(str(scope.key))}` backs it up now"
