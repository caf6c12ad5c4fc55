"""The records of upkeep: what a scrub read and found, what a drill gave back. Files beside the records of runs.

Pure: values to canonical bytes and back. The catalog's rows about them are made from these and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.index import pack_digest
from storage.snapshot import ScopeKey, from_text, to_text

FORMAT = 1
ROLLED_BACK = "rolled back"  # how the problem of a head that is gone begins
MISSING = "missing"  # the problem of a pack that is not there
STRAY = "no file of an archive"  # how that of a file begins that has no business there
Heads = Mapping[str, tuple[int, str]]  # "source/scope" -> number and id of the newest link of its chain


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the file, what it is, and the snapshots that cannot be trusted because of it."""

    name: str
    problem: str
    snapshots: tuple[str, ...] = ()
    lost: bool = False  # a repair gave it up and said so: nothing about the rest is unknown. Not in the record

    @property
    def lost_head(self) -> bool:
        """A head that was noted is gone: the archive is older than it was."""
        return self.problem.startswith(ROLLED_BACK)

    @property
    def stray(self) -> bool:
        """A file that no archive has: put there by somebody else, or renamed. It may hold anything."""
        return self.problem.startswith(STRAY)


@dataclass(frozen=True, slots=True)
class ScrubRecord:
    """One scrub."""

    id: str  # begins with its date: see snapshot.record_name
    started_at: datetime
    ended_at: datetime
    asked: str  # how much was to be read
    packs: int  # that were there
    packs_read: int
    bytes_read: int
    good: Mapping[str, int]  # packs read and found good: digest -> bytes
    findings: tuple[Finding, ...]
    heads: Heads


@dataclass(frozen=True, slots=True)
class DrillRecord:
    """One restore for practice."""

    id: str
    snapshot: str
    key: ScopeKey
    started_at: datetime
    ended_at: datetime
    files: int  # given back, each proven
    size: int  # bytes of these
    milliseconds: int  # that giving them back took
    problems: tuple[str, ...] = ()  # what could not be given back, or is not what it should be

    @property
    def passed(self) -> bool:
        """Everything came back."""
        return not self.problems

    def sentence(self) -> str:
        """For people: what came of it, and how long that took."""
        seconds = f"{self.milliseconds / 1000:,.1f} s"
        back = f"{self.files} files, {self.size:,} bytes given back in {seconds}, each size and SHA-256 proven"
        return f"drill of {self.snapshot[:8]}, {self.key}: {'passed' if self.passed else 'failed'}; {back}"


@dataclass(frozen=True, slots=True)
class Noted:
    """A head that somebody noted: a link that must still be in its chain."""

    chain: str
    number: int
    id: str
    at: str  # when, as text; "" where nobody knows


@dataclass(frozen=True, slots=True)
class Told:
    """What scrubs found and nothing contradicts since, each with the problem and the day."""

    packs: Mapping[str, str]  # by digest
    snapshots: Mapping[str, str]  # by id, where the finding is about another file than a pack


def told(newest_first: Iterable[ScrubRecord]) -> Told:
    """What these scrubs tell together: of a pack the last that read it, of all else the last one.

    A pack that was missing and is there again was not read since: whether one is missing is seen without a record.
    """
    packs: dict[str, str] = {}
    snapshots: dict[str, str] = {}
    for place, record in enumerate(newest_first):
        day = f"{record.started_at:%Y-%m-%d}"
        for finding in record.findings:
            pack = pack_digest(finding.name)
            if pack and finding.problem != MISSING:
                packs.setdefault(pack, f"pack {pack[:12]}, by the scrub of {day}: {finding.problem}")
            elif not pack and not place:
                for one in finding.snapshots:
                    snapshots.setdefault(one, f"by the scrub of {day}: {finding.problem}")
        for pack in record.good:
            packs.setdefault(pack, "")
    return Told(packs, snapshots)


def encode(record: ScrubRecord | DrillRecord) -> bytes:
    """Canonical bytes of a record (FORMAT.md section 7)."""
    times = {"started_at": to_text(record.started_at), "ended_at": to_text(record.ended_at)}
    common = {"format": FORMAT, "id": record.id, **times}
    if isinstance(record, DrillRecord):
        return canonical.seal(
            {
                **common,
                "kind": "drill",
                "snapshot": record.snapshot,
                "source": record.key.source,
                "scope": record.key.scope,
                "outcome": "passed" if record.passed else "failed",
                "files": record.files,
                "bytes": record.size,
                "milliseconds": record.milliseconds,
                "problems": list(record.problems),
            }
        )
    return canonical.seal(
        {
            **common,
            "kind": "scrub",
            "asked": record.asked,
            "packs": record.packs,
            "packs_read": record.packs_read,
            "bytes_read": record.bytes_read,
            "good": dict(record.good),
            "findings": [finding_json(finding) for finding in record.findings],
            "heads": heads_json(record.heads),
        }
    )


def decode(data: bytes, name: str) -> ScrubRecord | DrillRecord | None:
    """The record in `data`; None for a record of another kind. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        if value["kind"] not in ("scrub", "drill"):
            return None
        if value["format"] != FORMAT:
            raise FormatUnknown(f"{name}: format {value['format']}, this version reads {FORMAT}")
        return _drill(value) if value["kind"] == "drill" else _scrub(value)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a record that this version wrote: {exc!r}") from exc


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as records and --json hold it."""
    return {"file": finding.name, "problem": finding.problem, "snapshots": list(finding.snapshots)}


def heads_json(heads: Heads) -> dict[str, Any]:
    """Heads as records and --json hold them."""
    return {key: {"number": number, "id": head} for key, (number, head) in heads.items()}


def heads_from_json(value: Any) -> dict[str, tuple[int, str]]:
    """The heads again. Raises ValueError, KeyError, TypeError."""
    heads = {}
    for key, head in canonical.mapping(value).items():
        heads[str(key_of(key))] = (canonical.count(head["number"]), canonical.digest(head["id"]))
    return heads


def key_of(text: str) -> ScopeKey:
    """The chain that a head is of. Raises ValueError."""
    source, _, scope = text.partition("/")
    return ScopeKey(source, scope)


def _scrub(value: Mapping[str, Any]) -> ScrubRecord:
    return ScrubRecord(
        id=canonical.text(value["id"]),
        started_at=from_text(value["started_at"]),
        ended_at=from_text(value["ended_at"]),
        asked=canonical.text(value["asked"]),
        packs=canonical.count(value["packs"]),
        packs_read=canonical.count(value["packs_read"]),
        bytes_read=canonical.count(value["bytes_read"]),
        good={canonical.digest(k): canonical.count(v) for k, v in canonical.mapping(value["good"]).items()},
        findings=tuple(
            Finding(canonical.text(one["file"]), canonical.text(one["problem"]), tuple(one["snapshots"]))
            for one in value["findings"]
        ),
        heads=heads_from_json(value["heads"]),
    )


def _drill(value: Mapping[str, Any]) -> DrillRecord:
    return DrillRecord(
        id=canonical.text(value["id"]),
        snapshot=canonical.digest(value["snapshot"]),
        key=ScopeKey(canonical.text(value["source"]), canonical.text(value["scope"])),
        started_at=from_text(value["started_at"]),
        ended_at=from_text(value["ended_at"]),
        files=canonical.count(value["files"]),
        size=canonical.count(value["bytes"]),
        milliseconds=canonical.count(value["milliseconds"]),
        problems=tuple(canonical.text(problem) for problem in value["problems"]),
    )
