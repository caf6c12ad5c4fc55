"""`strongroom run` on a real Prefect server: what a user sees in the terminal, in the catalog and in the UI."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.e2e.home import Home

pytestmark = pytest.mark.server


def artifacts(api: httpx.Client, flow_run: str) -> dict[str, Any]:
    """The artifacts of a flow run and of its tasks, by type."""
    found = api.post("/artifacts/filter", json={"artifacts": {"flow_run_id": {"any_": [flow_run]}}}).json()
    return {item["type"]: item for item in found}


def test_a_run_is_kept_proven_and_named_by_what_it_is(home: Home, api: httpx.Client) -> None:
    """One command makes a verified snapshot and a flow run that says source, scope and date."""
    answer = home.json("run", "lab/user")

    (run,) = answer["runs"]
    assert (run["ended"], run["exit_code"]) == ("verified", 0)
    flow_run = api.get(f"/flow_runs/{run['flow_run']}").json()
    assert re.fullmatch(r"lab/user \d{4}-\d\d-\d\d", flow_run["name"])
    assert flow_run["state"]["name"] == "Verified"
    assert run["snapshot"][:8] in flow_run["state"]["message"]
    assert home.posts() == 1
    (snapshot,) = home.json("snapshots")["snapshots"]
    assert snapshot["id"] == run["snapshot"]


def test_the_ui_shows_files_proof_and_progress(home: Home, api: httpx.Client) -> None:
    """A table of the files and a page with each check belong to every run; a progress bar to one that lasts."""
    home.server.world.faults.set(queue_delay_s=5)
    (run,) = home.json("run", "lab/user")["runs"]

    made = artifacts(api, run["flow_run"])
    assert {"table", "markdown", "progress"} <= made.keys()
    page = made["markdown"]["data"]
    assert run["snapshot"] in page
    assert "crc32 | passed" in page
    assert made["progress"]["data"] == 100
    assert '"sha256"' in made["table"]["data"]


def test_a_failure_can_be_read_without_opening_logs(home: Home, api: httpx.Client) -> None:
    """State message and page name what was promised, what came, and what to try."""
    home.server.world.faults.set(wrong_crc=True)

    done = home.run("run", "lab/user")

    assert done.returncode == 4
    assert re.search(r"crc32 [0-9a-f]{8}, promised [0-9a-f]{8}", done.stderr)
    flow_run = home.rows("select flow_run from run")[0][0]
    state = api.get(f"/flow_runs/{flow_run}").json()["state"]
    assert state["type"] == "FAILED"
    assert "promised" in state["message"]
    assert "hint:" in state["message"]
    assert "promised" in artifacts(api, flow_run)["markdown"]["data"]
    assert home.json("snapshots")["snapshots"] == []


def test_a_quarantined_snapshot_is_kept_and_not_called_a_success(home: Home, api: httpx.Client) -> None:
    """An export that holds something else than was asked for ends with exit code 14, and is kept."""
    assert home.run("run", "lab/user").returncode == 0
    found = home.json("show", "latest")["snapshot"]
    assert home.run("restore", found["id"], "--to", "out").returncode == 0
    restored = home.folder / "out" / found["files"][0]["name"]
    home.server.world.serve_file = restored

    done = home.run("run", "lab/selection:131", "--json")

    assert done.returncode == 14
    kept = home.json("snapshots", "--scope", "selection:131")["snapshots"]
    assert [s["quality"] for s in kept] == ["quarantined"]
    failed = [check for check in kept[0]["checks"] if check["outcome"] == "failed"]
    assert [(c["name"], c["got"], c["promised"]) for c in failed] == [("scope", "USER", "SELECTION")]


def test_every_scope_of_a_source_runs_and_the_worst_is_told(home: Home) -> None:
    """With one scope refused, the others are kept and the exit code says partly."""
    scopes = '[[source.scope]]\nkind = "user"\n[[source.scope]]\nkind = "user"\nid = 9999\n'
    home.configure(scopes=scopes)

    done = home.run("run", "lab", "--json")

    assert done.returncode == 3
    assert [s["scope"] for s in home.json("snapshots")["snapshots"]] == ["user"]
    assert ("user:9999", "failed") in home.rows("select scope, ended from run")


def test_a_wrong_configuration_starts_nothing(home: Home) -> None:
    """An unknown source is told with exit code 2, before any server is asked for anything."""
    done = home.run("run", "nolab")

    assert done.returncode == 2
    assert "no source 'nolab'; there are: lab" in done.stderr
    assert home.posts() == 0


def test_no_error_is_logged_in_a_good_run(home: Home, api: httpx.Client) -> None:
    """Prefect has nothing to complain about: no argument that it cannot hash, no result that it cannot store."""
    (run,) = home.json("run", "lab/user")["runs"]

    query = {"logs": {"flow_run_id": {"any_": [run["flow_run"]]}, "level": {"ge_": 30}}}
    assert api.post("/logs/filter", json=query).json() == []
