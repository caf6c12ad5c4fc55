"""Each switch of the demo server, taken once over real HTTP.

The clock stands still unless a test moves it, so nothing here waits longer than a tenth of a second.
"""

from __future__ import annotations

import time
import zipfile
import zlib

import httpx
import pytest

from tests.demo.lab import Lab

# -- switches of the start ------------------------------------------------------------------------------------


def test_queue_delay_keeps_a_job_starting(lab: Lab) -> None:
    """A queued job is STARTING at -1.0 for as long as the switch says."""
    lab.faults.set(queue_delay_s=600)
    lab.start()
    lab.world.advance(599)
    assert (lab.poll().json()["status"], lab.poll().json()["percentComplete"]) == ("STARTING", -1.0)
    lab.world.advance(2)
    assert lab.poll().json()["status"] == "COMPLETED"


def test_planning_delay_holds_the_answer_back(lab: Lab) -> None:
    """The 202 comes only after the planning scan's real seconds."""
    lab.faults.set(planning_delay_s=0.1)
    began = time.monotonic()
    assert lab.start().status_code == 202
    assert time.monotonic() - began >= 0.1


def test_a_lost_answer_leaves_a_job_behind(lab: Lab) -> None:
    """The connection is cut instead of the 202, yet the job runs, blocks the next one and is in the log."""
    lab.faults.set(lose_start_answer=True, times=1)
    with pytest.raises(httpx.TransportError):
        lab.start()

    assert lab.start().json()["internalCode"] == 42901
    lab.world.advance(1)
    assert lab.poll(23).json()["status"] == "COMPLETED"
    events = lab.client.get("/api/v1/activity?actions=EXPORT").json()["activities"]
    assert events[0]["payload"]["exportPath"]["name"] == lab.world.jobs[23].zip_name
    assert lab.server.requests[0] == ("POST", "/api/v1/export/xml/user", True, 0)


@pytest.mark.parametrize(
    ("switch", "code"), [("no_disk_space", 50001), ("launch_refused", 50004)], ids=["disk", "launcher"]
)
def test_the_server_may_be_unable_to_start(lab: Lab, switch: str, code: int) -> None:
    """A full disk or a refusing launcher is a 500 and leaves no job."""
    lab.faults.set(times=1, **{switch: True})
    refused = lab.start()
    assert (refused.status_code, refused.json()["internalCode"]) == (500, code)
    assert lab.world.jobs == {}
    assert lab.start().status_code == 202


def test_an_unreadable_id_refuses_the_selection(lab: Lab) -> None:
    """A selection holding the id is 500/50004; one without it goes through."""
    first, second = lab.world.lab.documents_of(1)[:2]
    lab.faults.set(unreadable_id=second.id)
    refused = lab.start(f"xml/selection?selections={first.id},{second.id}")
    assert (refused.status_code, refused.json()["internalCode"]) == (500, 50004)
    assert refused.json()["errors"] == ["Export batch job launch failure"]
    assert lab.start(f"xml/selection?selections={first.id}").status_code == 202


def test_a_user_who_never_logged_in_cannot_be_exported(lab: Lab) -> None:
    """Exporting that user is 500/50001, while everybody else goes through."""
    lab.faults.set(no_home="lnguyen")
    refused = lab.start("xml/user/3")
    assert (refused.status_code, refused.json()["internalCode"]) == (500, 50001)
    assert "has not been initialised" in refused.json()["message"]
    assert lab.start("xml/user/2").status_code == 202


# -- switches of the job --------------------------------------------------------------------------------------


def test_a_failed_job_carries_the_exception_text(lab: Lab) -> None:
    """FAILED is a 200 with an ApiError as result, no links and -1.0."""
    lab.faults.set(job_fails="org.example.BadThing: it broke")
    job = lab.finished()
    assert (job["status"], job["percentComplete"], job["_links"]) == ("FAILED", -1.0, [])
    assert job["result"]["message"] == "The job failed with an internal error"
    assert job["result"]["errors"] == ["org.example.BadThing: it broke"]
    assert job["result"]["status"] == "INTERNAL_SERVER_ERROR"


def test_a_swallowed_failure_answers_500_for_ever(lab: Lab) -> None:
    """The job never becomes FAILED: each poll is a 500, and the next export may start."""
    lab.faults.set(job_500=True)
    lab.start()
    lab.world.advance(1)
    for _ in range(3):
        answer = lab.poll()
        assert (answer.status_code, answer.json()["internalCode"]) == (500, 50001)
        lab.world.advance(3600)
    assert lab.start().status_code == 202


