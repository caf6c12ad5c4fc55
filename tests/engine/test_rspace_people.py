"""Who may be backed up: what an administrator, a PI, a lab admin and a plain user see; and bearer tokens."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from flows.demo import roster as rosters
from flows.demo.lab import User
from flows.demo.message import Request, Response
from flows.errors import Exit, SourceRefused, SourceUnexpected
from flows.sources.base import Roster
from flows.sources.rspace_scopes import scope_from_table
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, check

USERS = "/api/v1/sysadmin/users"


def _roster(bench: Bench, kind: str, user: str, **table: Any) -> Roster:
    """Whom an every-scope stands for now."""
    every = scope_from_table({"kind": kind, "every": True, **table})
    return bench.source(bench.settings(user=user)).roster(every)


def _ids(found: Roster) -> list[int]:
    return [int(scope.id) for scope in found.scopes]


@pytest.fixture
def asked(bench: Bench) -> list[Request]:
    """Every request, as it arrives."""
    seen: list[Request] = []
    honest = bench.server._main.handle_value

    def watch(request: Request) -> Response:
        seen.append(request)
        return honest(request)

    bench.server._main.handle_value = watch
    return seen


def _second_group(bench: Bench) -> tuple[int, User, User]:
    """Another laboratory: its number, its PI and a member."""
    lab = bench.world.lab
    leader = rosters.add_person(lab, bench.clock.now(), "Pia Prinz", is_pi=True)
    group = rosters.add_group(lab, leader)
    return group.id, leader, bench.world.add_user("Max Muster", group_id=group.id)


# -- whose work


def test_an_administrator_sees_everybody(bench: Bench, asked: list[Request]) -> None:
    """Himself among them; and asks for all accounts, not for temporary ones alone, which is what RSpace lists."""
    _second_group(bench)

    found = _roster(bench, "user", "sysadmin1")

    assert _ids(found) == list(bench.world.lab.users)
    assert found.notes == ()
    (listing,) = [request for request in asked if request.path == USERS]
    assert listing.parameter("tempAccountsOnly") == "false"


def test_a_pi_sees_his_members_and_himself(bench: Bench) -> None:
    """Nobody of another group."""
    _, leader, member = _second_group(bench)

    assert sorted(_ids(_roster(bench, "user", "mrossi"))) == [1, 2, 3]
    assert sorted(_ids(_roster(bench, "user", leader.username))) == [leader.id, member.id]


def test_a_pi_who_is_a_plain_member_elsewhere_does_not_see_them(bench: Bench) -> None:
    """RSpace lists the members of all his groups, and refuses the export of those whom he does not lead."""
    group, leader, member = _second_group(bench)
    rosters.join(bench.world.lab, group, bench.world.user("mrossi"))

    found = _roster(bench, "user", "mrossi")

    assert sorted(_ids(found)) == [1, 2, 3]
    assert leader.id not in _ids(found)
    assert member.id not in _ids(found)
    assert _ids(_roster(bench, "group", "mrossi")) == [GROUP]


def test_a_plain_user_sees_himself(bench: Bench, asked: list[Request]) -> None:
    """And does not ask for lists that are not his."""
    assert _ids(_roster(bench, "user", "tokafor")) == [2]
    assert _ids(_roster(bench, "group", "tokafor")) == []
    assert [request.path for request in asked if "sysadmin" in request.path] == []


def _role(bench: Bench, username: str, role: str) -> None:
    """What RSpace says of somebody in his groups."""

    def change(_: Request, answer: Response) -> Response:
        groups = json.loads(answer.body)
        for member in (member for group in groups for member in group["members"]):
            if member["username"] == username:
                member["role"] = role
        answer.body = json.dumps(groups).encode()
        return answer

    bench.lie("/groups", change)


@pytest.mark.parametrize(
    ("role", "groups", "users"),
    [("PI", [GROUP], [1, 2, 3]), ("LAB_ADMIN", [GROUP], [1, 2, 3]), ("USER", [], [2]), ("GROUP_OWNER", [], [2]),
     ("", [], [2])],
)  # fmt: skip
def test_only_a_pi_and_a_lab_admin_have_a_group_to_export(
    bench: Bench, role: str, groups: list[int], users: list[int]
) -> None:
    """Whatever else somebody may be in it."""
    _role(bench, "tokafor", role)

    assert _ids(_roster(bench, "group", "tokafor")) == groups
    assert sorted(_ids(_roster(bench, "user", "tokafor"))) == users


def test_an_administrator_sees_all_groups(bench: Bench) -> None:
    """By searching for them."""
    group, *_ = _second_group(bench)

    assert _ids(_roster(bench, "group", "sysadmin1")) == [GROUP, group]


def test_who_never_logged_in_is_a_note(bench: Bench) -> None:
    """RSpace refuses his export: there is nothing."""
    names = [bench.world.add_user(name, logged_in=False).username for name in ("Zoe Zuletzt", "Nina Never")]

    found = _roster(bench, "user", "sysadmin1")

    assert found.notes == (f"never logged in, nothing to export: {', '.join(sorted(names))}",)
    assert _ids(found) == [1, 2, 3, 4]


def test_who_is_left_out_is_neither_run_nor_noted(bench: Bench) -> None:
    """By number, of users and of groups."""
    never = bench.world.add_user("Nina Never", logged_in=False)
    group, *_ = _second_group(bench)

    assert 2 not in _ids(_roster(bench, "user", "sysadmin1", **{"except": [2, never.id]}))
    assert _roster(bench, "user", "sysadmin1", **{"except": [2, never.id]}).notes == ()
    assert _ids(_roster(bench, "group", "sysadmin1", **{"except": [GROUP]})) == [group]


def test_labels_tell_who_is_meant(bench: Bench) -> None:
    """A number says nothing to who reads the morning's mail."""
    users = _roster(bench, "user", "mrossi", name="full", format="html")
    groups = _roster(bench, "group", "mrossi")

    assert users.labels["full:user:2:html"] == "tokafor, Tobias Okafor"
    assert groups.labels == {f"group:{GROUP}": "Rossi Lab"}
    assert set(users.labels) == {scope.name for scope in users.scopes}


