"""How quick the quick verbs are on an archive of many nights, and how long its catalog takes to make and to check.

    python -m tests.bench.catalog [--snapshots 10000] [--files 10000] [--scopes 100]

Makes an archive whose snapshots all name one listing and a few packs, their manifests and records written one by
one, some 5 kB a snapshot on the disk. Seconds on the wall and of CPU: of whole processes, then of calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

from storage import records, snapshot
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import NIGHT, START, Clock, draft, run_record

CONFIG = """[archive]
url = "archive"
[[source]]
name = "lab"
system = "rspace"
url = "http://127.0.0.1:9"
api_key = { env = "NO_KEY" }
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.catalog", description=__doc__)
    parser.add_argument("--snapshots", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=10_000, help="of each snapshot")
    parser.add_argument("--scopes", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        took = seconds(lambda: make(folder, given.snapshots, given.files, given.scopes))
        print(f"made {given.snapshots} snapshots of {given.files} files, {given.scopes} scopes: {took}")
        for verb in (
            "catalog rebuild",
            "catalog rebuild",
            "catalog check",
            "status",
            "snapshots",
            "snapshots --last 20",
            "show latest",
            "doctor",
            "snapshots --help",
        ):
            print(f"{verb:<20} {seconds(partial(strongroom, folder, verb))}")
        archive = Archive.open(LocalDisk(folder / "archive"))
        key = ScopeKey("lab", "scope 0")
        print(f"{'newest of a scope':<20} {seconds(lambda: archive.newest(key))}")
        print(f"{'a writer opens':<20} {seconds(lambda: Writer(archive, key))}")
        add = partial(Writer(archive, key).add, "again", BytesIO(b"%08d" % 1), promised=Promise())
        print(f"{'a known file':<20} {seconds(add)}")


def make(folder: Path, snapshots: int, files: int, scopes: int) -> None:
    """The archive, its configuration, and no catalog."""
    tables = (f'[[source.scope]]\nname = "scope {n}"\nkind = "user"\nid = {n + 1}\n' for n in range(scopes))
    (folder / "strongroom.toml").write_text(CONFIG + "".join(tables), encoding="utf-8")
    archive = Archive.create(LocalDisk(folder / "archive"), now=START)
    heads = [first(archive, ScopeKey("lab", f"scope {n}"), files) for n in range(scopes)]
    for number in range(snapshots - scopes):
        scope = number % scopes
        heads[scope] = after(archive, heads[scope])


def first(archive: Archive, key: ScopeKey, files: int) -> Snapshot:
    """A snapshot as a run makes it."""
    writer = Writer(archive, key)
    for number in range(files):
        writer.add(f"folder/{number:08d}.xml", BytesIO(b"%08d" % number), promised=Promise(size=8))
    return record(archive, writer.commit(told(key, 1), clock=Clock(START)))


def after(archive: Archive, before: Snapshot) -> Snapshot:
    """The next night of the same content: its manifest and its record alone."""
    number = before.manifest.number + 1
    manifest = replace(
        before.manifest, draft=told(before.key, number), number=number, previous=before.id, stored_bytes=0
    )
    data, name = snapshot.encode(manifest), snapshot.manifest_name(before.key, number)
    write(archive, name, data)
    return record(archive, snapshot.decode(data, name))


def told(key: ScopeKey, number: int) -> snapshot.Draft:
    at = START + number * NIGHT
    check = draft().checks[0]
    return draft(key, at, run_id=f"{at:%Y%m%d-%H%M%S}-{key.scope[6:]:0>8}", checks=(check,) * 8)


def record(archive: Archive, found: Snapshot) -> Snapshot:
    told = found.manifest.draft
    at = told.taken_at
    run = run_record(
        told.run_id, key=found.key, started_at=at, ended_at=at + timedelta(minutes=5), snapshot=found.id,
        checks=told.checks,
    )  # fmt: skip
    write(archive, snapshot.record_name(run.id), records.encode(run))
    return found


def write(archive: Archive, name: str, data: bytes) -> None:
    """As `put_new`, without waiting for the disk 20,000 times."""
    assert isinstance(archive.backend, LocalDisk)
    path = archive.backend.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def strongroom(folder: Path, verb: str) -> None:
    command = [sys.executable, "-m", "flows.cli", *verb.split()]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if verb.startswith("catalog"):
        print(" ", (done.stdout + done.stderr).splitlines()[0])


def seconds(what: Callable[[], object]) -> str:
    """On the wall and of CPU, of this process and those it waited for."""
    wall, before = time.monotonic(), os.times()
    what()
    cpu = sum(os.times()[:4]) - sum(before[:4])
    return f"{time.monotonic() - wall:8.3f} {cpu:8.3f}"


if __name__ == "__main__":
    main()
