"""How WebAdMIT scopes are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import config
from flows.errors import ConfigError
from flows.export import EVERY
from flows.roster import member_called
from flows.sources.webadmit_scopes import member, parse_scope, scope_from_table

WHO = {"association": "SampleCAS", "organization": "Sample University"}


def test_a_scope_is_told_by_names() -> None:
    """No number stands in it, nor in the chain's name: a new cycle changes neither."""
    scope = scope_from_table({"export": "Nightly full", **WHO})

    assert (scope.name, scope.kind, scope.id) == ("export:Nightly full", "export", "Nightly full")
    assert scope.options == {**WHO, "cycle": "newest"}


def test_the_command_line_says_the_same() -> None:
    """`export:NAME` has the name of the scope that the file configures so."""
    assert parse_scope("export:Nightly full").name == scope_from_table({"export": "Nightly full", **WHO}).name
    assert parse_scope("pdf:All: documents").id == "All: documents"


@pytest.mark.parametrize("text", ["", "export", "export:", "pdf: ", "Nightly full", "group:7", "export_file:3"])
def test_another_form_is_refused_with_the_form(text: str) -> None:
    """The message says how it is written."""
    with pytest.raises(ValueError, match="export:NAME or pdf:NAME"):
        parse_scope(text)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "exactly one of"),
        ({"export": "a", "pdf": "b"}, "export and pdf"),
        ({"kind": "export", "export": "a"}, "kind: not a key"),
        ({"export": 7}, "expected a name"),
        ({"export": "*"}, 'every = "export"'),
        ({"export": "a", "id": 7}, "id: not a key"),
        ({"export": "a", "cycle": "last"}, "newest"),
        ({"export": "a", "cycle": 2025}, "newest"),
        ({"export": "a", "fresh": "no"}, "true or false"),
        ({"export": "a", "association": ""}, "association = ''"),
        ({"export": "a", "except": ["b"]}, "every"),
        ({"every": "selection"}, "export, pdf"),
        ({"every": "export", "except": "b"}, "list of names"),
        ({"export": "a", "name": "a/b"}, "slashes"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, Any], said: str) -> None:
    """The key, the value, and what was expected."""
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        scope_from_table(table)


def test_a_cycle_has_one_spelling() -> None:
    """Else a space would begin a new level."""
    assert scope_from_table({"export": "a", "cycle": "2025-2026"}).options["cycle"] == "2025 - 2026"


def test_an_odd_name_has_a_chain_of_its_own() -> None:
    """What no chain can be called is told apart by its digest."""
    first, second = (scope_from_table({"export": name}) for name in ("A/B", "A:B"))

    assert first.name != second.name
    assert "/" not in first.name + second.name


@pytest.mark.parametrize("given", ["", "full"])
def test_an_every_scope_stands_for_names(given: str) -> None:
    """A member is found by the name of its chain, and asks for what the table asks."""
    every = scope_from_table({"every": "export", **WHO, "fresh": False, "except": ["Old"], "name": given})
    one = member(every, "Nightly full")

    assert every.id == EVERY
    assert one.id == "Nightly full"
    assert one.options == {**WHO, "cycle": "newest", "fresh": False}
    assert one.name == ("full:" if given else "") + "export:Nightly full"
    assert member_called(lambda found: member(every, found), one.name) == one


@pytest.mark.parametrize("name", ["A: B", "A/B", "", " a", "x" * 60])
def test_a_name_that_no_chain_can_have(name: str) -> None:
    """Such an export is configured by itself."""
    with pytest.raises(ValueError, match="by itself"):
        member(scope_from_table({"every": "export"}), name)


def test_no_scope_stands_in_for_an_export_of_another_organisation(tmp_path: Path) -> None:
    """Both have an export of that name: one of them would be left out of each night without a word."""
    path = tmp_path / "strongroom.toml"
    text = (
        '[[source]]\nname = "a"\nsystem = "webadmit"\nurl = "https://a.example.org"\napi_key = { env = "KEY" }\n'
        '[[source.scope]]\nexport = "All"\norganization = "A"\n'
        '[[source.scope]]\nevery = "export"\norganization = "B"\n'
    )
    path.write_text(text)
    with pytest.raises(ConfigError, match="'every export' calls export All so, of another organization"):
        config.load(path)

    path.write_text(text + 'name = "B"\n')
    assert [scope.name for scope in config.load(path).sources[0].scopes()] == ["export:All", "B"]
