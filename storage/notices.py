"""What is wrong and no run's end: a list of members that could not be had, retention that a fuse held. Part of the
catalog, and in flight: a catalog that was rebuilt knows none until the next night.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from sqlmodel import Session, select

from storage.records import Notice
from storage.snapshot import from_text, to_text
from storage.tables import NoticeRow

Sessions = Callable[[], AbstractContextManager[Session]]


class Notices:
    """What was last said. Raises CatalogUnusable; retry: yes."""

    def __init__(self, read: Sessions, write: Sessions) -> None:
        self._read = read
        self._write = write

    def say(self, kind: str, said: Mapping[str, Mapping[str, tuple[str, str]]], *, now: datetime) -> None:
        """Of each that was asked, by name: what is wrong now as about -> (sentence, hint). What was said of it
        before and is not among this is over; what goes on keeps its `since`."""
        with self._write() as session:
            rows = session.exec(select(NoticeRow).where(NoticeRow.kind == kind)).all()
            before = {(row.of, row.about): row for row in rows if row.of in said}
            for of, wrong in said.items():
                for about, (sentence, hint) in wrong.items():
                    row = before.pop((of, about), None)
                    since = to_text(now) if row is None else min(row.since, to_text(now))
                    told = {"since": since, "said_at": to_text(now), "sentence": sentence, "hint": hint}
                    session.merge(NoticeRow(kind=kind, of=of, about=about, **told))
            for row in before.values():
                session.delete(row)

    def all(self) -> list[Notice]:
        """Everything that goes on, by kind and what it is about."""
        with self._read() as session:
            rows = session.exec(select(NoticeRow)).all()
        found = [
            Notice(
                one.kind, one.of, one.about, from_text(one.since), from_text(one.said_at), one.sentence, one.hint
            )
            for one in rows
        ]
        return sorted(found, key=lambda one: (one.kind, one.about, one.of))
