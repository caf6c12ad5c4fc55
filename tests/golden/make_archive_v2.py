"""How `archive-v2.zip` and `archive-v2.json` were made, once. They are kept for ever and never made again.

    python tests/golden/make_archive_v2.py FOLDER

An archive of format 1 (the stored one) that a writer of format 2 goes on with: nights of a ZIP, scopes that share
payloads, ZIPs of every odd kind, large and empty files, hostile names, all that runs may leave behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from storage import records
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.packs import Kind, PackBuilder
from storage.sweeping import sweep
from storage.records import Ended
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Promise, Quality, measure
from storage.writer import Writer
from tests.doubles import LAB, NIGHT, START, draft, drop, noise, read, run_record

HERE = Path(__file__).parent
FULL = 0xFFFFFFFF
FILLER = b"0123456789abcdef" * 4200  # 67 kB: what is smaller than 64 KiB is kept as one object
USER7, USER8, ODD = ScopeKey("lab", "user:7"), ScopeKey("lab", "user:8"), ScopeKey("Ödd", "zips")
FIRST = START + timedelta(days=30)


def member(name: bytes, payload: bytes, **odd: object) -> tuple[bytes, bytes, dict[str, object]]:
    """A member of a ZIP made by hand: stored or raw deflate, with whatever is odd about it."""
    return name, payload, odd


def by_hand(
    members: list[tuple[bytes, bytes, dict[str, object]]],
    *,
    before: bytes = b"",
    comment: bytes = b"",
    behind: bytes = b"",
    turned: bool = False,
    counted: bool = False,
    gap: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """A ZIP. `turned`: the directory stands in another order; `counted`: offsets count what lies before."""
    out = bytearray(before)
    entries = []
    filler = members[0][0].partition(b"/")[0] + b"/filler" if members else b"filler"
    for name, payload, odd in [*members, member(filler, FILLER)] if members else []:
        packed, method = (payload, 0)
        if odd.get("deflate"):
            packer = zlib.compressobj(wbits=-15)
            packed, method = packer.compress(payload) + packer.flush(), 8
        crc, size, flags = zlib.crc32(payload), len(payload), int(str(odd.get("flags", 0)))
        sums = struct.pack("<III", crc, len(packed), size)
        local_sums, central_sums, local_extra, central_extra = sums, sums, b"", b""
        both = struct.pack("<HHQQ", 1, 16, size, len(packed))
        if odd.get("zip64"):
            local_extra = central_extra = both
            local_sums = central_sums = struct.pack("<III", crc, FULL, FULL)
        if odd.get("zip64 size"):
            central_extra = struct.pack("<HHHHQ", 0xCAFE, 0, 1, 8, size)
            local_sums = central_sums = struct.pack("<III", crc, len(packed), FULL)
        if odd.get("streamed"):
            flags |= 8
            local_sums = bytes(12)
        extra = odd.get("extra", b"")
        assert isinstance(extra, bytes)
        local_extra, central_extra = local_extra + extra, central_extra + extra[:4] * bool(extra)
        offset = len(out) - (0 if counted else len(before))
        out += (
            struct.pack("<4sHHHHH", b"PK\3\4", 20 if odd.get("older") else 45, flags, method, 0x4A21, 0x5C41)
            + local_sums
        )
        out += struct.pack("<HH", len(name), len(local_extra)) + name + local_extra + packed
        out += {
            "signed": b"PK\7\10" + sums,
            "bare": sums,
            "wide": b"PK\7\10" + struct.pack("<IQQ", crc, len(packed), size),
            "": b"",
        }[str(odd.get("streamed", ""))]
        out += gap
        remark = odd.get("comment", b"")
        assert isinstance(remark, bytes)
        if odd.get("zip64 offset"):
            central_extra += struct.pack("<HHQ", 1, 8, offset)
            offset = FULL
        entry = struct.pack("<4sHHHHHH", b"PK\1\2", 0x031E, 45, flags, method, 0x4A21, 0x5C41) + central_sums
        entry += struct.pack("<HHHHHII", len(name), len(central_extra), len(remark), 0, 1, 0x81A40000, offset)
        entries.append(entry + name + central_extra + remark)
    start = len(out) - (0 if counted else len(before))
    directory = b"".join(reversed(entries) if turned else entries)
    out += directory
    if zip64:
        end = len(out) - (0 if counted else len(before))
        count = len(entries)
        out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start)
        out += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
        out += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, FULL, FULL, len(comment)) + comment
    else:
        count = len(entries)
        out += (
            struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), start, len(comment)) + comment
        )
    return bytes(out) + behind


def odd_zips() -> dict[str, bytes]:
    """Every kind that a writer may meet, each just large enough to be cut: a smaller file is one object."""
    words = b"A payload that is longer than thirty-two bytes. " * 2
    small, long = b"tiny", words
    plain = [member(b"a/one.txt", long), member(b"a/two.txt", small), member(b"a/", b"")]
    large = bytes(range(64)) * (9 << 14)  # 9 MiB
    zips = {
        "bytes before, not counted": by_hand(plain, before=b"#!/bin/sh\nexit\n"),
        "bytes before, counted": by_hand(plain, before=b"#!/bin/sh\nexit\n", counted=True),
        "bytes behind": by_hand(plain, behind=b"\0" * 100),
        "comment": by_hand(plain, comment=b"made by hand"),
        "duplicate names": by_hand([member(b"x", long), member(b"x", long + b"!"), member(b"x", long)]),
        "directory in another order": by_hand(plain, turned=True),
        "gaps": by_hand(plain, gap=b"between"),
        "empty": by_hand([], before=FILLER),
        "encrypted flag": by_hand([member(b"secret", noise(80, 1), flags=1), member(b"open", long)]),
        "extra fields": by_hand(
            [member(b"a", long, extra=struct.pack("<HHI", 0x5455, 4, 77), comment=b"remark"), member(b"b", small)]
        ),
        "headers that differ": by_hand([member(b"a", long, older=True), member(b"b", small)]),
        "large payload": by_hand([member(b"large.bin", large), member(b"after", small)]),
        "names not UTF-8": by_hand([member(b"\xff\xfe/\x80", long), member(b"../../\xe9vil", long)]),
        "no ZIP at all": FILLER + noise(300, 2),
        "stored and deflated": by_hand([member(b"s", long), member(b"d", long * 9, deflate=True)]),
        "streamed, 8-byte sizes": by_hand([member(b"s", long, streamed="wide", zip64=True)]),
        "streamed, bare": by_hand([member(b"s", long, streamed="bare"), member(b"t", b"", streamed="bare")]),
        "streamed, signed": by_hand([member(b"s", long * 9, streamed="signed", deflate=True)]),
        "streamed, wide in 4-byte ZIP": by_hand([member(b"s", long, streamed="wide")]),
        "zip64": by_hand([member(b"root/a", long, zip64=True), member(b"root/b", small, zip64=True)], zip64=True),
        "zip64 offset": by_hand([member(b"a", long), member(b"b", long, **{"zip64 offset": True})]),
        "zip64 of the size alone": by_hand([member(b"a", long, **{"zip64 size": True})]),
    }
    whole = by_hand(plain)
    entry = whole.index(b"PK\1\2")
    overlap = bytearray(whole)
    second = overlap.index(b"PK\1\2", entry + 4)
    overlap[second + 42 : second + 46] = bytes(4)  # both entries name the first local header
    zips["overlap"] = bytes(overlap)
    zips["cut off"] = whole[:-30]
    return {f"odd/{name}.zip": data for name, data in zips.items()}


def export(night: int, person: int) -> bytes:
    """A night's export: most members as before, one changed, one added, as a streaming writer makes it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(_Unseekable(stream), "w", zipfile.ZIP_DEFLATED) as target:
        for number in range(40 + night):
            version = night if number == 3 + night else 0
            text = f"<doc id='SD{number}' version='{version}'>" + " ".join(_words(number, version)) + "</doc>"
            info = zipfile.ZipInfo(f"export-{night}/SD{number}/form.xml", (2026, 3, 1 + night, 2, 30, 0))
            info.external_attr = 0o640 << 16
            target.writestr(info, text, zipfile.ZIP_DEFLATED)
        target.writestr(zipfile.ZipInfo(f"export-{night}/SD0/picture.bmp"), FILLER)
        target.writestr(zipfile.ZipInfo(f"export-{night}/manifest.json"), json.dumps({"of": person, "n": night}))
    return stream.getvalue()


