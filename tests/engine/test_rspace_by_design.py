"""What an export may lack by design and what it may not, whose changes count, and whom a refusal is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flows.demo import roster
from flows.demo.message import Request, Response, json_response
from flows.errors import Exit, SourceRefused
from flows.sources.rspace_complete import ASKED, GALLERY, IN_EVENT, IN_FILE
from flows.sources.rspace_scopes import scope_from_table
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, by_name, check

DAY = timedelta(days=1).total_seconds()


@pytest.fixture
def shared_folders(bench: Bench) -> None:
    """Templates, Examples and Shared for everybody, as every real account has them."""
    for user in list(bench.world.lab.users.values()):
        roster.add_system_folders(bench.world.lab, user)


def _folder(bench: Bench, owner: int, name: str) -> int:
    return next(f.id for f in bench.world.lab.folders.values() if (f.owner_id, f.name) == (owner, name))


def _move(bench: Bench, document: int, folder: int) -> None:
    lab = bench.world.lab
    lab.documents[document] = replace(lab.documents[document], parent_id=folder)


def _quarantined(bench: Bench, record: RunRecord, document: int) -> None:
    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert check(record, IN_FILE).reason == f"missing: SD{document}"
    assert f"SD{document}" in record.reason
    bench.recorded(record)


# -- what is shared


@pytest.mark.usefixtures("shared_folders")
@pytest.mark.parametrize("scope", ["user", "user:html", "group"])
@pytest.mark.parametrize("place", ["home", "Projects", "Lab Book"])
def test_a_shared_document_of_the_owner_must_be_there(bench: Bench, scope: str, place: str) -> None:
    """It lies in his own folder and below Shared at once: its absence is no design."""
    missing = bench.world.lab.work_of(1)[0].id
    home = bench.world.lab.users[1].home_folder_id
    assert home is not None
    _move(bench, missing, home if place == "home" else _folder(bench, 1, place))
    bench.world.share(missing)
    bench.world.faults.set(missing_document=missing)

    _quarantined(bench, bench.run(scope), missing)

    assert missing in bench.held(bench.again(scope))


@pytest.mark.usefixtures("shared_folders")
@pytest.mark.parametrize("scope", ["user", "user:html", "group"])
def test_a_document_only_below_shared_is_excused(bench: Bench, scope: str) -> None:
    """RSpace exports neither that folder nor what is in it and nowhere else."""
    only, both, *_ = (document.id for document in bench.world.lab.work_of(1))
    _move(bench, only, _folder(bench, 1, "Shared"))
    bench.world.share(both)

    record = bench.run(scope)

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert only not in bench.held(record)
    assert both in bench.held(record)
    assert check(record, IN_FILE).outcome is Outcome.PASSED
    assert check(record, IN_EVENT).outcome is Outcome.PASSED


@pytest.mark.usefixtures("shared_folders")
def test_what_is_excused_excuses_nothing_else(bench: Bench) -> None:
    """One only below Shared, one missing: the missing one is named alone."""
    only, missing, *_ = (document.id for document in bench.world.lab.work_of(1))
    _move(bench, only, _folder(bench, 1, "Shared"))
    bench.world.faults.set(missing_document=missing)

    _quarantined(bench, bench.run("user"), missing)


# -- members of a group


@pytest.fixture
def closed(bench: Bench, shared_folders: None) -> str:
    """A member of the group whose home its PI may not read, and who shares two documents with the group."""
    for document in bench.world.lab.work_of(3)[:2]:
        bench.world.share(document.id)
    bench.world.close_home("lnguyen")
    return "lnguyen"


@pytest.mark.parametrize("form", ["", ":html"])
def test_a_member_whose_home_may_not_be_read_is_named(bench: Bench, closed: str, form: str) -> None:
    """RSpace leaves him out without a word: that is no failure, and it is told."""
    record = bench.run(f"group{form}")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    held = bench.held(record)
    assert held.isdisjoint(document.id for document in bench.world.lab.documents_of(3))
    told = check(record, "members")
    assert (told.outcome, told.got) == (Outcome.NOT_AVAILABLE, closed)
    assert "leaves such members out" in told.reason
    assert check(record, IN_FILE).outcome is Outcome.PASSED
    bench.recorded(record)


@pytest.mark.usefixtures("closed")
def test_a_document_of_another_member_is_missed_all_the_same(bench: Bench) -> None:
    """Beside him whose home may not be read."""
    missing = bench.world.lab.work_of(2)[0].id
    bench.world.faults.set(missing_document=missing)

    record = bench.run("group")

    _quarantined(bench, record, missing)
    assert check(record, "members").got == "lnguyen"


@pytest.mark.usefixtures("closed")
def test_a_member_who_is_left_out_makes_no_export_of_a_quiet_night(bench: Bench) -> None:
    """His shared documents are listed and were in no export: that is no change."""
    bench.table["skip_unchanged_days"] = 7
    assert bench.run("group").ended is Ended.VERIFIED
    bench.world.advance(DAY)

    assert bench.run("group").ended is Ended.UNCHANGED


# -- gallery files that were asked for


@pytest.fixture
def chosen(bench: Bench) -> tuple[int, int]:
    """A document without attachments and a gallery file, both of mrossi's and both selected."""
    document = bench.world.lab.work_of(1)[0]
    bench.world.lab.documents[document.id] = replace(document, file_ids=(), link_ids=())
    file = next(file.id for file in bench.world.lab.files.values() if file.owner_id == 1)
    bench.scope("selection", ids=[document.id, file], link_level=0)
    return document.id, file


