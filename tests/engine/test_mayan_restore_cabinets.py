"""Cabinets of a restore into Mayan EDMS: which are needed, and in which each is made, for any tree of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.sources.client import Answer
from flows.sources.mayan_restore_plan import Wish
from flows.sources.mayan_restore_shared import BETWEEN, Shared, There, add_needed, make, parent_of, told

LABELS = st.lists(st.sampled_from(["A", "B", " ", "/", BETWEEN]), min_size=1, max_size=4).map("".join)
PATHS = st.lists(LABELS, min_size=1, max_size=4).map(BETWEEN.join)


def naive_parent(path: str, known: Iterable[str]) -> str | None:
    """Every cabinet that is known is looked at; the longest counts, else all but the last label."""
    parents = [one for one in known if path.startswith(one + BETWEEN)]
    return max(parents, key=len, default=None) or (path.rpartition(BETWEEN)[0] or None)


def naive_tree(paths: Iterable[str], known: Iterable[str]) -> set[str]:
    """All of these, and all in which they are."""
    found = set()
    for path in paths:
        above: str | None = path
        while above is not None:
            found.add(above)
            above = naive_parent(above, known)
    return found


def in_cabinets(*paths: str) -> Wish:
    """A document that is nothing but in these."""
    return Wish("", "", "", "T", (), (), {}, (), paths, ())


class Unused:
    """The ledger of a restore that makes no type, and so notes nothing."""

    def of(self, unit: str) -> Mapping[str, Any]:
        raise AssertionError(unit)

    def note(self, unit: str, **facts: Any) -> None:
        raise AssertionError(unit)


@given(PATHS, st.sets(PATHS, max_size=8), st.booleans())
def test_the_cabinet_above_is_the_longest_that_is_known(path: str, known: set[str], whole: bool) -> None:
    """Whatever labels hold, and whatever else is known."""
    if whole:
        known |= {path[:at] for at in range(len(path))}
    assert parent_of(path, known) == naive_parent(path, known)


@given(st.sets(PATHS, max_size=8), st.lists(PATHS, max_size=4))
def test_trees_are_planned_as_by_looking_at_every_cabinet(told_of: set[str], of_documents: list[str]) -> None:
    """Those that the snapshot tells of, and those that documents need; each is made in the one above it."""
    known = told({"cabinets": [{"full_path": path} for path in told_of]})
    assert known.cabinets == naive_tree(told_of, told_of)
    needed = Shared()
    for path in of_documents:
        add_needed(needed, in_cabinets(path), known)
    assert needed.cabinets == naive_tree(of_documents, known.cabinets)

    made: list[str] = []

    def send(method: str, path: str, body: Mapping[str, Any], needs: str) -> Answer:
        above = None if body["parent"] is None else made[body["parent"] - 1]
        made.append(body["label"] if above is None else f"{above}{BETWEEN}{body['label']}")
        assert above == naive_parent(made[-1], needed.cabinets)
        return Answer(201, {}, json.dumps({"id": len(made)}).encode())

    make(Shared(cabinets=needed.cabinets), There(), send, Unused())
    assert sorted(made) == sorted(needed.cabinets)


def test_a_cabinet_costs_its_labels_and_not_all_cabinets() -> None:
    """A hundred thousand documents in thousands of cabinets ask a set, and never go through it."""

    class Asked(set[str]):
        times = 0

        def __contains__(self, name: object) -> bool:
            self.times += 1
            return super().__contains__(name)

        def __iter__(self) -> Any:
            raise AssertionError("gone through")

    known = Asked(f"top {n}" for n in range(1000))
    needed = Shared()
    add_needed(needed, in_cabinets("top 7 / b / c"), Shared(cabinets=known))
    assert needed.cabinets == {"top 7", "top 7 / b / c"}
    assert known.times == 2  # "top 7 / b", which is not known, and "top 7"
