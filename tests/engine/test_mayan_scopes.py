"""Mayan scopes as they are written, each mistake by its key; and whose turn it is to be looked at whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sources.mayan_night import due
from flows.sources.mayan_scopes import parse_scope, scope_from_table

DAY = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "name", "kind", "scope_id", "options"),
    [
        ({"kind": "all"}, "all", "all", "", {}),
        ({"kind": "type", "id": 3}, "type-3", "type", "3", {}),
        ({"kind": "type", "id": "3"}, "type-3", "type", "3", {}),
        ({"kind": "tag", "id": "urgent"}, "tag-urgent", "tag", "urgent", {}),
        ({"kind": "cabinet", "id": 7, "name": "Letters"}, "Letters", "cabinet", "7", {}),
        ({"kind": "ids", "ids": [9, 4, 9]}, "ids-f9406f37", "ids", "", {"ids": [4, 9]}),
        ({"kind": "search", "query": "bills"}, "search-bills", "search", "", {"query": "bills"}),
        ({"kind": "all", "exports": "active"}, "all", "all", "", {"exports": "active"}),
        ({"kind": "all", "sweep_days": 7}, "all", "all", "", {"sweep_days": 7}),
        ({"kind": "all", "except_files": [4, 2]}, "all", "all", "", {"except_files": [2, 4]}),
    ],
)
def test_a_scope(table: dict[str, Any], name: str, kind: str, scope_id: str, options: dict[str, Any]) -> None:
    """Its name, kind, id and options."""
    made = scope_from_table(table)

    assert (made.name, made.kind, made.id) == (name, kind, scope_id)
    assert made.options == {"exports": "none", "sweep_days": 90, **options}
    assert not made.every


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "kind = None: expected one of all, type"),
        ({"kind": "user", "id": 3}, "by type, cabinet and tag, not by user"),
        ({"kind": "group"}, "by type, cabinet and tag, not by group"),
        ({"kind": "all", "id": 3}, "id: not a key of kind = 'all'"),
        ({"kind": "type"}, "id: needed for kind = 'type'"),
        ({"kind": "type", "id": 0}, "0: expected an id"),
        ({"kind": "type", "id": True}, "True: expected an id"),
        ({"kind": "tag", "id": " "}, "id = ' '"),
        ({"kind": "tag", "id": "a\nb"}, "id = 'a"),
        ({"kind": "ids"}, "ids: needed"),
        ({"kind": "ids", "ids": []}, "ids: expected a list"),
        ({"kind": "ids", "ids": [1, -1]}, "-1: expected an id"),
        ({"kind": "ids", "ids": list(range(1, 2002))}, "ids: expected a list of 1 to 2000"),
        ({"kind": "search", "query": ""}, "query = ''"),
        ({"kind": "all", "exports": True}, "exports = True: expected one of none, active, all"),
        ({"kind": "all", "sweep_days": 0}, "sweep_days = 0"),
        ({"kind": "all", "sweep_days": True}, "sweep_days = True"),
        ({"kind": "all", "except_files": "3"}, "except_files: expected a list"),
        ({"kind": "all", "every": True}, "every: not a key of a mayan scope"),
        ({"kind": "all", "name": "a/b"}, "name = 'a/b'"),
    ],
)
def test_a_mistake_is_told_by_its_key(table: dict[str, Any], said: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"^") as caught:
        scope_from_table(table)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("all", {"kind": "all"}),
        ("all+exports", {"kind": "all", "exports": "active"}),
        ("type:3", {"kind": "type", "id": 3}),
        ("cabinet:A / B", {"kind": "cabinet", "id": "A / B"}),
        ("tag:urgent+exports", {"kind": "tag", "id": "urgent", "exports": "active"}),
        ("search:bills 2026", {"kind": "search", "query": "bills 2026"}),
        ("ids:5,4", {"kind": "ids", "ids": [4, 5]}),
    ],
)
def test_on_the_command_line(text: str, table: dict[str, Any]) -> None:
    """The same as in a table."""
    assert parse_scope(text) == scope_from_table(table)


@pytest.mark.parametrize("text", ["", "all:3", "type", "type:", "user:3", "group:1", "ids:", "ids:x", "all+pdf"])
def test_what_is_no_scope(text: str) -> None:
    """Each is refused with the form that was expected, or what is nearest."""
    with pytest.raises(ValueError, match=r"expected|not by"):
        parse_scope(text)


@given(st.sampled_from(["type", "cabinet", "tag"]), st.text(min_size=1, max_size=200))
def test_every_label_has_a_name(kind: str, label: str) -> None:
    """Short and printable, and a different one for each label."""
    if not label.strip() or not label.isprintable():
        return
    made = scope_from_table({"kind": kind, "id": label})

    assert len(made.name) <= 60
    assert "/" not in made.name
    other = scope_from_table({"kind": kind, "id": f"{label}x"[-200:]})
    assert made.name != other.name or made.id == other.id


@given(
    number=st.integers(1, 10**9),
    every=st.integers(1, 60),
    gaps=st.lists(st.integers(1, 4), min_size=1, max_size=70),
)
def test_every_document_has_its_turn(number: int, every: int, gaps: list[int]) -> None:
    """Within so many days, whichever nights were missed; and not each night."""
    since, waited, turns = DAY, 0, 0
    for gap in gaps:
        now = since + timedelta(days=gap)
        turn = due(number, since=since, now=now, every_days=every)
        turns += turn
        waited = 0 if turn else waited + gap
        assert waited < every
        since = now
    assert turns <= sum(gaps) // every + 1


def test_no_turn_comes_twice_a_day() -> None:
    """A second run on one day looks at nobody again."""
    later = DAY + timedelta(hours=3)

    assert not any(due(number, since=DAY, now=later, every_days=1) for number in range(1, 9))
    assert all(due(number, since=DAY, now=DAY + timedelta(days=1), every_days=1) for number in range(1, 9))
    assert all(due(number, since=DAY, now=DAY + timedelta(days=90), every_days=30) for number in range(1, 9))
