"""What a catalog knows against what its archive holds: which of them lacks what, and which of them is older.

Pure: two sets of facts in, differences out. The catalog's come from `Catalog.facts`, the archive's from
`storage.facts`; a catalog filled from an archive has the facts of that archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from storage.rows import tells_names
from storage.snapshot import ScopeKey

Row = Mapping[str, Any]  # columns of the catalog's table, without those in flight
_SHOWN = 60  # characters of a value in a sentence


class Kind(StrEnum):
    """What a difference is. The first four tell of a whole; each of the others of one thing."""

    CATALOG_EMPTY = "catalog emptied"
    CATALOG_OLDER = "catalog rolled back"
    ARCHIVE_EMPTY = "archive emptied"
    ARCHIVE_OLDER = "archive rolled back"
    CATALOG_LACKS = "the catalog lacks it"
    ARCHIVE_LACKS = "the archive lacks it"
    DIFFERS = "differs"
    UNREADABLE = "cannot be read"


_FILL = "`strongroom catalog rebuild` makes a new one from the archive"
_BRING_BACK = (
    "bring the missing files back from a copy of the archive; only where they are gone for good, "
    "`strongroom catalog rebuild`"
)
HINTS = {
    Kind.CATALOG_EMPTY: _FILL,
    Kind.CATALOG_OLDER: _FILL,
    Kind.CATALOG_LACKS: _FILL,
    Kind.DIFFERS: _FILL,
    Kind.ARCHIVE_EMPTY: _BRING_BACK,
    Kind.ARCHIVE_OLDER: _BRING_BACK,
    Kind.ARCHIVE_LACKS: _BRING_BACK,
    Kind.UNREADABLE: "bring it back from a copy of the archive; `strongroom scrub --all` says whom it hits",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything finished, by id; a run's checks and a snapshot's file rows are one column each, a digest."""

    sources: Mapping[str, Row]  # by name
    scopes: Mapping[str, Row]  # by "source/scope"
    runs: Mapping[str, Row]
    snapshots: Mapping[str, Row]  # live and gone
    decisions: Mapping[str, Row] = field(default_factory=dict)  # as `decision_place` names them
    under_way: frozenset[str] = frozenset()  # runs that may end at any moment; known to a catalog
    unsettled: frozenset[str] = frozenset()  # names of sources and scopes whose newest run has no end
    unreadable: Mapping[str, str] = field(default_factory=dict)  # what it would tell -> file; known to an archive


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the two do not agree."""

    kind: Kind
    what: str
    problem: str

    @property
    def hint(self) -> str:
        """What to try."""
        return HINTS[self.kind]


def compare(catalog: Facts, archive: Facts) -> list[Difference]:
    """Every difference, first what it comes from. None: the catalog is what the archive would fill.

    What a run that is under way keeps and records is passed over: it comes to the archive first. Sources and
    scopes follow from runs and snapshots, and are told of only where those agree.
    """
    found = [*_whole(catalog, archive), *_snapshots(catalog, archive), *_runs(catalog, archive)]
    found += _decisions(catalog, archive)
    return found or ([] if archive.unreadable else list(_names(catalog, archive)))


def place(source: str, scope: str, number: int) -> str:
    """A place in a chain, as `Facts.unreadable` names it."""
    return f"{source}/{scope} number {number}"


def decision_place(source: str, scope: str, number: int, n: int) -> str:
    """A decision, as `Facts.decisions` and `Facts.unreadable` name it."""
    return f"{place(source, scope, number)}, decision {n}"


# -- which of them is older


def _whole(catalog: Facts, archive: Facts) -> Iterator[Difference]:
    in_archive = bool(archive.snapshots or archive.runs or archive.unreadable)
    if catalog.snapshots and not in_archive:
        problem = f"holds nothing; the catalog knows {len(catalog.snapshots)} snapshots, {len(catalog.runs)} runs"
        yield Difference(Kind.ARCHIVE_EMPTY, "archive", problem)
        return
    if in_archive and not catalog.snapshots and not catalog.runs and _settled(catalog, archive):
        problem = f"knows nothing; the archive holds {len(archive.snapshots)} snapshots, {len(archive.runs)} runs"
        yield Difference(Kind.CATALOG_EMPTY, "catalog", problem)
        return
    here, there = _chains(catalog), _chains(archive)
    for key in sorted(here.keys() | there.keys()):
        yield from _chain(key, here.get(key, {}), there.get(key, {}), catalog, archive)


def _chain(
    key: str, here: Mapping[int, Row], there: Mapping[int, Row], catalog: Facts, archive: Facts
) -> Iterator[Difference]:
    """Which of them has the newer end of a chain."""
    unread = {number for number in here if f"{key} number {number}" in archive.unreadable}
    known, held = max(here, default=0), max({*there, *unread}, default=0)
    both = [number for number in here.keys() & there.keys() if there[number]["gone"] != "lost"]
    other = [number for number in both if here[number]["id"] != there[number]["id"]]
    if known > held:
        ends = f"ends at number {held}" if held else "is not there"
        problem = f"{ends}; the catalog is newer, it knows number {known}"
        yield Difference(Kind.ARCHIVE_OLDER, f"chain {key}", problem)
    elif other:
        first = min(other)
        problem = (
            f"number {first} is {there[first]['id'][:8]}; the catalog knows {here[first]['id'][:8]}: "
            "the archive was rolled back, and written to since"
        )
        yield Difference(Kind.ARCHIVE_OLDER, f"chain {key}", problem)
    if any(number > known and row["run"] not in catalog.under_way for number, row in there.items()):
        ends = f"ends at number {known}" if known else "is not known"
        problem = f"{ends}; the archive is newer, it has number {held}"
        yield Difference(Kind.CATALOG_OLDER, f"chain {key}", problem)


def _chains(facts: Facts) -> dict[str, dict[int, Row]]:
    chains: dict[str, dict[int, Row]] = {}
    for row in facts.snapshots.values():
        chains.setdefault(str(ScopeKey(row["source"], row["scope"])), {})[row["number"]] = row
    return chains


def _settled(catalog: Facts, archive: Facts) -> bool:
    """Whether the archive holds what no run under way has put there."""
    makers = [row["run"] for row in archive.snapshots.values()]
    return any(run not in catalog.under_way for run in (*makers, *archive.runs))


# -- one thing after another


def _snapshots(catalog: Facts, archive: Facts) -> Iterator[Difference]:
    for key, row in sorted(archive.snapshots.items(), key=_by_chain):
        mine = catalog.snapshots.get(key)
        if mine is not None:
            yield from _fields(_snapshot(row), mine, row)
        elif row["run"] not in catalog.under_way:
            state = row["gone"] or "live"
            yield Difference(Kind.CATALOG_LACKS, _snapshot(row), f"{state} in the archive, not in the catalog")
    given_up = {_place_of(row) for row in archive.snapshots.values() if row["gone"] == "lost"}
    for key, row in sorted(catalog.snapshots.items(), key=_by_chain):
        file = archive.unreadable.get(_place_of(row))
        if key in archive.snapshots or _place_of(row) in given_up:
            continue
        if file:
            yield Difference(Kind.UNREADABLE, _snapshot(row), f"{file} is damaged; the catalog knows it")
        else:
            problem = "the catalog knows it; in the archive it is neither live nor has it a tombstone"
            yield Difference(Kind.ARCHIVE_LACKS, _snapshot(row), problem)


def _runs(catalog: Facts, archive: Facts) -> Iterator[Difference]:
    for key, row in sorted(archive.runs.items()):
        mine = catalog.runs.get(key)
        if mine is not None:
            yield from _fields(_run(row), mine, row)
        elif key not in catalog.under_way:
            problem = f"ended {row['ended']} by its record in the archive, not in the catalog"
            yield Difference(Kind.CATALOG_LACKS, _run(row), problem)
    for key, row in sorted(catalog.runs.items()):
        if key in archive.unreadable:
            problem = f"{archive.unreadable[key]} is damaged; the catalog knows it"
            yield Difference(Kind.UNREADABLE, _run(row), problem)
        elif key not in archive.runs:
            problem = f"ended {row['ended']} by the catalog, without a record in the archive"
            yield Difference(Kind.ARCHIVE_LACKS, _run(row), problem)


def _decisions(catalog: Facts, archive: Facts) -> Iterator[Difference]:
    for key, row in sorted(archive.decisions.items()):
        mine = catalog.decisions.get(key)
        if mine is not None:
            yield from _fields(f"{key} ({row['kind']})", mine, row)
        else:
            yield Difference(Kind.CATALOG_LACKS, f"{key} ({row['kind']})", "in the archive, not in the catalog")
    for key, row in sorted(catalog.decisions.items()):
        if key in archive.unreadable:
            problem = f"{archive.unreadable[key]} is damaged; the catalog knows it"
            yield Difference(Kind.UNREADABLE, f"{key} ({row['kind']})", problem)
        elif key not in archive.decisions:
            problem = f"{row['by']} decided it by the catalog; it is not in the archive"
            yield Difference(Kind.ARCHIVE_LACKS, f"{key} ({row['kind']})", problem)


def _names(catalog: Facts, archive: Facts) -> Iterator[Difference]:
    sources, scopes = (catalog.sources, archive.sources), (catalog.scopes, archive.scopes)
    unsettled = catalog.unsettled | _told_by_none(archive)
    for kind, (mine, held) in (("source", sources), ("scope", scopes)):
        for name in sorted((mine.keys() | held.keys()) - unsettled):
            if name not in mine:
                yield Difference(Kind.CATALOG_LACKS, f"{kind} {name}", "in the archive, not in the catalog")
            elif name not in held:
                problem = "the catalog knows it; no run and no snapshot is of it"
                yield Difference(Kind.ARCHIVE_LACKS, f"{kind} {name}", problem)
            else:
                yield from _fields(f"{kind} {name}", mine[name], held[name])


def _told_by_none(archive: Facts) -> set[str]:
    """Sources and scopes that a catalog may know better than the archive: a snapshot of them was erased or lost,
    and no run is there that tells more."""
    erased = {name for row in archive.snapshots.values() if not tells_names(row) for name in _names_of(row)}
    return erased - {name for row in archive.runs.values() for name in _names_of(row)}


def _names_of(row: Row) -> tuple[str, str]:
    return row["source"], f"{row['source']}/{row['scope']}"


def _fields(what: str, mine: Row, held: Row) -> Iterator[Difference]:
    for column, value in held.items():
        if mine.get(column) != value:
            problem = f"{column}: the catalog says {_shown(mine.get(column))}, the archive {_shown(value)}"
            yield Difference(Kind.DIFFERS, what, problem)


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _snapshot(row: Row) -> str:
    return f"snapshot {row['id'][:8]} ({_place_of(row)})"


def _place_of(row: Row) -> str:
    return place(row["source"], row["scope"], row["number"])


def _run(row: Row) -> str:
    return f"run {row['id']} ({row['source']}/{row['scope']})"


def _by_chain(item: tuple[str, Row]) -> tuple[str, str, int]:
    return item[1]["source"], item[1]["scope"], item[1]["number"]
