"""Finished things as rows of the catalog, entered in one way: when a run ends, and when a catalog is filled.

The order in which they are entered does not matter: what a scope was asked for last is told by time. Each function
works inside the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from sqlmodel import Session, SQLModel, col, delete, insert, select, text

from storage import decisions, records, upkeep_records
from storage.archive import Archive, Damaged
from storage.compare import Facts, Row, decision_place
from storage.decisions import Decision
from storage.errors import StorageError
from storage.listing import Entry
from storage.readings import enter_reading
from storage.records import RunRecord
from storage.rows import (
    check_rows,
    decision_row,
    digest,
    file_rows,
    forgotten_row,
    has_file_rows,
    run_facts,
    run_row,
    snapshot_facts,
    snapshot_row,
    to_json,
)
from storage.snapshot import ScopeKey, Snapshot, from_text, to_text
from storage.tables import CheckRow, DecisionRow, DrillRow, File, Run, Scope, ScrubRow, SnapshotRow, Source
from storage.tombstone import Tombstone

Entering = Callable[[Session], object]


@dataclass(frozen=True, slots=True)
class Known:
    """What a catalog has rows of, by the names that the archive has for them."""

    runs: frozenset[str]  # ids
    live: frozenset[tuple[ScopeKey, int]]  # numbers in chains
    forgotten: frozenset[tuple[ScopeKey, int]]  # or gone in another way
    upkeep: frozenset[str]  # ids of scrubs and drills
    decisions: frozenset[tuple[ScopeKey, int, int]] = frozenset()  # numbers in chains, and places
    erased: frozenset[tuple[ScopeKey, int]] = frozenset()  # of those that are gone


def known(session: Session) -> Known:
    """What is entered already."""
    rows = session.exec(select(SnapshotRow.source, SnapshotRow.scope, SnapshotRow.number, SnapshotRow.gone)).all()
    return Known(
        runs=frozenset(session.exec(select(Run.id).where(Run.ended_at != ""))),
        live=frozenset((ScopeKey(source, scope), number) for source, scope, number, gone in rows if not gone),
        forgotten=frozenset((ScopeKey(source, scope), number) for source, scope, number, gone in rows if gone),
        erased=frozenset(
            (ScopeKey(source, scope), number) for source, scope, number, gone in rows if gone == "erased"
        ),
        upkeep=frozenset(session.exec(select(ScrubRow.id))) | frozenset(session.exec(select(DrillRow.id))),
        decisions=frozenset(
            (ScopeKey(source, scope), number, n)
            for source, scope, number, n in session.exec(
                select(DecisionRow.source, DecisionRow.scope, DecisionRow.number, DecisionRow.n)
            )
        ),
    )


def enter_run(session: Session, record: RunRecord, *, names: bool = True) -> None:
    """A finished run and its checks."""
    row = run_row(record, names=names)
    put(session, Run, [row])
    put(session, CheckRow, check_rows(record, names=names))
    know_run(session, row)


def know_run(session: Session, row: Mapping[str, Any]) -> None:
    """Its source and scope, as it has them if it is the newest run."""
    newer = (_LATER_RUNS, (row["started_at"], row["id"]))
    _know(session, ScopeKey(row["source"], row["scope"]), row["system"], row["request"], [newer])


def enter_snapshot(session: Session, found: Snapshot, entries: Iterable[Entry]) -> None:
    """A live snapshot and the rows of its files."""
    put(session, SnapshotRow, [snapshot_row(found)])
    put(session, File, file_rows(found, entries))
    _know_snapshot(session, found)


def enter_forgotten(session: Session, tomb: Tombstone) -> None:
    """A snapshot that is gone, in the place of what was known of that number."""
    row = forgotten_row(tomb)
    at = [SnapshotRow.source == row["source"], SnapshotRow.scope == row["scope"]]
    here = select(SnapshotRow).where(*at, SnapshotRow.number == row["number"])
    for known in session.exec(here).all():
        session.exec(delete(File).where(col(File.snapshot) == known.id))
        session.delete(known)
    session.flush()
    put(session, SnapshotRow, [row])
    if tomb.manifest:
        _know_snapshot(session, Snapshot(tomb.id, tomb.manifest))


def enter_decision(session: Session, decision: Decision) -> None:
    """What a person decided."""
    put(session, DecisionRow, [decision_row(decision)])


def lacking(
    archive: Archive, known: Known, damaged: list[Damaged] | None, *, names: bool = True
) -> Iterator[Entering]:
    """What the archive holds and a catalog does not, each read when it is asked for and ready to be entered.

    A file that cannot be read raises, unless `damaged` is given to take it.
    """
    links = archive.links()
    live = [link for link in links if link.forgotten or (link.key, link.number) not in known.live]
    for found in archive.live(live, damaged=damaged):
        with _tolerant(found.name, damaged):
            entries = archive.entries(found) if has_file_rows(found, names=names) else ()
            yield partial(enter_snapshot, found=found, entries=entries)
    links = archive.links()
    gone = [
        link for link in links if (link.key, link.number) not in (known.erased if link.erased else known.forgotten)
    ]
    for tomb in archive.forgotten(gone, damaged=damaged):
        yield partial(enter_forgotten, tomb=tomb)
    for name, (key, number, n) in _decided(archive):
        if (key, number, n) not in known.decisions:
            with _tolerant(name, damaged):
                yield partial(enter_decision, decision=decisions.decode(archive.backend.get(name), name))
    for name, data in archive.records(but=known.runs | known.upkeep):
        with _tolerant(name, damaged):
            record = records.decode(data, name)
            upkeep = upkeep_records.decode(data, name) if record is None else None
            if record is not None:
                yield partial(enter_run, record=record, names=names)
            elif upkeep is not None:
                yield partial(enter_reading, record=upkeep)


def _decided(archive: Archive) -> Iterator[tuple[str, tuple[ScopeKey, int, int]]]:
    for name in archive.backend.list(decisions.FOLDER):
        place = decisions.parse_name(name)
        if place is not None:
            yield name, place


def put(session: Session, table: type[SQLModel], rows: Sequence[Mapping[str, Any]], *, over: bool = True) -> None:
    """Rows of a table; over those with the same keys, or only where there are none."""
    if rows:
        statement = insert(table).prefix_with("OR REPLACE" if over else "OR IGNORE")
        session.connection().execute(statement, list(rows))


def facts(session: Session, alive: Iterable[str]) -> Facts:
    """Everything finished. `alive`: runs under way, whose snapshots and records may come at any moment.

    Memory: some 3 kB a run, whatever it kept.
    """
    unsettled = session.exec(select(Run.source, Run.scope).where(Run.ended_at == "")).all()
    checks, files = _digests(session, CheckRow, "run, place"), _digests(session, File, "snapshot, path")
    runs = [row for row in _rows(session, Run) if row["ended_at"]]
    return Facts(
        sources={row["name"]: row for row in _rows(session, Source)},
        scopes={f"{row['source']}/{row['name']}": row for row in _rows(session, Scope)},
        runs={row["id"]: run_facts(row, checks.get(row["id"], "")) for row in runs},
        decisions={
            decision_place(row["source"], row["scope"], row["number"], row["n"]): row
            for row in _rows(session, DecisionRow)
        },
        snapshots={
            row["id"]: snapshot_facts(row, files.get(row["id"], "")) for row in _rows(session, SnapshotRow)
        },
        under_way=frozenset(alive),
        unsettled=frozenset(name for pair in unsettled for name in (pair[0], "/".join(pair))),
    )


def grown(session: Session) -> list[tuple[datetime, int]]:
    """When each snapshot ever was committed, and the bytes of packs that it added; oldest first."""
    columns = select(SnapshotRow.committed_at, SnapshotRow.stored_bytes).where(SnapshotRow.committed_at != "")
    return [(from_text(at), stored) for at, stored in session.exec(columns.order_by(text("committed_at")))]


def _rows(session: Session, table: type[SQLModel]) -> list[Row]:
    return [dict(row) for row in session.connection().execute(select(_columns(table))).mappings()]


def _columns(table: type[SQLModel]) -> Any:
    return table.__table__  # type: ignore[attr-defined]  # SQLModel makes it and does not declare it


def _digests(session: Session, table: type[SQLModel], order: str) -> dict[str, str]:
    """A digest of all rows that belong to one run or snapshot, by its id."""
    owner = order.partition(",")[0]
    rows = session.connection().execute(select(_columns(table)).order_by(text(order))).mappings()
    return {key: digest(map(dict, group)) for key, group in groupby(rows, key=lambda row: row[owner])}


def _know_snapshot(session: Session, found: Snapshot) -> None:
    draft, number = found.manifest.draft, found.manifest.number
    later = (_LATER_SNAPSHOTS, (to_text(draft.taken_at), found.key.scope, number))
    _know(session, found.key, draft.system, to_json(draft.request), [(_ANY_RUN, ()), later])


# What tells a source or scope better: than a run a newer one; than a snapshot any run, or a newer snapshot.
_LATER_RUNS = "SELECT 1 FROM run WHERE (started_at, id) > (?, ?)"
_ANY_RUN = "SELECT 1 FROM run WHERE 1"
_LATER_SNAPSHOTS = (
    "SELECT 1 FROM snapshot WHERE gone IN ('', 'forgotten') AND (taken_at, scope, number) > (?, ?, ?)"
)


def _know(
    session: Session, key: ScopeKey, system: str, request: str, newer: list[tuple[str, tuple[Any, ...]]]
) -> None:
    """Note source and scope, unless something newer has. By plain SQL: it is asked for each run and snapshot."""
    ask = session.connection().exec_driver_sql

    def told_better(where: str, names: tuple[str, ...]) -> bool:
        return any(ask(f"{query} AND {where} LIMIT 1", (*given, *names)).first() for query, given in newer)

    known = ask("SELECT system FROM source WHERE name = ?", (key.source,)).scalar()
    if known is None or (known != system and not told_better("source = ?", (key.source,))):
        put(session, Source, [{"name": key.source, "system": system}])
    names = (key.source, key.scope)
    known = ask("SELECT request FROM scope WHERE source = ? AND name = ?", names).scalar()
    if known is None or (known != request and not told_better("source = ? AND scope = ?", names)):
        put(session, Scope, [{"source": key.source, "name": key.scope, "request": request}])


@contextmanager
def _tolerant(name: str, damaged: list[Damaged] | None) -> Iterator[None]:
    try:
        yield
    except StorageError as exc:
        if damaged is None:
            raise
        damaged.append(Damaged(name, str(exc)))
