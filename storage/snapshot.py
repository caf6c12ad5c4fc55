"""Manifests: what they say, and what they, their tombstones and records of runs are called.

Pure: values to canonical bytes and back. Who writes them, and in which order, is `writer.py`'s business.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from storage import canonical
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.verify import Check, Outcome, Quality

FORMAT = 3  # written; 1, whose listing is plain JSON in pieces, and 2, without tags and level, are read
_FORMATS = (1, 2, 3)
FRAME = {"format", "kind", canonical.SEAL}  # what every sealed file has
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_LINK = re.compile(r"snapshots/([^/]+)/([^/]+)/([0-9]{8,12})(\.forgotten|\.erased)?\.json")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_OF_CHECK = tuple(
    one.name for one in fields(Check)
)  # asdict would copy each: half of the time of reading a manifest
_MAX_NAME = 200  # bytes of a source's or scope's name once escaped: file systems stop at 255

Kind = Literal["live", "forgotten", "erased"]  # of a link
Json = Any  # what canonical.encode takes: the dialect's words, carried and never read here


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """What a chain of snapshots is about. Retention groups by it, never by file names."""

    source: str
    scope: str

    def __post_init__(self) -> None:
        for part in (self.source, self.scope):
            if not 0 < len(_safe(part)) <= _MAX_NAME:
                raise ValueError(
                    f"name {part[:40]!r}: 1 to {_MAX_NAME} bytes once escaped, got {len(_safe(part))}"
                )

    def __str__(self) -> str:
        return f"{self.source}/{self.scope}"


@dataclass(frozen=True, slots=True)
class Link:
    """What the name of a file in a chain's folder says, before the file is read."""

    name: str
    key: ScopeKey
    number: int
    forgotten: bool  # a tombstone
    erased: bool = False  # one that stands above any other file of its number


@dataclass(frozen=True, slots=True)
class Compared:
    """How the records of an export differ from those of an earlier one."""

    snapshot: str  # id of the earlier one
    vanished: int  # records of the earlier one that this one lacks
    appeared: int  # records of this one that the earlier one lacks
    of: int  # records of the earlier one


@dataclass(frozen=True, slots=True)
class Level:
    """How much an export holds: what tells whether it is in its scope's band."""

    records: int | None  # None where the system's paths tell no records
    compared: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What the caller knows of a snapshot before it is written."""

    key: ScopeKey
    system: str
    request: Mapping[str, Json]  # what was asked: kind, ids, format and options of the scope
    run_id: str
    job_id: str  # ours; equal for every run that carried the same export
    job: Mapping[str, Json]  # the vendor's handle, without URL and secret
    vendor: Mapping[str, Json]  # version, account and clock of the system as it told them
    taken_at: datetime  # when the export was asked for: the content is not older than this
    quality: Quality
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()  # what a reader in ten years must know, in sentences
    tool: Mapping[str, str] = field(default_factory=dict)  # versions of what wrote it
    tags: tuple[str, ...] = ()  # sorted, unique; see `check_tags`
    level: Level | None = None  # None where it was not told; always in formats 1 and 2

    def __post_init__(self) -> None:
        if self.tags != check_tags(self.tags):
            raise ValueError(f"tags {self.tags!r}: sorted, and each once, wanted")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The immutable record of what one run kept. Its bytes' SHA-256 is the snapshot's id."""

    archive_id: str
    draft: Draft
    number: int  # place in the scope's chain, from 1
    previous: str | None  # id of number - 1; None for the first, and where that one could not be read
    committed_at: datetime
    files: int
    members: int  # of those files that are ZIPs and were cut, in all
    size: int  # bytes of all files
    listing: tuple[tuple[str, ...], ...]  # the steps that lead to it, each the oids of its pieces, hex
    listing_sha256: str  # of its plain bytes: oids may be keyed
    packs: tuple[str, ...]  # every pack that is needed to read this snapshot, sorted
    stored_bytes: int  # bytes of the packs that this run added
    objects_new: int
    objects_reused: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A manifest and its id."""

    id: str  # 64 hex digits
    manifest: Manifest

    @property
    def key(self) -> ScopeKey:
        return self.manifest.draft.key

    @property
    def number(self) -> int:
        return self.manifest.number

    @property
    def previous(self) -> str | None:
        return self.manifest.previous

    @property
    def archive_id(self) -> str:
        return self.manifest.archive_id

    @property
    def name(self) -> str:
        """Where the manifest lies."""
        return manifest_name(self.key, self.manifest.number)


def scope_folder(key: ScopeKey) -> str:
    """The two folders of a scope, with their slashes. Safe on file systems that fold case."""
    return f"{_safe(key.source)}/{_safe(key.scope)}/"


def key_of_folders(source: str, scope: str) -> ScopeKey:
    """The scope of two folders. Raises ValueError where it cannot be one's; other spellings are not told."""
    return ScopeKey(*(unquote_to_bytes(part).decode() for part in (source, scope)))


