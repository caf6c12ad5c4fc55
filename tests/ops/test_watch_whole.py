"""The watch's rules about the archive as a whole, and what holds of all alarms."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.configtables import UpkeepTable
from flows.ops.alarm import Level
from flows.ops.room import forecast, whole_days
from flows.ops.survey import Disk, Ran, ScopeSeen, Shot, Survey
from flows.ops.watch import KINDS, critical
from storage.records import Ended, Notice
from storage.snapshot import ScopeKey
from tests.ops.seen import DAY, EVERY, GB, HOUR, NOW, drilled, later, ran, scope, scrubbed, shot, survey, told

WARN, CRIT = Level.WARNING, Level.CRITICAL
YOUNG = tuple((NOW - ago * DAY, GB) for ago in range(20, 0, -1))
FULL = (Disk("archive", "/srv", 40 * GB, 1000 * GB),)
AHEAD = shot(-300 * DAY, committed_at=NOW)
SOON = (Disk("archive", "/srv", 13 * GB, 100 * GB),)

NO_SCOPE = {"everies": (), "scopes": (scope(configured=False),)}
IMPORTED = {"everies": (), "scopes": (scope(configured=False, runs=(ran(trigger="import"),)),)}


def noticed(kind: str, about: str, ago: timedelta = HOUR) -> dict[str, Any]:
    """A notice of the last night; first said so long ago."""
    one = Notice(kind, str(EVERY.key), about, NOW - ago, NOW - HOUR, "so it is", "do that")
    return {"everies": (EVERY,), "notices": (one,)}


CASES: dict[str, tuple[dict[str, Any], str, Level | None, str]] = {
    "a scrub with findings": ({"scrubs": (scrubbed(findings=2), scrubbed(2 * DAY))}, "scrub", CRIT, "2 findings"),
    "a scrub since without": ({"scrubs": (scrubbed(), scrubbed(2 * DAY, 2))}, "scrub", None, ""),
    "never scrubbed": ({"scrubs": ()}, "scrub", WARN, "first snapshot is 200 days old; wanted 37 days"),
    "never scrubbed, and young": ({"scrubs": (), "grown": YOUNG}, "scrub", None, ""),
    "unread for long": ({"oldest_unread_at": NOW - 38 * DAY}, "unread", WARN, "ago; wanted within 37 days"),
    "unread for not so long": ({"oldest_unread_at": NOW - 36 * DAY}, "unread", None, ""),
    "nothing to read": ({"oldest_unread_at": None}, "unread", None, ""),
    "a drill failed": ({"drills": (drilled(DAY, "failed"), drilled(8 * DAY))}, "drill", CRIT, "lab/user:7 abab"),
    "drilled long ago": ({"drills": (drilled(22 * DAY),)}, "drill", WARN, "22 days ago; wanted within 21 days"),
    "never drilled": ({"drills": ()}, "drill", WARN, "no drill ever passed"),
    "never drilled, and young": ({"drills": (), "grown": YOUNG}, "drill", None, ""),
    "nothing to drill": ({"drills": (), "scopes": (scope(shots=()),)}, "drill", None, ""),
    "damage": ({"damaged": ("snapshots/a.json: torn",)}, "damaged", CRIT, "snapshots/a.json: torn"),
    "a full disk": ({"disks": FULL}, "disk", CRIT, "40.0 GB of 1.00 TB free; full in 40 days"),
    "a disk that will be full": ({"disks": SOON}, "disk", WARN, "full in 13 days by the growth of the last 30"),
    "a run ahead": ({"scopes": (scope(runs=(ran(-25 * HOUR),)),)}, "clock", CRIT, "a run of lab/user:7 is dated"),
    "a run a bit ahead": ({"scopes": (scope(runs=(ran(-23 * HOUR),)),)}, "clock", None, ""),
    "a date ahead": ({"scopes": (scope(shots=(AHEAD, *scope().shots)),)}, "clock", WARN, "number 20"),
    "nobody is known": ({"everies": (replace(EVERY, members=0),)}, "members", CRIT, "no member"),
    "nothing is configured any more": (NO_SCOPE, "members", CRIT, "no scope is configured"),
    "nothing was ever configured": ({"everies": (), "scopes": ()}, "members", WARN, "no scope is configured"),
    "an archive of imports": (IMPORTED, "members", WARN, "no scope is configured"),
    "no list last night": (noticed("listing", "lab/every user"), "listing", WARN, "lab/every user: so it is"),
    "no list for long": (noticed("listing", "lab/every user", 37 * HOUR), "listing", CRIT, "is; so since"),
    "somebody has vanished": (noticed("vanished", "lab/user:3", 90 * DAY), "vanished", WARN, "lab/user:3: so"),
    "retention was held": (noticed("prune", "lab", 90 * DAY), "prune", WARN, "lab: so it is; so since"),
    "somebody is known": ({"everies": (EVERY,)}, "members", None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_kind_by_its_limit(case: str) -> None:
    """It is told with its level, and its sentence has what it is about and what was wanted."""
    given, kind, level, words = CASES[case]

    found = [alarm for alarm in told(survey(**given)) if alarm.kind == kind]

    assert [alarm.level for alarm in found] == ([] if level is None else [level])
    assert all(words in alarm.sentence and alarm.hint for alarm in found)


def test_limits_are_those_of_the_configuration() -> None:
    """Each has its own."""
    unread = survey(oldest_unread_at=NOW - 38 * DAY)
    assert told(unread, unread_within_days=39) == []
    assert told(unread, UpkeepTable(scrub_within_days=90)) == []
    assert told(survey(drills=()), UpkeepTable(drill=False)) == []
    assert told(survey(drills=(drilled(22 * DAY),)), drill_within_days=23) == []
    assert told(survey(disks=FULL), disk_free_percent=3) == []
    assert told(survey(disks=SOON), disk_full_within_days=12) == []


def test_what_a_drill_missed_is_not_in_its_alarm() -> None:
    """Its problems may name records."""
    (found,) = told(survey(drills=(drilled(DAY, "failed"),)))

    assert "secret-plans" not in found.sentence + found.hint


def test_damage_is_told_for_each_thing() -> None:
    """Two sentences about one file are one alarm; a name told twice is no second one."""
    found = told(survey(damaged=("a.json: torn", "b.json: gone", "a.json: and of another scope")))

    assert [alarm.id for alarm in found] == ["damaged a.json", "damaged b.json"]
    assert found[0].sentence == "a.json: torn; a.json: and of another scope"


def test_the_readme_has_every_kind_by_the_same_words() -> None:
    """One table, said twice."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()

    assert re.findall(r"^\| \*([a-z ]+)\* \| ([^|]+) \|", readme, re.MULTILINE) == list(KINDS.items())


