"""WebAdMIT's API as it is when nothing is wrong: shapes, refusals, limits, the life of a run.

Links and files, PDF batches, switches and control have files of their own; the clock stands still unless moved.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.demo.webadmit_office import FORMATS, LIST_TYPES
from tests.demo.admissions import Admissions

OUR_KINDS = {"identities", "exports", "start", "status", "recent"}


def test_identities_are_those_with_api_access(admissions: Admissions) -> None:
    """Several associations, organisations, cycles; what is not open to the API, or is another's, is not there."""
    answer = admissions.get("user_identities")

    told = answer.json()
    assert list(told) == ["href", "user_identities"]
    assert told["href"] == "/api/v1/user_identities"
    first = told["user_identities"][0]
    assert list(first) == ["id", "type", "association", "institution", "organization", "cycle"]
    listed = told["user_identities"]
    assert {i["cycle"] for i in listed} == {"2025 - 2026", "2026 - 2027", None}
    assert len({i["association"] for i in listed}) == len({i["organization"] for i in listed}) == 3
    assert {i["type"] for i in listed} == {"Admissions User", "Institution User"}
    assert first["cycle"] == "2025 - 2026"  # the newest never comes first
    others = set(admissions.world.office.identities) - {i["id"] for i in listed}
    assert others
    for identity in others:
        assert admissions.get(f"user_identities/{identity}/exports").status_code == 404


def test_exports_have_every_list_type_and_format(admissions: Admissions) -> None:
    """Each template tells id, name, list, format and the mime type that goes with it."""
    path = f"/api/v1/user_identities/{admissions.identity}/exports"
    told = admissions.get(path).json()

    assert list(told) == ["href", "exports"]
    assert told["href"] == path
    assert {e["list_type"] for e in told["exports"]} == set(LIST_TYPES)
    assert {e["format"]: e["mime_type"] for e in told["exports"]} == FORMATS
    assert all(list(e) == ["id", "name", "list_type", "format", "mime_type"] for e in told["exports"])


def test_the_list_of_all_exports_has_no_identities(admissions: Admissions) -> None:
    """It holds those of every identity, and does not tell whose they are."""
    told = admissions.get("exports").json()
    assert len(told["exports"]) == 18
    assert "identity" not in str(told)
    assert admissions.get("exports/1").status_code == 404


def test_no_key_is_401_with_an_empty_body(admissions: Admissions) -> None:
    """No key, a wrong one and one in another place are the same: no body, no type, but the limit's headers."""
    url = f"{admissions.server.url}/api/v1/user_identities"
    key = admissions.world.keys["rjones"]
    for headers in ({}, {"x-api-key": "0" * 32}, {"apiKey": key}, {"Authorization": f"Bearer {key}"}):
        answer = admissions.fetch(url, **headers)
        assert (answer.status_code, answer.content) == (401, b"")
        assert "content-type" not in answer.headers
        assert answer.headers["x-ratelimit-limit"] == "5000"
    assert admissions.fetch(f"{url}?x-api-key={key}").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "user_identities/999/exports", "User identity '999' not found."),
        ("POST", "user_identities/999/exports/1/export_files", "User identity '999' not found."),
        ("GET", "user_identities/999/export_files", "User identity '999' not found."),
        ("POST", "user_identities/{i}/exports/1/export_files", "Export '1' not found."),
        ("GET", "user_identities/{i}/exports/1/export_files", "Export '1' not found."),
        ("GET", "exports/{e}/export_files/1", "Export file '1' not found."),
        ("GET", "exports/1/export_files/267528", "Export file '267528' not found."),
        ("GET", "user_identities/{i}/pdf_manager_templates/1", "Pdf manager template '1' not found."),
        ("GET", "user_identities/{i}/pdf_manager_batches/1", "Pdf manager batch '1' not found."),
        ("GET", "user_identities/{i}/pdf_manager_zip_files/1/download", "Pdf manager zip file '1' not found."),
        ("GET", "user_identities/me/exports", "Not Found"),
        ("GET", "nothing", "Not Found"),
        ("POST", "exports", "Not Found"),
        ("DELETE", "exports/{e}/export_files/267528", "Not Found"),
        ("PUT", "exports/{e}/export_files/267528", "Not Found"),
    ],
)
def test_what_is_not_there_is_404(admissions: Admissions, method: str, path: str, message: str) -> None:
    """What is unknown or another's is named; an unknown address, or a way to cancel or delete, is not found."""
    given = path.format(i=admissions.identity, e=admissions.export.id)
    answer = admissions.client.request(method, f"/api/v1/{given}")
    assert (answer.status_code, answer.json()) == (404, {"message": message})


def test_another_s_runs_are_not_found(admissions: Admissions) -> None:
    """A run of an identity that this key does not cover is 404 by its own address, too."""
    world = admissions.world
    other = world.identity("Demo School of Midwifery")
    run = next(r for r in world.runs.values() if r.identity_id == other.id)
    path = f"/api/v1/exports/{run.template_id}/export_files/{run.id}"
    assert admissions.get(path).status_code == 404
    assert admissions.get(path, **{"x-api-key": world.keys["kmeyer"]}).status_code == 200


