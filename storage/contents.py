"""What a snapshot holds, looked into: its files, and the members of those that are ZIPs, one by one as *leaves*.

A file that is called `.zip` or `.eln`, or that came as one, is opened, where it is kept in parts or is small; any
other is a leaf itself, a `.docx` too, and a large ZIP that is kept otherwise.
A leaf's path is `file/member`, without the folder that all members share. Where a snapshot is one ZIP and nothing
else, it is the member's name alone: the name of the export changes every night, those of its members do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import PurePosixPath

from storage import zipcut
from storage.errors import ObjectCorrupt, StorageError
from storage.listing import Entry
from storage.reader import Member, Reader, readable
from storage.recipes import WHOLE
from storage.zipplan import PIECE, PlannedMember

_ZIPS = (".zip", ".eln")
_ZIP_TYPE = "application/zip"
_Inside = tuple[list[bytes], Callable[[int], tuple[int, int]]]  # names of members; size and CRC-32 by their place


@dataclass(frozen=True, slots=True)
class Leaf:
    """A file of a snapshot, or a member of one. Several members may have one path."""

    path: str  # may be hostile; a folder's ends with a slash
    size: int  # bytes
    crc32: int
    entry: Entry  # the file that it is or is in
    place: int | None = None  # of the member in its ZIP, from 0; None: the file itself

    @property
    def folder(self) -> bool:
        """A folder that the ZIP names, which holds no bytes of its own."""
        return self.place is not None and not self.size and self.path.endswith("/")

    @property
    def content(self) -> str:
        """Equal for equal bytes: of a file its SHA-256; of a member size and CRC-32, all that a ZIP says of it."""
        return self.entry.measured.sha256 if self.place is None else f"{self.size}:{self.crc32:08x}"


def leaves(
    reader: Reader, files: Collection[Entry], wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[Leaf]:
    """The leaves whose paths are `wanted`, folders too, in the order of the files. Nothing is unpacked but plans.

    Raises ObjectMissing, ObjectCorrupt, FormatUnknown. Memory: a plan.
    """
    for entry in files:
        yield from leaves_of(reader, entry, wanted, alone=len(files) == 1)


def leaves_of(reader: Reader, entry: Entry, wanted: Callable[[str], bool], *, alone: bool) -> Iterator[Leaf]:
    """As `leaves`, of one file, which may be `alone` in its snapshot."""
    inside = _opened(reader, entry)
    if inside is None:
        if wanted(entry.path):
            yield Leaf(entry.path, entry.measured.size, entry.measured.crc32, entry)
        return
    above = "" if alone else f"{entry.path}/"
    try:
        names, size_and_crc32 = inside()
        # In one go: `find` asks millions of names.
        paths = [above + name for name in readable(names)]
        for place in [place for place, path in enumerate(paths) if wanted(path)]:
            size, crc32 = size_and_crc32(place)
            if names[place] or size:  # not the folder that all members share
                yield Leaf(paths[place], size, crc32, entry, place)
    except ValueError as exc:
        raise ObjectCorrupt(f"{entry.path}: its plan cannot be read: {exc}") from exc


def readings(reader: Reader, wanted: Iterable[Leaf]) -> Iterator[tuple[Leaf, Iterator[bytes]]]:
    """Each leaf with its plain bytes, in the order of `leaves`; a ZIP's plan is gone through once.

    The bytes raise ObjectMissing, ObjectCorrupt, FormatUnknown; they are proven when the last one came: a file by
    its SHA-256, a member by its size and CRC-32. To be used before the next leaf is asked for, or not at all.
    """
    for entry, group in groupby(wanted, key=lambda leaf: leaf.entry):
        walk = _Walk(reader, entry)
        for leaf in group:
            yield leaf, reader.chunks(entry) if leaf.place is None else walk.read(leaf, leaf.place)


class _Walk:
    """Goes through the members of a ZIP once, as far as is asked for."""

    def __init__(self, reader: Reader, entry: Entry) -> None:
        self._reader = reader
        self._members = enumerate(_members(reader, entry))
        self._at = -1
        self._member: Member | None = None
        self._broken: StorageError | None = None  # ends the walk, and every reading behind it

    def read(self, leaf: Leaf, place: int) -> Iterator[bytes]:
        """The member at that place, behind the last one. Nothing is read before its first bytes are asked for."""
        try:
            while self._at < place and not self._broken:
                self._at, self._member = next(self._members)
        except StorageError as exc:
            self._broken = exc
        if self._broken or self._member is None:
            raise self._broken or ObjectCorrupt(f"{leaf.path}: not in its ZIP")
        yield from _proven(self._reader, leaf, self._member)


def kept_as(reader: Reader, entry: Entry) -> tuple[str, int]:
    """How a file is kept, and in how many parts: ("zip", members), ("pieces", objects) or ("whole", 1)."""
    if entry.recipe.kind == "zip":
        return "zip", reader.plan(entry).count
    count = len(entry.recipe.objects)
    return ("pieces", count) if count > 1 else ("whole", 1)


def _opened(reader: Reader, entry: Entry) -> Callable[[], _Inside] | None:
    """What is inside of a ZIP; None for what is not opened."""
    if not _called_zip(entry):
        return None
    if entry.recipe.kind == "zip":
        plan = reader.plan(entry)
        return lambda: (plan.names(), plan.size_and_crc32)
    small = _small(reader, entry)
    if small is None:
        return None
    return lambda: ([name for name, _ in small], lambda place: (small[place][1].size, small[place][1].crc32))


def _members(reader: Reader, entry: Entry) -> Iterator[Member]:
    if entry.recipe.kind == "zip":
        return reader.members(entry)
    return (member for _, member in _small(reader, entry) or ())


def _called_zip(entry: Entry) -> bool:
    return entry.media_type == _ZIP_TYPE or PurePosixPath(entry.path).suffix.lower() in _ZIPS


def _small(reader: Reader, entry: Entry) -> list[tuple[bytes, Member]] | None:
    """The members of a ZIP that is too small to be kept cut, cut here; None where it is none."""
    if entry.measured.size > WHOLE:
        return None
    data = b"".join(reader.chunks(entry))
    file = BytesIO(data)
    rows = []
    try:
        directory = zipcut.read_directory(file, len(data))
        cut = zipcut.members(file, directory, piece=PIECE)
        for at, (_, header, length, pieces) in zip(directory.place, cut, strict=False):
            row = PlannedMember(header, directory.data[at + 16 : at + 28], length, b"".join(pieces), b"")
            rows.append((row, _plain_size(directory.data, at)))
    except zipcut.NotCut:
        return None
    names = [row.name for row, _ in rows]
    top = names[0][: names[0].find(b"/") + 1] if names else b""
    shared = len(top) if all(name.startswith(top) for name in names) else 0
    small = []
    for row, size in rows:
        name = row.name[shared:]
        small.append((name, Member(readable([name])[0], size, int.from_bytes(row.sums[:4], "little"), row)))
    return small


def _plain_size(directory: bytes, at: int) -> int:
    size = int.from_bytes(directory[at + 24 : at + 28], "little")
    if size != zipcut.FULL32:
        return size
    name, extra = (int.from_bytes(directory[at + 28 + k : at + 30 + k], "little") for k in (0, 2))
    return zipcut.plain_size(directory[at + 46 + name : at + 46 + name + extra])


def _proven(reader: Reader, leaf: Leaf, member: Member) -> Iterator[bytes]:
    """A member's bytes; a bomb is stopped where it passes the promised size."""
    done = 0
    for data in reader.content(member):
        done += len(data)
        if done > leaf.size:
            break
        yield data
    if done != leaf.size:
        got = "more" if done > leaf.size else f"{done}"
        raise ObjectCorrupt(f"{leaf.path}: {got} bytes, promised {leaf.size}")
