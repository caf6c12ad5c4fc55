"""The mark: the one file that says that here is an archive, which one, and whether it is encrypted.

Pure, but for reading it. It is never encrypted itself: whoever has no key learns from it that one is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage import canonical
from storage.backend import Backend
from storage.errors import ArchiveMissing, FormatUnknown, ObjectCorrupt, ObjectMissing
from storage.snapshot import from_text, to_text

MARK = "strongroom.json"
_LARGEST = 1 << 16  # bytes: of a larger one, which is none of ours, no more is read
PLAIN, ENCRYPTED = 1, 2  # formats
SCHEME = "aes256-gcm-hkdf-sha256-64k"  # how files are encrypted (FORMAT.md section 13)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the mark says."""

    id: str  # a UUID
    objects: str  # the scheme that names objects
    encrypted: bool
    created_at: datetime


def encode(mark: Mark) -> bytes:
    """Canonical bytes of a mark (FORMAT.md section 2)."""
    value = {
        "format": ENCRYPTED if mark.encrypted else PLAIN,
        "kind": "archive",
        "id": mark.id,
        "created_at": to_text(mark.created_at),
        "objects": mark.objects,
    }
    return canonical.seal({**value, "encryption": SCHEME} if mark.encrypted else value)


def read(backend: Backend) -> Mark:
    """The mark that lies there. Raises ArchiveMissing, FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(backend.get(MARK, 0, _LARGEST))
        kind, form, encryption = value["kind"], value["format"], value.get("encryption")
        if (kind, form, encryption) not in (("archive", PLAIN, None), ("archive", ENCRYPTED, SCHEME)):
            raise FormatUnknown(
                f"{backend.url}: {kind} format {form!r}, encryption {encryption!r}; this version reads archive "
                f"format {PLAIN}, and {ENCRYPTED} with {SCHEME}"
            )
        return Mark(
            canonical.text(value["id"]),
            canonical.text(value["objects"]),
            form == ENCRYPTED,
            from_text(value["created_at"]),
        )
    except ObjectMissing as exc:
        raise ArchiveMissing(f"{backend.url}: no archive here ({MARK} is missing)") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{MARK}: cannot be read: {exc!r}") from exc
