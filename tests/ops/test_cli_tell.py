"""`tell`, `tell --test` and `status --tell`, as a user and a crontab meet them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from storage.backend import LocalDisk
from storage.verify import Promise, Quality
from storage.writer import Writer
from tests.doubles import draft, new_archive
from tests.ops.receivers import SECRET, SHORT, Mail, Web, free_port, mail_server, web_server
from tests.test_cli_retention import EMPTY, SOURCE, USER, ident, store
from tests.test_cli_upkeep import Done, Shell

SCOPE = '[[source.scope]]\nkind = "user"\n'


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A configured scope that was never backed up; nobody is to be told."""
    monkeypatch.chdir(tmp_path)
    new_archive(LocalDisk(tmp_path / "archive"))
    configure(Shell(tmp_path, capsys))
    return Shell(tmp_path, capsys)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as made:
        yield made


@pytest.fixture
def mail() -> Iterator[Mail]:
    with mail_server() as made:
        yield made


def configure(shell: Shell, *addresses: str, more: str = "", scopes: str = SCOPE) -> None:
    for number, address in enumerate(addresses):
        (shell.folder / f"address{number}").write_text(address)
    refs = ", ".join(f'{{ file = "address{number}" }}' for number in range(len(addresses)))
    drill = "[upkeep]\ndrill = false\n"
    (shell.folder / "strongroom.toml").write_text(f"[notify]\nto = [{refs}]\n{more}\n{drill}{SOURCE}{scopes}")


def keep(shell: Shell, **other: Any) -> None:
    """A night six hours ago, whatever the time of day is."""
    at = datetime.now(UTC) - timedelta(hours=6)
    writer = Writer(store(shell), USER)
    writer.add("a.bin", BytesIO(b"words"), promised=Promise())
    writer.commit(draft(USER, at, **other), clock=lambda: at)


def away() -> str:
    return f"json://127.0.0.1:{free_port()}/{SECRET}?{SHORT}"


def titles(web: Web) -> list[str]:
    return [one["title"].removeprefix("Strongroom: ").partition(" (")[0] for one in web.messages]


def test_a_test_message_reaches_every_address(shell: Shell, web: Web, mail: Mail) -> None:
    """Told by number and scheme, never by URL; no switch is pinged; nothing is remembered."""
    (shell.folder / "url").write_text(web.url())
    configure(shell, web.address(), mail.address(), more='[[ping]]\nof = "watch"\nurl = { file = "url" }')

    done = shell.run("tell", "--test")

    assert done == Done(0, "address 1 (json): taken\naddress 2 (mailto): taken\n", "")
    assert [one["title"].startswith("Strongroom: a test (") for one in web.messages] == [True]
    assert mail.texts[0][0].startswith("Strongroom: a test (")
    assert web.paths == [f"/{SECRET}"]
    assert not (shell.folder / "state" / "told.json").exists()


def test_a_test_says_which_address_failed(shell: Shell, web: Web) -> None:
    """3 where some took it, 1 where none did, 2 where there is none."""
    configure(shell, away(), web.address())
    some = shell.run("tell", "--test")
    told = shell.json("tell", "--test")["addresses"]
    configure(shell, away())
    none = shell.run("tell", "--test")
    configure(shell)
    nobody = shell.run("tell", "--test")

    assert (some.returncode, some.stdout) == (3, "address 2 (json): taken\n")
    assert "address 1 (json): did not take the message: no connection" in some.stderr
    assert [(one["number"], one["way"], one["taken"]) for one in told] == [(1, "json", False), (2, "json", True)]
    assert (none.returncode, none.stdout) == (1, "")
    assert (nobody.returncode, "[notify] to" in nobody.stderr) == (2, True)
    assert SECRET not in f"{some}{told}{none}"


def test_an_alarm_and_its_end_are_told_once_each(shell: Shell, web: Web) -> None:
    """From a crontab: exit code 5 while something is critical; then the scope is backed up."""
    configure(shell, web.address())
    first, second = shell.run("tell"), shell.run("status", "--tell")
    assert (first.returncode, titles(web)) == (5, ["1 new alarm"])
    assert "told 1 of 1 addresses" in first.stdout
    assert second.returncode == 5
    assert "critical, new: lab/user: " in web.messages[0]["message"]

    keep(shell)
    assert shell.run("catalog", "rebuild").returncode == 0
    done, again = shell.run("status", "--tell"), shell.run("tell")

    assert (done.returncode, again.returncode, titles(web)[1:]) == (0, 0, ["1 over"])
    assert "nothing new was to be told" in again.stdout
    assert "over: stale lab/user, told since " in web.messages[1]["message"]


def test_it_is_reminded(shell: Shell, web: Web) -> None:
    """After remind_days, here a ten-thousandth of a second."""
    configure(shell, web.address(), more="remind_days = 0.000000001")

    shell.run("tell")
    told = shell.json("tell")

    assert titles(web) == ["1 new alarm", "1 still there"]
    assert [one["taken"] for one in told["addresses"]] == [True]


def test_a_flood_is_one_message(shell: Shell, web: Web, mail: Mail) -> None:
    """Forty scopes that were never backed up: twenty lines and a number."""
    scopes = "".join(f'[[source.scope]]\nkind = "group"\nid = {n}\n' for n in range(1, 41))
    configure(shell, web.address(), mail.address(), scopes=scopes)

    shell.run("tell")

    assert titles(web) == ["40 new alarms"]
    lines = web.messages[0]["message"].splitlines()
    assert (sum(", new: " in line for line in lines), lines[-3]) == (20, "and 20 more")
    assert [subject.partition(" (")[0] for subject, _ in mail.texts] == ["Strongroom: 40 new alarms"]
    assert "and 20 more" in mail.texts[0][1].replace("\xa0", " ")


def test_a_quarantined_snapshot_is_told_until_somebody_settles_it(shell: Shell, web: Web) -> None:
    """It does not count: the scope is told of; once it is accepted that is over."""
    configure(shell, web.address())
    keep(shell, quality=Quality.QUARANTINED, checks=(EMPTY,))
    assert shell.run("tell").returncode == 5
    assert "lab/user" in web.messages[0]["message"]

    assert shell.run("accept", ident(shell, 1), "--reason", "the scope is new").returncode == 0
    done = shell.run("tell")

    assert (done.returncode, len(web.messages)) == (0, 2)
    assert titles(web)[1].endswith(" over")
    assert "new alarm" not in titles(web)[1]


def test_nobody_took_it(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """Exit code 1, so that whoever started it knows."""
    configure(shell, away())

    done = shell.run("tell")

    assert done.returncode == 1
    assert "told 0 of 1 addresses" in done.stdout
    assert SECRET not in f"{done}{caplog.text}"
    silent = shell.run("status", "--tell")
    assert (silent.returncode, "nobody could be told" in silent.stderr) == (1, True)


def test_a_disk_that_is_not_mounted_is_told_and_status_says_so(shell: Shell, web: Web) -> None:
    """The exit code of status stays that of the error."""
    configure(shell, web.address())
    (shell.folder / "archive").rename(shell.folder / "gone")

    done = shell.run("status", "--tell")

    assert (done.returncode, titles(web)) == (10, ["1 new alarm"])
    assert "critical, new: archive: cannot be looked at" in web.messages[0]["message"]


def test_nobody_is_to_be_told(shell: Shell) -> None:
    """It says so, and what is wrong."""
    done = shell.run("tell")

    assert done.returncode == 5
    assert "critical: lab/user: " in done.stdout
    assert "nobody is to be told: [notify] names no address" in done.stdout
