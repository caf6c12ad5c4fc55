"""How much memory and time a night of very many small files takes: documents that a system has one by one.

    python -m tests.bench.many [--documents 100000] [--changed 100] [--folder FOLDER]

Each document is a file whose SHA-256 is promised, and a document.json that nobody promises, as with Mayan EDMS.
The first night is put into the archive by its writer alone, because a spool of so many files measures the disk's
fsync. Then a night on which nothing changed, and one on which every so many-th document has another file: by the
engine, each in a process of its own, from a source that makes its files up. "Idle" is that process with everything
imported and opened; "fetched" and "peak" are the kernel's high-water marks after the download and at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

from flows.sources import mayan_document as documents
from tests.bench import lab

NIGHTS = ("first, by the writer alone", "nothing changed", "some changed")


@dataclass(frozen=True, slots=True)
class Shelf:
    """So many documents; on night 2 every `changed`-th one has another file."""

    documents: int
    changed: int
    night: int

    def folders(self) -> Iterator[tuple[int, str]]:
        """Where each document lies."""
        return ((n, f"Invoice/Invoice {n:06d} of a supplier [{n}]") for n in range(1, self.documents + 1))

    def scan(self, n: int) -> bytes:
        """Its file."""
        version = int(self.night == 2 and n % self.changed == 0)
        return f"{hashlib.sha256(b'%d %d' % (n, version)).hexdigest()}\n".encode() * 5

    def about(self, n: int) -> bytes:
        """Its document.json, in the shape that Mayan's dialect gives it."""
        data, at = self.scan(n), "2026-11-22T03:30:00Z"
        digest = hashlib.sha256(data).hexdigest()
        file = {"id": n, "filename": f"scan {n}.pdf", "name": f"scan {n}.pdf", "size": len(data), "sha256": digest}
        told = {"mimetype": "application/pdf", "encoding": "binary", "comment": "", "timestamp": at}
        version = {"id": n, "active": True, "comment": "", "timestamp": at}
        document = {
            "format": 1, "id": n, "uuid": str(UUID(int=n)), "label": f"Invoice {n:06d} of a supplier",
            "description": "", "language": "eng", "created": at, "type": "Invoice", "file_latest": n,
            "version_active": n, "files": [file | told],
            "versions": [version | {"pages": [{"page": 1, "file": n, "page_of_file": 1}]}],
            "metadata": {"number": f"{n}"}, "tags": ["paid"], "cabinets": ["Office / 2026"], "comments": [],
            "forbidden": [], "unsettled": False,
        }  # fmt: skip
        return documents.encode(document)


def by_writer(folder: Path, shelf: Shelf) -> dict[str, Any]:
    """The first night."""
    from storage.archive import Archive
    from storage.backend import open_url
    from storage.snapshot import Draft, ScopeKey
    from storage.verify import Promise, Quality
    from storage.writer import Writer

    now = datetime.now(UTC)
    archive = Archive.create(open_url(str(folder / "archive")), now=now)
    idle = lab.resident()
    key = ScopeKey("office", "all")
    writer = Writer(archive, key)
    for n, name in shelf.folders():
        scan, about = shelf.scan(n), shelf.about(n)
        promised = Promise(len(scan), sha256=hashlib.sha256(scan).hexdigest())
        writer.add(f"{name}/scan {n}.pdf", BytesIO(scan), promised=promised, media_type="application/pdf")
        writer.add(
            f"{name}/{documents.DOCUMENT}", BytesIO(about), promised=Promise(), media_type="application/json"
        )
    fetched = lab.high_water()
    request = {"kind": "all", "name": "all"}
    draft = Draft(key, "mayan", request, "first", "first", {}, {"user": "bench"}, now, Quality.VERIFIED, ())
    writer.commit(draft, clock=lambda: now)
    return {"idle": idle, "fetched": fetched}


def by_engine(folder: Path, shelf: Shelf) -> dict[str, Any]:
    """Another night, from the begin of a run to its record."""
    from flows.clock import SystemClock
    from flows.config import SourceTable
    from flows.export import Pace, Scope
    from flows.lifecycle import Engine
    from flows.plan import Places, Plan
    from storage.archive import Archive
    from storage.backend import open_url
    from storage.catalog import Catalog
    from storage.policy import Policy
    from tests.bench.made_up import MadeUp

    table = SourceTable(name="office", system="mayan", url="http://127.0.0.1:1")
    plan = Plan(table, Scope("all", "all"), Policy(), Pace())
    with Catalog.open(folder / "catalog.db") as catalog:
        places = Places(Archive.open(open_url(str(folder / "archive"))), catalog, folder / "spool")
        engine = Engine(plan, MadeUp(shelf), places, SystemClock())
        idle = lab.resident()
        engine.begin(trigger="bench")
        engine.login()
        with engine.lease():
            job = engine.start()
            status = engine.wait(job)
            spooled = engine.download(job, status)
            fetched = lab.high_water()
            found = engine.keep(job, status, spooled)
            engine.finish(job, found)
        assert engine.entries(found)[0].path  # as the flow does, for its page
    if found.manifest.draft.quality != "verified" or found.manifest.files != 2 * shelf.documents:
        raise SystemExit(f"{found.manifest.files} files, {found.manifest.draft.quality}; promised all, verified")
    return {"idle": idle, "fetched": fetched}


def main() -> None:
    """Print the table; with `--night`, be one night of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=100, help="on the last night, each so many-th")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--night", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.night is not None:
        shelf = Shelf(given.documents, given.changed, given.night)
        began = time.process_time()
        notes = (by_engine if given.night else by_writer)(given.folder, shelf)
        notes |= {"peak": lab.high_water(), "seconds": time.process_time() - began}
        (given.folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
        return
    print(f"{given.documents} documents of two files, 1 in {given.changed} changed. {lab.machine(0)}\n")
    print("| night | idle MB | fetched MB | peak MB | peak less idle MB | CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=given.folder) as name:
        for night, what in enumerate(NIGHTS):
            wishes = {"documents": given.documents, "changed": given.changed, "folder": name, "night": night}
            options = [f"--{key}={value}" for key, value in wishes.items()]
            lab.run([sys.executable, "-m", "tests.bench.many", *options])
            notes = json.loads((Path(name) / "notes.json").read_text("utf-8"))
            figures = [lab.mb(notes[key]) for key in ("idle", "fetched", "peak")]
            figures += [lab.mb(notes["peak"] - notes["idle"]), f"{notes['seconds']:.1f}"]
            print(f"| {what} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
