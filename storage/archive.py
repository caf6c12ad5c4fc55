"""The archive, as the rest of the program uses it: snapshots, their files, records of runs.

Reads and writes through a `Backend`; how a snapshot is put together is `writer.py`, what goes is `prune.py`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage import canonical, listing, snapshot
from storage.backend import Backend, LocalDisk
from storage.errors import (
    ArchiveMissing,
    FormatUnknown,
    ObjectCorrupt,
    ObjectMissing,
    SnapshotUnknown,
    StorageError,
)
from storage.index import Index
from storage.listing import Entry
from storage.objects import Oid, PlainSha256, Scheme, scheme
from storage.snapshot import ScopeKey, Snapshot, Tombstone
from storage.verify import Meter

FORMAT = 1
FORMAT_NAME = "strongroom.json"
_MIN_PREFIX = 4  # characters of a shortened snapshot id


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file of the archive that cannot be read, and why. Reported, never passed over."""

    name: str
    problem: str


class Archive:
    """An opened archive. Thread-safe for reading as far as the backend is."""

    def __init__(self, backend: Backend, archive_id: str, scheme: Scheme) -> None:
        self.backend = backend
        self.id = archive_id
        self.scheme = scheme

    @classmethod
    def create(cls, backend: Backend, *, now: datetime) -> Archive:
        """Make an archive, or open the one that is there. Retry: yes."""
        mark = {
            "format": FORMAT,
            "kind": "archive",
            "id": str(uuid.uuid4()),
            "created_at": snapshot.to_text(now),
            "objects": PlainSha256.name,
        }
        backend.put_new(FORMAT_NAME, [canonical.encode(mark)])
        return cls.open(backend)

    @classmethod
    def open(cls, backend: Backend) -> Archive:
        """Raises ArchiveMissing, FormatUnknown, ObjectCorrupt. Changes nothing."""
        try:
            mark = canonical.decode(backend.get(FORMAT_NAME))
            found = mark["format"], mark["kind"], mark["id"], mark["objects"]
        except ObjectMissing as exc:
            raise ArchiveMissing(f"{backend.url}: no archive here ({FORMAT_NAME} is missing)") from exc
        except (KeyError, TypeError, ValueError) as exc:
            raise ObjectCorrupt(f"{FORMAT_NAME}: cannot be read: {exc!r}") from exc
        if found[:2] != (FORMAT, "archive"):
            raise FormatUnknown(f"{backend.url}: archive format {found[0]!r}, this version reads {FORMAT}")
        return cls(backend, found[2], scheme(found[3]))

    def scopes(self) -> list[ScopeKey]:
        """Every scope that has or had a snapshot, read from the newest file of each chain."""
        newest = {name.rpartition("/")[0]: name for name in self.backend.list("snapshots/")}
        keys = {self._any_manifest(name).draft.key for name in newest.values()}
        return sorted(keys, key=lambda key: (key.source, key.scope))

    def snapshots(self, key: ScopeKey | None = None, *, damaged: list[Damaged] | None = None) -> list[Snapshot]:
        """All live snapshots, or those of one scope, by time taken.

        A manifest that cannot be read raises, unless `damaged` is given to take it.
        """
        prefix = "snapshots/" if key is None else snapshot.chain_folder(key)
        found = []
        for name in self.backend.list(prefix):
            if name.endswith(".forgotten.json"):
                continue
            try:
                found.append(self._snapshot(name))
            except (ObjectCorrupt, FormatUnknown) as exc:
                if damaged is None:
                    raise
                damaged.append(Damaged(name, str(exc)))
            except ObjectMissing:
                continue  # forgotten since the names were listed
        return sorted(found, key=lambda s: (s.manifest.draft.taken_at, str(s.key), s.manifest.number))

    def tombstones(self, key: ScopeKey | None = None) -> list[Tombstone]:
        """What stays of forgotten snapshots."""
        prefix = "snapshots/" if key is None else snapshot.chain_folder(key)
        names = [name for name in self.backend.list(prefix) if name.endswith(".forgotten.json")]
        return [snapshot.decode_tombstone(self.backend.get(name), name) for name in names]

    def head(self, key: ScopeKey) -> tuple[int, str | None]:
        """Number and id of the newest link of a chain, live or forgotten; (0, None) where there is none."""
        names = list(self.backend.list(snapshot.chain_folder(key)))
        if not names:
            return 0, None
        number = max(int(name.rpartition("/")[2][:8]) for name in names)
        tomb = snapshot.tombstone_name(key, number)
        if tomb in names:
            return number, snapshot.decode_tombstone(self.backend.get(tomb), tomb).id
        return number, self._snapshot(snapshot.manifest_name(key, number)).id

    def find(self, ref: str, key_filter: ScopeKey | None = None, *, source: str = "") -> Snapshot:
        """The snapshot that `ref` names: an id, a unique beginning of one, or `latest`.

        `latest` is the newest verified one; where there is none, the newest at all. Raises SnapshotUnknown.
        """
        chosen = [s for s in self.snapshots(key_filter) if not source or s.key.source == source]
        if ref == "latest":
            if not chosen:
                raise SnapshotUnknown("latest: the archive holds no snapshot that fits")
            verified = [s for s in chosen if s.manifest.draft.quality == "verified"]
            return (verified or chosen)[-1]
        hits = [s for s in chosen if len(ref) >= _MIN_PREFIX and s.id.startswith(ref.lower())]
        if len(hits) != 1:
            found = "no snapshot has" if not hits else f"{len(hits)} snapshots have"
            raise SnapshotUnknown(f"{ref}: {found} an id that begins so (at least {_MIN_PREFIX} characters)")
        return hits[0]

    def entries(self, found: Snapshot) -> tuple[Entry, ...]:
        """The files of a snapshot. Raises ObjectMissing, ObjectCorrupt."""
        index = self._index(found)
        data = b"".join(index.read(Oid(bytes.fromhex(oid))) for oid in found.manifest.listing)
        if hashlib.sha256(data).hexdigest() != found.manifest.listing_sha256:
            raise ObjectCorrupt(f"snapshot {found.id[:8]}: its listing is not the one its manifest names")
        return listing.decode(data)

    def reader(self, found: Snapshot) -> Reader:
        """Reads files of one snapshot."""
        return Reader(self._index(found))

    def put_record(self, run_id: str, data: bytes) -> bool:
        """Keep a run's record. False where one is there already: the first stands."""
        return self.backend.put_new(snapshot.record_name(run_id), [data])

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Every record by name, oldest first."""
        for name in self.backend.list("records/"):
            yield name, self.backend.get(name)

    def _index(self, found: Snapshot) -> Index:
        index = Index(self.backend, self.scheme)
        index.load(found.manifest.packs)
        return index

    def _snapshot(self, name: str) -> Snapshot:
        found = snapshot.decode(self.backend.get(name), name)
        if found.name != name:
            raise ObjectCorrupt(f"{name}: holds the manifest of {found.key} number {found.manifest.number}")
        return found

    def _any_manifest(self, name: str) -> snapshot.Manifest:
        data = self.backend.get(name)
        if name.endswith(".forgotten.json"):
            return snapshot.decode_tombstone(data, name).manifest
        return snapshot.decode(data, name).manifest


class Reader:
    """Gives files of a snapshot back, proven while they are read."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The file's bytes in order. Raises ObjectCorrupt at the end where they are not the file that was put.

        Every object is proven by its oid before it is given; size and SHA-256 of the whole at the end. A caller
        that writes them somewhere takes the file for whole only after the last one. Memory: one object.
        """
        if entry.recipe.kind != "concat":
            raise FormatUnknown(f"{entry.path}: kept as {entry.recipe.kind!r}, this version reads 'concat'")
        meter = Meter()
        for oid in entry.recipe.objects:
            data = self._index.read(oid)
            meter.update(data)
            yield data
        if meter.result() != entry.measured:
            raise ObjectCorrupt(
                f"{entry.path}: sha256 {meter.result().sha256[:12]}, promised {entry.measured.sha256[:12]}"
            )

    def prove(self, entry: Entry) -> None:
        """Read the whole file and throw it away. Raises what `chunks` raises."""
        for _ in self.chunks(entry):
            pass


def open_url(url: str, *, base: Path | None = None) -> Backend:
    """The backend that `[archive] url` or `--archive` names. Raises StorageError for a kind not built.

    A plain path is a folder, relative to `base` (the configuration's folder) or to the working directory.
    """
    if "://" in url and not url.startswith("file://"):
        raise StorageError(
            f"archive url {url.partition('://')[0]}://…: this version keeps archives in folders",
            hint='give a path, for example url = "archive"',
        )
    path = Path(url.removeprefix("file://")).expanduser()
    return LocalDisk(path if path.is_absolute() else (base or Path.cwd()) / path)