def test_a_label_holds_no_control_characters(bench: Bench) -> None:
    """Names are whatever people typed."""

    def change(_: Request, answer: Response) -> Response:
        people = json.loads(answer.body)
        people[1]["firstName"], people[1]["lastName"] = "\x1b[31mTobias\n", None
        answer.body = json.dumps(people).encode()
        return answer

    bench.lie("/groupMembers", change)

    labels = _roster(bench, "user", "mrossi").labels

    assert labels["user:2"] == "tokafor, [31mTobias"
    assert all(label.isprintable() for label in labels.values())


@pytest.mark.parametrize("more", [95, 96, 97, 196])
def test_all_pages_of_a_long_list_are_read(bench: Bench, asked: list[Request], more: int) -> None:
    """A hundred at a time, to the last one."""
    for _ in range(more):
        bench.world.add_user()

    found = _roster(bench, "user", "sysadmin1")

    assert _ids(found) == list(bench.world.lab.users)
    assert len(_ids(found)) == more + 4
    pages = [request.parameter("pageNumber") for request in asked if request.path == USERS]
    assert pages == [str(number) for number in range(-(-(more + 4) // 100))]


def test_everybody_of_a_roster_can_be_backed_up(bench: Bench) -> None:
    """Each by its number, with a proof of completeness. Who has written nothing waits for a person."""
    bench.table["scope"] = [{"kind": "user", "every": True}, {"kind": "group", "every": True}]
    names = [scope.name for kind in ("user", "group") for scope in _roster(bench, kind, "sysadmin1").scopes]

    records = [bench.run(name, user="sysadmin1") for name in names]

    empty = f"user:{bench.world.user('sysadmin1').id}"
    assert {name: record.ended for name, record in zip(names, records, strict=True)} == {
        name: Ended.QUARANTINED if name == empty else Ended.VERIFIED for name in names
    }
    for record in records:
        assert check(record, "documents in the file").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": True, "username": "a"}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": -4, "username": "a"}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": 10**20, "username": "a"}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": 7, "username": ""}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": 7, "username": "a\x1b"}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": [{"id": 7, "username": "a" * 500}]}),
        ("/sysadmin/users", {"totalHits": 2, "users": {"id": 7}}),
        ("/sysadmin/users", []),
        ("/groups", [{"id": 11, "members": [None]}]),
        ("/groups", [{"id": 11, "members": [{"username": None}]}]),
        ("/groups", [{"id": "11", "members": []}]),
        ("/groups", [7]),
        ("/groups", {"groups": []}),
        ("/groupMembers", [None, {"id": 2, "username": "tokafor"}]),
        ("/groupMembers", "nobody"),
        ("/whoami", {"username": "mrossi", "id": "1"}),
    ],
    ids=str,
)
def test_a_list_of_which_a_part_cannot_be_read_is_none(bench: Bench, path: str, body: Any) -> None:
    """Nobody is left out because his line is broken: the listing fails as a whole, and a night tells that."""

    def change(_: Request, answer: Response) -> Response:
        answer.body = json.dumps(body).encode()
        return answer

    bench.lie(path, change)

    with pytest.raises(SourceUnexpected, match="RSpace"):
        _roster(bench, "user", "sysadmin1" if "sysadmin" in path else "mrossi")


