"""Selections: by number, by folder, by search; what may not be read or is gone; and asking for less."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.demo.lab import Folder
from flows.demo.message import json_response
from flows.errors import Exit
from flows.sources.rspace_complete import IN_FILE
from storage.records import Ended, RunRecord
from tests.engine.bench import Bench, check


def _resolved(bench: Bench, record: RunRecord) -> Any:
    return bench.archive.find(record.snapshot).manifest.draft.request["resolved"]


def _folder(bench: Bench, name: str, parent: int, kind: str = "FOLDER") -> int:
    lab = bench.world.lab
    new = Folder(lab.new_id(), name, kind, parent, lab.folders[parent].owner_id, bench.clock.now())
    lab.folders[new.id] = new
    return new.id


def _move(bench: Bench, document: int, folder: int) -> None:
    lab = bench.world.lab
    lab.documents[document] = replace(lab.documents[document], parent_id=folder)


# -- by number


@pytest.mark.parametrize("form", ["xml", "html"])
def test_numbers_are_exported_and_nothing_else(bench: Bench, form: str) -> None:
    """Each of them is expected."""
    ids = bench.document_ids()[:3]

    record = bench.run(bench.scope("selection", ids=ids, format=form, link_level=0))

    assert record.ended is Ended.VERIFIED
    assert bench.held(record) == set(ids)
    assert check(record, IN_FILE).promised.startswith("3 listed")
    assert bench.answers_to_posts() == [202]


def test_a_gallery_file_and_a_notebook_may_be_selected(bench: Bench) -> None:
    """The notebook stands for the documents in it; a file is there if RSpace says so."""
    lab = bench.world.lab
    book = next(f.id for f in lab.folders.values() if f.owner_id == 2 and f.kind == "NOTEBOOK")
    first, second, *_ = bench.document_ids()
    _move(bench, first, book)
    file = next(file.id for file in lab.files.values() if file.owner_id == 2)

    record = bench.run(bench.scope("selection", ids=[book, second, file]))

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert {first, second} <= bench.held(record)


def test_a_hundred_and_more_numbers_are_looked_up_in_parts(bench: Bench) -> None:
    """A request line holds only so many."""
    bench.table["read_timeout_s"] = 20.0
    document = bench.world.lab.documents[bench.document_ids()[0]]
    ids = [_copy(bench, document.id) for _ in range(230)]

    record = bench.run(bench.scope("selection", ids=ids, link_level=0))

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).promised.startswith("230 listed")
    listed = [seen for seen in bench.server.requests if seen[1] == "/api/v1/documents"]
    assert len(listed) == 2 * 3


def _copy(bench: Bench, document: int) -> int:
    lab = bench.world.lab
    new = replace(lab.documents[document], id=lab.new_id(), file_ids=(), link_ids=(), rendered="")
    lab.documents[new.id] = new
    return new.id


# -- by folder


@pytest.fixture
def tree(bench: Bench) -> tuple[int, list[int]]:
    """A folder with a document, a subfolder with one, a notebook below that with one; a fourth is elsewhere."""
    lab = bench.world.lab
    home = lab.users[2].home_folder_id
    assert home is not None
    top = _folder(bench, "Thesis", home)
    deeper = _folder(bench, "Chapter 2", top)
    book = _folder(bench, "Measurements", deeper, "NOTEBOOK")
    first, second, third, other = bench.document_ids()
    for document, folder in ((first, top), (second, deeper), (third, book), (other, home)):
        _move(bench, document, folder)
    return top, [first, second, third]


@pytest.mark.parametrize("form", ["xml", "html"])
def test_every_document_below_a_folder_is_expected(bench: Bench, tree: tuple[int, list[int]], form: str) -> None:
    """In subfolders and in notebooks."""
    top, inside = tree

    record = bench.run(bench.scope("selection", folder=top, format=form, link_level=0))

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert bench.held(record) == set(inside)
    assert check(record, IN_FILE).promised.startswith("3 listed")
    assert _resolved(bench, record)["ids"] == [top]


def test_a_document_missing_from_deep_in_a_folder_is_named(bench: Bench, tree: tuple[int, list[int]]) -> None:
    """Of the notebook in the subfolder."""
    top, inside = tree
    bench.world.faults.set(missing_document=inside[2])

    record = bench.run(bench.scope("selection", folder=top, link_level=0))

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert f"missing: SD{inside[2]}" in record.reason


def test_a_folder_holds_what_is_in_it_that_night(bench: Bench, tree: tuple[int, list[int]]) -> None:
    """A document that is moved into it is in the next snapshot of the same chain."""
    top, inside = tree
    scope = bench.scope("selection", folder=top, link_level=0)
    first = bench.run(scope)
    other = next(number for number in bench.document_ids() if number not in inside)
    _move(bench, other, top)

    second = bench.run(scope)

    assert bench.held(first) == set(inside)
    assert bench.held(second) == {*inside, other}
    assert first.key == second.key


# -- by search


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"tag": "paper"}, [0, 1]),
        ({"tag": "paper, draft"}, [0]),
        ({"owner": "tokafor"}, [0, 1, 2, 3]),
        ({"owner": "tokafor", "tag": "draft"}, [0]),
        ({"modified_from": "2026-11-10", "owner": "tokafor"}, [2]),
        ({"modified_to": "2026-11-09", "owner": "tokafor"}, [0, 1, 3]),
        ({"modified_from": "2026-11-10", "modified_to": "2026-11-12", "owner": "tokafor"}, [2]),
        ({"form": "FM1", "tag": "paper"}, [0, 1]),
    ],
    ids=str,
)
def test_a_search_finds_what_its_terms_say(bench: Bench, search: dict[str, str], expected: list[int]) -> None:
    """All of them must hold; the numbers found are in the manifest."""
    ids = bench.document_ids()
    lab = bench.world.lab
    bench.world.tag(ids[0], "paper", "draft")
    bench.world.tag(ids[1], "Paper")
    lab = bench.world.lab
    for number in ids[:2]:
        lab.documents[number] = replace(lab.documents[number], fields=lab.documents[number].fields[:1])
    at = bench.clock.now() - timedelta(days=5)
    lab.documents[ids[2]] = replace(lab.documents[ids[2]], modified_at=at)

    record = bench.run(bench.scope("selection", search=search, link_level=0), user="tokafor")

    wanted = [ids[number] for number in expected]
    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert _resolved(bench, record)["ids"] == wanted
    assert bench.held(record) == set(wanted)
    assert bench.archive.find(record.snapshot).manifest.draft.request["search"] == search


def test_a_new_hit_is_in_the_next_night_s_snapshot(bench: Bench) -> None:
    """The search is made anew each night."""
    first_hit, second_hit, *_ = bench.document_ids()
    scope = bench.scope("selection", search={"tag": "paper"}, link_level=0)
    bench.world.tag(first_hit, "paper")
    first = bench.run(scope)
    bench.world.pass_nights(1)
    bench.world.tag(second_hit, "paper")

    second = bench.run(scope)

    assert [_resolved(bench, one)["ids"] for one in (first, second)] == [[first_hit], [first_hit, second_hit]]
    assert (second.ended, bench.held(second)) == (Ended.VERIFIED, {first_hit, second_hit})
    assert first.key == second.key


def test_a_search_without_a_hit_ends_empty(bench: Bench) -> None:
    """Recorded, exit 3, and nothing was asked for."""
    record = bench.run(bench.scope("selection", search={"tag": "nothing"}))

    bench.assert_end(record, Ended.EMPTY, Exit.PARTLY, "finds no document")
    assert bench.posts() == 0
    assert bench.job("it") is None


def test_a_search_with_too_many_hits_is_refused_with_their_number(bench: Bench) -> None:
    """Before anything is asked for: RSpace would refuse it, and a part of the hits is not what was wanted."""
    document = bench.document_ids()[0]
    bench.world.tag(document, "paper")
    lab = bench.world.lab
    for _ in range(2000):
        lab.tags[_copy(bench, document)] = ("paper",)

    record = bench.run(bench.scope("selection", search={"tag": "paper"}))

    bench.assert_end(record, Ended.FAILED, Exit.USAGE, "finds 2001 documents", "2000")
    assert "narrow it" in record.hint
    assert bench.posts() == 0


def test_a_search_that_is_refused_is_told(bench: Bench) -> None:
    """A search that RSpace does not understand starts nothing."""
    bench.lie("/documents", lambda _request, _answer: json_response({"message": "no such form"}, 422))

    record = bench.run(bench.scope("selection", search={"form": "x"}))

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "no such form")
    assert bench.posts() == 0
