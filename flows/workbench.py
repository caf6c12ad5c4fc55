"""Opens what a run needs: configuration, archive, catalog, source; and closes it again.

The one place where settings become open things, for flows and command line alike.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from flows import archivekey, config
from flows.clock import SystemClock
from flows.config import Settings
from flows.credentials import connection
from flows.errors import ConfigError
from flows.lifecycle import Engine
from flows.plan import Places, Plan
from storage import mark
from storage.archive import Archive, Damaged
from storage.backend import Backend, open_url
from storage.catalog import Catalog
from storage.encrypted import Encrypted, check_up_to_date
from storage.errors import ArchiveMissing, CatalogUnusable, KeyWrong
from storage.rebuild import Rebuilt, rebuild
from storage.snapshot import check_tags

log = logging.getLogger(__name__)
ARCHIVE_FACT = "archive"  # the catalog's note of the archive it indexes
KEYS_FACT = "keys"  # of the ids of its keys, as far as they were seen: they tell nothing about the keys
NAMES_FACT = "record_names"  # and of what it may hold: "no", or nothing


def open_archive(settings: Settings) -> Archive:
    """The configured archive. Raises ConfigError, ArchiveMissing, BackendFailed, FormatUnknown, and KeyMissing,
    KeyWrong, NotEncrypted where key and archive are not for each other, such as a key from before a rotation: with
    it, catalog and nights would lack what came since."""
    archive = Archive.open(backend_of(settings), archivekey.configured(settings))
    check_up_to_date(archive.backend)
    return archive


def backend_of(settings: Settings) -> Backend:
    """Where the configured archive lies."""
    return open_url(settings.file.archive.url, base=settings.folder)


def refuse_second_archive(settings: Settings) -> None:
    """Raises ConfigError where the archive is gone but a catalog knows of one: its disk may not be mounted."""
    try:
        mark.read(backend_of(settings))
    except ArchiveMissing:
        if not settings.catalog_path.exists():
            return
        with Catalog.open(settings.catalog_path) as catalog:
            known = catalog.fact(ARCHIVE_FACT)
        if known:
            raise ConfigError(
                f"{settings.file.archive.url}: no archive, but {settings.catalog_path} knows one ({known[:8]})",
                hint="mount its disk, or correct [archive] url; for a new archive name another [state] folder",
            ) from None


@contextmanager
def open_catalog(settings: Settings, archive: Archive) -> Iterator[Catalog]:
    """The catalog of that archive; a new one is filled from it first.

    Raises ConfigError for a catalog of another archive: its jobs and holds would be about something else; KeyWrong
    where the archive has fewer keys than the catalog saw: a rotation would be undone by an older holder's file.
    """
    with Catalog.open(settings.catalog_path, names=settings.file.state.record_names) as catalog:
        if not _known_archive(settings, catalog, archive):
            _note_names(settings, catalog)
            damaged: list[Damaged] = []
            catalog.reindex(archive, damaged=damaged)
            for bad in damaged:
                log.warning("%s: %s; `strongroom scrub --all` says whom it hits", bad.name, bad.problem)
            catalog.note_fact(ARCHIVE_FACT, archive.id)
        _same_names(settings, catalog)
        _note_keys(catalog, archive)
        yield catalog


@contextmanager
def catalog_as_it_is(settings: Settings, archive: Archive) -> Iterator[Catalog]:
    """The catalog of that archive, which must be there; nothing is filled. Raises ConfigError, CatalogUnusable."""
    path = settings.catalog_path
    if not path.exists() or path.stat().st_size == 0:
        raise CatalogUnusable(f"{path}: no catalog is there, or it is empty")
    with Catalog.open(path, names=settings.file.state.record_names) as catalog:
        _known_archive(settings, catalog, archive)
        _same_names(settings, catalog)
        yield catalog


def sound_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as a snapshot has them: sorted, each once. Raises ConfigError for a text that is no tag."""
    try:
        return check_tags(tags)
    except ValueError as exc:
        raise ConfigError(f"--tag: {exc}") from exc


