"""Nights on which nothing happened: skipped where RSpace proves it, for a week at most, and never on a guess."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from flows.demo import roster
from flows.demo.message import Request, Response, json_response
from flows.demo.server import _Connection
from flows.errors import Exit
from flows.sources.rspace_activity import CHANGES
from storage.index import pack_name
from storage.records import Ended, RunRecord
from tests.engine.bench import GROUP, Bench, Killed, carry

DAY = timedelta(days=1).total_seconds()
READING = ("READ", "VIEW", "SEARCH", "DOWNLOAD", "EXPORT", "SHARE", "UNSHARE")


@pytest.fixture(autouse=True)
def weekly(bench: Bench) -> None:
    """Skips are allowed, for a week."""
    bench.table["skip_unchanged_days"] = 7


def _kept(bench: Bench, scope: str = "user", **given: Any) -> RunRecord:
    """A verified night, and then a day."""
    record = bench.run(scope, **given)
    assert record.ended is Ended.VERIFIED
    bench.world.advance(DAY)
    bench.server.requests.clear()
    return record


def _skipped(bench: Bench, scope: str = "user", **given: Any) -> RunRecord:
    """Tonight nothing is asked for, and that is recorded."""
    posts = bench.posts()
    record = bench.run(scope, **given)
    assert (record.ended, record.exit_code, record.snapshot, record.job) == (Ended.UNCHANGED, Exit.DONE, "", "")
    assert bench.posts() == posts
    assert "no change since 2026-11-" in record.reason
    bench.recorded(record)
    return record


def _exported(bench: Bench, scope: str = "user", **given: Any) -> RunRecord:
    """Tonight there is a new snapshot."""
    posts = bench.posts()
    record = bench.run(scope, **given)
    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert bench.posts() == posts + 1
    return record


# -- what RSpace proves


@pytest.mark.parametrize(
    ("scope", "user"),
    [("user", "mrossi"), ("user:html", "mrossi"), ("user:2", "mrossi"), ("group", "mrossi"), ("user", "tokafor"),
     ("user:2", "sysadmin1"), (f"group:{GROUP}", "sysadmin1")],
)  # fmt: skip
def test_a_night_on_which_nothing_happened_is_skipped(bench: Bench, scope: str, user: str) -> None:
    """Recorded as unchanged, exit 0, no POST, and the snapshot before stays the newest."""
    first = _kept(bench, scope, user=user)

    _skipped(bench, scope, user=user)

    assert [found.id for found in bench.snapshots()] == [first.snapshot]


@pytest.mark.parametrize("action", CHANGES)
def test_each_action_that_changes_something_makes_an_export(bench: Bench, action: str) -> None:
    """By the owner, after the export was asked for."""
    _kept(bench)
    bench.world.log(bench.world.user("mrossi"), action)
    bench.world.advance(3600)

    _exported(bench)


@pytest.mark.parametrize("action", READING)
def test_what_only_reads_changes_nothing(bench: Bench, action: str) -> None:
    """Among it our own questions and exports."""
    _kept(bench)
    bench.world.log(bench.world.user("mrossi"), action)

    _skipped(bench)


def test_exports_of_other_scopes_change_nothing(bench: Bench) -> None:
    """The user's own export is still in the log beside that of his group."""
    _kept(bench)
    _kept(bench, "group")

    _skipped(bench)
    _skipped(bench, "group")


def test_a_change_before_the_last_export_is_in_it(bench: Bench) -> None:
    """Of the same day, for the log is asked by days."""
    bench.world.create_document("mrossi")
    bench.world.advance(60)
    _kept(bench)

    _skipped(bench)


@pytest.mark.parametrize("phase", ["start", "wait", "download"])
def test_a_change_during_the_last_export_is_not_taken_to_be_in_it(bench: Bench, phase: str) -> None:
    """What happened since that run's login counts."""

    def between(comes: str) -> None:
        if comes == phase:
            bench.world.create_document("mrossi")

    assert carry(bench.engine("user"), between=between).ended is Ended.VERIFIED
    bench.world.advance(DAY)

    _exported(bench)


def test_what_others_do_does_not_concern_a_user_s_own_scope(bench: Bench) -> None:
    """A member's work is in the group's export, and in nobody else's."""
    _kept(bench)
    _kept(bench, "group")
    bench.world.create_document("tokafor")

    _skipped(bench)
    _exported(bench, "group")


