"""Who holds a lease: a process on a host, and whether it still lives.

Asks the operating system about processes of this host only; of another host it knows nothing and says so.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, named so that a later process with the same number is not taken for it."""

    host: str
    pid: int
    started: int  # hundredths of a second since the host started, or since 1970 where it does not tell
    boot: str = ""  # which start of the host; "" where it does not tell

    def encode(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Holder:
        """From JSON text. Raises ValueError, KeyError, TypeError."""
        return cls(**json.loads(text))

    def dead(self) -> bool:
        """True where it is certain: a process of this host that is gone. False also means: cannot tell."""
        here = this_process()
        if self.host != here.host:
            return False
        if self.boot != here.boot:
            return True
        try:
            process = psutil.Process(self.pid)
            # A zombie runs no more; it waits for its parent, in a container perhaps for ever.
            return process.status() == psutil.STATUS_ZOMBIE or abs(_started(self.pid) - self.started) > 1
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def alive(text: str, *, leased: bool) -> bool:
    """Whether the holder in `text` lives; one of another host does while a lease of it has not run out.

    False for text that is none: nobody can be asked.
    """
    try:
        holder = Holder.decode(text)
    except (ValueError, KeyError, TypeError):
        return False
    return (leased or holder.host == this_process().host) and not holder.dead()


def this_process() -> Holder:
    """The process that asks."""
    return _this(os.getpid())


@cache
def _this(pid: int) -> Holder:
    # Process numbers mean nothing across containers; each has a name space of its own, which is told apart here.
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:")
    except OSError:
        namespace = ""
    return Holder(socket.gethostname() + namespace, pid, _started(pid), _boot())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int:
    """When the process started. On Linux counted from the start of the host: the wall clock may be set at any
    time, and a process that lives must not look like another one. Source: proc_pid_stat(5), field 22."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return round(psutil.Process(pid).create_time() * 100)
    return int(stat.rpartition(")")[2].split()[19])