def test_a_zombie_blocks_its_user_for_ever(lab: Lab) -> None:
    """STARTED at -1.0 without end, and every later start is a 429."""
    lab.faults.set(zombie=True, times=1)
    lab.start()
    lab.world.advance(30 * 86400)
    assert (lab.poll().json()["status"], lab.poll().json()["percentComplete"]) == ("STARTED", -1.0)
    assert lab.start().json()["internalCode"] == 42901


def test_a_full_executor_answers_202_with_failed(lab: Lab) -> None:
    """The very first answer says FAILED, and the job has no step errors."""
    lab.faults.set(launch_failed=True)
    answer = lab.start()
    assert (answer.status_code, answer.json()["status"]) == (202, "FAILED")
    assert lab.poll().json()["result"]["errors"] == []


def test_purge_at_once(lab: Lab) -> None:
    """COMPLETED with nulls, and a download that is a 500."""
    lab.faults.set(purge_at_once=True)
    job = lab.finished()
    assert (job["status"], job["result"]["size"], job["result"]["algorithm"]) == ("COMPLETED", None, None)
    assert lab.download(job).json()["internalCode"] == 50001


def test_wrong_crc_for_a_number_of_completions(lab: Lab) -> None:
    """The first promise does not fit the file, the second does."""
    lab.faults.set(wrong_crc=True, times=1)
    for fits in (False, True):
        job = lab.finished()
        data = lab.download(job).content
        assert len(data) == job["result"]["size"]
        assert (str(zlib.crc32(data)) == job["result"]["checksum"]) is fits


def test_a_document_may_be_missing_in_silence(lab: Lab) -> None:
    """The archive is sound and COMPLETED, but without the document; only the EXPORT event tells."""
    gone = lab.world.lab.documents_of(1)[3].id
    lab.faults.set(missing_document=gone)
    job = lab.finished()
    assert str(zlib.crc32(lab.download(job).content)) == job["result"]["checksum"]
    names = zipfile.ZipFile(lab.built(23)).namelist()
    assert not any(f"-{gone}/" in n for n in names)
    payload = lab.client.get("/api/v1/activity?actions=EXPORT").json()["activities"][0]["payload"]
    assert gone not in {row["id"] for row in payload["exported"]}


def test_an_empty_export_completes(lab: Lab) -> None:
    """A small valid zip with a manifest and no document."""
    lab.faults.set(empty_export=True)
    job = lab.finished()
    names = zipfile.ZipFile(lab.built(23)).namelist()
    assert any(n.endswith("/manifest.txt") for n in names)
    assert not any("/doc_" in n for n in names)
    assert job["result"]["size"] < 10_000


def test_history_wipe_forgets_jobs(lab: Lab) -> None:
    """A wiped job is 404 and no longer blocks the next start, whose id goes on rising."""
    lab.start()
    lab.faults.set(history_wiped=True, times=1)
    assert lab.poll().json()["internalCode"] == 50301
    assert lab.start().json()["id"] == 24


def test_comma_locale_breaks_polls_of_started_jobs_only(lab: Lab) -> None:
    """The poll of a running job is a 422, the finished one answers as ever."""
    lab.faults.set(comma_locale=True)
    lab.start()
    lab.world.advance(0.1)
    assert lab.poll().status_code == 422
    lab.world.advance(1)
    assert lab.poll().json()["status"] == "COMPLETED"


# -- switches of the download ---------------------------------------------------------------------------------


def test_truncated_body_under_the_right_length(lab: Lab) -> None:
    """The header promises everything, the connection ends early, the next download is whole."""
    lab.faults.set(truncate_after=1000, times=1)
    job = lab.finished()
    received = 0
    with (
        pytest.raises(httpx.RemoteProtocolError),
        lab.client.stream("GET", job["_links"][0]["link"]) as answer,
    ):
        assert int(answer.headers["content-length"]) == job["result"]["size"]
        for chunk in answer.iter_raw():
            received += len(chunk)
    assert received == 1000
    assert len(lab.download(job).content) == job["result"]["size"]


