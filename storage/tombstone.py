"""Tombstones: what stays of a snapshot that is gone, so that going never looks like loss.

Pure: values to canonical bytes and back. Three ways lead to one: a snapshot was *forgotten* by retention, its
content was *erased* for good, or it was *lost* to damage and a person gave it up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from storage import canonical, snapshot
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import FRAME, Manifest, ScopeKey, Snapshot, from_text, to_text

Why = Literal["forgotten", "erased", "lost"]


@dataclass(frozen=True, slots=True)
class Gone:
    """What is known of a snapshot whose manifest is kept nowhere. The last four are those of an erased one."""

    archive_id: str
    key: ScopeKey
    number: int
    previous: str | None = None  # id of number - 1
    taken_at: datetime | None = None
    committed_at: datetime | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What stays of a snapshot. Exactly one of `manifest` and `gone` is there."""

    id: str  # "" where nobody knows it: only of a lost one
    forgotten_at: datetime  # or erased, or given up
    reason: str
    manifest: Manifest | None  # of a forgotten one alone: within the grace period it can be brought back
    gone: Gone | None = None
    why: Why = "forgotten"

    def __post_init__(self) -> None:
        if (self.manifest is None) == (self.gone is None) or (self.manifest is None) == (self.why == "forgotten"):
            raise ValueError(f"a tombstone of one {self.why}: its manifest or what is known of it, and not both")

    @property
    def key(self) -> ScopeKey:
        return self.manifest.draft.key if self.manifest else self._gone.key

    @property
    def number(self) -> int:
        return self.manifest.number if self.manifest else self._gone.number

    @property
    def previous(self) -> str | None:
        """Id of number - 1; None where it is not known."""
        return self.manifest.previous if self.manifest else self._gone.previous

    @property
    def archive_id(self) -> str:
        return self.manifest.archive_id if self.manifest else self._gone.archive_id

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that would be needed to bring it back."""
        return self.manifest.packs if self.manifest else ()

    @property
    def name(self) -> str:
        """Where it lies."""
        named = snapshot.erased_name if self.why == "erased" else snapshot.tombstone_name
        return named(self.key, self.number)

    @property
    def _gone(self) -> Gone:
        assert self.gone is not None  # noqa: S101 - see __post_init__
        return self.gone


def forgotten(found: Snapshot, *, at: datetime, reason: str) -> Tombstone:
    """Of a snapshot that retention forgets: it can be brought back."""
    return Tombstone(found.id, at, reason, found.manifest)


def erased(found: Snapshot, *, at: datetime, reason: str) -> Tombstone:
    """Of a snapshot whose content has to go: nothing of it stays but that it was there."""
    manifest, draft = found.manifest, found.manifest.draft
    gone = Gone(
        manifest.archive_id,
        found.key,
        manifest.number,
        manifest.previous,
        draft.taken_at,
        manifest.committed_at,
        draft.run_id,
    )
    return Tombstone(found.id, at, reason, None, gone, "erased")


def lost(archive_id: str, key: ScopeKey, number: int, *, known: str, at: datetime, reason: str) -> Tombstone:
    """Of a number whose file is damaged or missing for good, given up by a person. `known`: its id, or ""."""
    return Tombstone(known, at, reason, None, Gone(archive_id, key, number), "lost")


def encode(tombstone: Tombstone) -> bytes:
    """Canonical bytes of a tombstone (FORMAT.md section 6)."""
    manifest = tombstone.manifest
    value: dict[str, Any] = {
        "format": manifest.format if manifest else snapshot.FORMAT,
        "kind": "tombstone",
        "id": tombstone.id or None,
        "forgotten_at": to_text(tombstone.forgotten_at),
        "reason": tombstone.reason,
    }
    if value["format"] > 2:
        value["why"] = tombstone.why
    if manifest:
        return canonical.seal({**value, "manifest": snapshot.manifest_json(manifest)})
    return canonical.seal({**value, **_gone_json(tombstone)})


def decode(data: bytes, name: str) -> Tombstone:
    """The tombstone in `data`. Raises FormatUnknown, ObjectCorrupt."""
    value = snapshot.unsealed(data, "tombstone", name)
    try:
        found = _tombstone(value)
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a tombstone that this version wrote: {exc!r}") from exc
    if value["format"] > 2 and value.keys() - FRAME != canonical.unseal(encode(found)).keys() - FRAME:
        raise FormatUnknown(f"{name}: holds members that this version does not know")
    return found


def _tombstone(value: Mapping[str, Any]) -> Tombstone:
    at, reason = from_text(value["forgotten_at"]), canonical.text(value["reason"])
    why = value["why"] if value["format"] > 2 else "forgotten"
    if why == "forgotten":
        manifest = snapshot.manifest_of({**value["manifest"], "format": value["format"]})
        if hashlib.sha256(snapshot.encode(manifest)).hexdigest() != value["id"]:
            raise ValueError("the manifest in it is not the one that its id names")
        return Tombstone(value["id"], at, reason, manifest)
    key = ScopeKey(canonical.text(value["source"]), canonical.text(value["scope"]))
    place = canonical.text(value["archive"]), key, canonical.count(value["number"])
    if why == "lost":
        known = "" if value["id"] is None else canonical.digest(value["id"])
        return lost(*place, known=known, at=at, reason=reason)
    if why != "erased":
        raise ValueError(f"a tombstone of one {why!r:.40}")
    previous = None if value["previous"] is None else canonical.digest(value["previous"])
    times = from_text(value["taken_at"]), from_text(value["committed_at"])
    gone = Gone(*place, previous, *times, canonical.text(value["run"]))
    return Tombstone(canonical.digest(value["id"]), at, reason, None, gone, "erased")


def _gone_json(tombstone: Tombstone) -> dict[str, Any]:
    value: dict[str, Any] = {
        "archive": tombstone.archive_id,
        "source": tombstone.key.source,
        "scope": tombstone.key.scope,
        "number": tombstone.number,
        "previous": tombstone.previous,
    }
    gone = tombstone.gone
    if gone and gone.taken_at and gone.committed_at:
        times = {"taken_at": to_text(gone.taken_at), "committed_at": to_text(gone.committed_at)}
        return {**value, **times, "run": gone.run_id}
    return value
