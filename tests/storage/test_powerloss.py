"""Power loss on a local disk: what was reported done is there, and what was not does no harm."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from storage import recipes
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.decisions import Decision, Kind
from storage.errors import StorageError
from storage.lease import TTL
from storage.scrub import scrub
from storage.sweeping import GRACE, sweep
from tests.doubles import LAB, NIGHT, PLAIN, START, Cases, drop, new_archive, noise, opened, read, write
from tests.storage.powerloss import Event, leave, recorded
from tests.storage.zips import export

NOW = START + 9 * NIGHT
KINDS: tuple[Kind, ...] = ("hold", "release")
Contents = list[dict[str, bytes]]


def live(archive: Archive) -> Contents:
    return [read(archive, found) for found in archive.snapshots()]


@pytest.fixture(autouse=True)
def small_zips_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that plans and payloads are among what is written."""
    monkeypatch.setattr(recipes, "CUT_FROM", 0)


def life(
    root: Path, patch: pytest.MonkeyPatch, secret: str | None
) -> tuple[list[Event], list[tuple[int, Contents]]]:
    """An archive's first days: the events, and after how many of them which snapshots were reported to be live."""
    reported: list[tuple[int, Contents]] = []
    with recorded(patch) as events:
        archive = new_archive(LocalDisk(root), secret)
        steps: list[Callable[[], object]] = [
            lambda: None,
            lambda: write(archive, {"a": noise(200, 0), "lab.zip": export(0)}),
            lambda: write(archive, {"a": noise(200, 0), "lab.zip": export(1)}, night=1),
            lambda: drop(archive, archive.snapshots()[0], now=START),
            lambda: sweep(archive, now=NOW),
            # A process that starts anew finds folders that another one made.
            lambda: write(opened(LocalDisk(root)), {"c": noise(300, 2)}, night=2),
        ]
        for step in steps:
            step()
            reported.append((len(events), live(archive)))
    return events, reported


def problems(left: Path, before: Contents, after: Contents) -> list[str]:
    """What is wrong with what is left, `before` having been reported last and `after` being under way."""
    try:
        archive = opened(LocalDisk(left))
    except StorageError as exc:
        return [str(exc)]
    found = [f"{finding.name}: {finding.problem}" for finding in scrub(archive).findings]
    if not found and live(archive) not in (before, after):
        found.append("other snapshots than those reported")
    return found


def sweep_of(
    events: list[Event], reported: list[tuple[int, Contents]], root: Path, scratch: Path, cases: Cases = PLAIN
) -> list[str]:
    """Problems over every instant after the archive was reported to exist, in four variants of luck."""
    rng = random.Random(3)
    numbers = count()
    found = []
    for done in cases.some(range(reported[0][0], len(events) + 1)):
        before = [state for at, state in reported if at <= done][-1]
        after = ([state for at, state in reported if at > done] or [before])[0]
        for chance in (0.0, 0.5, 0.5, 1.0):
            left = scratch / str(next(numbers))
            leave(events[:done], root, left, chance, rng)
            found += problems(left, before, after)
    return found


def test_power_may_go_at_any_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """Between any two calls: each snapshot reported is whole, the others are there or not, nothing is damaged."""
    root = tmp_path / "disk" / "archive"
    events, reported = life(root, monkeypatch, cases.secret)

    assert [len(state) for _, state in reported] == [0, 1, 2, 1, 1, 2]
    assert sweep_of(events, reported, root, tmp_path / "left", cases) == []


@pytest.mark.parametrize("what", ["names", "bytes"])
def test_the_simulated_disk_loses_what_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, secret: str | None
) -> None:
    """The same life without syncing folders, or without syncing files: loss is seen, so the test above can see."""
    root = tmp_path / "disk" / "archive"
    events, reported = life(root, monkeypatch, secret)
    careless = [
        Event(event.what, event.path) if what == "bytes" and event.what == "link" else event
        for event in events
        if what == "bytes" or event.what != "sync" or event.path.name == "disk"
    ]
    marks = [(sum(1 for e in careless[:at]) if what == "bytes" else len(careless), s) for at, s in reported]

    assert sweep_of(careless, marks, root, tmp_path / "left") != []


def test_a_decision_that_was_reported_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    """Whatever is lost behind it; one under way is there whole or not at all."""
    root = tmp_path / "disk" / "archive"
    done = []
    with recorded(monkeypatch) as events:
        archive = new_archive(LocalDisk(root), secret)
        found = write(archive, {"a": b"1"})
        for kind in KINDS:
            archive.decide(Decision(kind, LAB, 1, found.id, START, "M. Rossi", "an audit"))
            done.append(len(events))
        write(archive, {"a": b"2"}, night=1)
    rng = random.Random(5)
    for number, at in enumerate(range(done[0] - 6, len(events) + 1)):
        leave(events[:at], root, tmp_path / "left" / str(number), 0.5, rng)
        left = opened(LocalDisk(tmp_path / "left" / str(number)))
        kinds = tuple(decision.kind for decision in left.decisions())

        assert kinds == KINDS[: len(kinds)]
        assert len(kinds) >= sum(end <= at for end in done)
        assert scrub(left).findings == ()


def test_what_is_left_is_written_to_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """After a loss at any instant the next backup ends well, and nothing stays that nobody accounts for."""
    root = tmp_path / "disk" / "archive"
    events, reported = life(root, monkeypatch, cases.secret)
    for done in cases.some(range(reported[0][0], len(events), 5)):
        left = tmp_path / "left" / str(done)
        leave(events[:done], root, left, 0.5, random.Random(done))
        archive = opened(LocalDisk(left))
        found = write(archive, {"x": noise(100, done)}, night=9)
        sweep(archive, now=NOW + TTL)  # the lease of who lost power has run out
        sweep(archive, now=NOW + TTL + GRACE)
        named = {p for s in archive.snapshots() for p in s.manifest.packs}
        named |= {p for t in archive.tombstones() for p in t.packs}

        assert read(archive, found) == {"x": noise(100, done)}
        assert {name.rpartition("/")[2][:-5] for name in archive.backend.list("packs/")} <= named
        assert list(archive.backend.list("unnamed/")) == []
