"""Rows of the catalog made of manifests and records: the same when a run ends and when the catalog is filled anew.

Pure: values in, rows out. Who writes them is `catalog.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from storage.listing import Entry
from storage.records import RunRecord
from storage.snapshot import Snapshot, check_json, to_text
from storage.tables import CheckRow, Run, SnapshotRow


def run_row(record: RunRecord) -> Run:
    """A finished run."""
    return Run(
        id=record.id,
        source=record.key.source,
        scope=record.key.scope,
        system=record.system,
        request=to_json(record.request),
        trigger=record.trigger,
        flow_run=record.flow_run,
        job=record.job,
        started_at=to_text(record.started_at),
        ended_at=to_text(record.ended_at),
        ended=record.ended.value,
        exit_code=record.exit_code,
        reason=record.reason,
        hint=record.hint,
        snapshot=record.snapshot,
        bytes_fetched=record.bytes_fetched,
    )


def check_rows(record: RunRecord) -> list[CheckRow]:
    """The answers of its verification."""
    return [CheckRow(run=record.id, place=place, **check_json(check)) for place, check in enumerate(record.checks)]


def snapshot_row(found: Snapshot) -> SnapshotRow:
    """A live snapshot."""
    draft = found.manifest.draft
    return SnapshotRow(
        id=found.id,
        source=found.key.source,
        scope=found.key.scope,
        number=found.manifest.number,
        run=draft.run_id,
        taken_at=to_text(draft.taken_at),
        committed_at=to_text(found.manifest.committed_at),
        quality=draft.quality.value,
        files=found.manifest.files,
        size=found.manifest.size,
        stored_bytes=found.manifest.stored_bytes,
    )


def file_rows(found: Snapshot, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Its files, as values for one insert: there may be 100,000."""
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
