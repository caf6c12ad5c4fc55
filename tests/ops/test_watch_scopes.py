"""The watch's rules about one scope, each on a survey in which all else is well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.ops.alarm import Level
from flows.ops.survey import ScopeSeen
from storage.snapshot import ScopeKey
from tests.ops.seen import DAY, HOUR, NOW, ran, scope, shot, survey, told

WARN, CRIT = Level.WARNING, Level.CRITICAL
NIGHTS = scope().runs
SHOTS = scope().shots


def kinds(one: ScopeSeen, **limits: Any) -> list[tuple[str, Level]]:
    """What is told of it."""
    return [(alarm.kind, alarm.level) for alarm in told(survey(one), **limits)]


def only(one: ScopeSeen, kind: str, **limits: Any) -> str:
    """The sentence and the hint of the one alarm of that kind."""
    (found,) = [alarm for alarm in told(survey(one), **limits) if alarm.kind == kind]
    return f"{found.sentence} / {found.hint}"


def test_where_all_is_well_nothing_is_told() -> None:
    """Also without a schedule, and with another run under way."""
    assert told(survey()) == []
    assert kinds(scope(due_at=None, next_at=None)) == []
    assert kinds(scope(runs=(ran(HOUR, ""), *NIGHTS))) == []


# -- stale, missed


@pytest.mark.parametrize(
    ("good", "unchanged", "stale"),
    [(35, None, False), (37, None, True), (37, 35, False), (60, 37, True), (35, 60, False), (None, 1, True)],
)
def test_good_news_is_a_verified_snapshot_or_silence_of_the_system(
    good: int | None, unchanged: int | None, stale: bool
) -> None:
    """Within the limit of the scope, here 36 hours; silence alone keeps nothing."""
    shots = () if good is None else (shot(good * HOUR),)
    same = None if unchanged is None else NOW - unchanged * HOUR

    found = kinds(scope(shots=shots, unchanged_at=same))

    assert (("stale", CRIT) in found) is stale


def test_a_stale_scope_says_what_it_had_and_what_the_last_night_did() -> None:
    """Never backed up, nothing that counts, a night that brought none and one that never ran are four things."""
    never = only(scope(shots=(), runs=(), newest=None), "stale")
    assert (
        "lab/user:7: never backed up; wanted within 36 hours; its next night is due at 2026-03-16 03:00" in never
    )
    assert "`strongroom run lab/user:7`" in never
    doubted = shot(quality="quarantined", counts=False, why_not="empty", settle="strongroom accept 1234")
    assert "nothing that counts is kept: 1 snapshot, the newest of 2026-03-15 03:00 UTC (quarantined)" in only(
        scope(shots=(doubted,)), "stale"
    )
    old = (shot(50 * HOUR),)
    failed = only(scope(shots=old, runs=(ran(ended="failed"),)), "stale")
    assert "last known to be backed up 2026-03-13 07:00 UTC, 2 days ago" in failed
    assert "the night due at 2026-03-15 03:00 UTC did not bring it" in failed
    assert "the night due at 2026-03-15 03:00 UTC never ran" in only(scope(shots=old, runs=NIGHTS[2:]), "stale")


def test_a_run_under_way_makes_nothing_fresh() -> None:
    """It is told, and the scope is stale all the same."""
    found = only(scope(shots=(shot(50 * HOUR),), runs=(ran(HOUR, ""),)), "stale")

    assert "a run is under way since 2026-03-15 08:00 UTC" in found


def test_an_instant_after_now_is_no_good_news() -> None:
    """A clock that was ahead for a night must not make a scope look fresh for a year."""
    ahead = scope(shots=(shot(50 * HOUR),), unchanged_at=NOW + 300 * DAY)

    assert ("stale", CRIT) in kinds(ahead)


@pytest.mark.parametrize(
    ("runs", "due", "missed"),
    [
        ((), 2 * HOUR, True),
        ((), timedelta(minutes=59), False),
        ((ran(timedelta(minutes=119)),), 2 * HOUR, False),
        ((ran(timedelta(minutes=119), trigger="import"),), 2 * HOUR, True),
        ((ran(9 * HOUR, ""),), 2 * HOUR, False),  # began before, and goes on
        ((ran(9 * HOUR, "", dead=True),), 2 * HOUR, True),
        ((ran(9 * HOUR, ended_at=NOW - HOUR),), 2 * HOUR, False),
    ],
)
def test_a_night_that_never_ran_is_told_before_anything_is_stale(
    runs: tuple[Any, ...], due: timedelta, missed: bool
) -> None:
    """An hour after it was due, where no run began since, nor was one under way then."""
    found = kinds(scope(due_at=NOW - due, runs=(*runs, *NIGHTS[1:])))

    assert (("missed", WARN) in found) is missed
    assert ("stale", CRIT) not in found


def test_a_missed_night_names_what_to_look_at() -> None:
    """When it was due, which run was the last, and when the next night is."""
    found = only(scope(runs=NIGHTS[1:]), "missed")

    assert "the night due at 2026-03-15 03:00 UTC never ran; the last began 2026-03-14 03:00 UTC" in found
    assert "`strongroom serve`" in found
    assert "the next is due at 2026-03-16 03:00 UTC" in found


def test_scopes_of_a_source_take_turns() -> None:
    """As long as one of its scopes runs, or did an hour ago, nobody of the source is missed."""
    second = scope(key=ScopeKey("lab", "user:8"), runs=NIGHTS[1:])

    def missed(first: ScopeSeen) -> bool:
        return any(alarm.kind == "missed" for alarm in told(survey(first, second)))

    assert not missed(scope(runs=(ran(5 * HOUR, ""), *NIGHTS)))
    assert not missed(scope(runs=(ran(timedelta(minutes=75)), *NIGHTS)))
    assert missed(scope(runs=(ran(5 * HOUR), *NIGHTS)))
    assert missed(scope(key=ScopeKey("office", "all"), runs=(ran(5 * HOUR, ""), *NIGHTS)))


def test_a_scope_that_nobody_has_seen_missed_no_night() -> None:
    """A schedule has a last night also before it was written: it is stale, which is true, and no more."""
    assert kinds(scope(shots=(), runs=())) == [("stale", CRIT)]
    assert kinds(scope(runs=(ran(50 * HOUR, trigger="import"),))) == []


# -- failed, died, slow


@pytest.mark.parametrize("ended", ["failed", "expired", "lost", "interrupted", "empty", "partial", "quarantined"])
def test_a_night_that_did_not_end_well_is_told_the_first_time_and_is_critical_the_second(ended: str) -> None:
    """Or at once, where the scope is stale; a run under way since hides nothing."""
    bad = ran(ended=ended, reason="no answer", hint="look there")

    assert kinds(scope(runs=(bad, *NIGHTS[1:]))) == [("failed", WARN)]
    assert kinds(scope(runs=(ran(HOUR, ""), bad, *NIGHTS[1:]))) == [("failed", WARN)]
    assert kinds(scope(runs=(bad, ran(30 * HOUR, "failed"), *NIGHTS[2:]))) == [("failed", CRIT)]
    assert kinds(scope(runs=(bad, *NIGHTS[1:]), shots=(shot(50 * HOUR),))) == [("stale", CRIT), ("failed", CRIT)]
    found = only(scope(runs=(bad, *NIGHTS[1:])), "failed")
    assert found == f"lab/user:7: the run of 2026-03-15 03:00 UTC ended {ended}: no answer / look there"


@pytest.mark.parametrize("ended", ["verified", "unchanged", "skipped"])
def test_a_good_end_ends_it(ended: str) -> None:
    """Whatever was before; but an import is no night."""
    bad = ran(30 * HOUR, "failed")
    assert kinds(scope(runs=(ran(ended=ended), bad))) == []
    assert kinds(scope(runs=(ran(ended=ended, trigger="import"), bad), due_at=None)) == [("failed", WARN)]


def test_why_something_kept_does_not_count_stays_in_the_archive() -> None:
    """Such a reason may name records; the alarm names the command that shows it."""
    bad = shot(quality="quarantined", counts=False, why_not="checks failed")
    run = ran(ended="quarantined", reason="missing: Plan B.xml", snapshot=bad.id)

    found = only(scope(shots=(bad, *SHOTS[1:]), runs=(run, *NIGHTS[1:])), "failed")

    assert "Plan B" not in found
    assert f"`strongroom show {bad.id[:8]}`" in found


def test_what_waits_for_a_person_is_told_once_and_ends_when_it_is_accepted() -> None:
    """The alarm has the command; whoever accepts the snapshot makes its night a good one."""
    bad = shot(quality="quarantined", counts=False, why_not="shrunken", settle="strongroom accept 0000 --reason …")
    older = replace(bad, number=19, id="9" * 64, taken_at=NOW - 30 * HOUR)
    runs = (ran(ended="quarantined", snapshot=bad.id), *NIGHTS[1:])
    waits = scope(shots=(bad, older, *SHOTS[1:]), runs=runs)

    assert kinds(waits) == [("waiting", WARN)]
    assert "1 more waits / `strongroom accept 0000 --reason …`; `reject`" in only(waits, "waiting")
    assert kinds(replace(waits, configured=False)) == [("waiting", WARN)]
    accepted = replace(bad, counts=True, settle="", why_not="")
    assert kinds(scope(shots=(accepted, *SHOTS[1:]), runs=runs)) == []


def test_a_run_whose_process_is_gone_is_told() -> None:
    """Once as a warning, and critical where the one before was not well either; the next run hides nothing."""
    dead = ran(ended="", dead=True)

    assert kinds(scope(runs=(dead, *NIGHTS[1:]))) == [("died", WARN)]
    assert kinds(scope(runs=(ran(HOUR, ""), dead, *NIGHTS[1:]))) == [("died", WARN)]
    assert kinds(scope(runs=(dead, ran(30 * HOUR, "lost")))) == [("died", CRIT)]
    assert "(downloading) has no end, and its process is gone" in only(scope(runs=(dead, *NIGHTS[1:])), "died")


def test_a_run_that_takes_too_long_is_told() -> None:
    """By the limit."""
    runs = (ran(13 * HOUR, ""), *NIGHTS[1:])

    assert kinds(scope(runs=runs)) == [("slow", WARN)]
    assert kinds(scope(runs=runs), run_longest_h=14) == []
    assert "for 13 hours (downloading); at most 12 hours" in only(scope(runs=runs), "slow")


# -- sizes


@pytest.mark.parametrize(
    ("size", "earlier", "odd"),
    [(200, 12, False), (199, 12, True), (1200, 12, False), (1201, 12, True), (1, 4, True), (1, 3, False)],
)
def test_a_size_is_odd_beside_at_least_four_others(size: int, earlier: int, odd: bool) -> None:
    """Less than half or more than three times the median."""
    found = kinds(scope(shots=(shot(size=size), *SHOTS[1 : earlier + 1])))

    assert found == ([("odd size", WARN)] if odd else [])


def test_a_size_that_was_settled_is_odd_no_more() -> None:
    """A person has accepted it, or the nights since have come to the same."""
    day_before, earlier = (shot(6 * HOUR + ago * DAY, 20 - ago, size=1, settled=True) for ago in (1, 5))
    assert kinds(scope(shots=(shot(size=1, settled=True), *SHOTS[1:13]))) == []
    assert kinds(scope(shots=(shot(size=1), day_before, *SHOTS[2:13]))) == []
    assert kinds(scope(shots=(shot(size=1), *SHOTS[1:5], earlier))) == [("odd size", WARN)]


def test_what_is_usual_are_the_ten_before_that_count() -> None:
    """An old level, and what does not count, say nothing; nor do sizes where nobody wants to hear of them."""
    old = tuple(shot((20 + ago) * DAY, 8 - ago, size=9000) for ago in range(8))
    doubted = tuple(shot(ago * DAY - HOUR, 30 + ago, size=9000, counts=False) for ago in range(1, 9))
    assert kinds(scope(shots=(SHOTS[0], *doubted, *SHOTS[1:11], *old))) == []

    small = scope(shots=(shot(size=4), *SHOTS[1:]))
    assert "number 20 (41000000, of 2026-03-15 03:00 UTC) holds 4 bytes, 1% of the usual 400 bytes" in only(
        small, "odd size"
    )
    assert kinds(small, smaller_than=0) == []


def test_the_newest_taken_is_looked_at_also_where_it_does_not_count() -> None:
    """And one alarm is told of a scope, of the newest."""
    doubted = shot(HOUR, 21, size=1, counts=False, why_not="checks failed")
    found = only(scope(shots=(doubted, shot(size=1), *SHOTS[1:])), "odd size")

    assert found.startswith("lab/user:7: number 21")


def test_only_configured_scopes_are_watched() -> None:
    """What was taken out, or imported, may be as old as it is."""
    gone = scope(configured=False, shots=(shot(900 * DAY),), runs=(ran(900 * DAY, "failed"),))

    assert kinds(gone) == []
