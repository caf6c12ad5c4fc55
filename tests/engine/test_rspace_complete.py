"""Whether an export holds every document that RSpace lists: what is a failure, what is told, what is unknown."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from flows.demo import roster
from flows.demo.message import Request, Response, json_response
from flows.errors import Exit
from flows.sources.rspace_complete import GALLERY, IN_EVENT, IN_FILE
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, by_name, carry, check, verified

KINDS = ("user", "user:2", "group", "selection")


def _ids(bench: Bench, owner: int = 1) -> list[int]:
    return [document.id for document in bench.world.lab.documents_of(owner)]


def _scope(bench: Bench, kind: str, **options: Any) -> str:
    """One of KINDS, with options that a command line does not know."""
    name, _, scope_id = kind.partition(":")
    if name == "selection":
        options["ids"] = _ids(bench)
    if scope_id:
        options["id"] = int(scope_id)
    return bench.scope(name, **options)


def _system_folders(bench: Bench) -> None:
    for user in list(bench.world.lab.users.values()):
        roster.add_system_folders(bench.world.lab, user)


def _in(bench: Bench, folder: str, owner: int = 1) -> int:
    """The one document in a system folder."""
    (found,) = [d.id for d in bench.world.lab.documents_of(owner)
                if bench.world.lab.folders[d.parent_id].name == folder]  # fmt: skip
    return found


def _during(bench: Bench, change: Any, scope: str = "user") -> RunRecord:
    """A run during whose export something happens."""
    return carry(bench.engine(scope), between=lambda comes: change() if comes == "wait" else None)


def _quarantined(bench: Bench, record: RunRecord, missing: int) -> None:
    """Kept, named, and not counted."""
    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert f"missing: SD{missing}" in record.reason
    assert "does not count" in record.hint
    assert [verified(found) for found in bench.snapshots()] == [False]
    bench.recorded(record)
    bench.assert_tidy(record)


# -- what happens during an export


@pytest.mark.parametrize("kind", ["user", "group"])
def test_a_document_created_during_the_export_is_no_failure(bench: Bench, kind: str) -> None:
    """It was not there before: nobody can expect it, and the next night has it."""
    record = _during(bench, lambda: bench.world.create_document("mrossi"), kind)

    assert record.ended is Ended.VERIFIED
    expected = 4 if kind == "user" else 12
    assert check(record, IN_FILE).promised == f"{expected} listed before and after the export"


def test_a_document_created_between_listing_and_export_is_noted_as_more(bench: Bench) -> None:
    """It is in the file, and was not listed before."""

    def between(comes: str) -> None:
        if comes == "start":  # after the lists of `prepare` only a lie can get in
            bench.lie("/files", created)

    made: list[int] = []

    def created(_: Request, answer: Response) -> Response:
        if not made:
            made.append(bench.world.create_document("mrossi").id)
        return answer

    record = carry(bench.engine("user"), between=between)

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).got == "4 of them, and 1 more (linked, new, or files)"


def test_a_document_deleted_during_the_export_is_no_failure(bench: Bench) -> None:
    """Whether the file still has it or not."""
    gone = _ids(bench)[0]
    bench.world.faults.set(missing_document=gone)

    record = _during(bench, lambda: bench.world.delete_document(gone))

    assert record.ended is Ended.VERIFIED
    assert check(record, IN_FILE).got.startswith("3 of them")


# -- what is missing


@pytest.mark.parametrize("revisions", [False, True])
@pytest.mark.parametrize("form", ["xml", "html"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_missing_from_the_file_is_named(bench: Bench, kind: str, form: str, revisions: bool) -> None:
    """RSpace says COMPLETED, size and CRC are right, and yet this is no backup."""
    bench.world.pass_nights(2)
    scope = _scope(bench, kind, format=form, revisions=revisions)
    missing = _ids(bench, 2 if kind == "user:2" else 1)[1]
    bench.world.faults.set(missing_document=missing, times=1)

    record = bench.run(scope)

    _quarantined(bench, record, missing)
    outcomes = by_name(record.checks)
    assert (outcomes[IN_FILE], outcomes[IN_EVENT], outcomes["crc32"]) == ("failed", "failed", "passed")
    bench.again(scope)


def test_an_export_without_any_document_is_quarantined(bench: Bench) -> None:
    """A small valid ZIP, and all four documents named."""
    bench.world.faults.set(empty_export=True, times=1)

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert ", ".join(f"SD{number}" for number in _ids(bench)) in record.reason


def test_many_missing_documents_are_counted(bench: Bench) -> None:
    """Ten are named."""
    bench.world.faults.set(empty_export=True)

    record = bench.run("group")

    assert "and 2 more" in check(record, IN_FILE).reason
    assert check(record, IN_FILE).reason.count("SD") == 10


def test_a_folder_without_its_document_does_not_count(bench: Bench) -> None:
    """RSpace makes the folder first: where the document then goes wrong, it stays empty."""
    bench.run("user")
    victim = _ids(bench)[2]
    path = bench.folder / bench.world.jobs[23].zip_name
    with zipfile.ZipFile(path.parent / "made.zip", "w") as out:
        out.writestr("x/", b"")
        source = bench.world.file_of(bench.world.jobs[23])
        assert source is not None
        with zipfile.ZipFile(source.path) as archive:
            for name in archive.namelist():
                if name.endswith("/") or f"-{victim}.xml" not in name:
                    out.writestr(name, archive.read(name))
    bench.world.serve_file = path.parent / "made.zip"

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert check(record, IN_FILE).reason == f"missing: SD{victim}"
    assert check(record, IN_EVENT).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"event_lost": True}, "not in the activity log"),
        ({"activity_rotated": True}, "not in the activity log"),
        ({"activity_status": 403}, "does not show this user"),
        ({"activity_status": 500}, "cannot be read"),
        ({"activity_status": 422}, "cannot be read"),
    ],
    ids=str,
)
def test_without_an_event_the_file_alone_is_compared(bench: Bench, fault: dict[str, Any], words: str) -> None:
    """RSpace's own list is *not available*, with the reason; what is missing from the file is still found."""
    bench.world.faults.set(**fault)

    good = bench.run("user")
    bench.world.faults.set(missing_document=True)
    bad = bench.run("user")

    assert (good.ended, good.exit_code) == (Ended.VERIFIED, 0)
    assert check(good, IN_FILE).outcome is Outcome.PASSED
    told = check(good, IN_EVENT)
    assert told.outcome is Outcome.NOT_AVAILABLE
    assert words in told.reason
    assert bad.ended is Ended.QUARANTINED
    assert by_name(bad.checks)[IN_EVENT] == "not available"


