"""What persons decided about snapshots: kept in the archive, in order, and never released by loss."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import canonical, decisions
from storage.archive import Archive, Damaged
from storage.backend import Memory
from storage.catalog import Catalog
from storage.compare import Kind
from storage.decisions import Decision, decision_name, held, judged
from storage.errors import FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.facts import differences
from storage.repair import plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Clock,
    Died,
    FaultyBackend,
    copy,
    new_archive,
    overwrite,
    write,
)

GOLDEN = (
    '{"by":"M. Rossi","decision":"hold","format":1,"kind":"decision","made_at":"2026-03-01T02:30:00.000000Z",'
    '"n":1,"number":2,"reason":"an audit","scope":"group 1234","seal":"%s","snapshot":"'
    + "aa"
    * 32
    + '","source":"lab",'
    '"until":"2026-03-03T02:30:00.000000Z"}\n'
)
HOLD = Decision("hold", LAB, 2, "aa" * 32, START, "M. Rossi", "an audit", START + 2 * NIGHT, 1)
NAME = "decisions/lab/group%201234/00000002.1.json"


def about(found: Snapshot, kind: decisions.Kind = "hold", reason: str = "an audit") -> Decision:
    """A decision about a snapshot."""
    return Decision(kind, found.key, found.manifest.number, found.id, START, "M. Rossi", reason)


def test_the_bytes_of_a_decision_are_these_for_ever() -> None:
    """A change here is a new format; it comes back from them."""
    seal = hashlib.sha256(GOLDEN.replace('"seal":"%s",', "").encode()).hexdigest()

    assert decisions.encode(HOLD).decode() == GOLDEN % seal
    assert decisions.decode(decisions.encode(HOLD), NAME) == HOLD
    assert decisions.parse_name(NAME) == (LAB, 2, 1)


@pytest.mark.parametrize(
    "name",
    [
        "decisions/lab/all/00000001.json",
        "decisions/lab/all/00000000.1.json",
        "decisions/lab/all/00000001.0.json",
        "decisions/lab/all/1.1.json",
        "decisions/Lab/all/00000001.1.json",
        "decisions/lab/%ff/00000001.1.json",
    ],
)
def test_a_name_that_no_decision_has_tells_nothing(name: str) -> None:
    """Other spellings are no decisions; a scrub tells of them as strays."""
    archive = new_archive()
    archive.backend.put_new(name, [b"x"])

    assert decisions.parse_name(name) is None
    assert [finding.name for finding in scrub(archive).findings] == [name]


@pytest.mark.parametrize(
    "changes",
    [{"by": ""}, {"kind": "holds"}, {"kind": "release"}, {"snapshot": "aa"}, {"n": 0}, {"number": 0}],
)
def test_a_decision_that_nobody_can_make_is_refused(changes: dict[str, Any]) -> None:
    """By writer and reader: without a person, of another kind, with an end that its kind has not."""
    with pytest.raises(ValueError):
        decisions.encode(replace(HOLD, **changes))
    renamed = {"kind": "decision", **{("decision" if key == "kind" else key): to for key, to in changes.items()}}
    data = canonical.seal(canonical.unseal(decisions.encode(HOLD)) | renamed)
    with pytest.raises(ObjectCorrupt):
        decisions.decode(data, NAME)


def test_a_decision_of_a_newer_version_or_under_another_name_is_not_taken() -> None:
    """Nor is one that was renamed: order matters."""
    newer = canonical.seal(canonical.unseal(decisions.encode(HOLD)) | {"format": 2})
    with pytest.raises(FormatUnknown):
        decisions.decode(newer, NAME)
    with pytest.raises(ObjectCorrupt, match="holds decision 1"):
        decisions.decode(decisions.encode(HOLD), NAME.replace(".1.", ".2."))


def test_a_hold_ends_by_a_later_release_or_at_its_time() -> None:
    """One release ends all holds before it, none behind it; the reasons of all that stand are told."""
    first, second = replace(HOLD, until=None), replace(HOLD, n=2, reason="a court")
    release = replace(HOLD, kind="release", until=None, n=3)

    assert held([first, second], START) == {HOLD.snapshot: "an audit; a court"}
    assert held([second, first], START + 3 * NIGHT) == {HOLD.snapshot: "an audit"}
    assert held([second], START + 2 * NIGHT - timedelta(microseconds=1)) == {HOLD.snapshot: "a court"}
    assert held([second], START + 2 * NIGHT) == {}
    assert held([release, first, second], START) == {}
    assert held([release, first, replace(first, n=4)], START) == {HOLD.snapshot: "an audit"}


def test_the_last_judgement_counts() -> None:
    """By place, not by time; holds are no judgement."""
    accept = replace(HOLD, kind="accept", until=None, made_at=START + NIGHT)
    reject = replace(accept, kind="reject", n=2, made_at=START)

    assert judged([reject, accept, replace(HOLD, n=3)]) == {HOLD.snapshot: reject}


def test_only_a_release_ends_what_cannot_be_read() -> None:
    """It may be a hold: who accepts or rejects later says nothing of that."""
    unread = decisions.stand_in(LAB, 2, 2, HOLD.snapshot, at=START, problem="rot")
    accept = replace(HOLD, kind="accept", until=None)
    reject, later = replace(accept, kind="reject", n=3), replace(accept, n=4)

    assert held([accept, unread, reject, later], START).keys() == {HOLD.snapshot}
    assert held([unread, replace(later, kind="release")], START) == {}


def test_decisions_get_places_in_order_per_snapshot() -> None:
    """Each snapshot counts its own, in every scope; they are read back in order."""
    archive = new_archive()
    one, two, other = write(archive, {}), write(archive, {}, night=1), write(archive, {}, key=OFFICE)
    made = [archive.decide(about(found)) for found in (one, two, one, other)]

    assert [decision.n for decision in made] == [1, 1, 2, 1]
    assert archive.decisions(LAB) == [made[0], made[2], made[1]]
    assert archive.decisions() == [made[0], made[2], made[1], made[3]]
    assert scrub(archive).findings == ()


def test_a_lost_race_takes_the_next_place() -> None:
    """Two who decide at once are both heard."""
    archive = new_archive()
    found = write(archive, {})

    class Raced(FaultyBackend):
        met = False

        def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
            if not self.met:
                self.met = True
                Archive.open(self.inner).decide(about(found, reason="the other one"))
            return super().put_new(name, chunks)

    mine = Archive(Raced(archive.backend), archive.id, archive.scheme).decide(about(found))

    assert mine.n == 2
    assert [decision.reason for decision in archive.decisions()] == ["the other one", "an audit"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_decision_is_one_step(when: str) -> None:
    """Killed at any call it is there whole, or not at all; again, it is there."""
    for call in range(1, 9):
        memory = Memory()
        found = write(new_archive(memory), {})
        faulty = FaultyBackend(memory)
        archive = Archive.open(faulty)
        faulty.die(call, when)
        try:
            archive.decide(about(found))
        except Died:
            assert len(Archive.open(memory).decisions()) <= 1
            Archive.open(memory).decide(about(found))
        assert held(Archive.open(memory).decisions(), START) == {found.id: "an audit"}
        assert scrub(Archive.open(memory)).findings == ()
        if faulty.unused:
            break
    assert faulty.unused


@pytest.mark.parametrize("damage", ["rot", "newer", "missing"])
def test_what_cannot_be_read_holds(damage: str) -> None:
    """Damaged, of a newer version, or gone before others: its snapshot is held until a later release."""
    archive = new_archive()
    found = write(archive, {})
    release = archive.decide(about(found, "release"))
    archive.decide(about(found, "accept"))
    name = decision_name(LAB, 1, 1)
    data = {"rot": b"rot", "newer": canonical.seal({"kind": "decision", "format": 2}), "missing": b""}[damage]
    overwrite(archive.backend, name, data) if data else archive.backend.delete(name)
    damaged: list[Damaged] = []
    read = archive.decisions(damaged=damaged)

    assert [bad.name for bad in damaged] == [name]
    assert [decision.unreadable for decision in read] == [True, False]
    assert "cannot be read" in held(read, START)[found.id]
    with pytest.raises((ObjectCorrupt, ObjectMissing, FormatUnknown)):
        archive.decisions()
    (finding,) = scrub(archive).findings
    assert finding.name == name
    assert "is held" in finding.problem
    archive.decide(replace(release, n=0))
    assert held(archive.decisions(damaged=[]), START) == {}


def test_the_snapshot_of_an_unreadable_decision_is_told_by_the_chain() -> None:
    """Where no other decision names it, its manifest does; where nothing does, there is nothing to hold."""
    archive = new_archive()
    found = write(archive, {})
    archive.backend.put_new(decision_name(LAB, 1, 1), [b"rot"])
    archive.backend.put_new(decision_name(ScopeKey("no", "where"), 7, 1), [b"rot"])

    assert held(archive.decisions(damaged=[]), START).keys() == {found.id}


def test_a_repair_brings_decisions_back_from_a_copy() -> None:
    """Damaged and missing ones; the damaged bytes are kept."""
    archive = new_archive()
    found = write(archive, {})
    for kind in ("hold", "release", "accept"):
        archive.decide(about(found, kind))
    twin = Archive.open(copy(archive.backend))
    overwrite(archive.backend, decision_name(LAB, 1, 1), b"rot")
    archive.backend.delete(decision_name(LAB, 1, 3))
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    done = repair(archive, plan, copy=twin, clock=Clock(), record_id="20260310-r")

    assert archive.decisions() == twin.decisions()
    assert len(done.evidence) == 1
    assert scrub(archive).findings == ()


def test_a_catalog_knows_decisions_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    """Filled when one is made and when the catalog is; what differs, lacks or cannot be read is told."""
    archive = new_archive()
    found = write(archive, {})
    name = decision_name(LAB, 1, 2)

    def kinds(catalog: Catalog) -> list[tuple[Kind, bool]]:
        return [(one.kind, "number 1, decision 2" in one.what) for one in differences(catalog, archive, now=START)]

    with Catalog.open(tmp_path / "c.db") as catalog, Catalog.open(tmp_path / "d.db") as filled:
        catalog.reindex(archive)
        catalog.record_decision(archive.decide(about(found)))
        second = archive.decide(about(found, "release"))
        data = archive.backend.get(name)
        assert kinds(catalog) == [(Kind.CATALOG_LACKS, True)]
        catalog.record_decision(second)
        assert (kinds(catalog), filled.reindex(archive), kinds(filled)) == ([], 3, [])
        assert filled.facts(now=START) == catalog.facts(now=START)
        overwrite(archive.backend, name, decisions.encode(replace(second, reason="another")))
        assert kinds(catalog) == [(Kind.DIFFERS, True)]
        overwrite(archive.backend, name, b"rot")
        assert kinds(catalog) == [(Kind.UNREADABLE, True)]
        archive.backend.delete(name)
        assert kinds(catalog) == [(Kind.ARCHIVE_LACKS, True)]
        archive.backend.put_new(name, [data])
        assert kinds(catalog) == []
