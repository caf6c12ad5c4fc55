"""prefect.yaml, read strictly, and in agreement with what `strongroom deploy` makes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from flows import config
from flows.errors import ConfigError
from flows.ops.deployments import deployments
from flows.ops.prefectyaml import check_prefect_yaml

ROOT = Path(__file__).parents[2]
YAML = ROOT / "prefect.yaml"
EXAMPLE = """
[policy]
timezone = "Europe/Vienna"

[[source]]
name = "lab"
system = "rspace"
url = "https://eln.example.org"
api_key = { env = "RSPACE_API_KEY" }
schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }
"""


@pytest.mark.parametrize(
    ("line", "wrong", "told"),
    [
        ("    work_pool: *pool", "    work_pool: *pool\n    concurrencylimit: 1", "7.concurrencylimit"),
        ("    work_pool: *pool", "    work_pool: *pool\n    pausd: true", "pausd: not a key that is known here"),
        ('cron: "15 * * * *"', 'cron: "15 * * *"', "no cron line"),
        ("timezone: Europe/Vienna", "timezone: Vienna", "no IANA time zone"),
        ("flows.upkeep.watch", "flows/upkeep.py:watch", "entrypoint"),
        ("deployments:", "deployments: [", "prefect.yaml"),
    ],
)
def test_what_prefect_would_ignore_is_told(tmp_path: Path, line: str, wrong: str, told: str) -> None:
    """A misspelt key would deploy without a word; the file as it is has none."""
    check_prefect_yaml(YAML)
    copy = tmp_path / "prefect.yaml"
    before, _, after = YAML.read_text("utf-8").rpartition(line)
    copy.write_text(before + wrong + after, "utf-8")

    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        check_prefect_yaml(copy)


def test_prefect_yaml_is_what_deploy_makes_of_one_source(tmp_path: Path) -> None:
    """Names, entrypoints, words, tags, parameters and schedules: one table, said twice."""
    (tmp_path / "strongroom.toml").write_text(EXAMPLE)
    table = deployments(config.load(tmp_path / "strongroom.toml"))

    assert [
        (e.name, e.entrypoint, e.description, tuple(e.tags), set(e.parameters), e.parameters.get("source"),
         [(s.slug, s.cron, s.timezone) for s in e.schedules])
        for e in check_prefect_yaml(YAML).deployments
    ] == [
        (d.name, d.entrypoint, d.description, d.tags, set(d.parameters), d.parameters.get("source"),
         [(s.slug, s.cron, s.timezone) for s in d.schedules])
        for d in table
    ]  # fmt: skip


def test_prefect_yaml_schedules_keep_out_of_the_hour_that_some_nights_lack() -> None:
    """No start from 02:00 to 03:00."""
    schedules = [each for entry in check_prefect_yaml(YAML).deployments for each in entry.schedules]
    assert {each.cron.split()[1] for each in schedules} == {"3", "12", "13", "*"}


def test_prefect_yaml_entrypoints_are_flows_that_take_the_parameters() -> None:
    """Each dotted entrypoint imports, and its flow has the deployment's parameters."""
    for entry in check_prefect_yaml(YAML).deployments:
        module, _, name = entry.entrypoint.rpartition(".")
        target = getattr(importlib.import_module(module), name)
        assert target.name == name
        assert set(entry.parameters) <= set(target.parameters.properties)
