"""`strongroom status` as a user, a cron job and a monitoring system meet it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from flows.errors import Exit
from flows.ops.watch import KINDS
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Beginning, Catalog
from storage.holder import Holder, this_process
from storage.records import Ended
from storage.snapshot import ScopeKey, Snapshot, manifest_name
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import SECRET, draft, new_archive, run_record
from tests.test_cli_upkeep import Shell

USER, GROUP = ScopeKey("lab", "user"), ScopeKey("lab", "group:7")
SOURCE = (
    '[[source]]\nname = "lab"\nsystem = "rspace"\nurl = "http://127.0.0.1:9"\napi_key = { env = "NONE" }\n'
    'schedule = { cron = "0 0 1 1 *" }\nverified_within_h = 36\n'
    '[[source.scope]]\nkind = "user"\n[[source.scope]]\nkind = "group"\nid = 7\n'
)
HOUR = timedelta(hours=1)
WORDS = "Very secret words of a key"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Two scopes, backed up six hours ago."""
    (tmp_path / "strongroom.toml").write_text(SOURCE)
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path, capsys)
    for key in (USER, GROUP):
        keep(made, key)
    return made


def store(shell: Shell) -> Archive:
    return Archive.open(LocalDisk(shell.folder / "archive"))


def keep(shell: Shell, key: ScopeKey, ago: timedelta = 6 * HOUR) -> Snapshot:
    """A night so long ago: its snapshot, and its record in archive and catalog."""
    at = datetime.now(UTC) - ago
    writer = Writer(store(shell), key)
    writer.add("a.txt", BytesIO(f"{key}{ago}".encode()), promised=Promise())
    return writer.commit(draft(key, at), clock=lambda: at)


def ended(shell: Shell, key: ScopeKey, ago: timedelta, end: Ended, **other: Any) -> None:
    """A run so long ago, as the catalog has it from the archive."""
    at = datetime.now(UTC) - ago
    name = f"{at:%Y%m%d-%H%M%S}-{key.scope[0] * 8}"
    record = run_record(name, key=key, started_at=at, ended_at=at + HOUR / 6, ended=end, checks=(), **other)
    shell.run("status")  # makes the catalog
    from storage import records

    store(shell).put_record(record.id, records.encode(record))
    with Catalog.open(shell.folder / "state" / "catalog.db") as catalog:
        catalog.record_run(record)


def test_a_terminal_without_utf_8_gets_the_words(shell: Shell) -> None:
    """Where cron or a terminal takes ASCII alone, signs become question marks; nothing else is lost."""
    ended(shell, USER, 6 * HOUR, Ended.VERIFIED)
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    command = [sys.executable, "-m", "flows.cli", "status", "--config", str(shell.folder / "strongroom.toml")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environ, capture_output=True, check=False)

    assert done.returncode == Exit.DONE, done.stderr
    assert b"? verified" in done.stdout
    assert b"nothing is wrong" in done.stdout


def test_where_all_is_well_status_says_so(shell: Shell) -> None:
    """Exit code 0; the table has the nights as signs, what they mean, and when the next one is."""
    ended(shell, USER, 6 * HOUR, Ended.VERIFIED)
    ended(shell, GROUP, 30 * HOUR, Ended.FAILED, reason="no answer")
    ended(shell, GROUP, 6 * HOUR, Ended.UNCHANGED)

    done = shell.run("status")

    assert done.returncode == Exit.DONE
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        *("source", "scope", "last", "verified", "next", "night", "last", "run", "nights", "snapshots", "size"),
    ]
    assert "·✓" in lines[1].replace("✓·", "·✓")
    assert "✕=" in lines[2].replace("=·", "=")
    assert "the last on the right: ✓ verified, = unchanged, · no night due, ✕ failed" in done.stdout
    assert "unchanged" in lines[2]
    assert lines[-1] == "nothing is wrong"


def test_a_warning_is_printed_and_ends_with_0_and_what_is_critical_with_5(shell: Shell) -> None:
    """One failed night is a warning, the second is critical; each line has kind, reason and what to try."""
    ended(shell, USER, 3 * HOUR, Ended.FAILED, reason="the lab does not answer", hint="ask the lab")
    done = shell.run("status")
    assert done.returncode == Exit.DONE
    last = done.stdout.splitlines()[-1]
    assert last.startswith("WARNING: failed: lab/user: the run of ")
    assert last.endswith("ended failed: the lab does not answer; hint: ask the lab")

    ended(shell, USER, 1 * HOUR, Ended.LOST)
    done = shell.run("status")

    assert done.returncode == Exit.STALE
    assert done.stdout.splitlines()[-1].startswith("CRITICAL: failed: lab/user")
    told = shell.json("status")
    assert (told["exit"], [alarm["kind"] for alarm in told["alarms"]]) == (5, ["failed"])
    assert told["kinds"] == {"failed": KINDS["failed"]}


