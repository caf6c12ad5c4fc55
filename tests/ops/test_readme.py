"""What the README says of telling is what is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import apprise
import pytest

from flows import config

README = (Path(__file__).parents[2] / "README.md").read_text()
ADDRESSES = re.findall(r"`((?:mailtos|ntfys|slack)://[^`]+)`", README)


def test_the_example_parses(tmp_path: Path) -> None:
    """As it stands."""
    path = tmp_path / "strongroom.toml"
    example = re.search(r"^```\n(\[notify\].*?)^```", README, re.DOTALL | re.MULTILINE)
    assert example is not None
    path.write_text(example[1])

    file = config.load(path).file

    assert len(file.notify.to) == 2
    assert [ping.of for ping in file.ping] == ["nightly", "watch"]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.partition(":")[0])
def test_apprise_knows_the_addresses(address: str) -> None:
    """Each is one way."""
    plugin = apprise.Apprise.instantiate(address)

    assert isinstance(plugin, apprise.NotifyBase)
    assert len(ADDRESSES) == 3
