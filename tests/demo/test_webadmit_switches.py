"""Each switch of WebAdMIT's API, taken once over real HTTP. Those of the store have a file of their own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.demo import WebAdmitFaults
from flows.demo.webadmit_faults import SWITCHES
from tests.demo.admissions import Admissions

# -- the list


def test_every_switch_can_be_set_counted_and_reset() -> None:
    """Each field accepts true or a text, is used up after its times, and reset clears it."""
    for name, default in SWITCHES.items():
        faults = WebAdmitFaults()
        value: Any = "x" if isinstance(default, str) else True
        counted: dict[str, Any] = {name: {"value": value, "times": 2}}
        faults.set(**counted)
        assert [bool(faults.take(name)) for _ in range(3)] == [True, True, False]
        faults.set(**{name: value})
        assert faults.active() == {name: getattr(faults, name)}
        faults.reset()
        assert faults.active() == {}


def test_every_switch_has_a_sentence_and_a_test() -> None:
    """The list says what each does, and some test of WebAdMIT's sets it."""
    root = Path(__file__).parents[2]
    listed = (root / "flows/demo/webadmit_faults.py").read_text() + (root / "flows/demo/switches.py").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_webadmit_*.py"))
    for name in SWITCHES:
        (line,) = [line for line in listed.splitlines() if line.startswith(f"    {name}: ")]
        assert len(line.partition("  # ")[2]) > 10, name
        assert f"{name}=" in tests or f'"{name}"' in tests, name


def test_a_switch_can_be_aimed_at_one_export(admissions: Admissions) -> None:
    """The other ones are healthy; what is not of one run cannot be aimed."""
    admissions.faults.aim(f"export/{admissions.export.id}", ends="failed")
    assert admissions.finished()["status"] == "Failed"
    assert admissions.finished("Everything")["status"] == "Available"
    with pytest.raises(ValueError, match="wants export/<id> or template/<id>"):
        admissions.faults.aim("user/1", ends="failed")
    with pytest.raises(ValueError, match="cannot be aimed"):
        admissions.faults.aim("export/1", extra_fields=True)


# -- how a run goes


@pytest.mark.parametrize(
    ("ends", "wire", "linked"),
    [
        ("success_with_errors", "Success With Errors", True),
        ("empty_list", "Empty List", False),
        ("failed", "Failed", False),
        ("Archiving", "Archiving", False),
    ],
)
def test_a_run_ends_as_it_is_told(admissions: Admissions, ends: str, wire: str, linked: bool) -> None:
    """Each end by its own word, for exports with capitals, for batches in snake_case; a link only with a file."""
    admissions.faults.set(ends=ends)
    run, batch = admissions.finished(), admissions.finished_batch()
    assert (run["status"], "download_url" in run) == (wire, linked)
    assert (batch["state"], bool(batch["download_hrefs"])) == (ends, linked)
    assert admissions.started()["id"] != run["id"]


def test_a_run_may_never_end(admissions: Admissions) -> None:
    """In Progress for ever, and each POST gets it, until the vendor's support sets it to failed."""
    admissions.faults.set(never_ends=True, times=1)
    run = admissions.started()
    admissions.world.advance(40 * 86400)
    assert admissions.check(run)["status"] == "In Progress"
    assert admissions.started()["id"] == run["id"]
    assert admissions.world.close_stuck() == 1
    assert admissions.check(run)["status"] == "Failed"
    assert admissions.started()["id"] != run["id"]


def test_a_run_may_wait_long(admissions: Admissions) -> None:
    """Queued for as long as the switch says."""
    admissions.faults.set(queue_delay_s=600)
    run = admissions.started()
    admissions.world.advance(599)
    assert admissions.check(run)["status"] == "Queued"
    admissions.world.advance(2)
    assert admissions.check(run)["status"] == "Available"


