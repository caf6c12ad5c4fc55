"""Reads an archive with nothing but Python and zstandard. Written from `storage/FORMAT.md`, for the day when the
program that wrote the archive is gone.

    python standalone_reader.py ARCHIVE TARGET

writes every file of every live snapshot below TARGET, each proven, and prints one line for each.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

NAME = re.compile(r"([0-9]{8,})\.json")


class Broken(Exception):
    """The archive is not what its sums say."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def sealed(path: Path, kind: str) -> dict[str, Any]:
    """Section 2: the value in a small file, its seal proven."""
    data = path.read_bytes()
    value: dict[str, Any] = json.loads(data)
    check(canonical(value) == data, f"{path}: not canonical")
    seal = value.pop("seal")
    check(sha256(canonical(value)) == seal, f"{path}: its seal does not agree")
    check((value["format"], value["kind"]) == (1, kind), f"{path}: not a {kind} of format 1")
    return value


def escaped(name: str) -> str:
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
    return "".join(chr(byte) if byte in plain else f"%{byte:02x}" for byte in name.encode())


def snapshots(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Section 5: id and manifest of every live snapshot."""
    mark = sealed(root / "strongroom.json", "archive")
    check(mark["objects"] == "sha256", "objects are named in another way")
    for path in sorted((root / "snapshots").glob("*/*/*.json")):
        match = NAME.fullmatch(path.name)
        if match is None or path.with_name(f"{match[1]}.forgotten.json").exists():
            continue
        manifest = sealed(path, "snapshot")
        place = (escaped(manifest["source"]), escaped(manifest["scope"]), manifest["number"])
        check(place == (path.parts[-3], path.parts[-2], int(match[1])), f"{path}: of another place")
        check(manifest["archive"] == mark["id"], f"{path}: of another archive")
        yield sha256(path.read_bytes()), manifest


def objects_of(pack: bytes) -> dict[bytes, bytes]:
    """Section 3: every object of a pack, proven. (All in memory: packs have some 32 MB.)"""
    magic, scheme, _salt = struct.unpack(">8s16s16s", pack[:40])
    check(magic == b"SRPACK\0\1" and scheme.rstrip(b"\0") == b"sha256", "not a pack of version 1")
    offset, length, digest, end = struct.unpack(">QI32s8s", pack[-52:])
    check(end == b"SRPACKE\1" and offset + length + 52 == len(pack), "a pack that is not whole")
    footer = pack[offset : offset + length]
    check(hashlib.sha256(footer).digest() == digest, "a footer that does not agree")
    blocks, objects = struct.unpack(">II", footer[:8])
    middle = 8 + blocks * 49
    check(length == middle + objects * 45, "a footer of another length")
    plain = []
    for start, stored, size, codec, block_digest in struct.iter_unpack(">QIIB32s", footer[8:middle]):
        data = pack[start : start + stored]
        check(hashlib.sha256(data).digest() == block_digest, "a block that does not agree")
        plain.append(data if codec == 0 else zstandard.ZstdDecompressor().decompress(data))
        check(codec in (0, 1) and len(plain[-1]) == size, "a block of another size")
    found = {}
    for oid, block, start, size, _kind in struct.iter_unpack(">32sIIIB", footer[middle:]):
        found[oid] = plain[block][start : start + size]
        check(hashlib.sha256(found[oid]).digest() == oid, "an object that is not its own")
    return found


def files(root: Path, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Section 8: path and bytes of every file of a snapshot, proven."""
    objects: dict[bytes, bytes] = {}
    for digest in manifest["packs"]:
        pack = (root / "packs" / digest[:2] / f"{digest}.pack").read_bytes()
        check(sha256(pack) == digest, f"pack {digest}: its name promises other bytes")
        objects |= objects_of(pack)
    listing = b"".join(objects[bytes.fromhex(oid)] for oid in manifest["listing"]["objects"])
    check(sha256(listing) == manifest["listing"]["sha256"], "a listing that does not agree")
    for row in json.loads(listing)["files"]:
        check(row["recipe"]["kind"] == "concat", f"{row['path']}: kept in a way not known")
        data = b"".join(objects[bytes.fromhex(oid)] for oid in row["recipe"]["objects"])
        check((len(data), sha256(data)) == (row["size"], row["sha256"]), f"{row['path']}: other bytes")
        yield row["path"], data


def main(root: Path, target: Path) -> None:
    """Write everything. Paths in an archive may be hostile: files are numbered, the names are printed."""
    for found, manifest in snapshots(root):
        folder = target / found[:12]
        folder.mkdir(parents=True)
        for number, (path, data) in enumerate(files(root, manifest)):
            (folder / str(number)).write_bytes(data)
            print(f"{folder / str(number)}\t{manifest['taken_at']}\t{path!r}\t{sha256(data)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
