"""How much memory and time it takes to give very many documents back into a Mayan EDMS.

    python -m tests.bench.giveback [--documents 100000] [--cabinets 5000] [--folder FOLDER] [--plan]

The archive has documents of one small file each, as `many.py` makes them, spread over cabinets ten of which lie in
one, three deep. Each step is a process of its own: "plan" is `restore --to-source --dry-run`, "give" the whole
restore into an empty target, "again" the same command once more, which only compares. The target is made up
(`made_up_target.py`) and answers at once: the seconds are ours, of CPU; what a server takes comes to them, and the
disk, which each document waits for some six times (a folder in /dev/shm is quicker). "Idle" is the process with
everything imported, "planned" its high-water mark after the look.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from flows.sources import mayan_document as documents
from tests.bench import lab
from tests.bench.many import Shelf

STEPS = ("plan", "give", "again")


@dataclass(frozen=True, slots=True)
class Filed(Shelf):
    """Documents in so many cabinets."""

    cabinets: int

    def cabinet(self, n: int) -> str:
        """The full path of the n-th cabinet: its number's digits but the last are the cabinets above."""
        digits = f"{n:04d}"
        return " / ".join(
            f"Office cabinet {digits[:end]}" for end in (len(digits) - 2, len(digits) - 1, len(digits))
        )

    def about(self, n: int) -> bytes:
        """See `Shelf`."""
        found = json.loads(Shelf.about(self, n))
        return documents.encode({**found, "cabinets": [self.cabinet(n % self.cabinets)]})

    def definitions(self) -> bytes:
        """The snapshot's mayan.json."""
        paths = {path for n in range(self.cabinets) for path in _with_above(self.cabinet(n))}
        return documents.encode(
            {
                "format": 1,
                "types": [{"label": "Invoice", "metadata": {"number": {"required": True}}}],
                "metadata_types": [{"name": "number", "label": "Number"}],
                "tags": [{"label": "paid", "color": "#00ff00"}],
                "cabinets": [{"full_path": path} for path in sorted(paths)],
            }
        )


def fill(folder: Path, shelf: Filed) -> None:
    """An archive with a snapshot of the shelf."""
    from storage.archive import Archive
    from storage.backend import open_url
    from storage.snapshot import Draft, ScopeKey
    from storage.verify import Promise, Quality
    from storage.writer import Writer

    now = datetime.now(UTC)
    key = ScopeKey("office", "all")
    writer = Writer(Archive.create(open_url(str(folder / "archive")), now=now), key)
    writer.add(documents.ABOUT, BytesIO(shelf.definitions()), promised=Promise())
    for n, name in shelf.folders():
        scan = shelf.scan(n)
        promised = Promise(len(scan), sha256=hashlib.sha256(scan).hexdigest())
        writer.add(f"{name}/scan {n}.pdf", BytesIO(scan), promised=promised)
        writer.add(f"{name}/{documents.DOCUMENT}", BytesIO(shelf.about(n)), promised=Promise())
    request = {"kind": "all", "name": "all"}
    draft = Draft(key, "mayan", request, "first", "first", {}, {"user": "bench"}, now, Quality.VERIFIED, ())
    writer.commit(draft, clock=lambda: now)


def step(folder: Path, shelf: Filed, what: str) -> dict[str, Any]:
    """One restore, as the command does it."""
    from flows.clock import SystemClock
    from flows.export import Pace
    from flows.giveback import Held, give_back, look
    from flows.ledger import open_ledger
    from flows.sources.base import Connection
    from flows.sources.mayan_restore import Target
    from storage.archive import Archive
    from storage.backend import open_url
    from tests.bench.made_up_target import MadeUpTarget

    archive = Archive.open(open_url(str(folder / "archive")))
    found = archive.find("latest")
    server = MadeUpTarget(folder)
    receiver = Target(Connection(server.base, {"token": "made up"}, requests_per_s=0))
    server.connect(receiver)
    clock, pace = SystemClock(), Pace()
    idle = lab.resident()
    content = Held(archive, found, folder / "parts")
    outlook = look(receiver, content, (), clock, pace)
    notes = {"idle": idle, "planned": lab.high_water()}
    if len(outlook.units) != shelf.documents or outlook.lacking:
        raise SystemExit(f"{len(outlook.units)} documents planned, promised {shelf.documents}; {outlook.lacking}")
    if what != "plan":
        with open_ledger(folder / "state", found.id, server.base) as ledger:
            given = give_back(receiver, content, outlook, ledger, clock=clock, pace=pace)
        if given.equal != shelf.documents or given.problems:
            raise SystemExit(f"{given.equal} equal, promised {shelf.documents}: {given.differences[:3]}")
    receiver.close()
    return notes


def main() -> None:
    """Print the table; with `--step`, be one step of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.giveback", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--cabinets", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--plan", action="store_true", help="only the plan")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step is not None:
        shelf = Filed(given.documents, 1, 0, given.cabinets)
        if given.step == "fill":
            fill(given.folder, shelf)
            return
        began = time.process_time()
        notes = step(given.folder, shelf, given.step)
        notes |= {"peak": lab.high_water(), "seconds": time.process_time() - began}
        (given.folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
        return
    print(f"{given.documents} documents in {given.cabinets} cabinets. {lab.machine(0)}\n")
    print("| step | idle MB | planned MB | peak MB | peak less idle MB | CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=given.folder) as name:
        for what in ("fill", *STEPS[: 1 if given.plan else None]):
            wishes = {"documents": given.documents, "cabinets": given.cabinets, "folder": name, "step": what}
            options = [f"--{key}={value}" for key, value in wishes.items()]
            lab.run([sys.executable, "-m", "tests.bench.giveback", *options])
            if what != "fill":
                notes = json.loads((Path(name) / "notes.json").read_text("utf-8"))
                figures = [lab.mb(notes[key]) for key in ("idle", "planned", "peak")]
                figures += [lab.mb(notes["peak"] - notes["idle"]), f"{notes['seconds']:.1f}"]
                print(f"| {what} | {' | '.join(figures)} |", flush=True)


def _with_above(path: str) -> list[str]:
    parts = path.split(" / ")
    return [" / ".join(parts[:end]) for end in range(1, len(parts) + 1)]


if __name__ == "__main__":
    main()
