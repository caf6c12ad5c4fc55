"""Bytes and names of an encrypted archive: what is stored in their place, and back.

Pure, but for the random numbers of each new file. A file is stored as a *ciphertext* of streaming AEAD as Google's
Tink publishes it (https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming), of which any part can
be read without the rest; a name by AES-SIV (RFC 5297), which gives one name one ciphertext. Both
primitives are those of pyca/cryptography. FORMAT.md section 13 says every byte.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import ObjectCorrupt

MAGIC = b"SRCRYPT\x01"
KEY_SIZE = 32  # bytes of a key
ID_SIZE = 8  # bytes that say which key a file needs
SALT_SIZE, PREFIX_SIZE, TAG_SIZE = 32, 7, 16
HEADER = struct.Struct(f">{len(MAGIC)}s{ID_SIZE}sB{SALT_SIZE}s{PREFIX_SIZE}s")
# Where Tink's ciphertext begins, whose header counts among its first segment's bytes.
STREAM_AT = len(MAGIC) + ID_SIZE
STREAM_HEADER = HEADER.size - STREAM_AT
SEGMENT = 1 << 16  # stored bytes of each segment but the last
PLAIN = SEGMENT - TAG_SIZE
FIRST = PLAIN - STREAM_HEADER
LENGTH = struct.Struct(">Q")  # the last bytes of what is encrypted: how many come before the padding
_NONCE = struct.Struct(f">{PREFIX_SIZE}sI?")
_PIECE = 200  # characters of a name's part: file systems take 255 bytes


@dataclass(frozen=True)
class Key:
    """One key of an archive. Everything that is encrypted or named by it goes through keys derived from it."""

    secret: bytes = field(repr=False)  # KEY_SIZE random bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_SIZE:
            raise ValueError(f"a key of {len(self.secret)} bytes, {KEY_SIZE} wanted")

    @cached_property
    def id(self) -> bytes:
        """ID_SIZE bytes that tell keys apart and nothing about them."""
        return self._derived(b"strongroom key id", ID_SIZE)

    @cached_property
    def content(self) -> bytes:
        """The key of Tink's streams."""
        return self._derived(b"strongroom content", KEY_SIZE)

    @cached_property
    def names(self) -> AESSIV:
        """What names are encrypted with: AES-256 in SIV mode."""
        return AESSIV(self._derived(b"strongroom names", 2 * KEY_SIZE))

    def proof(self, data: bytes) -> bytes:
        """KEY_SIZE bytes that only who has this key can give for `data`."""
        mac = HMAC(self._derived(b"strongroom holder proof", KEY_SIZE), SHA256())
        mac.update(data)
        return mac.finalize()

    def _derived(self, info: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, None, info).derive(self.secret)


@dataclass(frozen=True, slots=True)
class Stream:
    """How to read one stored file: its own key, and how long it is."""

    name: str
    stored: int  # bytes
    gcm: AESGCM = field(repr=False)
    prefix: bytes = field(repr=False)

    @property
    def segments(self) -> int:
        """How many."""
        return -(-(self.stored - STREAM_AT) // SEGMENT)

    def at(self, segment: int) -> int:
        """Where a segment begins in the stored file; it ends where the next one begins, or the file."""
        return HEADER.size if segment == 0 else STREAM_AT + segment * SEGMENT

    @property
    def padded(self) -> int:
        """Bytes that are encrypted, padding and length included."""
        return self.stored - HEADER.size - self.segments * TAG_SIZE

    def open(self, first: int, data: bytes) -> bytes:
        """What is encrypted in whole segments, from number `first` on.

        Raises ObjectCorrupt where they are not what was put under this name.
        """
        view, parts, number = memoryview(data), [], first
        while view:
            size = (FIRST if number == 0 else PLAIN) + TAG_SIZE
            nonce = _NONCE.pack(self.prefix, number, number == self.segments - 1)
            try:
                parts.append(self.gcm.decrypt(nonce, view[:size], None))
            except (InvalidTag, ValueError):
                raise ObjectCorrupt(
                    f"{self.name}: bytes {self.at(number)} to {self.at(number) + len(view[:size])}: not what this "
                    "archive has put there"
                ) from None
            view, number = view[size:], number + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)


def segment_of(offset: int) -> int:
    """The segment that holds the byte at `offset` of what is encrypted."""
    return 0 if offset < FIRST else 1 + (offset - FIRST) // PLAIN


def plain_at(segment: int) -> int:
    """The offset of the first byte that a segment holds."""
    return 0 if segment == 0 else FIRST + (segment - 1) * PLAIN


