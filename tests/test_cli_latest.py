"""`latest` and `status`, as a user meets them where the newest snapshot does not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from flows.errors import Exit
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.seen import LEVEL
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Check, Outcome, Promise, Quality
from storage.writer import Writer
from tests.doubles import NIGHT, draft, new_archive
from tests.test_cli_upkeep import Shell

USER = ScopeKey("lab", "user")
EMPTY = Check(LEVEL, Outcome.FAILED, got="0", promised="12", reason="empty: nothing is in it")
SOURCE = (
    '[[source]]\nname = "lab"\nsystem = "rspace"\nurl = "http://127.0.0.1:9"\napi_key = { env = "NONE" }\n'
    '[[source.scope]]\nkind = "user"\n'
)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """An archive without a snapshot, of one scope."""
    (tmp_path / "strongroom.toml").write_text(SOURCE)
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


def keep(shell: Shell, ago: timedelta, **other: Any) -> Snapshot:
    """A snapshot taken so long ago, of a file that says so."""
    at = datetime.now(UTC) - ago
    writer = Writer(Archive.open(LocalDisk(shell.folder / "archive")), USER)
    writer.add("a.txt", BytesIO(f"{ago}".encode()), promised=Promise())
    return writer.commit(draft(USER, at, **other), clock=lambda: at)


ODD: dict[str, tuple[timedelta, dict[str, Any]]] = {
    "dated a year ahead": (timedelta(days=-365), {}),
    "quarantined": (timedelta(hours=1), {"quality": Quality.QUARANTINED, "checks": (EMPTY,)}),
    "rejected": (timedelta(hours=1), {}),
}


@pytest.mark.parametrize("odd", ODD)
def test_restore_latest_gives_the_newest_that_counts(shell: Shell, odd: str) -> None:
    """And show, ls, diff and drill mean the same one; nothing is said of it, since it is what was asked for."""
    first = keep(shell, 3 * NIGHT)
    good = keep(shell, 2 * NIGHT)
    ago, other = ODD[odd]
    newest = keep(shell, ago, **other)
    if odd == "rejected":
        assert shell.run("reject", newest.id[:8], "--reason", "wrong account").returncode == 0

    done = shell.run("restore", "latest", "--to", "back")

    assert (done.returncode, "latest:" in done.stderr) == (0, False)
    assert (shell.folder / "back" / "a.txt").read_text() == f"{2 * NIGHT}"
    assert shell.json("show", "latest")["snapshot"]["id"] == good.id
    assert shell.json("ls", "latest")["snapshot"] == good.id
    assert shell.json("drill", "latest")["snapshot"] == good.id
    assert shell.json("diff", first.id[:8])["after"] == good.id


def test_where_none_counts_the_newest_is_given_and_that_is_told(shell: Shell) -> None:
    """Whoever restores after a disaster gets what there is, and knows what it is."""
    keep(shell, 2 * NIGHT, quality=Quality.QUARANTINED, checks=(EMPTY,))
    newest = keep(shell, NIGHT, quality=Quality.QUARANTINED, checks=(EMPTY,))

    done = shell.run("restore", "latest", "--to", "back")

    assert done.returncode == 0
    assert (shell.folder / "back" / "a.txt").read_text() == f"{NIGHT}"
    assert f"latest: no snapshot counts; {newest.id[:8]} is the newest that there is: level 0" in done.stderr


@pytest.mark.parametrize("odd", ODD)
def test_status_tells_of_the_newest_that_counts(shell: Shell, odd: str) -> None:
    """A scope is stale, whatever was kept since that does not count."""
    good = keep(shell, 2 * NIGHT)
    ago, other = ODD[odd]
    newest = keep(shell, ago, **other)
    if odd == "rejected":
        assert shell.json("status")["scopes"][0]["stale"] is False
        assert shell.run("reject", newest.id[:8], "--reason", "wrong account").returncode == 0

    assert shell.run("status").returncode == Exit.STALE
    (row,) = shell.json("status")["scopes"]
    assert datetime.fromisoformat(row["last_verified_at"]) == good.manifest.draft.taken_at
    assert row["stale"] is True
