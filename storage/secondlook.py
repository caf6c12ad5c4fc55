"""What a backup looks at once more when its manifest is there: whether what it reused was erased meanwhile.

Writers and erasing share no lock. Erasing puts its notes, then lists the manifests; a writer puts its manifest,
then lists the notes: one of them sees the other. A snapshot that lacks something then is withdrawn by whoever
finds it, and its backup runs again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from storage import decisions, replaced, tombstone
from storage.archive import Archive
from storage.index import Index
from storage.losses import needed
from storage.objects import Oid
from storage.reader import Reader
from storage.snapshot import Snapshot
from storage.tombstone import Tombstone

LATE = timedelta(days=2)  # one committed so long before or after a note cannot have overlooked it: clocks differ
REASON = "withdrawn: content that it shared was erased while it was made"


def lacks(archive: Archive, found: Snapshot) -> bool:
    """Whether the snapshot needs an object that was erased while it was made. Cheap where nothing was erased."""
    notes = archive.replacements(damaged=[])
    followed = replaced.followed(notes, found.manifest.packs)
    erased = [notes[pack] for pack in followed if pack in notes and notes[pack].old == "erased"]
    if not any(abs(found.manifest.committed_at - note.made_at) < LATE for note in erased):
        return False
    lost = {Oid(bytes.fromhex(oid)) for oid in replaced.lost(notes, followed)}
    index = Index(archive.backend, archive.scheme)
    must = replaced.current(notes, followed)
    index.load_readable(replaced.to_read(notes, followed))
    if any(index.oids(pack) is None for pack in must):
        return False  # damage of another sort: a scrub tells it
    # Only what is surely in no pack: a disk that fails to read a listing must not cost a good snapshot.
    return any(oid not in lost and index.place(oid) is None for oid in needed(Reader(index), found))


def withdraw(archive: Archive, found: Snapshot, *, now: datetime) -> Tombstone:
    """Take a snapshot back: its tombstone, then its manifest goes. Retry: yes."""
    tomb = tombstone.lost(archive.id, found.key, found.number, known=found.id, at=now, reason=REASON)
    archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
    archive.backend.delete(found.name)
    return tomb


def withdraw_late(archive: Archive, live: Iterable[Snapshot], *, now: datetime) -> list[Tombstone]:
    """Withdraw those of these snapshots whose writers died before they looked; what a person holds stays."""
    held = decisions.held(archive.decisions(damaged=[]), now)
    return [withdraw(archive, one, now=now) for one in live if one.id not in held and lacks(archive, one)]
