"""Made-up exports as ZIP files: written by Java, as RSpace's exporter does, or by Python where no Java is.

Equal names, times and contents either way, and the same streaming layout: a data descriptor behind each payload.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import IO, BinaryIO

from storage.verify import Measured, Meter
from tests.bench.exports import Export

JAVA = Path(__file__).with_name("ExportZip.java")
PIECE = 1 << 20
_CUT = 12  # bytes of a payload's SHA-256 that are remembered

Write = Callable[[Export, Path], None]


def has_java() -> bool:
    """Whether there is a JDK that runs a source file."""
    return shutil.which("java") is not None and shutil.which("javac") is not None


@contextmanager
def writer(*, java: bool) -> Iterator[Write]:
    """What writes an export to a file that is not there yet. One Java serves all nights."""
    if not java:
        yield write_by_python
        return
    with subprocess.Popen(["java", str(JAVA)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        to, back = process.stdin, process.stdout

        def write(export: Export, path: Path) -> None:
            _send(to, export, path)
            if back.readline().strip() != b"done":
                raise SystemExit(f"{path}: Java did not write it")

        yield write
        to.write(_text(""))
        to.close()


def write_by_python(export: Export, path: Path) -> None:
    """The export by Python's zipfile, as a stream."""
    with path.open("xb") as file, zipfile.ZipFile(_Stream(file), "w", zipfile.ZIP_DEFLATED) as archive:
        for member in export.members:
            info = zipfile.ZipInfo(member.name, member.at.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as stream:
                stream.write(member.content())


class _Stream:
    """A file that cannot seek: then zipfile writes descriptors, as Java does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _send(to: IO[bytes], export: Export, path: Path) -> None:
    write = to.write
    write(_text(str(path.absolute())))
    for member in export.members:
        content = member.content()
        write(_text(member.name))
        write(struct.pack(">qi", int(member.at.replace(tzinfo=UTC).timestamp()), len(content)))
        write(content)
    write(_text(""))
    to.flush()


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">i", len(data)) + data


def measured(path: Path) -> Measured:
    """What a download would have measured."""
    meter = Meter()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            meter.update(piece)
    return meter.result()


@dataclass(frozen=True, slots=True)
class Payloads:
    """What one export holds besides its headers."""

    members: int
    total: int  # bytes of all payloads
    new: int  # bytes of distinct payloads that no export before held
    unedited: int  # of these, texts of documents that nobody edited
    members_new: int


class Seen:
    """Payloads of all exports so far: deflated bytes as they stand in the ZIPs."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def take(self, path: Path, export: Export) -> Payloads:
        """Count one more export."""
        unedited = {member.name for member in export.members if member.unedited}
        total = new = phantom = fresh = 0
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            infos = archive.infolist()
            for info in infos:
                total += info.compress_size
                mark = _digest(stream, info)
                if mark not in self._known:
                    self._known.add(mark)
                    fresh += 1
                    new += info.compress_size
                    phantom += info.compress_size if info.filename in unedited else 0
        return Payloads(len(infos), total, new, phantom, fresh)


def _digest(stream: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    stream.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", stream.read(4))
    stream.seek(name + extra, 1)
    found = hashlib.sha256()
    rest = info.compress_size
    while rest:
        piece = stream.read(min(PIECE, rest))
        if not piece:
            raise SystemExit(f"{info.filename}: ends within its payload")
        found.update(piece)
        rest -= len(piece)
    return found.digest()[:_CUT]
