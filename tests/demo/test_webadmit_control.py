"""Steering WebAdMIT over its control address, its callbacks, and the two systems in one process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from flows.demo import Admissions as World
from flows.demo import DemoServer, WebAdmitServer
from flows.demo import World as Laboratory
from flows.demo.webadmit_runs import BATCH
from tests.demo.admissions import Admissions

# -- control


def test_control_moves_time_and_nights(admissions: Admissions) -> None:
    """advance_s and nights move the clock; neither shows among the requests."""
    before = len(admissions.world.applicants(admissions.identity, admissions.world.now()))
    assert admissions.control(advance_s=60).json()["now"] == "2026-11-16T02:31:00.000Z"
    assert admissions.control(nights=7).json()["now"] == "2026-11-23T02:31:00.000Z"
    assert len(admissions.world.applicants(admissions.identity, admissions.world.now())) > before
    assert admissions.server.requests == []


def test_control_sets_aims_and_resets_faults(admissions: Admissions) -> None:
    """Switches with or without a count, aimed or not, are shown, and null clears them."""
    target = f"export/{admissions.export.id}"
    shown = admissions.control(
        faults={"ends": "failed", "cut_after": {"value": 9, "times": 2}}, faults_for={target: {"zips": 3}}
    ).json()
    assert shown["faults"] == {"ends": "failed", "cut_after": {"value": 9, "times": 2}}
    assert shown["faults_for"] == {target: {"zips": 3}}
    assert admissions.control(faults_for={target: None}).json()["faults_for"] == {}
    assert admissions.control(faults=None).json()["faults"] == {}
    refused = admissions.control(faults={"zipps": 3})
    assert refused.status_code == 400
    assert "unknown fault zipps, known are ends" in refused.json()["error"]
    assert admissions.control(nonsense=1).status_code == 400
    assert admissions.bare.get(f"{admissions.server.url}/demo/nothing").status_code == 404


def test_control_changes_a_run_s_life(admissions: Admissions) -> None:
    """init_s, queue_s and run_s hold for runs from now on."""
    admissions.control(init_s=5, queue_s=5, run_s=500)
    assert admissions.finished()["status"] == "Initializing"
    admissions.world.advance(508)
    assert admissions.recent()[0]["status"] == "In Progress"


def test_control_rotates_a_key(admissions: Admissions) -> None:
    """The old one is 401 from now on; the new one is announced."""
    assert admissions.control(rotate_key="rjones").status_code == 200
    assert admissions.get("exports").status_code == 401
    told = admissions.bare.get(f"{admissions.server.url}/demo/announce").json()
    assert admissions.get("exports", **{"x-api-key": told["api_key"]}).status_code == 200
    assert (told["url"], told["store_url"]) == (admissions.server.url, admissions.server.store_url)
    assert admissions.control(rotate_key="nobody").status_code == 400


@pytest.mark.parametrize(
    ("wish", "exports", "old_stay"),
    [(True, 6, True), ({"transfer": False}, 0, True), ({"retire": True}, 6, False)],
    ids=["templates move along", "they do not", "the old cycles go"],
)
def test_control_opens_a_new_cycle(admissions: Admissions, wish: object, exports: int, old_stay: bool) -> None:
    """New identities with new ids, the same organisations; exports under new ids, or none; few applicants."""
    world, old = admissions.world, admissions.identity
    run = admissions.finished()
    assert admissions.control(rollover=wish).status_code == 200

    listed = admissions.get("user_identities").json()["user_identities"]
    new = [i for i in listed if i["cycle"] == "2027 - 2028"]
    assert {i["organization"] for i in new} == {"Demo School of Nursing", "Demo School of Pharmacy"}
    assert world.identity().id in {i["id"] for i in new}
    assert (old in {i["id"] for i in listed}) is old_stay
    told = admissions.get(f"user_identities/{world.identity().id}/exports").json()["exports"]
    assert len(told) == exports
    assert admissions.export.id not in {e["id"] for e in told}
    assert len(world.applicants(world.identity().id, world.now())) < len(world.applicants(old, world.now()))
    assert (admissions.get(run["href"]).status_code == 200) is old_stay


def test_control_changes_templates(admissions: Admissions) -> None:
    """A second one of the same name, or none at all."""
    same = {"identity": admissions.identity, "name": "Nightly applicants", "list_type": "all"}
    assert admissions.control(add_export=same | {"format": "Fixed Width Report"}).status_code == 200
    names = [e.name for e in admissions.world.office.exports_of(admissions.identity)]
    assert names.count("Nightly applicants") == 2
    assert admissions.control(remove_export=admissions.export.id).status_code == 200
    assert admissions.control(remove_export=admissions.export.id).status_code == 400
    assert admissions.control(add_export=same | {"format": "Papyrus"}).status_code == 400
    assert admissions.control(add_export={}).status_code == 400


def test_control_starts_runs_elsewhere(admissions: Admissions) -> None:
    """Of an export or a PDF template, now or some time ago, to whatever end; a switch is not used up by it."""
    number = admissions.export.id
    admissions.faults.set(ends="failed", times=1)
    assert admissions.control(start_elsewhere=number).status_code == 200
    older = {"id": number, "ago_s": 3600, "by": "colleague", "ends": "empty_list"}
    assert admissions.control(start_elsewhere=older).status_code == 200
    assert [one["status"] for one in admissions.recent()[:2]] == ["Empty List", "Initializing"]
    assert admissions.control(start_elsewhere=admissions.world.template().id).status_code == 200
    assert admissions.control(start_elsewhere=1).status_code == 400
    kinds = [(run["kind"], run["started_by"]) for run in admissions.report()["runs"]]
    assert kinds.count((BATCH, "schedule")) == kinds.count(("export", "colleague")) == 1
    assert admissions.report()["most_runs_at_once"] == 0


def test_control_serves_a_given_file_once(admissions: Admissions, tmp_path: Path) -> None:
    """The next run that a client starts has these very bytes, the one after has not; a missing file is refused."""
    given = tmp_path / "real.csv"
    given.write_bytes(b"a,b\n1,2\n")
    assert admissions.control(serve_file=str(given)).status_code == 200
    admissions.world.start_elsewhere(admissions.world.export("Everything").id)
    assert admissions.file() == given.read_bytes()
    assert admissions.file() != given.read_bytes()
    assert admissions.control(serve_file=str(tmp_path / "none")).status_code == 400


def test_control_closes_what_hangs(admissions: Admissions) -> None:
    """As the vendor's support would."""
    admissions.faults.set(never_ends=True)
    run = admissions.started()
    assert admissions.control(close_stuck=True).status_code == 200
    assert admissions.check(run)["status"] == "Failed"


