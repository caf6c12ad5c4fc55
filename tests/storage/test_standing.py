"""Which snapshots count: stories, night by night. What holds whatever comes is in `test_standing_laws.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.decisions import Decision, stand_in
from storage.seen import Finding
from storage.standing import refusal, standings
from storage.verify import Quality
from tests.storage.levels_stories import KEY, NIGHT, START, YEAR, Came, Life, live, shown

# count x what    judged     stands at the end
STORIES = {
    "a week of empty exports displaces nothing": """
        10 x 1000    normal    counts
        7 x 0        empty     waits
    """,
    "an empty night, and the lab is there again": """
        10 x 1000    normal    counts
        0            empty     settled
        1005         normal    counts
    """,
    "empty nights do not settle themselves, however many": """
        10 x 1000    normal    counts
        200 x 0      empty     waits
    """,
    "half of the lab is gone, for good: a person says so once": """
        10 x 1000    normal    counts
        3 x 500      shrunken  counts
        > accept 13
        5 x 500      normal    counts
    """,
    "the first of them accepted: the later ones are normal beside it": """
        10 x 1000    normal    counts
        3 x 500      shrunken  counts
        > accept 11
        2 x 500      normal    counts
    """,
    "an empty level that was accepted by mistake and is rejected takes the nights that rest on it along": """
        10 x 1000    normal    counts
        0            empty     settled
        > accept 11
        7 x 0        normal    waits
        > reject 11
        2 x 1000     normal    counts
    """,
    "accepted with it is only what is of its level": """
        10 x 1000    normal    counts
        2 x 0        empty     settled
        2 x 500      shrunken  counts
        > accept 14
        500          normal    counts
    """,
    "less than what is accepted, and other records, do not come with it": """
        10 x 1000    normal    counts
        200          shrunken  settled
        500          shrunken  counts
        > accept 12
        other 500    shrunken  waits
    """,
    "what was not compared with the accepted one is not taken for like it": """
        10 x 1000    normal    counts
        500          shrunken  counts
        500          shrunken  settled
        other 500    shrunken  waits
        > accept 11
        > reject 12
    """,
    "nor does it come with it": """
        10 x 1000    normal    counts
        500          shrunken  settled
        other 500    shrunken  settled
        other 500    shrunken  counts
        > reject 12
        > accept 13
    """,
    "a loss just out of the band, and a normal night near it": """
        10 x 1000    normal    counts
        840          shrunken  settled
        901          normal    counts
    """,
    "an old export taken in settles nothing": """
        10 x 1000    normal    counts
        500          shrunken  waits
        import 100   normal    counts
    """,
    "a loss within a loss is asked about again": """
        10 x 1000    normal    counts
        500          shrunken  counts
        > accept 11
        250          shrunken  waits
    """,
    "an accepted level, and then the old one again: grown, and settled by the next night": """
        10 x 1000    normal    counts
        200          shrunken  counts
        > accept 11
        2 x 200      normal    counts
        1000         grown     counts
        1000         normal    counts
    """,
    "as many records, and other ones": """
        10 x 1000    normal    counts
        other 1000   shrunken  waits
    """,
    "rejected: it is settled, and counts no more than before": """
        10 x 1000    normal    counts
        500          shrunken  settled
        > reject 11
        500          shrunken  waits
    """,
    "whoever decides last holds": """
        10 x 1000    normal    counts
        500          shrunken  settled
        > accept 11
        > reject 11
        500          shrunken  counts
        > reject 12
        > accept 12
    """,
    "a hold and its release are no judgement": """
        10 x 1000    normal    counts
        500          shrunken  counts
        > accept 11
        > hold 11
        > release 11
        500          normal    counts
    """,
    "ten labs in one night, and the next night too": """
        10 x 1000    normal    counts
        10,000       grown     counts
        10,010       normal    counts
    """,
    "ten labs in one night, and gone again": """
        10 x 1000    normal    counts
        10,000       grown     settled
        1000         normal    counts
    """,
    "growing and growing: the level counts once a night confirms it": """
        10 x 1000    normal    counts
        4,000        grown     settled
        40,000       grown     counts
        40,000       normal    counts
    """,
    "a partial night between: the growth is still confirmed": """
        10 x 1000    normal    counts
        10,000       grown     counts
        partial 700  normal    never
        10,000       normal    counts
    """,
    "partial and broken ones never count, and accepting mends nothing": """
        10 x 1000    normal    counts
        partial 900  normal    never
        failed 1000  normal    never
        > accept 11
        > accept 12
        1000         normal    counts
    """,
    "a broken night does not settle an empty one": """
        10 x 1000    normal    counts
        0            empty     waits
        failed 1000  normal    never
        partial 1000 normal    never
    """,
    "a clock a year ahead for two nights": """
        10 x 1000    normal    counts
        2 x ahead 1000   misdated  waits
        3 x 1000     normal    counts
    """,
    "what is both empty and misdated waits as both": """
        10 x 1000    normal    counts
        ahead 0      empty     waits
    """,
    "a wrong date that somebody accepts": """
        10 x 1000    normal    counts
        ahead 1000   misdated  counts
        > accept 11
        1000         normal    counts
    """,
    "old exports taken in: small beside today's, normal in their time": """
        10 x 1000    normal    counts
        import 100   normal    counts
        import 110   normal    counts
        1000         normal    counts
    """,
    "an old export that is empty": """
        10 x 1000    normal    counts
        import 0     empty     waits
        1000         normal    counts
    """,
    "another format has a level of its own; nothing in it is nothing": """
        10 x 1000    normal    counts
        html 600     normal    counts
        html 0       empty     settled
        html 600     normal    counts
        1000         normal    counts
    """,
    "another format settles no one's level": """
        10 x 1000    normal    counts
        500          shrunken  waits
        2 x html 1000    normal    counts
    """,
    "nothing from the first night on": """
        3 x 0        empty     waits
    """,
    "a lab that is really empty, and fills": """
        2 x 0        empty     counts
        > accept 2
        3 x 0        normal    counts
        2 x 5        normal    counts
    """,
    "a young lab of a few documents": """
        1            normal    counts
        3            normal    counts
        5            normal    counts
        4            normal    counts
        3            normal    counts
        30           normal    counts
    """,
    "the base was rejected: what was out of its band stays with a person": """
        1000         normal    settled
        100          shrunken  waits
        > reject 1
    """,
    "a base rejected, and the one before it is on the new level": """
        9 x 1000     normal    counts
        1100         normal    counts
        other 1100   shrunken  counts
        > accept 11
        other 1110   normal    settled
        > reject 12
        other 1110   normal    counts
    """,
}


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    """What each night was called when it came, and how each stands at the end."""
    told = live(STORIES[story])

    assert [got for _, got in told.findings] == [promised for promised, _ in told.findings]
    assert [got for _, got in told.stands] == [promised for promised, _ in told.stands]


def test_a_person_reads_what_why_and_which_command() -> None:
    """One command for all nights of a level, the newest's; each with thing, got, promised."""
    told = live("10 x 1000 normal counts\n 0 empty waits\n 3 x 500 shrunken waits")
    empty, *shrunken = told.life.standings()[10:]

    assert empty.why_not == "level 0 records (empty: number 10 has 1,000 records)"
    assert (empty.ask, empty.covers) == ("strongroom accept 0000000b --reason …", ())
    assert shrunken[0].why_not.startswith(
        "level 500 records, promised at least 851 (shrunken: number 10 has 1,000 (-50 %))"
    )
    assert "500 record ids gone, promised at most 99" in shrunken[0].why_not
    assert {one.ask for one in shrunken} == {"strongroom accept 0000000e --reason …"}
    assert [one.covers for one in shrunken] == [(), (), (12, 13)]


