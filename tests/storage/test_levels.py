"""Whether an export is like those before it: worked nights, what is learned, and a year of many labs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.dates import misdated
from storage.levels import judge
from storage.seen import LEVEL, Finding, Seen, asked, seen
from storage.snapshot import Compared, Snapshot, to_text
from storage.verify import Check, Outcome, Quality, fold
from storage.verify import judge as quality_of
from tests.doubles import NIGHT, START, draft, new_archive, write
from tests.storage.levels_table import KINDS, detected, false_alarms


def one(number: int, records: int | None = 1000, **other: Any) -> Seen:
    """A night of a lab whose records have three members of ten kilobytes each."""
    count = 0 if records is None else records
    fields: dict[str, Any] = {
        "id": f"{number:064x}",
        "number": number,
        "taken_at": START + number * NIGHT,
        "committed_at": START + number * NIGHT,
        "request": "{}",
        "quality": Quality.VERIFIED,
        "size": count * 30_000 + 22,
        "files": 1,
        "members": count * 3,
        "records": records,
    }
    return Seen(**{**fields, **other})


def nights(*records: int) -> list[Seen]:
    """One after the other, from number 1."""
    return [one(number, count) for number, count in enumerate(records, start=1)]


CALM = nights(*[1000] * 40)
YOUNG = nights(1000)

# What came after which nights, what it is called, and the figures that say so.
CASES: dict[str, tuple[list[Seen], Seen, Finding, str]] = {
    "as ever": (CALM, one(41), Finding.NORMAL, ""),
    # 15 % is the floor of a calm history's band: 850 is out, 851 in.
    "a loss at the floor": (CALM, one(41, 850), Finding.SHRUNKEN, "records"),
    "a loss within it": (CALM, one(41, 851), Finding.NORMAL, ""),
    "a lab of 12,000 that loses a fifth": (
        nights(*[12_000] * 40),
        one(41, 9_600),
        Finding.SHRUNKEN,
        "records",
    ),
    # Four of five and three of four are one record each.
    "one record of five": (nights(5, 5, 5, 5), one(5, 4), Finding.NORMAL, ""),
    "one record of four": (nights(4, 4, 4, 4), one(5, 3), Finding.NORMAL, ""),
    "two records of five": (nights(5, 5, 5, 5), one(5, 3), Finding.NORMAL, ""),
    "nine records of ten": (nights(10, 10, 10, 10), one(5, 1), Finding.SHRUNKEN, "records members"),
    # A young scope's band is wide: half.
    "a young lab loses 40 %": (YOUNG, one(2, 600), Finding.NORMAL, ""),
    "a young lab loses half": (YOUNG, one(2, 500), Finding.SHRUNKEN, "records members"),
    # Growth: three times what was, and a hundred items are always in.
    "three labs": (CALM, one(41, 3000), Finding.NORMAL, ""),
    "more than three labs": (CALM, one(41, 3001), Finding.GROWN, "records"),
    "a small lab gets a hundred": (nights(5, 5, 5, 5), one(5, 105), Finding.NORMAL, ""),
    "a young lab fills": (nights(50), one(2, 500), Finding.NORMAL, ""),
    # The records are all there, and what belongs to them is not.
    "attachments are missing": (CALM, one(41, 1000, members=2000), Finding.SHRUNKEN, "members"),
    "a film was deleted": (CALM, one(41, 1000, size=13_000_000), Finding.NORMAL, ""),
    "the bytes are missing": (CALM, one(41, 1000, size=11_000_000), Finding.SHRUNKEN, "bytes"),
    "a film was added": (CALM, one(41, 1000, size=129_000_000), Finding.NORMAL, ""),
    "bytes out of all measure": (CALM, one(41, 1000, size=151_000_000), Finding.GROWN, "bytes"),
    # Where a system tells only files, or only bytes, these are the finest figure.
    "a fifth of the files": (
        [one(n, None, files=500, size=10**8) for n in range(1, 10)],
        one(10, None, files=400, size=10**8),
        Finding.SHRUNKEN,
        "files",
    ),
    "a fifth of a table": (
        [one(n, None, size=10**6) for n in range(1, 10)],
        one(10, None, size=800_000),
        Finding.SHRUNKEN,
        "bytes",
    ),
    # Format 1 did not count members, formats 1 and 2 no records: nothing is made of that.
    "members are counted since": (
        [one(n, None, size=10**8) for n in range(1, 10)],
        one(10, 900, size=10**8),
        Finding.NORMAL,
        "",
    ),
    "members are not counted any more": (
        CALM,
        one(41, None, size=CALM[-1].size),
        Finding.NORMAL,
        "",
    ),
    # Empty.
    "nothing": (CALM, one(41, 0), Finding.EMPTY, "records"),
    "nothing, the first night": ([], one(1, 0), Finding.EMPTY, "records"),
    "an empty ZIP, the first night": ([], one(1, None, size=22), Finding.EMPTY, "records"),
    "no file at all": ([], one(1, None, size=0, files=0), Finding.EMPTY, "records"),
    "a small file, the first night": ([], one(1, None, size=300), Finding.NORMAL, ""),
    "nothing, where a person took nothing for a level": ([one(1, 0)], one(2, 0), Finding.NORMAL, ""),
    "something, where nothing was": ([one(1, 0)], one(2, 5), Finding.NORMAL, ""),
    "the first": ([], one(1, 7), Finding.NORMAL, ""),
    # An export from a file is held against those that were taken before it.
    "an old export": (
        nights(*[100] * 10, *[1000] * 10),
        one(21, 100, fetched=False, taken_at=START + 10 * NIGHT),
        Finding.NORMAL,
        "",
    ),
    "the oldest export": (CALM, one(41, 3, fetched=False, taken_at=START), Finding.NORMAL, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_worked_cases(case: str) -> None:
    """Each with its reason beside it, above."""
    history, tonight, finding, things = CASES[case]
    judgement = judge(history, tonight)

    assert (judgement.finding, " ".join(reason.thing for reason in judgement.reasons)) == (finding, things)


def compared(count: int, gone: int, came: int, *, records: bool = True, n: int = 41, of: int = 40) -> Seen:
    """Tonight, compared with number `of`."""
    base = CALM[of - 1]
    members = 3 * count
    told = one(n, count if records else None, members=members, size=count * 30_000 + 22)
    return replace(told, compared=(Compared(base.id, gone, came, 1000 if records else 3000),))


def test_records_that_are_gone_are_not_made_up_for_by_new_ones() -> None:
    """A tenth of the ids is out of the band, whatever came."""
    judgement = judge(CALM, compared(1000, gone=100, came=100))

    assert judgement.finding is Finding.SHRUNKEN
    assert judgement.reasons[0].sentence() == (
        "level 100 record ids gone, promised at most 99 "
        "(shrunken: number 40 has 1,000, and new ones do not make up for them)"
    )
    assert judge(CALM, compared(1000, gone=99, came=99)).normal


def test_a_renamed_folder_is_no_loss() -> None:
    """Where only names of members are told, as many are gone as came; what is missing counts."""
    named = [replace(night, records=None) for night in CALM]

    assert judge(named, compared(1000, gone=1500, came=1500, records=False)).normal
    assert not judge(named, compared(860, gone=1500, came=1080, records=False)).normal
    assert judge(CALM, compared(1000, gone=2900, came=2900, records=False)).normal  # ids against names: no figure
    assert judge(named, compared(1000, gone=2900, came=900)).normal


def test_a_comparison_with_another_than_the_one_that_counts_says_nothing() -> None:
    """It is for the day on which that one is accepted."""
    assert judge(CALM, compared(1000, gone=900, came=900, of=39)).normal


def test_a_scope_that_swings_teaches_its_own_band() -> None:
    """Swings of a quarter: a loss of 30 % is a usual night; of more than half never, whatever was learned."""
    swings = nights(*[1000, 750] * 15, 1000)

    assert judge(swings, one(32, 700)).normal
    assert judge(swings, one(32, 500)).finding is Finding.SHRUNKEN
    assert judge(nights(*[1000, 100] * 15, 1000), one(32, 500)).finding is Finding.SHRUNKEN


def test_one_big_night_teaches_nothing() -> None:
    """An import of half a lab, and the same band as before."""
    history = nights(*[1000] * 20, *[1500] * 10)

    assert judge(history, one(31, 1260)).finding is Finding.SHRUNKEN
    assert judge(history, one(31, 1290)).normal


def test_what_a_month_changes_does_not_widen_the_band_of_a_night() -> None:
    """Retention left months and a few days: only steps of about a night teach, unless tonight is a month later."""
    months = [one(30 * n, 1000 if n % 2 else 700) for n in range(1, 21)]
    days = [one(600 + n, 1000) for n in range(1, 5)]
    night, month = one(605, 800), one(640, 800)

    assert judge([*months, *days], night).finding is Finding.SHRUNKEN
    assert judge([*months, *days], month).normal


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 35))
def test_more_is_never_judged_a_graver_loss(base: int, now: int, count: int) -> None:
    """One record more never turns a normal night into a shrunken one; and what is equal is normal."""
    history = nights(*[base] * count)
    loss = (Finding.SHRUNKEN, Finding.EMPTY)

    assert judge(history, one(count + 1, base)).normal
    if judge(history, one(count + 1, now)).finding not in loss:
        assert judge(history, one(count + 1, now + 1)).finding not in loss


# -- dates


@pytest.mark.parametrize(
    ("ahead_min", "waited_min", "wrong"),
    [
        (0, 0, False),
        (9, 0, False),
        (11, 0, True),
        (0, 230, False),  # hours for the credential: the question is later than the login by right
        (11, 230, True),
        (60 * 24 * 365, 0, True),
        (-60, 0, False),  # late by an hour: harmless
        (-60 * 24 * 8, 0, True),
    ],
)
def test_our_clock_beside_the_systems(ahead_min: int, waited_min: int, wrong: bool) -> None:
    """Ahead by more than ten minutes is misdated, a wait for the credential is not."""
    began = START + timedelta(minutes=ahead_min)
    night = one(1, taken_at=began + timedelta(minutes=waited_min), begun_at=began, server_time=START)

    assert (misdated(night) is not None) is wrong
    assert (judge([], night).finding is Finding.MISDATED) is wrong


def test_a_question_that_an_earlier_run_asked_has_a_day() -> None:
    """When it logged in is then not known by our clock."""
    night = one(1, taken_at=START + timedelta(hours=20), server_time=START)

    assert misdated(night) is None
    assert misdated(replace(night, taken_at=START + timedelta(hours=25))) is not None


# -- manifests


def snapshot(**other: Any) -> Snapshot:
    """A real one, with a draft of its own."""
    found = write(new_archive(), {"a.zip": b"abc"})
    return replace(found, manifest=replace(found.manifest, draft=draft(**other)))


def test_what_is_seen_of_a_manifest() -> None:
    """Of format 2, which tells no level; the request without what a search found."""
    vendor = {"version": "2.10", "server_time": to_text(START)}
    request = {"kind": "selection", "search": "x", "resolved": {"ids": [1, 2]}}
    found = seen(snapshot(vendor=vendor, request=request))

    assert (found.number, found.size, found.files, found.members) == (1, 3, 1, 0)
    assert (found.request, found.fetched) == ('{"kind":"selection","search":"x"}\n', True)
    assert (found.server_time, found.begun_at) == (START, START)
    assert (found.records, found.compared, found.failed, found.finding) == (None, (), (), None)
    assert asked({"kind": "selection", "search": "x"}) == found.request


def test_a_file_taken_in_was_not_fetched() -> None:
    """It has neither job nor vendor."""
    assert not seen(snapshot(vendor={}, job={})).fetched


def test_a_run_that_went_on_with_an_earlier_ones_job_did_not_begin_before_the_question() -> None:
    """The job's id is older than the run's: the login was another run's."""
    assert seen(snapshot(run_id="20260302-000000-aa", job_id="20260301-023000-bb")).begun_at is None
    assert seen(snapshot(run_id="night 7", job_id="night 7")).begun_at is None