@pytest.mark.parametrize(
    ("switch", "value"),
    [("rows_left", 2), ("no_rows", True), ("ragged", True), ("short_object", 100), ("bad_member", True)],
)
def test_a_file_may_have_a_flaw(admissions: Admissions, switch: str, value: Any) -> None:
    """The next run's file is another one than a healthy run's, and the store tells nothing of it."""
    name = "Everything" if switch == "bad_member" else "Nightly applicants"
    admissions.faults.set(times=1, **{switch: value})
    bad, good = admissions.file(name), admissions.file(name)
    assert bad != good
    if switch in ("no_rows", "rows_left"):
        assert good.startswith(bad[:50])
        assert len(bad) < len(good)


# -- how a POST is answered


def test_a_colleague_may_have_been_first(admissions: Admissions) -> None:
    """The POST gets a run that began before it and is in no list from before; its data are older."""
    admissions.world.run_s = 100
    before = {one["id"] for one in admissions.recent()}
    admissions.faults.set(colleague_first=True, times=1)
    run = admissions.started()
    assert run["id"] not in before
    found = admissions.world.runs[run["id"]]
    assert (found.started_by, found.began_at < admissions.world.now()) == ("colleague", True)
    assert admissions.started()["id"] == run["id"]


def test_de_duplication_may_be_off(admissions: Admissions) -> None:
    """Each POST starts a run of its own."""
    admissions.faults.set(no_dedup=True)
    assert len({admissions.started()["id"] for _ in range(3)}) == 3
    assert admissions.world.most_at_once() == 3


def test_a_post_may_answer_200(admissions: Admissions) -> None:
    """As one client asserts."""
    admissions.faults.set(post_code=200)
    assert (admissions.start().status_code, admissions.batch().status_code) == (200, 200)


def test_a_post_may_fail_after_its_work(admissions: Admissions) -> None:
    """A 500, or no answer at all; the run is there and running, and Recent Files tells of it."""
    known = len(admissions.recent())
    admissions.faults.set(start_500=True, times=1)
    answer = admissions.start()
    assert (answer.status_code, answer.headers["content-type"][:9]) == (500, "text/html")
    assert len(admissions.recent()) == known + 1
    admissions.faults.set(lose_start_answer=True, times=1)
    with pytest.raises(httpx.TransportError):
        admissions.start("Everything")
    assert len(admissions.recent()) == known + 2
    assert admissions.started()["id"] == admissions.recent()[1]["id"]
    assert [seen.status for seen in admissions.server.requests if seen.kind == "start"] == [500, 0, 201]


def test_a_key_may_be_replaced_in_mid_run(admissions: Admissions) -> None:
    """The POST is answered, and the next call of the same key is 401; the new key finds the run."""
    admissions.faults.set(key_rotated=True, times=1)
    run = admissions.started()
    assert (admissions.get(run["href"]).status_code, admissions.get("exports").content) == (401, b"")
    admissions.client.headers["x-api-key"] = admissions.world.keys["rjones"]
    assert admissions.check(run)["id"] == run["id"]


# -- how a run is told


@pytest.mark.parametrize(("style", "spelt"), [("seed", {True}), ("mixed", {True, False})])
def test_statuses_may_be_in_snake_case(admissions: Admissions, style: str, spelt: set[bool]) -> None:
    """`seed` as the page of 2016 had them, `mixed` now so, now so; a batch's state stays as it is."""
    world = admissions.world
    world.init_s = world.queue_s = world.run_s = 20
    admissions.faults.set(status_style=style)
    words = []
    for name in ("Nightly applicants", "Everything"):
        run = admissions.started(name)
        for _ in range(4):
            words.append(admissions.check(run)["status"])
            world.advance(20)
    assert {word == word.lower() for word in words} == spelt
    assert admissions.finished_batch()["state"] == "initializing"


def test_a_status_may_be_a_word_that_nobody_knows(admissions: Admissions) -> None:
    """For some answers or for ever."""
    run = admissions.finished()
    admissions.faults.aim(f"export/{admissions.export.id}", times=2, status_word="Archiving")
    assert [admissions.check(run)["status"] for _ in range(3)] == ["Archiving", "Archiving", "Available"]


