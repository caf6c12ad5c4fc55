"""The healthy demo server: starting, polling and downloading exports, answers byte for byte.

Archives, reading calls and misbehaviour have files of their own; the clock stands still unless moved.
"""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest

from tests.demo.lab import Lab


def selection(lab: Lab, count: int = 2) -> str:
    ids = [str(d.id) for d in lab.world.lab.documents_of(1)[:count]]
    return f"selection?selections={','.join(ids)}"


def test_the_accepted_answer_has_jackson_s_layout(lab: Lab) -> None:
    """A started export answers 202 with the five fields in order, -1.0 and a self link."""
    answer = lab.start("xml/user")

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        '{\n  "id" : 23,\n  "status" : "STARTING",\n  "percentComplete" : -1.0,\n  "result" : null,\n'
        f'  "_links" : [ {{\n    "link" : "{lab.server.url}/api/v1/jobs/23",\n    "rel" : "self"\n  }} ]\n}}'
    )


def test_the_completed_answer_has_jackson_s_layout(lab: Lab) -> None:
    """A finished job promises size and a decimal CRC32 text, and links the file."""
    lab.start("html/user")
    lab.world.advance(1)

    answer = lab.get("jobs/23")

    built = lab.world.file_of(lab.world.jobs[23])
    assert built is not None
    assert answer.text == (
        '{\n  "id" : 23,\n  "status" : "COMPLETED",\n  "percentComplete" : 100.0,\n  "result" : {\n'
        '    "expiryDate" : "2026-11-18T02:30:01.000Z",\n'
        f'    "size" : {built.size},\n    "checksum" : "{built.crc32}",\n    "algorithm" : "CRC32"\n  }},\n'
        f'  "_links" : [ {{\n    "link" : "{lab.server.url}/api/v1/export/{built.path.name}",\n'
        '    "rel" : "enclosure"\n  } ]\n}'
    )


def test_progress_rises_dips_to_minus_one_and_ends_at_hundred(lab: Lab) -> None:
    """A running job has no links, and its percentage falls back to -1.0 just before COMPLETED."""
    lab.start("xml/user")
    seen = []
    for step_s in (0, 0.06, 0.05, 0.05, 0.035, 0.05):
        lab.world.advance(step_s)
        job = lab.get("jobs/23").json()
        seen.append((job["status"], job["percentComplete"]))
        assert job["status"] == "COMPLETED" or (job["_links"], job["result"]) == ([], None)

    states, percents = zip(*seen, strict=True)
    assert states == ("STARTING", "STARTED", "STARTED", "STARTED", "STARTED", "COMPLETED")
    assert percents[0] == percents[4] == -1.0
    assert 0 < percents[1] < percents[2] < percents[3] < 100
    assert percents[5] == 100.0


