"""What a proof sheet says: a snapshot, what reading it again found, and how its chain stands, as values.

Pure: who reads the archive, and what time it is, is the caller's business. `proofpage.py` puts it on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.listing import Entry
from storage.snapshot import Snapshot, to_text
from storage.verify import Measured, Quality

MEANING = {
    Quality.VERIFIED: "It counts as a backup.",
    Quality.PARTIAL: "The system itself says that its export is incomplete, so it does NOT count as a backup.",
    Quality.QUARANTINED: "It is kept because it is what the system delivered, and does NOT count as a backup.",
}


@dataclass(frozen=True, slots=True)
class Reread:
    """What a file of the snapshot was when it was read out of the archive once more."""

    entry: Entry
    got: Measured  # of the bytes that came
    trouble: str = ""  # what ended the reading before its time

    @property
    def problem(self) -> str:
        """Why it is not the file that was kept; "" where it is."""
        kept = self.entry.measured
        if self.trouble:
            return f"{self.trouble} (read {self.got.size:,} of {kept.size:,} bytes)"
        if self.got == kept:
            return ""
        return f"{self.got.size:,} bytes, SHA-256 {self.got.sha256}"


@dataclass(frozen=True, slots=True)
class Chain:
    """How far back the links before a snapshot lead."""

    first: int  # the lowest number that the ids led to, one by one
    broken: str = ""  # why not further; "" where it is number 1, or a link that names no previous one


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that the page says."""

    found: Snapshot
    files: tuple[Reread, ...]
    chain: Chain
    printed_at: datetime
    printed_by: Mapping[str, str]  # versions, as `Draft.tool`
    no_files: str = ""  # why the list of files could not be read; then `files` is empty

    @property
    def damaged(self) -> list[Reread]:
        """The files that are not as they were kept."""
        return [file for file in self.files if file.problem]

    @property
    def lost(self) -> bool:
        """True where a file is not as it was kept; not where only the chain before the snapshot is broken."""
        return bool(self.no_files or self.damaged)

    @property
    def meaning(self) -> str:
        """What the snapshot is worth today."""
        if self.lost:
            return "It does NOT count as a backup until it is mended."
        return MEANING[self.found.manifest.draft.quality]

    @property
    def problems(self) -> list[str]:
        """What this reading found wrong, a sentence each; none where the snapshot is whole and chained."""
        manifest = self.found.manifest
        size = sum(file.entry.measured.size for file in self.files)
        told = []
        if self.no_files:
            told.append(f"the list of files: {self.no_files}")
        elif (len(self.files), size) != (manifest.files, manifest.size):
            told.append(
                f"the list of files: {len(self.files)} files of {size:,} bytes, "
                f"the manifest says {manifest.files} of {manifest.size:,}"
            )
        told += [f"{file.entry.path}: {file.problem}" for file in self.damaged]
        return told + ([f"the chain: {self.chain.broken}"] if self.chain.broken else [])


def follow(found: Snapshot, links: Mapping[int, tuple[str, str | None]]) -> Chain:
    """Walk from a snapshot to the beginning of its chain. `links`: by number, id and id of the previous one.

    Every id in `links` is the SHA-256 of the manifest it belongs to (FORMAT.md section 6): that is what the
    archive's readers prove.
    """
    number, previous = found.manifest.number, found.manifest.previous
    while previous is not None:
        if number - 1 not in links:
            return Chain(number, f"number {number - 1} is missing or cannot be read")
        there, before = links[number - 1]
        if there != previous:
            return Chain(number, f"number {number} names {previous} as its previous one, there is {there}")
        number, previous = number - 1, before
    return Chain(number)


def facts(sheet: Sheet) -> dict[str, Any]:
    """What the page adds to the snapshot's own JSON."""
    manifest = sheet.found.manifest
    rows = [
        {
            "name": file.entry.path,
            "size": file.got.size,
            "crc32": f"{file.got.crc32:08x}",
            "sha256": file.got.sha256,
            "equal": not file.problem,
            "problem": file.problem,
        }
        for file in sheet.files
    ]
    return {
        "read_again_at": to_text(sheet.printed_at),
        "whole": not sheet.problems,
        "problems": sheet.problems,
        "read_again": rows,
        "meaning": sheet.meaning,
        "archive": manifest.archive_id,
        "manifest": sheet.found.name,
        "listing_sha256": manifest.listing_sha256,
        "job": {"id": manifest.draft.job_id, "handle": dict(manifest.draft.job)},
        "chain": {"followed_to": sheet.chain.first, "broken": sheet.chain.broken},
        "written_by": dict(manifest.draft.tool),
        "printed_by": dict(sheet.printed_by),
    }
