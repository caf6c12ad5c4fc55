"""`strongroom serve`: schedules, retries through Prefect's API, cancelling, and nights that were missed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.home import USER_SCOPE, Home, until

pytestmark = pytest.mark.server


@pytest.fixture
def serving(home: Home, api: httpx.Client) -> Iterator[Home]:
    """A user's folder whose flows are served; what was scheduled is taken away again."""
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        yield home


def unschedule(api: httpx.Client) -> None:
    """Take the schedules of `backup/adhoc` away, and the runs that they made."""
    deployment = api.get("/deployments/name/backup/adhoc").json()
    for schedule in deployment["schedules"]:
        api.delete(f"/deployments/{deployment['id']}/schedules/{schedule['id']}")


def lives(api: httpx.Client) -> bool:
    """Whether a served deployment was polled in the last seconds."""
    answer = api.get("/deployments/name/backup/adhoc")
    polled: str | None = answer.json().get("last_polled") if answer.status_code == 200 else None
    return polled is not None and datetime.now(UTC) - datetime.fromisoformat(polled) < timedelta(seconds=12)


def start(api: httpx.Client, deployment: str, **parameters: Any) -> str:
    """A run of a deployment, as the UI's button makes it."""
    found = api.get(f"/deployments/name/{deployment}").json()
    body = {"parameters": {**found["parameters"], **parameters}, "state": {"type": "SCHEDULED"}}
    answers: list[httpx.Response] = []

    def accepted() -> bool:
        # Prefect's SQLite answers 503 while another writer holds it; its own clients ask again, too.
        answers.append(api.post(f"/deployments/{found['id']}/create_flow_run", json=body))
        return answers[-1].status_code != 503

    until("the server takes a run", accepted)
    return str(answers[-1].json()["id"])


def state(api: httpx.Client, flow_run: str) -> Any:
    """How a flow run stands."""
    return api.get(f"/flow_runs/{flow_run}").json()["state"]


def ended(api: httpx.Client, flow_run: str) -> bool:
    """Whether it has."""
    return state(api, flow_run)["type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


def retry(api: httpx.Client, flow_run: str) -> None:
    """What the UI's Retry button and `prefect flow-run retry` do."""
    body = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    assert api.post(f"/flow_runs/{flow_run}/set_state", json=body).json()["status"] == "ACCEPT"


def test_a_scheduled_run_that_failed_goes_on_when_retried(serving: Home, api: httpx.Client) -> None:
    """The schedule starts a run, its download breaks, the retry fetches the same export: one POST in all."""
    serving.server.world.faults.set(truncate_after=1000)
    deployment = api.get("/deployments/name/backup/adhoc").json()
    parameters = {**deployment["parameters"], "source": "lab", "scope": "user"}
    schedule = {"interval": 30, "anchor_date": datetime.now(UTC).isoformat()}
    body = [{"active": True, "schedule": schedule, "parameters": parameters}]
    api.post(f"/deployments/{deployment['id']}/schedules", json=body).raise_for_status()
    query = {"flow_runs": {"deployment_id": {"any_": [deployment["id"]]}, "tags": {"all_": ["auto-scheduled"]}}}

    def failed() -> list[Any]:
        runs = api.post("/flow_runs/filter", json=query).json()
        return [run for run in runs if run["state"]["type"] == "FAILED" and run["parameters"]["scope"] == "user"]

    until("the scheduled run failed", failed, timeout=150)
    unschedule(api)
    (run,) = failed()
    assert serving.rows("select trigger, ended from run") == [("schedule", "failed")]
    serving.server.world.faults.reset()

    retry(api, run["id"])

    until("the retried run ended", lambda: state(api, run["id"])["type"] == "COMPLETED")
    assert state(api, run["id"])["name"] == "Verified"
    assert serving.posts() == 1
    assert serving.rows("select distinct flow_run from run") == [(run["id"],)]
    assert [ended for (ended,) in serving.rows("select ended from run order by started_at")] == [
        "failed",
        "verified",
    ]


def test_nightly_dispatches_and_its_retry_does_only_what_is_missing(serving: Home, api: httpx.Client) -> None:
    """One run per scope on who serves; the scope that failed is the only one that the retry asks for."""
    serving.configure(
        scopes='[[source.scope]]\nkind = "user"\n[[source.scope]]\nkind = "selection"\nids = [131]\n'
    )
    serving.server.world.faults.set(unreadable_id=131)

    night = start(api, "nightly/lab")

    until("the night ended", lambda: ended(api, night))
    assert state(api, night)["name"] == "Partly"
    assert "selection:131" in state(api, night)["message"]
    posts = serving.posts()
    serving.server.world.faults.reset()
    retry(api, night)
    until("the retried night ended", lambda: state(api, night)["type"] == "COMPLETED")
    assert serving.posts() - posts == 1
    assert serving.rows("select scope, count(*) from snapshot group by scope order by scope") == [
        ("selection:131", 1),
        ("user", 1),
    ]


def test_nights_that_were_missed_are_made_up_for_once(home: Home, api: httpx.Client) -> None:
    """Three scheduled nights start at once on two places: nothing blocks, and one export is enough for all.

    A scope with a schedule of its own is not theirs.
    """
    own = 'schedule = { cron = "0 5 * * 0" }'
    home.configure(scopes=f'{USER_SCOPE}[[source.scope]]\nkind = "selection"\nids = [131]\n{own}\n')
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
    found = api.get("/deployments/name/nightly/lab").json()
    late = []
    for days in (3, 2, 1):
        due = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        body = {
            "parameters": found["parameters"],
            "tags": ["auto-scheduled"],
            "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": due}},
        }
        made = api.post(f"/deployments/{found['id']}/create_flow_run", json=body)
        late.append(made.raise_for_status().json()["id"])

    with home.process("serve", "--limit", "1"):
        until("all nights ended", lambda: all(ended(api, run) for run in late), timeout=240)

    assert {state(api, run)["type"] for run in late} == {"COMPLETED"}
    assert home.posts() == 1
    assert len(home.rows("select id from snapshot")) == 1
    assert {ended for (ended,) in home.rows("select ended from run")} <= {"verified", "skipped"}


