"""The engine with a source unlike RSpace: no job, many files, SHA-256 known beforehand, and documents of its own.

The shelf is a dialect like any other: it speaks the protocol, and reads a folder instead of a server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.config import SourceTable
from flows.errors import RunFailed, SourceUnavailable
from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from flows.sources.base import AtHand, Capabilities, Download, Kept, Receipt, Roster
from storage.archive import Archive
from storage.backend import Memory
from storage.catalog import Catalog
from storage.policy import Policy
from storage.records import RunRecord
from storage.verify import Check, Outcome, Promise

NOW = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)


CAPABILITIES = Capabilities(
    recognised_by="nothing to wait for", second_start="new job", promises="size and digest", ranges=False,
    cancels=False, pace=Pace(), silent_about="made here, not by the system",
)  # fmt: skip


class Still:
    """A clock that moves only when told to wait."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def dice(self) -> float:
        return 0.5


@dataclass
class Shelf:
    """Files with a promised SHA-256, and one JSON document that the dialect makes and nobody promises."""

    files_there: dict[str, bytes]
    opened: list[str] = field(default_factory=list)
    asked_known: list[bool] = field(default_factory=list)
    capabilities: Capabilities = CAPABILITIES

    def login(self) -> Account:
        return Account("librarian", "1", None)

    def discover(self, wanted: Scope) -> Scope:
        return wanted

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        return ()

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        return Intent(scope, account, now)

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        return JobRef({}, now)

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        return JobRef({}, asked_at)

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        return {ref.key: Status(State.READY, "there") for ref in refs}

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        for name, data in self.files_there.items():
            digest = hashlib.sha256(data).hexdigest()
            self.asked_known.append(at_hand.has(digest))
            yield ExportFile(name, Promise(len(data), sha256=digest))
        yield ExportFile("about.json", Promise(), "application/json")

    @contextmanager
    def open(self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = "") -> Iterator[Download]:
        self.opened.append(file.name)
        data = self.files_there.get(file.name) or json.dumps(sorted(self.files_there)).encode()
        yield Download(iter([data]), 0, len(data))

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        bad = path.read_bytes().startswith(b"<html>")
        return [Check("content", Outcome.FAILED, file.name, got="a web page")] if bad else []

    def roster(self, every: Scope) -> Roster:
        return Roster(())

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        return ""

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        return []

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        return None

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        return ()

    def cancel(self, ref: JobRef) -> None: ...

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        yield Places(Archive.create(Memory(), now=NOW), catalog, tmp_path / "spool")


def engine_of(places: Places, shelf: Shelf, clock: Still | None = None) -> Engine:
    """A run's engine."""
    table = SourceTable(name="office", system="shelf", url="http://127.0.0.1:1")
    return Engine(Plan(table, Scope("all", "documents"), Policy(), Pace()), shelf, places, clock or Still())


def night(places: Places, shelf: Shelf, clock: Still | None = None) -> RunRecord:
    """One run from beginning to end."""
    engine = engine_of(places, shelf, clock)
    engine.begin(trigger="cli")
    engine.login()
    with engine.lease():
        job = engine.start()
        status = engine.wait(job)
        return engine.finish(job, engine.keep(job, status, engine.download(job, status)))


def test_many_files_become_one_snapshot(places: Places) -> None:
    """Each with its promise and its measure; what nobody promised says so."""
    shelf = Shelf({f"dir/{n:03d}.pdf": bytes([n]) * 1000 for n in range(100)})

    record = night(places, shelf)

    (found,) = places.archive.snapshots()
    assert (record.ended, found.manifest.files) == ("verified", 101)
    entries = {entry.path: entry for entry in places.archive.entries(found)}
    reader = places.archive.reader(found)
    assert {n: b"".join(reader.chunks(e)) for n, e in entries.items() if n != "about.json"} == shelf.files_there
    counted = {(check.name, check.outcome.value): check.count for check in record.checks}
    assert counted["sha256", "passed"] == 100
    assert counted["size", "not available"] == 1
    assert len(record.checks) < 10


def test_what_the_archive_holds_is_named_and_not_fetched(places: Places) -> None:
    """The second night opens what is new, and the document without a digest; the snapshot is whole."""
    shelf = Shelf({"a.pdf": b"a" * 5000, "b.pdf": b"b" * 5000})
    night(places, shelf)
    shelf.opened.clear()
    shelf.asked_known.clear()
    shelf.files_there["renamed.pdf"] = shelf.files_there.pop("a.pdf")
    shelf.files_there["new.pdf"] = b"n" * 5000

    night(places, shelf)

    assert sorted(shelf.opened) == ["about.json", "new.pdf"]
    assert sorted(shelf.asked_known) == [False, True, True]
    newest = places.archive.snapshots()[-1]
    reader = places.archive.reader(newest)
    kept = {entry.path: b"".join(reader.chunks(entry)) for entry in places.archive.entries(newest)}
    assert {name: data for name, data in kept.items() if name != "about.json"} == shelf.files_there


