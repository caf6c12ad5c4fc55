"""Selections of which a part may not be read, or is gone: refused, missed, or left out and told."""

from __future__ import annotations

from typing import Any, cast

import pytest

from flows.demo.message import json_response
from flows.errors import Exit, Narrowed
from flows.sources.base import Source
from flows.sources.rspace_complete import IN_FILE
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import Bench, Killed, by_name, carry, check


def _resolved(bench: Bench, record: RunRecord) -> Any:
    return bench.archive.find(record.snapshot).manifest.draft.request["resolved"]


def _notes(bench: Bench, record: RunRecord) -> str:
    return "; ".join(bench.archive.find(record.snapshot).manifest.draft.notes)


def _mixed(bench: Bench) -> tuple[list[int], int]:
    """Two documents of tokafor's and one of mrossi's, which he may not read."""
    return bench.document_ids()[:2], bench.document_ids(1)[0]


def test_an_unreadable_record_is_refused_by_its_number(bench: Bench) -> None:
    """No export, exit 2, and what to do about it."""
    own, foreign = _mixed(bench)

    record = bench.run(bench.scope("selection", ids=[*own, foreign]), user="tokafor")

    bench.assert_end(record, Ended.FAILED, Exit.USAGE, f"SD{foreign}")
    assert "leave_out_unreadable" in record.hint
    assert bench.world.jobs == {}
    assert bench.job("it") is None


def _partly(bench: Bench, record: RunRecord, left_out: int, held: list[int]) -> None:
    """Kept, exit 3, and both the reason and the notes name what is not in it."""
    assert (record.ended, record.exit_code) == (Ended.PARTIAL, Exit.PARTLY)
    assert f"SD{left_out} was left out" in record.reason
    assert f"SD{left_out} was left out" in _notes(bench, record)
    assert left_out not in _resolved(bench, record)["ids"]
    assert check(record, IN_FILE).outcome is Outcome.PASSED
    assert bench.held(record) == set(held)
    bench.recorded(record)
    bench.assert_tidy(record)


def test_what_the_lists_do_not_show_is_left_out_where_that_is_allowed(bench: Bench) -> None:
    """The rest is asked for at once: one POST."""
    own, foreign = _mixed(bench)
    scope = bench.scope("selection", ids=[*own, foreign], leave_out_unreadable=True, link_level=0)

    record = bench.run(scope, user="tokafor")

    _partly(bench, record, foreign, own)
    assert bench.answers_to_posts() == [202]


def test_what_only_the_answer_tells_is_left_out_where_that_is_allowed(bench: Bench) -> None:
    """The refused POST is followed by one for the rest."""
    ids = bench.document_ids()
    bench.world.faults.set(unreadable_id=ids[1])

    record = bench.run(bench.scope("selection", ids=ids, leave_out_unreadable=True, link_level=0))

    _partly(bench, record, ids[1], [ids[0], *ids[2:]])
    assert bench.answers_to_posts() == [500, 202]


def test_what_lists_and_answer_tell_is_left_out_together(bench: Bench) -> None:
    """Both are named."""
    own, foreign = _mixed(bench)
    bench.world.faults.set(unreadable_id=own[0])
    scope = bench.scope("selection", ids=[*own, foreign], leave_out_unreadable=True, link_level=0)

    record = bench.run(scope, user="tokafor")

    _partly(bench, record, own[0], [own[1]])
    _partly(bench, record, foreign, [own[1]])


def test_only_the_answer_tells_and_nothing_may_be_left_out(bench: Bench) -> None:
    """Refused, with the number, although the lists show it."""
    ids = bench.document_ids()
    bench.world.faults.set(unreadable_id=ids[1])

    record = bench.run(bench.scope("selection", ids=ids))

    bench.assert_end(record, Ended.FAILED, Exit.USAGE, f"SD{ids[1]}")
    assert bench.answers_to_posts() == [500]


def test_one_refusal_after_the_other_narrows_further(bench: Bench) -> None:
    """RSpace names one record at a time; here its lists show what it then refuses."""
    own, foreign = bench.document_ids()[:2], bench.document_ids(1)[:2]
    rows = [{"id": number} for number in [*own, *foreign]]
    bench.lie("/documents", lambda _request, _answer: json_response({"totalHits": 4, "documents": rows}))
    scope = bench.scope("selection", ids=[*own, *foreign], leave_out_unreadable=True, link_level=0)

    record = bench.run(scope, user="tokafor")

    assert bench.answers_to_posts() == [500, 500, 202]
    for number in foreign:
        _partly(bench, record, number, own)


def test_an_unreadable_folder_is_left_out_where_that_is_allowed(bench: Bench) -> None:
    """Whether it is a folder is not known any more: its number is told."""
    own, _ = _mixed(bench)
    folder = bench.world.lab.users[1].home_folder_id
    assert folder is not None
    scope = bench.scope("selection", ids=[*own, folder], leave_out_unreadable=True, link_level=0)

    record = bench.run(scope, user="tokafor")

    _partly(bench, record, folder, own)


