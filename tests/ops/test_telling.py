"""What is told, when, and how often: rules of values, and laws that hold of any history."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.ops.alarm import Alarm, Level
from flows.ops.telling import END_AGAIN, MAX_LINES, WORSE_AGAIN, Memory, Telling, Told, message, plain, plan

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REMIND = timedelta(days=7)
STALE = Alarm("stale", "lab/user:7", Level.CRITICAL, "lab/user:7: last verified never", "`strongroom run lab`")
DISK = Alarm("disk", "/srv", Level.WARNING, "/srv: 4 % free, wanted 5 %")


def told(*alarms: Alarm, now: datetime = NOW, memory: Memory | None = None, blind: bool = False) -> Telling:
    return plan(alarms, memory or {}, now=now, remind=REMIND, blind=blind)


def text(telling: Telling) -> str:
    made = message(telling, host="box", archive="/srv/archive")
    return "" if made is None else f"{made.title}\n{made.body}"


def test_new_ones_are_told_in_one_message_and_then_no_more() -> None:
    """The worst first, with their hints, the host and the archive; a second look tells nothing."""
    first = told(DISK, STALE)

    assert text(first) == (
        "Strongroom: 2 new alarms (box)\n"
        "Host box, archive /srv/archive.\n\n"
        "critical, new: lab/user:7: last verified never; hint: `strongroom run lab`\n"
        "warning, new: /srv: 4 % free, wanted 5 %\n\n"
        "`strongroom status` says all."
    )
    second = told(DISK, STALE, now=NOW + HOUR, memory=first.memory)
    assert (second.silent, message(second, host="", archive="")) == (True, None)


def test_what_is_not_configured_any_more_is_not_called_over() -> None:
    """A scope, and no disk; where it is not known what is configured, all is over."""
    odd = Alarm("odd size", "lab/user:7", Level.WARNING, "lab/user:7: 1 %")
    memory = told(DISK, STALE, odd).memory

    left = plan([], memory, now=NOW + HOUR, remind=REMIND, watched={"lab/user:8"})

    assert text(left).startswith("Strongroom: 1 over, 2 not configured any more (box)\n")
    assert "\nnot configured any more: odd size lab/user:7, told since" in text(left)
    assert "\nover: disk /srv, told since" in text(left)
    assert left.memory == plan([], memory, now=NOW + HOUR, remind=REMIND).memory
    assert text(plan([], memory, now=NOW + HOUR, remind=REMIND)).startswith("Strongroom: 3 over (")
    assert text(plan([], memory, now=NOW + HOUR, remind=REMIND, watched={"lab/user:7"})).startswith(
        "Strongroom: 3 over ("
    )


def test_one_that_got_worse_is_told_again_and_one_that_got_better_is_not() -> None:
    """From warning to critical; back and forth after that tells nothing for a day, then that it is worse again."""
    memory = told(DISK).memory
    worse = told(replace(DISK, level=Level.CRITICAL), now=NOW + HOUR, memory=memory)
    assert text(worse).startswith("Strongroom: 1 worse (box)\n")
    assert "critical, worse: /srv" in text(worse)
    for hours, level in enumerate((Level.WARNING, Level.CRITICAL, Level.WARNING), start=2):
        again = told(replace(DISK, level=level), now=NOW + hours * HOUR, memory=worse.memory)
        assert again.silent
        worse = again
    risen = told(replace(DISK, level=Level.CRITICAL), now=NOW + 25 * HOUR, memory=worse.memory)
    assert "critical, worse: /srv" in text(risen)
    assert told(replace(DISK, level=Level.CRITICAL), now=NOW + 26 * HOUR, memory=risen.memory).silent


def test_the_same_is_reminded() -> None:
    """After so long, and then after so long again."""
    memory = told(STALE).memory
    at = NOW
    for _ in range(2):
        assert told(STALE, now=at + REMIND - HOUR, memory=memory).silent
        at += REMIND
        again = told(STALE, now=at, memory=memory)
        assert "1 still there" in text(again)
        memory = again.memory
    assert memory[STALE.id].since == NOW


def test_an_end_is_told_at_once_and_once() -> None:
    """With since when, and what it was; the memory goes a day later."""
    memory = told(STALE).memory
    over = told(now=NOW + HOUR, memory=memory)
    made = message(over, host="box", archive="a")

    assert made is not None
    assert (made.title, made.level) == ("Strongroom: 1 over (box)", None)
    said = "over: stale lab/user:7, told since 2026-03-01 04:00 UTC; it was: lab/user:7: last verified never"
    assert said in made.body
    assert told(now=NOW + 2 * HOUR, memory=over.memory).silent
    assert told(now=NOW + HOUR + DAY, memory=over.memory).memory == {}


def test_one_that_comes_and_goes_does_not_flood() -> None:
    """Each hour there or not, for three days: two messages about it and one about its end in a day, at most."""
    memory: Memory = {}
    said = []
    for hour in range(72):
        telling = told(*([STALE] if hour % 2 == 0 else []), now=NOW + hour * HOUR, memory=memory)
        memory = telling.memory
        said += [(hour, "new") for _ in telling.new] + [(hour, "over") for _ in telling.over]

    assert said == [(0, "new"), (1, "over"), (2, "new"), (25, "over"), (26, "new"), (49, "over"), (50, "new")]


def test_who_cannot_look_calls_nothing_over() -> None:
    """What was told before stays as it is, and is over when somebody could look."""
    memory = told(STALE).memory
    unreadable = Alarm("unreadable", "archive", Level.CRITICAL, "archive: cannot be looked at")
    blind = told(unreadable, now=NOW + HOUR, memory=memory, blind=True)

    assert (blind.new, blind.over) == ((unreadable,), ())
    assert set(blind.memory) == {STALE.id, unreadable.id}
    after = told(STALE, now=NOW + 2 * HOUR, memory=blind.memory)
    assert [id for id, _ in after.over] == [unreadable.id]
    assert after.new == ()


def test_many_are_cut_after_twenty_lines() -> None:
    """The rest is a number; the worst are among those that stand there."""
    many = [replace(DISK, about=f"/srv/{n}") for n in range(30)]
    telling = told(*many, STALE)

    lines = text(telling).splitlines()
    assert lines[0] == "Strongroom: 31 new alarms (box)"
    assert lines[3].startswith("critical, new: lab/user:7")
    assert len([line for line in lines if ", new: " in line]) == MAX_LINES
    assert "and 11 more" in lines


def test_a_clock_that_was_ahead_does_not_silence_reminders() -> None:
    """What was told in a year to come counts as told now."""
    memory = told(STALE, now=NOW + 3650 * DAY).memory
    memory = told(STALE, memory=memory).memory

    assert "1 still there" in text(told(STALE, now=NOW + REMIND, memory=memory))


def test_control_characters_and_lines_do_not_get_into_a_message() -> None:
    """No second header, no cursor moved, no line turned round; a sentence has an end."""
    nasty = replace(STALE, sentence="a\r\nBcc: x@y\x1b[2J\u202eb" + "c" * 2000, hint="d\ne")
    made = message(told(nasty), host="box\nX: y", archive="a")

    assert made is not None
    assert "\n" not in made.title
    line = made.body.splitlines()[2]
    assert line.startswith("critical, new: a Bcc: x@y�[2J�bccc")
    assert line.endswith("…; hint: d e")
    assert plain("a\tb\u2028c") == "a b c"


ALARMS = st.builds(
    Alarm,
    st.just("stale"),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(Level),
    st.sampled_from(["so", "or so"]),
)
HISTORIES = st.lists(
    st.tuples(
        st.integers(min_value=-2, max_value=9 * 24).map(lambda hours: hours * HOUR),
        st.lists(ALARMS, max_size=4),
        st.booleans(),  # taken
        st.integers(min_value=0, max_value=5).map(lambda one: one == 0),  # blind
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(HISTORIES)
def test_laws_of_any_history(
    history: list[tuple[timedelta, list[Alarm], bool, bool]],
) -> None:
    """Looks at any times, also of a clock that goes back, with messages that are taken or not.

    No two messages about one alarm of one level within the reminder's time, unless its end was told between them
    or it was less bad in between, and then not within a day;
    no two ends within a day; every critical alarm that was there at a look that could tell was told as critical;
    the memory holds no more than what is there, what waits for a day to pass, and what a blind look cannot know.
    """
    memory: Memory = {}
    now, latest = NOW, NOW
    last: dict[tuple[str, Level], datetime] = {}
    ended: dict[str, datetime] = {}
    for passed, found, taken, blind in history:
        now += passed
        if now < latest:  # the clock went back: times told then count as now, and so do these
            last = {key: min(at, now) for key, at in last.items()}
            ended = {key: min(at, now) for key, at in ended.items()}
        latest = now
        before = memory
        telling = plan(found, memory, now=now, remind=REMIND, blind=blind)
        if taken or telling.silent:
            memory = telling.memory
        said = (*telling.new, *telling.worse, *telling.again) if taken else ()
        for alarm in said:
            if (alarm.id, alarm.level) in last:
                eased = before[alarm.id].fell if alarm.id in before else False
                assert now - last[alarm.id, alarm.level] >= (WORSE_AGAIN if eased else REMIND)
            last[alarm.id, alarm.level] = now
        assert max(Counter(alarm.id for alarm in said).values(), default=0) <= 1
        for id, _ in telling.over if taken else ():
            assert now - ended.get(id, now - END_AGAIN) >= END_AGAIN
            ended[id] = now
            last = {key: at for key, at in last.items() if key[0] != id}
        if taken or telling.silent:
            for alarm in found:
                if alarm.level is Level.CRITICAL:
                    assert (alarm.id, Level.CRITICAL) in last
            there = {alarm.id for alarm in found}
            for id, one in memory.items():
                assert id in there or (blind and id in before) or now - (one.over_at or now - DAY) < END_AGAIN
        assert {id: Told.from_json(one.to_json()) for id, one in memory.items()} == memory
