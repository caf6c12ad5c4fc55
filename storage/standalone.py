"""Reads an archive with nothing but Python 3.11 and zstandard, when the program that wrote it is gone.

    python standalone.py ARCHIVE [TARGET] [--snapshot ID-PREFIX]

With TARGET, writes every file of every live snapshot below it, proven, and under a number, because a name in an
archive may be hostile: a line of output tells number, instant, name and SHA-256. Without, lists the snapshots,
proves everything and writes nothing. What is lost is told at the end, with exit code 1. Memory: a listing or plan
four times, some blocks, the index of one snapshot's packs. The docstrings name sections of FORMAT.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import zstandard

MAX_BLOCK, MAX_FOOTER, MAX_TEXT, FULL = 33554432, 268435456, 1073741824, 0xFFFFFFFF
SMALL, PIECE = 32, 4194304  # bytes of a payload that stands in the plan; of an object of a larger one
LOST: list[str] = []  # what cannot be read; told at the end


def check(holds: bool, what: str) -> None:
    """Raise ValueError unless something is what its sums say, and of a kind that this reader knows."""
    if not holds:
        raise ValueError(what)


@contextlib.contextmanager
def surviving(what: object) -> Iterator[None]:
    """Note down whatever damaged bytes raise, and go on."""
    try:
        yield
    except Exception as exc:
        LOST.append(f"{what}: {str(exc) or repr(exc)}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(path: Path, offset: int = 0, length: int = -1) -> bytes:
    """`length` bytes of a file of the archive, or all."""
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(length)
    check(length in (-1, len(data)), f"{path}: ends too early")
    return data


def check_name(path: Path) -> None:
    """That a file is named by the SHA-256 of its bytes."""
    check(sha256(read(path)) == path.stem, f"{path}: not the bytes of its name")


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def seal(value: dict[str, Any]) -> str:
    return sha256(canonical({key: value[key] for key in value if key != "seal"}))


def sealed(path: Path, kind: str = "") -> dict[str, Any]:
    """Section 2: the value in a small file, its seal proven; of `kind`, where given, in a format that is known."""
    data = read(path)
    value: dict[str, Any] = json.loads(data)
    check(canonical(value) == data and seal(value) == value["seal"], f"{path}: its seal does not agree")
    check(not kind or (value["kind"] == kind and value["format"] in (1, 2, 3)), f"{path}: no {kind} that is known")
    return value


class Pack:
    """Section 3: the footer of a pack, proven."""

    def __init__(self, path: Path) -> None:
        self.path = path
        magic, scheme = struct.unpack(">8s16s", read(path, 0, 24))
        check(magic == b"SRPACK\0\1" and scheme.rstrip(b"\0") == b"sha256", f"{path}: not a pack of version 1")
        size = path.stat().st_size
        offset, length, digest, magic = struct.unpack(">QI32s8s", read(path, max(size - 52, 0), 52))
        whole = magic == b"SRPACKE\1" and offset + length + 52 == size and length <= MAX_FOOTER
        footer = read(path, offset, length) if whole else b""
        check(hashlib.sha256(footer).digest() == digest, f"{path}: its footer does not agree")
        blocks, objects = struct.unpack_from(">II", footer)
        check(length == 8 + blocks * 49 + objects * 45, f"{path}: a footer of another length")
        self.blocks = list(struct.iter_unpack(">QIIB32s", footer[8 : 8 + blocks * 49]))
        self.objects = footer[8 + blocks * 49 :]  # rows of 45 bytes

    def block(self, number: int) -> bytes:
        """The plain bytes of a block. Objects of one that is kept plain prove themselves."""
        offset, stored, size, codec, digest = self.blocks[number]
        data = read(self.path, offset, stored)
        check(codec < 2 and (not codec or sha256(data) == digest.hex()), f"{self.path}: block {number} is damaged")
        plain = unpacked(data, MAX_BLOCK) if codec else data
        check(len(plain) == size, f"{self.path}: block {number} of another size")
        return plain


class Objects:
    """The objects of some packs, by oid."""

    def __init__(self, packs: list[Pack]) -> None:
        self._where: dict[str, list[tuple[Pack, int]]] = {}  # packs, and the place of the row in their footers
        self._blocks: dict[tuple[Path, int], bytes] = {}  # some plain blocks, the oldest first
        for pack in packs:
            for row in range(0, len(pack.objects), 45):
                self._where.setdefault(pack.objects[row : row + 32].hex(), []).append((pack, row))

    def get(self, oid: str) -> bytes:
        """An object, proven, from the first pack that gives it."""
        told: object = "in no pack that can be read"
        for pack, row in self._where.get(oid, ()):
            number, start, size = struct.unpack_from(">III", pack.objects, row + 32)
            try:
                data = self._block(pack, number)[start : start + size]
                check(sha256(data) == oid, f"{pack.path} has other bytes")
                return data
            except Exception as exc:
                told = exc
        raise ValueError(f"object {oid}: {told}")

    def _block(self, pack: Pack, number: int) -> bytes:
        if (pack.path, number) not in self._blocks:
            while sum(map(len, self._blocks.values())) > 3 * MAX_BLOCK:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[pack.path, number] = pack.block(number)
        return self._blocks[pack.path, number]


def unpacked(frame: bytes, most: int, before: bytes = b"") -> bytes:
    """What one zstd frame holds, unpacked with `before` as its dictionary."""
    check(0 <= zstandard.frame_content_size(frame) <= most, "a frame without its size, or too large")
    raw = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if before else None
    return zstandard.ZstdDecompressor(raw, max_window_size=1 << 31).decompress(frame, allow_extra_data=False)


def text_of(steps: list[list[str]], objects: Objects) -> bytes:
    """Section 4: the text that the last step gives."""
    text = b""
    for oids in steps:
        text = unpacked(b"".join(map(objects.get, oids)), MAX_TEXT, text)
    return text


class Cursor:
    """Takes pieces of some bytes, one after another; as bytes, or as a number, big-endian."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        self.at += size
        check(self.at <= len(self.data), "bytes that end too early")
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def sections(text: bytes, head: int, count: int) -> list[bytes]:
    """What follows the head."""
    cursor = Cursor(text, head)
    found = [cursor.take(cursor.number(8)) for _ in range(count)]
    check(cursor.at == len(text), "bytes behind the last section")
    return found