def chain_folder(key: ScopeKey) -> str:
    """The folder of a scope's chain, with its slash."""
    return f"snapshots/{scope_folder(key)}"


def manifest_name(key: ScopeKey, number: int) -> str:
    """Create-if-absent on this name is the claim to `number`."""
    return f"{chain_folder(key)}{number:08d}.json"


def tombstone_name(key: ScopeKey, number: int) -> str:
    """Beside the manifest whose place it takes."""
    return f"{chain_folder(key)}{number:08d}.forgotten.json"


def erased_name(key: ScopeKey, number: int) -> str:
    """Above manifest and tombstone, both of which may hold names that have to go."""
    return f"{chain_folder(key)}{number:08d}.erased.json"


def link_of(key: ScopeKey, number: int, kind: Kind) -> Link:
    """The link of that kind at a place of a chain."""
    name = {"live": manifest_name, "forgotten": tombstone_name, "erased": erased_name}[kind](key, number)
    return Link(name, key, number, kind != "live", kind == "erased")


def parse_name(name: str) -> Link | None:
    """What the name of a manifest or tombstone says; None for a name that is neither's."""
    match = _LINK.fullmatch(name)
    if match is None:
        return None
    try:
        key = key_of_folders(match[1], match[2])
    except ValueError:
        return None
    kinds: dict[str | None, Kind] = {None: "live", ".forgotten": "forgotten", ".erased": "erased"}
    link = link_of(key, int(match[3]), kinds[match[4]])
    return link if link.name == name and link.number > 0 else None


def record_name(run_id: str) -> str:
    """Where a run's record lies: a run id begins with its date, so records gather by month."""
    return f"records/{run_id[:6]}/{run_id}.json"


def encode(manifest: Manifest) -> bytes:
    """Canonical bytes of a manifest (FORMAT.md section 6)."""
    return canonical.seal({"format": manifest.format, "kind": "snapshot", **manifest_json(manifest)})


def decode(data: bytes, name: str) -> Snapshot:
    """The snapshot whose manifest is `data`. Raises FormatUnknown, ObjectCorrupt."""
    value = unsealed(data, "snapshot", name)
    try:
        manifest = manifest_of(value)
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a manifest that this version wrote: {exc!r}") from exc
    if manifest_json(manifest) != {key: value[key] for key in value.keys() - FRAME}:
        # Its tombstone could not hold them, and would not lead back to it.
        raise FormatUnknown(f"{name}: holds members that this version does not know")
    return Snapshot(hashlib.sha256(data).hexdigest(), manifest)


