"""Nights by every-scopes as a user has them: `strongroom run` with an administrator's key, on a real Prefect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from flows.demo import DemoServer, World
from tests.e2e.home import KEY_NAME, Home

pytestmark = pytest.mark.server

EVERY_USER = '[[source.scope]]\nkind = "user"\nevery = true\n'
EVERY_GROUP = '[[source.scope]]\nkind = "group"\nevery = true\nformat = "html"\n'
USERS = "/api/v1/sysadmin/users"


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[DemoServer]:
    """A made-up lab, as large as the test says."""
    size = getattr(request, "param", {})
    now = datetime.now(UTC)
    with DemoServer(World(seed=1, documents_per_user=2, start=now, queue_s=0.0, run_s=0.0, **size)) as demo:
        yield demo


@pytest.fixture
def admin(home: Home) -> Home:
    """A folder whose key is the system administrator's, whose nights are of every user; he has work of his own.

    An account with nothing in it is quarantined until a person accepts that.
    """
    home.server.world.create_document("sysadmin1")
    key = home.server.world.user("sysadmin1").api_key
    home.environ = {**home.environ, KEY_NAME: key}
    home.configure(scopes=EVERY_USER)
    return home


def state_of(api: httpx.Client, flow: str) -> Any:
    """The state of the newest run of a flow."""
    query = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
    return api.post("/flow_runs/filter", json=query).json()[0]["state"]


@pytest.mark.parametrize("server", [{"users": 19, "groups": 3}], indirect=True)
def test_a_whole_lab_in_one_night(admin: Home, api: httpx.Client) -> None:
    """20 users and 3 groups by one key: one refused, one incomplete, one a zombie; everybody says exactly this."""
    world = admin.server.world
    admin.configure(scopes=EVERY_USER + EVERY_GROUP, extra="ceiling_s = 8")
    refused, incomplete = world.user("lnguyen").id, world.user("tokafor").id
    world.faults.aim(f"user/{refused}", refused=True)
    world.faults.aim(f"user/{incomplete}", missing_document=True)
    world.faults.aim("group/13", zombie=True)

    done = admin.run("run", "lab", timeout=600)

    assert done.returncode == 3
    lines = done.stdout.splitlines()
    sentence = (
        "23 scopes: 20 verified, 1 quarantined, 1 refused, 1 lost; "
        f"not well: lab/user:{incomplete}, lab/user:{refused}, lab/group:13:html"
    )
    assert lines[-1] == sentence
    state = state_of(api, "nightly")
    assert (state["name"], state["message"]) == ("Partly", sentence)
    mine = world.user("mrossi").id
    assert any(x.startswith(f"verified  lab/user:{mine} (mrossi, Marta Rossi)  snapshot ") for x in lines)
    assert any(x.startswith(f"refused  lab/user:{refused} (lnguyen, ") for x in lines)
    missing = min(document.id for document in world.lab.documents_of(incomplete))
    assert f"missing: SD{missing}" in done.stdout
    execution = max(world.jobs)
    assert f"close execution {execution}" in " ".join(done.stderr.split())
    assert "lab/every user: listed for the first time: 20" in lines
    assert "lab/every group html: listed for the first time: 3" in lines
    posts = [status for method, _, _, status in admin.server.requests if method == "POST"]
    assert posts == [401 if number == refused else 202 for number in range(1, 24)]  # one after another, none twice
    assert admin.rows("select ended, count(*) from run group by ended order by ended") == [
        ("failed", 1), ("lost", 1), ("quarantined", 1), ("verified", 20),
    ]  # fmt: skip
    status = admin.json("status")["scopes"]
    assert {row["scope"] for row in status if row["stale"]} == {
        f"user:{refused}", f"user:{incomplete}", "group:13:html",
    }  # fmt: skip
    assert {row["scope"]: row["members"] for row in status if "members" in row} == {
        "every user": 20,
        "every group html": 3,
    }


def test_a_zombie_blocks_the_rest_of_its_night_and_no_more(admin: Home) -> None:
    """Everything after it is refused, and says at once by which execution; closed, the next night is well."""
    world = admin.server.world
    admin.configure(scopes=EVERY_USER, extra="ceiling_s = 3")
    world.faults.aim("user/2", zombie=True)

    done = admin.run("run", "lab")

    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == (
        "4 scopes: 1 verified, 1 lost, 2 busy; not well: lab/user:2, lab/user:3, lab/user:4"
    )
    assert " ".join(done.stderr.split()).count(f"close execution {max(world.jobs)}") >= 1
    world.faults.reset()
    world.close_zombies()
    again = admin.run("run", "lab")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "4 scopes: 4 verified")


def test_who_comes_and_who_goes(admin: Home, api: httpx.Client) -> None:
    """Taken in and reported; vanished and reported each night until `except` says that it is right."""
    world = admin.server.world
    first = admin.json("run", "lab")
    assert first["roster"]["lab/every user"]["listed"] == 4
    assert first["summary"] == "4 scopes: 4 verified"
    gone, new = f"user:{world.user('lnguyen').id}", world.add_user("Nora Neu", group_id=11)
    world.create_document(new.username)
    world.remove_user("lnguyen")

    second = admin.run("run", "lab")

    assert second.returncode == 3
    assert f"lab/every user: taken in: user:{new.id}" in second.stdout
    assert f"vanished  lab/{gone}  no longer listed for every user; its snapshots stay" in second.stdout
    assert "except" in second.stderr
    assert f"verified  lab/user:{new.id} ({new.username}, Nora Neu)" in second.stdout
    assert state_of(api, "nightly")["message"] == f"5 scopes: 4 verified, 1 vanished; not well: lab/{gone}"
    page = api.post("/artifacts/filter", json={"artifacts": {"key": {"any_": ["night"]}}, "sort": "CREATED_DESC"})
    report = admin.folder / "state" / "report.html"
    assert page.json()[0]["description"].endswith(f"\n\nThe whole picture: `{report}`")
    assert report.exists()
    assert len(admin.json("snapshots", "--scope", gone)["snapshots"]) == 1
    assert [(one["kind"], one["about"]) for one in admin.json("status")["alarms"]] == [("vanished", f"lab/{gone}")]
    third = admin.json("run", "lab")
    assert third["roster"]["lab/every user"] == {
        "listed": 4, "first": False, "new": [], "vanished": [gone], "notes": [], "trouble": "",
    }  # fmt: skip

    admin.configure(scopes=f"{EVERY_USER}except = [{gone.removeprefix('user:')}]\n")
    last = admin.run("run", "lab")

    assert last.returncode == 0
    assert last.stdout.splitlines()[-1] == "4 scopes: 4 verified"
    assert gone not in admin.run("status").stdout
    assert admin.json("status")["alarms"] == []
    assert len(admin.json("snapshots", "--scope", gone)["snapshots"]) == 1


def test_a_list_that_cannot_be_had_costs_nobody_his_backup(admin: Home) -> None:
    """The known ones are backed up; the night says that it was not told who is there."""
    assert admin.run("run", "lab").returncode == 0
    assert admin.run("run", "lab/every user").returncode == 2
    admin.server.world.faults.set(times=1, next_status=401, next_status_path=USERS)

    done = admin.run("run", "lab", "--json")

    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["summary"] == ("4 scopes: 4 verified; 1 listing failed; not well: lab/every user")
    assert answer["roster"]["lab/every user"]["listed"] is None
    assert len(answer["runs"]) == 4
    assert "those known from earlier nights are tried: 4" in done.stderr
    (alarm,) = admin.json("status")["alarms"]
    assert (alarm["kind"], alarm["about"], alarm["level"]) == ("listing", "lab/every user", "warning")
    assert "listing failed: " in alarm["sentence"]
    assert admin.run("run", "lab").returncode == 0
    assert admin.json("status")["alarms"] == []


def test_the_doctor_and_status_before_the_first_night(admin: Home) -> None:
    """How many would be backed up; and that nothing is yet."""
    admin.server.world.add_user("Nina Never", logged_in=False)

    findings = {f["what"]: f for f in admin.json("doctor")["findings"]}

    assert "every user (4 now; never logged in, nothing to export: nnever)" in findings["source lab"]["detail"]
    status = admin.run("status")
    assert status.returncode == 5
    assert "no member is known yet" in status.stdout


def test_silence_is_a_good_end_and_is_told_as_such(home: Home, api: httpx.Client) -> None:
    """A scope that the system shows unchanged is skipped: its own word in line, sentence, state and status."""
    home.configure(extra="skip_unchanged_days = 7")
    assert home.run("run", "lab").returncode == 0

    done = home.run("run", "lab")

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "1 scope: 1 unchanged"
    assert done.stdout.startswith("unchanged  lab/user  ")
    assert state_of(api, "backup")["name"] == "Unchanged"
    assert home.posts() == 1
    (row,) = home.json("status")["scopes"]
    assert (row["stale"], row["last_run"]) == (False, "unchanged")
    assert row["unchanged_at"] > row["last_verified_at"]
    assert ", unchanged " in home.run("status").stdout
