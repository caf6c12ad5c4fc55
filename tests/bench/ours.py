"""Strongroom's archive as a command, so that the benchmarks can measure it beside others. It is no benchmark.

    python -m tests.bench.ours create FOLDER
    python -m tests.bench.ours ingest FOLDER FILE MEASURED [--prove]
    python -m tests.bench.ours restore FOLDER TO NUMBER
    python -m tests.bench.ours scrub FOLDER

MEASURED is a JSON file with what a download has measured (size, crc32, sha256). `--prove` rebuilds what was kept
before the commit and compares.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.snapshot import Draft, ScopeKey
from storage.verify import Measured, Promise, Quality

SCOPE = ScopeKey("bench", "lab")
KEY = "STRONGROOM_KEY"  # the environment's variable with the key; not set: the archive is plain


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ours", description=__doc__)
    parser.add_argument("verb", choices=("create", "ingest", "restore", "scrub"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("more", nargs="*")
    parser.add_argument("--prove", action="store_true", help="rebuild before the commit")
    given = parser.parse_args()
    secret = os.environ.get(KEY)
    if given.verb == "create":
        Archive.create(LocalDisk(given.folder), now=datetime.now(UTC), secret=secret, holder="bench")
        return
    archive = Archive.open(LocalDisk(given.folder), secret)
    if given.verb == "ingest":
        path, side = map(Path, given.more)
        ingest(archive, path, side, prove=given.prove)
    elif given.verb == "restore":
        to, number = given.more
        restore_one(archive, Path(to), int(number))
    else:
        scrub_all(archive)


def ingest(archive: Archive, path: Path, side: Path, *, prove: bool) -> None:
    """Keep one file, whose sums are known."""
    from storage.writer import Writer

    measured = Measured(**json.loads(side.read_text("utf-8")))
    writer = Writer(archive, SCOPE)
    with path.open("rb") as content:
        writer.add(path.name, content, promised=Promise(), measured=measured)
    now = datetime.now(UTC)
    run = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    draft = Draft(
        key=SCOPE,
        system="bench",
        request={},
        run_id=run,
        job_id=run,
        job={},
        vendor={},
        taken_at=now,
        quality=Quality.VERIFIED,
        checks=(),
    )
    writer.commit(draft, clock=lambda: datetime.now(UTC), prove=prove)


def restore_one(archive: Archive, to: Path, number: int) -> None:
    """The snapshot of that number into a folder."""
    from storage.restore import Lost, restore

    wanted = next(found for found in archive.snapshots(SCOPE) if found.manifest.number == number)
    lost = [each.problem for each in restore(archive, wanted, to) if isinstance(each, Lost)]
    if lost:
        raise SystemExit(f"lost: {lost[0]}")


def scrub_all(archive: Archive) -> None:
    """Every stored byte."""
    from storage.scrub import scrub

    findings = scrub(archive).findings
    if findings:
        raise SystemExit(f"{findings[0].name}: {findings[0].problem}")


if __name__ == "__main__":
    main()