def test_a_standing_says_what_settled_it() -> None:
    """Who and why, or which night."""
    told = live("""
        10 x 1000    normal    counts
        0            empty     settled
        1000         normal    counts
        2 x 500      shrunken  counts
        > accept 14
        500          normal    counts
        9,000        grown     counts
        9,000        normal    counts
        ahead 9,000  misdated  waits
    """)
    lines = shown(told.life.standings())

    assert lines[0].endswith("| a later night that counts, number 12 |")
    assert lines[1:4] == [
        "13: counts | accepted by ada: looked with number 14 |",
        "14: counts | accepted by ada: looked |",
        "16: counts | growth that stayed, number 17 |",
    ]
    assert lines[4].startswith("18: level 2027-01-19 03:30 UTC, promised about 2026-01-19 03:30 UTC (misdated: ")


def test_accepting_what_failed_is_refused_with_its_reason() -> None:
    """For the command that would write the decision."""
    seen = live("1000 normal counts\n failed 1000 normal never\n partial 9 normal never\n 0 empty waits").life.seen

    assert [refusal(one).partition(";")[0] for one in seen] == [
        "",
        "checks failed: crc32",
        "the system itself says that it is partial",
        "",
    ]


def test_retention_that_thins_a_history_out_decides_nothing_anew() -> None:
    """A loss that waits does not become normal because the nights around it are gone."""
    life = Life()
    for night in range(60):
        life.night(Came(1000 - 8 * night))
    life.night(Came(420))
    assert life.seen[-1].finding is Finding.SHRUNKEN

    kept = [one for one in life.seen if one.number % 15 == 1]

    assert [s.counts for s in standings(kept, [], now=life.now)] == [True] * (len(kept) - 1) + [False]


