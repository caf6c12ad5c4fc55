"""What is stored of a file is a ciphertext of Google's Tink: its library reads ours, and we read its own."""

from __future__ import annotations

import io
from typing import Any

import pytest

from storage import cipher
from storage.backend import Memory
from storage.cipher import STREAM_AT, Key
from storage.encrypted import Encrypted
from tests.storage.alone import content

tink: Any = pytest.importorskip("tink", reason="tink is not installed; a stored vector is of it, too")
from tink import secret_key_access, streaming_aead  # noqa: E402 - only where it is installed
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2  # noqa: E402 - the same

ID, NAME = "6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70", "snapshots/lab/group%201234/00000001.json"
KEY = Key(bytes(range(32)))
SIZES = (0, 1, cipher.FIRST - 8, cipher.FIRST, 300_000)


def primitive(key: bytes) -> Any:
    """Tink's own streaming AEAD, with the parameters that FORMAT.md names."""
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=65536, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key, params=params)
    keyset = tink_pb2.Keyset(primary_key_id=1)
    one = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    one.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    one.key_data.value = value.SerializeToString()
    one.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    streaming_aead.register()
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Bytes that are still there when Tink has closed their file."""

    kept = b""

    def close(self) -> None:
        self.kept = self.kept or self.getvalue()
        super().close()


def with_length(size: int) -> bytes:
    """What is encrypted of a file: its bytes, padding, its length."""
    return content(size) + bytes(cipher.padding(size) - size - 8) + size.to_bytes(8, "big")


@pytest.mark.parametrize("size", SIZES)
def test_tink_reads_what_is_stored(size: int) -> None:
    """Under archive and name, behind the head of 16 bytes; under another name it refuses."""
    below = Memory()
    backend = Encrypted(below, ID, [KEY])
    backend.put_new(NAME, [content(size)])
    stored = below.get(backend.stored_name(NAME))[STREAM_AT:]
    known = primitive(KEY.content)

    with known.new_decrypting_stream(io.BytesIO(stored), f"{ID}/{NAME}".encode()) as stream:
        assert stream.read() == with_length(size)
    with (
        pytest.raises(tink.TinkError),
        known.new_decrypting_stream(io.BytesIO(stored), f"{ID}/x".encode()) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("size", SIZES)
def test_what_tink_writes_is_read(size: int) -> None:
    """As a whole and from its middle."""
    out = Kept()
    with primitive(KEY.content).new_encrypting_stream(out, f"{ID}/{NAME}".encode()) as stream:
        stream.write(with_length(size))
    below = Memory()
    backend = Encrypted(below, ID, [KEY])
    below.put_new(backend.stored_name(NAME), [cipher.MAGIC + KEY.id, out.kept])

    assert backend.get(NAME) == content(size)
    assert backend.get(NAME, 65_000, 70_000) == content(size)[65_000:135_000]