def test_a_judgement_is_kept_as_checks_and_read_again() -> None:
    """Failed ones quarantine; what else failed is told apart; also where checks were folded."""
    judgement = judge(CALM, one(41, 300))
    crc = Check("crc32", Outcome.FAILED, "a.zip", "1", "2")
    many = [Check("size", Outcome.PASSED, f"{n}.zip", "3", "3") for n in range(99)]
    checks = judgement.checks()

    assert quality_of(checks) is Quality.QUARANTINED
    assert {check.name for check in checks} == {LEVEL}
    found = seen(snapshot(quality=Quality.QUARANTINED, checks=tuple(fold([*many, crc, *checks]))))
    assert (found.finding, found.failed) == (Finding.SHRUNKEN, ("crc32",))
    assert found.said == "; ".join(reason.sentence() for reason in judgement.reasons)


@pytest.mark.parametrize("finding", [f for f in Finding if f is not Finding.NORMAL])
def test_every_finding_is_read_again(finding: Finding) -> None:
    """And a word of a later version is taken for the strictest."""
    failed = Check(LEVEL, Outcome.FAILED, reason=f"{finding}: so it was")

    assert seen(snapshot(checks=(failed,))).finding is finding
    assert seen(snapshot(checks=(replace(failed, reason="odd: so it was"),))).finding is Finding.SHRUNKEN


