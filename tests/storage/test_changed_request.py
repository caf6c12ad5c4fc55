"""A request that was changed, to another format for one: what its first nights are held against, until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.levels import judge
from storage.seen import Finding, Seen
from tests.doubles import START
from tests.storage.levels_stories import live
from tests.storage.levels_table import detected
from tests.storage.test_levels import CALM, nights, one

HTML: dict[str, Any] = {"request": '{"format":"html"}'}

# What came after which nights, what it is called, and the figures that say so.
CASES: dict[str, tuple[list[Seen], Seen, Finding, str]] = {
    # The first of another request: the records in the band of a young scope, whatever else the format changes.
    "another format": (CALM, one(41, 1000, size=400_000, members=1000, **HTML), Finding.NORMAL, ""),
    "another format, 40 % fewer": (CALM, one(41, 600, **HTML), Finding.NORMAL, ""),
    "another format, half": (CALM, one(41, 500, **HTML), Finding.SHRUNKEN, "records"),
    "another format, a hundred times as many": (CALM, one(41, 100_000, **HTML), Finding.NORMAL, ""),
    "another format, three of four": (nights(4), one(2, 3, **HTML), Finding.NORMAL, ""),
    "another format, where a person took nothing for a level": (
        [one(1, 0)],
        one(2, 5, **HTML),
        Finding.NORMAL,
        "",
    ),
    "another format, empty": (CALM, one(41, 0, **HTML), Finding.EMPTY, "records"),
    # Where no records are known, bytes that are next to none.
    "a tenth of the bytes": (
        [one(n, None, size=10**6) for n in range(1, 10)],
        one(10, None, size=10**5, **HTML),
        Finding.NORMAL,
        "",
    ),
    "fewer than that": (
        [one(n, None, size=10**6) for n in range(1, 10)],
        one(10, None, size=10**5 - 1, **HTML),
        Finding.SHRUNKEN,
        "bytes",
    ),
    "records that only one of them tells": (CALM, one(41, None, size=CALM[-1].size, **HTML), Finding.NORMAL, ""),
    # One night of it that counts is a level.
    "the second of another format": (
        [*CALM, one(41, 600, **HTML)],
        one(42, 250, **HTML),
        Finding.SHRUNKEN,
        "records members",
    ),
    "a return to the old format": ([*CALM, one(41, 100, **HTML)], one(42, 900), Finding.NORMAL, ""),
    "a return to less than the old format had": (
        [*CALM, one(41, 100, **HTML)],
        one(42, 800),
        Finding.SHRUNKEN,
        "records",
    ),
    # An old export is no measure of tonight's, nor tonight's of it.
    "another format, beside an import": (
        [*CALM, one(41, 10, fetched=False, taken_at=START)],
        one(42, 400, **HTML),
        Finding.SHRUNKEN,
        "records",
    ),
    "where only an import tells of that format": (
        [*CALM, one(41, 10, fetched=False, taken_at=START, **HTML)],
        one(42, 12, **HTML),
        Finding.SHRUNKEN,
        "records",
    ),
    # Nor does an import displace what was taken before it, unless it is like that.
    "an import in another format": (CALM, one(41, 10, fetched=False, **HTML), Finding.SHRUNKEN, "records"),
    "an import in another format, like its nights": (
        CALM,
        one(41, 990, fetched=False, **HTML),
        Finding.NORMAL,
        "",
    ),
    "an import in another format, older than all": (
        CALM,
        one(41, 10, fetched=False, taken_at=CALM[0].taken_at - timedelta(days=1), **HTML),
        Finding.NORMAL,
        "",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_worked_cases(case: str) -> None:
    """Each with its reason beside it, above."""
    history, tonight, finding, things = CASES[case]
    judgement = judge(history, tonight)

    assert (judgement.finding, " ".join(reason.thing for reason in judgement.reasons)) == (finding, things)


def test_a_loss_beside_another_request_says_that_the_request_has_changed() -> None:
    """With the earlier number; what is as before says, too, what it was held against."""
    lost, kept = judge(CALM, one(41, 100, **HTML)), judge(CALM, one(41, **HTML))

    assert [check.sentence() for check in lost.checks()] == [
        "level 100 records, promised at least 501 "
        "(shrunken: number 40 has 1,000 (-90 %), before the request changed)"
    ]
    assert [check.sentence() for check in kept.checks()] == ["level as number 40, which another request asked for"]
    assert (lost.against, kept.against, judge([], one(1, **HTML)).against) == (40, 40, None)


# count x what    judged     stands at the end
STORIES = {
    "another format with the same records counts at once": """
        10 x 1000    normal    counts
        3 x html 1000    normal    counts
    """,
    "another format with a tenth of the records waits, however often it comes": """
        10 x 1000    normal    counts
        30 x html 100    shrunken  waits
    """,
    "until a person says that it is right": """
        10 x 1000    normal    counts
        30 x html 100    shrunken  counts
        > accept 40
        3 x html 100 normal    counts
        html 10      shrunken  waits
    """,
    "or the records are there again": """
        10 x 1000    normal    counts
        2 x html 100 shrunken  settled
        html 1000    normal    counts
        html 100     shrunken  waits
    """,
    "or the request is as it was, which is held against its own level and settles no other's": """
        10 x 1000    normal    counts
        2 x html 100 shrunken  waits
        1000         normal    counts
        500          shrunken  waits
    """,
    "growth beside another request is no finding": """
        10 x 100     normal    counts
        2 x html 40,000    normal    counts
    """,
    "an old export that was taken in last is no measure of tonight's": """
        10 x 1000    normal    counts
        import 10    normal    counts
        html 100     shrunken  waits
    """,
    "a request that was changed, accepted by mistake and rejected, takes its nights along": """
        10 x 1000    normal    counts
        html 100     shrunken  settled
        > accept 11
        2 x html 100 normal    waits
        > reject 11
        html 100     shrunken  waits
        1000         normal    counts
        html 100     shrunken  waits
    """,
    "a level that was accepted by mistake, then the request was changed, and the level is rejected": """
        10 x 1000    normal    counts
        100          shrunken  settled
        > accept 11
        2 x html 100 normal    waits
        > reject 11
        1000         normal    counts
        html 100     shrunken  waits
    """,
    "what was too little beside another request is normal beside an older one": """
        10 x 1000    normal    counts
        2,900        normal    settled
        html 1000    shrunken  counts
        > reject 11
        html 1000    normal    counts
    """,
}


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    """What each night was called when it came, and how each stands at the end."""
    told = live(STORIES[story])

    assert [got for _, got in told.findings] == [promised for promised, _ in told.findings]
    assert [got for _, got in told.stands] == [promised for promised, _ in told.stands]


@pytest.mark.parametrize(
    ("kind", "loss", "least", "most"),
    [
        ("records", 0, 0, 0),
        ("records", 0.3, 0, 0),
        ("records", 0.9, 1.0, 1.0),
        ("bytes", 0, 0, 0),
        ("bytes", 0.5, 0, 0),
        ("bytes", 0.99, 0.8, 1.0),
    ],
)
def test_losses_beside_another_request(kind: str, loss: float, least: float, most: float) -> None:
    """With the first night of another format, of a third to three times the bytes: gross ones only."""
    assert least <= detected(1_000, loss, kind, trials=20, changed=True) <= most
