"""Questions that nobody answers: standard input has ended, is closed, or is a terminal where somebody left."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_cli_key import Desk
from tests.test_cli_key_rotated import taken_in

NO_ANSWER = "the input has ended"
LEFT, CTRL_C = b"\x04", b"\x03"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An encrypted archive of one snapshot, and two holders."""
    made = Desk(tmp_path_factory.mktemp("asking"))
    assert made.run("init", "--yes").returncode == 0
    assert made.run("key", "add", "cellar", "--file", "cellar.key").returncode == 0
    taken_in(made, b"words")
    return made


def typed(desk: Desk, *arguments: str, keys: bytes) -> tuple[int, str]:
    """Exit code, and what a terminal shows, on which somebody presses these keys when something stands there."""
    child, screen = pty.fork()
    if child == 0:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # whoever started the tests may have it ignored, as nohup does
        os.chdir(desk.folder)
        os.execve(sys.executable, [sys.executable, "-m", "flows.cli", *arguments], desk.environ)  # noqa: S606
    shown = b""
    try:
        while select.select([screen], [], [], 60)[0] and (data := os.read(screen, 4096)):
            if not shown or data.endswith(b" "):  # what is typed before a hidden question does not count
                os.write(screen, keys)
            shown += data
    except OSError:  # Linux says so that nobody has the other end any more
        pass
    os.close(screen)  # ends who still waits there
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), " ".join(shown.decode().split())


CASES = (
    (("key", "remove", "cellar"), "--yes"),
    (("key", "rotate"), "--yes"),
    (("key", "add", "Anna"), "--file"),
    (("key", "drill"), "--from"),
)


def ended(desk: Desk, *arguments: str) -> tuple[int, str]:
    done = desk.ask(*arguments)
    return done.returncode, done.stderr


def closed(desk: Desk, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "flows.cli", *arguments],
        cwd=desk.folder, env=desk.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def left(desk: Desk, *arguments: str) -> tuple[int, str]:
    return typed(desk, *arguments, keys=LEFT)


@pytest.mark.parametrize("how", [ended, closed, left])
def test_a_question_without_an_answer_names_the_option(desk: Desk, how: Callable[..., tuple[int, str]]) -> None:
    """Wrong usage, not an interruption; nothing was done."""
    for arguments, option in CASES:
        code, said = how(desk, *arguments)
        assert (code, NO_ANSWER in said, f"`{option}" in said) == (2, True, True), (arguments, said)
        assert "Traceback" not in said
    assert [one["name"] for one in desk.holders()] == ["this host", "cellar"]
    assert {one["keys"] for one in desk.holders()} == {1}


def test_what_is_asked_on_a_terminal_alone_names_its_option(desk: Desk, tmp_path: Path) -> None:
    """The name of what is to be erased, the configuration to be written, the key of an archive."""
    (found,) = (one["id"][:8] for one in desk.json("snapshots")["snapshots"])
    for arguments, option in (
        (("erase", found, "--reason", "a test"), f"`--confirm {found}`"),
        (("init", "-c", str(tmp_path / "new" / "strongroom.toml")), "`--yes`"),
        (("snapshots", "-a", "archive"), "STRONGROOM_KEY_FILE"),
        (("key", "export", "--paper", "-a", "archive"), "STRONGROOM_KEY_FILE"),
    ):
        code, said = left(desk, *arguments)
        assert (code, NO_ANSWER in said, option in said) == (2, True, True), (arguments, said)
    assert not (tmp_path / "new").exists()
    assert len(desk.json("snapshots")["snapshots"]) == 1


def test_ctrl_c_at_a_question_is_an_interruption(desk: Desk) -> None:
    """As anywhere else; and an answer is an answer."""
    code, said = typed(desk, "key", "rotate", keys=CTRL_C)
    assert (code, "interrupted" in said, NO_ANSWER in said) == (130, True, False)
    code, said = typed(desk, "key", "rotate", keys=b"n\n")
    assert (code, "nothing was rotated" in said) == (130, True)
    assert desk.ask("key", "rotate", typed="\n").returncode == 130
