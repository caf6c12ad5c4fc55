"""Which clocks are trusted to let something go: by what backups, systems and persons say of the time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.archive import Archive
from storage.decisions import Decision, Kind
from storage.planning import Plan, plan, plan_scope
from storage.policy import Policy, Span
from storage.prune import free, undelete
from storage.snapshot import ScopeKey
from tests.doubles import LAB, NIGHT, OFFICE, START, backup, copy, drop, new_archive, noise, write

YEARS = 365 * NIGHT
THIRD = ScopeKey("third", "all")
TWELVE = Policy(keep_last=3, keep_at_most=Span(years=12))


def test_a_clock_that_may_have_jumped_ahead_erases_nothing() -> None:
    """Without a backup for more than a month by this clock, what is too old waits; a person may still erase it."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    policy = Policy(keep_at_most=Span(years=1))

    refused = plan_scope(archive, LAB, policy, now=START + 400 * NIGHT)
    write(archive, {"f": b"now"}, night=400)
    agreed = plan_scope(archive, LAB, policy, now=START + 401 * NIGHT)

    assert "waits for a backup" in refused.refused
    assert (refused.erases, len(agreed.erases), agreed.refused) == ([], 2, "")  # the last two are there still


def test_a_night_that_the_clock_itself_dated_a_year_ahead_erases_nothing() -> None:
    """The system's clock did not agree with that night's, so it is no sign that a year has gone by."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    jumped = START + 400 * NIGHT
    backup(archive, jumped, START + 4 * NIGHT)

    made = plan_scope(archive, LAB, Policy(keep_at_most=Span(years=1)), now=jumped)

    assert "waits for a backup" in made.refused
    assert (made.erases, sum(verdict.must_go for verdict in made.verdicts)) == ([], 3)


def test_one_scope_dated_far_ahead_stops_itself_and_no_other() -> None:
    """A clock that was fifty years ahead for one night of a scope that is gone since."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    write(archive, {"f": b"1"}, key=OFFICE, night=18_000)
    now = START + 4 * NIGHT

    assert plan_scope(archive, LAB, Policy(keep_last=1), now=now).refused == ""
    refused = plan_scope(archive, OFFICE, Policy(keep_last=1), now=now)
    assert "time runs backwards" in refused.refused
    assert f"`strongroom accept {archive.snapshots(OFFICE)[0].id[:8]} --reason …`" in refused.hint


def test_a_clock_that_went_back_stops_all() -> None:
    """Two scopes were backed up after this time: it is the clock, and no scope's own trouble."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    write(archive, {"z": b"z"}, key=OFFICE, night=2)
    third = ScopeKey("office", "third")
    write(archive, {"y": b"y"}, key=third)

    refused = plan_scope(archive, third, Policy(keep_last=2), now=START + NIGHT).refused

    assert "time runs backwards" in refused


@pytest.mark.parametrize("what", ["jump between asking and commit", "import", "a system that tells no time"])
def test_only_a_backup_by_the_systems_clock_tells_that_years_went_by(what: str) -> None:
    """Our clock jumped twenty years, and dated what it could: an import, a commit, a silent system's night."""
    archive = new_archive()
    for night in range(3):
        backup(archive, START + night * NIGHT, START + night * NIGHT)
    jumped = START + 3 * NIGHT + 20 * YEARS
    if what == "import":
        backup(archive, START + NIGHT, None, key=OFFICE, kept=jumped, fetched=False)
    elif what == "a system that tells no time":
        backup(archive, jumped, None, key=OFFICE)
    else:
        backup(archive, START + 3 * NIGHT, START + 3 * NIGHT, kept=jumped)

    made = plan_scope(archive, LAB, TWELVE, now=jumped + timedelta(minutes=9))

    assert f"the newest backup is of {START + 2 * NIGHT:%Y-%m-%d}" in made.refused
    assert "waits for a backup" in made.refused and "strongroom erase" in made.hint
    assert made.erases == []


def test_where_no_system_tells_its_time_our_clock_has_to_do() -> None:
    """What was fetched within a month by it; an import is no backup."""
    archive = new_archive()
    for night in (0, 1, 400):
        backup(archive, START + night * NIGHT, None)
    year = Policy(keep_at_most=Span(years=1))

    assert len(plan_scope(archive, LAB, year, now=START + 401 * NIGHT).erases) == 1  # of two: one is of the last
    backup(archive, START + 450 * NIGHT, None, fetched=False)
    assert "the newest backup is of" in plan_scope(archive, LAB, year, now=START + 450 * NIGHT).refused


def test_an_archive_of_imports_alone_erases_nothing_for_its_age() -> None:
    """Nothing in it tells the time."""
    archive = new_archive()
    backup(archive, START, None, fetched=False)

    assert "no backup tells the time" in plan_scope(archive, LAB, TWELVE, now=START + 13 * YEARS).refused