def test_available_may_come_without_a_link(admissions: Admissions) -> None:
    """Once or often; a batch comes without its zips then."""
    admissions.faults.set(no_link=True, times=1)
    run = admissions.finished()
    assert (run["status"], "download_url" in run) == ("Available", False)
    assert "download_url" in admissions.check(run)
    admissions.faults.set(no_link=True, times=1)
    assert admissions.finished_batch()["download_hrefs"] == []


def test_a_link_may_be_null_before_there_is_one(admissions: Admissions) -> None:
    """The field that the schema calls required."""
    admissions.faults.set(null_link=True)
    assert admissions.check(admissions.started())["download_url"] is None


def test_a_run_may_be_forgotten(admissions: Admissions) -> None:
    """404 for what was there a moment ago, for exports and for batches."""
    run, batch = admissions.finished(), admissions.finished_batch()
    admissions.faults.set(run_forgotten=True)
    assert admissions.get(run["href"]).json()["message"] == f"Export file '{run['id']}' not found."
    assert admissions.get(batch["href"]).status_code == 404


def test_export_id_and_href_may_differ(admissions: Admissions) -> None:
    """As in the vendor's own example: href is right, export_id is not."""
    admissions.faults.set(export_id_off=True)
    run = admissions.started()
    assert run["export_id"] != admissions.export.id
    assert f"/exports/{admissions.export.id}/" in run["href"]
    assert admissions.check(run)["id"] == run["id"]


def test_a_href_may_be_hostile(admissions: Admissions) -> None:
    """Any text, such as another host's address."""
    admissions.faults.set(strange_href="https://evil.invalid/api/v1/exports/1/export_files/1")
    assert admissions.started()["href"].startswith("https://evil.invalid/")
    assert admissions.batch().json()["pdf_manager_batch"]["href"].startswith("https://evil.invalid/")


# -- lists, refusals, limits


def test_not_found_has_three_forms(admissions: Admissions) -> None:
    """By name, the old way, and as a schema error."""
    forms = [admissions.get("user_identities/999/exports").json()]
    for switch in ("legacy_404", "schema_404"):
        admissions.faults.set(times=1, **{switch: True})
        forms.append(admissions.get("user_identities/999/exports").json())
    assert forms == [
        {"message": "User identity '999' not found."},
        {"message": "Not Found"},
        {"errors": {"schema": ["User identity '999' not found."]}},
    ]


def test_answers_may_have_fields_that_nobody_knows(admissions: Admissions) -> None:
    """Before and after the known ones, in each object, and named like known ones further in."""
    admissions.faults.set(extra_fields=True)
    run = admissions.started()
    assert next(iter(run)) == "_version"
    assert run["created_by"]["status"] == "Failed"
    assert "links" in admissions.get("user_identities").json()["user_identities"][0]


def test_recent_files_may_be_short_and_shuffled(admissions: Admissions) -> None:
    """Only the newest ones; or all, in another order at another time."""
    for _ in range(5):
        admissions.finished()
    usual = [one["id"] for one in admissions.recent()]
    admissions.faults.set(short_list=3)
    assert [one["id"] for one in admissions.recent()] == usual[:3]
    admissions.faults.reset()
    admissions.faults.set(shuffled_list=True)
    orders = []
    for _ in range(3):
        orders.append(tuple(one["id"] for one in admissions.recent()))
        admissions.world.advance(60)
    assert len({*orders, tuple(usual)}) == 4
    assert {tuple(sorted(order, reverse=True)) for order in orders} == {tuple(usual)}


