"""How `archive-v3.zip` and `archive-v3.json` were made, once. They are kept for ever and never made again.

    python tests/golden/make_archive_v3.py FOLDER

An archive of formats 1 and 2 (the second stored one) that a writer of format 3 goes on with: tags and levels,
tombstones of every kind, retired packs that are there, needed or gone, decisions.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from storage import replaced, snapshot, tombstone
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.decisions import Decision
from storage.index import Index, pack_name
from storage.losses import needed
from storage.objects import Oid
from storage.packs import Kind, PackBuilder
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import Compared, Level, ScopeKey, Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import LAB, NIGHT, START, draft, drop, noise, read

HERE = Path(__file__).parent
USER7, USER9 = ScopeKey("lab", "user:7"), ScopeKey("lab", "user:9")
FIRST = START + timedelta(days=500)
LATER = FIRST + 20 * NIGHT


class Night:
    """Writes snapshots of one archive, the same ones each time: salts are counted."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._salts = 0

    def salt(self) -> bytes:
        """Sixteen bytes that no other pack of this archive has."""
        self._salts += 1
        return f"golden v3 {self._salts:06d}".encode()

    def write(
        self, key: ScopeKey, night: int, files: dict[str, bytes], *, tags: tuple[str, ...] = (), level: Level | None = None
    ) -> Snapshot:
        """A snapshot of `files`."""
        taken = FIRST + night * NIGHT
        return self.commit(Writer(self.archive, key, salt=self.salt), key, taken, files, tags=tags, level=level)

    def commit(
        self,
        writer: Writer,
        key: ScopeKey,
        taken: datetime,
        files: dict[str, bytes],
        *,
        tags: tuple[str, ...] = (),
        level: Level | None = None,
    ) -> Snapshot:
        """A snapshot by a writer that was opened before."""
        for path, data in files.items():
            writer.add(path, io.BytesIO(data), promised=Promise(size=len(data)))
        return writer.commit(draft(key, taken, tags=tags, level=level), clock=lambda: taken)

    def retire(self, pack: str, keep: Sequence[Oid], *, at: datetime) -> None:
        """Put these objects of a pack into another, and note that it is retired."""
        index = Index(self.archive.backend, self.archive.scheme)
        index.load([pack])
        builder = PackBuilder("sha256", self.salt())
        for oid in keep:
            builder.add(oid, index.read(oid), Kind.CONTENT)
        by, parts = builder.finish()
        self.archive.backend.put_new(pack_name(by), parts)
        note = Replaced(pack, 1, (by,), (), (), at, "little of it was needed", "retired")
        self.archive.backend.put_new(replaced.note_name(pack, 1), [replaced.encode(note)])


def needed_of(archive: Archive, pack: str, found: Snapshot) -> list[Oid]:
    """The objects of a pack that a snapshot needs."""
    index = Index(archive.backend, archive.scheme)
    index.load(found.manifest.packs)
    return sorted({oid for oid in needed(Reader(index), found) if oid in (index.oids(pack) or ())})


def entomb(archive: Archive, tomb: tombstone.Tombstone) -> None:
    """Put a tombstone, and take the manifest away."""
    archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
    archive.backend.delete(snapshot.manifest_name(tomb.key, tomb.number))


def retired_packs(made: Night) -> None:
    """One that is gone and one of which a late writer reused what nothing needed any more."""
    archive = made.archive
    for night, gone in ((10, True), (12, False)):
        key = ScopeKey("lab", f"retired {night}")
        first = {"a": noise(5000, night), "b": noise(6000, night + 1)}
        old = made.write(key, night, first)
        second = made.write(key, night + 1, {"a": first["a"]})
        late = Writer(archive, key, salt=made.salt)  # it has the footers now
        drop(archive, old, now=FIRST)
        index = Index(archive.backend, archive.scheme)
        index.load(second.manifest.packs)
        place = index.place(archive.scheme.oid(first["a"]))
        assert place is not None
        where = index.locate(place)
        made.retire(where.pack, needed_of(archive, where.pack, second), at=LATER)
        if gone:
            archive.backend.delete(pack_name(where.pack))
        else:
            made.commit(late, key, FIRST + 15 * NIGHT, {"b": first["b"], "c": b"new"})


def main(folder: Path) -> None:
    """Make both files in `folder`, and beside them the archive itself."""
    with zipfile.ZipFile(HERE / "archive-v2.zip") as stored:
        stored.extractall(folder / "archive")
    archive = Archive.open(LocalDisk(folder / "archive"))
    made = Night(archive)
    before = archive.snapshots(LAB)[-1]
    compared = (Compared(before.id, 3, 2, 400), Compared(before.manifest.previous or "", 0, 9, 390))
    files = {"table.csv": noise(20_000, 1), "notes.txt": b"n\n"}
    first = made.write(LAB, 0, files, tags=("before:move", "year.2027"), level=Level(399, compared))
    made.write(LAB, 1, {**files, "notes.txt": b"m\n"}, level=Level(None))
    made.write(LAB, 2, files)

    chain = [made.write(USER9, night, {"a": noise(2000, night), "same": noise(3000, 1)}) for night in range(3)]
    archive.backend.delete(chain[2].name)
    archive.backend.put_new(chain[2].name, [b"damaged"])  # so that the next one knows no id of it
    last = [made.write(USER9, night, {"a": noise(2000, night)}) for night in (3, 4, 5)]
    archive.backend.delete(chain[2].name)
    drop(archive, chain[0], now=LATER)
    entomb(archive, tombstone.erased(chain[1], at=LATER, reason="he asked for it"))
    entomb(archive, tombstone.lost(archive.id, USER9, 3, known="", at=LATER, reason="a bad disk"))
    entomb(archive, tombstone.lost(archive.id, USER9, 4, known=last[0].id, at=LATER, reason="a bad disk"))
    drop(archive, archive.snapshots(USER7)[0], now=LATER)  # of format 2
    retired_packs(made)

    hold = Decision("hold", LAB, first.manifest.number, first.id, LATER, "M. Rossi", "an audit", LATER + 90 * NIGHT)
    for decision in (
        hold,
        replace(hold, kind="release", until=None, reason="it is over"),
        replace(hold, kind="reject", until=None, reason="half of it is missing"),
        Decision("accept", USER9, 6, last[2].id, LATER, "Ö. Ünal", "the group moved out"),
    ):
        archive.decide(decision)

    names = sorted(archive.backend.list(""))
    with zipfile.ZipFile(folder / "archive-v3.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for name in names:
            target.writestr(zipfile.ZipInfo(name), archive.backend.get(name), zipfile.ZIP_DEFLATED)
    held = {
        found.id: {path: hashlib.sha256(data).hexdigest() for path, data in read(archive, found).items()}
        for found in archive.snapshots()
    }
    promised = {"forgotten": [tomb.id for tomb in archive.tombstones()], "snapshots": held}
    (folder / "archive-v3.json").write_text(
        json.dumps(promised, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
