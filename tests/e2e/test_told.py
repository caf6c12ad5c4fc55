"""Nights and looks on a real Prefect server: who is told, which switches are pinged, how a look ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.home import Home
from tests.ops.receivers import SECRET, Web, web_server

pytestmark = pytest.mark.server

CALL = """
import json, sys
from flows import backup, upkeep
name, given = sys.argv[1], json.loads(sys.argv[2])
state = getattr(backup if name == "nightly" else upkeep, name)(**given, return_state=True)
print(json.dumps([state.type.value, state.name, state.message]))
"""


@pytest.fixture
def web(home: Home) -> Iterator[Web]:
    """Who is told, and pinged of nights and of looks; no drill is due."""
    with web_server() as made:
        text = '[notify]\nto = [{ file = "to" }]\n[upkeep]\ndrill = false\n'
        (home.folder / "to").write_text(made.address())
        for of in ("nightly", "watch"):
            (home.folder / of).write_text(made.url(f"/{SECRET}/{of}"))
            text += f'[[ping]]\nof = "{of}"\nurl = {{ file = "{of}" }}\n'
        home.config.write_text(text + home.config.read_text())
        yield made


def call(home: Home, flow: str, **given: Any) -> tuple[str, str, str]:
    """Run a flow in a process of its own: type, name and message of its state."""
    arguments = json.dumps({"config": str(home.config), **given})
    done = subprocess.run(
        [sys.executable, "-c", CALL, flow, arguments], cwd=home.folder, env=dict(home.environ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    home.outputs += [done.stdout, done.stderr]
    kind, name, message = json.loads(done.stdout.splitlines()[-1])
    return kind, name, message


def test_a_night_is_told_and_pinged(home: Home, web: Web) -> None:
    """An alarm before it, over at its end; its switch hears begin and end, and of a rehearsal nobody does."""
    kind, name, message = call(home, "watch")
    assert (kind, name, "lab/user: " in message) == ("FAILED", "Alarm", True)
    assert web.messages[0]["title"].startswith("Strongroom: 1 new alarm (")
    assert web.paths == [f"/{SECRET}/watch/start", f"/{SECRET}", f"/{SECRET}/watch/fail"]

    assert home.run("run").returncode == 0

    assert web.paths[3:] == [f"/{SECRET}/nightly/start", f"/{SECRET}/nightly", f"/{SECRET}"]
    assert web.messages[1]["title"].startswith("Strongroom: 1 over (")
    assert call(home, "watch") == ("COMPLETED", "Completed", "no alarm")
    assert web.paths[6:] == [f"/{SECRET}/watch/start", f"/{SECRET}/watch"]

    assert "1 scope: " in call(home, "nightly", at=str(datetime.now(UTC) + timedelta(days=1)))[2]
    assert len(web.got) == 8, "a rehearsal tells nobody"
    assert not any(SECRET in text for text in home.outputs)


def test_a_single_backup_is_looked_at_and_a_night_without_an_archive_is_told(home: Home, web: Web) -> None:
    """That it is well again is told at once; that the disk is not mounted, too, though nothing could be opened."""
    assert home.run("tell").returncode == 5
    assert home.run("run", "lab/user").returncode == 0
    assert [one["title"].partition(" (")[0] for one in web.messages] == [
        "Strongroom: 1 new alarm",
        "Strongroom: 1 over",
    ]

    (home.folder / "archive").rename(home.folder / "gone")
    kind, _, message = call(home, "nightly")

    assert (kind, "no archive" in message) == ("FAILED", True)
    assert web.paths[2:] == [f"/{SECRET}/nightly/start", f"/{SECRET}/nightly/fail", f"/{SECRET}"]
    assert "archive: cannot be looked at" in web.messages[2]["message"]
    assert not any(SECRET in text for text in home.outputs)