def test_run_uses_who_serves_and_says_so(serving: Home) -> None:
    """`strongroom run` hands the work over where somebody lives to take it."""
    done = serving.run("run", "lab/user")

    assert done.returncode == 0
    assert "a worker lives" in done.stderr
    assert serving.rows("select trigger, ended from run") == [("deployment", "verified")]


def test_a_cancelled_run_is_recorded_and_the_next_goes_on(serving: Home, api: httpx.Client) -> None:
    """Cancel while it waits: the run is recorded as interrupted, and the next one takes the same export."""
    serving.server.world.run_s = 3600
    run = start(api, "backup/adhoc", source="lab", scope="user")
    until("it waits", lambda: phase(serving) == "waiting for the export")

    body = {"state": {"type": "CANCELLING"}, "force": True}
    api.post(f"/flow_runs/{run}/set_state", json=body).raise_for_status()

    until("it was cancelled", lambda: state(api, run)["type"] == "CANCELLED")
    assert serving.rows("select ended, exit_code from run") == [("interrupted", 130)]
    serving.server.world.advance(3600)
    assert serving.run("run", "lab/user").returncode == 0
    assert serving.posts() == 1


def test_serve_ends_in_order_on_sigterm(home: Home, api: httpx.Client) -> None:
    """The supervisor's signal cancels what runs, records it, and leaves nothing Running."""
    home.server.world.run_s = 3600
    with home.process("serve") as child:
        until("the flows are served", lambda: lives(api))
        run = start(api, "backup/adhoc", source="lab", scope="user")
        until("it waits", lambda: phase(home) == "waiting for the export")

        os.kill(child.pid, signal.SIGTERM)

        assert child.wait(60) == 0
    assert state(api, run)["type"] == "CANCELLED"
    assert home.rows("select ended from run") == [("interrupted",)]


def phase(home: Home) -> str:
    """What the newest run does."""
    rows = home.rows("select phase from run order by started_at desc limit 1")
    return str(rows[0][0]) if rows else ""
