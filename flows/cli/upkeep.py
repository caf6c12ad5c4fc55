"""Verbs that prove what is kept: scrub reads it, drill gives it back for practice."""

from __future__ import annotations

import json as jsonlib
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    byte_bar,
    complain,
    number,
    out,
    painted,
    print_json,
    say,
)
from flows.cli.look import meant
from flows.cli.opened import opened
from flows.errors import ConfigError, Exit
from storage.snapshot import to_text
from storage.turns import WITHIN_DAYS, Budget, Everything, Within, parse_duration, parse_subset
from storage.upkeep_records import Noted, finding_json, heads_from_json, heads_json

if TYPE_CHECKING:
    from storage.upkeep import Scrubbed


_STRAY = "move it out of the archive, or give it its name back; it is never read nor deleted"
_OLDER = "bring the newer archive back; to go on with this one all the same, move catalog.db away"


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(scrub)
    app.command()(drill)


def scrub(
    all: Annotated[bool, typer.Option("--all", help="Read every byte of the archive.")] = False,
    read_data_subset: Annotated[
        str, typer.Option(help="Read a share (5%), a size (500M), or the n-th of t parts (1/7).")
    ] = "",
    max_duration: Annotated[
        str, typer.Option(help="Begin to read no further pack after so long: 30m, 1h30m.")
    ] = "",
    expect: Annotated[
        Path | None, typer.Option(help="What an earlier `scrub --json` printed: its heads must still be there.")
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Read what is kept and compare it with its names; find what is missing.

    Small files, chains and what a snapshot needs are looked at each time. Of the packs, those unread for longest
    are read, so many that scrubs a day apart read all within 30 days ([upkeep] scrub_within_days).
    """
    from flows.clock import SystemClock, new_id
    from storage.upkeep import disagreements, scrub_in_turn

    asked, at_most = _budget(all, read_data_subset, max_duration)
    expected = _expected(expect) if expect else []
    clock = SystemClock()
    with opened(archive, config) as place, byte_bar(quiet=json) as bar:
        within = place.settings.nightly_scrub if place.settings else Within(WITHIN_DAYS)
        if place.catalog is None and asked is None:
            say("no history is at hand: reads the oldest packs; --all reads all, --read-data-subset n/t a part")
        task = bar.add_task("scrub", total=None)
        done = scrub_in_turn(
            place.archive,
            place.catalog,
            asked or within,
            record_id=new_id(clock.now()),
            clock=clock.now,
            at_most=at_most,
            expected=expected,
            compared=partial(disagreements, place.catalog, place.archive, now=clock.now()),
            on_chosen=lambda total: bar.update(task, total=total),
            on_bytes=lambda count: bar.update(task, advance=count),
        )
    _print_scrub(done, json=json)
    return Exit.VERIFICATION if done.report.findings else Exit.DONE


def _print_scrub(done: Scrubbed, *, json: bool) -> None:
    report, record = done.report, done.record
    if json:
        print_json(
            "scrub",
            {
                "started_at": to_text(record.started_at),
                "ended_at": to_text(record.ended_at),
                "asked": record.asked,
                "bytes_read": report.bytes_read,
                "packs": report.packs,
                "packs_read": report.packs_read,
                "snapshots": report.snapshots,
                "findings": [finding_json(finding) for finding in report.findings],
                "heads": heads_json(report.heads),
                "record": None if done.unrecorded else record.id,
            },
        )
    else:
        for finding in report.findings:
            hit = (
                f" (snapshots {', '.join(found[:8] for found in finding.snapshots)})" if finding.snapshots else ""
            )
            hint = _OLDER if finding.lost_head else _STRAY if finding.stray else ""
            complain(f"{finding.name}: {finding.problem}{hit}", hint)
        read = f"{number(report.bytes_read)} bytes in {report.packs_read} of {report.packs} packs"
        out.print(f"{read}, {report.snapshots} snapshots: {len(report.findings) or 'no'} findings")
        for key, (n, head) in sorted(report.heads.items()):
            out.print(f"  head of {key}: number {n}, {head}", markup=False)
    if done.unrecorded:
        say(f"no record was left: {done.unrecorded}")


def drill(
    snapshot: Annotated[
        str,
        typer.Argument(help="An id, a unique beginning of one, or latest; none: the one drilled least recently."),
    ] = "",
    to: Annotated[
        Path | None, typer.Option(help="Folder for the scratch, which is removed; default: in the state folder.")
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Restore a snapshot to a scratch folder for practice: prove it, measure it, remove it, record it."""
    from flows.clock import SystemClock, new_id
    from storage import drill as drills

    clock = SystemClock()
    with opened(archive, config) as place, byte_bar(quiet=json) as bar:
        folder = to or (place.settings.scratch if place.settings else None)
        if folder is None:
            raise ConfigError("drill --archive: where to restore to?", hint="name a folder with --to")
        found = meant(place.archive, snapshot) if snapshot else drills.pick(place.archive, place.catalog)
        task = bar.add_task("drill", total=found.manifest.size)
        done = drills.drill(
            place.archive,
            place.catalog,
            found,
            folder.absolute(),
            record_id=new_id(clock.now()),
            clock=clock.now,
            on_bytes=lambda count: bar.update(task, advance=count),
        )
    record = done.record
    if json:
        facts = {
            "snapshot": record.snapshot,
            "source": record.key.source,
            "scope": record.key.scope,
            "snapshot_key": done.key[0],
            "keys": done.key[1],
            "started_at": to_text(record.started_at),
            "ended_at": to_text(record.ended_at),
            "outcome": "passed" if record.passed else "failed",
            "files": record.files,
            "bytes": record.size,
            "seconds": record.milliseconds / 1000,
            "problems": list(record.problems),
            "record": None if done.unrecorded else record.id,
        }
        print_json("drill", facts)
    else:
        out.print(painted(done.sentence()), soft_wrap=True)
    for problem in record.problems:
        complain(problem, "bring it back from a copy of the archive; `strongroom scrub --all` names all")
    if done.unrecorded:
        say(f"no record was left: {done.unrecorded}")
    return Exit.DONE if record.passed else Exit.VERIFICATION


def _budget(all: bool, subset: str, duration: str) -> tuple[Budget | None, timedelta | None]:
    if all and subset:
        raise ConfigError("scrub: --all and --read-data-subset ask for different things", hint="leave one out")
    try:
        at_most = parse_duration(duration) if duration else None
    except ValueError as exc:
        raise ConfigError(f"--max-duration {exc}") from exc
    try:
        return (Everything() if all else parse_subset(subset) if subset else None), at_most
    except ValueError as exc:
        raise ConfigError(f"--read-data-subset {exc}") from exc


def _expected(path: Path) -> list[Noted]:
    """The heads in a file that `scrub --json` printed, or in a scrub's record. Raises ConfigError."""
    try:
        value: Any = jsonlib.loads(path.read_text(encoding="utf-8"))
        heads = heads_from_json(value["heads"])
        return [Noted(key, n, head, str(value.get("ended_at", ""))) for key, (n, head) in heads.items()]
    except OSError as exc:
        raise ConfigError(f"--expect {path}: {exc.strerror}") from exc
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as exc:
        raise ConfigError(
            f"--expect {path}: holds no heads of a scrub: {exc!r:.200}", hint="keep what `scrub --json` prints"
        ) from exc
