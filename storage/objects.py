"""Names of objects: an oid is opaque to everybody but the scheme that made it.

The one scheme names bytes by their SHA-256, in encrypted archives too: nobody sees an oid there without the key.
Nothing else in `storage` may look inside an oid or assume that it equals a file's SHA-256.
"""

from __future__ import annotations

import hashlib
from typing import NewType, Protocol

from storage.errors import FormatUnknown

Oid = NewType("Oid", bytes)  # 32 bytes
OID_SIZE = 32


class Scheme(Protocol):
    """How an archive names objects."""

    name: str  # at most 15 ASCII characters; stands in every pack and in the archive's format file

    def oid(self, data: bytes | memoryview) -> Oid:
        """The name of these bytes. Equal bytes have equal names within one archive."""

    def sha256(self, oid: Oid) -> bytes | None:
        """The SHA-256 of the bytes, where their name tells it; None under a scheme that hides it."""


class PlainSha256:
    """An oid is the SHA-256 of the object's bytes."""

    name = "sha256"

    def oid(self, data: bytes | memoryview) -> Oid:
        return Oid(hashlib.sha256(data).digest())

    def sha256(self, oid: Oid) -> bytes | None:
        return oid


def scheme(name: str) -> Scheme:
    """The scheme of that name. Raises FormatUnknown."""
    if name != PlainSha256.name:
        raise FormatUnknown(f"objects are named by scheme {name!r}, this version knows 'sha256'")
    return PlainSha256()
