"""A look tells what it finds, remembers only what was told, and never raises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from flows import config
from flows.config import Settings
from flows.ops import told
from flows.ops.alarm import Alarm, Level
from flows.ops.look import MEMORY, cannot_look, look, tell
from storage.backend import LocalDisk
from tests.doubles import new_archive
from tests.ops.receivers import SECRET, SHORT, Web, free_port, web_server
from tests.test_cli_retention import SOURCE, TODAY

HOUR = timedelta(hours=1)
STALE = Alarm("stale", "lab/user", Level.CRITICAL, "lab/user: last verified never")
SCOPE = '[[source.scope]]\nkind = "user"\n'


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as made:
        yield made


def settled(folder: Path, *addresses: str, more: str = "") -> Settings:
    """A configuration with an archive, whose one scope was never backed up."""
    for number, address in enumerate(addresses):
        (folder / f"address{number}").write_text(address)
    refs = ", ".join(f'{{ file = "address{number}" }}' for number in range(len(addresses)))
    path = folder / "strongroom.toml"
    path.write_text(f"[notify]\nto = [{refs}]\n{more}\n{SOURCE}{SCOPE}")
    if not (folder / "archive").exists():
        new_archive(LocalDisk(folder / "archive"))
    return config.load(path)


def away() -> str:
    return f"json://127.0.0.1:{free_port()}/{SECRET}?{SHORT}"


def test_a_look_tells_once(tmp_path: Path, web: Web) -> None:
    """A scope that was never backed up: one message, and none at the next look."""
    settings = settled(tmp_path, web.address())
    first = look(settings, now=TODAY)
    second = look(settings, now=TODAY + HOUR)

    assert (first.critical, first.unheard, second.sent) == (True, False, ())
    assert len(web.messages) == 1
    assert "lab/user" in web.messages[0]["message"]
    assert STALE.id in told.read(settings.state / MEMORY)


def test_it_is_told_where_one_of_several_took_it(
    tmp_path: Path, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are logged, without their secret."""
    settings = settled(tmp_path, away(), web.address())

    sent = tell(settings, [STALE], now=TODAY)

    assert [one.taken for one in sent] == [False, True]
    assert "address 1 (json) did not take the message" in caplog.text
    assert SECRET not in caplog.text
    assert tell(settings, [STALE], now=TODAY + HOUR) == ()


def test_what_nobody_took_is_told_at_the_next_look(tmp_path: Path, web: Web) -> None:
    """The memory does not advance: neither for the new one nor for the one that is over."""
    settings = settled(tmp_path, web.address())
    web.statuses[:] = [500]
    other = Alarm("disk", "/srv", Level.WARNING, "/srv: full")

    assert [one.taken for one in tell(settings, [STALE], now=TODAY)] == [False]
    assert not (settings.state / MEMORY).exists()
    assert [one.taken for one in tell(settings, [STALE], now=TODAY + HOUR)] == [True]
    web.statuses[:] = [500]
    tell(settings, [other], now=TODAY + 2 * HOUR)
    tell(settings, [other], now=TODAY + 3 * HOUR)

    assert [one["title"].partition(" (")[0] for one in web.messages[2:]] == ["Strongroom: 1 new alarm, 1 over"] * 2


def test_who_is_entered_later_is_told_what_there_is(tmp_path: Path, web: Web) -> None:
    """While there was nobody to tell nothing was remembered as told."""
    assert tell(settled(tmp_path), [STALE], now=TODAY) == ()

    tell(settled(tmp_path, web.address()), [STALE], now=TODAY + HOUR)

    assert len(web.messages) == 1


def test_an_archive_that_is_not_there_is_an_alarm(tmp_path: Path, web: Web) -> None:
    """The disk is not mounted: told once, nothing else is called over; and over when it is back."""
    settings = settled(tmp_path, web.address())
    look(settings, now=TODAY)
    (tmp_path / "archive").rename(tmp_path / "gone")

    looked = look(settings, now=TODAY + HOUR)
    look(settings, now=TODAY + 2 * HOUR)
    (tmp_path / "gone").rename(tmp_path / "archive")
    look(settings, now=TODAY + 3 * HOUR)

    assert [(alarm.id, alarm.level) for alarm in looked.alarms] == [("unreadable archive", Level.CRITICAL)]
    titles = [one["title"].partition(" (")[0] for one in web.messages]
    assert titles[1:] == ["Strongroom: 1 new alarm", "Strongroom: 1 over"]
    assert "no archive" in web.messages[1]["message"]
    assert "hint: " in web.messages[1]["message"]