@pytest.mark.parametrize("format_", ["xml", "html"])
@pytest.mark.parametrize("scope", ["user", "group", "selection", "user/2", "group/11"])
def test_every_scope_and_format_can_be_fetched_as_promised(lab: Lab, format_: str, scope: str) -> None:
    """The download has the promised size and CRC32, exact headers, and is a sound ZIP."""
    what = selection(lab) if scope == "selection" else scope
    job = lab.finished(f"{format_}/{what}")

    answer = lab.client.get(job["_links"][0]["link"], headers=lab.key("mrossi"))

    name = job["_links"][0]["link"].rpartition("/")[2]
    assert (len(answer.content), str(zlib.crc32(answer.content))) == (
        job["result"]["size"],
        job["result"]["checksum"],
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert not {"etag", "last-modified", "accept-ranges"} & set(answer.headers)
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None


@pytest.mark.parametrize(
    ("user", "what", "status", "code"),
    [
        ("tokafor", "xml/user/1", 401, 40101),
        ("tokafor", "xml/group", 401, 40101),
        ("tokafor", "xml/group/11", 401, 40101),
        ("mrossi", "xml/user/4", 401, 40101),
        ("sysadmin1", "xml/group", 401, 40101),
        ("mrossi", "xml/user/999", 500, 50001),
        ("mrossi", "xml/group/999", 500, 50001),
        ("mrossi", "xml/selection", 422, 42201),
        ("mrossi", "xml/selection?selections=999999", 401, 40101),
        ("mrossi", "pdf/user", 400, 40002),
        ("mrossi", "XML/user", 400, 40002),
        ("mrossi", "xml/everything", 400, 40002),
        ("mrossi", "xml/user/me", 400, 40002),
        ("mrossi", "xml/selection?selections=SD123", 400, 40002),
        ("mrossi", "xml/user?maxLinkLevel=-1", 400, 40002),
    ],
)
def test_refusals_have_rspace_s_codes(lab: Lab, user: str, what: str, status: int, code: int) -> None:
    """Each wrong or forbidden request is refused with the status and internal code of the real server."""
    answer = lab.start(what, user)

    assert (answer.status_code, answer.json()["internalCode"]) == (status, code)
    assert list(answer.json()) == [
        "status", "httpCode", "internalCode", "message", "messageCode", "errors", "iso8601Timestamp", "data",
    ]  # fmt: skip


def test_validation_names_each_problem(lab: Lab) -> None:
    """A 400 counts the problems in its message and lists them in errors and data."""
    answer = lab.start("pdf/user?maxLinkLevel=x").json()

    assert answer["message"] == "Errors detected: 2"
    assert answer["errors"][0] == "format: Format must be either xml or html."
    assert [e["field"] for e in answer["data"]["validationErrors"]] == ["format", "maxLinkLevel"]


def test_selection_drops_missing_ids_and_refuses_unreadable_ones(lab: Lab) -> None:
    """A missing id is left out in silence; one unreadable document refuses the whole selection."""
    own = lab.world.lab.documents_of(2)[0]
    other = lab.world.lab.documents_of(3)[0]

    assert lab.start(f"xml/selection?selections={own.id},{other.id}", "tokafor").json()["internalCode"] == 50004
    names = lab.contents(f"xml/selection?selections={own.id},999999&maxLinkLevel=0", "tokafor")
    assert sum(n.startswith("doc_") and n.endswith("/") for n in names) == 1
    body = {"selections": ",".join(map(str, range(5000, 7001)))}
    many = lab.client.post("/api/v1/export/xml/selection", headers=lab.key("tokafor"), data=body)
    assert many.json()["message"] == "Maximum number of Ids to export is 2000, request contains 2001 Ids"


def test_one_export_at_a_time_per_user(lab: Lab) -> None:
    """A second export of the same key gets 429/42901 until the first ends; other users are not concerned."""
    lab.start("xml/user")

    refused = lab.start("html/group")
    assert (refused.status_code, refused.json()["internalCode"]) == (429, 42901)
    assert refused.json()["message"] == "There is already a running export job"
    assert "retry-after" not in refused.headers
    assert lab.start("xml/user", "tokafor").status_code == 202
    lab.world.advance(1)
    assert lab.start("xml/user").status_code == 202


def test_a_third_export_waits_for_one_of_two_slots(lab: Lab) -> None:
    """The server works on two exports at a time; the third stays STARTING."""
    jobs = [lab.start("xml/user", u).json()["id"] for u in ("mrossi", "tokafor", "lnguyen")]
    lab.world.advance(0.1)

    states = [
        lab.get(f"jobs/{i}", u).json()["status"]
        for i, u in zip(jobs, ("mrossi", "tokafor", "lnguyen"), strict=True)
    ]
    assert states == ["STARTED", "STARTED", "STARTING"]


def test_jobs_answer_only_their_owner(lab: Lab) -> None:
    """Unknown jobs are 404/50301, other people's 401 even for a sysadmin, names that are no number 400."""
    lab.start("xml/user")

    assert lab.get("jobs/99").json()["internalCode"] == 50301
    assert lab.get("jobs/23", "sysadmin1").status_code == 401
    assert lab.get("jobs/latest").json()["internalCode"] == 40006


def test_archives_vanish_after_two_days_but_the_job_stays(lab: Lab) -> None:
    """The expiry date slides with each poll; after 48 h the sizes are null and the download is a 500."""
    first = lab.finished("xml/user")
    lab.world.advance(47 * 3600)
    later = lab.get("jobs/23").json()
    lab.world.advance(3600)
    gone = lab.get("jobs/23").json()

    assert later["result"]["size"] == first["result"]["size"]
    assert later["result"]["expiryDate"] > first["result"]["expiryDate"]
    assert [gone["result"][k] for k in ("size", "checksum", "algorithm")] == [None, None, None]
    assert (gone["status"], gone["_links"]) == ("COMPLETED", first["_links"])
    refused = lab.client.get(gone["_links"][0]["link"], headers=lab.key("mrossi"))
    assert (refused.status_code, refused.json()["internalCode"]) == (500, 50001)
    assert refused.json()["message"].endswith("Archive file does not exist.")


def test_downloads_go_by_name_alone(lab: Lab) -> None:
    """Any key may fetch a name, with or without .zip; odd names are 422, unknown ones 500."""
    lab.finished("xml/user")
    name = lab.world.jobs[23].zip_name

    assert lab.get(f"export/{name.removesuffix('.zip')}", "lnguyen").status_code == 200
    assert lab.get("export/a..b").status_code == 422
    assert lab.get("export/RSpace-nothing.zip").status_code == 500


def test_octet_stream_accept_turns_errors_into_a_web_page(lab: Lab) -> None:
    """With exactly that Accept header an error is the container's page; with a JSON fallback it is JSON."""
    page = lab.get("export/RSpace-nothing.zip", Accept="application/octet-stream")
    kept = lab.get("jobs/99", Accept="application/octet-stream, application/json;q=0.9")

    assert (page.status_code, page.headers["content-type"]) == (500, "text/html;charset=utf-8")
    assert kept.json()["internalCode"] == 50301
