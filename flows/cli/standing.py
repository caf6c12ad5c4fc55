"""The verb that says how each scope stands and what is wrong: status. It asks catalog and archive, no system."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import ConfigOption, JsonOption, clean, complain, day, number, out, print_json, print_table
from flows.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.ops.alarm import Alarm
    from flows.ops.nights import Strips
    from flows.ops.survey import ScopeSeen, Survey

_COLUMNS = ("source", "scope", "last verified", "next night", "last run", "nights", "snapshots", "size")


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(status)


_NagiosOption = Annotated[
    bool, typer.Option("--nagios", help="As a plugin of Nagios or Icinga prints it, with its exit codes 0 to 3.")
]
_TellOption = Annotated[bool, typer.Option("--tell", help="Tell the addresses of [notify] what is new.")]
_AtOption = Annotated[
    datetime | None,
    typer.Option("--at", help="As if it were then (UTC): of what is there now, what would be late or too old."),
]


def status(
    tell: _TellOption = False,
    nagios: _NagiosOption = False,
    at: _AtOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say how each scope stands and what is wrong; exit code 5 where any of it is critical."""
    from flows import config as configuration
    from flows.ops import watch
    from flows.ops.document import document
    from flows.ops.look import look
    from flows.ops.nagios import plugin
    from flows.ops.nights import strips
    from flows.ops.surveying import known

    if json and nagios:
        raise typer.BadParameter("--json and --nagios exclude each other")
    settings = configuration.load(configuration.find(config))
    now = datetime.now(UTC) if at is None else at.replace(tzinfo=UTC)
    looked = look(settings, now=now, only_tell=True) if tell else None
    if looked and looked.survey:
        seen, found = looked.survey, list(looked.alarms)
    else:
        seen, found = known(settings, now=now)  # raises what hindered the look
    code = Exit.STALE if watch.critical(found) else Exit.DONE
    if looked and looked.unheard:
        complain("nobody could be told: no address took the message", "`strongroom tell --test` says why")
        code = Exit.UNEXPECTED
    if nagios:
        text, plugin_code = plugin(seen, found, settings.file.watch)
        print(text)
        return plugin_code
    nights = strips(settings, seen)
    told = document(seen, found, nights, exit=code)
    if json:
        print_json("status", told)
        return code
    _print_scopes(seen, nights)
    _print_marked(told)
    _print_kept(seen)
    _print_alarms(found)
    return code


def _print_scopes(seen: Survey, strips: Strips) -> None:
    from flows.ops.document import in_order
    from flows.ops.nights import Mark
    from flows.ops.survey import EverySeen

    rows: list[tuple[str, ...]] = []
    used: set[Mark] = set()
    for one in in_order(seen):
        if isinstance(one, EverySeen):
            told = f"members: {one.members}" if one.members else "no member is known yet (stale)"
            rows.append((one.key.source, one.key.scope, told, *[""] * (len(_COLUMNS) - 3)))
            continue
        marks = strips[one.key].values()
        used.update(marks)
        rows.append(_row(seen, one, "".join(mark.sign for mark in marks)))
    if not rows:
        out.print("no scope is configured")
        return
    print_table("", _COLUMNS, rows)
    if used:
        words = ", ".join(f"{mark.sign} {mark.meaning}" for mark in Mark if mark in used)
        out.print(f"nights, the last on the right: {words}", markup=False, soft_wrap=True)


def _row(seen: Survey, scope: ScopeSeen, nights: str) -> tuple[str, ...]:
    from flows.ops.document import under_way

    newest, last, same = scope.newest, next(iter(scope.runs), None), scope.unchanged_at
    age = "never" if newest is None else day(newest.taken_at)
    if newest and same and same > newest.taken_at:
        age += f", unchanged {day(same)}"
    if newest and scope.stale(seen.at):
        age += " (stale)"
    doing = "none" if last is None else last.ended or under_way(last)
    if last and not last.ended and not last.dead:
        doing += f", since {day(last.started_at)}"
    size = number(newest.size) if newest else ""
    # Without year and zone, which the column before it has: the row is to fit on a terminal.
    next_night = f"{scope.next_at.astimezone():%m-%d %H:%M}" if scope.next_at else "no schedule"
    return (scope.key.source, scope.key.scope, age, next_night, doing, nights, number(len(scope.shots)), size)


def _print_marked(told: dict[str, Any]) -> None:
    """What is held, and what waits for a person to settle it."""
    for one in told["held"]:
        _line(f"held: {_named(one)}: {one['reason']}")
    for one in told["waiting"]:
        _line(f"waits for a person: {_named(one)}: {one['why']}; `{one['settle']}`")


def _named(one: dict[str, Any]) -> str:
    return f"{one['source']}/{one['scope']} number {one['number']}, {one['id'][:8]}"


def _print_kept(seen: Survey) -> None:
    """How long ago the kept bytes were read, what came of the last scrub and drill, and what room there is."""
    from flows.ops.room import forecast, whole_days
    from flows.ops.words import amount, counted

    if seen.oldest_unread_at:
        age = counted((seen.at - seen.oldest_unread_at).days, "day")
        never = f"{seen.never_read} of {seen.packs} packs never read since they were written"
        _line(f"oldest unread byte: {age}, since {day(seen.oldest_unread_at)}; {never}")
    for scrub in seen.scrubs[:1]:
        found = f"{scrub.findings or 'no'} findings in {number(scrub.bytes_read)} bytes"
        _line(f"last scrub: {day(scrub.ended_at)}: {found}")
    for drill in seen.drills[:1]:
        back = f"{number(drill.bytes)} bytes restored in {drill.seconds:,.1f} s"
        _line(f"last drill: {day(drill.ended_at)}: {drill.key} {drill.snapshot[:8]} {drill.outcome}, {back}")
    passed = seen.last_passed
    if passed and passed is not seen.drills[0]:
        _line(f"last drill that passed: {day(passed.ended_at)}: {passed.key} in {passed.seconds:,.1f} s")
    room = forecast(seen)
    for disk in seen.disks:
        told = f"{disk.what} disk {disk.path}: {amount(disk.free)} of {amount(disk.total)} free"
        if room and disk.what == "archive":
            days = whole_days(room)
            full = "" if days is None else f", so it is full in {counted(days, 'day')}"
            told += f"; the archive grows by {amount(room.bytes_per_day)} a day{full}"
        _line(told)


def _print_alarms(found: Sequence[Alarm]) -> None:
    for alarm in found:
        hint = f"; hint: {alarm.hint}" if alarm.hint else ""
        _line(f"{alarm.level.name}: {alarm.kind}: {alarm.sentence}{hint}")
    if not found:
        _line("nothing is wrong")


def _line(text: str) -> None:
    out.print(clean(text).replace("\n", " "), markup=False, soft_wrap=True)
