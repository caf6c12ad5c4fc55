"""How `encrypted-v1.json` and `archive-v3-encrypted.*` were made, once. They are kept for ever and never made again.

    python tests/golden/make_encrypted.py FOLDER

Vectors of FORMAT.md section 13, one of them made by Google's Tink (1.16.1 of PyPI), and the third stored archive,
encrypted with the same two keys, which a writer went on with: a scope of a long name, and evidence.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from storage import cipher, evidence, keys, keytext, mark
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.cipher import HEADER, Key
from storage.encrypted import HIDDEN, Encrypted
from storage.mark import MARK, Mark
from storage.snapshot import ScopeKey
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import NIGHT, START, Clock, draft, noise, read

HERE = Path(__file__).parent
ID = "a32f9ca8-db1b-4ae6-b42e-dad34638e84a"  # of the third stored archive
KEYS = (Key(bytes(range(32))), Key(bytes(range(32, 64))))
NOW = START + timedelta(days=600)
PHRASE, MACHINE = "größte Vorsicht üben", keytext.holder_text(bytes(range(64, 96)))
LONG = ScopeKey("lab", "Ö" * 33)


def content(size: int) -> bytes:
    """SHA-256 of 0, 1, 2 ... in decimal, one after another, cut to `size`."""
    found = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(size // 32 + 1))
    return found[:size]


def fixed(label: str) -> tuple[bytes, bytes]:
    """Salt and prefix of a vector."""
    data = hashlib.sha512(label.encode()).digest()
    return data[:32], data[32:39]


def told(name: str, size: int, key: int, stored: bytes, made_by: str) -> dict[str, Any]:
    """A vector of a file."""
    whole = {"hex": stored.hex()} if len(stored) < 200 else {"first": stored[:64].hex(), "last": stored[-64:].hex()}
    _, _, _, salt, prefix = HEADER.unpack(stored[: HEADER.size])
    numbers = {"salt": salt.hex(), "prefix": prefix.hex(), "bytes": len(stored)}
    numbers["sha256"] = hashlib.sha256(stored).hexdigest()
    return {"name": name, "content": size, "key": key, "made_by": made_by, "stored": {**numbers, **whole}}


def by_tink(key: Key, name: str, plain: bytes) -> bytes:
    """What Tink makes of these bytes."""
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=65536, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key.content, params=params)
    keyset = tink_pb2.Keyset(primary_key_id=1)
    one = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    one.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    one.key_data.value = value.SerializeToString()
    one.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    streaming_aead.register()
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)

    class Kept(io.BytesIO):
        def close(self) -> None:
            self.kept = self.getvalue()
            super().close()

    out = Kept()
    with handle.primitive(streaming_aead.StreamingAead).new_encrypting_stream(out, f"{ID}/{name}".encode()) as stream:
        stream.write(plain)
    return out.kept


def files() -> Iterator[dict[str, Any]]:
    """Vectors of files: sizes at which something changes."""
    sizes = (0, 1, 9, 1000, 63480, 63481, 150_000, 200_000)  # the last of one segment, the first of two
    for place, size in enumerate(sizes):
        name, key = f"packs/{place:02d}/{place:064d}.pack", place % 2
        salt, prefix = fixed(name)
        stored = b"".join(cipher.encrypt_with(salt, prefix, KEYS[key], ID, name, [content(size)]))
        yield told(name, size, key, stored, "strongroom")
    name, size = "snapshots/lab/group%201234/00000001.json", 200_001
    plain = content(size) + bytes(cipher.padding(size) - size - 8) + size.to_bytes(8, "big")
    head = cipher.MAGIC + KEYS[1].id
    yield told(name, size, 1, head + by_tink(KEYS[1], name, plain), f"tink {version('tink')}")


def stored_name(name: str) -> str:
    """Where a file lies."""
    top, *parts = name.split("/")
    above = ["/".join([top, *parts[:at]]) for at in range(len(parts))]
    return "/".join([top, *(cipher.hide(KEYS[0], ID, parent, part) for parent, part in zip(above, parts, strict=True))])


def vectors(holders: dict[str, keys.Holder]) -> dict[str, Any]:
    """All of them."""
    names = [
        "snapshots/lab/group%201234/00000001.json",
        "snapshots/lab/group%201234/00000001.forgotten.json",
        f"snapshots/{'s' * 109}/{'t' * 110}/00000001.json",  # 200 characters, and more
        f"snapshots/{'%c3%96' * 33}/{'x' * 200}/100000000.erased.json",
        "decisions/lab/group%201234/00000001.2.json",
        f"evidence/{hashlib.sha256(b'').hexdigest()}.bin",
    ]
    papers = {str(number): keytext.paper_text(ID, KEYS[:number]) for number in (1, 2)}
    return {
        "archive": ID,
        "content": "SHA-256 of 0, 1, 2 ... in decimal, one after another, cut to so many bytes",
        "keys": [
            {
                "secret": key.secret.hex(),
                "id": key.id.hex(),
                "content": key.content.hex(),
                "names": key._derived(b"strongroom names", 64).hex(),
            }
            for key in KEYS
        ],
        "padding": {str(size): cipher.padding(size) for size in (0, 1, 8, 9, 1000, 1016, 1017, 65528, 10**9, 2**40)},
        "files": list(files()),
        "names": {name: stored_name(name) for name in names},
        "holders": {
            one.file: {"secret": secret, "keys": 2, "text": keys.encode(one).decode()} for secret, one in holders.items()
        },
        "holder_text": {"bytes": bytes(range(64, 96)).hex(), "text": MACHINE},
        "paper": {
            number: {"text": text, "picture": keytext.paper_compact(text)} for number, text in papers.items()
        },
    }


def copy(folder: Path, holders: dict[str, keys.Holder]) -> Encrypted:
    """The third stored archive, encrypted; the first half of it before a second key was added."""
    below = LocalDisk(folder)
    below.put_new(MARK, [mark.encode(Mark(ID, "sha256", True, START))])
    for one in holders.values():
        below.put_new(one.file, [keys.encode(one)])
    before, after = Encrypted(below, ID, KEYS[:1]), Encrypted(below, ID, KEYS)
    with zipfile.ZipFile(HERE / "archive-v3.zip") as stored:
        for place, name in zip(count(), stored.namelist()):
            if name != MARK:
                (after if place % 2 else before).put_new(name, [stored.read(name)])
    return after


def main(folder: Path) -> None:
    """Make the three files in `folder`, and beside them the archive itself."""
    holders = {
        secret: keys.wrap(KEYS, secret, archive_id=ID, name=name, now=NOW)
        for secret, name in ((PHRASE, "Ö. Ünal"), (MACHINE, "night"))
    }
    (folder / "encrypted-v1.json").write_text(json.dumps(vectors(holders), indent=1, ensure_ascii=False) + "\n")

    backend = copy(folder / "archive", holders)
    archive = Archive.open(LocalDisk(folder / "archive"), PHRASE)
    for night in range(2):
        taken = NOW + night * NIGHT
        writer = Writer(archive, LONG)
        for path, data in {"a": noise(90_000, night), "same": noise(3000, 1)}.items():
            writer.add(path, io.BytesIO(data), promised=Promise(size=len(data)))
        writer.commit(draft(LONG, taken), clock=Clock(taken))
    evidence.keep(backend, "records/202603/x.json", b"damaged", now=NOW, reason="a bad disk")

    below = LocalDisk(folder / "archive")
    with zipfile.ZipFile(folder / "archive-v3-encrypted.zip", "w") as target:
        for name in sorted(below.list("")):
            target.writestr(zipfile.ZipInfo(name), below.get(name), zipfile.ZIP_DEFLATED)
    held = {
        found.id: {path: hashlib.sha256(data).hexdigest() for path, data in read(archive, found).items()}
        for found in archive.snapshots()
    }
    sums = {name: hashlib.sha256(backend.get(name)).hexdigest() for name in sorted(backend.list(""))}
    promised = {"files": sums, "hidden": HIDDEN, "snapshots": held}
    (folder / "archive-v3-encrypted.json").write_text(
        json.dumps(promised, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
