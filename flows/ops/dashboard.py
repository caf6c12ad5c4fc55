"""Grafana's dashboard of our metrics: `grafana.json` beside this file, to be imported there."""

from __future__ import annotations

from importlib.resources import files


def text() -> str:
    """The dashboard as Grafana imports it. Its data source is asked for then."""
    return files("flows.ops").joinpath("grafana.json").read_text("utf-8")
