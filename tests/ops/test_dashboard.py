"""Grafana's dashboard: Grafana's own model knows all of it, and it asks for nothing that we do not tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.ops import dashboard, metrics
from tests.ops import promtool
from tests.ops.surveys import survey
from tests.ops.test_metrics import ALARMS

BOARD: Any = json.loads(dashboard.text())
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
QUERIES = [one["query"]["query"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
README = Path(__file__).parents[2] / "README.md"
RULES = [text for text in re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL) if "alert:" in text]


def emitted() -> dict[str, set[str]]:
    """Our metrics, each with its labels."""
    found = metrics.families(survey(), ALARMS)
    return {family.name: {label for one in family.samples for label in one.labels} for family in found}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *QUERIES, *RULES])
def test_only_what_we_tell_is_asked_for(expression: str) -> None:
    """Each metric exists, with the labels by which it is chosen."""
    known = emitted()
    asked = re.findall(r"\b(strongroom_\w+)(?:\{([^}]*)\})?", expression)

    assert asked
    for name, chosen in asked:
        assert set(re.findall(r"(\w+)=", chosen)) <= known[name], name


def test_grafana_knows_every_key() -> None:
    """Read by Grafana's model and written again, nothing is lost or changed."""
    sdk = "grafana_foundation_sdk"
    reason = "the extra `test` brings it"
    plugins = pytest.importorskip(f"{sdk}.cog.plugins", reason=reason)
    models = pytest.importorskip(f"{sdk}.models.dashboard", reason=reason)
    encoder = pytest.importorskip(f"{sdk}.cog.encoder", reason=reason)
    plugins.register_default_plugins()

    again = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(BOARD)))
    assert list(lost(BOARD, again)) == []
    assert list(lost({**BOARD, "tittle": "x"}, again)) == ["/tittle"]  # the question can be answered with no


def lost(ours: Any, theirs: Any, path: str = "") -> Any:
    """Where `theirs` lacks what `ours` has."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours:
            yield from lost(ours[key], theirs[key], f"{path}/{key}") if key in theirs else [f"{path}/{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{path}/{at}")
    elif ours != theirs:
        yield path


def test_the_source_of_data_is_asked_for() -> None:
    """No panel names a data source of somebody's: all take the variable."""
    first = BOARD["templating"]["list"][0]

    assert (first["type"], first["name"]) == ("datasource", "datasource")
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${datasource}"}
    assert "id" not in BOARD


def test_panels_lie_beside_each_other() -> None:
    """None covers another, none leaves the grid of 24 columns; each says what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        assert panel["title"]
        assert panel["description"]
        taken |= cells


@promtool.needed
def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    """As rules, the variables filled in; and the rules of the README as they are."""
    filled = [one.replace("$archive", ".*").replace("$source", ".*") for one in EXPRESSIONS]
    rules = [{"record": f"r{number}", "expr": one} for number, one in enumerate(filled)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    (tmp_path / "readme.yml").write_text("".join(RULES))

    for name in ("panels.yml", "readme.yml"):
        code, said = promtool.promtool("check", "rules", tmp_path / name)
        assert code == 0, said