def listing(text: bytes) -> Iterator[dict[str, Any]]:
    """Section 4: the files of a listing, in the form that format 1 has (section 12)."""
    check(text[:8] == b"SRLIST\0\2", "not a listing of version 2")
    count = int.from_bytes(text[8:16], "big")
    lengths, paths, sizes, crcs, sums, _, _, _, ways, counts, oids, more = sections(text, 16, 12)
    check(len(ways) == count, "a listing of another length")
    recipes = json.loads(more)["recipes"]
    length, path, size, crc, digest, many, oid = map(Cursor, (lengths, paths, sizes, crcs, sums, counts, oids))
    for place, way in enumerate(ways):
        file = {"path": path.take(length.number(4)).decode(), "size": size.number(8)}
        file |= {"crc32": crc.take(4).hex(), "sha256": digest.take(32).hex()}
        own = [oid.take(32).hex() for _ in range(many.number(4) if way == 2 else way == 1)]
        objects = [file["sha256"]] if way == 0 else own
        file["recipe"] = {"kind": "concat", "objects": objects} if way < 3 else recipes[str(place)]
        yield file


def rows(planes: bytes, width: int, count: int) -> bytes:
    """Section 5: `count` rows of `width` bytes out of their planes."""
    check(len(planes) == width * (count + 1), "planes of another length")
    found = bytearray(width * count)
    for column in range(width):
        plane = planes[column * (count + 1) : (column + 1) * (count + 1)]
        found[column::width] = plane[1:].translate(bytes.maketrans(bytes((0, plane[0])), bytes((plane[0], 0))))
    return bytes(found)


def payload_size(packed: int, size: int, extra: bytes) -> int:
    """Bytes of a payload: the directory's compressed size, or what stands for it in the zip64 field."""
    cursor = Cursor(extra)
    while packed == FULL and cursor.at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", cursor.take(4))
        field = Cursor(cursor.take(length), 8 if size == FULL else 0)
        if kind == 1:
            return int.from_bytes(field.take(8), "little")
    return packed