def test_what_is_named_but_missing_is_fetched_again(places: Places) -> None:
    """A pack that is gone makes its files unknown: they are fetched, and the new snapshot is whole."""
    shelf = Shelf({"a.pdf": b"a" * 5000})
    night(places, shelf)
    for name in list(places.archive.backend.list("packs/")):
        places.archive.backend.delete(name)

    assert night(places, shelf).ended == "verified"
    newest = places.archive.snapshots()[-1]
    entry = min(places.archive.entries(newest), key=lambda e: e.path)
    assert b"".join(places.archive.reader(newest).chunks(entry)) == shelf.files_there["a.pdf"]


def test_a_quarantined_file_does_not_become_good_by_being_held(places: Places) -> None:
    """What failed its check last night fails it tonight: only verified snapshots are held against fetching."""
    shelf = Shelf({"a.pdf": b"<html>sorry</html>"})

    assert [night(places, shelf).ended for _ in range(2)] == ["quarantined", "quarantined"]


def test_what_was_not_read_back_is_not_said_to_be(places: Places) -> None:
    """Held files are counted apart: their bytes were proven when they came, and scrub reads them again."""
    shelf = Shelf({"a.pdf": b"a" * 5000})
    night(places, shelf)

    checks = night(places, shelf).checks

    told = {check.outcome.value: check.got for check in checks if check.name == "read back from the archive"}
    assert told == {"passed": "every byte, before the commit", "not available": "1 files"}


def test_a_pack_that_goes_between_listing_and_writing_costs_a_fetch(places: Places, tmp_path: Path) -> None:
    """Held when the download began, gone when it is to be named: everything is fetched, and the night is kept."""
    shelf = Shelf({"a.pdf": b"a" * 5000})
    night(places, shelf)
    packs = list(places.archive.backend.list("packs/"))

    class Late(Shelf):
        def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
            for name in packs:
                places.archive.backend.delete(name)
            return []

    assert night(places, Late(shelf.files_there)).ended == "verified"
    newest = places.archive.snapshots()[-1]
    reader = places.archive.reader(newest)
    kept = {entry.path: b"".join(reader.chunks(entry)) for entry in places.archive.entries(newest)}
    assert kept["a.pdf"] == shelf.files_there["a.pdf"]


def test_a_scope_that_is_resolved_anew_goes_on_with_its_job(places: Places) -> None:
    """What discovery adds does not make an open job somebody else's."""

    class ByName(Shelf):
        def discover(self, wanted: Scope) -> Scope:
            return replace(wanted, id="4711")

    shelf = ByName({"a.pdf": b"a"})
    engine = engine_of(places, shelf)
    engine.begin(trigger="cli")
    engine.login()
    with engine.lease():
        first = engine.start()

    again = engine_of(places, shelf)
    again.begin(trigger="cli")
    again.login()
    with again.lease():
        assert again.start().id == first.id


def test_a_file_that_never_ends_is_cut_off(places: Places) -> None:
    """Beyond its promise nothing is read: the spool stays small, and the run says what came."""

    class Endless(Shelf):
        @contextmanager
        def open(
            self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
        ) -> Iterator[Download]:
            yield Download(iter(lambda: bytes(1 << 20), b""), 0, None)

    shelf = Endless({"a.pdf": b"a" * 1000})

    with pytest.raises(RunFailed, match="promised 1000"):
        night(places, shelf)
    assert sum(path.stat().st_size for path in places.spool.rglob("*") if path.is_file()) < 4 << 20


def test_a_file_that_trickles_is_given_up(places: Places) -> None:
    """However slowly it comes, one download has an end; the job is remembered."""
    clock = Still()

    class Trickle(Shelf):
        @contextmanager
        def open(
            self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
        ) -> Iterator[Download]:
            def drip() -> Iterator[bytes]:
                while True:
                    clock.sleep(600)
                    yield b"."

            yield Download(drip(), 0, None)

    with pytest.raises(SourceUnavailable, match="took more than"):
        night(places, Trickle({"a.pdf": b"a" * 10_000}), clock)
