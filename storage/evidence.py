"""Damaged bytes of a small file, kept before the file is put anew: what was wrong can be looked at for ever.

The bytes lie under their own SHA-256; a note beside them says which file they were, when and why. Nothing deletes
either. The manifest of a backup that was withdrawn (`secondlook.py`) is kept so, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from storage import canonical
from storage.backend import Backend
from storage.encrypted import as_it_lies
from storage.errors import ObjectCorrupt, ObjectMissing
from storage.snapshot import from_text, to_text

FOLDER = "evidence/"
_NAME = re.compile(r"evidence/([0-9a-f]{64})\.(?:bin|[1-9][0-9]{0,8}\.json)")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stays of a damaged file."""

    sha256: str  # of the damaged bytes: their name
    file: str  # the name in the archive under which they lay
    made_at: datetime
    reason: str


def is_evidence(name: str) -> bool:
    """Whether a file of evidence is called so."""
    return _NAME.fullmatch(name) is not None


def keep(backend: Backend, file: str, data: bytes, *, now: datetime, reason: str) -> None:
    """Make the damaged bytes of `file` durable, with a note. Retry: yes."""
    digest = hashlib.sha256(data).hexdigest()
    backend.put_new(f"{FOLDER}{digest}.bin", [data])
    note = canonical.seal(
        {
            "format": 1,
            "kind": "evidence",
            "sha256": digest,
            "file": file,
            "made_at": to_text(now),
            "reason": reason,
        }
    )
    for number in count(1):  # two files that were emptied have the same bytes
        name = f"{FOLDER}{digest}.{number}.json"
        if backend.put_new(name, [note]) or _names(as_it_lies(backend, name), name, file):
            break


@dataclass(frozen=True, slots=True)
class Swapped:
    """What became of a small file that was to be put anew."""

    kept: bool  # damaged bytes went to the evidence
    taken: str = ""  # SHA-256 of what was to be put: its name was taken meanwhile, so that is in the evidence


def swap(backend: Backend, file: str, damaged: str, whole: bytes | None, *, now: datetime, reason: str) -> Swapped:
    """Put `whole` in the place of a small file.

    `damaged` is the SHA-256 of the bytes that were found there, "" for none: others, which somebody put since, are
    left alone. `whole` None only takes the file away. Killed in between, the file is missing and its evidence
    is there: what missing files are put back from puts it back. Retry: yes.

    Between taking away and putting, a backup may get the number of a newest manifest: what it put stands, and
    `whole` goes to the evidence.
    """
    try:
        data = as_it_lies(backend, file) if damaged else b""
    except ObjectMissing:
        data = b""
    kept = bool(damaged) and hashlib.sha256(data).hexdigest() == damaged and data != whole
    if kept:
        keep(backend, file, data, now=now, reason=reason)
        backend.delete(file)
    if whole is None or backend.put_new(file, [whole]) or as_it_lies(backend, file) == whole:
        return Swapped(kept)
    keep(backend, file, whole, now=now, reason=f"whole, and its name was taken meanwhile: {reason}")
    return Swapped(kept, hashlib.sha256(whole).hexdigest())


def decode(data: bytes, name: str) -> Evidence:
    """The note in `data`. Raises ValueError."""
    value = canonical.unseal(data)
    found = Evidence(
        canonical.digest(value.get("sha256")),
        canonical.text(value.get("file")),
        from_text(canonical.text(value.get("made_at"))),
        canonical.text(value.get("reason")),
    )
    if value.get("kind") != "evidence" or not name.startswith(f"{FOLDER}{found.sha256}."):
        raise ValueError("not the note that its name promises")
    return found


def problems(backend: Backend) -> Iterator[tuple[str, str]]:
    """Files of evidence that are damaged themselves, and what is wrong."""
    for name in backend.list(FOLDER):
        if not is_evidence(name):
            continue  # told as a stray
        try:
            data = backend.get(name)
            if name.endswith(".json"):
                decode(data, name)
                continue
        except ObjectMissing:
            continue  # erased since the names were listed
        except (ValueError, ObjectCorrupt) as exc:
            yield name, f"cannot be read: {exc}"
            continue
        if hashlib.sha256(data).hexdigest() != name.removeprefix(FOLDER).removesuffix(".bin"):
            yield name, "its sha256 is not the one that its name promises"


def _names(data: bytes, name: str, file: str) -> bool:
    try:
        return decode(data, name).file == file
    except ValueError:
        return False
