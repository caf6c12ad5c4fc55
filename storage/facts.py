"""What an archive holds, as the facts that a catalog of it must know: read from the archive alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storage import decisions, records, snapshot
from storage.archive import Archive, Damaged
from storage.catalog import Catalog
from storage.compare import Difference, Facts, Row, compare, decision_place, place
from storage.errors import StorageError
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
from storage.snapshot import Draft


def facts(archive: Archive, *, names: bool = True) -> Facts:
    """Everything that the archive holds of runs, snapshots and decisions, as a catalog has it.

    Reads each manifest, record, decision and short listing once. What cannot be read is named, and raises nothing.
    Memory: some 3 kB a run, whatever it kept.
    """
    damaged: list[Damaged] = []
    heard = _Names()
    snapshots: dict[str, Row] = {}
    for found in archive.snapshots(damaged=damaged):
        try:
            listed = file_rows(found, archive.entries(found)) if has_file_rows(found, names=names) else []
        except StorageError as exc:
            damaged.append(Damaged(found.name, str(exc)))
            continue
        row = snapshot_row(found)
        snapshots[found.id] = snapshot_facts(row, digest(listed))
        heard.tell_snapshot(row, found.manifest.draft)
    for tomb in archive.tombstones(damaged=damaged):  # after the snapshots: one forgotten meanwhile is forgotten
        row = forgotten_row(tomb)
        snapshots[row["id"]] = snapshot_facts(row, "")
        if tomb.manifest:
            heard.tell_snapshot(row, tomb.manifest.draft)
    runs: dict[str, Row] = {}
    for name, data in archive.records():
        try:
            record = records.decode(data, name)
        except StorageError as exc:
            damaged.append(Damaged(name, str(exc)))
            continue
        if record is not None:
            row = run_row(record, names=names)
            runs[record.id] = run_facts(row, digest(check_rows(record, names=names)))
            heard.tell_run(row)
    decided = {
        decision_place(one.key.source, one.key.scope, one.number, one.n): decision_row(one)
        for one in archive.decisions(damaged=damaged)
        if not one.unreadable
    }
    unreadable = {_told_by(bad.name): bad.name for bad in damaged}
    return Facts(heard.sources(), heard.scopes(), runs, snapshots, decided, unreadable=unreadable)


def differences(catalog: Catalog, archive: Archive, *, now: datetime) -> list[Difference]:
    """Every difference between a catalog and its archive. Changes neither.

    Where there is one, both are read again, and what has settled in between is left out: runs may end meanwhile.
    """

    def differing() -> list[Difference]:
        return compare(catalog.facts(now=now), facts(archive, names=catalog.names))

    found = differing()
    return [each for each in differing() if each in found] if found else []


def same_names(catalog: Catalog, archive: Archive) -> bool:
    """Whether a catalog has the snapshots, runs and decisions that the archive has files of, and no others.

    Lists names and reads nothing. Where True, they may still differ in what they say; where False, a run may have
    ended meanwhile: `differences` looks again.
    """
    known, links = catalog.known(), archive.links()
    gone = {(link.key, link.number) for link in links if link.forgotten}
    live = {(link.key, link.number) for link in links} - gone
    ids = {name.rpartition("/")[2].removesuffix(".json") for name in archive.backend.list("records/")}
    ids = {one for one in ids if records.PAPER not in one}
    decided = set(map(decisions.parse_name, archive.backend.list(decisions.FOLDER)))
    here = (known.live, known.forgotten, known.runs | known.upkeep, known.decisions)
    return all(mine == held for mine, held in zip(here, (live, gone, ids, decided), strict=True))


def _told_by(name: str) -> str:
    """What the file `name` would tell of: a place in a chain, a decision, or a run."""
    link = snapshot.parse_name(name)
    if link is not None:
        return place(link.key.source, link.key.scope, link.number)
    decided = decisions.parse_name(name)
    if decided is not None:
        key, number, n = decided
        return decision_place(key.source, key.scope, number, n)
    return name.rpartition("/")[2].removesuffix(".json")


class _Names:
    """Sources and scopes, as the newest run has them; where there is none, as the newest snapshot."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, ...], tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def tell_run(self, row: Row) -> None:
        self._tell(row, (1, row["started_at"], row["id"]), row["system"], row["request"])

    def tell_snapshot(self, row: Row, draft: Draft) -> None:
        rank = (0, row["taken_at"], row["scope"], row["number"])
        self._tell(row, rank, draft.system, to_json(draft.request))

    def sources(self) -> dict[str, Row]:
        return {name[0]: row for name, (_, row) in self._best.items() if len(name) == 1}

    def scopes(self) -> dict[str, Row]:
        return {"/".join(name): row for name, (_, row) in self._best.items() if len(name) == 2}

    def _tell(self, row: Row, rank: tuple[Any, ...], system: str, request: str) -> None:
        source, scope = row["source"], row["scope"]
        told: dict[tuple[str, ...], dict[str, Any]] = {
            (source,): {"name": source, "system": system},
            (source, scope): {"source": source, "name": scope, "request": request},
        }
        for name, value in told.items():
            if name not in self._best or self._best[name][0] < rank:
                self._best[name] = rank, value