class _Unseekable(io.RawIOBase):
    """A stream that makes zipfile write data descriptors."""

    def __init__(self, target: io.BytesIO) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._target.write(data)  # type: ignore[arg-type]


def _words(number: int, version: int) -> Iterator[str]:
    random_words = random.Random(f"{number} {version}")
    return (random_words.choice(("ferment", "agar", "probe", "43 °C", "sterile", "µl")) for _ in range(30))


def table() -> bytes:
    """A large file that is no ZIP: several objects, small in the archive."""
    random_rows = random.Random(7)
    kinds = ["plasmid,pUC19,-80", "antibody,rabbit,4", "primer,T7,-20"]
    return b"id,kind,name,degrees\n" + b"".join(
        f"{n // 50},{random_rows.choice(kinds)}\n".encode() for n in range(30_000)
    )


class Night:
    """Writes snapshots of one archive, the same ones each time: salts are counted."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._salts = 0

    def salt(self) -> bytes:
        """Sixteen bytes that no other pack of this archive has."""
        self._salts += 1
        return f"golden v2 {self._salts:06d}".encode()

    def write(
        self,
        key: ScopeKey,
        night: int,
        files: dict[str, bytes],
        *,
        quality: Quality = Quality.VERIFIED,
        promises: dict[str, Promise] | None = None,
    ) -> Snapshot:
        """A snapshot of `files`."""
        taken = FIRST + night * NIGHT
        writer = Writer(self.archive, key, salt=self.salt)
        for path, data in files.items():
            found = measure([data])
            promised = (promises or {}).get(path, Promise(found.size, found.crc32, found.sha256))
            media = "application/zip" if path.endswith(".zip") else "text/csv; charset=utf-8"
            writer.add(path, io.BytesIO(data), promised=promised, media_type=media)
        return writer.commit(draft(key, taken, quality=quality), clock=lambda: taken)


def main(folder: Path) -> None:
    """Make both files in `folder`, and beside them the archive itself."""
    with zipfile.ZipFile(HERE / "archive-v1.zip") as stored:
        stored.extractall(folder / "archive")
    archive = Archive.open(LocalDisk(folder / "archive"))
    made = Night(archive)
    for night in range(5):
        made.write(
            USER7, night, {f"user7-{night}.zip": export(night, 7), "notes.txt": b"" if night % 2 else b"n\n"}
        )
        made.write(USER8, night, {"export.zip": export(night, 8)})
    csv = table()
    size = len(csv)
    promises = {
        "table.csv": Promise(size=size + 1, crc32=zlib.crc32(csv)),
        "empty": Promise(),
        "C:\\con": Promise(sha256="0" * 64),
    }
    hostile = {
        "../../hostile\\name": b"1",
        "/etc/passwd": b"2" * 40,
        "C:\\con": b"3",
        "line\nfeed\t\0": b"4",
        "Grüße 世界": b"5",
        "e\u0301": b"6",
        "\u00e9": b"7",
    }
    files = {"table.csv": csv, "empty": b"", **hostile}
    made.write(LAB, 0, files, quality=Quality.QUARANTINED, promises=promises)  # goes on behind three of format 1
    made.write(LAB, 1, {**files, "table.csv": csv[: size // 2] + b"new,row,in,between\n" + csv[size // 2 :]})
    made.write(ODD, 0, odd_zips(), quality=Quality.PARTIAL)
    made.write(ODD, 1, odd_zips())
    made.write(ODD, 2, {})

    drop(archive, archive.snapshots(USER8)[1], now=FIRST + 9 * NIGHT)
    builder = PackBuilder("sha256", made.salt())
    builder.add(archive.scheme.oid(b"left behind"), b"left behind", Kind.CONTENT)
    name, parts = builder.finish()
    archive.backend.put_new(f"packs/{name[:2]}/{name}.pack", parts)
    sweep(archive, now=FIRST + 9 * NIGHT)
    for number, ended in enumerate(Ended):
        kept = archive.snapshots(USER7)[number % 5].id if ended.kept else ""
        at = FIRST + number * NIGHT
        run = run_record(f"{at:%Y%m%d-%H%M%S}-0000beef", key=USER7, started_at=at, ended=ended, snapshot=kept)
        archive.put_record(run.id, records.encode(run))

    names = sorted(archive.backend.list(""))
    with zipfile.ZipFile(folder / "archive-v2.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for name in names:
            target.writestr(zipfile.ZipInfo(name), archive.backend.get(name), zipfile.ZIP_DEFLATED)
    held = {
        found.id: {path: hashlib.sha256(data).hexdigest() for path, data in read(archive, found).items()}
        for found in archive.snapshots()
    }
    promised = {"forgotten": [tomb.id for tomb in archive.tombstones()], "snapshots": held}
    (folder / "archive-v2.json").write_text(
        json.dumps(promised, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
