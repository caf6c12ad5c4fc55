"""A plain archive copied into an encrypted one, file by file: the same snapshots under the same ids.

Nothing is repacked: what is encrypted is each file as it is, so that manifests, chains, holds and tombstones stay
true, and a catalog goes on with either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from storage import keys, lease, mark
from storage.about import describe
from storage.archive import Archive
from storage.backend import Backend
from storage.encrypted import Encrypted
from storage.errors import ArchiveMissing, NotEncrypted, ObjectCorrupt, ObjectMissing
from storage.mark import MARK
from storage.scrub import strays

# What comes first is what others name: a copy that broke off holds no manifest without its packs.
_ORDER = ("packs", "about", "evidence", "replaced", "unnamed", "decisions", "records", "snapshots")


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of it."""

    archive: Archive  # the encrypted one
    files: int  # all that it holds now of the plain one
    copied: int  # of them by this call
    bytes: int  # that were copied, as they are in the plain one


def convert(
    source: Archive,
    target: Backend,
    *,
    secret: str,
    holder: str,
    clock: Callable[[], datetime],
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Converted:
    """Copy a plain archive to `target`, encrypted, each file read back and compared. The plain one stays as it is.

    `secret` and `holder`: as of `Archive.create`. Retry: yes: what is there is compared and not copied again, and
    what came since is added. Holds the lease of `source`, so that nothing is freed meanwhile; backups may go on,
    and a last call after them brings over what they wrote. Raises NotEncrypted where `target` holds a plain
    archive, ObjectCorrupt where it holds another one or does not give back what it took, KeyWrong
    also for a secret from before a rotation of `target`, Busy, ValueError for a passphrase that is too short.
    Memory: three packs.
    """
    if source.encrypted:
        raise NotEncrypted(
            f"{source.backend.url}: is encrypted already", hint="`strongroom key` is about its keys"
        )
    made = replace(mark.read(source.backend), encrypted=True)
    with lease.held(source.backend, clock) as held:
        view = _view(target, made, secret, holder, now=clock())
        skipped = {*strays(source), MARK}
        done: set[str] = set()
        copied = size = 0
        while names := [name for name in _ordered(source.backend) if name not in done | skipped]:
            for name in names:
                held.renew()
                fresh, length = _copy(source.backend, view, name)
                copied, size = copied + fresh, size + length * fresh
                on_bytes(length)
                done.add(name)
        describe(view)  # the program that decrypts it: an older version's archive may lack it
        target.put_new(MARK, [mark.encode(made)])
    return Converted(Archive.open(target, secret), len(done), copied, size)


def _view(target: Backend, made: mark.Mark, secret: str, holder: str, *, now: datetime) -> Encrypted:
    """The archive there, or one that is begun."""
    try:
        there = mark.read(target)
    except ArchiveMissing:
        if not keys.holders(target, made.id):
            first = keys.wrap(keys.new_keys(), secret, archive_id=made.id, name=holder, now=now)
            target.put_new(first.file, [keys.encode(first)])
    else:
        if there.id != made.id:
            raise ObjectCorrupt(
                f"{target.url}: holds archive {there.id[:8]}, not a copy of {made.id[:8]}",
                hint="name an empty folder, or the one that an earlier attempt began",
            )
        if not there.encrypted:
            raise NotEncrypted(f"{target.url}: holds a plain copy of this archive", hint="name an empty folder")
    return Encrypted.unlocked(target, made.id, secret)


def _ordered(backend: Backend) -> Iterator[str]:
    names = [name for name in backend.list("") if name.partition("/")[0] in _ORDER]
    return iter(sorted(names, key=lambda name: (_ORDER.index(name.partition("/")[0]), name)))


def _copy(source: Backend, view: Encrypted, name: str) -> tuple[bool, int]:
    """Whether it was copied now, and its bytes; proven either way."""
    try:
        data = source.get(name)
    except ObjectMissing:
        return False, 0  # a backup that was withdrawn meanwhile
    fresh = view.put_new(name, [data])
    if view.get(name) != data:
        raise ObjectCorrupt(
            f"{view.url}: {name}: does not come back as it was put",
            hint="name an empty folder on a disk that is sound; the plain archive is as it was",
        )
    return fresh, len(data)
