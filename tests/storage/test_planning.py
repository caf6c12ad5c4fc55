"""What a plan says: verdicts by standing and decisions, and why it is refused where something is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest

from storage.archive import Archive
from storage.decisions import Decision
from storage.errors import StorageError
from storage.planning import Plan, plan, plan_scope
from storage.policy import Policy, Span
from storage.prune import forget
from storage.snapshot import Snapshot
from storage.verify import Quality
from tests.doubles import LAB, NIGHT, OFFICE, START, new_archive, overwrite, write

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
    """It says what; nothing goes; other scopes are not stopped by damage here."""
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
    assert bool(plan_scope(archive, OFFICE, TWO, now=now).refused) == (what == "clock")
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
