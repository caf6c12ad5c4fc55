"""`hold`, `release`, `accept`, `reject`, `undelete`: what persons decide, and what `status` says of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.cli import decide
from storage.decisions import Decision, decision_name, held
from storage.errors import CatalogUnusable
from storage.snapshot import Level
from storage.verify import Check, Outcome, Quality
from tests.doubles import overwrite
from tests.test_cli_retention import EMPTY, TODAY, USER, ident, keep, live, six_nights, store
from tests.test_cli_upkeep import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Six nights of one scope and three of another; the policy keeps three of each."""
    return six_nights(tmp_path, monkeypatch, capsys)


def test_a_hold_outlives_policy_and_catalog_until_it_is_released(shell: Shell) -> None:
    """Nothing forgets it; status, snapshots and show say so; losing the catalog releases nothing."""
    first = ident(shell, 1)
    shell.run("status")
    assert shell.run("hold", first[:8], "--reason", "the audit").returncode == 0
    assert shell.run("catalog", "check").returncode == 0
    (shell.folder / "state" / "catalog.db").unlink()

    assert shell.run("forget", "--apply").returncode == 0
    assert live(shell) == [1, 4, 5, 6]
    assert [row["reason"] for row in shell.json("status")["held"]] == ["the audit"]
    assert f"held: lab/user number 1, {first[:8]}: the audit" in shell.run("status").stdout
    assert "verified, held" in shell.run("snapshots").stdout
    assert re.search(r"held +the audit", shell.run("show", first).stdout)
    shown = shell.json("show", first)["snapshot"]
    assert (shown["held"], [one["kind"] for one in shown["decisions"]]) == ("the audit", ["hold"])

    assert shell.run("release", first[:8]).returncode == 0
    shell.run("forget", "--apply")
    assert live(shell) == [4, 5, 6]


def test_a_forgotten_one_is_released_so_that_its_scope_can_be_erased(shell: Shell) -> None:
    """A decision about it that cannot be read holds it, freed or not: a release ends that; a second is refused."""
    first = ident(shell, 1)
    made = decision_name(USER, 1, 1)
    shell.run("accept", first, "--reason", "it is fine")
    shell.run("forget", "--apply")
    overwrite(store(shell).backend, made, b"rot")
    erasing = ("erase", "lab/user", "--reason", "the person asked", "--confirm", "lab/user")

    stopped = shell.run(*erasing)
    judged = shell.run("reject", first, "--reason", "it is not")
    done = shell.run("release", first[:8], "--reason", "nobody holds it")

    assert (stopped.returncode, judged.returncode, done.returncode) == (2, 2, 0), done
    assert "`strongroom release" in stopped.stderr
    assert "number 1 is forgotten" in done.stdout
    again = shell.run("release", first[:8])
    assert (again.returncode, "is not held" in again.stderr) == (2, True)
    assert shell.run(*erasing).returncode == 0
    assert live(shell) == []
    assert {tomb.why for tomb in store(shell).tombstones(USER)} == {"erased"}


def test_a_release_of_a_forgotten_one_is_told_to_machines(shell: Shell) -> None:
    """It has no standing."""
    first = store(shell).snapshots(USER)[0]
    shell.run("forget", "--apply")
    store(shell).decide(Decision("hold", USER, 1, first.id, TODAY, "ada", "a trial"))

    told = shell.json("release", first.id)

    assert (told["standing"], told["decision"]["kind"], told["decision"]["changed"]) == (None, "release", [])
    assert held(store(shell).decisions(), datetime.now(UTC)) == {}


def test_a_hold_ends_by_itself(shell: Shell) -> None:
    """A day counts whole, in UTC."""
    end = decide.parse_until("--until", "2027-03-31")
    assert end == datetime(2027, 4, 1, tzinfo=UTC)
    assert decide.parse_until("--until", "2027-03-31T12:00") == datetime(2027, 3, 31, 12, tzinfo=UTC)

    told = shell.json("hold", ident(shell, 1), "--reason", "x", "--until", "2099-01-01")
    assert told["decision"]["until"].startswith("2099-01-02T00:00")


