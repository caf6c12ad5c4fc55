"""A snapshot given back: what is read of it, and a restore that is killed at any note, into a target made up."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from flows.clock import SystemClock
from flows.errors import SourceRefused
from flows.export import Pace
from flows.giveback import Given, Held, give_back, look
from flows.ledger import open_ledger
from flows.sources.base import Connection
from flows.sources.client import Answer
from flows.sources.mayan_restore import Target
from flows.sources.mayan_wire import Wire
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.errors import ObjectMissing
from storage.verify import Promise, measure
from storage.writer import Writer
from tests.bench.giveback import Filed, fill
from tests.bench.made_up_target import MadeUpTarget
from tests.doubles import OFFICE, START, Clock, Died, draft, new_archive
from tests.mayan.homecoming import Dying

FILES = {"b/2": b"two", "b": b"one", "b/\u6587": b"three", "a": b"", "b-": b"four"}


def test_the_files_of_a_snapshot(tmp_path: Path) -> None:
    """By name and in the order of names; a name that is none is told, whatever is in it."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    writer = Writer(archive, OFFICE)
    for name, data in FILES.items():
        writer.add(name, BytesIO(data), promised=Promise())
    content = Held(archive, writer.commit(draft(OFFICE), clock=Clock(START)), tmp_path / "parts")

    assert list(content.names()) == sorted(FILES)
    for name, data in FILES.items():
        assert name in content
        assert content.small(name) == data
        assert content.kept(name) == Promise(len(data), sha256=measure([data]).sha256)
    with content.lying(["b/2", "b"]) as paths:
        assert {name: path.read_bytes() for name, path in paths.items()} == {"b/2": b"two", "b": b"one"}
    assert not (tmp_path / "parts").exists()
    for name in ("b/", "", "c", "a\ud800"):
        assert name not in content
        assert content.kept(name) is None
        with pytest.raises(ObjectMissing, match="not in the snapshot"):
            content.small(name)


class Restore:
    """Of a few documents, into a target that was empty."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.shelf = folder, Filed(2, 1, 0, 2)
        fill(folder, self.shelf)
        self.archive = Archive.open(LocalDisk(folder / "archive"))
        self.found = self.archive.find("latest")
        # One for all runs, which look anew: to make one reads all certificates, and takes a tenth of a second.
        self._receiver: Any = Target(Connection(MadeUpTarget.base, {"token": "made up"}, requests_per_s=0))
        self._receiver._filler.lost_s = 0  # what is not listed at once will never be

    def run(self, target: Path, dying: Dying, made_up: type[MadeUpTarget] = MadeUpTarget) -> tuple[Given, int]:
        """Once, with what an earlier run left in `target`; and the documents that are there. May be killed."""
        target.mkdir(exist_ok=True)
        receiver = self._receiver
        made_up(target).connect(receiver)
        receiver.wire.send = dying.around(partial(Wire.send, receiver.wire))
        content, clock, pace = Held(self.archive, self.found, target / "parts"), SystemClock(), Pace()
        try:
            outlook = look(receiver, content, (), clock, pace)
            with open_ledger(target, self.found.id, MadeUpTarget.base) as ledger:
                noting: Any = ledger
                noting.note = dying.around(ledger.note)
                given = give_back(receiver, content, outlook, ledger, clock=clock, pace=pace)
            return given, len(list(receiver.wire.by_id("/documents/", {"_fields_only": "id"})))
        finally:
            receiver.close()


def test_a_permission_that_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Give it to a role of that user: the same command then goes on. Nothing is said of exports."""

    class Refusing(MadeUpTarget):
        def send(self, method: str, path: str, **options: Any) -> Answer:
            if path.endswith("/cabinets/"):
                return Answer(403, {}, b'{"detail": "You do not have permission to perform this action."}')
            return super().send(method, path, **options)

    restore = Restore(tmp_path)
    target = tmp_path / "target"
    with pytest.raises(SourceRefused, match=r"cabinets\.cabinet_create is missing") as caught:
        restore.run(target, Dying(), Refusing)
    assert "a role of the target's user; then the same command goes on" in caught.value.hint
    assert restore.run(target, Dying()) == (Given(equal=2), 2)


def test_a_restore_that_is_killed_at_any_note_or_request_goes_on(tmp_path: Path) -> None:
    """The same command makes what is missing, and no document twice. After one is before the next."""
    restore = Restore(tmp_path)
    whole = Dying()
    assert restore.run(tmp_path / "whole", whole) == (Given(equal=2), 2)
    for call in range(1, whole.calls + 1):
        with pytest.raises(Died):
            restore.run(tmp_path / str(call), Dying(call))
        assert restore.run(tmp_path / str(call), Dying()) == (Given(equal=2), 2), call