@pytest.mark.parametrize("user", ["mrossi", "sysadmin1"])
@pytest.mark.parametrize("member", ["mrossi", "tokafor", "lnguyen"])
def test_a_change_by_any_member_concerns_the_group(bench: Bench, user: str, member: str) -> None:
    """Whoever backs it up."""
    _kept(bench, f"group:{GROUP}", user=user)
    bench.world.create_document(member)

    _exported(bench, f"group:{GROUP}", user=user)


@pytest.mark.parametrize("scope", ["user", "group"])
def test_a_document_that_is_newer_than_any_event_makes_an_export(bench: Bench, scope: str) -> None:
    """Where the log lacks a line, the list of documents does not."""
    _kept(bench, scope)
    lab = bench.world.lab
    document = lab.documents_of(1 if scope == "user" else 3)[0]
    lab.documents[document.id] = replace(document, modified_at=bench.clock.now())

    _exported(bench, scope)


# -- where it proves nothing


def test_a_log_that_does_not_reach_back_proves_nothing(bench: Bench) -> None:
    """Our own export is no longer in it."""
    _kept(bench)
    bench.world.rotate_log()

    _exported(bench)


def test_an_export_without_an_event_proves_nothing(bench: Bench) -> None:
    """The log may begin after it."""
    bench.world.faults.set(event_lost=True, times=1)
    _kept(bench)

    _exported(bench)


