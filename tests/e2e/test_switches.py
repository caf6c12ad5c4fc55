"""What a user sees on the command line when RSpace does not deliver: three ends of tests/engine/switches.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.home import Home

pytestmark = pytest.mark.server


@pytest.fixture
def older(home: Home) -> dict[str, Any]:
    """A good snapshot of before."""
    assert home.run("run", "lab/user").returncode == 0
    (found,) = home.json("snapshots")["snapshots"]
    return dict(found)


def end(home: Home, older: dict[str, Any]) -> tuple[int, str]:
    """The exit code of a run and what it says on standard error, in one line; the older snapshot is untouched."""
    done = home.run("run", "lab/user")
    assert older in home.json("snapshots")["snapshots"]
    assert home.run("scrub", "--all").returncode == 0
    return done.returncode, " ".join(done.stderr.split())


def last(home: Home) -> tuple[Any, ...]:
    """The catalog's word for the newest run."""
    return home.rows("select ended, exit_code, snapshot from run order by started_at desc limit 1")[0]


def test_an_export_without_a_document_is_quarantined(home: Home, older: dict[str, Any]) -> None:
    """Exit 14, the missing document by its number, kept apart; the next run is well."""
    home.server.world.faults.set(missing_document=True)

    code, said = end(home, older)

    assert code == 14
    assert "lab/user: documents in the file" in said
    assert "missing: SD" in said
    assert "does not count as a backup" in said
    assert last(home)[:2] == ("quarantined", 14)
    assert sorted(one["quality"] for one in home.json("snapshots")["snapshots"]) == ["quarantined", "verified"]
    home.server.world.faults.reset()
    assert home.run("run", "lab/user").returncode == 0


def test_a_zombie_is_lost_and_the_administrator_is_told_what_to_do(home: Home, older: dict[str, Any]) -> None:
    """Exit 13 at the ceiling, with the execution to close; closed, the next run is well."""
    home.configure(extra="ceiling_s = 3")
    world = home.server.world
    world.faults.set(zombie=True)

    code, said = end(home, older)

    assert code == 13
    assert "the export says STARTED for" in said
    assert f"close execution {max(world.jobs)} in its table BATCH_JOB_EXECUTION" in said
    assert last(home) == ("lost", 13, "")
    world.faults.reset()
    world.close_zombies()
    assert home.run("run", "lab/user").returncode == 0


def test_a_refusal_names_the_scope_and_not_the_key(home: Home, older: dict[str, Any]) -> None:
    """Exit 12 with RSpace's own words; nothing is started and nothing is left open."""
    home.server.world.faults.set(refused=True)
    posts = home.posts()

    code, said = end(home, older)

    assert code == 12
    assert "lab/user: RSpace refuses user: Unauthorized attempt by mrossi" in said
    assert "may export this scope" in said
    assert last(home) == ("failed", 12, "")
    assert home.posts() == posts + 1
    assert home.rows("select id from job where closed_at = ''") == []
    home.server.world.faults.reset()
    assert home.run("run", "lab/user").returncode == 0