def test_the_document_has_each_scope_and_disk(shell: Shell) -> None:
    """What the table shows, and more, for machines."""
    ended(shell, USER, 6 * HOUR, Ended.VERIFIED)

    told = shell.json("status")

    user, group = told["scopes"]
    assert (user["scope"], group["scope"]) == ("user", "group:7")
    assert (user["stale"], user["within_s"], user["last_run"]) == (False, 36 * 3600, "verified")
    assert len(user["nights"]) == 14
    assert set(user["nights"].values()) == {"verified", "none"}
    assert datetime.fromisoformat(user["next_at"]) > datetime.now(UTC) > datetime.fromisoformat(user["due_at"])
    assert user["newest"]["number"] == user["snapshots"] == 1
    assert [disk["what"] for disk in told["disks"]] == ["archive", "state"]
    assert told["disks"][0]["full_in_days"] is None
    assert told["upkeep"]["packs"] > 0


def test_the_limit_is_configured(shell: Shell) -> None:
    """By source, else in [watch]; else it follows the schedule."""
    config = shell.folder / "strongroom.toml"
    config.write_text(SOURCE.replace("verified_within_h = 36", "verified_within_h = 5"))
    assert shell.run("status").returncode == Exit.STALE
    config.write_text("[watch]\nverified_within_h = 5\n" + SOURCE.replace("verified_within_h = 36\n", ""))
    assert shell.run("status").returncode == Exit.STALE
    config.write_text(SOURCE.replace("verified_within_h = 36\n", ""))
    assert [row["within_s"] // 86400 for row in shell.json("status")["scopes"]] == [366, 366]
    config.write_text(SOURCE.replace('schedule = { cron = "0 0 1 1 *" }\nverified_within_h = 36\n', ""))
    assert [row["within_s"] // 3600 for row in shell.json("status")["scopes"]] == [36, 36]


def begin(shell: Shell, holder: Holder, ago: timedelta) -> None:
    at = datetime.now(UTC) - ago
    shell.run("status")
    with Catalog.open(shell.folder / "state" / "catalog.db") as catalog:
        catalog.begin_run(Beginning(f"{at:%Y%m%d-%H%M%S}-0000aaaa", USER, "rspace", {}, "cli", "", at, holder))


def test_as_of_an_instant(shell: Shell) -> None:
    """With --at it is then: what is well now is stale two days later."""
    then = datetime.now(UTC) + 48 * HOUR

    now, later = shell.json("status"), shell.json("status", "--at", f"{then:%Y-%m-%dT%H:%M:%S}")

    assert (now["exit"], now["alarms"]) == (Exit.DONE, [])
    assert later["exit"] == Exit.STALE
    assert [(one["kind"], one["about"]) for one in later["alarms"]] == [
        ("stale", str(USER)),
        ("stale", str(GROUP)),
    ]
    assert abs(datetime.fromisoformat(later["at"]) - then) < timedelta(seconds=1)


def test_a_run_that_goes_on_too_long_and_one_that_died(shell: Shell) -> None:
    """Told by kind; a run under way says since when."""
    begin(shell, this_process(), 13 * HOUR)
    slow = shell.run("status")
    assert "WARNING: slow: lab/user: a run is under way since" in slow.stdout
    assert "under way, since" in slow.stdout

    gone = Holder(this_process().host, 2**22 + 1, 1, this_process().boot)
    begin(shell, gone, HOUR)
    assert "WARNING: died: lab/user: the run of " in shell.run("status").stdout


def test_damage_is_an_alarm(shell: Shell) -> None:
    """A manifest that is missing, or torn, is critical, and the scope that it is of is no longer verified."""
    shell.run("status")
    path = shell.folder / "archive" / manifest_name(USER, 1)
    path.chmod(0o600)
    path.write_bytes(b"torn")

    torn = shell.json("status")
    path.unlink()
    gone = shell.json("status")

    assert {alarm["kind"] for alarm in torn["alarms"]} == {"damaged", "stale"}
    assert any(manifest_name(USER, 1) in alarm["about"] for alarm in torn["alarms"])
    assert {"damaged", "stale"} <= {alarm["kind"] for alarm in gone["alarms"]}
    assert gone["exit"] == Exit.STALE


# -- as a plugin


def test_as_a_plugin_it_prints_one_line_for_all_and_its_own_exit_codes(shell: Shell) -> None:
    """0, 1 and 2, with numbers behind the bar."""
    well = shell.run("status", "--nagios")
    ended(shell, USER, 3 * HOUR, Ended.FAILED, reason="a | b")
    warned = shell.run("status", "--nagios")
    ended(shell, USER, HOUR, Ended.FAILED)
    bad = shell.run("status", "--nagios")

    assert [done.returncode for done in (well, warned, bad)] == [0, 1, 2]
    assert well.stdout.startswith("STRONGROOM OK - 2 scopes, all as they should be | scopes=2;;;0 stale=0;;0;0;2 ")
    assert len(well.stdout.splitlines()) == 1
    first, second = warned.stdout.splitlines()
    assert first.startswith("STRONGROOM WARNING - 1 warning of 2 scopes: failed lab/user | ")
    assert second.startswith("WARNING failed: lab/user: the run of ")
    assert "a \\x7c b" in second
    assert bad.stdout.startswith("STRONGROOM CRITICAL - ")


def _no_config(shell: Shell) -> None:
    (shell.folder / "strongroom.toml").unlink()


def _wrong_config(shell: Shell) -> None:
    (shell.folder / "strongroom.toml").write_text(f'[archive]\nkey = "{WORDS}"\n')


def _not_mounted(shell: Shell) -> None:
    shutil.rmtree(shell.folder / "archive")


def _encrypted(shell: Shell) -> None:
    shutil.rmtree(shell.folder / "archive")
    new_archive(LocalDisk(shell.folder / "archive"), SECRET)


def _wrong_key(shell: Shell) -> None:
    _encrypted(shell)
    (shell.folder / "wrong.key").write_text(WORDS)
    (shell.folder / "strongroom.toml").write_text('[archive]\nkey = { file = "wrong.key" }\n')


def _no_catalog(shell: Shell) -> None:
    (shell.folder / "state").mkdir(exist_ok=True)
    (shell.folder / "state" / "catalog.db").write_bytes(b"no database at all, but long enough to be read" * 9)


def _bug(shell: Shell) -> None:
    (shell.folder / "strongroom.toml").unlink()
    (shell.folder / "strongroom.toml").mkdir()


ERRORS = {
    "no configuration": (_no_config, "strongroom.toml: not found"),
    "a wrong one, with a key in it": (_wrong_config, "archive.key"),
    "the archive's disk is not mounted": (_not_mounted, "archive"),
    "no key": (_encrypted, "key"),
    "another key": (_wrong_key, "the key given is none of"),
    "a catalog that is none": (_no_catalog, "catalog.db"),
    "a folder for a file": (_bug, "strongroom.toml"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_any_error_is_unknown(shell: Shell, error: str) -> None:
    """Exit code 3, one line that says what, and no secret in it."""
    cause, words = ERRORS[error]
    cause(shell)

    done = shell.run("status", "--nagios")

    assert done.returncode == 3, done
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("STRONGROOM UNKNOWN - ")
    assert words in done.stdout
    assert WORDS not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("--json",), ("--bogus",), ("--config",), ("more",)])
def test_wrong_usage_is_unknown_too(shell: Shell, arguments: tuple[str, ...]) -> None:
    """Also --json beside it: a monitoring system reads one of them."""
    done = shell.run("status", "--nagios", *arguments)

    assert (done.returncode, done.stdout[:21]) == (3, "STRONGROOM UNKNOWN - ")


def test_what_nobody_thought_of_is_unknown_and_its_text_is_kept_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours, a full memory, Ctrl-C: its kind is told; a foreign text may hold anything."""
    from flows import config

    for error, words in ((RuntimeError(WORDS), "RuntimeError"), (KeyboardInterrupt(), "interrupted")):

        def broken(_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(config, "load", broken)
        done = shell.run("status", "--nagios")
        assert (done.returncode, words in done.stdout, WORDS in done.stdout) == (3, True, False)


def test_the_json_document_is_one_line(shell: Shell) -> None:
    """As of every verb."""
    (line,) = shell.run("status", "--json").stdout.splitlines()

    assert json.loads(line)["command"] == "status"
