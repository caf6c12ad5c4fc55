"""What is known of all backups as metrics, for Prometheus: as text, as a file for the node exporter, over HTTP.

Names and units are as Prometheus wants them: one prefix, base units, the unit last, instants as
`_timestamp_seconds` and not as ages, no series that comes into being only when something happens: never is 0.
Sources: https://prometheus.io/docs/practices/naming and https://prometheus.io/docs/practices/instrumentation.
Runs are told by how they ended, never by one that goes on.

A scope has about 15 series, whatever its history. `archive`, the first letters of the archive's id, is on each:
two configurations of one machine may hand files to one node exporter, and it refuses a series that comes twice.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.errors import ConfigError
from flows.ops.alarm import Alarm, Level
from flows.ops.survey import EverySeen, ScopeSeen, Survey
from flows.ops.watch import KINDS
from storage.snapshot import FORMAT
from storage.verify import Quality

MODE = 0o644  # the node exporter runs as another user
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Gauge(Generic[T]):
    """A metric of each T. `value` gives None where there is no such series."""

    name: str
    help: str
    value: Callable[[T], float | None]


# Of the scopes that should have nights.
_NIGHTS: tuple[_Gauge[ScopeSeen], ...] = (
    _Gauge(
        "strongroom_verified_within_seconds",
        "The limit: so long ago may that be at most.",
        lambda scope: scope.within.total_seconds(),
    ),
    _Gauge(
        "strongroom_next_night_timestamp_seconds",
        "When the next night begins by the schedule; absent where there is none.",
        lambda scope: scope.next_at.timestamp() if scope.next_at else None,
    ),
    _Gauge(
        "strongroom_last_run_end_timestamp_seconds",
        "When the last run ended; of one that died, when it began; 0: none ever did.",
        lambda scope: (scope.last.ended_at or scope.last.started_at).timestamp() if scope.last else 0,
    ),
    _Gauge(
        "strongroom_last_run_success",
        "Whether the last run ended verified, unchanged or skipped.",
        lambda scope: bool(scope.last and scope.last.well),
    ),
    _Gauge(
        "strongroom_last_run_duration_seconds",
        "How long the last run took; 0 for one that died.",
        lambda scope: (
            (scope.last.ended_at - scope.last.started_at).total_seconds()
            if scope.last and scope.last.ended_at
            else 0
        ),
    ),
    _Gauge(
        "strongroom_last_run_fetched_bytes",
        "What the last run fetched.",
        lambda scope: scope.last.bytes_fetched if scope.last else 0,
    ),
)
# Of every scope that is configured, or has snapshots.
_KEPT: tuple[_Gauge[ScopeSeen], ...] = (
    _Gauge(
        "strongroom_snapshot_size_bytes",
        "The files of the newest snapshot that counts, unpacked; 0: there is none.",
        lambda scope: scope.newest.size if scope.newest else 0,
    ),
    _Gauge(
        "strongroom_snapshot_files",
        "How many files the newest snapshot that counts has.",
        lambda scope: scope.newest.files if scope.newest else 0,
    ),
    _Gauge(
        "strongroom_snapshots_waiting",
        "Live snapshots that wait for a person.",
        lambda scope: sum(bool(shot.settle) for shot in scope.shots),
    ),
    _Gauge(
        "strongroom_snapshots_held",
        "Live snapshots that are held.",
        lambda scope: sum(bool(shot.held) for shot in scope.shots),
    ),
)
_ARCHIVE: tuple[_Gauge[Survey], ...] = (
    _Gauge(
        "strongroom_survey_timestamp_seconds", "When all this was asked for.", lambda all_: all_.at.timestamp()
    ),
    _Gauge("strongroom_stored_bytes", "All packs of the archive.", lambda all_: all_.packs_bytes),
    _Gauge("strongroom_packs", "Packs of the archive.", lambda all_: all_.packs),
    _Gauge("strongroom_packs_never_read", "Packs that were not read since written.", lambda all_: all_.never_read),
    _Gauge(
        "strongroom_oldest_unread_timestamp_seconds",
        "When the pack that was unread for longest was last read or written; the survey's instant without packs.",
        lambda all_: (all_.oldest_unread_at or all_.at).timestamp(),
    ),
    _Gauge(
        "strongroom_last_scrub_end_timestamp_seconds",
        "When the last scrub ended; 0: never.",
        lambda all_: all_.scrubs[0].ended_at.timestamp() if all_.scrubs else 0,
    ),
    _Gauge(
        "strongroom_last_scrub_success",
        "Whether the last scrub found nothing wrong.",
        lambda all_: bool(all_.scrubs and not all_.scrubs[0].findings),
    ),
    _Gauge(
        "strongroom_last_scrub_findings",
        "What the last scrub found wrong.",
        lambda all_: all_.scrubs[0].findings if all_.scrubs else 0,
    ),
    _Gauge(
        "strongroom_last_scrub_duration_seconds",
        "How long the last scrub took.",
        lambda all_: (all_.scrubs[0].ended_at - all_.scrubs[0].started_at).total_seconds() if all_.scrubs else 0,
    ),
    _Gauge(
        "strongroom_last_scrub_read_bytes",
        "What the last scrub read.",
        lambda all_: all_.scrubs[0].bytes_read if all_.scrubs else 0,
    ),
    _Gauge(
        "strongroom_last_drill_end_timestamp_seconds",
        "When the last drill ended; 0: never.",
        lambda all_: all_.drills[0].ended_at.timestamp() if all_.drills else 0,
    ),
    _Gauge(
        "strongroom_last_drill_success",
        "Whether the last drill passed.",
        lambda all_: bool(all_.drills and all_.drills[0].passed),
    ),
    _Gauge(
        "strongroom_last_drill_passed_timestamp_seconds",
        "When a drill last passed; 0: never.",
        lambda all_: all_.last_passed.ended_at.timestamp() if all_.last_passed else 0,
    ),
    _Gauge(
        "strongroom_last_drill_duration_seconds",
        "The time to restore: how long the last drill took.",
        lambda all_: all_.drills[0].seconds if all_.drills else 0,
    ),
    _Gauge(
        "strongroom_last_drill_restored_bytes",
        "What the last drill restored.",
        lambda all_: all_.drills[0].bytes if all_.drills else 0,
    ),
)


def families(survey: Survey, alarms: Sequence[Alarm]) -> list[Metric]:
    """All metrics. Pure."""
    rows = _Rows(survey.archive_id[:8])
    info = {"version": version("strongroom"), "python": platform.python_version(), "format": str(FORMAT)}
    rows.add("strongroom_build_info", "Which Strongroom told this.", [(info, 1)])
    for gauge in _ARCHIVE:
        rows.add(gauge.name, gauge.help, [({}, gauge.value(survey))])
    for disk, told in (("free", "Bytes that are free"), ("size", "Bytes that there are")):
        pairs = [({"what": one.what}, one.free if disk == "free" else one.total) for one in survey.disks]
        rows.add(f"strongroom_disk_{disk}_bytes", f"{told} on the disk of archive or state.", pairs)
    rows.add("strongroom_alarms", "What is wrong now, by level and kind.", _alarms(alarms))
    rows.add(
        "strongroom_members",
        "For how many scopes an every-scope stands, as far as nights have learned.",
        [(_named(one), one.members) for one in survey.everies],
    )
    rows.add(
        "strongroom_last_verified_timestamp_seconds",
        "When the newest snapshot that counts was taken, or found to be up to date since; 0: never.",
        [
            (_named(scope), good.timestamp() if (good := scope.good_at(survey.at)) else 0)
            for scope in survey.configured
        ],
    )
    for gauges, scopes in ((_NIGHTS, survey.configured), (_KEPT, survey.scopes)):
        seen = [(_named(scope), scope) for scope in scopes]
        for each in gauges:
            rows.add(each.name, each.help, [(labels, each.value(scope)) for labels, scope in seen])
    rows.add("strongroom_snapshots", "Live snapshots by their quality.", list(_qualities(survey.scopes)))
    return rows.families


def text(survey: Survey, alarms: Sequence[Alarm]) -> bytes:
    """The metrics in Prometheus' text format. Pure."""
    return generate_latest(registry(families(survey, alarms)))


