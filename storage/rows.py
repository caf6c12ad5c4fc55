"""Rows of the catalog made of manifests and records: the same when a run ends and when the catalog is filled anew.

Pure: values in, rows out, each a mapping by column. Who writes them is `finished.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from storage.decisions import Decision
from storage.listing import Entry
from storage.records import RunRecord
from storage.snapshot import Snapshot, check_json, to_text
from storage.tombstone import Tombstone

# Files of one snapshot that get rows. Exports are a few files each, and their names are asked for by SQL; of one
# with 100,000 a night, rows would grow the catalog by 40 MB a night for ever, and its listing has them all.
MAX_FILES = 1000

Row = dict[str, Any]


def run_row(record: RunRecord, *, names: bool = True) -> Row:
    """A finished run. `names`: false where nothing may be told that could name a record."""
    return {
        "id": record.id,
        "source": record.key.source,
        "scope": record.key.scope,
        "system": record.system,
        "request": to_json(record.request),
        "trigger": record.trigger,
        "flow_run": record.flow_run,
        "job": record.job,
        "started_at": to_text(record.started_at),
        "holder": "",
        "phase": "",
        "ended_at": to_text(record.ended_at),
        "ended": record.ended.value,
        "exit_code": record.exit_code,
        "reason": record.reason if names else "",
        "hint": record.hint,
        "snapshot": record.snapshot,
        "bytes_fetched": record.bytes_fetched,
    }


def check_rows(record: RunRecord, *, names: bool = True) -> list[Row]:
    """The answers of its verification."""
    hidden = {} if names else dict.fromkeys(("file", "promised", "got", "reason"), "")
    return [
        {"run": record.id, "place": place, **check_json(check), **hidden}
        for place, check in enumerate(record.checks)
    ]


def snapshot_row(found: Snapshot) -> Row:
    """A live snapshot."""
    draft = found.manifest.draft
    return {
        "id": found.id,
        "source": found.key.source,
        "scope": found.key.scope,
        "number": found.manifest.number,
        "run": draft.run_id,
        "taken_at": to_text(draft.taken_at),
        "committed_at": to_text(found.manifest.committed_at),
        "quality": draft.quality.value,
        "files": found.manifest.files,
        "size": found.manifest.size,
        "stored_bytes": found.manifest.stored_bytes,
        "forgotten_at": "",
        "forgotten_because": "",
        "gone": "",
    }


def forgotten_row(tomb: Tombstone) -> Row:
    """A snapshot that is forgotten, erased or lost; what is not known is empty. It has no rows of files."""
    why = {"forgotten_at": to_text(tomb.forgotten_at), "forgotten_because": tomb.reason, "gone": tomb.why}
    if tomb.manifest:
        return {**snapshot_row(Snapshot(tomb.id, tomb.manifest)), **why}
    gone = tomb.gone
    return {
        "id": tomb.id or f"lost:{tomb.key}/{tomb.number}",
        "source": tomb.key.source,
        "scope": tomb.key.scope,
        "number": tomb.number,
        "run": gone.run_id if gone else "",
        "taken_at": to_text(gone.taken_at) if gone and gone.taken_at else "",
        "committed_at": to_text(gone.committed_at) if gone and gone.committed_at else "",
        "quality": "",
        "files": 0,
        "size": 0,
        "stored_bytes": 0,
        **why,
    }


def decision_row(decision: Decision) -> Row:
    """What a person decided about a snapshot."""
    return {
        "source": decision.key.source,
        "scope": decision.key.scope,
        "number": decision.number,
        "n": decision.n,
        "kind": decision.kind,
        "snapshot": decision.snapshot,
        "made_at": to_text(decision.made_at),
        "by": decision.by,
        "reason": decision.reason,
        "until": "" if decision.until is None else to_text(decision.until),
    }


def tells_names(row: Mapping[str, Any]) -> bool:
    """Whether a snapshot's row is of one that tells what its source and scope were asked for."""
    return row["gone"] in ("", "forgotten")


def has_file_rows(found: Snapshot, *, names: bool = True) -> bool:
    """Whether the files of a snapshot get rows."""
    return names and found.manifest.files <= MAX_FILES


def file_rows(found: Snapshot, entries: Iterable[Entry]) -> list[Row]:
    """Its files; for a snapshot that `has_file_rows`."""
    return [
        {
            "snapshot": found.id,
            "path": entry.path,
            "size": entry.measured.size,
            "crc32": entry.measured.crc32,
            "sha256": entry.measured.sha256,
            "promised_size": entry.promised.size,
            "promised_crc32": entry.promised.crc32,
            "promised_sha256": entry.promised.sha256,
        }
        for entry in entries
    ]


def to_json(value: Mapping[str, Any]) -> str:
    """A mapping as a column holds it: sorted, so that equal values are equal text."""
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False)


def run_facts(row: Mapping[str, Any], checks: str) -> Row:
    """What a finished run's row says, without what is in flight, with a digest of its checks."""
    return {**{key: value for key, value in row.items() if key not in ("holder", "phase")}, "checks": checks}


def snapshot_facts(row: Mapping[str, Any], files: str) -> Row:
    """What a snapshot's row says, with a digest of its files' rows; none where it has too many of them."""
    return {**row, "file rows": files if row["files"] <= MAX_FILES else ""}


def digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of one table, in the order of their keys, as one short text: how many, and a hash of them all."""
    count, sha256 = 0, hashlib.sha256()
    for row in rows:
        count += 1
        sha256.update(to_json(row).encode())
    return f"{count} rows {sha256.hexdigest()[:16]}" if count else ""
