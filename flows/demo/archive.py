"""The export ZIP of one job: which members, in which order, and the finished file with its promise.

It does not render documents (archive_xml, archive_html do) and does not know the ZIP format (zipstream does).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from flows.demo import archive_html, archive_xml, bulk
from flows.demo.archive_names import Entry, Naming, manifest_lines, plain_name
from flows.demo.jobs import BuiltFile, Job
from flows.demo.zipstream import ZipStream

_BUFFER = 4 << 20  # bytes; bulk in the default buffer takes three times as long
_BULK_AT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)  # uploaded long ago, so unchanged night after night


def build(job: Job, lab_seed: int, path: Path) -> BuiltFile:
    """Write the job's archive to `path`. Memory: one attachment, whatever the total."""
    root = job.zip_name.removesuffix(".zip")
    at = job.plan.planned_at
    with path.open("wb", buffering=_BUFFER) as out:
        stream = ZipStream(out)
        stream.add_folder(root, at)
        for folder, entries in _ordered(_entries(job, lab_seed)):
            if folder:
                stream.add_folder(f"{root}/{folder}", at)
            for entry in entries:
                stream.add(f"{root}/{entry.name}", entry.data(), entry.at)
        for member in bulk.members(job.plan.bulk_bytes, lab_seed):
            number = 90_000 + int(member.name[-7:-4])
            folder = f"{root}/media_{plain_name(member.name)}-{number}"
            stream.add_folder(folder, at)
            stream.add_deflated(f"{folder}/{member.name}", member, _BULK_AT)
        stream.finish()
    return BuiltFile(path, stream.size, stream.crc32)


def measure(path: Path) -> BuiltFile:
    """The promise for a file that was not built here."""
    crc32 = size = 0
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            crc32 = zlib.crc32(chunk, crc32)
            size += len(chunk)
    return BuiltFile(path, size, crc32)


def _entries(job: Job, lab_seed: int) -> Iterator[Entry]:
    plan, naming = job.plan, Naming(job.plan, Random(job.random_seed), job.random_seed, lab_seed)
    manifest = manifest_lines(plan, naming.archive_id)
    yield Entry.text("manifest.txt", manifest, plan.planned_at)
    if plan.format == "xml":
        yield from archive_xml.entries(plan, naming)
    else:
        yield from archive_html.entries(plan, naming, manifest)


def _ordered(entries: Iterator[Entry]) -> list[tuple[str, list[Entry]]]:
    """Directory order of a file system: looks random, but the same names always come in the same order."""
    by_folder: dict[str, list[Entry]] = {}
    for entry in entries:
        folder, _, name = entry.name.rpartition("/")
        # files on the top level stand between the folders, each in a place of its own
        by_folder.setdefault(folder or f"\0{name}", []).append(entry)
    folders = sorted(by_folder.items(), key=lambda item: _place(item[0]))
    return [("" if f.startswith("\0") else f, sorted(es, key=lambda e: _place(e.name))) for f, es in folders]


def _place(name: str) -> int:
    return zlib.crc32(name.encode())