def test_a_gallery_file_that_was_asked_for_by_number_is_there(bench: Bench, chosen: tuple[int, int]) -> None:
    """Verified, with nothing to say."""
    record = bench.run("it")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert ASKED not in by_name(record.checks)
    assert check(record, GALLERY).outcome is Outcome.PASSED


def test_a_gallery_file_that_was_asked_for_by_number_and_is_missing_is_a_failure(
    bench: Bench, chosen: tuple[int, int]
) -> None:
    """Not *perhaps by design*: somebody wrote its number down."""
    document, file = chosen
    bench.world.faults.set(missing_document=file)

    record = bench.run("it")

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    told = check(record, ASKED)
    assert (told.outcome, told.promised) == (Outcome.FAILED, "all of the selection")
    assert f"record {file}" in told.reason
    assert ASKED in record.reason
    assert bench.held(record) == {document}
    bench.recorded(record)
    bench.again("it")


def test_a_selection_of_nothing_but_a_missing_file_is_a_failure(bench: Bench) -> None:
    """An export without any record holds no file either."""
    file = next(file.id for file in bench.world.lab.files.values() if file.owner_id == 1)
    bench.scope("selection", ids=[file])
    bench.world.faults.set(empty_export=True)

    record = bench.run("it")

    assert (record.ended, check(record, ASKED).outcome) == (Ended.QUARANTINED, Outcome.FAILED)
    bench.again("it")


# -- whose changes count


@pytest.fixture
def quiet(bench: Bench) -> Callable[..., None]:
    """A verified night and a day on which nothing happened, and skips allowed for a week."""
    bench.table["skip_unchanged_days"] = 7

    def night(scope: str, **given: str) -> None:
        assert bench.run(scope, **given).ended is Ended.VERIFIED
        bench.world.advance(DAY)

    return night


@pytest.mark.parametrize(("scope", "user"), [("user:2", "mrossi"), ("group", "mrossi"), ("user:2", "sysadmin1")])
def test_a_witness_who_is_another_user_makes_an_export(
    bench: Bench, quiet: Callable[..., None], scope: str, user: str
) -> None:
    """He changes a document that is not his."""
    quiet(scope, user=user)
    bench.world.witness(bench.document_ids(2)[0], by="lnguyen")

    record = bench.run(scope, user=user)

    assert record.ended is Ended.VERIFIED
    assert bench.posts() == 2


def test_a_witness_of_somebody_else_s_document_makes_none(bench: Bench, quiet: Callable[..., None]) -> None:
    """What is not of the scope does not concern it."""
    quiet("user:2")
    bench.world.witness(bench.document_ids(3)[0], by="lnguyen")

    assert bench.run("user:2").ended is Ended.UNCHANGED


@pytest.mark.parametrize(
    ("scope", "user"),
    [
        ("user:2", "sysadmin1"),
        (f"group:{GROUP}", "sysadmin1"),
    ],
)
def test_a_deletion_by_an_administrator_makes_an_export(
    bench: Bench, quiet: Callable[..., None], scope: str, user: str
) -> None:
    """By the key of an administrator, who sees all events."""
    quiet(scope, user=user)
    gone = bench.document_ids(2)[0]
    bench.world.delete_document(gone, by="sysadmin1")

    record = bench.run(scope, user=user)

    assert record.ended is Ended.VERIFIED
    assert gone not in bench.held(record)


# -- an administrator without the list of users


@pytest.fixture
def unlisted(bench: Bench) -> None:
    """RSpace refuses its list of users to addresses that are not on the administrators' own list."""
    refusal = {"status": "UNAUTHORIZED", "httpCode": 401, "internalCode": 40101, "message": "IP not allowed"}
    bench.lie("/sysadmin/users", lambda _request, _answer: json_response(refusal, 401))


