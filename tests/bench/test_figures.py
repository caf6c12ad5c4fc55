"""What the comparison says of measured values."""

from __future__ import annotations

from tests.bench.course import Course
from tests.bench.figures import figures, overview, table
from tests.bench.lab import Spent
from tests.bench.tools import BORG, OURS, PROVEN, RESTIC
from tests.bench.zips import Payloads

MB = 1_000_000


def course(name: str, *, ours: float, peers: float, stored: tuple[int, int]) -> Course:
    """Two nights: seconds of everything, bytes of our repository after each night; the peers keep every byte."""
    one = Course(name, sizes=[100 * MB, 100 * MB])
    one.payloads = [Payloads(10, 90 * MB, 90 * MB, 0, 9), Payloads(10, 90 * MB, 2 * MB, MB, 2)]
    for tool in (OURS, PROVEN, RESTIC, BORG):
        mine = tool in (OURS, PROVEN)
        spent = [Spent(ours if mine else peers, 1.0, 70 * MB)]
        for taken in (one.first, one.later, one.restored, one.checked):
            taken[tool] = spent
        one.stored[tool] = list(stored) if mine else [100 * MB, 200 * MB]
    return one


def verdicts(one: Course) -> dict[tuple[str, str], bool | None]:
    """By figure and what it is compared with."""
    return {(f.name, f.against.split()[0]): f.good for f in figures({one.shape: one})}


def test_bytes_and_growth_are_held_against_their_reach() -> None:
    """A tenth of the peers is short of an eleventh; 2.4 MB for 2 MB of new payloads is just in reach."""
    good = verdicts(course("seq", ours=1, peers=10, stored=(15 * MB, 17_400_000)))
    short = verdicts(course("seq", ours=1, peers=10, stored=(15 * MB, 20 * MB)))

    assert good["bytes after 2 nights", "restic"] is True
    assert good["growth per night", "new"] is True
    assert good["growth per night", "less"] is None
    assert short["bytes after 2 nights", "restic"] is False
    assert short["growth per night", "new"] is False


def test_times_are_held_against_their_reach() -> None:
    """Seven tenths are in reach with the proof, not without it; a thing without a reach has no verdict."""
    found = verdicts(course("seq", ours=0.7, peers=1, stored=(1, 1)))

    assert found["later night, without rebuild proof", "restic"] is False
    assert found["later night, with rebuild proof", "restic"] is True
    assert found["first night, with rebuild proof", "restic"] is True
    assert found["scrub of all stored bytes", "restic"] is False
    assert found["scrub of all stored bytes", "borg"] is None


def test_a_set_without_ours_has_no_figures() -> None:
    """Peers alone are told in the overview."""
    one = course("seq", ours=1, peers=1, stored=(1, 1))
    del one.stored[OURS]

    assert figures({"seq": one}) == []
    assert "| restic | 200.0 | 100.00 | 100.00 |" in overview(one)


def test_the_table_says_short_in_capitals() -> None:
    """What falls short is seen at once."""
    text = table(figures({"many": course("many", ours=2, peers=1, stored=(1, 1))}))

    assert "SHORT" in text
    assert "| 70.0 MB | restic 70.0 MB, borg 70.0 MB | 70 | 200 | pass |" in text
