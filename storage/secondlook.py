"""What a backup looks at once more when its manifest is there: whether what it reused was erased meanwhile.

Writers and erasing share no lock. Erasing puts its notes, then lists the manifests; a writer puts its manifest,
then lists the notes: one of them sees the other. A snapshot that lacks something then is withdrawn by whoever
finds it, and its backup runs again. Its manifest stays as evidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from storage import decisions, evidence, replaced, snapshot, tombstone
from storage.archive import Archive, Damaged
from storage.index import Index, pack_digest
from storage.losses import needed
from storage.objects import Oid
from storage.reader import Reader
from storage.snapshot import Snapshot
from storage.sweeping import kept, refuse_gaps
from storage.tombstone import Tombstone

LATE = timedelta(days=2)  # who looks later: one committed so long before or after a note did not overlook it
RECENT = timedelta(days=30)  # one committed longer ago was freed beside since: what it lacks, it lacks by damage
REASON = "withdrawn: content that it shared was erased while it was made"


def lacks(archive: Archive, found: Snapshot, *, surely: bool = False) -> bool:
    """Whether the snapshot needs an object that was erased while it was made. Cheap where nothing was erased.

    Its own writer takes any note for one put meanwhile, whatever the clocks say: it reused no pack that had one.
    `surely`: for who has its content no more. Then every note can be read, and no pack of the archive holds the
    object: else a repair finds it again. Memory then: the index of every pack.
    """
    bad: list[Damaged] = []
    notes = archive.replacements(damaged=bad)
    if surely and bad:
        return False
    followed = replaced.followed(notes, found.manifest.packs)
    erased = [notes[pack] for pack in followed if pack in notes and notes[pack].old == "erased"]
    if surely:
        erased = [note for note in erased if abs(found.manifest.committed_at - note.made_at) < LATE]
    if not erased:
        return False
    lost = {Oid(bytes.fromhex(oid)) for oid in replaced.lost(notes, followed)}
    index = Index(archive.backend, archive.scheme)
    must = replaced.current(notes, followed)
    index.load_readable(replaced.to_read(notes, followed))
    if any(index.oids(pack) is None for pack in must):
        return False  # damage of another sort: a scrub tells it
    # Only what is surely in no pack: a disk that fails to read a listing must not cost a good snapshot.
    gone = {oid for oid in needed(Reader(index), found) if oid not in lost and index.place(oid) is None}
    return bool(gone) and (not surely or _nowhere(archive, index, gone))


def withdraw(archive: Archive, found: Snapshot, *, now: datetime) -> Tombstone:
    """Take a snapshot back: its manifest goes to the evidence; then its tombstone is put. Retry: yes."""
    evidence.keep(archive.backend, found.name, snapshot.encode(found.manifest), now=now, reason=REASON)
    tomb = tombstone.lost(archive.id, found.key, found.number, known=found.id, at=now, reason=REASON)
    archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
    archive.backend.delete(found.name)
    return tomb


def withdraw_late(archive: Archive, live: Iterable[Snapshot], *, now: datetime) -> list[Tombstone]:
    """Withdraw those of these snapshots whose writers died before they looked; what a person holds stays.

    Raises as `sweeping.sweep` where anything cannot be read or is missing, and withdraws none then. Retry: yes.
    """
    archive.replacements()  # one that cannot be read may lead to what seems to be gone
    held = decisions.held(archive.decisions(damaged=[]), now)
    recent = (one for one in live if one.id not in held and abs(now - one.manifest.committed_at) < RECENT)
    late = [one for one in recent if lacks(archive, one, surely=True)]
    if late:
        refuse_gaps(archive)
        kept(archive, now=now)
    return [withdraw(archive, one, now=now) for one in late]


def _nowhere(archive: Archive, index: Index, oids: Iterable[Oid]) -> bool:
    """Whether surely no pack of the archive holds any one of these objects."""
    packs = [pack for pack in map(pack_digest, archive.backend.list("packs/")) if pack]
    index.load_readable(packs)
    if any(index.oids(pack) is None for pack in packs):
        return False
    return any(index.place(oid) is None for oid in oids)
