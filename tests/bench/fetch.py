"""Fetching and keeping one export: Strongroom against curl and restic, on the same file, in turn.

    python -m tests.bench.fetch [--sizes 512M,2G] [--rounds 3]

The peer fetches with `curl -o` and keeps with `restic backup`, into a fresh repository; `unzip -t` and
`restic check --read-data` are what it takes to know as much as Strongroom knows when it commits: that the ZIP is
sound and that what was kept can be read back. Strongroom is measured from opening the link to the committed
snapshot, in a fresh archive. The server is a process of its own and counts for nobody. Nobody's time includes
starting the export. Needs about four times the largest size on the disk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import lab
from tests.bench.lab import Lab, Spent

PEER = "curl + restic"
PROVEN = "curl + restic + both checks"
OURS = "Strongroom"
WHOLE = "  its process, start to end"


@dataclass
class Series:
    """The same thing measured several times."""

    spent: list[Spent] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    def row(self, name: str, peer: Series | None, *, wall: bool = True) -> str:
        """A line of the table: medians, and ratios of medians to the peer's."""
        cells = [f"{self.wall_s:.2f}" if wall else "", f"{self.cpu_s:.2f}", self._peak(), self._stored()]
        if peer is None or not peer.spent:
            cells += ["", ""]
        else:
            ratio = f"{self.wall_s / peer.wall_s:.2f}" if wall else ""
            cells += [ratio, f"{self.cpu_s / peer.cpu_s:.2f}"]
        return f"| {name} | {' | '.join(cells)} |"

    @property
    def wall_s(self) -> float:
        return statistics.median(one.wall_s for one in self.spent)

    @property
    def cpu_s(self) -> float:
        return statistics.median(one.cpu_s for one in self.spent)

    def _peak(self) -> str:
        peak = statistics.median(one.peak_bytes for one in self.spent)
        return lab.mb(peak) if peak else ""

    def _stored(self) -> str:
        return lab.mb(statistics.median(self.stored)) if self.stored else ""


Table = dict[str, Series]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fetch", description=__doc__)
    parser.add_argument("--sizes", default="512M,2G", help="of the exports, as 512M,2G")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up lab")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    given = parser.parse_args()
    if shutil.which("curl") is None:
        raise SystemExit("curl: not installed, and nothing can be compared without it")
    missing = [tool for tool in ("restic", "unzip") if shutil.which(tool) is None]
    print(f"{lab.machine(given.seed, _versions())}; medians of {given.rounds} rounds, tools in turn")
    for tool in missing:
        print(f"{tool}: NOT INSTALLED, its rows are missing (Debian, Ubuntu: apt-get install {tool})")
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=given.folder) as name:
        for text in given.sizes.split(","):
            with lab.demo_lab(Path(name) / "server", given.seed) as server:
                size, table = compare(Path(name), server, lab.size(text), given.rounds)
            print(f"\nOne export of {size / 1e6:.0f} MB\n")
            print("| | wall s | CPU s | peak MB | stored MB | wall / peer | CPU / peer |")
            print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
            peer = table.get(PEER)
            for row, series in table.items():
                print(series.row(row, peer, wall=row != WHOLE))
            print(f"\npeer: {PEER}" if peer else "\nno ratios: there was no peer", flush=True)


def compare(folder: Path, server: Lab, size: int, rounds: int) -> tuple[int, Table]:
    """Bytes of the export, and what everything took."""
    export = folder / "export.zip"
    server.steer(bulk_bytes=size)
    lab.run(["curl", "--silent", "--fail", "-H", f"apiKey: {server.api_key}", "-o", str(export), server.link()])
    server.steer(bulk_bytes=0)
    table: Table = {}
    turns: list[Callable[[Path, Lab], Iterable[tuple[str, Spent, int]]]] = [peer_turn, our_turn]
    for _ in range(rounds):
        for turn in turns:
            server.steer(serve_file=str(export))
            lab.empty(folder / "turn")
            for name, spent, kept in turn(folder / "turn", server):
                series = table.setdefault(name, Series())
                series.spent.append(spent)
                series.stored += [kept] if kept else []
        turns.reverse()
    lab.empty(folder / "turn")
    found = export.stat().st_size
    export.unlink()
    order = [name for name in table if name not in (PEER, PROVEN, OURS, WHOLE)]
    ours = [name for name in order if name.startswith("  ")]
    names = [n for n in order if n not in ours] + [PEER, PROVEN, OURS] + ours + [WHOLE]
    return found, {name: table[name] for name in names if name in table}


def peer_turn(folder: Path, server: Lab) -> Iterable[tuple[str, Spent, int]]:
    """curl, then restic, then what proves the result."""
    folder.mkdir()
    link, file, repo = server.link(), folder / "export.zip", folder / "repo"
    curl = lab.run(["curl", "--silent", "--fail", "-H", f"apiKey: {server.api_key}", "-o", str(file), link])
    yield "curl -o", curl, 0
    proofs = []
    if shutil.which("unzip"):
        proofs.append(lab.run(["unzip", "-tqq", str(file)]))
        yield "unzip -t", proofs[-1], 0
    if not shutil.which("restic"):
        return
    env = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repo), "RESTIC_CACHE_DIR": str(folder / "cache")}
    lab.run(["restic", "init"], env=env)
    backup = lab.run(["restic", "backup", "--quiet", str(file)], env=env)
    kept = lab.stored(repo)
    yield "restic backup", backup, 0
    yield PEER, together([curl, backup]), kept
    proofs.append(lab.run(["restic", "check", "--read-data"], env=env))
    yield "restic check --read-data", proofs[-1], 0
    if len(proofs) > 1:
        yield PROVEN, together([curl, backup, *proofs]), kept


def our_turn(folder: Path, server: Lab) -> Iterable[tuple[str, Spent, int]]:
    """Strongroom, and its phases."""
    path = lab.configure(folder, server)
    notes, whole = lab.back_up(path, server)
    phases = {name: Spent(wall, cpu, 0) for name, (wall, cpu) in notes["phases"].items()}
    total = together(phases.values())
    yield OURS, Spent(total.wall_s, total.cpu_s, notes["peak"]), lab.stored(folder / "archive")
    for name, spent in phases.items():
        yield f"  {name}", spent, 0
    yield WHOLE, whole, 0


def together(parts: Iterable[Spent]) -> Spent:
    """One after the other."""
    parts = list(parts)
    return Spent(
        sum(one.wall_s for one in parts), sum(one.cpu_s for one in parts), max(one.peak_bytes for one in parts)
    )


def _versions() -> list[str]:
    """Tools and their versions, as they tell them."""
    found = []
    for command in (["curl", "--version"], ["restic", "version"]):
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append(" ".join(said.split()[:2]))
    return found


if __name__ == "__main__":
    main()