def to_text(instant: datetime) -> str:
    """An aware instant as RFC 3339 in UTC with microseconds: text order is time order. Raises ValueError."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant}: an instant needs a time zone")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_text(text: str) -> datetime:
    """The instant. Raises ValueError for text of another shape."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """These tags as a draft has them: sorted, each once. Raises ValueError for a text that is no tag."""
    found = tuple(sorted(set(tags)))
    for tag in found:
        if not TAG.fullmatch(tag):
            raise ValueError(f"tag {tag[:70]!r}: 1 to 64 letters, digits and ._:- wanted, no sign first")
    return found


def check_json(check: Check) -> dict[str, Json]:
    """A check as manifests and records hold it."""
    return {**{name: getattr(check, name) for name in _OF_CHECK}, "outcome": check.outcome.value}


def check_from_json(value: Mapping[str, Json]) -> Check:
    """The check again. Raises ValueError for an outcome that is none."""
    return Check(**{**value, "outcome": Outcome(value["outcome"])})


def _safe(part: str) -> str:
    # Upper-case letters are escaped too: "Lab" and "lab" must not meet on a file system that folds case.
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in part.encode())


def unsealed(data: bytes, kind: str, name: str) -> dict[str, Json]:
    """What a small file of that kind holds. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        found, version = value["kind"], value["format"]
    except (KeyError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not readable as JSON of ours: {exc}") from exc
    if found != kind:
        raise ObjectCorrupt(f"{name}: holds a {found}, a {kind} was expected")
    if version not in _FORMATS:
        raise FormatUnknown(f"{name}: format {version}, this version reads 1 to {FORMAT}")
    return value


def manifest_json(manifest: Manifest) -> dict[str, Json]:
    """What a manifest holds, without what every sealed file has."""
    draft = manifest.draft
    told = {"tags": list(draft.tags), "level": _level_json(draft.level)} if manifest.format > 2 else {}
    return {
        **told,
        "archive": manifest.archive_id,
        "source": draft.key.source,
        "scope": draft.key.scope,
        "system": draft.system,
        "request": dict(draft.request),
        "run": draft.run_id,
        "job": {"id": draft.job_id, "handle": dict(draft.job)},
        "vendor": dict(draft.vendor),
        "taken_at": to_text(draft.taken_at),
        "quality": draft.quality.value,
        "checks": [check_json(check) for check in draft.checks],
        "notes": list(draft.notes),
        "tool": dict(draft.tool),
        "number": manifest.number,
        "previous": manifest.previous,
        "committed_at": to_text(manifest.committed_at),
        "files": {"count": manifest.files, "size": manifest.size, **_members_json(manifest)},
        "listing": {**_listing_json(manifest), "sha256": manifest.listing_sha256},
        "packs": list(manifest.packs),
        "stored": {
            "bytes": manifest.stored_bytes,
            "objects_new": manifest.objects_new,
            "objects_reused": manifest.objects_reused,
        },
    }


def manifest_of(value: Mapping[str, Json]) -> Manifest:
    """The manifest again. Raises KeyError, TypeError, ValueError."""
    draft = Draft(
        key=ScopeKey(canonical.text(value["source"]), canonical.text(value["scope"])),
        system=canonical.text(value["system"]),
        request=canonical.mapping(value["request"]),
        run_id=canonical.text(value["run"]),
        job_id=canonical.text(value["job"]["id"]),
        job=canonical.mapping(value["job"]["handle"]),
        vendor=canonical.mapping(value["vendor"]),
        taken_at=from_text(value["taken_at"]),
        quality=Quality(value["quality"]),
        checks=tuple(check_from_json(check) for check in value["checks"]),
        notes=tuple(canonical.text(note) for note in value["notes"]),
        tool=canonical.mapping(value["tool"]),
        tags=tuple(canonical.text(tag) for tag in value["tags"]) if value["format"] > 2 else (),
        level=_level(value["level"]) if value["format"] > 2 else None,
    )
    previous = value["previous"]
    return Manifest(
        archive_id=canonical.text(value["archive"]),
        draft=draft,
        number=canonical.count(value["number"]),
        previous=None if previous is None else canonical.digest(previous),
        committed_at=from_text(value["committed_at"]),
        files=canonical.count(value["files"]["count"]),
        members=canonical.count(value["files"]["members"]) if value["format"] > 1 else 0,
        size=canonical.count(value["files"]["size"]),
        listing=_listing(value),
        listing_sha256=canonical.digest(value["listing"]["sha256"]),
        packs=tuple(canonical.digest(pack) for pack in value["packs"]),
        stored_bytes=canonical.count(value["stored"]["bytes"]),
        objects_new=canonical.count(value["stored"]["objects_new"]),
        objects_reused=canonical.count(value["stored"]["objects_reused"]),
        format=value["format"],
    )


def _members_json(manifest: Manifest) -> dict[str, Json]:
    return {} if manifest.format == 1 else {"members": manifest.members}


def _listing_json(manifest: Manifest) -> dict[str, Json]:
    if manifest.format == 1:
        return {"objects": [oid for step in manifest.listing for oid in step]}
    return {"steps": [list(step) for step in manifest.listing]}


def _listing(value: Mapping[str, Json]) -> tuple[tuple[str, ...], ...]:
    steps = [value["listing"]["objects"]] if value["format"] == 1 else value["listing"]["steps"]
    return tuple(tuple(canonical.digest(oid) for oid in step) for step in steps)


def _level_json(level: Level | None) -> Json:
    if level is None:
        return None
    return {"records": level.records, "compared": [asdict(compared) for compared in level.compared]}


def _level(value: Json) -> Level | None:
    if value is None:
        return None
    records = value["records"]
    return Level(
        None if records is None else canonical.count(records),
        tuple(
            Compared(
                canonical.digest(one["snapshot"]),
                canonical.count(one["vanished"]),
                canonical.count(one["appeared"]),
                canonical.count(one["of"]),
            )
            for one in value["compared"]
        ),
    )
