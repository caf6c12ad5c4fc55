"""A survey as a plugin prints it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.ops.alarm import Alarm, Level
from flows.ops.nagios import escaped, plugin, unknown
from flows.ops.survey import Survey
from flows.ops.tables import WatchTable
from tests.ops.seen import HOUR, scope, shot, survey, told

WARN = Alarm("missed", "lab/user:7", Level.WARNING, "the night never ran", "is it running?")
CRIT = Alarm("stale", "lab/user:7", Level.CRITICAL, "never backed up")
# Monitoring Plugins Development Guidelines, *Performance data*: label=value[UOM];[warn];[crit];[min];[max]
PERFDATA = re.compile(r"[a-z_]+=-?[0-9.]+(s|B|%)?(;[0-9.:~@]*){0,2}(;[0-9.]*){0,2}")


def printed(seen: Survey, *found: Alarm) -> tuple[list[str], int]:
    """Lines, and the exit code."""
    text, code = plugin(seen, found, WatchTable())
    return text.splitlines(), code


@pytest.mark.parametrize(
    ("found", "word", "code"), [((), "OK", 0), ((WARN,), "WARNING", 1), ((CRIT, WARN), "CRITICAL", 2)]
)
def test_the_first_line_says_all_and_the_others_one_alarm_each(
    found: tuple[Alarm, ...], word: str, code: int
) -> None:
    """The worst decides word and exit code."""
    lines, said = printed(survey(), *found)

    assert said == code
    assert lines[0].startswith(f"STRONGROOM {word} - ")
    assert len(lines) == 1 + len(found)
    if len(found) == 2:
        assert lines[0].startswith(
            "STRONGROOM CRITICAL - 1 critical, 1 warning of 1 scope: stale lab/user:7, missed lab/user:7 | "
        )
        assert lines[1:] == [
            "CRITICAL stale: never backed up",
            "WARNING missed: the night never ran; hint: is it running?",
        ]


def test_numbers_are_as_plugins_give_them() -> None:
    """Labels without names, base units, limits where there are some."""
    seen = survey(scope(), scope(configured=False))
    line = printed(seen)[0][0]

    text, _, numbers = line.partition(" | ")
    assert text == "STRONGROOM OK - 1 scope, all as they should be"
    assert all(PERFDATA.fullmatch(one) for one in numbers.split(" ")), numbers
    assert "oldest_good=21600s;;;0" in numbers
    assert "stale=0;;0;0;1" in numbers
    assert "archive_free=500000000000B;;50000000000:;0;1000000000000" in numbers
    assert "archive_full_in=500;14:;;0" in numbers


NAME = "x | y=1\nOK\r\x1b[2J\u2028\u202e"


def test_a_name_cannot_end_a_line_or_begin_the_numbers() -> None:
    """The bar, ends of lines and signs that turn them round are escaped, in alarms and in errors."""
    bad = Alarm("stale", f"lab/{NAME}", Level.CRITICAL, NAME, NAME)

    lines, _ = printed(survey(), bad)

    assert len(lines) == 2
    assert lines[0].count("|") == 1
    assert "|" not in lines[1]
    assert "x \\x7c y=1 OK" in lines[1]
    assert "\\x1b" in lines[1]
    assert unknown(NAME)[0].startswith("STRONGROOM UNKNOWN - x \\x7c y=1 OK")
    assert unknown("x")[1] == 3


@given(st.text())
def test_whatever_comes_is_one_line_of_text(text: str) -> None:
    """Without the bar, and without what a terminal obeys."""
    line = escaped(text)

    assert len(line.splitlines()) <= 1
    assert "|" not in line
    assert line.isprintable() or not text.isprintable()


def test_a_plugin_says_what_the_rules_found() -> None:
    """The real alarms of a survey pass through it."""
    seen = survey(scope(shots=(shot(50 * HOUR),)))

    lines, code = printed(seen, *told(seen))

    assert (code, len(lines)) == (2, 2)
    assert "stale=1;;0;0;1" in lines[0]
