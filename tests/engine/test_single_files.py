"""The engine with files that stand each for itself, a list that breaks off, and what is at hand from before."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from flows.errors import SourceUnavailable
from flows.export import Account, ExportFile, Intent, JobRef, Status
from flows.plan import Places
from flows.sources.base import AtHand, Download
from flows.spool import SpooledFiles
from storage.errors import BackendFailed
from storage.snapshot import ScopeKey
from storage.verify import Promise
from tests.engine.test_many_files import CAPABILITIES, Shelf, engine_of, night, places

__all__ = ["places"]  # the fixture


class Office(Shelf):
    """Files that stand each for itself; those named in `broken` answer 500, in `wrong` with other bytes."""

    broken: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    breaks = 0  # so often the list breaks off after its first file
    at_hand: AtHand

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        self.at_hand = at_hand
        for file in super().files(intent, ref, status, at_hand):
            yield file
            if self.breaks:
                self.breaks -= 1
                raise SourceUnavailable("the list broke off")

    @contextmanager
    def open(self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = "") -> Iterator[Download]:
        if file.name in self.broken:
            raise SourceUnavailable(f"{file.name}: answers 500", answered=True)
        if file.name in self.wrong:
            yield Download(iter([b"other"]), 0, 5)
        else:
            with super().open(ref, file) as download:
                yield download


def office(files: dict[str, bytes], **troubles: object) -> Office:
    """One with these troubles."""
    shelf = Office(files, capabilities=replace(CAPABILITIES, file_by_file=True))
    for name, value in troubles.items():
        setattr(shelf, name, value)
    return shelf


def test_a_file_that_cannot_be_had_costs_itself_and_is_named(places: Places) -> None:
    """Where files stand each for itself: the others are kept, the night is partial and says what it lacks."""
    files = {name: name.encode() * 900 for name in ("a.pdf", "b.pdf", "c.pdf")}
    shelf = office(files, broken=frozenset({"a.pdf"}), wrong=frozenset({"b.pdf"}))

    record = night(places, shelf)

    (found,) = places.archive.snapshots()
    assert (record.ended, record.exit_code) == ("partial", 3)
    assert {entry.path for entry in places.archive.entries(found)} == {"c.pdf", "about.json"}
    assert "a.pdf: answers 500" in record.reason and "b.pdf" in record.reason and "promised" in record.reason
    assert any("b.pdf" in note for note in found.manifest.draft.notes)

    shelf.broken = shelf.wrong = frozenset()
    shelf.opened.clear()
    assert night(places, shelf).ended == "verified"
    assert sorted(shelf.opened) == ["a.pdf", "about.json", "b.pdf"]  # what the partial one has is named


def test_a_server_that_is_away_is_no_trouble_of_a_file(places: Places) -> None:
    """Each file stands for itself, but nobody answers at all: the run fails, and its job is remembered."""

    class Away(Office):
        gone = False

        def login(self) -> Account:
            if self.gone:
                raise SourceUnavailable("nobody answers")
            return super().login()

        @contextmanager
        def open(
            self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
        ) -> Iterator[Download]:
            self.gone = True
            raise SourceUnavailable("answers 502", answered=True)
            yield

    shelf = Away({"a.pdf": b"a" * 900}, capabilities=replace(CAPABILITIES, file_by_file=True))

    with pytest.raises(SourceUnavailable, match="nobody answers"):
        night(places, shelf)
    assert places.catalog.jobs.open(ScopeKey("office", "all")) is not None


def test_a_list_that_breaks_off_is_begun_again(places: Places) -> None:
    """Each file is fetched once; when patience is over the run fails."""
    files = {f"{n}.pdf": bytes([n]) * 900 for n in range(5)}
    shelf = office(files, breaks=3)

    assert night(places, shelf).ended == "verified"
    assert sorted(shelf.opened) == [*sorted(files), "about.json"]
    with pytest.raises(SourceUnavailable, match="broke off"):
        night(places, office(files, breaks=10_000))


def test_what_is_at_hand_can_be_read(places: Places) -> None:
    """Of the snapshot gone on from, by name; of this job, what an earlier run of it fetched."""
    first = office({"a.json": b"one" * 300})
    assert night(places, first).ended == "verified"
    engine, later = engine_of(places, first), office({"a.json": b"two" * 300})
    engine = engine_of(places, later)
    engine.begin(trigger="cli")
    engine.login()
    with engine.lease():
        job = engine.start()
        engine.download(job, engine.wait(job))

    hand = later.at_hand
    assert (hand.before("a.json"), hand.arrived("a.json")) == (b"one" * 300, b"two" * 300)
    assert (hand.before("b.json"), hand.arrived("b.json"), hand.promise("b.json")) == (None, None, None)
    assert hand.promise("a.json") == Promise(900, sha256=hashlib.sha256(b"one" * 300).hexdigest())
    assert hand.has(hashlib.sha256(b"one" * 300).hexdigest()) and not hand.has("0" * 64)


def test_a_hundred_thousand_files_cost_the_run_little_memory(places: Places) -> None:
    """What was spooled is read from its journal: no list of it is held."""
    files = SpooledFiles(places.spool, "", lambda _: None)
    places.spool.mkdir()
    row = {
        "said": "",
        "promised": [1, None, None],
        "media_type": "",
        "measured": [1, 2, "0" * 64],
        "stored": False,
    }
    with (places.spool / "files.jsonl").open("w") as journal:
        for n in range(100_000):
            journal.write(json.dumps({"name": f"folder/{n}", **row}) + "\n")

    tracemalloc.start()
    many = sum(item.measured.size for item in files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (many, len(files)) == (100_000, 100_000)
    assert peak < 8 << 20  # a list of them takes some 100 MB


def test_a_spool_that_takes_nothing_is_told_as_the_disk_that_it_is(places: Places) -> None:
    """Not as a fault of ours; the job is remembered."""
    places.spool.parent.mkdir(exist_ok=True)
    places.spool.write_text("no folder")

    with pytest.raises(BackendFailed, match="Not a directory"):
        night(places, office({"a.pdf": b"a" * 900}))
    assert places.catalog.jobs.open(ScopeKey("office", "all")) is not None


def test_a_journal_that_lost_its_end_with_the_power_ends_no_later_run(places: Places) -> None:
    """What it still tells of files that could not be had is told."""
    places.spool.mkdir()
    (places.spool / "files.jsonl").write_text('{"lacking": "a.pdf is gone"}\n{"lacking": "b.p')

    assert SpooledFiles(places.spool, "", lambda _: None).lacking == ("a.pdf is gone",)
