"""How much memory a backup takes, by the size of the export: it should not depend on it.

    python -m tests.bench.memory [--bytes 2G] [--prefect]

Backs up one scope of a demo server, each size in a process of its own with an empty archive. "Idle" is that
process with everything imported and opened, before the run; "peak" the kernel's high-water mark at its end.
Needs about four times the largest size on the disk.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench import lab

SIZES = (64 * lab.MIB, 512 * lab.MIB)  # besides the one given
ALLOWED = 150_000_000  # bytes above idle


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--bytes", type=lab.size, default=lab.size("2G"), help="of the largest export, as 2G")
    parser.add_argument("--prefect", action="store_true", help="the real flow, on a Prefect server of its own")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up lab")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    given = parser.parse_args()
    sizes = [*(size for size in SIZES if size < given.bytes), given.bytes]
    what = "the backup flow on a Prefect server" if given.prefect else "the engine without Prefect"
    print(f"Memory of one backup by {what}. {lab.machine(given.seed)}\n")
    print("| export MiB | idle MB | peak MB | difference MB | within 150 MB of idle |")
    print("| ---: | ---: | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=given.folder) as name:
        folder = Path(name)
        for size in sizes:
            idle, peak = measure(folder, size, given.seed, prefect=given.prefect)
            good = "yes" if peak - idle <= ALLOWED else "NO"
            row = (f"{size / lab.MIB:.0f}", lab.mb(idle), lab.mb(peak), lab.mb(peak - idle), good)
            print(f"| {' | '.join(row)} |", flush=True)


def measure(folder: Path, size: int, seed: int, *, prefect: bool) -> tuple[int, int]:
    """Bytes idle and at the peak, for an export with so many bytes of attachments."""
    with lab.demo_lab(folder / "server", seed) as server:
        server.steer(bulk_bytes=size)
        path = lab.configure(folder / "run", server)
        try:
            notes, _ = lab.back_up(path, server, prefect=prefect)
        finally:
            if prefect:
                stop_prefect(path)
    lab.empty(folder / "run")
    return notes["idle"], notes["peak"]


def stop_prefect(path: Path) -> None:
    """Stop the Prefect server that the run started."""
    from flows import config as configuration
    from flows.server_at_hand import stop_server

    stop_server(configuration.load(path).state)


if __name__ == "__main__":
    main()