@pytest.mark.parametrize("kind", ["user", "group"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_list_that_is_refused_says_so(bench: Bench, kind: str, status: int) -> None:
    """Such as by the administrators' list of addresses."""
    bench.world.faults.set(next_status=status, next_status_path=USERS if kind == "user" else "/api/v1/groups")

    with pytest.raises(SourceRefused) as caught:
        _roster(bench, kind, "sysadmin1" if kind == "user" else "mrossi")

    assert caught.value.hint


# -- bearer tokens


@pytest.fixture
def token(bench: Bench) -> Iterator[str]:
    """One that the server gave for a name and a password."""
    form = {"grant_type": "password", "username": "mrossi", "password": "mrossi-demo"}
    answer = httpx.post(f"{bench.server.url}/oauth/token", content=urlencode(form),
                        headers={"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
    bench.server.requests.clear()
    yield answer.json()["access_token"]


@pytest.mark.parametrize("scope", ["user", "user:2:html", "group"])
def test_a_bearer_token_does_for_a_whole_run(
    bench: Bench, token: str, asked: list[Request], scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In its own header, and no API key beside it; it is in no text that stays."""
    caplog.set_level(logging.DEBUG)

    record = bench.run(scope, token=token)

    assert (record.ended, record.reason) == (Ended.VERIFIED, "")
    assert check(record, "documents in the file").outcome is Outcome.PASSED
    assert asked
    assert {request.headers.get("authorization") for request in asked} == {f"Bearer {token}"}
    assert [request for request in asked if "apikey" in request.headers] == []
    _told_nowhere(bench, record, token, caplog.text)


def _told_nowhere(bench: Bench, record: RunRecord, token: str, log: str) -> None:
    bench.recorded(record)
    assert token not in f"{record}{log}"
    for path in _files(bench.folder / "archive", bench.folder / "state"):
        assert token.encode() not in path.read_bytes(), path


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_a_token_follows_no_link_to_another_host(bench: Bench, token: str) -> None:
    """A pre-signed link is fetched without it."""
    bench.world.faults.set(foreign_enclosure=True)

    record = bench.run("user", token=token)

    assert record.ended is Ended.VERIFIED
    assert [has_credentials for _, _, has_credentials, _ in bench.server.foreign_requests] == [False]


@pytest.mark.parametrize("wrong", ["demo-token-AAAAAAAAAAAAAA", "short", "z" * 300])
def test_a_wrong_token_is_refused_and_told_nowhere(
    bench: Bench, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Exit 12, before anything is asked for; not even its first letters, which RSpace repeats, are told."""
    caplog.set_level(logging.DEBUG)

    record = bench.run("user", token=wrong)

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses the key")
    assert bench.posts() == 0
    assert wrong[:4] not in record.reason
    _told_nowhere(bench, record, wrong, caplog.text)


def test_a_token_that_ends_during_a_run_is_told(bench: Bench, token: str) -> None:
    """An hour is not long for an export: the job stays open, and a new token goes on with it."""
    bench.world.run_s = 3000
    bench.clock.at(bench.clock.now() + timedelta(minutes=5), bench.world._tokens.clear)

    record = bench.run("user", token=token)

    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.AUTHENTICATION)
    assert bench.job() is not None
    fresh = bench.world.issue_token("mrossi", "mrossi-demo")
    assert fresh is not None
    again = bench.run("user", token=fresh)
    assert again.ended is Ended.VERIFIED
    assert bench.posts() == 1