def rebuild_catalog(settings: Settings, archive: Archive, *, now: datetime, damaged: list[Damaged]) -> Rebuilt:
    """Make the catalog anew from its archive. Raises ConfigError for that of another; else as `rebuild` does."""
    path = settings.catalog_path
    with suppress(CatalogUnusable):  # one that cannot be read is what a rebuild is for
        if path.exists():
            with Catalog.open(path) as catalog:
                _known_archive(settings, catalog, archive)
    rebuilt = rebuild(path, archive, now=now, damaged=damaged, names=settings.file.state.record_names)
    with Catalog.open(path) as catalog:
        catalog.note_fact(ARCHIVE_FACT, archive.id)
        _note_names(settings, catalog)
        _note_keys(catalog, archive)
    return rebuilt


def _known_archive(settings: Settings, catalog: Catalog, archive: Archive) -> bool:
    """Whether the catalog indexes that archive; False where it indexes none.

    Raises ConfigError for another, KeyWrong for one that has lost its newest key.
    """
    known = catalog.fact(ARCHIVE_FACT)
    if known and known != archive.id:
        raise ConfigError(
            f"{settings.catalog_path}: indexes archive {known[:8]}, [archive] url is archive {archive.id[:8]}",
            hint="name the right archive, or another [state] folder for this one",
        )
    seen, there = catalog.fact(KEYS_FACT).split(), _keys(archive)
    if there and not set(seen) <= {*there}:
        raise KeyWrong(
            f"{archive.backend.url}: the key given gives {len(there)} keys, and not {seen[-1]}, which the catalog "
            "knows: it is from before a rotation, or older files were put back in keys/",
            hint="take a holder's key, or a paper copy, that was made since; is it new? then the newest files "
            f"from a copy's keys/. An older archive on purpose? move {settings.catalog_path} away",
        )
    return bool(known)


def _note_keys(catalog: Catalog, archive: Archive) -> None:
    there = " ".join(_keys(archive))
    if there and there != catalog.fact(KEYS_FACT):
        catalog.note_fact(KEYS_FACT, there)


def _keys(archive: Archive) -> list[str]:
    """Ids of the keys at hand; none of an archive that is plain."""
    return [key.id.hex() for key in archive.backend.keys] if isinstance(archive.backend, Encrypted) else []


def _note_names(settings: Settings, catalog: Catalog) -> None:
    catalog.note_fact(NAMES_FACT, "" if settings.file.state.record_names else "no")


def _same_names(settings: Settings, catalog: Catalog) -> None:
    """Raises ConfigError for a catalog that holds names where none are wanted, or the reverse."""
    if (catalog.fact(NAMES_FACT) == "no") == settings.file.state.record_names:
        wanted = "with" if settings.file.state.record_names else "without"
        raise ConfigError(
            f"{settings.catalog_path}: was not made {wanted} names of records, as [state] record_names says",
            hint="`strongroom catalog rebuild` makes it anew; the old file stays beside it until you delete it",
        )


@contextmanager
def open_engine(
    config_path: str | Path | None,
    source: str,
    scope: str,
    *,
    at: datetime | None = None,
    tags: Iterable[str] = (),
) -> Iterator[Engine]:
    """An engine for one run. `at`: rehearse as if it were that instant. `tags`: of the snapshot that it makes.

    Raises ConfigError, StorageError.
    """
    settings = config.load(config.find(config_path))
    table = settings.source(source)
    wanted = settings.scope(table, scope)
    link = connection(settings, table)
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        plan = Plan(table, wanted, settings.policy(source, wanted.name), table.pace(), sound_tags(tags))
        places = Places(archive, catalog, settings.spool, tuple(link.secrets.values()))
        system = table.dialect.connect(link)
        try:
            yield Engine(plan, system, places, SystemClock(at))
        finally:
            system.close()
