"""The catalog's schema, and the steps that take an older one on. Nobody steps back: a newer one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlmodel import SQLModel

from storage.errors import CatalogNewer
from storage.tables import DECISIONS, NOTICES, UPKEEP

SCHEMA = 4


def migrate(engine: Engine, path: Path) -> None:
    """Bring the file to SCHEMA, in one transaction. Raises CatalogNewer; DatabaseError for what is no catalog."""
    with engine.connect() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
        if version > SCHEMA:
            raise CatalogNewer(f"{path}: schema {version}, this version knows {SCHEMA}")
        if version < SCHEMA:
            for step in range(version, SCHEMA):
                _STEPS[step](connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
            connection.commit()


def _tables(connection: Any, names: Iterable[str]) -> None:
    SQLModel.metadata.create_all(connection, tables=[SQLModel.metadata.tables[name] for name in names])


def _add_upkeep(connection: Any) -> None:
    """Tables for what scrubs and drills have read; records of theirs come in when a catalog is filled."""
    _tables(connection, UPKEEP)


def _add_notices(connection: Any) -> None:
    """A table for what is wrong and no run's end; each night fills it anew."""
    _tables(connection, NOTICES)


def _add_decisions(connection: Any) -> None:
    """A table for what persons decided, which comes in when a catalog is filled; why a snapshot is gone."""
    _tables(connection, DECISIONS)
    columns = connection.exec_driver_sql("PRAGMA table_info(snapshot)").all()
    if "gone" not in {column[1] for column in columns}:  # else the first step has made it
        connection.exec_driver_sql("ALTER TABLE snapshot ADD COLUMN gone VARCHAR NOT NULL DEFAULT ''")
        connection.exec_driver_sql("UPDATE snapshot SET gone = 'forgotten' WHERE forgotten_at != ''")


# Schema steps, in order; step N takes the schema from N to N + 1 in the transaction that sets user_version.
# The first makes every table as it is today; a later one that adds tables then finds them there.
_STEPS: list[Callable[[Any], None]] = [SQLModel.metadata.create_all, _add_upkeep, _add_decisions, _add_notices]
