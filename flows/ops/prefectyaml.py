"""prefect.yaml, read strictly: Prefect itself ignores keys that it does not know, and deploys without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.configtables import ScheduleTable
from flows.configwords import problem
from flows.errors import ConfigError

FILE = "prefect.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScheduleEntry(_Strict):
    """A schedule: slug, five cron fields and a zone."""

    slug: str
    cron: str
    timezone: str
    active: bool | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    replaces: str | None = None

    def model_post_init(self, _: object) -> None:
        """As strongroom.toml's are checked."""
        ScheduleTable(cron=self.cron, timezone=self.timezone)


class Pool(_Strict):
    """A work pool."""

    name: str
    work_queue_name: str


class DeploymentEntry(_Strict):
    """A deployment. Its entrypoint is dotted: a file would be loaded as a second copy of every class.

    No `concurrency_limit`: a server that is away for longer than its lease kills the backup that holds it.
    """

    name: str
    entrypoint: str = Field(pattern=r"^flows\.\w+\.\w+$")
    description: str
    tags: list[str]
    parameters: dict[str, Any]
    schedules: list[ScheduleEntry] = Field(default_factory=list)
    work_pool: Pool


class PrefectYaml(_Strict):
    """The whole file."""

    name: str
    prefect_version: str = Field(alias="prefect-version")
    definitions: dict[str, Pool]
    deployments: list[DeploymentEntry]


def check_prefect_yaml(path: Path) -> PrefectYaml:
    """Read it. Raises ConfigError, which names each key that is wrong or that nobody knows."""
    try:
        return PrefectYaml.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    except ValidationError as exc:
        lines = [f"{path}: {problem(dict(error))}" for error in exc.errors()]
        raise ConfigError(
            "\n".join(lines), hint="Prefect would deploy it all the same, without what is wrong"
        ) from exc
