"""`[watch]`, `[notify]`, `[[ping]]` and `[metrics]` of strongroom.toml: limits and addresses of operations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from flows.configtables import SecretRef, Table

Hours = Annotated[float, Field(gt=0, le=10 * 8766)]
Days = Annotated[float, Field(gt=0, le=3650)]


class WatchTable(Table):
    """`[watch]`: beyond which limits something is wrong. What is left out has the default that is told here."""

    # Since a verified snapshot, or a night that found nothing changed. None: the longest time between two nights
    # of the schedule, and 12 hours; 36 hours where there is no schedule. A source may have its own.
    verified_within_h: Hours | None = None
    run_longest_h: Hours = 12  # a run that is under way for longer
    unread_within_days: Days | None = None  # the oldest unread byte; None: a week more than scrubs are given
    answer_within_s: Annotated[float, Field(gt=0, le=86_400)] = 600  # archive, catalog and disks, when looked at
    drill_within_days: Days = 21  # the last drill that passed, where drills are on
    smaller_than: Annotated[float, Field(ge=0, lt=1)] = 0.5  # of the usual size; 0: never odd
    larger_than: Annotated[float, Field(gt=1, le=1000)] = 3.0  # times the usual size
    disk_free_percent: Annotated[float, Field(ge=0, lt=100)] = 5.0
    disk_full_within_days: Days = 14  # by the growth of the last 30 days


class NotifyTable(Table):
    """`[notify]`: who is told, and how often of the same trouble."""

    # Addresses as Apprise knows them (mailto://, ntfy://, slack://, …), which hold passwords: each is a secret.
    to: tuple[SecretRef, ...] = ()
    remind_days: Days = 7  # the same trouble is told again after so long
    # A notification block of Prefect (such as "custom-webhook/ops") for what only Prefect's server can notice.
    prefect_block: str | None = Field(default=None, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")

    @field_validator("to", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class PingTable(Table):
    """`[[ping]]`: a dead-man switch (healthchecks.io and its like) which is told what ran."""

    of: Literal["nightly", "upkeep", "scrub", "drill", "watch"]
    source: str | None = None  # of `nightly`: that source's nights only
    url: SecretRef  # begun: url/start; ended well: url; ended badly: url/fail


class MetricsTable(Table):
    """`[metrics]`"""

    file: str | None = None  # a text file for Prometheus' node exporter, written after each watch; ends in .prom
    listen: str | None = Field(default=None, pattern=r"^[^\s:/]+:[0-9]{1,5}$")  # host:port, while `serve` runs

    @field_validator("file")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(".prom"):
            raise ValueError(f"{value!r} does not end in .prom, which the node exporter looks for")
        return value


class ReportTable(Table):
    """`[report]`"""

    file: str | None = None  # where each night leaves the page; None: report.html in the state folder
    days: Annotated[int, Field(ge=7, le=3660)] = 90  # so many nights back