def test_a_web_page_instead_of_the_zip(lab: Lab) -> None:
    """A 200 with a page of its own length, or padded to just the promised size."""
    job = lab.finished()
    lab.faults.set(html_page=True, times=1)
    page = lab.download(job)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html;charset=utf-8")
    assert len(page.content) < 1000
    lab.faults.set(html_page="padded", times=1)
    padded = lab.download(job).content
    assert len(padded) == job["result"]["size"]
    assert padded.startswith(b"<!doctype html>")


def test_foreign_enclosure_wants_no_credentials(lab: Lab) -> None:
    """The link points to another port, is signed anew, serves ranges, and refuses and records a sent key."""
    lab.faults.set(foreign_enclosure=True)
    job = lab.finished()
    link = job["_links"][0]["link"]
    assert link.startswith(lab.server.foreign_url)
    assert "X-Amz-Signature=" in link

    assert lab.client.get(link).status_code == 400
    clean = httpx.get(link)
    assert str(zlib.crc32(clean.content)) == job["result"]["checksum"]
    part = httpx.get(link, headers={"Range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, clean.content[1000:])
    assert httpx.head(link).status_code == 403
    assert [row[2:] for row in lab.server.foreign_requests] == [
        (True, 400),
        (False, 200),
        (False, 206),
        (False, 403),
    ]


# -- switches of any request ----------------------------------------------------------------------------------


def test_throttling_refuses_the_fifteenth_request(lab: Lab) -> None:
    """A burst is 14; then 429 with the time to wait in the headers and no Retry-After, and time heals."""
    lab.faults.set(throttling=True)
    answers = [lab.client.get("/api/v1/status") for _ in range(15)]
    assert [a.status_code for a in answers] == [200] * 14 + [429]
    assert answers[-1].json()["message"].startswith("Too many requests")
    assert answers[-1].json()["errors"] == [""]
    wait_ms = float(answers[-1].headers["x-rate-limit-waittimemillis"])
    assert 0 < wait_ms <= 1000
    assert "retry-after" not in answers[-1].headers
    lab.world.advance(wait_ms / 1000 + 0.01)
    assert lab.client.get("/api/v1/status").status_code == 200


def test_links_may_carry_another_prefix(lab: Lab) -> None:
    """Self and enclosure links are built from the configured prefix, not from the request."""
    lab.faults.set(url_prefix="https://eln.example.org")
    assert lab.start().json()["_links"][0]["link"] == "https://eln.example.org/api/v1/jobs/23"
    lab.world.advance(1)
    assert lab.poll().json()["_links"][0]["link"].startswith("https://eln.example.org/api/v1/export/RSpace-")


def test_a_switched_off_user_is_401_everywhere(lab: Lab) -> None:
    """The key stops working for every call, for that user only."""
    lab.faults.set(user_off="mrossi")
    assert {lab.start().status_code, lab.client.get("/api/v1/status").status_code} == {401}
    other = {"apiKey": lab.world.user("lnguyen").api_key}
    assert lab.client.get("/api/v1/status", headers=other).status_code == 200


def test_next_status_hits_a_path_for_a_number_of_times(lab: Lab) -> None:
    """Two polls get a proxy's 502 page, other paths nothing, and the third poll is answered."""
    lab.start()
    lab.faults.set(next_status={"value": 502, "times": 2}, next_status_path="/api/v1/jobs")
    assert lab.client.get("/api/v1/status").status_code == 200
    assert [lab.poll().status_code for _ in range(3)] == [502, 502, 200]


def test_next_status_may_wait_for_a_method(lab: Lab) -> None:
    """Only a POST gets the proxy's page, and no job is started by it."""
    lab.faults.set(next_status={"value": 503, "times": 1}, next_status_method="POST")
    assert lab.client.get("/api/v1/status").status_code == 200
    assert lab.start().status_code == 503
    assert lab.world.jobs == {}
    assert lab.start().status_code == 202


@pytest.mark.parametrize("after_work", [False, True])
def test_a_connection_can_be_dropped_before_or_after_the_work(lab: Lab, after_work: bool) -> None:
    """The second matching request gets no answer; whether a job exists then depends on the switch."""
    lab.faults.set(drop_request={"value": 2, "times": 1}, drop_path="/api/v1/", drop_after_work=after_work)
    assert lab.client.get("/api/v1/status").status_code == 200
    with pytest.raises(httpx.TransportError):
        lab.start()
    assert list(lab.world.jobs) == ([23] if after_work else [])
    assert lab.client.get("/api/v1/status").status_code == 200