def test_the_last_copies_never_go_for_their_age_by_themselves() -> None:
    """The last two that count of a scope wait for a person; older ones go, and nothing else has to wait."""
    archive = new_archive()
    for night in range(4):
        backup(archive, START + night * NIGHT, START + night * NIGHT)
    for night in range(0, 4 * 365, 365):
        backup(archive, START + night * NIGHT, START + night * NIGHT, key=OFFICE)
    now = START + (3 * 365 + 1) * NIGHT

    def planned(key: ScopeKey, **most: int) -> Plan:
        policy = Policy(keep_at_most=Span(**most))
        return plan(archive, [key], lambda _: policy, lambda _: None, now=now)

    retired, old, older = planned(LAB, years=2), planned(OFFICE, months=10), planned(OFFICE, months=25)

    assert [(made.forgetting, made.fuse(), len(made.waits)) for made in (retired, old, older)] == [
        (2, "", 1),
        (2, "", 1),
        (1, "", 0),
    ]
    assert "2 of 4 snapshots, the last copies that there are" in retired.waits[0]
    assert [v.candidate.number for v in retired.scopes[0].erases] == [2, 1]


@pytest.mark.parametrize("contradicts", ["the system", "who rejected them", "who accepted them long before"])
def test_wrong_dates_of_scopes_that_are_gone_block_nobody(contradicts: str) -> None:
    """Two scopes of a retired source end with a night dated ten years ahead; the others are planned as ever."""
    archive = new_archive()
    for night in range(8):
        write(archive, {"a": b"%d" % night}, night=night)
    for key in (OFFICE, THIRD):
        told = START + NIGHT if contradicts == "the system" else None
        odd = backup(archive, START + 10 * YEARS, told, key=key)
        if told is None:
            said: Kind = "reject" if "rejected" in contradicts else "accept"
            archive.decide(Decision(said, key, odd.number, odd.id, START + 2 * NIGHT, "ada", "a dead battery"))

    for days in (8, 365, 3000):
        made = plan_scope(archive, LAB, Policy(keep_last=5), now=START + days * NIGHT)
        assert (made.refused, len(made.forgets)) == ("", 3)
    assert "time runs backwards" in plan_scope(archive, LAB, Policy(keep_last=5), now=START).refused


def test_a_clock_that_went_back_is_believed_by_no_scope_where_a_system_told_its_time() -> None:
    """A scope that began at that clock: what it forgot would be freed as soon as the clock is right."""
    archive = new_archive()
    backup(archive, START, START)
    back = START - 400 * NIGHT
    for night in range(5):
        backup(archive, back + night * NIGHT, None, key=OFFICE)

    refused = plan_scope(archive, OFFICE, Policy(keep_last=2), now=back + 5 * NIGHT)

    assert "time runs backwards" in refused.refused
    assert plan_scope(archive, OFFICE, Policy(keep_last=2), now=START + NIGHT).refused == ""


@pytest.mark.parametrize("said", ["accept", "reject"])
def test_dates_ahead_that_nothing_contradicts_stop_all_until_a_person_decides(said: Kind) -> None:
    """The hint names the snapshot; what is said of each of them lets the others go on."""
    archive = new_archive()
    for night in range(3):
        write(archive, {"a": b"%d" % night}, night=night)
    for key in (OFFICE, THIRD):
        backup(archive, START + 10 * YEARS, None, key=key)
    now = START + 4 * NIGHT

    for _ in range(2):
        refused = plan_scope(archive, LAB, Policy(keep_last=1), now=now)
        if refused.refused:
            odd = archive.find(refused.hint.partition("strongroom accept ")[2][:8])
            archive.decide(Decision(said, odd.key, odd.number, odd.id, now, "ada", "a dead battery"))

    assert plan_scope(archive, LAB, Policy(keep_last=1), now=now).refused == ""


def test_nothing_is_freed_by_a_clock_that_may_have_jumped_ahead() -> None:
    """What was forgotten tonight can be brought back seven days long, unless a person is sure of the clock."""
    archive = new_archive()
    one = write(archive, {"a": noise(400, 1)})
    for night in (1, 2):
        write(archive, {"b": noise(400, 2)}, night=night)
    now = START + 3 * NIGHT
    drop(archive, one, now=now)
    jumped = now + 10 * YEARS

    done = free(archive, clock=lambda: jumped)

    assert (done.packs, done.bytes_freed, done.waits[:26]) == ((), 0, "the newest backup is of 20")
    assert undelete(archive, one.id, by="ada", reason="x", clock=lambda: now + NIGHT / 24).id == one.id
    archive.decide(Decision("release", LAB, one.number, one.id, now, "ada", ""))
    drop(archive, one, now=now)
    free(archive, clock=lambda: now)
    later = now + 8 * NIGHT
    assert len(free(copied(archive), clock=lambda: later).packs) > 0
    assert len(free(archive, clock=lambda: jumped, sure=True).packs) > 0


def copied(archive: Archive) -> Archive:
    return Archive.open(copy(archive.backend))
