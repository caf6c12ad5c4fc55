"""What can go wrong with kept bytes, named by what to do next.

StorageError
├── ArchiveMissing    no archive at that place: `strongroom init`, or correct the URL
├── FormatUnknown     made by a newer version, or not ours at all: upgrade, touch nothing
├── SnapshotUnknown   no such snapshot, or an id prefix that fits several
├── ObjectMissing     bytes that a snapshot names are gone: take them from a second copy
├── ObjectCorrupt     bytes that are there are not those that were put: same
├── KeyMissing        the archive is encrypted, and no key was given: say where it is
├── KeyWrong          the key given does not open it: take another holder's, or the paper copy
├── NotEncrypted      a key was given, and the archive is not encrypted: is it the right one?
├── BackendFailed     the place itself refuses (disk full, no permission): mend it, run again
├── CatalogUnusable   the catalog cannot be opened
│   └── CatalogNewer  a newer version wrote it: upgrade
└── Busy              somebody else holds the lease: wait, or run later

Every class carries a `hint`: what to try, in one sentence without a full stop.
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of `storage`. `str(error)` is thing, got, promised; `hint` is what to try."""

    default_hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class ArchiveMissing(StorageError):
    """There is no archive at the place named."""

    default_hint = "is its disk mounted, and its URL right? a first archive is made by `strongroom init`"


class FormatUnknown(StorageError):
    """The bytes do not follow a format that this version reads."""

    default_hint = "a newer Strongroom may have written it; upgrade before anything else touches it"


class SnapshotUnknown(StorageError):
    """No snapshot, or more than one, goes by that name."""

    default_hint = "`strongroom snapshots` lists them; an id may be shortened as long as it stays unique"


class ObjectMissing(StorageError):
    """Bytes that a snapshot names are not in the archive."""

    default_hint = "`strongroom repair` shows what can be mended, with `--from` a copy of the archive"


class ObjectCorrupt(StorageError):
    """Bytes in the archive are not those that were put there."""

    default_hint = "`strongroom repair` shows what can be mended, with `--from` a copy of the archive"


class KeyMissing(StorageError):
    """The archive is encrypted, and no key was given."""

    default_hint = "name its place as [archive] key, or set STRONGROOM_KEY or STRONGROOM_KEY_FILE"


class KeyWrong(StorageError):
    """The key given does not open the archive."""

    default_hint = "take another holder's key, or the paper copy; without one of them nobody can read this archive"


class NotEncrypted(StorageError):
    """A key was given, and the archive says that it is not encrypted. Nothing is written there in clear."""

    default_hint = "is it the right archive? if it is to stay plain, take [archive] key out of strongroom.toml"


class BackendFailed(StorageError):
    """The place where bytes lie refused a read or a write. Retry: yes, once its cause is mended."""

    default_hint = "look at free space, permissions and mounts, then run again: nothing finished was lost"


class CatalogUnusable(StorageError):
    """The catalog cannot be opened, read or written."""

    default_hint = "`strongroom catalog rebuild` makes a new one from the archive, and keeps this file"


class CatalogNewer(CatalogUnusable):
    """The catalog was written by a newer version, and what is in flight in it cannot be read."""

    default_hint = "a newer Strongroom wrote it: upgrade, or move the file away to have a new one filled"


class Busy(StorageError):
    """Somebody else holds the lease that this work needs. Retry: yes, later."""

    default_hint = "one credential exports one thing at a time; wait for the other run to end"
