"""The metrics: names as Prometheus wants them, text that it reads, a file that the node exporter may read."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from flows.errors import ConfigError
from flows.ops import metrics
from flows.ops.alarm import Alarm, Level
from flows.ops.survey import Survey
from storage.snapshot import ScopeKey
from tests.ops import promtool
from tests.ops.surveys import LAB, NIGHT, NOW, ran, scope, shot, survey

UNITS = ("_seconds", "_bytes", "_info", "_success")
# Things that are counted have no unit: they are named in the plural.
COUNTED = ("alarms", "members", "packs", "never_read", "findings", "files", "snapshots", "waiting", "held")
HOSTILE = 'a "b"\\\n{c="d"} 1\n# HELP x\u2028\x00 ä'
ALARMS = [Alarm("stale", "lab/user:7", Level.CRITICAL, "s"), Alarm("stale", "lab/user:8", Level.CRITICAL, "s")]


def parsed(seen: Survey, alarms: list[Alarm] | None = None) -> dict[str, Metric]:
    """What Prometheus' own parser makes of it."""
    text = metrics.text(seen, alarms or []).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(seen: Survey, name: str, **labels: str) -> float:
    """The one sample of that name which has these labels."""
    (found,) = [one for one in parsed(seen)[name].samples if labels.items() <= one.labels.items()]
    return found.value


def test_every_name_ends_in_its_unit_and_has_help() -> None:
    """Base units last, one prefix, a sentence for each, numbers that are numbers, `archive` on all."""
    families = parsed(survey(), ALARMS)

    assert len(families) > 25
    for name, family in families.items():
        assert name.startswith("strongroom_")
        assert name.endswith(UNITS + COUNTED), name
        assert family.documentation.endswith("."), name
        assert family.type == "gauge"
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            assert sample.labels["archive"] == "01234567"
        labels = [tuple(sample.labels.items()) for sample in family.samples]
        assert len(labels) == len(set(labels))


def test_a_good_night_is_told() -> None:
    """Instants, the limit, size, duration; no alarm."""
    seen = survey()

    assert value(seen, "strongroom_last_verified_timestamp_seconds", source="lab") == NIGHT.timestamp()
    assert value(seen, "strongroom_verified_within_seconds", scope="user:7") == 36 * 3600
    assert value(seen, "strongroom_last_run_success") == 1
    assert value(seen, "strongroom_last_run_duration_seconds") == 9 * 60
    assert value(seen, "strongroom_snapshot_size_bytes") == 40_000
    assert value(seen, "strongroom_snapshots", quality="verified") == 1
    assert value(seen, "strongroom_snapshots", quality="quarantined") == 0
    assert value(seen, "strongroom_disk_free_bytes", what="state") == 1 << 30
    assert value(seen, "strongroom_last_drill_duration_seconds") == 1.5
    assert {one.value for one in parsed(seen)["strongroom_alarms"].samples} == {0}


def test_never_is_zero() -> None:
    """What never happened has its series all the same: an age of decades, which no rule passes over."""
    seen = survey(scope(newest=None, shots=(), runs=(), next_at=None), drills=(), scrubs=(), oldest_unread_at=None)

    for name in ("last_verified_timestamp_seconds", "last_run_success", "last_drill_passed_timestamp_seconds"):
        assert value(seen, f"strongroom_{name}") == 0
    assert value(seen, "strongroom_oldest_unread_timestamp_seconds") == NOW.timestamp()
    assert not parsed(seen)["strongroom_next_night_timestamp_seconds"].samples


def test_runs_are_told_by_how_they_ended() -> None:
    """A run that goes on changes nothing; one whose process is gone did not succeed."""
    begun = NIGHT + timedelta(hours=6)
    on = ran(id="b", started_at=begun, ended_at=None, ended="", snapshot="", phase="waiting")
    died = replace(on, dead=True)

    assert value(survey(scope(runs=(on, ran()))), "strongroom_last_run_success") == 1
    gone = survey(scope(runs=(died, ran())))
    assert value(gone, "strongroom_last_run_success") == 0
    assert value(gone, "strongroom_last_run_end_timestamp_seconds") == begun.timestamp()


def test_who_is_not_configured_has_no_nights() -> None:
    """Of a scope that was taken out only what is kept is told: no rule must call it stale."""
    seen = survey(scope(), scope(ScopeKey("old", "user:1"), configured=False, shots=(shot(settle="accept"),)))

    assert [one.labels["source"] for one in parsed(seen)["strongroom_last_run_success"].samples] == ["lab"]
    assert value(seen, "strongroom_snapshots_waiting", source="old") == 1


def test_alarms_are_counted_by_level_and_kind() -> None:
    """Two of a kind are 2; what is not wrong is 0 and there."""
    (one,) = [one for one in parsed(survey(), ALARMS)["strongroom_alarms"].samples if one.value]

    assert (one.labels["level"], one.labels["kind"], one.value) == ("critical", "stale", 2)


def test_no_name_of_a_scope_breaks_out() -> None:
    """Quotes, line ends, what cannot be printed: one line, one series, and two names never become one."""
    names = (HOSTILE, HOSTILE.replace("\n", "\\n"), "plain ä 表")
    seen = survey(*(scope(ScopeKey("lab", name)) for name in names))

    told = [one.labels["scope"] for one in parsed(seen)["strongroom_last_run_success"].samples]
    assert len(set(told)) == 3
    assert told[2] == names[2]
    assert "\\n{c=" in told[0]


@promtool.needed
def test_promtool_has_nothing_to_say() -> None:
    """Prometheus' own linter, names from hell included."""
    text = metrics.text(survey(scope(), scope(ScopeKey("lab", HOSTILE))), ALARMS)

    assert promtool.promtool("check", "metrics", given=text) == (0, "")


def test_the_file_can_be_read_by_the_node_exporter(tmp_path: Path) -> None:
    """Whole, mode 0644 whatever the umask of a service says, and nothing is left beside it."""
    path = tmp_path / "strongroom.prom"
    before = os.umask(0o077)
    try:
        metrics.write(survey(), ALARMS, path)
        metrics.write(survey(), [], path)
    finally:
        os.umask(before)

    assert path.read_bytes() == metrics.text(survey(), [])
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the folder to make; nothing is left."""
    with pytest.raises(ConfigError, match="cannot be written: No such file") as told:
        metrics.write(survey(), [], tmp_path / "none" / "x.prom")
    assert str(tmp_path / "none") in told.value.hint

    (tmp_path / "x.prom").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        metrics.write(survey(), [], tmp_path / "x.prom")
    assert [one.name for one in tmp_path.iterdir()] == ["x.prom"]


def test_series_are_bounded_by_scopes() -> None:
    """About 15 series a scope: the number of series is bounded by the scopes, not by history."""
    shots = tuple(shot(number=number) for number in range(400))
    few, many = survey(scope()), survey(scope(shots=shots, runs=(ran(),) * 400))

    def count(seen: Survey) -> int:
        samples = [one for family in parsed(seen).values() for one in family.samples]
        return len([one for one in samples if one.labels.get("scope") == LAB.scope])

    assert count(few) == count(many) <= 15
