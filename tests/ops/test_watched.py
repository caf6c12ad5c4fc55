"""What is done around a flow's work: pings at begin and end, and a look, whatever becomes of the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flows import config
from flows.errors import ConfigError, Exit
from flows.night import Line, Night, NightFailed
from flows.ops.watched import watched
from storage.backend import LocalDisk
from tests.doubles import new_archive
from tests.ops.receivers import Web, web_server
from tests.test_cli_retention import SOURCE

SCOPE = '[[source.scope]]\nkind = "user"\n'


@dataclass
class State:
    """As much of a state as is looked at."""

    well: bool = True
    data: Any = None

    def is_completed(self) -> bool:
        return self.well


@dataclass
class Home:
    """A configuration with two switches of nights, one of them of the source lab, and one of drills."""

    web: Web
    config: Path
    ran: list[str] = field(default_factory=list)

    def night(self, ended: State | BaseException, **given: Any) -> State:
        """Run a night that ends so."""

        @watched("nightly")
        def nightly(
            source: str | None = None, config: str | None = None, at: Any = None, scope: str | None = None
        ) -> State:
            self.ran.append(f"{source} {scope} {at}")
            assert all(path.endswith("/start") for path in self.web.paths), "ended before it began"
            if isinstance(ended, BaseException):
                raise ended
            return ended

        return nightly(config=str(self.config), **given)

    @property
    def asked(self) -> list[str]:
        """Pings and messages, in order."""
        return self.web.paths


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with web_server() as web:
        (tmp_path / "to").write_text(web.address("told"))
        switches = (("nightly", "all", ""), ("nightly", "lab", 'source = "lab"\n'), ("drill", "drill", ""))
        text = '[notify]\nto = [{ file = "to" }]\n'
        for of, name, more in switches:
            (tmp_path / name).write_text(web.url(f"/{name}"))
            text += f'[[ping]]\nof = "{of}"\nurl = {{ file = "{name}" }}\n{more}'
        office = SOURCE.replace('"lab"', '"office"')
        (tmp_path / "strongroom.toml").write_text(f"{text}{SOURCE}{SCOPE}{office}{SCOPE}")
        new_archive(LocalDisk(tmp_path / "archive"))
        yield Home(web, tmp_path / "strongroom.toml")


def test_a_night_that_was_well(home: Home) -> None:
    """Begun, well, and then the look, which tells of the scopes that never were."""
    state = State()

    assert home.night(state) is state

    assert home.asked == ["/all/start", "/lab/start", "/all", "/lab", "/told"]


def test_a_night_of_which_a_part_was_bad(home: Home) -> None:
    """The switch of a source says how that source's night was."""
    night = Night((Line("lab", "user", "verified"), Line("office", "user", "failed", Exit.VENDOR, "away")))

    home.night(State(well=False, data=NightFailed(night)))

    assert home.asked[2:4] == ["/all/fail", "/lab"]


def test_a_night_of_one_source(home: Home) -> None:
    """Another source's switch hears nothing of it."""
    home.night(State(), source="office")

    assert home.asked[:2] == ["/all/start", "/all"]


def test_a_night_that_ended_before_it_knew_its_scopes(home: Home) -> None:
    """No archive: failed for all, and told."""
    home.night(State(well=False))

    assert home.asked[2:] == ["/all/fail", "/lab/fail", "/told"]


def test_a_night_that_raised(home: Home) -> None:
    """The error is the caller's; it is a failure, and looked at."""
    with pytest.raises(RuntimeError, match="a fault"):
        home.night(RuntimeError("a fault"))

    assert home.asked[2:] == ["/all/fail", "/lab/fail", "/told"]


def test_a_night_that_was_stopped(home: Home) -> None:
    """It sends nothing more: that is what a dead-man switch is for."""
    with pytest.raises(KeyboardInterrupt):
        home.night(KeyboardInterrupt())

    assert home.asked == ["/all/start", "/lab/start"]


def test_a_rehearsal_tells_nobody(home: Home) -> None:
    """Neither a ping nor a message."""
    home.night(State(), at="2026-03-01T04:00:00Z")

    assert (home.ran, home.asked) == (["None None 2026-03-01T04:00:00Z"], [])


def test_the_night_of_one_scope_pings_nothing(home: Home) -> None:
    """It must not stand for the night of all; it is looked at."""
    home.night(State(), source="lab", scope="user")

    assert home.asked == ["/told"]


def test_a_part_of_another_run_is_its_business(home: Home) -> None:
    """As the backups of a night are the night's."""

    @watched("nightly", part=lambda: True)
    def work(config: str) -> State:
        return State()

    assert work(str(home.config)).well
    assert home.asked == []


def test_without_a_sound_configuration_the_work_goes_on(home: Home) -> None:
    """It says itself what is wrong."""
    home.config.write_text("[notify")
    with pytest.raises(ConfigError):
        config.load(home.config)

    assert home.night(State()).well
    assert home.asked == []


def test_a_server_of_pings_that_is_away_does_not_cost_the_work(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, and the night goes on."""
    for name in ("all", "lab"):
        (tmp_path / name).write_text("no address")

    assert home.night(State()).well

    assert caplog.messages.count("ping 1 of nightly: its URL is no http or https address") == 2
    assert home.asked == ["/told"]
