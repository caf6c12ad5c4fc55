"""What the benchmarks share: a demo server in a process of its own, a configuration for it, and measured commands.

Standard library only, so that this process stays smaller than anything it measures.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
KEY = "STRONGROOM_BENCH_KEY"
SOURCE, SCOPE = "lab", "user"  # a scope without a name is called as its kind
SAMPLE_S = 0.01  # between two looks at a process's high-water mark

CONFIGURATION = """\
[[source]]
name = "{source}"
system = "rspace"
url = "{url}"
api_key = {{ env = "{key}" }}
poll_first_s = 0.2
poll_longest_s = 1.0

[[source.scope]]
kind = "{scope}"
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command took. Of its own process and those it waited for."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Lab:
    """A running demo server."""

    url: str
    api_key: str
    control: str

    def steer(self, **wishes: Any) -> None:
        """Send these to the control address, and let a minute pass there, so that its rate limits forget us."""
        self._ask(self.control, json.dumps({"advance_s": 60, **wishes}).encode())

    def link(self) -> str:
        """Start an export of the key's own records; the address of its file, which is built by then."""
        job = self._ask(f"{self.url}/api/v1/export/xml/{SCOPE}", b"maxLinkLevel=1")
        done = self._ask(f"{self.url}/api/v1/jobs/{job['id']}")
        if done["status"] != "COMPLETED":
            raise SystemExit(f"the demo server's job is {done['status']}, promised COMPLETED")
        return next(str(each["link"]) for each in done["_links"] if each["rel"] == "enclosure")

    def _ask(self, url: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(url, body, {"apiKey": self.api_key})  # noqa: S310
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as answer:
            return json.load(answer)


@contextmanager
def demo_lab(folder: Path, seed: int) -> Iterator[Lab]:
    """A demo server whose exports are built under `folder`, stopped at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.demo", "--poll-free", "--seed", str(seed)]
    env = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env) as server:
        try:
            assert server.stdout is not None
            said = json.loads(server.stdout.readline())
            yield Lab(said["rspace"]["url"], said["rspace"]["api_key"], said["control"])
        finally:
            server.terminate()


def configure(folder: Path, lab: Lab) -> Path:
    """A new folder with a strongroom.toml that names the lab; the configuration's path."""
    folder.mkdir(parents=True)
    path = folder / "strongroom.toml"
    text = CONFIGURATION.format(source=SOURCE, url=lab.url, key=KEY, scope=SCOPE)
    path.write_text(text, encoding="utf-8")
    return path


def back_up(path: Path, lab: Lab, *, prefect: bool = False) -> tuple[dict[str, Any], Spent]:
    """Run one backup in a process of its own: what it noted about itself, and what all of it took."""
    notes = path.with_name("notes.json")
    command = [sys.executable, "-m", "tests.bench.one_run", str(path), SOURCE, SCOPE, str(notes)]
    spent = run([*command, "--prefect"] if prefect else command, env={KEY: lab.api_key})
    return json.loads(notes.read_text("utf-8")), spent


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Spent:
    """Run a command to its end, here or in `cwd`, and measure it. Ends the program where the command fails."""
    began = time.monotonic()
    # A configured Prefect server is somebody's: measurements must not enter its history.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    child = subprocess.Popen(
        command, cwd=cwd or ROOT, env={**clean, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout is not None
    peaks = [0]
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(child.pid, peaks, stop))
    watcher.start()
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - began
    stop.set()
    watcher.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {child.returncode}:\n{said.decode('utf-8', 'replace')}")
    return Spent(wall_s, usage.ru_utime + usage.ru_stime, max(peaks) or in_bytes(usage.ru_maxrss))


def high_water(pid: int | str = "self") -> int:
    """Most bytes that a process ever had in memory, by the kernel; 0 where the system does not say (no /proc).

    `ru_maxrss` will not do where this is there: a child inherits its parent's in the moment before it becomes
    another program.
    """
    return _status(pid, "VmHWM")


def resident() -> int:
    """Bytes that this process has in memory now; 0 where the system does not say."""
    return _status("self", "VmRSS")


def in_bytes(maxrss: int) -> int:
    """`ru_maxrss` is in KiB on Linux and in bytes on macOS."""
    return maxrss if sys.platform == "darwin" else maxrss << 10


def machine(seed: int, tools: Sequence[str] = ()) -> str:
    """One line of facts that figures depend on."""
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{os.cpu_count()} cores",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
        f"Strongroom {metadata.version('strongroom')}",
    ]
    return ", ".join([*parts, *tools, f"seed {seed}"])


def size(text: str) -> int:
    """Bytes from `512M`, `2G` or a plain number."""
    units = {"K": 1 << 10, "M": MIB, "G": 1 << 30}
    unit = units.get(text[-1:].upper())
    return int(text[:-1]) * unit if unit else int(text)


def mb(count: float) -> str:
    """Bytes as MB, for a table."""
    return f"{count / 1e6:.0f}"


def stored(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def empty(folder: Path) -> None:
    """Remove a folder, and let the disk finish, so that one tool's writes are not another's wait."""
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()


def _watch(pid: int, peaks: list[int], stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_S):
        peaks[0] = max(peaks[0], high_water(pid))


def _status(pid: int | str, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")), 0)
