"""prefect.yaml, read strictly: Prefect itself ignores keys that it does not know."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.serving import MAINTENANCE

ROOT = Path(__file__).parents[2]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScheduleEntry(Strict):
    slug: str
    cron: str
    timezone: str
    active: bool | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    replaces: str | None = None


class Pool(Strict):
    name: str
    work_queue_name: str


class DeploymentEntry(Strict):
    name: str
    entrypoint: str = Field(pattern=r"^flows\.\w+\.\w+$")
    description: str
    tags: list[str]
    parameters: dict[str, Any]
    schedules: list[ScheduleEntry] = Field(default_factory=list)
    work_pool: Pool


class PrefectYaml(Strict):
    name: str
    prefect_version: str = Field(alias="prefect-version")
    definitions: dict[str, Pool]
    deployments: list[DeploymentEntry]


def prefect_yaml() -> Any:
    return yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))


def test_prefect_yaml_has_only_keys_that_prefect_knows() -> None:
    """A misspelt key would deploy without a word."""
    read = PrefectYaml.model_validate(prefect_yaml())
    assert [entry.name for entry in read.deployments] == ["nightly", "adhoc", "scrub", "drill", "upkeep", "prune"]

    wrong = prefect_yaml()
    wrong["deployments"][0]["concurrencylimit"] = 1
    with pytest.raises(ValidationError):
        PrefectYaml.model_validate(wrong)


def test_prefect_yaml_schedules_keep_out_of_the_hour_that_some_nights_lack() -> None:
    """A named zone, and no start from 02:00 to 03:00."""
    schedules = [
        each for entry in PrefectYaml.model_validate(prefect_yaml()).deployments for each in entry.schedules
    ]
    assert {each.slug for each in schedules} == {"nightly", "daily", "weekly"}
    for each in schedules:
        assert ZoneInfo(each.timezone)
        assert int(each.cron.split()[1]) != 2


def test_maintenance_runs_at_the_same_times_either_way() -> None:
    """`strongroom serve` and prefect.yaml agree."""
    entries = PrefectYaml.model_validate(prefect_yaml()).deployments
    assert {
        e.name: next((s.cron for s in e.schedules), None) for e in entries if "upkeep" in e.tags
    } == MAINTENANCE


def test_prefect_yaml_entrypoints_are_flows_that_take_the_parameters() -> None:
    """Each dotted entrypoint imports, and its flow has the deployment's name and parameters."""
    for entry in PrefectYaml.model_validate(prefect_yaml()).deployments:
        module, _, name = entry.entrypoint.rpartition(".")
        target = getattr(importlib.import_module(module), name)
        assert target.name == name
        assert set(entry.parameters) <= set(target.parameters.properties)