# -- what is left out by design, and what comes along


@pytest.mark.parametrize("form", ["xml", "html"])
@pytest.mark.parametrize(("kind", "user"), [("user", "mrossi"), ("user:2", "mrossi"), ("group", "mrossi"),
                                            ("user:2", "sysadmin1"), (f"group:{GROUP}", "sysadmin1")])  # fmt: skip
def test_what_rspace_leaves_out_by_design_is_no_failure(bench: Bench, kind: str, user: str, form: str) -> None:
    """Examples in both formats, templates in html."""
    _system_folders(bench)

    record = bench.run(f"{kind}:{form}", user=user)

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    people = 3 if kind.startswith("group") else 1
    listed = people * (5 if form == "xml" else 4)
    assert check(record, IN_FILE).promised.startswith(f"{listed} listed")


@pytest.mark.parametrize("kind", ["user", "user:2", "group"])
def test_a_template_missing_from_xml_is_a_failure(bench: Bench, kind: str) -> None:
    """There it belongs."""
    _system_folders(bench)
    missing = _in(bench, "Templates", 2 if kind == "user:2" else 1)
    bench.world.faults.set(missing_document=missing)

    record = bench.run(kind)

    _quarantined(bench, record, missing)


def test_a_document_missing_beside_those_left_out_is_named_alone(bench: Bench) -> None:
    """Examples are not named beside it."""
    _system_folders(bench)
    missing = _ids(bench)[0]
    bench.world.faults.set(missing_document=missing)

    record = bench.run("user:html")

    assert check(record, IN_FILE).reason == f"missing: SD{missing}"


def test_where_folders_cannot_be_looked_into_nothing_is_excused(bench: Bench) -> None:
    """A document that is missing does not turn into *not available* because the tree is refused."""
    bench.world.faults.set(missing_document=True, next_status=401, next_status_path="/api/v1/folders/tree")

    record = bench.run("user")

    _quarantined(bench, record, _ids(bench)[0])


