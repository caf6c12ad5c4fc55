"""What scrubs and drills have read: packs, heads that were noted, the last of each. Part of the catalog.

Entered from their records and from nothing else, in any order: filled anew, the rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import Session, func, select, text

from storage.index import pack_digest
from storage.snapshot import from_text, to_text
from storage.tables import DrillRow, Head, PackRow, ScrubRow
from storage.upkeep_records import DrillRecord, Finding, Noted, ScrubRecord

Row = TypeVar("Row", ScrubRow, DrillRow)
PASSED = "passed"  # the outcome of a drill in which everything came back
Sessions = Callable[[], AbstractContextManager[Session]]
_READ = """insert into pack (digest, size, last_good_at, last_bad_at) values (:digest, :size, :good, :bad)
    on conflict (digest) do update set
    size = max(size, excluded.size), last_good_at = max(last_good_at, excluded.last_good_at),
    last_bad_at = max(last_bad_at, excluded.last_bad_at)"""
_NOTED = """insert into head (chain, number, id, noted_at) values (:chain, :number, :id, :at)
    on conflict (chain, number, id) do update set noted_at = max(noted_at, excluded.noted_at)"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a pack's bytes."""

    good_at: datetime | None
    damaged: bool  # it was not good when it was last read


def enter_reading(session: Session, record: ScrubRecord | DrillRecord) -> bool:
    """Enter what a scrub or a drill left, in the caller's transaction. False where it is entered already."""
    row = _drill_row(record) if isinstance(record, DrillRecord) else _scrub_row(record)
    if session.get(type(row), record.id) is not None:
        return False
    session.add(row)
    if isinstance(record, ScrubRecord):
        _execute(session, _READ, _pack_values(record))
        at = to_text(record.ended_at)
        heads = [
            {"chain": chain, "number": number, "id": head, "at": at}
            for chain, (number, head) in record.heads.items()
        ]
        _execute(session, _NOTED, heads)
    return True


class Readings:
    """The catalog's memory of what was read. Raises CatalogUnusable; retry: yes."""

    def __init__(self, read: Sessions, write: Sessions) -> None:
        self._read = read
        self._write = write

    def enter(self, record: ScrubRecord | DrillRecord) -> bool:
        """Enter what a scrub or a drill left. False where it is entered already: nothing changes."""
        with self._write() as session:
            return enter_reading(session, record)

    def packs(self) -> dict[str, Reading]:
        """Every pack that a scrub ever read, by digest."""
        with self._read() as session:
            columns = select(PackRow.digest, PackRow.last_good_at, PackRow.last_bad_at)
            return {
                digest: Reading(from_text(good) if good else None, bad > good)
                for digest, good, bad in session.exec(columns)
            }

    def heads(self) -> list[Noted]:
        """Every head that a scrub ever noted."""
        with self._read() as session:
            rows = session.exec(select(Head).order_by(text("chain, number, id")))
            return [Noted(row.chain, row.number, row.id, row.noted_at) for row in rows]

    def last_scrub(self) -> ScrubRow | None:
        """The scrub that ended last."""
        with self._read() as session:
            return session.exec(select(ScrubRow).order_by(text("ended_at desc, id desc"))).first()

    def last_drill(self) -> DrillRow | None:
        """The drill that ended last."""
        with self._read() as session:
            return session.exec(select(DrillRow).order_by(text("ended_at desc, id desc"))).first()

    def scrubs(self, since: datetime) -> list[ScrubRow]:
        """The scrubs that ended since then, and the last in any case; newest first."""
        return self._since(ScrubRow, since)

    def drills(self, since: datetime) -> list[DrillRow]:
        """The drills that ended since then, and the last and the last that passed in any case; newest first."""
        found = self._since(DrillRow, since)
        if any(row.outcome == PASSED for row in found):
            return found
        with self._read() as session:
            query = select(DrillRow).where(DrillRow.outcome == PASSED)
            passed = session.exec(query.order_by(text("ended_at desc, id desc"))).first()
        return found if passed is None else [*found, passed]

    def _since(self, table: type[Row], since: datetime) -> list[Row]:
        newest = select(table).order_by(text("ended_at desc, id desc"))
        with self._read() as session:
            found = list(session.exec(newest.where(text("ended_at >= :since")).params(since=to_text(since))))
            return found or list(session.exec(newest.limit(1)))

    def drilled(self) -> dict[str, datetime]:
        """When each snapshot was drilled last, by id."""
        with self._read() as session:
            rows = session.exec(select(DrillRow.snapshot, func.max(DrillRow.ended_at)).group_by(text("snapshot")))
            return {snapshot: from_text(at) for snapshot, at in rows}


def _execute(session: Session, statement: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(text(statement), rows)


def _pack_values(record: ScrubRecord) -> list[dict[str, Any]]:
    # Read after the start: no pack is called good for longer than it is known to be.
    at = to_text(record.started_at)
    good = [{"digest": d, "size": size, "good": at, "bad": ""} for d, size in record.good.items()]
    return good + [{"digest": d, "size": 0, "good": "", "bad": at} for d in _bad(record.findings)]


def _bad(findings: Iterable[Finding]) -> set[str]:
    return {digest for digest in (pack_digest(finding.name) for finding in findings) if digest}


def _scrub_row(record: ScrubRecord) -> ScrubRow:
    return ScrubRow(
        id=record.id,
        started_at=to_text(record.started_at),
        ended_at=to_text(record.ended_at),
        asked=record.asked,
        packs=record.packs,
        packs_read=record.packs_read,
        bytes_read=record.bytes_read,
        findings=len(record.findings),
    )


def _drill_row(record: DrillRecord) -> DrillRow:
    return DrillRow(
        id=record.id,
        snapshot=record.snapshot,
        source=record.key.source,
        scope=record.key.scope,
        started_at=to_text(record.started_at),
        ended_at=to_text(record.ended_at),
        outcome=PASSED if record.passed else "failed",
        files=record.files,
        bytes=record.size,
        milliseconds=record.milliseconds,
        problem=record.problems[0] if record.problems else "",
    )
