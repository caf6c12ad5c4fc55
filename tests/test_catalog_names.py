"""`[state] record_names = false`: a stolen catalog tells no name of a file, and all goes on without them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.catalog import Catalog
from tests.doubles import START, noise, write
from tests.test_catalog_verbs import Home


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, capsys)


def without(home: Home) -> None:
    """Switch the names off in the configuration."""
    text = home.config.read_text()
    home.config.write_text(
        text.replace('[state]\nfolder = "state"', '[state]\nrecord_names = false\nfolder = "state"')
    )


def stored(home: Home) -> bytes:
    return b"".join(path.read_bytes() for path in home.path.parent.glob("catalog.db*") if ".old" not in path.name)


def test_no_name_of_a_file_or_record_is_in_it(home: Home) -> None:
    """Made anew it has none, nor what a run or check says of them; the rest agrees with the archive."""
    write(home.archive, {"Dr Planted's notebook.zip": noise(500, 1)}, night=30)
    assert home.say("catalog", "rebuild")[0] == 0
    assert b"Planted" in stored(home)

    without(home)
    code, said = home.say("catalog", "check")
    assert (code, "record_names" in said, "catalog rebuild" in said) == (2, True, True)
    told = json.loads(home.say("catalog", "rebuild", "--json")[1])
    Path(told["old_catalog"]).unlink()

    assert b"Planted" not in stored(home)
    assert b"group 1234" in stored(home)  # scopes it must know
    assert home.say("catalog", "check")[0] == 0
    assert home.say("status")[0] in (0, 5)


def test_new_nights_enter_none_either(home: Home) -> None:
    """A snapshot and a run that come afterwards; whether a file is held is asked of the archive."""
    without(home)
    assert home.say("catalog", "rebuild")[0] == 0
    found = write(home.archive, {"Dr Planted's notebook.zip": noise(500, 1)}, night=30)
    archive = Archive.open(LocalDisk(home.folder / "archive"))
    with Catalog.open(home.path, names=False) as catalog:
        catalog.record_snapshot(found, archive.entries)
        since = START - timedelta(days=1)
        assert catalog.holds_file(found.key.source, "Dr Planted's notebook.zip", archive, since=since)
        assert not catalog.holds_file(found.key.source, "another.zip", archive, since=since)

    assert home.say("catalog", "check")[0] == 0
    assert b"Planted" not in stored(home)