@pytest.mark.usefixtures("unlisted")
def test_a_member_is_listed_without_the_list_of_users(bench: Bench) -> None:
    """The groups name him as well: his documents are listed, and proven."""
    record = bench.run("user:2", user="sysadmin1")

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    for name in (IN_FILE, IN_EVENT):
        assert (check(record, name).outcome, check(record, name).promised) == (
            Outcome.PASSED, "4 listed before and after the export",
        )  # fmt: skip


@pytest.mark.usefixtures("unlisted")
def test_a_document_is_missed_without_the_list_of_users(bench: Bench) -> None:
    """And one that is not there is named."""
    missing = bench.document_ids(2)[1]
    bench.world.faults.set(missing_document=missing)

    _quarantined(bench, bench.run("user:2", user="sysadmin1"), missing)


@pytest.mark.usefixtures("unlisted")
def test_every_user_without_the_list_of_users_says_so(bench: Bench) -> None:
    """Not that the key is wrong."""
    source = bench.source(bench.settings(user="sysadmin1"))

    with pytest.raises(SourceRefused, match="RSpace does not list its users to this administrator") as caught:
        source.roster(scope_from_table({"kind": "user", "every": True}))

    assert "address" in caught.value.hint
    assert "refuses the key" not in str(caught.value)


# -- a store elsewhere that refuses


def test_a_foreign_link_that_is_refused_is_not_about_our_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """403 of an expired signature: not exit 12; the job stays open, and its next link is used."""
    bench.world.faults.set(foreign_enclosure=True)
    denied = Response(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
    with monkeypatch.context() as patch:
        patch.setattr(bench.server._bucket, "handle_value", lambda _: denied)

        record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "the store that RSpace keeps it in answers 403")
    assert "key" not in record.reason.replace("keeps", "") + record.hint
    assert bench.job() is not None
    assert bench.again().exit_code == Exit.DONE
    assert bench.posts() == 1


# -- secrets that a server repeats


def _files(bench: Bench) -> list[Path]:
    folders = (bench.folder / "archive", bench.folder / "state")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _told_nowhere(bench: Bench, record: RunRecord, secret: str, log: str) -> None:
    bench.recorded(record)
    told = f"{record}{log}{[found.manifest for found in bench.snapshots()]}"
    assert secret not in told
    assert [path for path in _files(bench) if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
@pytest.mark.parametrize(
    "path", ["/documents", "/files", "/groups", "/activity", "/folders/tree/", "/groupMembers"]
)
@pytest.mark.parametrize("by", ["key", "token"])
def test_a_secret_that_a_refused_list_repeats_is_told_nowhere(
    bench: Bench, path: str, status: int, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the archive, not in the catalog, not in a record, not in the log."""
    caplog.set_level(logging.DEBUG)
    token = bench.world.issue_token("mrossi", "mrossi-demo") or ""
    secret = token if by == "token" else bench.world.user("mrossi").api_key
    said = {"message": f"no {secret}!", "errors": [f"{secret}: refused", secret], "internalCode": 50001}
    bench.lie(path, lambda _request, _answer: json_response(said, status))
    bench.world.faults.set(missing_document=True)  # so that folders are asked as well
    scope = "user:2" if path.startswith("/group") else "user"

    record = bench.run(scope, token=token if by == "token" else "")

    assert bench.snapshots()
    assert any(seen[1].endswith(path) or (path[-1] == "/" and path in seen[1]) for seen in bench.server.requests)
    _told_nowhere(bench, record, secret, caplog.text)


def test_a_key_that_a_refused_file_repeats_is_told_nowhere(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """As with lists."""
    caplog.set_level(logging.DEBUG)
    key = bench.world.user("mrossi").api_key
    said = {"message": f"no {key}", "errors": [key], "internalCode": 50001}

    def refuse(request: Request, answer: Response) -> Response:
        return json_response(said, 500) if request.method == "GET" else answer

    bench.lie("/export/", refuse)

    _told_nowhere(bench, bench.run("user"), key, caplog.text)


def test_a_key_that_a_good_list_repeats_is_told_nowhere(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A group that is called like the key: whose work a snapshot holds is told without it."""
    caplog.set_level(logging.DEBUG)
    key = bench.world.user("mrossi").api_key

    def rename(_: Request, answer: Response) -> Response:
        groups = json.loads(answer.body)
        groups[0]["name"] = f"Lab {key}"
        answer.body = json.dumps(groups).encode()
        return answer

    bench.lie("/groups", rename)

    record = bench.run("group")

    assert record.ended is Ended.VERIFIED
    _told_nowhere(bench, record, key, caplog.text)
