"""WebAdMIT's PDF Manager: templates, batches, zips behind a redirect."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import urlsplit

import pytest
from pypdf import PdfReader

from tests.demo.admissions import Admissions, Json


def test_templates_are_listed_and_shown(admissions: Admissions) -> None:
    """Each has id, name and the name of its list; the address of one shows the same."""
    path = f"/api/v1/user_identities/{admissions.identity}/pdf_manager_templates"
    listed = admissions.get(path).json()
    assert list(listed) == ["href", "pdf_manager_templates"]
    first = listed["pdf_manager_templates"][0]
    assert list(first) == ["id", "name", "list_name"]
    shown = admissions.get(f"{path}/{first['id']}").json()
    assert shown == {"href": f"{path}/{first['id']}", "pdf_manager_template": first}


def test_a_batch_lives_by_the_clock(admissions: Admissions) -> None:
    """201, and a state in snake_case, unlike exports; the zips' addresses come with the last one."""
    world = admissions.world
    world.init_s, world.queue_s, world.run_s = 10, 20, 30
    answer = admissions.batch()
    batch = answer.json()["pdf_manager_batch"]
    assert answer.status_code == 201
    assert list(batch) == ["href", "id", "updated_at", "state", "download_hrefs", "pdf_manager_template"]
    seen = []
    for _ in range(4):
        found = admissions.get(batch["href"]).json()["pdf_manager_batch"]
        seen.append((found["state"], found["updated_at"][-6:], len(found["download_hrefs"])))
        world.advance(20)
    assert seen == [
        ("initializing", "30:00Z", 0), ("queued", "30:10Z", 0), ("in_progress", "30:30Z", 0),
        ("available", "31:00Z", 1),
    ]  # fmt: skip
    assert list(batch["pdf_manager_template"]) == ["href", "id", "name"]


def test_the_list_of_batches_has_no_addresses_of_zips(admissions: Admissions) -> None:
    """There could be many, so it leaves them out."""
    batch = admissions.finished_batch()
    path = f"/api/v1/user_identities/{admissions.identity}/pdf_manager_batches"
    assert batch.pop("download_hrefs")
    assert admissions.get(path).json() == {"href": path, "pdf_manager_batches": [batch]}


def test_while_a_batch_is_running_a_post_gets_it(admissions: Admissions) -> None:
    """The same id for the same template until the end."""
    first = admissions.batch().json()["pdf_manager_batch"]["id"]
    assert admissions.batch().json()["pdf_manager_batch"]["id"] == first
    assert admissions.batch("Accepted Offers for Review").json()["pdf_manager_batch"]["id"] != first
    admissions.world.advance(1)
    assert admissions.batch().json()["pdf_manager_batch"]["id"] > first


def test_the_body_must_fit_the_schema(admissions: Admissions) -> None:
    """Without its wrapper, without a number, with a callback that is not https: 422; an unknown template: 404."""
    path = f"/api/v1/user_identities/{admissions.identity}/pdf_manager_batches"
    number = admissions.world.template().id
    bodies: list[Json] = [
        {},
        {"pdf_manager_template_id": number},
        {"pdf_manager_batch": {}},
        {"pdf_manager_batch": {"pdf_manager_template_id": str(number)}},
    ]
    for body in bodies:
        answer = admissions.client.post(path, json=body)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["schema"])
    assert admissions.batch(callback="http://example.org").json() == {
        "errors": {
            "schema": [
                "The property '#/pdf_manager_batch/callback' value \"http://example.org\" "
                "did not match the regex '^https://'"
            ]
        }
    }
    unknown = admissions.client.post(path, json={"pdf_manager_batch": {"pdf_manager_template_id": 9}})
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Pdf manager template '9' not found.")


def test_a_zip_is_behind_a_redirect(admissions: Admissions) -> None:
    """302 to a new signed link on the store's port, each time; a PDF per applicant in it; no key needed there."""
    href = admissions.finished_batch()["download_hrefs"][0]
    answers = [admissions.get(href) for _ in range(2)]
    assert {a.status_code for a in answers} == {302}
    first, second = (a.headers["location"] for a in answers)
    assert first != second
    assert f"http://{urlsplit(first).netloc}" == admissions.server.store_url
    file = admissions.fetch(first)
    assert file.headers["content-type"] == "application/zip"
    world = admissions.world
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(world.applicants(admissions.identity, world.now()))
        name = archive.namelist()[0]
        text = PdfReader(io.BytesIO(archive.read(name))).pages[0].extract_text()
    assert name.startswith(text.split()[0])
    assert world.leaked == []


def test_a_client_that_follows_the_redirect_with_its_key_leaks_it(admissions: Admissions) -> None:
    """httpx keeps x-api-key across hosts: the download goes well, and the store remembers whose key it was."""
    href = admissions.finished_batch()["download_hrefs"][0]
    assert admissions.client.get(href, follow_redirects=True).status_code == 200
    assert admissions.world.leaked == ["rjones"]


def test_a_redirect_lives_as_short_as_any_link(admissions: Admissions) -> None:
    """Twenty-five seconds later it is 403, and asking again gives a new one."""
    href = admissions.finished_batch()["download_hrefs"][0]
    location = admissions.get(href).headers["location"]
    admissions.world.advance(26)
    assert admissions.fetch(location).status_code == 403
    assert admissions.fetch(admissions.get(href).headers["location"]).status_code == 200


@pytest.mark.parametrize(("wish", "count"), [({"no_zips": True}, 0), ({}, 1), ({"zips": 3}, 3)])
def test_a_batch_comes_in_none_one_or_several_zips(
    admissions: Admissions, wish: dict[str, int], count: int
) -> None:
    """Together they hold each applicant once, each under a number of its own."""
    admissions.faults.set(**wish)
    hrefs = admissions.finished_batch()["download_hrefs"]
    assert len(set(hrefs)) == count
    names: list[str] = []
    for href in hrefs:
        content = admissions.fetch(admissions.get(href).headers["location"]).content
        names += zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert len(set(names)) == len(names)
    world = admissions.world
    assert len(names) == (len(world.applicants(admissions.identity, world.now())) if count else 0)


def test_pdfs_can_be_large(admissions: Admissions) -> None:
    """`pdf_bytes` of noise in each, and still valid."""
    assert admissions.control(pdf_bytes=10_000).status_code == 200
    href = admissions.finished_batch()["download_hrefs"][0]
    content = admissions.fetch(admissions.get(href).headers["location"]).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert len(PdfReader(io.BytesIO(archive.read(names[0]))).pages) == 1
    assert len(content) > 10_000 * len(names)