def test_commits_that_go_back_are_misdated_and_those_around_them_are_not() -> None:
    """A clock that fell to 2000 for one night, and one that was a month ahead where nobody told the time."""
    life = live("9 x 1000 normal counts").life
    bare = [replace(one, server_time=None, begun_at=None) for one in life.seen]
    fallen, ahead = bare[3], bare[6]
    bare[3] = replace(fallen, taken_at=fallen.taken_at - 26 * YEAR, committed_at=fallen.committed_at - 26 * YEAR)
    bare[6] = replace(ahead, taken_at=ahead.taken_at + 30 * NIGHT, committed_at=ahead.committed_at + 30 * NIGHT)

    found = standings(bare, [], now=START + YEAR)

    assert [one.number for one in found if not one.counts] == [4, 7]
    assert found[3].why_not == "misdated: kept 2000-01-12 04:00 UTC, after one of 2026-01-04 04:00 UTC"
    assert found[6].why_not == "misdated: kept 2026-02-07 04:00 UTC, before one of 2026-01-09 04:00 UTC"
    assert found[3].ask == "strongroom accept 00000004 --reason …"


def test_a_night_that_nobody_judged_settles_others_only_where_it_is_normal() -> None:
    """Verified, by a version that knew no levels: it counts, and an empty night beside it still waits."""
    life = live("10 x 1000 normal counts\n 0 empty waits\n failed 500 normal never").life
    *before, last = life.seen
    low = replace(last, quality=Quality.VERIFIED, failed=(), finding=None)
    high = replace(low, records=1000, members=3000, size=before[9].size, compared=())

    assert [s.counts or s.pending for s in standings([*before, low], [], now=life.now)] == [True] * 12
    assert [s.pending for s in standings([*before, high], [], now=life.now)] == [False] * 12


def test_what_was_misdated_when_it_came_waits_for_a_person() -> None:
    """Also where the date has passed since, and normal nights came."""
    life = live("10 x 1000 normal counts\n ahead 1000 misdated waits\n 2 x 1000 normal counts").life
    passed = replace(life.seen[10], taken_at=life.seen[10].taken_at - YEAR, server_time=None)
    passed = replace(passed, committed_at=passed.committed_at - YEAR)

    assert standings([*life.seen[:10], passed, *life.seen[11:]], [], now=life.now)[10].pending


def test_what_is_ahead_of_now_does_not_count() -> None:
    """The newest is dated a year ahead, and no later one tells; a year later its commit still tells."""
    life = live("3 x 1000 normal counts").life
    taken = replace(life.seen[2], taken_at=START + YEAR, server_time=None)
    both = replace(taken, committed_at=START + YEAR)

    for one, now in ((taken, life.now), (both, life.now), (taken, START + 2 * YEAR)):
        assert [s.counts for s in standings([*life.seen[:2], one], [], now=now)] == [True, True, False]


@pytest.mark.parametrize("odd", [(1, 3, 5, 7, 9), (4,), (9,)])
def test_clocks_that_differ_by_minutes_are_right(odd: tuple[int, ...]) -> None:
    """Commits that seem to go back by nine minutes; by eleven they do."""
    life = live("9 x 1000 normal counts").life
    bare = [replace(one, taken_at=START - NIGHT, committed_at=START, server_time=None) for one in life.seen]
    for minutes in (9, 11):
        early = START - timedelta(minutes=minutes)
        near = [replace(one, committed_at=early if one.number in odd else START) for one in bare]
        assert all(one.counts for one in standings(near, [], now=START + NIGHT)) is (minutes == 9)


def test_a_snapshot_about_which_a_decision_cannot_be_read_does_not_count() -> None:
    """It may say that it should not, until a person decides anew. The others stand as before."""
    life = live("4 x 1000 normal counts\n 500 shrunken waits").life
    one, waiting = life.seen[1], life.seen[4]
    for about in (one, waiting):
        life.decide("accept", about.number)
        lost = stand_in(KEY, about.number, 2, about.id, at=START, problem="not JSON")
        life.decisions.append(lost)

    stands = life.standings()

    assert [s.counts for s in stands] == [True, False, True, True, False]
    for standing in (stands[1], stands[4]):
        assert (standing.why_not, standing.pending) == (
            "decision 2 about it cannot be read, so it is held: not JSON", False,
        )  # fmt: skip
    for about in (one, waiting):
        life.decisions.append(Decision("accept", KEY, about.number, about.id, START, "me", "looked again", n=3))
    assert all(s.counts for s in life.standings())
