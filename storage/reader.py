"""Gives the files of a snapshot back, proven while they are read: from objects, by each file's recipe."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from storage import listing, steps
from storage.aside import one_behind
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.index import Index
from storage.inflate import DEFLATED, STORED, inflated
from storage.listing import Entry, Listing, Steps
from storage.objects import OID_SIZE, Oid
from storage.snapshot import Snapshot
from storage.verify import Meter
from storage.zipplan import Plan, PlannedMember

RECENT = 16 << 20  # bytes of listings and plans kept, where they are more than two: one of each follows its own
JOINED = 1 << 20  # bytes: small parts of a file are given together
ASIDE = 4 << 20  # bytes: a file from here on is worth a thread


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a ZIP that is kept cut."""

    name: str  # without the folder that all members share; may be hostile
    size: int  # bytes, as the ZIP's directory says
    crc32: int
    planned: PlannedMember


class Reader:
    """Gives files of snapshots back. Memory: the index, one block cache, a plan, and RECENT."""

    def __init__(self, index: Index) -> None:
        self._index = index
        # Texts unpacked last and the bytes of all their steps, newest at the end: the next listing and plan follow
        # from these.
        self._recent: list[tuple[Steps, bytes, int]] = []

    def entries(self, found: Snapshot) -> Listing:
        """The files of a snapshot. Raises ObjectMissing, ObjectCorrupt, FormatUnknown. Memory: its listing."""
        named = tuple(tuple(Oid(bytes.fromhex(oid)) for oid in step) for step in found.manifest.listing)
        data = self._frame(named[0]) if found.manifest.format == 1 else self.text(named)
        if hashlib.sha256(data).hexdigest() != found.manifest.listing_sha256:
            raise ObjectCorrupt(f"snapshot {found.id[:8]}: its listing is not the one its manifest names")
        return listing.decode(data)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The file's bytes in order. Raises ObjectCorrupt at the end where they are not the file that was put.

        What proves them is size, CRC-32 and SHA-256 of the whole, after the last one: a caller that writes them
        somewhere takes the file for whole only then. Where these differ, the error names the object that is wrong.
        """
        meter = Meter()
        parts = self._parts(entry, self._index.fetch)
        if entry.measured.size > ASIDE:
            yield from one_behind(meter.update, parts)
        else:
            for data in parts:
                meter.update(data)
                yield data
        if meter.result() != entry.measured:
            for _ in self._parts(entry, self._index.read):
                pass
            raise ObjectCorrupt(
                f"{entry.path}: sha256 {meter.result().sha256[:12]}, promised {entry.measured.sha256[:12]}"
            )

    def prove(self, entry: Entry) -> None:
        """Read the whole file and throw it away. Raises what `chunks` raises."""
        for _ in self.chunks(entry):
            pass

    def has(self, oid: Oid) -> bool:
        """True where a pack at hand holds the object. Reads nothing."""
        return self._index.place(oid) is not None

    def lacks(self, entry: Entry) -> bool:
        """True where an object of the file is in none of the packs at hand. Reads no content but the plan's."""
        return not all(map(self.has, self.oids(entry)))

    def oids(self, entry: Entry) -> Iterator[Oid]:
        """Every object that the file needs, with doubles. Raises FormatUnknown, and what its plan raises."""
        _known(entry)  # a file kept in a way not known needs objects not known: never none
        if entry.recipe.kind == "zip":
            yield from (oid for step in entry.recipe.steps for oid in step)
            yield from self.plan(entry).oids()
        else:
            yield from entry.recipe.objects

    def plan(self, entry: Entry) -> Plan:
        """The plan of a file that is kept cut. Raises ObjectMissing, ObjectCorrupt, FormatUnknown."""
        _known(entry)
        try:
            return Plan(self.text(entry.recipe.steps))
        except ValueError as exc:
            raise ObjectCorrupt(f"{entry.path}: its plan cannot be read: {exc}") from exc

    def members(self, entry: Entry) -> Iterator[Member]:
        """The members of a file that is kept cut, folders too, in its order. None where it is kept otherwise."""
        if entry.recipe.kind != "zip":
            return
        plan = self.plan(entry)
        try:
            for index, (planned, name) in enumerate(zip(plan.members(), readable(plan.names()), strict=True)):
                yield Member(name, *plan.size_and_crc32(index), planned)
        except ValueError as exc:
            raise ObjectCorrupt(f"{entry.path}: its plan cannot be read: {exc}") from exc

    def payload(self, member: Member) -> Iterator[bytes]:
        """A member's bytes as they are in the ZIP, deflated for the most part."""
        payload = member.planned.payload
        yield from (payload,) if isinstance(payload, bytes) else map(self._index.read, payload)

    def content(self, member: Member) -> Iterator[bytes]:
        """A member's bytes, inflated. Raises ObjectCorrupt at the end where its CRC-32 is not the promised."""
        method = int.from_bytes(member.planned.header[8:10], "little")
        if method not in (STORED, DEFLATED) or member.planned.header[6] & 1:
            raise FormatUnknown(
                f"{member.name}: encrypted, or compressed by method {method}; 0 and 8 are unpacked",
                hint="restore the whole file, and unpack it with a tool that knows its method",
            )
        meter = Meter()
        try:
            for plain in inflated(self.payload(member), method):
                meter.update(plain)
                yield plain
        except zlib.error as exc:
            raise ObjectCorrupt(f"{member.name}: cannot be inflated: {exc}") from exc
        got = meter.result()
        if got.crc32 != member.crc32:
            raise ObjectCorrupt(f"{member.name}: crc32 {got.crc32:08x}, promised {member.crc32:08x}")

    def text(self, named: Steps) -> bytes:
        """The text that steps lead to. Raises ObjectMissing, ObjectCorrupt. Memory: two texts, and RECENT."""
        return self._text(named)[0]

    def unpacked(self, named: Steps) -> int:
        """Bytes of the texts of all these steps. Raises as `text`; costs nothing right after it."""
        return self._text(named)[1]

    def _text(self, named: Steps) -> tuple[bytes, int]:
        known = [recent for recent in self._recent if named[: len(recent[0])] == recent[0]]
        done, base, unpacked = max(known, key=lambda recent: len(recent[0]), default=((), None, 0))
        for step in named[len(done) :]:
            base = steps.unpack(self._frame(step), base)
            unpacked += len(base)
        if base is None:
            raise ObjectCorrupt("a listing or plan of no steps")
        self._recent = [recent for recent in self._recent if recent[0] != done] + [(named, base, unpacked)]
        while len(self._recent) > 2 and sum(len(text) for _, text, _ in self._recent) > RECENT:
            del self._recent[0]
        return base, unpacked

    def _frame(self, step: tuple[Oid, ...]) -> bytes:
        return b"".join(map(self._index.read, step))

    def _parts(self, entry: Entry, read: Callable[[Oid], bytes]) -> Iterator[bytes]:
        """The file in order, small parts put together: each step of a reader costs more than their bytes do."""
        _known(entry)
        if entry.recipe.kind == "concat":
            steps: Iterator[tuple[bytes, bytes]] = ((b"", oid) for oid in entry.recipe.objects)
        else:
            steps = self.plan(entry).parts()
        small: list[bytes] = []
        size = 0
        try:
            for before, oids in steps:
                small.append(before)
                size += len(before)
                for at in range(0, len(oids), OID_SIZE):
                    data = read(Oid(oids[at : at + OID_SIZE]))  # where there is but one, no copy is made
                    small.append(data)
                    size += len(data)
                    if size >= JOINED:
                        yield b"".join(small)
                        small.clear()
                        size = 0
        except ValueError as exc:
            raise ObjectCorrupt(f"{entry.path}: its plan cannot be read: {exc}") from exc
        yield b"".join(small)


def readable(names: Iterable[bytes]) -> list[str]:
    """Names of members as text; bytes that are no UTF-8 stand as `\\x…`."""
    return [name.decode("utf-8", "backslashreplace") for name in names]


def _known(entry: Entry) -> None:
    if entry.recipe.kind not in ("concat", "zip"):
        raise FormatUnknown(f"{entry.path}: kept as {entry.recipe.kind!r}, this version reads 'concat' and 'zip'")