def registry(found: Iterable[Metric]) -> CollectorRegistry:
    """These metrics as the library's writers take them."""
    known = CollectorRegistry(auto_describe=False)
    known.register(_Known(tuple(found)))
    return known


def write(survey: Survey, alarms: Sequence[Alarm], path: Path) -> None:
    """Write the metrics for the node exporter's textfile collector: whole or not at all, readable by everybody.

    Raises ConfigError where the folder takes no file. Retry: yes.
    """
    told = text(survey, alarms)
    fresh = None
    try:
        # A name of its own for each writer, which the collector passes over: it does not end in .prom.
        handle, named = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        fresh = Path(named)
        with os.fdopen(handle, "wb") as stream:
            stream.write(told)
            os.fchmod(handle, MODE)  # before it has its name: a umask of a service's would keep the collector out
        fresh.replace(path)
    except OSError as exc:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
        hint = f"make {path.parent}, and let the user who runs Strongroom write there"
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}", hint=hint) from exc


class _Known(Collector):
    """Metrics that are there already."""

    def __init__(self, found: tuple[Metric, ...]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


class _Rows:
    """Families that all have the label `archive`."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self.families: list[Metric] = []

    def add(self, name: str, told: str, rows: Sequence[tuple[dict[str, str], float | None]]) -> None:
        """One family; a row is labels and value."""
        names = ["archive", *(rows[0][0] if rows else ())]
        family = GaugeMetricFamily(name, told, labels=names)
        for labels, value in rows:
            if value is not None:
                family.add_metric([_label(text) for text in (self._archive, *labels.values())], float(value))
        self.families.append(family)


def _alarms(alarms: Sequence[Alarm]) -> list[tuple[dict[str, str], float | None]]:
    count = Counter((alarm.level, alarm.kind) for alarm in alarms)
    pairs = dict.fromkeys([*product(Level, KINDS), *count])  # what is not wrong now is 0, and not absent
    return [({"level": level.name.lower(), "kind": kind}, count[level, kind]) for level, kind in pairs]


def _named(one: ScopeSeen | EverySeen) -> dict[str, str]:
    return {"source": one.key.source, "scope": one.key.scope}


def _qualities(scopes: Iterable[ScopeSeen]) -> Iterator[tuple[dict[str, str], float | None]]:
    for scope in scopes:
        count = Counter(shot.quality for shot in scope.shots)
        for quality in Quality:
            yield {**_named(scope), "quality": quality.value}, count[quality.value]


def _label(name: str) -> str:
    """A name from elsewhere as one line: what is no sign to print is escaped, so that two never become one."""
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii") for c in name
    )
