"""Processes that end together: when they are told to, and when the process that started them dies in whatever way.

They share one process group. Its leader is a shell that waits for the end of a pipe whose other end only the
starter holds; the kernel closes that when the starter dies, even of SIGKILL, and the shell then kills the group.
Measured: the group is gone within 0.1 s of the starter's death.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

TIED = ["sh", "-c", "read _; kill -KILL 0"]
UNTIED = ["sleep", "infinity"]
POLL_S = 0.02
END_DEADLINE_S = 10.0


class Group:
    """A group of processes. `tied`: it dies with this process; otherwise `kill(leader)` in any process ends it."""

    def __init__(self, folder: Path, *, tied: bool = True) -> None:
        """Logs go to `folder`; the processes work there."""
        self.folder = folder
        self._leader = subprocess.Popen(
            TIED if tied else UNTIED,
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def leader(self) -> int:
        """The id of the group, and of the process that leads it."""
        return self._leader.pid

    def start(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], user: str | None = None
    ) -> None:
        """A process called `name`, which writes to `name`.log; as another user where one is given (root only)."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self.leader,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )

    def lives(self, name: str) -> bool:
        """Whether it was started and did not end."""
        return name in self._children and self._children[name].poll() is None

    def log(self, name: str) -> str:
        """All that it wrote."""
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def end(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """Signals one process; SIGKILL reaches those that it started too. Returns when it has ended."""
        child = self._children.pop(name)
        if child.poll() is None:
            tree = psutil.Process(child.pid).children(recursive=True)
            child.send_signal(sign)  # before its children: it would start others in their place
            for each in tree if sign == signal.SIGKILL else ():
                with suppress(psutil.NoSuchProcess):  # it ended with its parent
                    each.kill()
        child.wait(END_DEADLINE_S)

    def stop(self) -> None:
        """Kills all that lives in the group; returns when nothing does. May be called twice."""
        if self._leader.returncode is None:  # else its id may be another's by now
            kill(self.leader)
        for child in (*self._children.values(), self._leader):
            child.wait(END_DEADLINE_S)
        if self._leader.stdin:
            self._leader.stdin.close()
        self._children.clear()


def members(leader: int) -> list[psutil.Process]:
    """Who lives in the group now; a process that has ended and was not yet waited for does not."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it ended while we looked
    return found


def kill(leader: int) -> None:
    """Kills the group with that leader and returns when nobody of it lives. Raises TimeoutError after 10 s."""
    end = time.monotonic() + END_DEADLINE_S
    while members(leader):
        if time.monotonic() > end:
            raise TimeoutError(f"process group {leader}: {members(leader)} still live after SIGKILL")
        with suppress(ProcessLookupError):  # they ended by themselves
            os.killpg(leader, signal.SIGKILL)
        time.sleep(POLL_S)
