"""What to tell now: from the alarms that there are and what was told before, one message or none. Pure.

A new alarm is told, one that got worse is told again, one that stays is told again after `remind`, and one that is
over is told as over, once.

An alarm that comes and goes must not flood, and good news should not wait. So an end is told at the first look
that finds it, but at most once in 24 hours of the same alarm: one that returns within that time is told once more,
and is from then on the same trouble, whatever it does, until an end may be told again. In a day that is at most
two messages about an alarm of one level and one about its end. One that falls to a warning and rises again is told
again when a day has passed since it was told. To wait for a second look instead would let good
news wait for the next night.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from flows.ops.alarm import OF_SCOPES, Alarm, Level
from storage.snapshot import from_text, to_text

END_AGAIN = timedelta(hours=24)  # so long after an end was told, the end of the same alarm is not told again
WORSE_AGAIN = timedelta(hours=24)  # so long after it was told, what fell and rose again is told again
MAX_LINES = 20  # of alarms in a message
MAX_TEXT = 500  # characters of a sentence or a hint


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of an alarm. It is kept while the alarm lasts, and for END_AGAIN after its end."""

    level: Level  # as it was last told; what is worse is told again
    since: datetime  # first told
    told_at: datetime  # last told
    sentence: str  # as it was told then
    over_at: datetime | None = None  # when its end was last told
    open: bool = True  # False: its end was told, and it has not returned
    fell: bool = False  # it was less bad meanwhile, which is not told

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "level": self.level.name.lower(),
            "since": to_text(self.since),
            "told_at": to_text(self.told_at),
            "sentence": self.sentence,
            "over_at": self.over_at and to_text(self.over_at),
            "open": self.open,
            "fell": self.fell,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Told:
        """What `to_json` gave. Raises KeyError, TypeError, ValueError for anything else."""
        over_at = value["over_at"]
        return cls(
            level=Level[str(value["level"]).upper()],
            since=from_text(value["since"]),
            told_at=from_text(value["told_at"]),
            sentence=str(value["sentence"]),
            over_at=None if over_at is None else from_text(over_at),
            open=bool(value["open"]),
            fell=bool(value.get("fell", False)),
        )

    def by(self, now: datetime) -> Told:
        """The same with nothing ahead of now: a clock that was wrong must not silence reminders for years."""
        over_at = None if self.over_at is None else min(self.over_at, now)
        return replace(self, since=min(self.since, now), told_at=min(self.told_at, now), over_at=over_at)


Memory = Mapping[str, Told]  # by the alarm's id


@dataclass(frozen=True, slots=True)
class Telling:
    """What to tell, and what will have been told then."""

    new: tuple[Alarm, ...] = ()
    worse: tuple[Alarm, ...] = ()
    again: tuple[Alarm, ...] = ()  # reminders
    over: tuple[tuple[str, Told], ...] = ()  # by id: as they were last told
    left: frozenset[str] = frozenset()  # ids of those that are over because nobody watches them any more
    memory: Memory = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.new or self.worse or self.again or self.over)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: no control character, and no line beyond what alarms hold."""

    title: str
    body: str
    level: Level | None = None  # the worst in it; None: good news only


def plan(
    alarms: Iterable[Alarm],
    memory: Memory,
    *,
    now: datetime,
    remind: timedelta,
    blind: bool = False,
    watched: Collection[str] | None = None,
) -> Telling:
    """What to tell of these alarms. `blind`: nobody could look, so what is not among them may go on all the same.
    `watched`: names of scopes that are configured: of others nothing is over, they are only left out; None: all.

    The memory that comes back is for when it was told; where it was not, the old one goes on, and the next look
    tells all of it. It holds what is there, and what ended within END_AGAIN.
    """
    told = {id: one.by(now) for id, one in memory.items()}
    there: dict[str, Alarm] = {}
    for alarm in sorted(alarms, key=lambda one: -one.level):
        there.setdefault(alarm.id, alarm)
    new, worse, again = [], [], []
    for id, alarm in there.items():
        was, sentence = told.get(id), plain(alarm.sentence)
        if was is None or not was.open:
            new.append(alarm)
            told[id] = Told(alarm.level, now, now, sentence, None if was is None else was.over_at)
        elif alarm.level > was.level or (
            alarm.level == was.level and was.fell and now - was.told_at >= WORSE_AGAIN
        ):
            worse.append(alarm)
            told[id] = replace(was, level=alarm.level, told_at=now, sentence=sentence, fell=False)
        elif now - was.told_at >= remind:
            again.append(alarm)
            told[id] = replace(was, level=alarm.level, told_at=now, sentence=sentence, fell=False)
        elif alarm.level < was.level:
            told[id] = replace(was, fell=True)
    over = []
    for id in [] if blind else [id for id in told if id not in there]:
        was = told[id]
        if was.over_at is not None and now - was.over_at < END_AGAIN:
            continue
        if was.open:
            over.append((id, was))
            told[id] = replace(was, over_at=now, open=False)
        else:
            del told[id]
    left = frozenset(id for id, _ in over if watched is not None and _is_left(id, watched))
    return Telling(tuple(new), tuple(worse), tuple(again), tuple(over), left, told)


def message(telling: Telling, *, host: str, archive: str) -> Message | None:
    """All of it in one message, the worst first; None where there is nothing to tell."""
    if telling.silent:
        return None
    found = [("new", alarm) for alarm in telling.new]
    found += [("worse", alarm) for alarm in telling.worse]
    found += [("still there", alarm) for alarm in telling.again]
    found.sort(key=lambda one: -one[1].level)  # stable: new before worse before old
    lines = [_line(word, alarm) for word, alarm in found]
    lines += [
        _ended(id, was, "not configured any more" if id in telling.left else "over") for id, was in telling.over
    ]
    more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    counts = (
        (len(telling.new), "new alarm" if len(telling.new) == 1 else "new alarms"),
        (len(telling.worse), "worse"),
        (len(telling.again), "still there"),
        (len(telling.over) - len(telling.left), "over"),
        (len(telling.left), "not configured any more"),
    )
    counted = ", ".join(f"{count} {word}" for count, word in counts if count)
    body = [f"Host {plain(host)}, archive {plain(archive)}.", "", *lines[:MAX_LINES], *more]
    return Message(
        f"Strongroom: {counted} ({plain(host)})",
        "\n".join([*body, "", "`strongroom status` says all."]),
        found[0][1].level if found else None,
    )


def trial(*, host: str, archive: str) -> Message:
    """What says that an address works."""
    body = f"Host {plain(host)}, archive {plain(archive)}.\n\nA test: whoever reads this is told of alarms."
    return Message(f"Strongroom: a test ({plain(host)})", body)


def plain(text: str) -> str:
    """One line without control characters, which could end a mail's header or move a cursor."""
    kept = ("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in " ".join(text.split()))
    line = "".join(kept)
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"


def _line(word: str, alarm: Alarm) -> str:
    hint = f"; hint: {plain(alarm.hint)}" if alarm.hint else ""
    return f"{alarm.level.name.lower()}, {word}: {plain(alarm.sentence)}{hint}"


def _is_left(id: str, watched: Collection[str]) -> bool:
    """Whether an alarm was about a scope that is not among these."""
    kind = next((kind for kind in OF_SCOPES if id.startswith(f"{kind} ")), None)
    return kind is not None and id.removeprefix(f"{kind} ") not in watched


def _ended(id: str, was: Told, word: str) -> str:
    return f"{word}: {plain(id)}, told since {was.since:%Y-%m-%d %H:%M} UTC; it was: {was.sentence}"
