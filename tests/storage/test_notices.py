"""What is wrong and no run's end: said, said again, taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.catalog import Catalog
from storage.records import LISTING, PRUNE, VANISHED, Notice
from storage.schema import SCHEMA
from tests.doubles import START

LATER = START + timedelta(days=1)
EVERY = "lab/every user"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "c.db") as made:
        yield made


def test_what_is_said_again_goes_on_since_it_was_said_first(catalog: Catalog) -> None:
    """With its newest words."""
    catalog.notices.say(LISTING, {EVERY: {EVERY: ("away", "wait")}}, now=START)
    catalog.notices.say(LISTING, {EVERY: {EVERY: ("refused", "a key")}}, now=LATER)

    assert catalog.notices.all() == [Notice(LISTING, EVERY, EVERY, START, LATER, "refused", "a key")]


def test_what_is_not_said_again_is_over_of_what_was_asked_alone(catalog: Catalog) -> None:
    """One member is back; another list and another kind are nobody's answer."""
    both = {"lab/user:1": ("gone", ""), "lab/user:2": ("gone", "")}
    catalog.notices.say(VANISHED, {EVERY: both, "lab/every group": {"lab/group:3": ("gone", "")}}, now=START)
    catalog.notices.say(PRUNE, {EVERY: {"lab": ("a fuse", "")}}, now=START)

    catalog.notices.say(VANISHED, {EVERY: {"lab/user:2": ("gone", "")}}, now=LATER)

    known = [(one.kind, one.about, one.since) for one in catalog.notices.all()]
    assert known == [
        (PRUNE, "lab", START), (VANISHED, "lab/group:3", START), (VANISHED, "lab/user:2", START),
    ]  # fmt: skip
    catalog.notices.say(VANISHED, {EVERY: {}, "lab/every group": {}}, now=LATER)
    assert [one.kind for one in catalog.notices.all()] == [PRUNE]


def test_what_comes_back_begins_anew(catalog: Catalog) -> None:
    """And what a clock has dated ahead is dated by the next word."""
    for now in (LATER, LATER + timedelta(days=1)):
        catalog.notices.say(LISTING, {EVERY: {EVERY: ("away", "")}}, now=now)
        assert catalog.notices.all()[0].since == now
        catalog.notices.say(LISTING, {EVERY: {}}, now=now)
    catalog.notices.say(LISTING, {EVERY: {EVERY: ("away", "")}}, now=LATER)

    catalog.notices.say(LISTING, {EVERY: {EVERY: ("away", "")}}, now=START)

    assert catalog.notices.all()[0].since == START


def test_a_catalog_of_schema_3_is_taken_on(tmp_path: Path) -> None:
    """It knows nothing that is wrong until a night says so."""
    path = tmp_path / "c.db"
    with sqlite3.connect(path) as database:
        database.executescript((Path(__file__).parents[1] / "golden" / "catalog-3.sql").read_text())
    database.close()

    with Catalog.open(path) as catalog:
        assert catalog.notices.all() == []
        catalog.notices.say(LISTING, {EVERY: {EVERY: ("away", "")}}, now=START)
        assert len(catalog.notices.all()) == 1
    with sqlite3.connect(path) as database:
        assert database.execute("pragma user_version").fetchone() == (SCHEMA,)
        assert database.execute("select name from source").fetchall() == [("lab",)]
    database.close()
