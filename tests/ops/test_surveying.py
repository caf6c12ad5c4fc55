"""A survey by what archive and catalog really hold: what is dated ahead of now tells nothing of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows import config
from flows.configtables import ScheduleTable
from flows.errors import ConfigError
from flows.ops.alarm import Alarm, Level
from flows.ops.surveying import known
from flows.schedule import SLACK, within
from storage import records
from storage.archive import Archive
from storage.catalog import Catalog
from storage.records import Ended
from storage.snapshot import ScopeKey
from storage.upkeep_records import DrillRecord, Finding, ScrubRecord, encode
from tests.doubles import run_record
from tests.ops.test_status import HOUR, USER, shell, store
from tests.test_cli_upkeep import Shell

__all__ = ["shell"]
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def leave(place: Shell, archive: Archive, record: ScrubRecord | DrillRecord) -> None:
    place.run("status")  # makes the catalog
    archive.put_record(record.id, encode(record))
    with Catalog.open(place.folder / "state" / "catalog.db") as catalog:
        catalog.readings.enter(record)


def scrub(at: datetime, *findings: Finding) -> ScrubRecord:
    return ScrubRecord(f"{at:%Y%m%d-%H%M%S}-aaaaaaaa", at, at, "everything", 1, 1, 1, {}, findings, {})


def drill(at: datetime, *problems: str) -> DrillRecord:
    return DrillRecord(f"{at:%Y%m%d-%H%M%S}-bbbbbbbb", "ab" * 32, USER, at, at, 1, 1, 1, problems)


def wrong(place: Shell) -> dict[str, Alarm]:
    """By kind."""
    _, found = known(config.load(place.folder / "strongroom.toml"), now=datetime.now(UTC))
    return {alarm.kind: alarm for alarm in found}


def test_a_scrub_and_a_drill_dated_ahead_hide_nothing(shell: Shell) -> None:
    """Clean ones of 2031, by a clock that was wrong: the true ones, which found damage, are what is told."""
    archive = store(shell)
    for record in (scrub(NOW + 2000 * DAY), drill(NOW + 2000 * DAY)):
        leave(shell, archive, record)
    for record in (scrub(NOW - HOUR, Finding("packs/x", "cut")), drill(NOW - HOUR, "a.txt: lost")):
        leave(shell, archive, record)

    found = wrong(shell)
    assert (found["scrub"].level, found["drill"].level) == (Level.CRITICAL, Level.CRITICAL)
    assert "is dated" in found["clock"].sentence


def test_a_run_dated_ahead_hides_no_failure_and_is_a_warning_once_nights_are_right(shell: Shell) -> None:
    """The night that failed after the clock was set right is told; what is dated wrongly stays a warning."""
    archive = store(shell)
    shell.run("status")
    for at, end in ((NOW + 2000 * DAY, Ended.VERIFIED), (NOW - HOUR, Ended.FAILED)):
        record = run_record(
            f"{at:%Y%m%d-%H%M%S}-cccccccc", key=USER, started_at=at, ended_at=at, ended=end, checks=()
        )
        archive.put_record(record.id, records.encode(record))
        with Catalog.open(shell.folder / "state" / "catalog.db") as catalog:
            catalog.record_run(record)

    found = wrong(shell)
    assert found["failed"].about == str(USER)
    assert found["clock"].level is Level.WARNING


def test_who_only_ever_failed_is_missing_after_nights_have_stopped(shell: Shell) -> None:
    """A member that was never kept, when nothing ran for ten days: stale still, and not told as over."""
    text = (shell.folder / "strongroom.toml").read_text()
    (shell.folder / "strongroom.toml").write_text(f'{text}[[source.scope]]\nkind = "user"\nevery = true\n')
    archive, at = store(shell), NOW - 10 * DAY
    shell.run("status")
    for scope in ("user:9", "user"):
        record = run_record(
            f"{at:%Y%m%d-%H%M%S}-{scope[-1] * 8}", key=ScopeKey("lab", scope), started_at=at, ended_at=at,
            ended=Ended.FAILED, request={"kind": "user", "id": "9", "format": "xml", "options": {}}, checks=(),
        )  # fmt: skip
        archive.put_record(record.id, records.encode(record))
        with Catalog.open(shell.folder / "state" / "catalog.db") as catalog:
            catalog.record_run(record)

    _, found = known(config.load(shell.folder / "strongroom.toml"), now=datetime.now(UTC))
    assert "lab/user:9" in {alarm.about for alarm in found if alarm.kind == "stale"}


@pytest.mark.parametrize(
    ("cron", "longest"),
    [
        ("30 3 * * *", DAY),
        ("30 3 * * 1-5", 3 * DAY),
        ("0 8-18 * * 1-5", timedelta(days=2, hours=14)),
        ("0 3 1-10 * *", 22 * DAY),
        ("0 3 * 1-6,9-12 *", 63 * DAY),
    ],
)
def test_good_news_may_be_as_old_as_the_longest_time_between_nights(cron: str, longest: timedelta) -> None:
    """Nights, working days, hours of working days, the first ten days of a month, all but summer."""
    at = datetime(2026, 7, 11, 12, tzinfo=UTC)  # a Saturday
    assert within(ScheduleTable(cron=cron), now=at) == longest + SLACK


def test_one_switch_for_several_sources_is_refused(tmp_path: Path) -> None:
    """The night of one source would answer for another's that failed."""
    source = (
        'system = "rspace"\nurl = "http://127.0.0.1:9"\napi_key = { env = "NONE" }\n'
        'schedule = { cron = "30 3 * * *" }\n'
    )
    text = "".join(f'[[source]]\nname = "{name}"\n{source}' for name in ("a", "b"))
    path = tmp_path / "strongroom.toml"
    path.write_text(f'{text}[[ping]]\nof = "nightly"\nurl = {{ env = "PING" }}\n')
    with pytest.raises(ConfigError, match="one source's night would answer for another's"):
        config.load(path)
