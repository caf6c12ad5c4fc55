"""Mayan's cabinets as values: each is its labels, from the top down. A full path alone may be read in two ways.

Pure. A label may hold what Mayan puts between two: `A / B` is one cabinet, or one that lies in another.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

BETWEEN = " / "  # the labels of a cabinet's full path
Labels: TypeAlias = tuple[str, ...]


class Listed(NamedTuple):
    """A cabinet as Mayan's list tells of it."""

    label: str
    above: int | None  # id of the one in which it is
    path: str


def labels_of(rows: Mapping[int, Listed]) -> dict[int, Labels]:
    """The labels of each cabinet of a list, by id. What is above one that is not listed is read from the path."""
    return {number: _climbed(number, rows) for number in rows}


def alone(label: str, path: str) -> Labels:
    """Of one cabinet without the list: its own label, and those above as its full path reads."""
    above = path.removesuffix(BETWEEN + label)
    return (path,) if above == path else (*above.split(BETWEEN), label)


def plain(path: str) -> Labels:
    """As a full path reads where no label holds what is between two."""
    return tuple(path.split(BETWEEN))


def path_of(labels: Labels) -> str:
    """The full path, as Mayan tells it."""
    return BETWEEN.join(labels)


def members(cabinets: Iterable[Labels]) -> dict[str, Any]:
    """What document.json tells of cabinets: labels beside the full paths only where these are not enough."""
    found = sorted((path_of(labels), labels) for labels in cabinets)
    told: dict[str, Any] = {"cabinets": [path for path, _ in found]}
    if any(labels != plain(path) for path, labels in found):
        told["cabinet_labels"] = [list(labels) for _, labels in found]
    return told


def of(document: Mapping[str, Any], known: Mapping[str, Labels] | None = None) -> tuple[Labels, ...]:
    """The cabinets of a document, as `members` told them; `known`: what else is told of full paths.

    Raises KeyError, TypeError for another shape.
    """
    if "cabinet_labels" in document:
        return tuple(tuple(labels) for labels in document["cabinet_labels"])
    return tuple(plain(path) if known is None else read(path, known) for path in document["cabinets"])


def by_path(rows: Sequence[Mapping[str, Any]]) -> tuple[set[Labels], dict[str, Labels]]:
    """All cabinets that mayan.json tells of, and which is meant by a full path alone.

    Those of older snapshots, without labels, are read from their paths. Raises KeyError, TypeError.
    """
    every: set[Labels] = set()
    found: dict[str, Labels] = {}
    for row in sorted(rows, key=lambda row: (len(row["full_path"]), len(row.get("labels", ())))):
        path = row["full_path"]
        labels = tuple(row["labels"]) if "labels" in row else read(path, found)
        every.add(labels)
        found[path] = labels  # of two, the one with more labels: so its path reads
    return every, found


def read(path: str, known: Mapping[str, Labels]) -> Labels:
    """The cabinet of a full path: the one that is known, else below the one that is known above it."""
    if path in known:
        return known[path]
    above = parent_of(path, known)
    return (path,) if above is None else (*read(above, known), path[len(above) + len(BETWEEN) :])


def with_parents(cabinets: Iterable[Labels]) -> set[Labels]:
    """These cabinets, and all in which they are."""
    found: set[Labels] = set()
    for labels in cabinets:
        left = len(labels)
        while left and labels[:left] not in found:
            found.add(labels[:left])
            left -= 1
    return found


def parent_of(path: str, known: Container[str]) -> str | None:
    """The full path of the cabinet in which one is, as far as paths tell; None for one at the top.

    The longest that is known; where none is, all but the last label. Asks `known` once for each label.
    """
    at = path.rfind(BETWEEN)
    while at > 0:
        if path[:at] in known:
            return path[:at]
        at = path.rfind(BETWEEN, 0, at + len(BETWEEN) - 1)  # the next one may share a space with this one
    return path.rpartition(BETWEEN)[0] or None


def _climbed(number: int, rows: Mapping[int, Listed]) -> Labels:
    found: Labels = ()
    seen: set[int] = set()
    while number not in seen:  # a server that lists a circle is not followed
        seen.add(number)
        label, above, path = rows[number]
        if above is None:
            return (label, *found)
        if above not in rows:
            return (*alone(label, path), *found)
        found = (label, *found)
        number = above
    return found
