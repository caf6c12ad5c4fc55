"""Retention at the end of a night, of a run by hand, and of upkeep, on a real Prefect server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from itertools import repeat
from typing import Any

import httpx
import pytest

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.snapshot import ScopeKey
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import draft, noise
from tests.e2e.home import Home, until
from tests.e2e.test_serve import ended, lives, start, state
from tests.e2e.test_upkeep import page, run

pytestmark = pytest.mark.server
USER = ScopeKey("lab", "user")


def older(home: Home, nights: int, keep_last: int) -> None:
    """So many nights of before, and how many a policy keeps. The lab's clock is set, or nights are misdated."""
    world = home.server.world
    world.advance((datetime.now(UTC) - world.now()).total_seconds())
    home.config.write_text(home.config.read_text().replace("keep_last = 3", f"keep_last = {keep_last}"))
    for ago in range(nights, 0, -1):
        at = datetime.now(UTC) - timedelta(days=ago + 1)
        writer = Writer(store(home), USER)
        writer.add("a.bin", BytesIO(noise(1000, ago)), promised=Promise())
        writer.commit(draft(USER, at), clock=repeat(at).__next__)


def store(home: Home) -> Archive:
    return Archive.open(LocalDisk(home.folder / "archive"))


def live(home: Home) -> list[int]:
    return [found.number for found in store(home).snapshots(USER)]


def prunes(api: httpx.Client) -> list[Any]:
    """Every run of the flow, the newest first."""
    query = {"flows": {"name": {"any_": ["prune"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    found: list[Any] = api.post("/flow_runs/filter", json=query).json()
    return found


def test_a_night_ends_with_retention_of_its_scopes(home: Home, api: httpx.Client) -> None:
    """As a run of its own, with the plan as a table; archive and catalog agree afterwards."""
    older(home, 3, keep_last=2)

    done = home.run("run")

    assert done.returncode == 0, done
    newest = prunes(api)[0]
    assert (newest["state"]["type"], newest["state"]["message"]) == ("COMPLETED", "2 forgotten")
    assert newest["parameters"]["scopes"] == ["lab/user"]
    assert live(home) == [3, 4]
    assert home.rows("select number from snapshot where gone = '' order by number") == [(3,), (4,)]
    assert '"verdict": "forget"' in page(api, "plan")["data"]
    assert "2 forgotten" in page(api, "prune")["data"]
    assert home.run("catalog", "check").returncode == 0


def test_a_blown_fuse_is_an_end_of_its_own_and_no_backups(home: Home, api: httpx.Client) -> None:
    """The run by hand is verified; the prune after it failed as *Fuse*, and said which number confirms it."""
    older(home, 6, keep_last=1)

    (made,) = home.json("run", "lab/user", "--tag", "audit")["runs"]

    assert (made["ended"], made["exit_code"]) == ("verified", 0)
    assert state(api, made["flow_run"])["name"] == "Verified"
    blown = prunes(api)[0]["state"]
    assert (blown["type"], blown["name"]) == ("FAILED", "Fuse")
    assert "--confirm 5" in blown["message"]
    assert len(live(home)) == 7
    (alarm,) = [one for one in home.json("status")["alarms"] if one["kind"] == "prune"]
    assert (alarm["about"], alarm["level"]) == ("lab", "warning")
    assert "5 of 7" in alarm["sentence"]
    assert home.json("snapshots")["snapshots"][-1]["tags"] == ["audit"]
    assert home.run("forget", "--apply", "--confirm", "5").returncode == 0
    assert live(home) == [6, 7]
    assert "prune" not in home.json("status")["kinds"]


def test_a_rehearsed_prune_changes_nothing(home: Home, api: httpx.Client) -> None:
    """`at` asks what would be done then; so does a rehearsed night. Nothing is forgotten, freed, or erased."""
    older(home, 3, keep_last=2)
    before = sorted(path for path in (home.folder / "archive").rglob("*") if path.is_file())
    later = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        made = start(api, "prune/prune", at=later)
        until("the prune ended", lambda: ended(api, made))
        told = state(api, made)
        assert (told["type"], told["name"]) == ("COMPLETED", "Rehearsed")
        assert "nothing was done; by then 1 would be forgotten" in told["message"]
        assert "0 bytes would be freed" in told["message"]
        assert sorted(path for path in (home.folder / "archive").rglob("*") if path.is_file()) == before

        night = start(api, "nightly/lab", at=datetime.now(UTC).isoformat())
        until("the night ended", lambda: ended(api, night))
        assert state(api, night)["type"] == "COMPLETED"
    newest = prunes(api)[0]["state"]
    assert (newest["name"], live(home)) == ("Rehearsed", [1, 2, 3, 4])
    assert "2 would be forgotten" in newest["message"]


def test_a_prune_of_scopes_that_are_none_does_nothing(home: Home, api: httpx.Client) -> None:
    """A misspelt one stops it whole, before anything is planned; the sentence says which there are."""
    older(home, 3, keep_last=2)
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        for wrong in ("lab/usr", "lab", "lab/"):
            made = start(api, "prune/prune", scopes=["lab/user", wrong])
            until("the prune ended", partial(ended, api, made))
            told = state(api, made)
            assert (told["type"], told["name"]) == ("FAILED", "Failed")
            assert f"{wrong}: no snapshot of it was ever kept; there are: lab/user" in told["message"]
    assert live(home) == [1, 2, 3]


def test_who_serves_prunes_once_a_night_and_with_upkeep(home: Home, api: httpx.Client) -> None:
    """Dispatched backups leave it to the night; a damaged manifest refuses its scope; upkeep frees."""
    older(home, 3, keep_last=2)
    with home.process("serve"):
        until("the flows are served", lambda: lives(api))
        before = len(prunes(api))
        night = start(api, "nightly/lab")
        until("the night ended", lambda: ended(api, night))
        assert state(api, night)["type"] == "COMPLETED"
        assert (len(prunes(api)) - before, live(home)) == (1, [3, 4])

        (kept_up,) = run(api, "upkeep")
        assert kept_up["type"] == "COMPLETED"
        assert "0 forgotten; 0 bytes freed" in kept_up["message"]

        (home.folder / "archive" / "packs" / "notes.txt").write_text("an editor's")
        (strayed,) = run(api, "upkeep")
        assert (strayed["type"], strayed["name"]) == ("FAILED", "Damaged")
        assert "packs/notes.txt: no file of an archive" in strayed["message"]
        assert "0 forgotten; 0 bytes freed" in strayed["message"]

        path = home.folder / "archive" / store(home).snapshots(USER)[0].name
        path.chmod(0o600)
        path.write_bytes(b"{}")
        (pruned,) = run(api, "prune")
        assert (pruned["type"], pruned["name"]) == ("FAILED", "Refused")
        assert "lab/user: snapshots/" in pruned["message"]
