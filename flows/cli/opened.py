"""Where a verb does its work: the configured archive with its catalog, or one that was named alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.console import complain
from flows.cli.look import the_archive
from storage.encrypted import check_up_to_date
from storage.errors import CatalogUnusable

if TYPE_CHECKING:
    from flows.config import Settings
    from storage.archive import Archive
    from storage.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive, and what is known of it."""

    archive: Archive
    catalog: Catalog | None = None  # none of an archive that was named alone, nor where it cannot be used
    settings: Settings | None = None


@contextmanager
def opened(archive: str | None, config: Path | None) -> Iterator[Opened]:
    """Raises ArchiveMissing, ConfigError, and KeyWrong for a key from before a rotation: what came since would
    be taken for damaged. A catalog that cannot be used is told and done without."""
    if archive is not None:
        store = the_archive(archive, config)
        check_up_to_date(store.backend)
        yield Opened(store)
        return
    from flows import config as configuration
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(configuration.find(config))
    store = open_archive(settings)
    with ExitStack() as stack:
        catalog = None
        try:
            catalog = stack.enter_context(open_catalog(settings, store))
        except CatalogUnusable as exc:  # the archive can be read without
            complain(str(exc), exc.hint)
        yield Opened(store, catalog, settings)
