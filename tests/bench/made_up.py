"""A source that makes its files up, for `many.py`: a dialect like any other, that asks no server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, State, Status
from flows.sources import mayan_document as documents
from flows.sources.base import AtHand, Capabilities, Download, Kept, Receipt, Roster
from storage.verify import Check, Promise
from tests.bench.many import Shelf


class MadeUp:
    """Documents of a shelf. It asks what is at hand as Mayan EDMS's dialect does."""

    capabilities = Capabilities(
        recognised_by="nothing to wait for", second_start="new job", promises="size and digest", ranges=False,
        cancels=False, pace=Pace(), file_by_file=True,
    )  # fmt: skip

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        for n, folder in self._shelf.folders():
            name, scan, about = f"{folder}/{documents.DOCUMENT}", self._shelf.scan(n), self._shelf.about(n)
            digest = hashlib.sha256(scan).hexdigest()
            known = at_hand.arrived(name) is None and at_hand.before(name) == about and at_hand.has(digest)
            promised = Promise(len(scan), sha256=digest)
            yield ExportFile(f"{folder}/scan {n}.pdf", promised, "application/pdf", {"scan": n})
            promised = (at_hand.promise(name) if known else None) or Promise()
            yield ExportFile(name, promised, "application/json", {"about": n})

    @contextmanager
    def open(self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = "") -> Iterator[Download]:
        ((kind, n),) = file.locator.items()
        assert isinstance(n, int)
        data = self._shelf.scan(n) if kind == "scan" else self._shelf.about(n)
        yield Download(iter([data]), 0, len(data))

    def login(self) -> Account:
        return Account("bench", "1", None)

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

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        return []

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