def zip_file(plan: bytes, objects: Objects) -> Iterator[bytes]:
    """Section 5: the bytes of a ZIP by its plan, piece by piece."""
    check(plan[:8] == b"SRZIP\0\0\1", "not a plan of version 1")
    count, before, flags = struct.unpack_from(">QQB", plan, 8)
    found = sections(plan, 25, 16)
    root, names, local_planes, local_sums, local_extras, sums, central_planes, offsets = found[:8]
    places, tails, endings, behinds, first, last, smalls, oids = found[8:]
    same, computed, width = flags & 1, flags & 2, 14 if flags & 1 else 24
    local, central = Cursor(rows(local_planes, 14, count)), Cursor(rows(central_planes, width, count))
    name, extra, tail, behind, small, oid = map(Cursor, (names, local_extras, tails, behinds, smalls, oids))
    local_sum, central_sum, offset = Cursor(local_sums or bytes(12 * count)), Cursor(sums), Cursor(offsets)
    directory, at = [], len(first)
    yield first
    for ending in endings:
        here, there, crc_sizes = local.take(14), central.take(width), central_sum.take(12)
        name_size, extra_size = struct.unpack("<HH", here[10:])
        full_name = root + name.take(name_size - len(root))
        extra_size2, comment_size = struct.unpack_from("<HH", there, width - 12)
        extra2, comment = tail.take(extra_size2), tail.take(comment_size)
        where = struct.pack("<I", min(at - before, FULL)) if computed else offset.take(4)
        entry = (there[:2] + here[:10] if same else there[:12]) + crc_sizes + here[10:12] + there[-12:] + where
        directory.append(b"PK\1\2" + entry + full_name + extra2 + comment)
        yield (head := b"PK\3\4" + here[:10] + local_sum.take(12) + here[10:] + full_name + extra.take(extra_size))
        crc, packed, size = struct.unpack("<III", crc_sizes)
        length = payload_size(packed, size, extra2)
        if length <= SMALL:
            yield small.take(length)
        else:
            yield from (objects.get(oid.take(32).hex()) for _ in range(0, length, PIECE))
        known = {0: b"", 1: b"PK\7\10" + crc_sizes, 2: crc_sizes}
        known[3] = b"PK\7\10" + struct.pack("<IQQ", crc, packed, size)  # as section 6 has them
        yield (after := behind.take(behind.number(4)) if ending == 255 else known[ending])
        at += len(head) + length + len(after)
    order = {place: member for member, (place,) in enumerate(struct.iter_unpack(">I", places))}
    yield from (directory[order.get(place, place)] for place in range(count))
    yield last


def content(file: dict[str, Any], objects: Objects) -> Iterator[bytes]:
    """The bytes of a file, piece by piece. What is wrong raises, at the latest behind the last one."""
    size, crc, digest, recipe = 0, 0, hashlib.sha256(), file["recipe"]
    check(recipe["kind"] in ("zip", "concat"), f"kept in a way not known: {recipe['kind']}")
    joined = map(objects.get, recipe.get("objects", ()))
    for piece in joined if recipe["kind"] == "concat" else zip_file(text_of(recipe["steps"], objects), objects):
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        digest.update(piece)
        check(size <= file["size"], "more bytes than promised")
        yield piece
    promised = file["size"], file["crc32"], file["sha256"]
    check(promised == (size, f"{crc:08x}", digest.hexdigest()), "other bytes than promised")


def place(manifest: dict[str, Any]) -> tuple[str, str, int]:
    """Section 1: the folders and the number of a snapshot."""
    names = (manifest[name].encode() for name in ("source", "scope"))
    source, scope = (re.sub(b"[^a-z0-9_-]", lambda byte: b"%%%02x" % byte[0][0], name).decode() for name in names)
    return source, scope, manifest["number"]


def link(path: Path) -> tuple[Any, dict[str, Any]]:
    """Section 6: id and manifest of a snapshot; of one that is gone for good what its tombstone says."""
    if path.suffixes == [".json"]:
        return sha256(read(path)), sealed(path, "snapshot")
    tomb = sealed(path, "tombstone")
    if tomb.get("why") in ("erased", "lost"):
        return tomb["id"], tomb
    manifest = {**tomb["manifest"], "format": tomb["format"], "kind": "snapshot"}
    found = sha256(canonical({**manifest, "seal": seal(manifest)}))
    check(found == tomb["id"], "the tombstone of another snapshot")
    return found, manifest