def test_every_answer_tells_the_limit(admissions: Admissions) -> None:
    """5,000 calls per key and rolling hour; each call but a refused one counts, and there is no reset header."""
    remaining = [admissions.get(path).headers["x-ratelimit-remaining"] for path in ("exports", "nothing")]
    assert remaining == ["4999", "4998"]
    admissions.world.advance(3601)
    answer = admissions.get("exports")
    assert answer.headers["x-ratelimit-remaining"] == "4999"
    assert answer.headers["x-ratelimit-limit"] == "5000"
    assert not [name for name in answer.headers if "reset" in name]


def test_a_run_lives_by_the_clock(admissions: Admissions) -> None:
    """201 with one object; then each status as the wire spells it; a link only at the end."""
    world = admissions.world
    world.init_s, world.queue_s, world.run_s = 10, 20, 30
    answer = admissions.start()

    assert (answer.status_code, list(answer.json())) == (201, ["export_files"])
    run = answer.json()["export_files"]
    assert list(run) == ["id", "href", "export_id", "status"]
    assert run["href"] == f"/api/v1/exports/{admissions.export.id}/export_files/{run['id']}"
    seen = []
    for _ in range(4):
        found = admissions.check(run)
        seen.append((found["status"], "download_url" in found))
        world.advance(20)
    assert seen == [("Initializing", False), ("Queued", False), ("In Progress", False), ("Available", True)]
    assert list(admissions.check(run)) == ["id", "href", "export_id", "status", "download_url"]


def test_a_fast_run_is_available_in_the_post_s_own_answer(admissions: Admissions) -> None:
    """The answer to the POST may have a final status already, and never a link."""
    world = admissions.world
    world.init_s = world.queue_s = world.run_s = 0
    run = admissions.started()
    assert run["status"] == "Available"
    assert "download_url" not in run


def test_while_a_run_is_running_a_post_gets_it(admissions: Admissions) -> None:
    """One id for the same export until its end, whoever started it; another export and a later POST differ."""
    first = admissions.started()
    assert admissions.started()["id"] == first["id"]
    assert admissions.started("Fixed width for SIS")["id"] != first["id"]
    admissions.world.advance(1)
    second = admissions.started()
    assert second["id"] > first["id"]
    admissions.world.advance(1)
    colleague = admissions.world.start_elsewhere(admissions.export.id, by="colleague")
    assert admissions.started()["id"] == colleague.id
    assert admissions.world.most_at_once() == 2


def test_posts_at_the_same_time_get_one_run(admissions: Admissions) -> None:
    """However many ask at once."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: admissions.started()["id"], range(24)))
    assert len(set(answers)) == 1
    assert admissions.world.most_at_once() == 1


def test_a_callback_is_a_text(admissions: Admissions) -> None:
    """In the body or in the query; http will do; a number is 422, and no JSON is 400."""
    assert admissions.start(params={"callback": "http://127.0.0.1:9/x"}).status_code == 201
    answer = admissions.start(json={"callback": 3})
    assert (answer.status_code, list(answer.json())) == (422, ["errors"])
    assert "'#/callback'" in answer.json()["errors"]["schema"][0]
    assert admissions.start(content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert admissions.start(content=b"").status_code == 201


def test_recent_files_hold_everybody_s_runs(admissions: Admissions) -> None:
    """All runs of one identity, the newest first, those of a schedule and of colleagues as well; never a link."""
    run = admissions.finished()
    elsewhere = admissions.world.start_elsewhere(admissions.export.id)
    answer = admissions.get(f"user_identities/{admissions.identity}/export_files").json()

    assert answer["href"] == f"/api/v1/user_identities/{admissions.identity}/export_files"
    listed = answer["export_files"]
    assert [one["id"] for one in listed[:2]] == [elsewhere.id, run["id"]]
    assert all(list(one) == ["id", "href", "export_id", "status"] for one in listed)
    assert len(listed) == 6
    assert {one["export_id"] for one in listed} < {
        e.id for e in admissions.world.office.exports_of(admissions.identity)
    }


def test_the_undocumented_list_is_a_bare_array(admissions: Admissions) -> None:
    """The runs of one export, the newest first."""
    run = admissions.started()
    path = f"user_identities/{admissions.identity}/exports/{admissions.export.id}/export_files"
    listed = admissions.get(path).json()
    assert isinstance(listed, list)
    assert listed[0]["id"] == run["id"]
    assert {one["export_id"] for one in listed} == {admissions.export.id}


def test_a_conditional_question_gets_304(admissions: Admissions) -> None:
    """Rack's cache: who sends the ETag of a running status back learns nothing."""
    run = admissions.started()
    tag = admissions.get(run["href"]).headers["etag"]
    answer = admissions.get(run["href"], **{"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_requests_are_counted_by_kind(admissions: Admissions) -> None:
    """A test can ask how many there were of each."""
    admissions.get("user_identities")
    admissions.get(f"user_identities/{admissions.identity}/exports")
    admissions.finished()
    admissions.recent()
    admissions.get("nothing")
    assert all(admissions.server.count(kind) == 1 for kind in OUR_KINDS | {"unknown"})
    assert admissions.report()["requests"] == dict.fromkeys(OUR_KINDS | {"unknown"}, 1)
    assert {seen.key for seen in admissions.server.requests} == {admissions.world.keys["rjones"]}