def test_control_shows_the_requests(admissions: Admissions) -> None:
    """To both ports, with the key that was sent."""
    url = admissions.link()
    admissions.fetch(url)
    log = admissions.bare.get(f"{admissions.server.url}/demo/requests").json()
    key = admissions.world.keys["rjones"]
    assert [(seen["kind"], seen["status"], seen["key"]) for seen in log["requests"]] == [
        ("start", 201, key), ("status", 200, key),
    ]  # fmt: skip
    assert [(seen["kind"], seen["method"], seen["key"]) for seen in log["store"]] == [("object", "GET", "")]


# -- callbacks


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An address that takes callbacks, and what came: content type and body."""
    got: list[tuple[str, str]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got.append((self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
        thread.join()


Inbox = tuple[str, list[tuple[str, str]]]


def fields(body: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body).items()}


def test_a_callback_is_an_unsigned_form(admissions: Admissions, inbox: Inbox) -> None:
    """Once, when the run has become Available; never the second time, and nothing for a run that failed."""
    url, got = inbox
    run = admissions.start(json={"callback": url}).json()["export_files"]
    admissions.world.advance(0.1)
    assert got == []
    admissions.world.advance(1)
    admissions.world.advance(1)
    assert [kind for kind, _ in got] == ["application/x-www-form-urlencoded"]
    assert fields(got[0][1]) == {
        "export_file[id]": str(run["id"]),
        "export_file[export_id]": str(admissions.export.id),
        "export_file[status]": "Available",
    }
    admissions.faults.set(ends="failed", times=1)
    admissions.start(params={"callback": url})
    admissions.world.advance(1)
    assert len(got) == 1


def test_a_callback_may_come_early_doubled_and_forged(admissions: Admissions, inbox: Inbox) -> None:
    """While the run is queued, three times at its end, and for a run that never was."""
    url, got = inbox
    admissions.world.queue_s = 100
    admissions.faults.set(callback_early=True, callback_doubled=True, callback_forged=True)
    run = admissions.start(json={"callback": url}).json()["export_files"]
    admissions.world.advance(50)
    assert len(got) == 1
    assert admissions.check(run)["status"] == "Queued"
    admissions.world.advance(51)
    told = [fields(body)["export_file[id]"] for _, body in got]
    assert told == [str(run["id"])] * 4 + [str(run["id"] + 1_000_000)]
    assert [sent["answer"] for sent in admissions.report()["callbacks"]] == [200] * 5


def test_a_callback_may_come_for_a_failure(admissions: Admissions, inbox: Inbox) -> None:
    """With its status."""
    url, got = inbox
    admissions.faults.set(callback_on_failure=True, ends="empty_list")
    admissions.start(json={"callback": url})
    admissions.world.advance(1)
    assert fields(got[0][1])["export_file[status]"] == "Empty List"


def test_a_batch_s_callback_is_what_a_get_gets(admissions: Admissions) -> None:
    """JSON, and only over https: here nobody takes it, which changes nothing."""
    run = admissions.batch(callback="https://127.0.0.1:1/hook").json()["pdf_manager_batch"]
    admissions.world.advance(1)
    (sent,) = admissions.world.callbacks.sent
    assert json.loads(sent.body) == admissions.get(run["href"]).json()
    assert sent.answer == 0


# -- beside RSpace


def test_two_systems_share_a_clock() -> None:
    """A laboratory and admissions offices in one process: who moves the one moves the other."""
    lab = Laboratory(seed=1, ticks=lambda: 0.0)
    with DemoServer(lab), WebAdmitServer(World(clock=lab.clock)) as server:
        lab.pass_nights(2)
        assert server.world.now() == lab.now()
        assert server.world.start_elsewhere(server.world.export().id).began_at == lab.now()


def test_the_command_serves_both() -> None:
    """`python -m flows.demo` announces WebAdMIT beside RSpace; with --poll-free a run is finished at once."""
    command = [sys.executable, "-m", "flows.demo", "--poll-free"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())["webadmit"]
        with httpx.Client(base_url=told["url"], headers={"x-api-key": told["api_key"]}) as client:
            identity = client.get("/api/v1/user_identities").json()["user_identities"][0]["id"]
            export = client.get(f"/api/v1/user_identities/{identity}/exports").json()["exports"][0]["id"]
            path = f"/api/v1/user_identities/{identity}/exports/{export}/export_files"
            run = client.post(path).json()["export_files"]
            found = client.get(run["href"]).json()["export_files"]
            size = len(httpx.get(found["download_url"]).content)
            assert client.post(told["control"], json={"advance_s": 1}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0

    assert (run["status"], found["status"]) == ("Available", "Available")
    assert size > 1000
    assert set(told) == {"url", "store_url", "api_key", "keys", "control"}
