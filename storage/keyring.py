"""Holders added and removed, keys rotated, the paper copy proven: what is done about the keys of an archive.

Each change is one new file, or one that is deleted; a kill in between leaves a holder too many, never one too few.
Removing and rotating hold the archive's lease: two at once could leave no holder, or two keys for the same time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from storage import canonical, keys, lease, mark
from storage.archive import Archive
from storage.backend import Backend
from storage.cipher import Key
from storage.encrypted import Encrypted, since_rotation, which_key
from storage.errors import KeyWrong, NotEncrypted, ObjectCorrupt, ObjectMissing
from storage.keys import Holder
from storage.keytext import NotAKey, paper_keys
from storage.latest import latest
from storage.records import PAPER
from storage.snapshot import Snapshot, from_text, to_text

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Proven:
    """What a paper copy was seen to open."""

    keys: int  # that it holds
    snapshot: str = ""  # id of the one that was read whole; "" for an archive that has none
    chain: str = ""  # its source/scope
    key: int = 0  # number of the key that it needs


class Keyring:
    """The keys of an archive, by one who holds them."""

    def __init__(self, backend: Backend, archive_id: str, found: tuple[Key, ...]) -> None:
        self._backend = backend  # as stored: what lies below `keys/` is not encrypted
        self.archive_id = archive_id
        self.keys = found

    @classmethod
    def open(cls, backend: Backend, secret: str | None) -> Keyring:
        """Raises as `Archive.open`, and NotEncrypted for a plain archive whether a secret is given or not."""
        found = mark.read(backend)
        if not found.encrypted:
            raise NotEncrypted(f"{backend.url}: archive {found.id[:8]} is not encrypted: it has no keys")
        return cls(backend, found.id, keys.unlock(backend, found.id, secret))

    @property
    def url(self) -> str:
        """Where the archive is."""
        return self._backend.url

    def holders(self) -> list[Holder]:
        """Everybody who can open it, as far as it can be read."""
        return keys.holders(self._backend, self.archive_id, problems=[])

    def add(self, name: str, secret: str, *, now: datetime) -> Holder:
        """One more holder, durable when this returns. Two of one secret would look like two ways in.

        Raises ValueError for a secret or name that will not do, or a secret that a holder of all keys has already,
        KeyWrong for a ring from before a rotation. Two of one name are told apart by their ids.
        """
        self.check_up_to_date()
        for one in self.holders():
            if one.count >= len(self.keys) and keys.proven(one, self.keys) and keys.unwrap(one, secret):
                raise ValueError(f"{one.shown} ({one.id}) has this {one.how} already: another needs its own")
        holder = keys.wrap(self.keys, secret, archive_id=self.archive_id, name=name, now=now)
        self._backend.put_new(holder.file, [keys.encode(holder)])
        return holder

    def chosen(self, ref: str) -> Holder:
        """The holder of that id, or of a name that only one has. Raises ValueError."""
        found = [one for one in self.holders() if ref in (one.id, one.shown)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} holders have this id or name")
        return found[0]

    def remove(self, holder: Holder, *, now: datetime) -> None:
        """Take one away. Raises ValueError where no other is proven to hold all keys, without whom paper alone
        would read what the newest one encrypted, KeyWrong for a ring from before a rotation, and Busy. Retry: yes.
        """
        with self._alone(now):
            self.check_up_to_date()
            others = [one for one in self.holders() if one.id != holder.id and keys.proven(one, self.keys)]
            if all(one.count < len(self.keys) for one in others):
                raise ValueError("the last holder of all keys that is proven stays: add another one first")
            self._backend.delete(holder.file)

    def rotate(self, secret: str, *, now: datetime) -> list[Holder]:
        """A new key for what comes from now on, held by the holder of `secret`. Who else holds older keys only.

        Raises ValueError where `secret` is no holder's, Busy, and KeyWrong for a secret from before a rotation,
        which would make a second key beside the newest. Retry: yes; after a kill there may be one key more.
        """
        self.keys = keys.unlock(self._backend, self.archive_id, secret)  # somebody may have rotated since
        with self._alone(now):
            ours = [one for one in self.holders() if one.format < keys.FORMAT or keys.proven(one, self.keys)]
            mine = [one for one in ours if keys.unwrap(one, secret)]
            if not mine:
                raise ValueError("a paper copy is no holder: a new key would be held by nobody")
            self.check_up_to_date()
            longer = (*self.keys, *keys.new_keys())
            holder = keys.wrap(longer, secret, archive_id=self.archive_id, name=mine[-1].shown, now=now)
            self._backend.put_new(holder.file, [keys.encode(holder)])
            self.keys = longer
            for one in mine:
                self._backend.delete(one.file)
            return [one for one in self.holders() if one.count < len(longer) and keys.proven(one, longer)]

    def check_up_to_date(self) -> None:
        """Raises KeyWrong where the archive has newer keys."""
        there = keys.newest_count(self._backend, self.archive_id, self.keys)
        if len(self.keys) < there:
            raise keys.behind(self._backend.url, len(self.keys), there)

    @contextmanager
    def _alone(self, now: datetime) -> Iterator[None]:
        with lease.held(Encrypted(self._backend, self.archive_id, self.keys), lambda: now):
            yield


def drilled(backend: Backend, paper: str, *, now: datetime) -> Proven:
    """Open the archive by its paper copy alone, read its newest snapshot whole, and keep a record of that.

    After a rotation it is the newest that needs the newest key, where there is one: another proves nothing of it.
    Raises KeyWrong for a text that is not its paper copy, or one from before a rotation, and what reading raises.
    Retry: yes.
    """
    try:
        found = paper_keys(paper)
    except NotAKey as exc:
        raise KeyWrong(f"the paper copy: {exc}") from None
    if found is None:
        raise KeyWrong("the paper copy: its first line is not there")
    archive = Archive.open(backend, paper)
    there = keys.newest_count(backend, archive.id, found[1])
    if len(found[1]) < there:
        raise KeyWrong(
            f"the paper copy has {len(found[1])} of {there} keys: it opens what was there before a rotation",
            hint="`strongroom key export --paper` prints them all",
        )
    newest = _to_prove(archive, now)
    if newest is not None:
        reader = archive.reader(newest)
        for entry in reader.entries(newest):
            reader.prove(entry)
    record = f"{now:%Y%m%d-%H%M%S}{PAPER}{secrets.token_hex(4)}"
    value = {"format": FORMAT, "kind": "key drill", "id": record, "made_at": to_text(now), "keys": len(found[1])}
    archive.put_record(record, canonical.seal({**value, "snapshot": "" if newest is None else newest.id}))
    if newest is None:
        return Proven(len(found[1]))
    return Proven(len(found[1]), newest.id, str(newest.key), which_key(archive.backend, newest.name)[0])


def proven_on(archive: Archive) -> tuple[datetime, int] | None:
    """When a paper copy was last proven, and how many keys it had; None for never. A damaged record is none."""
    for name in sorted((name for name in archive.backend.list("records/") if PAPER in name), reverse=True):
        with suppress(ObjectCorrupt, ObjectMissing, KeyError, ValueError):
            value = canonical.unseal(archive.backend.get(name))
            return from_text(value["made_at"]), canonical.count(value["keys"])
    return None


def _to_prove(archive: Archive, now: datetime) -> Snapshot | None:
    newest = latest(archive, set(archive.scopes()), now=now)
    if newest is None or since_rotation(archive.backend, newest.name):
        return newest
    since = (one for one in archive.snapshots(damaged=[]) if since_rotation(archive.backend, one.name))
    return max(since, key=lambda one: one.manifest.draft.taken_at, default=newest)