def chain(folder: Path, mark: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Section 6: the live snapshots of one scope. Tells of numbers that are missing and of what is misplaced."""
    links = (re.fullmatch(r"([0-9]{8,})(\.[a-z]+)?\.json", path.name) for path in folder.iterdir())
    before = None
    for last, number in pairwise([0, *sorted({int(found[1]) for found in links if found})]):
        path, *tombs = (folder / f"{number:08d}{kind}.json" for kind in ("", ".forgotten", ".erased"))
        tomb = tombs[tombs[1].exists()]
        with surviving(folder):
            check(number == last + 1, f"of {last + 1} to {number - 1} there is neither manifest nor tombstone")
        followed, before = before, None
        with surviving(path):
            before, manifest = link(tomb if tomb.exists() else path)
            if not tomb.exists():
                yield before, manifest
            check(place(manifest) == (*path.parts[-3:-1], number), "belongs to another place")
            check(manifest["archive"] == mark.get("id"), "belongs to another archive")
            check(followed is None or manifest["previous"] in (None, followed), "does not follow the one before")


@functools.cache
def replaced(root: Path) -> dict[str, dict[str, Any]]:
    """Section 9: of each pack that was replaced, the note that counts."""
    found: dict[str, dict[str, Any]] = {}
    for path in root.glob("replaced/*.json"):
        with surviving(path):
            note = sealed(path, "replaced")
            check(path.stem == f"{note['pack']}.{note['number']}", "the note about another pack")
            check(note.setdefault("old", "damaged") in ("damaged", "retired", "erased"), "a note of another sort")
            found[note["pack"]] = max(note, found.get(note["pack"], note), key=lambda one: int(one["number"]))
    return found


@functools.cache
def pack_of(root: Path, digest: str) -> Pack | None:
    """A pack, all of it proven once. One of other bytes is told, and used as far as it goes."""
    found = None
    with surviving(f"pack {digest}"):
        check(re.fullmatch("[0-9a-f]{64}", digest) is not None, "no name of a pack")
        path = root / "packs" / digest[:2] / f"{digest}.pack"
        found = Pack(path)
        check_name(path)
    return found


def files(manifest: dict[str, Any], root: Path) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    """Every file of a snapshot, and its bytes to be taken. Replaced packs give way (section 9), each once."""
    notes, packs = replaced(root), list(manifest["packs"])
    for digest in packs:  # it grows meanwhile
        packs += [pack for pack in notes.get(digest, {"by": []})["by"] if pack not in packs]
    retired = {one for one in notes if notes[one]["old"] == "retired" and any(root.glob(f"packs/??/{one}.pack"))}
    chosen = sorted((one for one in packs if one not in notes.keys() - retired), key=retired.__contains__)
    objects = Objects([pack for one in chosen if (pack := pack_of(root, one))])
    kept, old = manifest["listing"], manifest["format"] == 1
    text = b"".join(map(objects.get, kept["objects"])) if old else text_of(kept["steps"], objects)
    check(sha256(text) == kept["sha256"], "its listing does not agree")
    for file in json.loads(text)["files"] if old else listing(text):
        yield file, content(file, objects)


def prove_others(root: Path) -> None:
    """Prove what no snapshot needs: records, notes, decisions, descriptions, evidence, packs not named."""
    small = ("records/*/*.json", "unnamed/*.json", "decisions/*/*/*.json", "evidence/*.json", "keys/*.json")
    proofs: dict[str, Callable[[Path], object]] = dict.fromkeys(small, sealed)
    proofs |= {"about/*.??": check_name, "evidence/*.bin": check_name}
    proofs |= {"packs/*/*.pack": lambda path: path.stem in replaced(root) or pack_of(root, path.stem)}
    for pattern, prove in proofs.items():
        for path in sorted(root.glob(pattern)):
            with surviving(path):
                prove(path)


def main() -> None:
    """The program. Ends with 1 where something is lost."""
    parser = argparse.ArgumentParser(description="Lists and proves a Strongroom archive, or writes its files.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("target", type=Path, nargs="?", help="a folder to write the files to")
    parser.add_argument("--snapshot", default="", metavar="ID-PREFIX", help="only those whose id begins so")
    asked = parser.parse_args()
    mark: dict[str, Any] = {}
    with surviving("strongroom.json"):
        mark = sealed(asked.archive / "strongroom.json", "archive")
        check(mark["objects"] == "sha256", "objects are named in a way not known")
        if "encryption" in mark and any(read(one, 0, 7) == b"SRCRYPT" for one in asked.archive.glob("packs/*/*")):
            sys.exit("encrypted: first comes the other program of about/, which decrypts (FORMAT.md, section 13)")
    folders = sorted(asked.archive.glob("snapshots/*/*/"))
    chosen = [one for folder in folders for one in chain(folder, mark) if one[0].startswith(asked.snapshot)]
    if asked.snapshot and not chosen:
        LOST.append(f"--snapshot {asked.snapshot}: no snapshot has an id that begins so")
    for found, manifest in sorted(chosen, key=lambda one: str(one[1]["taken_at"])):
        print("snapshot", found, *place(manifest), manifest["taken_at"], manifest["quality"], sep="\t")
        folder = asked.target / found[:16] if asked.target else None
        with surviving(f"snapshot {found}"):
            if folder:
                folder.mkdir(parents=True)
            for number, (file, pieces) in enumerate(files(manifest, asked.archive)):
                with surviving(f"snapshot {found}, file {number} {file['path']!r}"):
                    if not folder:
                        sum(map(len, pieces))
                        continue
                    unproven = folder / f"{number}.unproven"  # so called until it is proven to its end
                    with unproven.open("xb") as stream:
                        stream.writelines(pieces)
                    path = unproven.rename(folder / str(number))
                    print(path, manifest["taken_at"], repr(file["path"]), file["sha256"], sep="\t")
    if not asked.snapshot:
        prove_others(asked.archive)
    sys.exit("\n".join(["lost:", *LOST]) if LOST else 0)


if __name__ == "__main__":
    main()
