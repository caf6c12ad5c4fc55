"""Nights of an encrypted archive, by Prefect: nobody types a key, and it shows nowhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import Home

pytestmark = pytest.mark.server


def test_a_night_by_the_configured_key(home: Home, api: httpx.Client, prefect_state: Path) -> None:
    """Kept, scrubbed, drilled and given back; no name of the lab is in a stored byte, no key in what was said."""
    shutil.rmtree(home.folder / "archive")
    shutil.rmtree(home.folder / "state", ignore_errors=True)
    home.config.write_text('[archive]\nkey = { file = "strongroom.key" }\n' + home.config.read_text())
    assert home.run("init", "--yes").returncode == 0

    (run,) = home.json("run", "lab/user")["runs"]

    assert (run["ended"], run["exit_code"]) == ("verified", 0)
    for verb in (("scrub", "--all"), ("drill",), ("restore", "latest", "--to", "back"), ("catalog", "check")):
        assert home.run(*verb).returncode == 0, verb
    (given,) = [path for path in (home.folder / "back").iterdir() if path.suffix == ".zip"]
    words = [given.name.encode(), b"RSpace", b"verified"]
    for path in (home.folder / "archive").rglob("*"):
        if path.is_file() and path.parent.name not in ("about", "keys"):
            stored = path.read_bytes() + path.relative_to(home.folder / "archive").as_posix().encode()
            assert not [word for word in words if word in stored], path
    secret = (home.folder / "strongroom.key").read_text().split()[1]
    assert secret not in "".join(home.outputs)
    for path in prefect_state.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