@pytest.mark.parametrize("status", [429, 403])
def test_beyond_the_limit_nothing_is_done(admissions: Admissions, status: int) -> None:
    """429 or 403, Remaining 0, Retry-After only if asked for; an hour after the first call there is room again."""
    wishes = {"rate_limit": 2, "over_limit": 0 if status == 429 else status}
    admissions.faults.set(**wishes)
    assert [admissions.get("exports").status_code for _ in range(3)] == [200, 200, status]
    answer = admissions.start()
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (status, "0")
    assert "retry-after" not in answer.headers
    admissions.faults.set(retry_after=True)
    admissions.world.advance(600)
    assert admissions.get("exports").headers["retry-after"] == "3000"
    other = {"x-api-key": admissions.world.keys["kmeyer"]}
    assert admissions.get("exports", **other).status_code == 200
    admissions.world.advance(3000)
    assert admissions.get("exports").status_code == 200


@pytest.mark.parametrize(("fixed", "left"), [(False, 1), (True, 2)])
def test_the_hour_rolls_or_begins_anew(admissions: Admissions, fixed: bool, left: int) -> None:
    """Of three calls, one at the beginning and two in the middle of the hour, it counts two or none after it."""
    admissions.faults.set(rate_limit=4, fixed_window=fixed)
    admissions.get("exports")
    admissions.world.advance(1800)
    admissions.get("exports")
    admissions.get("exports")
    admissions.world.advance(1801)
    assert admissions.get("exports").headers["x-ratelimit-remaining"] == str(left + fixed)


def test_a_share_of_the_gets_may_fail(admissions: Admissions) -> None:
    """About as many as asked for, always the same ones; a POST never."""
    admissions.faults.set(random_500=0.3)
    found = [admissions.get("exports").status_code for _ in range(60)]
    assert set(found) == {200, 500}
    assert 8 < found.count(500) < 28
    assert {admissions.start().status_code for _ in range(10)} == {201}
    admissions.faults.set(random_500=1.0, times=2)
    assert [admissions.get("exports").status_code for _ in range(3)] == [500, 500, 200]


def test_a_proxy_may_answer_instead(admissions: Admissions) -> None:
    """A web page without WebAdMIT's headers, for the paths and methods that are meant; nothing is done."""
    runs = len(admissions.world.runs)
    path = "/api/v1/user_identities"
    admissions.faults.set(next_status=502, next_status_path=path, next_status_method="POST")
    answer = admissions.start()
    assert (answer.status_code, answer.headers["content-type"][:9]) == (502, "text/html")
    assert "x-ratelimit-limit" not in answer.headers
    assert len(admissions.world.runs) == runs
    assert admissions.get("user_identities").status_code == 200


def test_a_connection_may_be_cut(admissions: Admissions) -> None:
    """Every k-th matching request, before or after its work."""
    runs = len(admissions.world.runs)
    admissions.faults.set(drop_request=1, drop_path="/api/v1/user_identities", drop_after_work=True)
    with pytest.raises(httpx.TransportError):
        admissions.start()
    assert len(admissions.world.runs) == runs + 1
    assert admissions.get("exports").status_code == 200


def test_a_key_may_be_switched_off(admissions: Admissions) -> None:
    """One user's, or everybody's."""
    admissions.faults.set(key_off="kmeyer")
    assert admissions.get("exports").status_code == 200
    for who in ("rjones", "*"):
        admissions.faults.set(times=1, key_off=who)
        assert [admissions.get("exports").status_code for _ in range(2)] == [401, 200]


@pytest.mark.parametrize("skew_s", [-7200.0, 7200.0])
def test_webadmit_s_clock_may_be_wrong(admissions: Admissions, skew_s: float) -> None:
    """Dates and lives of links go by it, and a link is as good as ever."""
    admissions.faults.set(clock_skew_s=skew_s)
    url = admissions.link()
    answer = admissions.fetch(url)
    assert answer.status_code == 200
    told = datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S %Z").replace(
        tzinfo=admissions.world.now().tzinfo
    )
    assert abs((told - admissions.world.now()).total_seconds() - skew_s) <= 1
    admissions.world.advance(26)
    assert admissions.fetch(url).status_code == 403
