"""Switches aimed at one export target, zombies and their end, and the failures of the activity log and of S3."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import httpx
import pytest

from flows.demo import Faults
from flows.demo.faults import AIMABLE, SWITCHES
from tests.demo.conftest import MakeLab
from tests.demo.lab import Lab

# -- aiming ---------------------------------------------------------------------------------------------------


def test_one_night_with_a_fault_of_its_own_for_each_user(make_lab: MakeLab) -> None:
    """One export is refused, one misses a document, one is healthy, and the last becomes a zombie."""
    lab = make_lab(users=5, documents_per_user=3)
    gone = lab.world.lab.documents_of(2)[1].id
    lab.faults.aim("user/1", refused=True)
    lab.faults.aim("user/2", missing_document=gone)
    lab.faults.aim("user/6", zombie=True)

    refused = lab.start("xml/user/1", "sysadmin1")
    assert (refused.status_code, refused.json()["internalCode"]) == (401, 40101)
    text = "Unauthorized attempt by sysadmin1 to export records belonging to mrossi"
    assert refused.json()["message"] == text
    held = [
        {d.id for d in lab.world.lab.documents_of(n)}
        - {int(found[1]) for name in lab.contents(f"xml/user/{n}", "sysadmin1") if (found := is_document(name))}
        for n in (2, 3)
    ]
    assert held == [{gone}, set()]
    assert lab.finished("xml/user/6", "sysadmin1")["status"] == "STARTED"
    assert lab.start("xml/user/5", "sysadmin1").status_code == 429
    assert lab.start("xml/user").status_code == 202  # somebody's own export is another target than his id


def is_document(name: str) -> re.Match[str] | None:
    return re.match(r"doc_.*-(\d+)/$", name)


@pytest.mark.parametrize(
    ("target", "what", "text"),
    [
        ("user", "xml/user", "records belonging to mrossi"),
        ("user/2", "xml/user?id=2", "records belonging to tokafor"),
        ("group", "html/group", "a user or group"),
        ("group/11", "xml/group/11", "a user or group"),
        ("selection", "xml/selection?selections={id}", "a selection"),
    ],
)
def test_a_refusal_can_be_aimed_at_any_target(lab: Lab, target: str, what: str, text: str) -> None:
    """The refusal has the words of the scope; every other target goes through."""
    what = what.format(id=lab.world.lab.documents_of(1)[0].id)
    lab.faults.aim(target, refused={"times": 1})

    refused = lab.start(what)
    assert refused.json()["message"] == f"Unauthorized attempt by mrossi to export {text}"
    assert lab.start(what).status_code == 202


def test_aimed_switches_hold_for_polls_and_downloads(lab: Lab) -> None:
    """What is aimed at a target follows its job: the poll's error and the cut download are only its own."""
    lab.faults.aim("user/2", truncate_after=100)
    lab.faults.aim("user/3", html_page="page")
    whole, cut, page = (lab.finished(f"xml/user{tail}") for tail in ("", "/2", "/3"))

    assert str(zlib.crc32(lab.download(whole).content)) == whole["result"]["checksum"]
    assert lab.download(page).headers["content-type"] == "text/html;charset=utf-8"
    with pytest.raises(httpx.RemoteProtocolError):
        lab.download(cut)


def test_aimed_goes_before_general_and_reset_clears_both(lab: Lab) -> None:
    """An aimed value wins for its target, counts are its own, and reset leaves nothing."""
    faults = Faults()
    faults.set(queue_delay_s=5.0)
    faults.aim("group/12", times=1, queue_delay_s=60.0)

    assert faults.aimed() == {"group/12": {"queue_delay_s": {"value": 60.0, "times": 1}}}
    assert faults.peek("queue_delay_s", "group/12") == 60.0
    assert [faults.take("queue_delay_s", target) for target in ("group", "group/12", "group/12")] == [5, 60, 5]
    faults.aim("group/12", zombie=True)
    faults.aim("user", zombie=True)
    faults.stop_aiming("user")
    assert list(faults.aimed()) == ["group/12"]
    faults.reset()
    assert (faults.active(), faults.aimed()) == ({}, {})


def test_what_cannot_be_aimed_is_refused() -> None:
    """A target that is none, a switch of any request, a misspelt switch."""
    with pytest.raises(ValueError, match=r"user/me: no export target, wants user, user/<id>"):
        Faults().aim("user/me", zombie=True)
    with pytest.raises(ValueError, match="fault throttling cannot be aimed, only queue_delay_s"):
        Faults().aim("user", throttling=True)
    with pytest.raises(ValueError, match="unknown fault zombi"):
        Faults().aim("user", zombi=True)
    assert {"zombie", "refused", "comma_locale", "html_page"} <= set(AIMABLE)
    assert not {"history_wiped", "activity_status", "user_off", "drop_request"} & set(AIMABLE)


