"""What one run needs: which scope of which source, how, and the places where things are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.config import SourceTable
from flows.export import Pace, Scope
from storage.archive import Archive
from storage.catalog import Catalog
from storage.policy import Policy
from storage.snapshot import ScopeKey


@dataclass(frozen=True, slots=True)
class Plan:
    """Which scope of which source, and how: what a run needs besides the places where things are kept."""

    table: SourceTable
    scope: Scope
    policy: Policy
    pace: Pace
    tags: tuple[str, ...] = ()  # of the snapshot that is to be made

    @property
    def key(self) -> ScopeKey:
        return ScopeKey(self.table.name, self.scope.name)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are kept, opened; and the secrets that no text may hold."""

    archive: Archive
    catalog: Catalog
    spool: Path
    secrets: tuple[str, ...] = ()
