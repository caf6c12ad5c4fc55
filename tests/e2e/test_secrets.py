"""A secret of the configuration is found nowhere: every file, row, page, log and output of good and bad runs."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.home import KEY_NAME, Home

pytestmark = pytest.mark.server

FAULTS = (
    {"wrong_crc": True},
    {"job_fails": "java.io.IOException: disk"},
    {"truncate_after": 100},
    {"user_off": "*"},
)


def holders(folder: Path, secret: bytes) -> list[str]:
    """Files below `folder` that hold the secret, in their names or their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if secret in str(path).encode() or secret in path.read_bytes()]


def test_the_key_is_nowhere(home: Home, api: httpx.Client, prefect_state: Path, tmp_path: Path) -> None:
    """After runs that went well and that failed in every way, with all logging on: no trace of the key."""
    scopes = '[[source.scope]]\nkind = "user"\n[[source.scope]]\nkind = "selection"\nids = [131]\n'
    home.configure(scopes=scopes, tries=1)
    home.run("run", "lab")
    for faults in FAULTS:
        home.server.world.faults.set(**faults)
        home.run("run", "lab/user")
        home.server.world.faults.reset()
    home.run("doctor")
    home.run("show", "--json")
    home.run("status", "--json")
    wrong = Home(home.folder, home.server, home.key, {**home.environ, KEY_NAME: home.key[:-4] + "wxyz"})
    wrong.run("run", "lab/user")

    ends = {ended for (ended,) in home.rows("select ended from run")}
    assert ends >= {"verified", "failed"}
    refused = f"token {home.key[:4]}"  # RSpace's own words repeat how a refused key begins
    for secret in (home.key, home.key[:-4] + "wxyz", refused):
        assert [text for text in home.outputs + wrong.outputs if secret in text] == []
        assert holders(tmp_path, secret.encode()) == []
        assert holders(prefect_state, secret.encode()) == []
        for kind in ("logs", "artifacts", "flow_runs", "task_runs"):
            assert secret not in api.post(f"/{kind}/filter", json={}).text


def test_a_file_name_that_serves_as_a_key_is_not_shown(home: Home, api: httpx.Client) -> None:
    """RSpace's file names open the file to any key of the server: pages and logs show them shortened."""
    (run,) = home.json("run", "lab/user")["runs"]
    name = home.json("show")["snapshot"]["files"][0]["name"]

    for kind in ("logs", "artifacts", "flow_runs", "task_runs"):
        text = api.post(f"/{kind}/filter", json={}).text
        assert name not in text
        assert name.removesuffix(".zip")[-14:] not in text
    assert api.get(f"/flow_runs/{run['flow_run']}").status_code == 200
