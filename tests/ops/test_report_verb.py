"""`strongroom report`, as a user meets it, and the page that a night leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows import config
from flows.errors import ConfigError, Exit
from flows.ops import report
from flows.ops.nights import Due, dues
from storage.backend import LocalDisk
from storage.snapshot import ScopeKey
from tests.doubles import NIGHT, new_archive
from tests.ops.landscape import NOW, many, scope_seen, settings_in, survey_of
from tests.test_cli_latest import keep
from tests.test_cli_upkeep import Shell

TOML = """
[policy]
keep_last = 2
[[source]]
name = "lab"
system = "rspace"
url = "http://127.0.0.1:9"
api_key = { env = "NONE" }
schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }
[[source.scope]]
kind = "user"
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """An archive of one scope, with four snapshots."""
    (tmp_path / "strongroom.toml").write_text(TOML)
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path, capsys)
    for back in (4, 3, 2, 1):
        keep(made, back * NIGHT)
    return made


def test_it_writes_the_page_into_the_state_folder_or_where_it_is_told(shell: Shell) -> None:
    """Over the one before, and says where."""
    first = shell.run("report")
    again = shell.json("report", "--days", "30")
    there = shell.json("report", "--to", "page.html")

    assert first.returncode == Exit.DONE
    assert again["file"] == str(shell.folder / "state" / "report.html")
    assert first.stdout.startswith(again["file"])
    assert there["bytes"] == (shell.folder / "page.html").stat().st_size
    assert there["alarms"] == [] or there["alarms"][0]["sentence"]
    text = (shell.folder / "page.html").read_text()
    assert "lab/user" in text and "90 days back" in text
    assert "30 days back" in (shell.folder / "state" / "report.html").read_text()
    assert sorted(path.name for path in shell.folder.glob("*page*")) == ["page.html"]


def test_it_foretells_what_retention_takes(shell: Shell) -> None:
    """As `forget` does: two of four go now, and the others with the coming nights."""
    settings = config.load(shell.folder / "strongroom.toml")
    from flows.workbench import open_archive

    now = datetime.now(UTC)
    going = report.foreseen(settings, open_archive(settings), now)[ScopeKey("lab", "user")]
    told = [one for one in shell.json("forget")["snapshots"] if one["verdict"] == "forget"]

    assert len(told) == 2
    assert (going.next_at, going.soon, going.refused) == (now, 4, False)


def test_a_place_that_cannot_be_written_is_told(shell: Shell) -> None:
    """And nothing is left beside it."""
    done = shell.run("report", "--to", "no/such/folder/page.html")

    assert done.returncode == Exit.USAGE
    assert "No such file or directory" in done.stderr and "[report] file" in done.stderr


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where the new one cannot take its place, the old one stays and no part of the new one does."""
    path = tmp_path / "report.html"
    path.mkdir()
    (path / "old").touch()

    with pytest.raises(ConfigError, match="directory"):
        report.write(settings_in(tmp_path), survey_of(scope_seen("user", nights=3)), [], path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "strongroom.toml"]


def test_a_night_can_write_it_from_a_survey_alone(tmp_path: Path) -> None:
    """Then what retention takes is not told, and no column is there for it."""
    settings = settings_in(tmp_path)
    path = report.write(settings, many(9), [], tmp_path / "report.html")

    assert "to go" not in path.read_text()
    assert settings.report == tmp_path / "state" / "report.html"
    named = settings_in(tmp_path, '[report]\nfile = "www/backups.html"\n')
    assert named.report == tmp_path / "www" / "backups.html"


def test_nights_are_due_by_the_schedule_that_a_scope_has(tmp_path: Path) -> None:
    """Ninety nights, over the end of summer time, each at 03:30 in Vienna."""
    user, gone = scope_seen("user:7"), scope_seen("paper", configured=False)
    found = dues(settings_in(tmp_path), survey_of(user, gone))

    assert list(found) == [user.key]
    assert len(found[user.key]) == 90
    assert found[user.key][-1] == Due(NOW - timedelta(hours=5), NOW.date())
    assert found[user.key][0].at == datetime(2026, 8, 25, 1, 30, tzinfo=UTC)
