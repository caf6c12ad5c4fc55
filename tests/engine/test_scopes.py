"""RSpace scopes as they are written: every-scopes, selections, chains' names, and each mistake by its key."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.export import EVERY, Scope
from flows.sources.rspace_scopes import member, parse_scope, scope_from_table

NUMBERS = st.integers(1, 10**12)


def scope(**table: Any) -> Scope:
    """From a table; `except` and the like are given as `except_`."""
    return scope_from_table({key.rstrip("_"): value for key, value in table.items()})


@pytest.mark.parametrize(
    ("table", "name", "options"),
    [
        ({"kind": "user"}, "every user", {"format": "xml"}),
        ({"kind": "group", "format": "html"}, "every group html", {"format": "html"}),
        ({"kind": "user", "except_": [9, 7, 9]}, "every user", {"format": "xml", "except": [7, 9]}),
        ({"kind": "user", "except_": []}, "every user", {"format": "xml"}),
        ({"kind": "user", "name": "full", "revisions": True}, "full", {"format": "xml", "revisions": True}),
    ],
)
def test_an_every_scope(table: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    """It has no id but the one that stands for all, and a name of its own."""
    made = scope(every=True, **table)

    assert (made.name, made.kind, made.id, made.options) == (name, table["kind"], EVERY, options)
    assert made.every


def test_every_false_is_as_if_it_were_not_there() -> None:
    """A table may say so."""
    assert scope(kind="user", id=7, every=False) == scope(kind="user", id=7)


@given(number=NUMBERS, form=st.sampled_from(["xml", "html"]), kind=st.sampled_from(["user", "group"]))
def test_a_member_is_as_if_configured_by_itself(number: int, form: str, kind: str) -> None:
    """Same name, options and so the same chain of snapshots: who listed his users before loses nothing."""
    every = scope(kind=kind, every=True, format=form, link_level=3, except_=[5])

    one = member(every, str(number))

    assert one == scope(kind=kind, id=number, format=form, link_level=3)
    assert not one.every
    assert parse_scope(one.name).name == one.name


@given(
    numbers=st.lists(NUMBERS, min_size=1, max_size=5, unique=True),
    names=st.lists(st.text("ab:", min_size=1, max_size=6), min_size=2, max_size=4, unique=True),
)
def test_members_of_every_scopes_with_different_names_never_share_a_chain(
    numbers: list[int], names: list[str]
) -> None:
    """Whatever stands before them, colons and all."""
    tables = [{"kind": kind, "format": form} for kind in ("user", "group") for form in ("xml", "html")]
    plain = [scope(every=True, **table) for table in tables]
    prefixed = [scope(every=True, name=name, **tables[0]) for name in names]

    chains = [member(every, str(number)).name for every in [*plain, *prefixed] for number in numbers]

    assert len(set(chains)) == len(chains)
    assert all(len(chain) <= 60 for chain in chains)


@pytest.mark.parametrize("text", ["", "0", "07", "x", "*", "-1", "7 ", "٣", "1" * 20])
def test_what_is_no_number_is_no_member(text: str) -> None:
    """However it came here."""
    with pytest.raises(ValueError, match="not RSpace's number"):
        member(scope(kind="user", every=True), text)


@pytest.mark.parametrize(
    ("table", "name", "options"),
    [
        ({"ids": [15, 12]}, "selection:12,15", {"ids": [12, 15]}),
        ({"folder": 123}, "selection:folder-123", {"folder": 123}),
        ({"folder": 123, "name": "tree"}, "tree", {"folder": 123}),
        (
            {"ids": [1], "leave_out_unreadable": True},
            "selection:1",
            {"ids": [1], "leave_out_unreadable": True},
        ),
        ({"ids": [1], "leave_out_unreadable": False}, "selection:1", {"ids": [1]}),
        (
            {"search": {"modified_from": date(2026, 1, 31), "tag": "paper", "owner": "mrossi"}, "name": "paper"},
            "paper",
            {"search": {"tag": "paper", "owner": "mrossi", "modified_from": "2026-01-31"}},
        ),
        (
            {"search": {"form": "Basic", "modified_to": "2026-01-31"}, "name": "forms"},
            "forms",
            {"search": {"form": "Basic", "modified_to": "2026-01-31"}},
        ),
    ],
)
def test_a_selection(table: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    """Ids, a folder, or a search, as data that a catalog and a manifest can hold."""
    made = scope(kind="selection", **table)

    assert (made.name, made.id, made.options) == (name, "", {"format": "xml", **options})


@pytest.mark.parametrize(
    "text",
    ["user", "user:7", "group:11:html", "selection:12,15", "selection:folder-123", "selection:folder-1:html"],
)
def test_a_name_that_is_made_is_a_form_of_the_command_line(text: str) -> None:
    """What `status` shows can be typed."""
    assert parse_scope(text).name == text


@pytest.mark.parametrize("text", ["every user", "user:*", "user:every", "selection:folder-", "selection:folder-x"])
def test_what_the_command_line_cannot_say(text: str) -> None:
    """An every-scope above all."""
    with pytest.raises(ValueError, match="expected"):
        parse_scope(text)


SELECTION: dict[str, Any] = {"kind": "selection"}
SEARCH: dict[str, Any] = {**SELECTION, "name": "found"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "user", "every": True, "id": 7}, "id: every = true stands for every user"),
        ({"kind": "user", "every": "yes"}, "every = 'yes': expected true or false"),
        ({"kind": "user", "except_": [7]}, "except: only goes with every = true"),
        ({"kind": "user", "every": True, "except_": 7}, "except = 7: expected a list"),
        ({"kind": "user", "every": True, "except_": ["7"]}, "except = ['7']: expected a list"),
        ({"kind": "user", "every": True, "except_": [True]}, "except = [True]: expected a list"),
        ({"kind": "user", "every": True, "name": "x" * 31}, "expected at most 30 characters"),
        ({"kind": "group", "folder": 1}, "folder: only a selection has it, not a group"),
        ({"kind": "user", "search": {}}, "search: only a selection has it"),
        ({"kind": "user", "leave_out_unreadable": True}, "leave_out_unreadable: only a selection"),
        ({**SELECTION, "every": True}, "every: a selection has ids, a folder or a search"),
        ({**SELECTION, "except_": [1], "ids": [1]}, "except: a selection has ids"),
        ({**SELECTION, "ids": [1], "folder": 2}, "exactly one of ids = [12, 15], folder = 123, search = { … }"),
        ({**SELECTION, "ids": [1], "folder": 2}, "here is ids and folder"),
        ({**SELECTION, "folder": "FL12"}, "folder = 'FL12': expected its number"),
        ({**SELECTION, "folder": 0}, "folder = 0: expected"),
        ({**SELECTION, "ids": [1], "leave_out_unreadable": 1}, "leave_out_unreadable = 1: expected true or false"),
        ({**SELECTION, "search": {"tag": "paper"}}, "name: a search needs one"),
        ({**SEARCH, "search": {}}, "search: expected a table with at least one term"),
        ({**SEARCH, "search": "paper"}, "search: expected a table"),
        ({**SEARCH, "search": {"title": "x"}}, "search.title: not a term of a search; it has tag, form, owner"),
        ({**SEARCH, "search": {"tag": " "}}, "search.tag = ' ': expected a text"),
        ({**SEARCH, "search": {"tag": 5}}, "search.tag = 5: expected a text"),
        ({**SEARCH, "search": {"owner": "a\nb"}}, "search.owner"),
        (
            {**SEARCH, "search": {"modified_from": "last week"}},
            "search.modified_from = 'last week': expected a day",
        ),
        ({**SEARCH, "search": {"modified_to": datetime(2026, 1, 1, 3, tzinfo=UTC)}}, "expected a day"),
        ({**SEARCH, "search": {"modified_to": 2026}}, "expected a day"),
        (
            {**SEARCH, "search": {"modified_from": "2026-02-01", "modified_to": date(2026, 1, 1)}},
            "search.modified_from = 2026-02-01: is after modified_to = 2026-01-01",
        ),
    ],
)
def test_each_mistake_is_named_by_its_key(table: dict[str, Any], said: str) -> None:
    """Key, value, and what was expected."""
    with pytest.raises(ValueError) as caught:  # what it says is looked at below
        scope(**table)
    assert said in str(caught.value)