def _refusal(status: int) -> Any:
    return lambda _request, _answer: json_response({"message": "not for you"}, status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
@pytest.mark.parametrize(("path", "scope"), [("/activity", "user"), ("/documents", "user"), ("/groups", "user:2"),
                                             ("/groupMembers", "user:2"), ("/groups", "group")])  # fmt: skip
def test_a_question_that_is_refused_makes_an_export(bench: Bench, path: str, scope: str, status: int) -> None:
    """No backup is missed because nobody may ask whether it is needed."""
    _kept(bench, scope)
    bench.lie(path, _refusal(status))

    if path == "/groupMembers" and status in (401, 403):  # the list of his groups names him as well
        assert bench.run(scope).ended is Ended.UNCHANGED
    else:
        _exported(bench, scope)


def test_without_the_server_s_clock_nothing_is_proven(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events have the server's times."""
    _kept(bench)
    monkeypatch.setattr(_Connection, "date_time_string", lambda *_: "today")

    _exported(bench)


@pytest.mark.parametrize("documents", [[], [None], [{}], [{"lastModified": 5}], [{"lastModified": "today"}]])
def test_a_list_without_a_time_proves_nothing(bench: Bench, documents: list[Any]) -> None:
    """Whatever the log says."""

    def blank(_: Request, answer: Response) -> Response:
        return json_response({"totalHits": 1, "documents": documents})

    _kept(bench, "group")
    bench.lie("/documents", blank)

    assert bench.run("group").ended is not Ended.UNCHANGED


def test_a_new_member_makes_an_export(bench: Bench) -> None:
    """His work is as old as it is, and not in the snapshot."""
    newcomer = bench.world.add_user("Nina Old")
    bench.world.create_document(newcomer.username)
    bench.world.advance(DAY)
    _kept(bench, "group")
    roster.join(bench.world.lab, GROUP, bench.world.user(newcomer.username))

    _exported(bench, "group")


# -- for a week at most


def _walk(bench: Bench, nights: int, days: int) -> list[datetime]:
    """When exports were made in so many nights on which nothing happens."""
    bench.table["skip_unchanged_days"] = days
    made: list[datetime] = []
    for _ in range(nights):
        record = bench.run("user")
        assert record.ended in (Ended.VERIFIED, Ended.UNCHANGED)
        if record.ended is Ended.VERIFIED:
            made.append(record.started_at)
        bench.world.advance(DAY - (bench.clock.now() - record.started_at).total_seconds())
    return made


@pytest.mark.parametrize("days", [1, 2, 3, 7])
def test_no_gap_is_longer_than_the_set_days(bench: Bench, days: int) -> None:
    """Sixteen quiet nights: an export at least every so many days, and not more often than needed."""
    made = _walk(bench, 16, days)

    gaps = [(later - earlier).days for earlier, later in pairwise(made)]
    assert max(gaps) <= days
    assert max(gaps) >= max(1, days - 1)
    assert len(bench.snapshots("verified")) == len(made)


def test_skips_do_not_prolong_themselves(bench: Bench) -> None:
    """The days count from the snapshot, not from the last look."""
    made = _walk(bench, 10, 7)

    assert len(made) == 2


def test_zero_never_skips_and_never_asks_for_it(bench: Bench) -> None:
    """The log is read once, for the export's own event."""
    bench.table["skip_unchanged_days"] = 0
    _kept(bench)

    _exported(bench)

    assert [seen[1] for seen in bench.server.requests].count("/api/v1/activity") == 1


# -- against what


def test_other_options_are_another_request(bench: Bench) -> None:
    """What the snapshot holds is not what is wanted now."""
    _kept(bench, bench.scope("user", name="user"))

    _exported(bench, bench.scope("user", name="user", revisions=True))
    bench.world.advance(DAY)
    _skipped(bench, "user")
    _exported(bench, bench.scope("user", name="user", revisions=True, format="html"))


def test_a_quarantined_snapshot_does_not_count(bench: Bench) -> None:
    """The next night tries again, however quiet it is."""
    bench.world.faults.set(missing_document=True, times=1)
    assert bench.run("user").ended is Ended.QUARANTINED
    bench.world.advance(DAY)

    _exported(bench)


def test_a_quarantined_snapshot_does_not_hide_the_change_before_it(bench: Bench) -> None:
    """What happened since the newest *verified* one counts."""
    _kept(bench)
    bench.world.create_document("mrossi")
    bench.world.faults.set(missing_document=True, times=1)
    assert bench.run("user").ended is Ended.QUARANTINED
    bench.world.advance(DAY)

    _exported(bench)


def test_a_partial_snapshot_does_not_count(bench: Bench) -> None:
    """A part of a selection is no reason to skip the rest."""
    ids = bench.document_ids()
    bench.world.delete_document(ids[0])
    scope = bench.scope("selection", ids=ids, leave_out_unreadable=True)
    assert bench.run(scope).ended is Ended.PARTIAL
    bench.world.advance(DAY)

    assert bench.run(scope).ended is Ended.PARTIAL
    assert bench.posts() == 2


@pytest.mark.parametrize("options", [{"search": {"owner": "tokafor"}}, {"ids": [0]}], ids=str)
def test_a_selection_is_never_skipped(bench: Bench, options: dict[str, Any]) -> None:
    """Whose records it is made of is not known."""
    given = {"ids": bench.document_ids()[:2]} if "ids" in options else options
    scope = bench.scope("selection", **given)
    _kept(bench, scope)

    _exported(bench, scope)


@pytest.mark.parametrize("phase", ["wait", "download", "keep", "finish"])
def test_an_open_job_is_gone_on_with(bench: Bench, phase: str) -> None:
    """However quiet the night: an export that was asked for is fetched."""
    _kept(bench)
    bench.world.create_document("mrossi")
    bench.world.advance(60)

    def between(comes: str) -> None:
        if comes == phase:
            raise Killed

    with pytest.raises(Killed):
        carry(bench.engine("user"), between=between)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert bench.posts() == 1
    bench.assert_tidy(record)
    bench.world.advance(DAY)
    _skipped(bench)


def test_a_skipped_night_keeps_snapshots_and_retention_as_they_are(bench: Bench) -> None:
    """Nothing is forgotten, nothing is fetched."""
    bench.table["policy"] = {"keep_last": 1}
    first = _kept(bench)

    for _ in range(3):
        record = _skipped(bench)
        assert record.bytes_fetched == 0
        bench.world.advance(DAY)

    assert [found.id for found in bench.snapshots()] == [first.snapshot]
    assert bench.downloads() == 0


def test_a_deletion_that_the_log_does_not_show_is_noticed_when_silence_has_lasted(bench: Bench) -> None:
    """A plain user is not shown what an administrator did: the set number of days is what bounds that."""
    bench.table["skip_unchanged_days"] = 7
    _kept(bench, user="tokafor")
    gone = bench.document_ids(2)[0]
    bench.world.delete_document(gone, by="sysadmin1")
    ends: list[RunRecord] = []
    while not ends or ends[-1].ended is Ended.UNCHANGED:
        ends.append(bench.run("user", user="tokafor"))
        bench.world.advance(DAY)

    assert (len(ends), ends[-1].ended) == (6, Ended.VERIFIED)
    assert gone not in bench.held(ends[-1])


def test_a_damaged_snapshot_is_no_reason_to_make_none(bench: Bench) -> None:
    """Its list of files cannot be read any more: nothing is skipped on its word, and there is a new one."""
    bench.table["skip_unchanged_days"] = 7
    record = _kept(bench)
    for pack in bench.archive.find(record.snapshot).manifest.packs:
        bench.archive.backend.delete(pack_name(pack))

    assert bench.run("user").ended is Ended.VERIFIED
