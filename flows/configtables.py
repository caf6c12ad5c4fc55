"""The small tables of strongroom.toml, and what all of its tables have in common: strict, frozen, secrets named.

`config.py` puts them together with the sources; `ops/tables.py` has those of operations.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.turns import WITHIN_DAYS


class Table(BaseModel):
    """A table: no key that is not known, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SecretRef(Table):
    """Where a secret is. Exactly one key."""

    env: str | None = None  # name of an environment variable
    file: str | None = None  # path; the first line counts; relative to the configuration's folder
    command: str | None = None  # a command line; the first line that it prints counts
    prefect_secret: str | None = None  # name of a Prefect Secret block

    @model_validator(mode="after")
    def _one(self) -> SecretRef:
        if len([value for value in self.model_dump().values() if value is not None]) != 1:
            raise ValueError("expected exactly one of env, file, command, prefect_secret")
        return self


class ArchiveTable(Table):
    """`[archive]`"""

    url: str = Field(default="archive", min_length=1)  # a folder, relative to the configuration's
    key: SecretRef | None = None  # opens an encrypted archive: a holder's key or passphrase; none: it is plain


class StateTable(Table):
    """`[state]`"""

    folder: str = Field(default="state", min_length=1)  # catalog, spool, Prefect's own files; a local disk
    record_names: bool = True  # false: the catalog holds no names of files and records; the archive has them


class ScheduleTable(Table):
    """`schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }`"""

    cron: str
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        try:
            # Any instant serves: only the form is looked at.
            CronSim(value, datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")))
        except CronSimError as exc:
            raise ValueError(f"{value!r} is no cron line ({exc})") from exc
        return value


class UpkeepSchedules(Table):
    """`schedules = { scrub = { cron = "0 14 * * *" }, upkeep = false }`; what is left out keeps its usual time."""

    scrub: ScheduleTable | Literal[False] | None = None  # False: by hand only
    drill: ScheduleTable | Literal[False] | None = None
    upkeep: ScheduleTable | Literal[False] | None = None
    prune: ScheduleTable | Literal[False] | None = None
    watch: ScheduleTable | Literal[False] | None = None


class UpkeepTable(Table):
    """`[upkeep]`: what the scheduled scrub and drill do, and when."""

    scrub_within_days: Annotated[int, Field(ge=1, le=3650)] = WITHIN_DAYS  # in which every pack is read
    drill: bool = True  # whether the scheduled one is done
    schedules: UpkeepSchedules = UpkeepSchedules()


def known_zone(value: str) -> str:
    """The zone's name, if it is one. Raises ValueError."""
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone, such as Europe/Vienna")
    return value