def test_linked_documents_of_others_are_noted_as_more(bench: Bench) -> None:
    """With link levels an export holds what its documents link to."""
    labs = bench.world.lab
    mine, theirs = labs.documents_of(1)[0], labs.documents_of(2)[0]
    labs.documents[mine.id] = replace(mine, link_ids=(theirs.id,))

    record = bench.run(bench.scope("user", link_level=2))

    assert record.ended is Ended.VERIFIED
    assert "and 1 more" in check(record, IN_FILE).got


def test_a_member_of_whom_nothing_is_shown_is_told(bench: Bench) -> None:
    """A group export leaves out members whom the exporter may not read, without a word."""
    newcomer = bench.world.add_user("Nina Empty", group_id=GROUP)

    record = bench.run("group")

    assert record.ended is Ended.VERIFIED
    told = check(record, "members")
    assert (told.outcome, told.got) == (Outcome.NOT_AVAILABLE, newcomer.username)
    assert "left" not in record.reason
    assert any(newcomer.username in note for note in bench.snapshots()[0].manifest.draft.notes)


# -- what cannot be known


def _refusing(status: int) -> Any:
    body = {"status": "X", "httpCode": status, "message": "not for you", "errors": []}
    return lambda _request, _answer: json_response(body, status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
@pytest.mark.parametrize("form", ["", ":html"])
def test_a_list_that_is_refused_is_told_and_costs_no_backup(bench: Bench, status: int, form: str) -> None:
    """Both questions are *not available*, with the reason."""
    bench.lie("/documents", _refusing(status))

    record = bench.run(f"user{form}")

    assert (record.ended, record.exit_code) == (Ended.VERIFIED, 0)
    for name in (IN_FILE, IN_EVENT):
        told = check(record, name)
        assert told.outcome is Outcome.NOT_AVAILABLE
        assert "its documents cannot be listed" in told.reason
        assert "not for you" in told.reason
    bench.recorded(record)


def test_a_list_refused_with_a_web_page_is_told_as_well(bench: Bench) -> None:
    """A proxy that lets only some paths through."""
    bench.world.faults.set(next_status=401, next_status_path="/api/v1/documents")

    record = bench.run("group")

    assert (record.ended, check(record, IN_FILE).outcome) == (Ended.VERIFIED, Outcome.NOT_AVAILABLE)


def test_an_empty_account_misses_nothing(bench: Bench) -> None:
    """It waits for a person all the same: nothing here tells it from an account that may read nothing."""
    newcomer = bench.world.add_user("Nina Empty")

    record = bench.run("user", user=newcomer.username)

    assert check(record, IN_FILE).outcome is Outcome.PASSED
    assert check(record, IN_FILE).promised.startswith("0 listed")
    assert (record.ended, record.reason) == (
        Ended.QUARANTINED, "level 0 records (empty: there is nothing in it)",
    )  # fmt: skip


@pytest.mark.parametrize("times", ["always", "after"])
def test_documents_that_no_list_shows_prove_nothing(bench: Bench, times: str) -> None:
    """An empty list beside a file with documents, such as from a search index that is being rebuilt."""

    def nothing(_: Request, answer: Response) -> Response:
        return json_response({"totalHits": 0, "pageNumber": 0, "documents": [], "_links": []})

    def between(comes: str) -> None:
        if comes == ("login" if times == "always" else "keep"):
            bench.lie("/documents", nothing)

    record = carry(bench.engine("user"), between=between)

    assert record.ended is Ended.VERIFIED
    for name in (IN_FILE, IN_EVENT):
        assert check(record, name).outcome is Outcome.NOT_AVAILABLE
        assert "lists no document" in check(record, name).reason


def _first_files(request: Request, answer: Response) -> Response:
    body = json.loads(answer.body)
    body["files"].append({**body["files"][0], "id": 424242})
    body["totalHits"] += 1
    answer.body = json.dumps(body).encode()
    return answer


def test_missing_gallery_files_are_told_and_are_no_failure(bench: Bench) -> None:
    """Which folders of a gallery RSpace exports is not known."""
    bench.lie("/files", _first_files)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    told = check(record, GALLERY)
    assert told.outcome is Outcome.NOT_AVAILABLE
    assert "GL424242" in told.reason


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_gallery_that_cannot_be_listed_does_not_hide_the_documents(bench: Bench, status: int) -> None:
    """Its own question is not available; the documents are compared all the same."""
    bench.lie("/files", _refusing(status))

    record = bench.run("user")

    assert check(record, IN_FILE).outcome is Outcome.PASSED
    assert check(record, GALLERY).outcome is Outcome.NOT_AVAILABLE
    assert "cannot be listed" in check(record, GALLERY).reason
