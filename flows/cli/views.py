"""Snapshots, files and checks as JSON objects: the shapes that machines may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from storage.contents import Leaf
from storage.decisions import Decision
from storage.history import History
from storage.listing import Entry
from storage.losses import Hit
from storage.snapshot import Snapshot, check_json, to_text
from storage.standing import Standing
from storage.tombstone import Tombstone

if TYPE_CHECKING:  # SQLModel takes its time
    from storage.tables import Run


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
        "tags": list(draft.tags),
        "checks": [check_json(check) for check in draft.checks],
        "files": [file_json(entry) for entry in entries],
    }


def run_json(row: Run) -> dict[str, Any]:
    """A run as the catalog has it; `ended` and `ended_at` are empty where it has no end, `phase` where it has."""
    names = ("id", "source", "scope", "ended", "exit_code", "reason", "hint", "snapshot", "flow_run", "started_at",
             "ended_at", "bytes_fetched", "trigger", "phase")  # fmt: skip
    return {name: getattr(row, name) for name in names}


def gone_json(tomb: Tombstone) -> dict[str, Any]:
    """What is known of a snapshot that is gone; `id` is empty where nobody knows it."""
    return {
        "id": tomb.id,
        "source": tomb.key.source,
        "scope": tomb.key.scope,
        "number": tomb.number,
        "why": tomb.why,
        "since": to_text(tomb.forgotten_at),
        "reason": tomb.reason,
    }


def decision_json(made: Decision) -> dict[str, Any]:
    """What a person decided."""
    return {
        "kind": made.kind,
        "source": made.key.source,
        "scope": made.key.scope,
        "number": made.number,
        "snapshot": made.snapshot,
        "made_at": to_text(made.made_at),
        "by": made.by,
        "reason": made.reason,
        "until": made.until and to_text(made.until),
    }


def standing_json(one: Standing) -> dict[str, Any]:
    """How a snapshot stands, for machines."""
    return {
        "id": one.id,
        "number": one.number,
        "counts": one.counts,
        "why_not": one.why_not,
        "settled_by": one.settled_by,
        "ask": one.ask,
    }


def standing_text(one: Standing) -> str:
    """How a snapshot stands, as a sentence."""
    if one.counts:
        return f"counts{f' ({one.settled_by})' if one.settled_by else ''}"
    parts = dict.fromkeys(filter(None, (one.why_not, one.settled_by)))
    return f"does not count: {'; settled by '.join(parts)}"


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


def leaf_json(leaf: Leaf) -> dict[str, Any]:
    """A file of a snapshot, or a member of one; `sha256` only of a file."""
    return {
        "path": leaf.path,
        "type": "folder" if leaf.folder else "file",
        "size": leaf.size,
        "crc32": f"{leaf.crc32:08x}",
        "sha256": leaf.entry.measured.sha256 if leaf.place is None else None,
        "in": None if leaf.place is None else leaf.entry.path,
    }


def history_json(history: History) -> dict[str, Any]:
    """A file or member over several snapshots."""
    return {
        "source": history.key.source,
        "scope": history.key.scope,
        "path": history.path,
        "snapshots": history.snapshots,
        "first": _night_json(history.first),
        "last": _night_json(history.last),
        "versions": [
            {
                "size": version.leaf.size,
                "crc32": f"{version.leaf.crc32:08x}",
                "first": _night_json(version.first),
                "last": _night_json(version.last),
            }
            for version in history.versions.values()
        ],
    }


def _night_json(found: Snapshot) -> dict[str, str]:
    return {"id": found.id, "taken_at": to_text(found.manifest.draft.taken_at)}
