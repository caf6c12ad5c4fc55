"""Mayan's cabinets: what a snapshot tells of them, and in which a restore makes each, for any tree of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.sources import mayan_cabinets as cabinets
from flows.sources.base import Connection
from flows.sources.client import Answer
from flows.sources.mayan_cabinets import BETWEEN, Labels, Listed, parent_of, path_of
from flows.sources.mayan_restore import Target
from flows.sources.mayan_restore_plan import Wish
from flows.sources.mayan_restore_shared import Shared, There, add_needed, make, read, told
from tests.bench.made_up_target import MadeUpTarget

LABELS = st.lists(st.sampled_from(["A", "B", " ", "/", BETWEEN]), min_size=1, max_size=4).map("".join)
PATHS = st.lists(LABELS, min_size=1, max_size=4).map(BETWEEN.join)
CABINETS = st.lists(LABELS, min_size=1, max_size=4).map(tuple)


def naive_parent(path: str, known: Iterable[str]) -> str | None:
    """Every cabinet that is known is looked at; the longest counts, else all but the last label."""
    parents = [one for one in known if path.startswith(one + BETWEEN)]
    return max(parents, key=len, default=None) or (path.rpartition(BETWEEN)[0] or None)


def naive_labels(path: str, known: Iterable[str]) -> Labels:
    """Label by label, from below."""
    above = naive_parent(path, known)
    return (path,) if above is None else (*naive_labels(above, known), path.removeprefix(above + BETWEEN))


def in_cabinets(*these: Labels) -> Wish:
    """A document that is nothing but in these."""
    return Wish("", "", "", "T", (), (), {}, (), these, ())


def kept_and_told(trees: Iterable[Labels]) -> Shared:
    """What a snapshot says of these cabinets, and of all in which they are."""
    every = sorted(cabinets.with_parents(trees))
    return told({"cabinets": [{"full_path": path_of(one), "labels": list(one)} for one in every]})


class Unused:
    """The ledger of a restore that makes no type, and so notes nothing."""

    def of(self, unit: str) -> Mapping[str, Any]:
        raise AssertionError(unit)

    def note(self, unit: str, **facts: Any) -> None:
        raise AssertionError(unit)


@given(PATHS, st.sets(PATHS, max_size=8), st.booleans())
def test_the_cabinet_above_is_the_longest_that_is_known(path: str, known: set[str], whole: bool) -> None:
    """Whatever labels hold, and whatever else is known: where nothing but full paths was kept."""
    if whole:
        known |= {path[:at] for at in range(len(path))}
    assert parent_of(path, known) == naive_parent(path, known)


@given(st.sets(PATHS, max_size=8), PATHS)
def test_older_snapshots_are_read_by_their_full_paths(paths: set[str], of_document: str) -> None:
    """They tell no labels: each cabinet lies in the longest one above it that the snapshot tells of."""
    known = told({"cabinets": [{"full_path": path} for path in paths]})
    assert known.paths == {path: naive_labels(path, paths) for path in paths}
    assert cabinets.of({"cabinets": [of_document]}, known.paths) == (naive_labels(of_document, paths),)


@given(st.sets(CABINETS, max_size=6), st.sets(CABINETS, max_size=3))
def test_every_tree_comes_back_as_it_was(others: set[Labels], of_documents: set[Labels]) -> None:
    """Whatever labels hold, by what mayan.json and document.json tell; each is made once, in the one above it."""
    known = kept_and_told(others | of_documents)
    assert known.cabinets == cabinets.with_parents(others | of_documents)
    document = json.loads(json.dumps(cabinets.members(of_documents)))
    assert set(cabinets.of(document, known.paths)) == of_documents
    needed = Shared()
    add_needed(needed, in_cabinets(*cabinets.of(document, known.paths)), known)
    assert needed.cabinets == cabinets.with_parents(of_documents)

    made: list[Labels] = []

    def send(method: str, path: str, body: Mapping[str, Any], needs: str) -> Answer:
        above = () if body["parent"] is None else made[body["parent"] - 1]
        made.append((*above, body["label"]))
        return Answer(201, {}, json.dumps({"id": len(made)}).encode())

    make(Shared(cabinets=needed.cabinets), There(), send, Unused())
    assert sorted(made) == sorted(needed.cabinets)


@given(st.sets(CABINETS, max_size=8), st.integers(0, 8))
def test_labels_are_read_from_the_list(trees: set[Labels], hidden: int) -> None:
    """By the ids of those above; where one above is not shown, as its full path tells."""
    every = sorted(cabinets.with_parents(trees), key=len)
    ids = {one: number for number, one in enumerate(every)}
    rows = {ids[one]: Listed(one[-1], ids.get(one[:-1]), path_of(one)) for one in every}
    assert cabinets.labels_of(rows) == {number: one for one, number in ids.items()}

    rows.pop(hidden, None)
    found = cabinets.labels_of(rows)
    assert {number: (path_of(one), one[-1]) for number, one in found.items()} == {
        number: (row.path, row.label) for number, row in rows.items()
    }


def test_a_list_that_goes_in_a_circle_ends() -> None:
    """No server should, and none keeps us."""
    assert cabinets.labels_of({1: Listed("a", 2, "a"), 2: Listed("b", 1, "b")}).keys() == {1, 2}


def test_labels_stand_in_a_document_only_where_full_paths_are_not_enough() -> None:
    """So that documents which were kept before stay the same bytes."""
    assert cabinets.members([("Top", "Sub"), ("A",)]) == {"cabinets": ["A", "Top / Sub"]}
    assert cabinets.members([("A / B",), ("A", "B")]) == {
        "cabinets": ["A / B", "A / B"],
        "cabinet_labels": [["A", "B"], ["A / B"]],
    }


def test_into_its_own_server_no_cabinet_is_to_be_made(tmp_path: Path) -> None:
    """One whose label reads as two is known again, and is another one than the two."""
    labels: Labels = ('A / B "x"',)
    receiver = Target(Connection(MadeUpTarget.base, {"token": "made up"}, requests_per_s=0))
    MadeUpTarget(tmp_path).connect(receiver)
    needed = Shared(cabinets={labels})
    make(needed, read(receiver.wire), receiver._filler.send, Unused())
    there = read(receiver.wire)

    assert there.cabinets == {labels: 1}
    assert not needed.cabinets - there.has.cabinets
    assert {("A",), ("A", 'B "x"')}.isdisjoint(there.has.cabinets)


def test_a_cabinet_costs_its_labels_and_not_all_cabinets() -> None:
    """A hundred thousand documents in thousands of cabinets ask a table, and never go through it."""

    class Asked(dict[str, Labels]):
        times = 0

        def __contains__(self, name: object) -> bool:
            self.times += 1
            return super().__contains__(name)

        def __iter__(self) -> Any:
            raise AssertionError("gone through")

    known = Asked((f"top {n}", (f"top {n}",)) for n in range(1000))
    assert cabinets.of({"cabinets": ["top 7 / b / c"]}, known) == (("top 7", "b / c"),)
    assert known.times == 4  # the whole path, "top 7 / b", which are not known, and "top 7", which is read then
