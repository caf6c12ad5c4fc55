"""A survey and its alarms as a plugin of Nagios, Icinga and their like prints them, and its exit code. Pure.

Source: Monitoring Plugins Development Guidelines, *Plugin Output*, *Return Codes*, *Performance data*.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from flows.ops.alarm import Alarm, Level
from flows.ops.room import forecast, whole_days
from flows.ops.survey import Survey
from flows.ops.tables import WatchTable
from flows.ops.words import counted

NAMED = 5  # alarms that the first line names
OK, UNKNOWN = 0, 3  # and the levels between them
_ODD = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode that would end a line, or turn it round


def plugin(survey: Survey, found: Sequence[Alarm], watch: WatchTable) -> tuple[str, int]:
    """The text, a line for all and one for each alarm, and the exit code: 0, 1 or 2."""
    code = max((int(alarm.level) for alarm in found), default=OK)
    word = Level(code).name if code else "OK"
    total = counted(sum(1 for _ in survey.configured), "scope")
    if found:
        counts = Counter(alarm.level.name.lower() for alarm in found)
        told = ", ".join(f"{count} {level}" for level, count in counts.items())
        named = [alarm.id for alarm in found[:NAMED]]
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        head = f"{told} of {total}: {', '.join(named)}{more}"
    else:
        head = f"{total}, all as they should be"
    lines = [f"STRONGROOM {word} - {escaped(head)} | {' '.join(_numbers(survey, found, watch))}"]
    lines += [f"{alarm.level.name} {escaped(_line(alarm))}" for alarm in found]
    return "\n".join(lines), code


def unknown(message: str) -> tuple[str, int]:
    """The same where nothing could be found out."""
    return f"STRONGROOM UNKNOWN - {escaped(message)}", UNKNOWN


def escaped(text: str) -> str:
    """On one line, and without the sign that begins performance data."""
    plain = " ".join(text.splitlines())
    shown = "".join(repr(c)[1:-1] if unicodedata.category(c) in _ODD else c for c in plain)
    return shown.replace("|", "\\x7c")


def _line(alarm: Alarm) -> str:
    hint = f"; hint: {alarm.hint}" if alarm.hint else ""
    return f"{alarm.kind}: {alarm.sentence}{hint}"


def _numbers(survey: Survey, found: Sequence[Alarm], watch: WatchTable) -> Iterator[str]:
    """As label=value[unit];[warn];[crit];[min];[max]. No label holds a name."""
    scopes = list(survey.configured)
    levels = Counter(alarm.level for alarm in found)
    goods = [good for scope in scopes if (good := scope.good_at(survey.at)) is not None]
    yield f"scopes={len(scopes)};;;0"
    yield f"stale={sum(scope.stale(survey.at) for scope in scopes)};;0;0;{len(scopes)}"
    yield f"critical={levels[Level.CRITICAL]};;0;0"
    yield f"warning={levels[Level.WARNING]};0;;0"
    if goods:
        yield f"oldest_good={int((survey.at - min(goods)).total_seconds())}s;;;0"
    if survey.oldest_unread_at is not None:
        yield f"oldest_unread={int((survey.at - survey.oldest_unread_at).total_seconds())}s;;;0"
    yield f"packs={survey.packs_bytes}B;;;0"
    for disk in survey.disks:
        yield f"{disk.what}_free={disk.free}B;;{int(disk.total * watch.disk_free_percent / 100)}:;0;{disk.total}"
    room = forecast(survey)
    days = whole_days(room) if room else None
    if days is not None:
        yield f"archive_full_in={days};{watch.disk_full_within_days:g}:;;0"