def test_an_unreadable_folder_is_refused(bench: Bench) -> None:
    """RSpace says 401 for it, without the number."""
    own, _ = _mixed(bench)

    record = bench.run(
        bench.scope("selection", ids=[*own, bench.world.lab.users[1].home_folder_id]), user="tokafor"
    )

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "to export a selection")
    assert bench.world.jobs == {}


def test_where_nothing_is_left_nothing_is_asked(bench: Bench) -> None:
    """Every record is somebody else's."""
    scope = bench.scope("selection", ids=bench.document_ids(1), leave_out_unreadable=True)

    record = bench.run(scope, user="tokafor")

    bench.assert_end(record, Ended.EMPTY, Exit.PARTLY, "not one of its records")
    assert bench.posts() == 0


@pytest.mark.parametrize("status", [500, 400])
def test_an_error_is_no_reason_to_leave_a_record_out(bench: Bench, status: int) -> None:
    """Where RSpace cannot say whether a record is there, all of them are asked for."""
    own, _ = _mixed(bench)
    file = next(file.id for file in bench.world.lab.files.values() if file.owner_id == 2)
    bench.lie(f"/files/{file}", lambda _request, _answer: json_response({"message": "trouble"}, status))
    scope = bench.scope("selection", ids=[*own, file], leave_out_unreadable=True)

    record = bench.run(scope, user="tokafor")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert check(record, IN_FILE).outcome is Outcome.NOT_AVAILABLE


# -- what is gone


def test_a_deleted_record_that_rspace_drops_is_missed(bench: Bench) -> None:
    """RSpace exports the rest without a word: that is not what was asked for."""
    ids = bench.document_ids()
    bench.world.delete_document(ids[1])

    record = bench.run(bench.scope("selection", ids=ids, link_level=0))

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert check(record, "records asked for").outcome is Outcome.FAILED
    assert f"record {ids[1]}" in record.reason
    assert by_name(record.checks)[IN_FILE] == "passed"


def test_a_deleted_record_is_left_out_where_that_is_allowed(bench: Bench) -> None:
    """Partly, with its number."""
    ids = bench.document_ids()
    bench.world.delete_document(ids[1])

    record = bench.run(bench.scope("selection", ids=ids, leave_out_unreadable=True, link_level=0))

    _partly(bench, record, ids[1], [ids[0], *ids[2:]])
    assert "records asked for" not in by_name(record.checks)


# -- killed in between


class DyingAt:
    """A source whose process dies at the n-th `start`: before it asks, or when it has its answer."""

    def __init__(self, source: Source, call: int, *, after: bool) -> None:
        self._source, self._call, self._after, self._calls = source, call, after, 0

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._source, name)
        if name != "start":
            return inner

        def start(*given: Any, **named: Any) -> Any:
            self._calls += 1
            if self._calls == self._call and not self._after:
                raise Killed
            try:
                found = inner(*given, **named)
            except Narrowed:
                if self._calls == self._call:
                    raise Killed from None
                raise
            if self._calls == self._call:
                raise Killed
            return found

        return start


@pytest.mark.parametrize(
    ("call", "after", "posts"),
    [(1, True, [500, 500, 202]), (2, False, [500, 202]), (2, True, [500, 202])],
    ids=["with the refusal", "before asking for less", "with the answer to less"],
)
def test_a_run_killed_while_it_narrows_is_gone_on_with(
    bench: Bench, call: int, after: bool, posts: list[int]
) -> None:
    """One export in the end, without the record, and nothing is asked twice that may run already."""
    ids = bench.document_ids()
    bench.world.faults.set(unreadable_id=ids[1])
    scope = bench.scope("selection", ids=ids, leave_out_unreadable=True, link_level=0)
    with pytest.raises(Killed):
        carry(bench.engine(scope, wrap=lambda source: cast(Source, DyingAt(source, call, after=after))))

    record = bench.run(scope)

    _partly(bench, record, ids[1], [ids[0], *ids[2:]])
    assert [status for status in bench.answers_to_posts() if status != 429] == posts
    assert len(bench.world.jobs) == 1


@pytest.mark.parametrize("phase", ["wait", "download", "keep", "finish"])
def test_a_narrowed_export_is_gone_on_with_in_any_phase(bench: Bench, phase: str) -> None:
    """The scope as configured is what tells whose job it is."""
    ids = bench.document_ids()
    bench.world.faults.set(unreadable_id=ids[1])
    scope = bench.scope("selection", ids=ids, leave_out_unreadable=True, link_level=0)

    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine(scope), between=between)

    record = bench.run(scope)

    _partly(bench, record, ids[1], [ids[0], *ids[2:]])
    assert bench.answers_to_posts() == [500, 202]
