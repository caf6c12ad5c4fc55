"""Who holds a lease: certain about processes of this host that are gone, silent about everything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from storage import holder
from storage.holder import Holder, this_process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def of(pid: int) -> Holder:
    return replace(this_process(), pid=pid, started=holder._started(pid))


def test_a_holder_comes_back_from_text() -> None:
    """As the catalog keeps it."""
    assert Holder.decode(this_process().encode()) == this_process()


def test_who_asks_is_alive() -> None:
    """And so is the process that started it."""
    assert not this_process().dead()
    assert not of(os.getppid()).dead()


def test_a_process_is_dead_once_it_was_waited_for(child: subprocess.Popen[bytes]) -> None:
    """Alive before, dead after."""
    held = of(child.pid)
    alive = not held.dead()
    child.kill()
    child.wait()

    assert (alive, held.dead()) == (True, True)


def test_a_zombie_is_dead(child: subprocess.Popen[bytes]) -> None:
    """Killed and not yet waited for: in a container it may stay so for ever."""
    held = of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert held.dead()


def test_a_stopped_process_is_alive(child: subprocess.Popen[bytes]) -> None:
    """It may go on at any time."""
    held = of(child.pid)
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)

    assert not held.dead()


def test_a_later_process_of_the_same_number_is_another() -> None:
    """Numbers come again; the time of start tells."""
    assert replace(this_process(), started=this_process().started - 500).dead()


def test_a_holder_from_before_the_host_started_anew_is_dead() -> None:
    """Nothing outlives a restart."""
    if not this_process().boot:
        pytest.skip("this system does not tell its starts apart")

    assert replace(this_process(), boot="another").dead()


def test_a_process_of_another_host_is_never_called_dead() -> None:
    """Nothing is known of it."""
    assert not replace(this_process(), host="elsewhere", pid=2**22 - 1).dead()
    assert not replace(this_process(), host="elsewhere", boot="another").dead()


def test_the_start_does_not_follow_the_wall_clock() -> None:
    """Counted from the start of the host: a clock that is set makes nobody another process."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("Linux only")

    assert this_process().started < (psutil.boot_time() or 1) * 50
    assert this_process().started == holder._started(os.getpid())


def test_it_reads_well() -> None:
    """In a message about a lease."""
    assert str(Holder("lab-server", 7, 1)) == "process 7 on lab-server"
