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
    started: int  # hundredths of a second since 1970, as psutil tells it

    def encode(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Holder:
        """From JSON text. Raises ValueError, KeyError, TypeError."""
        return cls(**json.loads(text))

    def dead(self) -> bool:
        """True where it is certain: a process of this host that is gone. False also means: cannot tell."""
        if self.host != this_process().host:
            return False
        try:
            return abs(_started(psutil.Process(self.pid)) - self.started) > 1
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


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
    return Holder(socket.gethostname() + namespace, pid, _started(psutil.Process(pid)))


def _started(process: psutil.Process) -> int:
    return round(process.create_time() * 100)
