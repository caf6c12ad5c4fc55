"""`prune` and `erase` as a user meets them: space that is freed, content that goes for good."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from storage import tombstone
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.index import pack_name
from storage.planning import plan_scope
from storage.policy import Policy
from storage.prune import forget
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import draft, new_archive, noise, overwrite
from tests.test_cli_retention import SOURCE
from tests.test_cli_upkeep import Shell

USER, GROUP = ScopeKey("lab", "user"), ScopeKey("lab", "group:7")
NOW = datetime.now(UTC)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Three nights of one scope and one of another, each with content of its own; the policy keeps two."""
    (tmp_path / "strongroom.toml").write_text(f"[policy]\nkeep_last = 2\n{SOURCE}")
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path, capsys)
    for ago in (33, 32, 21):
        keep(made, USER, ago)
    keep(made, GROUP, 20)
    return made


def keep(shell: Shell, key: ScopeKey, ago: int) -> Snapshot:
    at = NOW - timedelta(days=ago)
    writer = Writer(store(shell), key)
    writer.add(f"secret-{ago}.bin", BytesIO(noise(100_000, ago)), promised=Promise())
    return writer.commit(draft(key, at), clock=lambda: at)


def store(shell: Shell) -> Archive:
    return Archive.open(LocalDisk(shell.folder / "archive"))


def live(shell: Shell, key: ScopeKey = USER) -> list[int]:
    return [found.number for found in store(shell).snapshots(key)]


def test_prune_shows_what_goes_and_what_is_won(shell: Shell) -> None:
    """Nothing is changed without `--apply`; with it one is forgotten, and its bytes wait for seven days."""
    plan = shell.json("prune")
    assert [row["number"] for row in plan["going"]] == [1]
    assert (plan["applied"], plan["freed"], live(shell)) == (False, None, [1, 2, 3])
    assert "to be freed now: 0 bytes" in shell.run("prune").stdout

    done = shell.json("prune", "--apply")

    assert (len(done["forgotten"]), live(shell)) == (1, [2, 3])
    assert (done["freed"]["bytes"], done["freed"]["unfinished"]) == (0, False)
    assert done["freed"]["later_bytes"] > 100_000
    assert shell.run("catalog", "check").returncode == 0


def test_prune_frees_what_was_forgotten_long_ago(shell: Shell) -> None:
    """After the grace time; an archive that is named alone has no policy, so nothing more is forgotten."""
    long_ago = NOW - timedelta(days=8)
    forget(store(shell), plan_scope(store(shell), USER, Policy(keep_last=2), now=long_ago), now=long_ago)

    done = shell.run("prune", "--apply", "--archive", "archive")

    assert done.returncode == 0, done
    assert "0 forgotten" in done.stdout
    assert "freed: 10" in done.stdout
    assert live(shell) == [2, 3]
    assert shell.run("scrub", "--all").returncode == 0


@pytest.mark.parametrize("duration", ["soon", "5 minutes"])
def test_a_wrong_duration_is_refused(shell: Shell, duration: str) -> None:
    """Exit code 2, before anything is planned."""
    done = shell.run("prune", "--apply", "--max-duration", duration)

    assert (done.returncode, live(shell)) == (2, [1, 2, 3])
    assert "--max-duration" in done.stderr


def test_what_must_go_by_the_policy_is_erased(shell: Shell) -> None:
    """`keep_at_most` overrides rules and floors: its content goes at once, but for the last two copies."""
    (shell.folder / "strongroom.toml").write_text(f'[policy]\nkeep_at_most = "32d"\n{SOURCE}')
    plan = shell.json("forget")
    assert {row["number"]: row["verdict"] for row in plan["snapshots"] if row["scope"] == "user"} == {
        1: "erase", 2: "keep", 3: "keep",
    }  # fmt: skip
    waits = next(row for row in plan["snapshots"] if (row["scope"], row["number"]) == ("user", 2))
    assert (waits["reasons"][-1][:25], waits["goes_on"]) == ("of the last copies: waits", None)
    assert "goes on  waits" in shell.run("forget", "--explain", waits["id"]).stdout

    done = shell.run("forget", "--apply")

    assert (done.returncode, live(shell)) == (3, [2, 3])
    assert "1 of 3 snapshots, the last copies that there are" in done.stderr and "strongroom erase" in done.stderr
    assert "1 erased" in done.stdout
    assert {row["why"] for row in shell.json("snapshots", "--gone")["gone"]} == {"erased"}
    assert shell.run("catalog", "check").returncode == 0