# -- room


def test_room_is_reckoned_by_the_last_30_days_and_without_the_first() -> None:
    """What was there already when Strongroom came is no growth; with less than a week nothing is said."""
    first = (NOW - 11 * DAY, 300 * GB)
    nights = tuple((NOW - ago * DAY + HOUR, GB) for ago in range(10, 0, -1))

    room = forecast(survey(grown=(first, *nights)))

    assert room is not None
    assert (room.bytes_per_day, whole_days(room)) == (GB, 500)
    assert forecast(survey(grown=((NOW - 7 * DAY, GB), (NOW - DAY, GB)))) is None
    assert forecast(survey(grown=())) is None
    assert forecast(survey(disks=())) is None
    still = forecast(survey(grown=((NOW - 90 * DAY, GB),)))
    assert still is not None
    assert whole_days(still) is None


# -- what holds of all

TIMES = st.timedeltas(timedelta(0), 60 * DAY)
RUNS = st.builds(
    lambda ago, ended, trigger, dead: ran(ago, ended, trigger=trigger, dead=dead and not ended),
    TIMES, st.sampled_from(["", *Ended]), st.sampled_from(["schedule", "cli", "import"]), st.booleans(),
)  # fmt: skip
SHOTS = st.builds(
    lambda ago, number, size, counts, asked: shot(
        ago, number, size=size, counts=counts, settle="strongroom accept x" if asked and not counts else ""
    ),
    TIMES, st.integers(1, 99), st.integers(0, 1000), st.booleans(), st.booleans(),
)  # fmt: skip


