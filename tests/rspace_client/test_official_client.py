"""RSpace's own Python client against the demo server: it must not notice that the server is made up.

The client (PyPI `rspace-client`) runs in an environment of its own: it is no dependency of this project, and what
it needs must not meddle with what this project needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.demo import DemoServer, World

pytestmark = pytest.mark.server

CLIENT = "rspace-client==2.7.4"
AT_HAND = "STRONGROOM_RSPACE_CLIENT"  # a Python that has the client; without it one is made
DRIVE = Path(__file__).with_name("drive.py")
SCOPES = ("user", "user/2", "group", "group/11", "selection")


@pytest.fixture(scope="session")
def client_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that can import the official client."""
    if at_hand := os.environ.get(AT_HAND):
        return at_hand
    home = tmp_path_factory.mktemp("rspace-client")
    python = home / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "-q", CLIENT],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, f"{' '.join(command)}: {made.stderr}"
    return str(python)


@pytest.fixture(scope="module")
def world() -> World:
    """A lab of five people in two groups; each export takes a moment."""
    world = World(seed=1, users=4, groups=2, documents_per_user=3, queue_s=0.02, run_s=0.06, system_folders=True)
    world.tag(world.lab.documents_of(1)[0].id, "publish")
    return world


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[DemoServer]:
    """Real HTTP."""
    with DemoServer(world) as server:
        yield server


@pytest.fixture(scope="module")
def driven(
    client_python: str, world: World, server: DemoServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Everything that the client did and said, in one process."""
    own = world.lab.documents_of(1)
    plan = {
        "url": server.url,
        "control": f"{server.url}/demo/control",
        "folder": str(tmp_path_factory.mktemp("downloads")),
        "pi": world.user("mrossi").api_key,
        "admin": world.user("sysadmin1").api_key,
        "user": 2,
        "group": 11,
        "document": f"SD{own[0].id}",
        "selection": [d.id for d in own[:2]],
        "folder_id": own[0].parent_id,
        "file": next(f.id for f in world.lab.files.values() if f.owner_id == 1),
    }
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ran = subprocess.run(
        [client_python, "-I", str(DRIVE)],
        input=json.dumps(plan),
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def test_it_reads_people(driven: dict[str, Any]) -> None:
    """Status, whoami, own groups, all groups, all users; the client's defaults ask for users of before 2018."""
    reads = driven["reads"]

    assert reads["status"] == {"message": "OK", "rspaceVersion": "2.25.0"}
    assert (reads["whoami"]["id"], reads["whoami"]["hasSysAdminRole"]) == (1, False)
    assert (reads["admin"]["username"], reads["admin"]["hasSysAdminRole"]) == ("sysadmin1", True)
    assert [g["name"] for g in reads["groups"]] == ["Rossi Lab"]
    assert [g["name"] for g in reads["all_groups"]] == ["Rossi Lab", "Adler Lab"]
    assert [u["id"] for u in reads["users"]["users"]] == [1, 2, 3, 4, 5]
    assert reads["users_by_default"]["users"] == []


def test_it_reads_records(driven: dict[str, Any], world: World) -> None:
    """A page, all pages, a search, one document, the tree, images and one file."""
    reads, own = driven["reads"], world.lab.documents_of(1)

    readable = {d.id for i in (1, 2, 3) for d in world.lab.documents_of(i)}
    assert (reads["documents"]["totalHits"], len(reads["documents"]["documents"])) == (len(readable), 5)
    assert sorted(reads["streamed"]) == sorted(readable)
    assert [d["id"] for d in reads["tagged"]["documents"]] == [own[0].id]
    assert (reads["document"]["id"], len(reads["document"]["fields"])) == (own[0].id, len(own[0].fields))
    names = {r["name"] for r in reads["home"]["records"]}
    assert {"Gallery", "Templates", "Examples", "Shared", "Lab Book"} <= names
    assert own[0].id in [r["id"] for r in reads["tree"]["records"]]
    images = {f.id for f in world.lab.files.values() if f.owner_id == 1 and f.kind in ("png", "jpg")}
    assert {f["id"] for f in reads["images"]["files"]} == images
    assert reads["file"]["globalId"].startswith("GL")


@pytest.mark.parametrize("format_", ["xml", "html"])
@pytest.mark.parametrize("scope", SCOPES)
def test_it_fetches_every_scope(driven: dict[str, Any], world: World, scope: str, format_: str) -> None:
    """The client's file is the very one that the server made."""
    got = driven["exports"][f"{format_}/{scope}"]

    job = world.job_of_file(got["name"])
    assert job is not None
    assert (job.plan.format, job.plan.target) == (format_, scope)
    built = world.file_of(job)
    assert built is not None
    assert (got["size"], got["crc32"]) == (built.size, str(built.crc32))


def test_it_follows_the_progress(driven: dict[str, Any]) -> None:
    """The client's own log tells of the wait and of the end."""
    log = driven["exports"]["log"]

    assert "Running - -1.00% complete" in log
    assert log.count("COMPLETED: download url is http://127.0.0.1:") == 8


def test_it_reads_the_activity_log(driven: dict[str, Any]) -> None:
    """Each export is in the log; the client's filter by user has a name that the server does not know."""
    activity = driven["activity"]

    names = {e["payload"]["exportPath"]["name"] for e in activity["exports"]["activities"]}
    exports = {e["name"] for name, e in driven["exports"].items() if name != "log"}
    assert names == exports
    assert activity["of_nobody"]["totalHits"] == activity["exports"]["totalHits"] == 10


@pytest.mark.parametrize(
    ("case", "kind", "status"),
    [
        ("wrong_key", "AuthenticationError", None),
        ("not_ours", "AuthenticationError", None),
        ("refused", "AuthenticationError", None),
        ("unknown_job", "ApiError", 404),
        ("unknown_document", "ApiError", 404),
        ("running", "ApiError", 429),
        ("swallowed", "ApiError", 500),
        ("purged", "ApiError", 500),
        ("failed", "TypeError", None),  # its own mistake in putting the message together; the reason is lost
        ("not_accepted", "TypeError", None),
    ],
)
def test_it_raises_what_it_raises_for_rspace(
    driven: dict[str, Any], case: str, kind: str, status: int | None
) -> None:
    """The client's errors, by the kind it knows them."""
    seen = driven["errors"][case]

    assert (seen["type"], seen.get("status")) == (kind, status)


def test_it_shows_rspace_s_words(driven: dict[str, Any]) -> None:
    """Messages and lists of errors arrive where the client looks for them."""
    errors = driven["errors"]

    message = "User could not be authenticated for token no_s..."
    assert errors["wrong_key"]["text"] == f"Error code: 401, error message: {message}, errors: Authorisation error"
    assert "There is already a running export job" in errors["running"]["text"]
    assert "No job execution with this Id" in errors["unknown_job"]["text"]
    assert "HTTP Status 500" in errors["purged"]["text"]  # a web page: it asks for octet-stream alone


def test_it_asks_four_times_where_a_job_answers_500(
    driven: dict[str, Any], server: DemoServer, world: World
) -> None:
    """The client takes the permanent failure for a passing one."""
    swallowed = next(job.id for job in world.jobs.values() if job.outcome == "no result")

    polls = [status for method, path, _, status in server.requests if path == f"/api/v1/jobs/{swallowed}"]
    assert polls.count(500) == 4