def test_a_disk_that_does_not_answer_is_an_alarm(tmp_path: Path, web: Web) -> None:
    """As a dead file server: to open a file there waits for ever."""
    settings = settled(tmp_path, web.address(), more="[watch]\nanswer_within_s = 0.5")
    look(settings, now=TODAY)
    name = next(path for path in (tmp_path / "archive").iterdir() if path.is_file())
    whole = name.read_bytes()
    name.unlink()
    os.mkfifo(name)

    looked = look(settings, now=TODAY + HOUR)

    (alarm,) = looked.alarms
    assert (alarm.id, alarm.level) == ("unreadable archive", Level.CRITICAL)
    assert "no answer within 0.5 s" in alarm.sentence
    assert "no answer within 0.5 s" in web.messages[1]["message"]
    os.close(os.open(name, os.O_RDWR | os.O_NONBLOCK))  # what still waits reads nothing, and ends
    name.unlink()
    name.write_bytes(whole)
    look(settings, now=TODAY + 2 * HOUR)
    assert web.messages[2]["title"].startswith("Strongroom: 1 over")


def test_a_catalog_that_cannot_be_used_is_an_alarm(tmp_path: Path, web: Web) -> None:
    """Nothing of the telling is kept in it."""
    settings = settled(tmp_path, web.address())
    look(settings, now=TODAY)
    settings.catalog_path.write_bytes(b"no database at all, and longer than its header" * 100)

    looked = look(settings, now=TODAY + HOUR)

    assert [alarm.id for alarm in looked.alarms] == ["unreadable catalog"]
    assert len(web.messages) == 2


def test_an_error_that_nobody_foresaw_is_an_alarm_by_its_name(tmp_path: Path, web: Web) -> None:
    """Its text may hold anything."""
    looked = cannot_look(settled(tmp_path, web.address()), ValueError(SECRET), now=TODAY)

    assert looked.alarms[0].sentence.endswith("ValueError")
    assert SECRET not in web.messages[0]["message"]


def test_files_that_cannot_be_written_do_not_stop_the_look(
    tmp_path: Path, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics and report in folders that are none; a memory that cannot be written: told, and told again."""
    (tmp_path / "file").write_text("")
    more = '[metrics]\nfile = "file/a.prom"\n[report]\nfile = "file/a.html"\n'
    settings = settled(tmp_path, web.address(), more=more)
    look(settings, now=TODAY)
    (settings.state / MEMORY).unlink()
    (settings.state / MEMORY).mkdir()
    (settings.state / f"{MEMORY}.damaged").mkdir()
    (settings.state / f"{MEMORY}.damaged" / "kept").write_text("")

    looked = look(settings, now=TODAY + HOUR)

    assert not looked.unheard
    assert len(web.messages) == 2
    assert "what was told now is told again" in caplog.text


def test_two_looks_at_once_tell_once(tmp_path: Path, web: Web) -> None:
    """Of two processes that tell the same one waits, and finds it told."""
    settled(tmp_path, web.address())
    context = get_context("spawn")
    both = [context.Process(target=_tell, args=(tmp_path,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)

    assert [one.exitcode for one in both] == [0, 0]
    assert len(web.messages) == 1


def test_one_that_is_killed_while_it_sends_tells_again(tmp_path: Path, web: Web) -> None:
    """Twice, never not at all; and its lock goes with it."""
    settings = settled(tmp_path, web.address())
    child = get_context("spawn").Process(target=_die_after_sending, args=(tmp_path,))
    child.start()
    child.join(60)

    assert child.exitcode == 9
    assert len(tell(settings, [STALE], now=TODAY)) == 1
    assert len(web.messages) == 2


def _tell(folder: Path) -> None:
    tell(config.load(folder / "strongroom.toml"), [STALE], now=TODAY)


def _die_after_sending(folder: Path) -> None:
    told.write = lambda *_: os._exit(9)
    _tell(folder)