@st.composite
def scopes(draw: st.DrawFn) -> ScopeSeen:
    """Any scope, in the order that a survey has."""
    runs: list[Ran] = sorted(draw(st.lists(RUNS, max_size=6)), key=lambda run: run.started_at, reverse=True)
    found = draw(st.lists(SHOTS, max_size=12, unique_by=lambda one: one.number))
    shots: list[Shot] = sorted(found, key=lambda one: (one.taken_at, one.number), reverse=True)
    due = draw(st.none() | TIMES)
    return scope(
        key=ScopeKey(draw(st.sampled_from(["lab", "office"])), f"user:{draw(st.integers(1, 9))}"),
        configured=draw(st.booleans()),
        runs=tuple(runs),
        shots=tuple(shots),
        due_at=due and NOW - due,
        unchanged_at=draw(st.none() | TIMES.map(lambda ago: NOW - ago)),
    )


SURVEYS = st.lists(scopes(), max_size=4, unique_by=lambda one: one.key).map(lambda found: survey(*found))


def ids(seen: Survey) -> set[str]:
    """What is wrong, but for the clock: what is ahead of it is so no longer when it has gone on."""
    return {alarm.id for alarm in told(seen) if alarm.kind != "clock"}


@given(SURVEYS)
def test_alarms_are_the_worst_first_and_each_once(seen: Survey) -> None:
    """Of kinds that are in the table; each has a sentence; the order of scopes changes nothing."""
    found = told(seen)

    assert [alarm.level for alarm in found] == sorted((alarm.level for alarm in found), reverse=True)
    assert len({alarm.id for alarm in found}) == len(found)
    assert {alarm.kind for alarm in found} <= KINDS.keys()
    assert all(alarm.sentence for alarm in found)
    assert critical(found) == any(alarm.level is CRIT for alarm in found)
    assert {alarm.id for alarm in told(replace(seen, scopes=seen.scopes[::-1]))} == {alarm.id for alarm in found}


@given(SURVEYS, TIMES)
def test_time_that_passes_ends_no_alarm(seen: Survey, time: timedelta) -> None:
    """Where nothing happens, what is late stays late, and no level falls."""
    roomy = replace(seen, disks=())
    before, after = told(roomy), {alarm.id: alarm.level for alarm in told(later(roomy, time))}

    assert all(after.get(alarm.id, 0) >= alarm.level for alarm in before)


def with_good_night(one: ScopeSeen, began: datetime, size: int) -> ScopeSeen:
    """The same after a night that began then and was verified."""
    number = max((kept.number for kept in one.shots), default=0) + 1
    good = shot(NOW - began, number, size=size)
    run = ran(NOW - began, snapshot=good.id)
    shots = sorted((good, *one.shots), key=lambda kept: (kept.taken_at, kept.number), reverse=True)
    return replace(one, runs=(run, *one.runs), shots=tuple(shots), newest=good)


@given(st.lists(scopes(), min_size=1, max_size=3, unique_by=lambda one: one.key))
def test_good_news_adds_no_alarm(found: list[ScopeSeen]) -> None:
    """Another verified night can only end some, of its scope and of the others; only its size may be odd."""
    sizes = sorted(kept.size for kept in found[0].shots if kept.counts) or [400]
    better = with_good_night(found[0], NOW - timedelta(minutes=30), sizes[len(sizes) // 2])
    before = survey(*found)
    after = replace(before, scopes=(better, *found[1:]))

    mine = str(found[0].key)
    assert {one for one in ids(after) - ids(before) if one != f"odd size {mine}"} == set()
    assert not ids(after) & {f"{kind} {mine}" for kind in ("stale", "missed", "failed", "died")}


@given(SURVEYS)
def test_a_run_that_begins_changes_nothing_but_that_its_night_did_begin(seen: Survey) -> None:
    """State is set when a run ends, never when it starts."""
    begun = tuple(
        one if one.under_way else replace(one, runs=(ran(timedelta(0), ""), *one.runs)) for one in seen.scopes
    )
    after = ids(replace(seen, scopes=begun))

    def lasting(found: set[str]) -> set[str]:
        return {one for one in found if not one.startswith(("missed", "slow"))}

    assert lasting(after) == lasting(ids(seen))