def test_a_normal_night_says_what_it_was_held_against() -> None:
    """And the first, that there was nothing: neither fails."""
    assert [check.sentence() for check in judge(CALM, one(41)).checks()] == ["level as number 40"]
    first = judge([], one(1)).checks()
    assert [check.outcome for check in first] == [Outcome.NOT_AVAILABLE]
    assert seen(snapshot(checks=tuple(first))).finding is Finding.NORMAL


# -- a year of many labs: `python -m tests.storage.levels_table` prints the whole tables


@pytest.mark.parametrize("kind", KINDS)
def test_normal_labs_are_left_alone(kind: str) -> None:
    """Fewer than one false alarm in ten lab-years, whatever an export tells."""
    assert false_alarms(40, kind).per_ten_years < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [5, 20, 100, 1_000, 12_000])
def test_deletes_of_five_percent_are_never_quarantined(kind: str, size: int) -> None:
    """Beside a night's own work."""
    assert detected(size, 0.05, kind, trials=2 if size > 1000 else 20) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "loss", "least"),
    [
        (5, 1.0, 1.0),
        (20, 0.5, 0.8),
        (20, 0.9, 1.0),
        (100, 0.2, 0.8),
        (100, 0.3, 1.0),
        (1_000, 0.2, 1.0),
        (12_000, 0.2, 1.0),
        (12_000, 1.0, 1.0),
    ],
)
def test_losses_are_found(kind: str, size: int, loss: float, least: float) -> None:
    """At least so many of so many labs."""
    assert detected(size, loss, kind, trials=2 if size > 1000 else 20) >= least