def test_erase_wants_the_name(shell: Shell) -> None:
    """Without a terminal `--confirm` says it; another name, or none, is exit code 2, and nothing is done."""
    for confirm in ([], ["--confirm", "lab"], ["--confirm", ""]):
        done = shell.run("erase", "lab/user", "--reason", "the person asked", *confirm)
        assert done.returncode == 2, done
        assert "--confirm lab/user" in done.stderr
        assert "stays: " in done.stdout
    plan = shell.json("erase", "lab/user", "--reason", "x")
    assert plan["applied"] is False
    assert not [said for said in plan["stays"] if "spool" in said]
    (shell.folder / "state" / "spool" / "20260301-job").mkdir(parents=True)
    (told,) = (said for said in shell.json("erase", "lab/user", "--reason", "x")["stays"] if "spool" in said)
    assert "1 exports" in told
    assert shell.run("erase", "lab/user", "--reason", " ", "--confirm", "lab/user").returncode == 2
    assert shell.run("erase", "lab/nobody", "--reason", "x", "--confirm", "lab/nobody").returncode == 2
    assert live(shell) == [1, 2, 3]


def test_what_is_erased_is_gone_from_archive_and_catalog(shell: Shell) -> None:
    """The file's name is nowhere in either, the tombstone tells why; the other scope is as it was."""
    shell.run("status")
    assert b"secret-21" in (shell.folder / "state" / "catalog.db").read_bytes()

    done = shell.run("erase", "lab/user", "--reason", "the person asked", "--confirm", "lab/user")

    assert done.returncode == 0, done
    assert "3 erased" in done.stdout
    assert live(shell) == []
    for path in (shell.folder / "state").glob("catalog.db*"):
        assert b"secret-21" not in path.read_bytes(), path
    with sqlite3.connect(shell.folder / "state" / "catalog.db") as rows:
        assert rows.execute("select distinct gone from snapshot where scope = 'user'").fetchall() == [("erased",)]
    (reason,) = {row["reason"].partition(" (")[0] for row in shell.json("snapshots", "--gone")["gone"]}
    assert reason == "the person asked"
    assert shell.run("catalog", "check").returncode == 0
    assert shell.run("restore", "latest", "--to", "back").returncode == 0
    assert shell.run("scrub", "--all").returncode == 0


def test_a_forgotten_one_is_erased_by_its_id(shell: Shell) -> None:
    """It cannot be brought back then."""
    first = store(shell).snapshots(USER)[0].id
    shell.run("forget", "--apply")

    done = shell.run("erase", first[:8], "--reason", "x", "--confirm", first[:8])

    assert done.returncode == 0, done
    assert live(shell) == [2, 3]
    assert shell.run("undelete", first[:8], "--reason", "no").returncode == 2
    assert shell.run("catalog", "check").returncode == 0


def test_a_hold_stops_erasing(shell: Shell) -> None:
    """The one that is held is named, and nothing of the scope goes."""
    second = store(shell).snapshots(USER)[1].id
    shell.run("hold", second, "--reason", "the audit")

    done = shell.run("erase", "lab/user", "--reason", "x", "--confirm", "lab/user")

    assert done.returncode == 2
    assert "number 2" in done.stderr
    assert "the audit" in done.stderr
    assert live(shell) == [1, 2, 3]


def test_an_erasing_that_cannot_go_on_is_told_and_ended_by_a_person(shell: Shell) -> None:
    """Killed behind its tombstone, then damaged: prune goes on, scrub and doctor name both ways out, and with
    `--give-up` nothing of it is left."""
    found = store(shell).snapshots(GROUP)[0]
    tomb = tombstone.erased(found, at=NOW, reason="the person asked")
    backend = store(shell).backend
    backend.put_new(tomb.name, [tombstone.encode(tomb)])
    overwrite(backend, found.name, backend.get(found.name)[:-80])
    words = ("repair", "--give-up", "lab/group:7/1", "--reason", "no copy")

    for told in (shell.run("scrub", "--all").stderr, shell.run("doctor").stdout):
        assert found.name in told
        assert "--from COPY" in told.replace("\n", " ")
        assert "--give-up" in told
    assert shell.run("prune", "--apply").returncode == 0
    assert "--give-up 'lab/group:7/1'" in shell.run("repair").stderr
    planned = shell.run(*words)
    assert (planned.returncode, backend.size(found.name) is None) == (4, False)
    assert "erased as far as it is known" in planned.stdout
    assert "deleted, and not kept" in planned.stdout
    assert "7 days after" in planned.stderr
    done = shell.json(*words, "--apply")

    assert (done["applied"], done["lost"], done["evidence"], done["deleted"]) == (True, False, [], [found.name])
    assert not any(backend.size(pack_name(pack)) for pack in found.manifest.packs)
    assert shell.run("scrub", "--all").returncode == 0
    assert shell.run(*words).returncode == 2