def test_control_aims(lab: Lab) -> None:
    """faults_for takes targets with their switches, shows them, and null clears one or all."""
    shown = lab.control(faults_for={"user/2": {"zombie": True}, "group/11": {"wrong_crc": {"times": 1}}}).json()
    assert shown["faults_for"] == {
        "user/2": {"zombie": True},
        "group/11": {"wrong_crc": {"value": True, "times": 1}},
    }
    assert lab.control(faults_for={"user/2": None}).json()["faults_for"].keys() == {"group/11"}
    assert lab.control(faults_for=None).json()["faults_for"] == {}
    lab.control(faults_for={"user": {"job_fails": "broken"}})
    assert lab.control(faults=None).json()["faults_for"] == {}
    for wrong in ({"nobody": {"zombie": True}}, {"user": {"throttling": True}}, ["user"]):
        assert lab.control(faults_for=wrong).status_code == 400


# -- zombies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_control", [True, False])
def test_an_administrator_closes_zombies(lab: Lab, by_control: bool) -> None:
    """They become FAILED at once, without a step that tells why, and their user can export again."""
    lab.faults.set(zombie=True, times=1)
    lab.start()
    assert lab.start().status_code == 429

    if by_control:
        assert lab.control(close_zombies=True).status_code == 200
    else:
        assert [lab.world.close_zombies(), lab.world.close_zombies()] == [1, 0]

    job = lab.poll().json()
    assert (job["status"], job["percentComplete"], job["result"]["errors"]) == ("FAILED", -1.0, [])
    assert lab.finished()["status"] == "COMPLETED"
    assert lab.world.jobs[23].outcome == "failed"


# -- activity log ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(500, 50001), (401, 40101), (422, 42201), (503, 50001), (418, 50001)]
)
def test_the_activity_log_may_answer_with_an_error(lab: Lab, status: int, code: int) -> None:
    """An ApiError with the status wished for, or a 500 for one that RSpace does not know; the next is well."""
    lab.faults.set(activity_status={"value": status, "times": 1})

    refused = lab.get("activity")
    assert (refused.status_code, refused.json()["internalCode"]) == (500 if status == 418 else status, code)
    assert refused.json()["httpCode"] == refused.status_code
    assert lab.get("activity").status_code == 200


@pytest.mark.parametrize("by_control", [True, False])
def test_a_rotated_log_is_shorter_and_says_nothing(lab: Lab, by_control: bool) -> None:
    """What is older is not found any more, also later; what happens from then on is."""
    lab.finished()
    lab.world.create_document("mrossi")
    lab.world.advance(60)
    assert lab.get("activity?actions=EXPORT,CREATE").json()["totalHits"] == 2

    if by_control:
        lab.control(rotate_log=True)
    else:
        lab.faults.set(activity_rotated=True, times=1)

    assert (lab.get("activity?actions=EXPORT,CREATE")).json()["activities"] == []
    lab.finished()
    assert lab.get("activity?actions=EXPORT,CREATE").json()["totalHits"] == 1


def test_an_event_may_be_lost(lab: Lab) -> None:
    """The file is sound, but the log never tells of it; the next export is told of again."""
    lab.faults.set(event_lost=True, times=1)
    job = lab.finished()

    assert str(zlib.crc32(lab.download(job).content)) == job["result"]["checksum"]
    assert lab.get("activity?actions=EXPORT").json()["totalHits"] == 0
    lab.finished()
    assert lab.get("activity?actions=EXPORT").json()["totalHits"] == 1


# -- S3 -------------------------------------------------------------------------------------------------------


def test_an_object_missing_on_s3_answers_500_for_ever(lab: Lab) -> None:
    """Each poll of the completed job names the zip that cannot be found; the next export may start."""
    lab.faults.set(s3_missing=True, times=1)
    lab.start()
    lab.world.advance(1)

    for _ in range(3):
        answer = lab.poll()
        assert (answer.status_code, answer.json()["internalCode"]) == (500, 50001)
        assert answer.json()["message"] == f"Couldn't find export on S3 for {lab.world.jobs[23].zip_name}"
        lab.world.advance(3600)
    assert lab.finished()["status"] == "COMPLETED"


# -- all of them ----------------------------------------------------------------------------------------------


def test_every_switch_is_thrown_by_some_test() -> None:
    """A switch that no test throws is a switch that may do nothing."""
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    thrown = {name for text in texts for name in re.findall(r"\b(\w+)=", text)}
    thrown |= {name for text in texts for name in re.findall(r'"(\w+)"', text)}

    assert set(SWITCHES) - thrown == set()
