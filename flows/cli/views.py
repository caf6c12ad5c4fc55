"""Snapshots, files and checks as JSON objects: the shapes that machines may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.listing import Entry
from storage.losses import Hit
from storage.snapshot import Snapshot, check_json, to_text


def file_json(entry: Entry) -> dict[str, Any]:
    """A file of a snapshot."""
    return {
        "name": entry.path,
        "size": entry.measured.size,
        "sha256": entry.measured.sha256,
        "crc32": f"{entry.measured.crc32:08x}",
        "promised_size": entry.promised.size,
        "promised_crc32": None if entry.promised.crc32 is None else f"{entry.promised.crc32:08x}",
        "promised_sha256": entry.promised.sha256,
        "media_type": entry.media_type,
    }


def snapshot_json(found: Snapshot, entries: Sequence[Entry]) -> dict[str, Any]:
    """A snapshot with its files."""
    manifest, draft = found.manifest, found.manifest.draft
    return {
        "id": found.id,
        "source": found.key.source,
        "scope": found.key.scope,
        "system": draft.system,
        "number": manifest.number,
        "previous": manifest.previous,
        "taken_at": to_text(draft.taken_at),
        "committed_at": to_text(manifest.committed_at),
        "quality": draft.quality.value,
        "size": manifest.size,
        "stored_bytes": manifest.stored_bytes,
        "run": draft.run_id,
        "request": dict(draft.request),
        "vendor": dict(draft.vendor),
        "notes": list(draft.notes),
        "checks": [check_json(check) for check in draft.checks],
        "files": [file_json(entry) for entry in entries],
    }


def hit_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """What was lost, for machines."""
    return [
        {
            "snapshot": hit.snapshot,
            "source": hit.source,
            "scope": hit.scope,
            "listing": hit.listing,
            "files": [{"name": file.path, "members": list(file.members)} for file in hit.files],
        }
        for hit in hits
    ]
