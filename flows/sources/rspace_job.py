"""What RSpace says of an export job, as our words: its states, its promise, its link.

Pure. Facts: contract rspace.md section 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flows.errors import SourceUnexpected
from flows.export import ExportFile, State, Status
from flows.sources.client import Answer
from flows.sources.rspace_wire import MAX_FIELD, field, lines
from storage.verify import Promise

# Spring Batch's words (section 2). RUNNING, in RSpace's documents, never occurs.
STATES = {
    "STARTING": State.PENDING,
    "STARTED": State.RUNNING,
    "STOPPING": State.RUNNING,
    "STOPPED": State.FAILED,
    "COMPLETED": State.READY,
    "FAILED": State.FAILED,
    "ABANDONED": State.FAILED,
    "UNKNOWN": State.FAILED,
}


def status_of(answer: Answer) -> Status:
    """What an answer of 200 says of the job. Raises SourceUnexpected for a word or a promise that is not known."""
    raw = field(answer, "status", str)
    if raw not in STATES:
        raise SourceUnexpected(f"RSpace: job status {raw[:40]!r} is not known")
    body = answer.json()
    result = body.get("result") if isinstance(body.get("result"), dict) else {}
    state = STATES[raw]
    percent = body.get("percentComplete")
    progress = percent / 100 if isinstance(percent, int | float) and 0 <= percent <= 100 else None
    if state is State.FAILED:
        reason = "; ".join(lines(result))[:600]
        return Status(state, raw, reason or "RSpace gives no reason", server_time=answer.date)
    if state is not State.READY:
        return Status(state, raw, progress=progress, server_time=answer.date)
    if result.get("size") is None:
        return Status(State.EXPIRED, raw, "RSpace has removed the export file", server_time=answer.date)
    name = path_of(enclosure(answer)).rpartition("/")[2]
    if not name.strip(".") or not name.isprintable() or len(name) > MAX_FIELD:
        raise SourceUnexpected("RSpace: a finished job's link has no usable file name")
    file = ExportFile(name, _promise(result), "application/zip")
    return Status(state, raw, progress=1, expires_at=_expiry(result), server_time=answer.date, files=(file,))


def _promise(result: Mapping[str, Any]) -> Promise:
    """Size and CRC-32. The checksum is a decimal string, unpadded (section 2); compared as an integer."""
    size, checksum, algorithm = result.get("size"), result.get("checksum"), result.get("algorithm")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise SourceUnexpected(f"RSpace: size {str(size)[:40]!r} is no number of bytes")
    number = int(checksum) if isinstance(checksum, str) and re.fullmatch(r"[0-9]{1,10}", checksum) else -1
    if algorithm != "CRC32" or not 0 <= number < 1 << 32:
        raise SourceUnexpected(
            f"RSpace: checksum {str(checksum)[:40]!r} by {str(algorithm)[:40]!r}, CRC32 was expected"
        )
    return Promise(size, number)


def _expiry(result: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.strptime(result["expiryDate"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None


def enclosure(answer: Answer) -> str:
    """The link of a finished job. Raises SourceUnexpected where there is none."""
    body = answer.json()
    links = body.get("_links") if isinstance(body, dict) else None
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "enclosure" and isinstance(link.get("link"), str):
            return str(link["link"])
    raise SourceUnexpected("RSpace: a finished job has no enclosure link")


def path_of(link: str) -> str:
    """The path of a link, without host and query. Raises SourceUnexpected for what is no URL."""
    try:
        return urlsplit(link).path
    except ValueError as exc:
        raise SourceUnexpected("RSpace: a finished job's link is no URL") from exc
