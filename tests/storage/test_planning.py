"""What a plan says: verdicts by standing and decisions, and why it is refused where something is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest

from storage.archive import Archive
from storage.decisions import Decision
from storage.errors import StorageError
from storage.index import pack_name
from storage.planning import Plan, plan, plan_scope
from storage.policy import Policy, Span
from storage.prune import forget
from storage.repair import plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Check, Outcome, Quality
from tests.doubles import LAB, NIGHT, OFFICE, START, backup, new_archive, noise, overwrite, pack_of, write

NOW = START + 30 * NIGHT
TWO = Policy(keep_last=2)


def nights(archive: Archive, many: int) -> list[Snapshot]:
    return [write(archive, {"a": b"%d" % n}, night=n) for n in range(many)]


def test_a_plan_tells_verdicts_standings_and_what_goes_on() -> None:
    """Of each snapshot, by id; nothing is changed."""
    archive = new_archive()
    chain = nights(archive, 5)
    coming = lambda: (NOW + n * NIGHT for n in count(1))  # noqa: E731
    made = plan_scope(archive, LAB, TWO, coming, now=NOW)

    assert [v.candidate.id for v in made.forgets] == [one.id for one in chain[2::-1]]
    assert made.erases == []
    assert made.snapshots == {one.id: one for one in chain}
    assert all(made.standings[one.id].counts for one in chain)
    assert made.goes_on == {chain[4].id: NOW + 2 * NIGHT, chain[3].id: NOW + NIGHT}
    assert archive.snapshots() == chain
    assert (made.refused, plan_scope(archive, LAB, TWO, now=NOW).goes_on) == ("", {})


def test_what_a_person_holds_or_rejects_reaches_the_verdict() -> None:
    """A hold keeps; a rejected one displaces nobody."""
    archive = new_archive()
    chain = nights(archive, 4)
    archive.decide(Decision("hold", LAB, 1, chain[0].id, NOW, "ada", "a trial"))
    archive.decide(Decision("reject", LAB, 4, chain[3].id, NOW, "ada", "empty"))
    made = plan_scope(archive, LAB, TWO, now=NOW)

    assert [v.candidate.number for v in made.forgets] == []
    assert any("a trial" in why for why in made.verdicts[-1].reasons)


def test_what_must_go_is_told_apart() -> None:
    """By keep_at_most: `forget` leaves it to `erase`."""
    archive = new_archive()
    nights(archive, 4)
    policy = Policy(keep_last=9, keep_at_most=Span(days=29))
    made = plan_scope(archive, LAB, policy, now=NOW)

    assert ([v.candidate.number for v in made.erases], made.forgets) == ([2, 1], [])
    assert forget(archive, made, now=NOW) == []
    assert len(archive.snapshots()) == 4


@pytest.mark.parametrize("what", ["damaged", "gap", "clock"])
def test_a_plan_is_refused_where_something_is_wrong(what: str) -> None:
    """It says what; nothing goes; other scopes are not stopped by it."""
    archive = new_archive()
    chain = nights(archive, 5)
    write(archive, {"z": b"z"}, key=OFFICE)
    now = NOW
    if what == "damaged":
        overwrite(archive.backend, chain[2].name, b"rot")
    elif what == "gap":
        archive.backend.delete(chain[2].name)
    else:
        now = chain[-1].manifest.committed_at - timedelta(minutes=11)
    made = plan_scope(archive, LAB, TWO, now=now)

    assert {"damaged": "00000003", "gap": "number 3", "clock": "time runs backwards"}[what] in made.refused
    assert (made.forgets, made.erases) == ([], [])
    assert plan_scope(archive, OFFICE, TWO, now=now).refused == ""
    with pytest.raises(StorageError, match="lab/group 1234"):
        forget(archive, made, now=now)


def test_ten_minutes_between_clocks_are_no_reason() -> None:
    """Hosts differ."""
    archive = new_archive()
    chain = nights(archive, 5)
    now = chain[-1].manifest.committed_at - timedelta(minutes=9)

    assert plan_scope(archive, LAB, TWO, now=now).refused == ""


def test_the_fuse_looks_at_each_scope_and_at_all() -> None:
    """One scope alone may blow it, and all together; the number to confirm is that of the whole plan."""
    archive = new_archive()
    nights(archive, 8)
    for night in range(6):
        write(archive, {"z": b"%d" % night}, key=OFFICE, night=night)

    def planned(**keep: int) -> Plan:
        policies = {LAB: Policy(keep_last=keep["lab"]), OFFICE: Policy(keep_last=keep["office"])}
        return plan(archive, [LAB, OFFICE], policies.__getitem__, lambda _: None, now=NOW)

    assert (planned(lab=6, office=5).total, planned(lab=6, office=5).forgetting) == (14, 3)
    assert planned(lab=6, office=5).fuse() == ""
    assert "4 of 14" in planned(lab=6, office=4).fuse()
    assert "lab/group 1234: 4 of 8" in planned(lab=4, office=6).fuse()
    assert planned(lab=4, office=6).fuse(4) == ""
    assert "not 5" in planned(lab=4, office=6).fuse(5)
    assert planned(lab=4, office=6).refused == []


def test_a_decision_between_plan_and_deed_is_seen() -> None:
    """A hold keeps its snapshot; a judgement stops what was planned without it; so does a loss of what stays."""
    archive = new_archive()
    chain = nights(archive, 6)
    made = plan_scope(archive, LAB, Policy(keep_last=4), now=NOW)
    archive.decide(Decision("hold", LAB, 1, chain[0].id, NOW, "ada", "a trial"))
    assert [tomb.id for tomb in forget(archive, made, now=NOW)] == [chain[1].id]

    made = plan_scope(archive, LAB, TWO, now=NOW)
    archive.decide(Decision("reject", LAB, 6, chain[5].id, NOW, "ada", "empty"))
    with pytest.raises(StorageError, match="accepted or rejected"):
        forget(archive, made, now=NOW)
    made = plan_scope(archive, LAB, TWO, now=NOW)
    archive.backend.delete(chain[5].name)
    with pytest.raises(StorageError, match="is gone"):
        forget(archive, made, now=NOW)
    assert {one.id for one in archive.snapshots()} == {chain[0].id, *(one.id for one in chain[2:5])}


def test_an_unreadable_decision_is_a_hold_and_no_refusal() -> None:
    """Its snapshot stays; others go."""
    archive = new_archive()
    chain = nights(archive, 5)
    made = archive.decide(Decision("release", LAB, 1, chain[0].id, NOW, "ada", ""))
    from storage.decisions import decision_name

    overwrite(archive.backend, decision_name(LAB, 1, made.n), b"rot")
    found = plan_scope(archive, LAB, TWO, now=NOW)

    assert found.refused == ""
    assert [v.candidate.number for v in found.forgets] == [3, 2]


def test_quality_still_counts() -> None:
    """Quarantined nights displace nothing."""
    archive = new_archive()
    good = nights(archive, 2)
    for night in range(2, 6):
        write(archive, {"a": b"%d" % night}, night=night, quality=Quality.QUARANTINED)
    made = plan_scope(archive, LAB, TWO, now=datetime(2026, 5, 1, tzinfo=START.tzinfo))

    assert {one.id for one in good} <= {v.candidate.id for v in made.verdicts if v.keep}


def _same(now: datetime) -> datetime:
    return now


def test_what_is_damaged_displaces_no_whole_copy() -> None:
    """Its pack is gone: two damaged nights with keep_last = 1 do not push the last whole one out."""
    now = START + 3 * NIGHT
    for mended in (False, True):
        archive = new_archive()
        shared = noise(50_000, 9)
        old = write(archive, {"f": noise(50_000, 1)}, night=0)
        first = write(archive, {"f": shared}, night=1)
        second = write(archive, {"f": shared, "g": b"more"}, night=2)
        archive.backend.delete(pack_name(pack_of(archive, first, "f")))
        if mended:
            mend = plan_repair(archive, scrub(archive).findings)
            repair(archive, mend, clock=partial(_same, now), record_id="20260304-r")

        made = plan_scope(archive, LAB, Policy(keep_last=1, keep_at_least=Span(hours=1)), now=now)

        assert {found: made.standings[found].counts for found in made.standings} == {
            old.id: True, first.id: False, second.id: False,
        }  # fmt: skip
        assert old.id in {verdict.candidate.id for verdict in made.verdicts if verdict.keep}
        assert "damaged" in made.standings[second.id].why_not


def test_a_date_in_doubt_erases_nothing() -> None:
    """A night from a clock with a dead battery, in 2000, waits for a person, whatever keep_at_most says."""
    archive = new_archive()
    nights(archive, 3)
    odd = write(archive, {"f": b"2"}, night=-9500)
    write(archive, {"f": b"3"}, night=4)

    made = plan_scope(archive, LAB, Policy(keep_at_most=Span(years=1)), now=START + 5 * NIGHT)

    assert not made.standings[odd.id].counts
    assert (made.erases, made.forgets) == ([], [])


@pytest.mark.parametrize("why", ["partial", "failed", "rejected", "pack missing"])
def test_a_date_in_doubt_erases_nothing_whatever_else_is_wrong(why: str) -> None:
    """Two nights of a clock that stood in 2001 stay, though something else is told of them first."""
    archive = new_archive()
    quality = {"partial": Quality.PARTIAL, "failed": Quality.QUARANTINED}.get(why, Quality.VERIFIED)
    failed = (Check("export date", Outcome.FAILED),) if why == "failed" else ()
    dead = START - 9200 * NIGHT
    old = [backup(archive, dead + n * NIGHT, START + n * NIGHT, quality=quality, checks=failed) for n in range(2)]
    backup(archive, START + 2 * NIGHT, START + 2 * NIGHT)
    for one in old:
        if why == "rejected":
            archive.decide(Decision("reject", LAB, one.number, one.id, NOW, "ada", "odd"))
        elif why == "pack missing":
            archive.backend.delete(pack_name(one.manifest.packs[0]))
    now = START + 3 * NIGHT

    made = plan_scope(archive, LAB, Policy(keep_last=9, keep_at_most=Span(years=12)), now=now)

    assert "misdated" not in made.standings[old[0].id].why_not
    assert [v.candidate.number for v in made.verdicts if v.must_go] == []


def test_one_of_each_scope_is_what_a_night_lets_go() -> None:
    """Four scopes that lose one of four each are no alarm; one that loses four of six is."""
    archive = new_archive()
    keys = [ScopeKey("lab", f"user {n}") for n in range(4)]
    for key in keys:
        for night in range(4):
            write(archive, {"f": bytes([night])}, key=key, night=night)
    now = START + 5 * NIGHT

    def fuse(keep: int) -> str:
        policy = Policy(keep_last=keep)
        return plan(archive, keys, lambda _: policy, lambda _: None, now=now).fuse()

    assert fuse(3) == ""
    assert "8 of 16" in fuse(2)