def test_what_waits_for_a_person_is_told_with_the_command_that_settles_it(shell: Shell) -> None:
    """An empty night stays quarantined until somebody accepts it; then it counts."""
    empty = keep(shell, USER, 0, quality=Quality.QUARANTINED, checks=(EMPTY,), level=Level(0))
    (waiting,) = shell.json("status")["waiting"]
    assert (waiting["id"], waiting["settle"]) == (empty.id, f"strongroom accept {empty.id[:8]} --reason …")
    assert "waits for a person: lab/user number 7" in shell.run("status").stdout
    assert "does not count: " in shell.run("show", empty.id).stdout
    before = shell.json("forget", "lab/user")

    done = shell.run("accept", empty.id[:8], "--reason", "we moved out")

    assert done.returncode == 0, done
    assert "number 7 counts (accepted by " in done.stdout
    assert shell.json("status")["waiting"] == []
    assert "quarantined, accepted" in shell.run("snapshots").stdout
    after = shell.json("forget", "lab/user")
    assert (before["forgetting"], after["forgetting"]) == (3, 4)


def test_who_rejects_one_takes_it_out_of_the_count(shell: Shell) -> None:
    """It serves no rule any more: an older one stays instead."""
    done = shell.json("reject", ident(shell, 5), "--reason", "the wrong lab")

    assert [one["number"] for one in done["decision"]["changed"]] == [5]
    kept = {row["number"] for row in shell.json("forget", "lab/user")["snapshots"] if row["verdict"] == "keep"}
    assert {3, 4, 6} <= kept
    again = shell.run("reject", ident(shell, 5), "--reason", "sure")
    assert "it did not count before, too: for now nothing else is changed" in again.stderr


def test_what_failed_its_checks_is_not_accepted(shell: Shell) -> None:
    """Accepting mends nothing; a person who needs it holds it."""
    torn = Check("zip structure", Outcome.FAILED, reason="cut short")
    bad = keep(shell, USER, 0, quality=Quality.QUARANTINED, checks=(torn,))

    done = shell.run("accept", bad.id[:8], "--reason", "please")

    assert done.returncode == 2
    assert "checks failed: zip structure" in done.stderr
    assert f"strongroom hold {bad.id[:8]}" in done.stderr
    assert store(shell).decisions() == []


def test_what_was_forgotten_comes_back_whole_and_held(shell: Shell) -> None:
    """By the beginning of its id; the next forgetting leaves it alone; the catalog knows it again."""
    first = ident(shell, 1)
    shell.run("forget", "--apply")
    lost = shell.run("show", first[:8])
    assert lost.returncode == 2
    told = shell.run("forget", "--explain", first[:8])
    assert "`strongroom undelete` brings it back" in told.stderr

    done = shell.run("undelete", first[:8], "--reason", "the audit")

    assert done.returncode == 0, done
    assert live(shell) == [1, 4, 5, 6]
    assert shell.run("restore", first, "--to", "back").returncode == 0
    assert shell.run("catalog", "check").returncode == 0
    shell.run("forget", "--apply")
    assert live(shell) == [1, 4, 5, 6]


def test_a_decision_stands_where_the_catalog_cannot_take_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive is the truth: a catalog that is no database is told, and the hold is there."""
    (shell.folder / "state").mkdir(exist_ok=True)
    (shell.folder / "state" / "catalog.db").write_bytes(b"no database at all, but long enough to be read" * 9)

    done = shell.run("hold", ident(shell, 1), "--reason", "the audit")

    assert done.returncode == 0, done
    assert "catalog.db" in done.stderr
    assert [one.reason for one in store(shell).decisions()] == ["the audit"]
    assert CatalogUnusable.__name__ not in done.stderr