def stream(keys: Iterable[Key], context: str, name: str, head: bytes, stored: int) -> Stream:
    """How to read the file `name` of `stored` bytes that begin with `head`, HEADER.size bytes.

    `context`: the archive's id. Raises ObjectCorrupt where it is no encrypted file, or none of `keys` is its own.
    """
    smallest = HEADER.size + LENGTH.size + TAG_SIZE
    if len(head) < HEADER.size or stored < smallest:
        raise ObjectCorrupt(f"{name}: {stored} bytes, an encrypted file has at least {smallest}")
    magic, key_id, length, salt, prefix = HEADER.unpack(head[: HEADER.size])
    if magic != MAGIC or length != STREAM_HEADER:
        raise ObjectCorrupt(f"{name}: not encrypted, as every file of this archive is")
    key = next((key for key in keys if key.id == key_id), None)
    if key is None:
        raise ObjectCorrupt(
            f"{name}: encrypted with key {key_id.hex()}, which this archive's holder has not",
            hint="if the key was rotated since, take one that was added later; else the file is damaged",
        )
    found = Stream(name, stored, _gcm(key, salt, context, name), prefix)
    if (stored - STREAM_AT) % SEGMENT in range(1, TAG_SIZE + 1):  # its last segment would hold nothing
        raise ObjectCorrupt(f"{name}: {stored} bytes, no encrypted file has so many: it was cut")
    return found


def key_id(head: bytes) -> bytes:
    """Of the key that a stored file says it needs; b"" where it does not begin as an encrypted one."""
    return head[len(MAGIC) : STREAM_AT] if head.startswith(MAGIC) and len(head) >= STREAM_AT else b""


def length_of(name: str, end: bytes, padded: int) -> int:
    """How many bytes a file has, told by the last ones that are encrypted of it. Raises ObjectCorrupt."""
    length = int(LENGTH.unpack(end[-LENGTH.size :])[0])
    if padding(length) != padded:
        raise ObjectCorrupt(f"{name}: {length} bytes in {padded}: not how this archive pads")
    return length


def encrypt(key: Key, context: str, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes to store for a file. Memory: a segment and the largest chunk."""
    salt, prefix = secrets.token_bytes(SALT_SIZE), secrets.token_bytes(PREFIX_SIZE)
    yield from encrypt_with(salt, prefix, key, context, name, chunks)


def encrypt_with(
    salt: bytes, prefix: bytes, key: Key, context: str, name: str, chunks: Iterable[bytes]
) -> Iterator[bytes]:
    """As `encrypt`, with given random numbers: for vectors only, for none may ever be used twice."""
    yield HEADER.pack(MAGIC, key.id, STREAM_HEADER, salt, prefix)
    gcm = _gcm(key, salt, context, name)
    held, number, room = bytearray(), 0, FIRST
    for chunk in _padded(chunks):
        view = memoryview(chunk)
        while len(held) + len(view) > room:  # a full segment waits: it may be the last
            take = room - len(held)
            held += view[:take]
            view = view[take:]
            yield gcm.encrypt(_NONCE.pack(prefix, number, False), held, None)
            held, number, room = bytearray(), number + 1, PLAIN
        held += view
    yield gcm.encrypt(_NONCE.pack(prefix, number, True), held, None)


def padding(length: int) -> int:
    """How many bytes are encrypted of a file of so many: at most 12 % more, most often 1 %.

    Source of the rule: Padmé, in Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and
    Communication with PURBs" (2019), algorithm 1: of n bits of a length it leaves about log2 n to be seen.
    """
    whole = length + LENGTH.size
    exponent = whole.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return whole + mask & ~mask


def hide(key: Key, context: str, parent: str, part: str) -> str:
    """The stored name of one part of a name below `parent`: one or more parts."""
    data = key.names.encrypt(part.encode(), [f"{context}/{parent}".encode()])
    text = base64.b32hexencode(data).decode().rstrip("=").lower()
    return "-/".join(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def show(key: Key, context: str, parent: str, stored: str) -> str | None:
    """What `hide` was given; None where it never gave that."""
    text = stored.replace("-/", "").upper()
    try:
        data = base64.b32hexdecode(text + "=" * (-len(text) % 8))
        part = key.names.decrypt(data, [f"{context}/{parent}".encode()]).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None
    return part if hide(key, context, parent, part) == stored else None


def _gcm(key: Key, salt: bytes, context: str, name: str) -> AESGCM:
    # Tink binds a stream to what it is about by deriving its key with that: here to archive and name.
    return AESGCM(HKDF(SHA256(), KEY_SIZE, salt, f"{context}/{name}".encode()).derive(key.content))


def _padded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    length = 0
    for chunk in chunks:
        length += len(chunk)
        yield chunk
    yield bytes(padding(length) - length - LENGTH.size) + LENGTH.pack(length)
