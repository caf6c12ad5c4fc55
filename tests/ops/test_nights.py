"""The calendar of nights: which mark each day has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from flows.ops.nights import WIDEST, Calendar, Cell, Due, Mark, calendar, strips
from flows.ops.survey import Ran, ScopeSeen
from tests.ops.landscape import NOW, scope_seen, settings_in, survey_of

VIENNA = ZoneInfo("Europe/Vienna")
ENDS = (
    "verified",
    "unchanged",
    "skipped",
    "partial",
    "quarantined",
    "empty",
    "failed",
    "expired",
    "interrupted",
    "",
)


def nightly(days: int, *, until: datetime = NOW) -> list[Due]:
    """A night a day at 03:30 in Vienna, the oldest first."""
    last = until.astimezone(VIENNA).replace(hour=3, minute=30, second=0)
    ats = [last - timedelta(days=back) for back in reversed(range(days))]
    return [Due(at.astimezone(UTC), at.date()) for at in ats if at <= until]


def ran(at: datetime, ended: str, *, dead: bool = False, exit: int = 0) -> Ran:
    """A run that began then and took ten minutes."""
    over = at + timedelta(minutes=10) if ended else None
    return Ran(f"run {at}", at, over, ended, exit, "secret reason", "", "schedule", "", 0, dead=dead)


def of(scope: ScopeSeen, dues: list[Due], days: int = 7) -> Calendar:
    """The calendar of one scope."""
    return calendar(survey_of(scope, nights=days), {scope.key: dues}, VIENNA, days)


def cells(scope: ScopeSeen, dues: list[Due], days: int = 7) -> tuple[Cell, ...]:
    """Its days."""
    return of(scope, dues, days).groups[0].rows[0].cells


def signs(scope: ScopeSeen, dues: list[Due], days: int = 7) -> str:
    """Its days as a line of signs, a dot where none was due."""
    return "".join(cell.mark.sign for cell in cells(scope, dues, days))


def with_runs(*runs: Ran) -> ScopeSeen:
    """A scope without snapshots that had these runs."""
    return replace(
        scope_seen("user", nights=0), runs=tuple(sorted(runs, key=lambda r: r.started_at, reverse=True))
    )


def test_each_end_has_its_sign() -> None:
    """From the oldest to the newest night; what is needed by nobody counts as unchanged."""
    dues = nightly(9)
    ends = ("verified", "unchanged", "skipped", "partial", "quarantined", "empty", "failed", "lost", "interrupted")
    runs = [ran(due.at, end) for due, end in zip(dues, ends, strict=True)]

    assert signs(with_runs(*runs), dues, 9) == "✓==PQE✕✕✕"


def test_a_night_that_was_due_and_did_not_run_is_missing() -> None:
    """And a day on which none was due is not."""
    dues = nightly(7)
    begun = ran(dues[0].at, "verified")

    assert signs(with_runs(begun), [dues[0], *dues[3:]]) == "✓··○○○…"  # the last was due five hours ago
    later = calendar(replace(survey_of(with_runs(begun), nights=7), at=NOW + timedelta(hours=8)),
                     {with_runs().key: dues}, VIENNA, 7)  # fmt: skip
    assert [cell.mark for cell in later.groups[0].rows[0].cells] == [Mark.VERIFIED, *[Mark.MISSING] * 6]


def test_before_its_first_sign_of_life_a_scope_misses_nothing() -> None:
    """A scope that was added three days ago had no nights before; one that never ran misses only the last."""
    dues = nightly(7, until=NOW + timedelta(hours=8))
    late = [replace(due, at=due.at - timedelta(hours=12)) for due in dues]

    assert signs(with_runs(ran(dues[4].at, "failed")), dues) == "····✕○…"
    assert signs(with_runs(), late) == "······○"


def test_a_schedule_that_was_moved_leaves_the_nights_before_where_they_were() -> None:
    """Later by minutes or by hours, or earlier: what ran on a day stays of that day, and none becomes missing."""
    dues = nightly(7)
    ran_then = with_runs(*(ran(due.at, "verified") for due in dues))
    for by in (timedelta(minutes=8), timedelta(hours=4), timedelta(hours=-3)):
        moved = [replace(due, at=due.at + by) for due in dues]
        assert signs(ran_then, moved) == "✓✓✓✓✓✓✓", by


def test_the_best_run_of_a_day_tells_and_the_others_are_named() -> None:
    """Who tries again by hand at noon, and succeeds, has a backup of that day; no reason is told."""
    dues = nightly(7)
    again = ran(dues[-2].at + timedelta(hours=9), "verified")
    runs = [ran(due.at, "verified") for due in dues[:-2]]
    found = cells(with_runs(*runs, ran(dues[-2].at, "failed", exit=13), again), dues)[-2]

    assert found.mark is Mark.VERIFIED
    assert found.told == "03:30 failed: the system did not deliver the export (13); 12:30 verified"


def test_what_runs_and_what_died() -> None:
    """A run whose process is gone has failed; one that goes on, after one that failed, may still mend the day."""
    dues = nightly(7)
    begun = ran(dues[0].at, "verified")
    last = dues[-1].at

    assert cells(with_runs(begun, ran(last, "", dead=True)), dues)[-1] == Cell(
        Mark.FAILED, "03:30 its process is gone"
    )
    assert cells(with_runs(begun, ran(last, "")), dues)[-1].mark is Mark.UNDER_WAY
    assert cells(with_runs(begun, ran(last, "failed"), ran(last + timedelta(hours=1), "")), dues)[-1].mark is (
        Mark.UNDER_WAY
    )


def test_an_import_is_no_night() -> None:
    """Nor does a scope miss nights from the day on which old exports of it were taken in."""
    dues = nightly(7)
    imported = replace(ran(dues[1].at, "verified"), trigger="import")

    assert signs(with_runs(imported, ran(dues[5].at, "verified")), dues) == "·····✓…"


def test_a_night_that_passes_midnight_belongs_to_the_day_it_was_due() -> None:
    """Due at 23:30, begun at 00:10: of yesterday. Without a schedule a run belongs to its own day."""
    due = Due(datetime(2026, 11, 20, 22, 30, tzinfo=UTC), date(2026, 11, 20))
    run = ran(due.at + timedelta(minutes=40), "verified")

    assert signs(with_runs(run), [due]) == "····✓··"
    assert signs(with_runs(run), []) == "·····✓·"


def test_days_are_those_of_the_zone_over_a_change_of_clocks() -> None:
    """Ninety days are ninety cells, each night in its own."""
    dues = nightly(90)
    scope = with_runs(*(ran(due.at, "verified") for due in dues))

    assert signs(scope, dues, 90) == "✓" * 90


def test_a_calendar_is_no_wider_than_can_be_looked_at() -> None:
    """A report of ten years has the last nights in its calendar."""
    found = of(with_runs(), [], 3660)

    assert (len(found.days), found.days[-1]) == (WIDEST, date(2026, 11, 22))


def test_a_source_tells_how_many_of_its_scopes_were_not_well() -> None:
    """A number where others were; the sign where it was all of them."""
    names = [f"user:{number}" for number in range(4)]
    ends = ["verified verified failed ", "failed verified failed verified", "failed unchanged failed verified",
            "failed unchanged quarantined verified"]  # fmt: skip
    dues = nightly(4)
    scopes = [
        replace(with_runs(*(ran(d.at, e) for d, e in zip(dues, text.split(" "), strict=True))),
                key=replace(scope_seen(name, nights=0).key))
        for name, text in zip(names, ends, strict=True)
    ]  # fmt: skip
    (group,) = calendar(survey_of(*scopes, nights=4), {one.key: dues for one in scopes}, VIENNA, 4).groups

    assert [(cell.mark, cell.part, cell.most) for cell in group.whole.cells] == [
        (Mark.FAILED, 3, True),
        (Mark.VERIFIED, 0, False),
        (Mark.FAILED, 0, False),
        (Mark.UNDER_WAY, 0, False),
    ]
    assert group.whole.cells[2].told == "3 failed, 1 quarantined"
    assert group.last == [(Mark.UNDER_WAY, 1), (Mark.VERIFIED, 3)]


def test_a_strip_has_the_last_two_weeks_of_each_scope(tmp_path: Path) -> None:
    """By its schedule, in its zone; who has none has no nights to miss; and each sign takes one column."""
    settings = settings_in(tmp_path)
    ends = {9: "", 4: "failed", 3: "quarantined"}
    lab = scope_seen("user:3", nights=11, how=lambda _, back: ends.get(back, "verified"))
    gone = scope_seen("paper", nights=40, how=lambda _, back: "verified" if back > 12 else "", configured=False)
    found = strips(settings, survey_of(lab, gone, nights=40))

    assert "".join(mark.sign for mark in found[lab.key].values()) == "···✓○✓✓✓✓✕Q✓✓✓"
    assert "".join(mark.sign for mark in found[gone.key].values()) == "✓" + "·" * 13
    assert list(found[lab.key])[-1] == date(2026, 11, 22)
    assert found[lab.key][date(2026, 11, 13)].word == "missing"
    assert {cell_len(mark.sign) for mark in Mark} == {1}
    assert len({mark.sign for mark in Mark}) == len(Mark)


@given(
    st.lists(st.tuples(st.integers(0, 60 * 24 * 20), st.sampled_from(ENDS), st.booleans()), max_size=30),
    st.sets(st.integers(0, 18), max_size=18),
    st.integers(7, 18),
)
def test_any_history_has_a_mark_for_each_day(
    history: list[tuple[int, str, bool]], missed: set[int], days: int
) -> None:
    """One cell a day, whatever happened; what is missing was due, and no day with a verified run looks bad."""
    runs = [ran(NOW - timedelta(minutes=back), end, dead=dead and not end) for back, end, dead in history]
    dues = [due for at, due in enumerate(nightly(18)) if at not in missed]
    scope = with_runs(*runs)
    found = of(scope, dues, days)
    (row,) = found.groups[0].rows

    assert len(row.cells) == len(found.days) == days
    for day, cell in zip(found.days, row.cells, strict=True):
        if cell.mark is Mark.MISSING:
            assert any(due.day == day for due in dues)
    best = sum(cell.mark is Mark.VERIFIED for cell in row.cells)
    assert best <= sum(run.ended == "verified" for run in runs)
    assert not any("secret" in cell.told for cell in row.cells)
    assert found.groups[0].whole.bad == row.bad
