"""A calendar of kept nights: which days have a snapshot that stays, and by which rule.

The same months are drawn in the terminal and as a picture; what a schedule leads to, and what is kept at a date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from flows.cli import rules
from flows.cli.console import day, out, print_json, print_table
from flows.errors import ConfigError, Exit
from storage.policy import Policy, Span
from storage.retention import Verdict
from storage.snapshot import ScopeKey, to_text

if TYPE_CHECKING:
    from storage.planning import Nights, Plan

# From the rule that keeps longest to the one that keeps shortest: a day is shown by the first that keeps it.
RULES = ("all", "yearly", "monthly", "weekly", "daily", "hourly", "last", "within", "tag", "hold", "floor")
_SIGNS = dict(zip(RULES, "AYMWDHLITHF", strict=True)) | {"hold": "#"}
# Of Okabe and Ito's palette, which people who see fewer colours can tell apart (https://jfly.uni-koeln.de/color/).
_COLOURS = dict(zip(RULES, ("#0072b2", "#d55e00", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#0072b2",
                            "#cc79a7", "#cc79a7", "#000000", "#999999"), strict=True))  # fmt: skip
_NONE, _OUTSIDE = "·", " "
SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, slots=True)
class Month:
    """A row: 31 cells, each a rule, "" for a day without a kept snapshot, None for no day of ours."""

    name: str  # 2026-03
    days: tuple[str | None, ...]


def months(kept: Mapping[date, str], first: date, last: date) -> list[Month]:
    """The months from `first` to `last`, both included; `kept` says by which rule a day's snapshot stays."""
    cells: dict[str, list[str | None]] = {}
    for ahead in range((last - first).days + 1):
        day = first + timedelta(days=ahead)
        cells.setdefault(f"{day:%Y-%m}", [None] * 31)[day.day - 1] = kept.get(day, "")
    return [Month(name, tuple(days)) for name, days in cells.items()]


def strongest(reasons: tuple[str, ...]) -> str:
    """Of the reasons of a verdict, the rule that a calendar shows."""
    begins = {"tag": "has tags", "hold": "held"}
    named = [rule for rule in RULES if any(reason.startswith(begins.get(rule, rule)) for reason in reasons)]
    return named[0] if named else "floor"


def draw(rows: list[Month]) -> None:
    """In the terminal: a line per month, a sign per day, and what the signs mean."""
    out.print(Text(" " * 8 + "".join(str(day // 10 or " ") for day in range(1, 32)), style="dim"))
    out.print(Text(" " * 8 + "".join(str(day % 10) for day in range(1, 32)), style="dim"))
    for row in rows:
        line = Text(f"{row.name} ")
        for rule in row.days:
            sign = _OUTSIDE if rule is None else _SIGNS.get(rule, _NONE)
            line.append(sign, style=_COLOURS.get(rule or "", "dim"))
        out.print(line)
    used = [rule for rule in RULES if any(rule in row.days for row in rows)]
    legend = Text(", ".join(f"{_SIGNS[rule]} {rule}" for rule in used) + f", {_NONE} forgotten or none")
    out.print(legend)


def check_picture(path: Path) -> None:
    """Raises ConfigError for a file that no picture can be written to, before anything is planned."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a picture is one of {', '.join(SUFFIXES)}, by the end of its name")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.absolute().parent}")


def write_picture(rows: list[Month], title: str, path: Path) -> None:
    """As a picture; the end of the name says which kind. Over one that is there. Raises ConfigError."""
    check_picture(path)
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    figure = Figure(figsize=(9.0, 1.4 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows):
        for x, rule in enumerate(row.days):
            if rule is not None:
                colour = _COLOURS.get(rule, "#eeeeee")
                axes.add_patch(Rectangle((x + 0.06, y + 0.06), 0.88, 0.88, facecolor=colour))
                if rule:  # the letter too: colour alone is not for everybody
                    axes.text(x + 0.5, y + 0.52, _SIGNS[rule], ha="center", va="center", size=6, color="white")
    axes.set(xlim=(0, 31), ylim=(len(rows), 0))
    axes.set_title(title, size=8)
    axes.set_xticks([day + 0.5 for day in range(31)], [str(day + 1) for day in range(31)], size=6)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [row.name for row in rows], size=6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    used = [rule for rule in RULES if any(rule in row.days for row in rows)]
    marks = [Patch(facecolor=_COLOURS[rule], label=f"{_SIGNS[rule]} {rule}") for rule in used]
    marks.append(Patch(facecolor="#eeeeee", label="forgotten or none"))
    figure.legend(handles=marks, loc="outside lower center", ncols=6, fontsize=7, frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}") from exc


def simulated(cron: str, text: str, policy: Policy, *, picture: Path | None, json: bool) -> int:
    """Print what a schedule leads to after so long a time from now on, all nights verified. Raises ConfigError."""
    from flows.schedule import for_as_long
    from storage.forecast import simulate

    try:
        span = Span.parse(text)
    except ValueError as exc:
        raise ConfigError(f"--for {exc}") from exc
    if picture is not None:
        check_picture(picture)
    nights = for_as_long(cron, policy, span, now=datetime.now(UTC))
    if not nights:
        raise ConfigError(
            f"--simulate {cron!r} --for {text}: no night falls into that time", hint="simulate longer"
        )
    kept = [verdict for verdict in simulate(policy, nights) if verdict.keep]
    title = f"{cron} for {span}: {len(kept)} of {len(nights)} nights are kept; {rules.told(policy)}"
    first, last = (night.astimezone(policy.zone).date() for night in (nights[0], nights[-1]))
    rows = months(_days(kept, policy), first, last)
    if json:
        told = [{"taken_at": to_text(v.candidate.taken_at), "reasons": list(v.reasons)} for v in kept]
        print_json("simulate", {"cron": cron, "for": str(span), "nights": len(nights), "kept": told})
    else:
        out.print(title, markup=False, soft_wrap=True)
        draw(rows)
    if picture is not None:
        write_picture(rows, title, picture)
    return Exit.DONE


def _days(kept: list[Verdict], policy: Policy) -> dict[date, str]:
    """By which rule each day's snapshot stays; of several of a day, the one that stays longest."""
    days: dict[date, str] = {}
    for verdict in kept:
        found = "all" if policy.keeps_all() else strongest(verdict.reasons)
        on = verdict.candidate.taken_at.astimezone(policy.zone).date()
        days[on] = min(found, days.get(on, found), key=RULES.index)
    return days


def at(made: Plan, when: datetime, nights_of: Callable[[ScopeKey], Nights], *, now: datetime, json: bool) -> int:
    """Print what of these scopes is kept at `when`, if every night until then goes well. Raises ConfigError."""
    from storage import forecast

    if when < now:
        raise ConfigError(
            f"--at {when:%Y-%m-%d %H:%M} UTC: is past; `strongroom snapshots --gone` tells of the past"
        )
    rows = []
    for scope in made.scopes:
        there = [verdict.candidate for verdict in scope.verdicts]
        known = {one.id for one in there}
        for verdict in forecast.at(there, scope.policy, when, nights_of(scope.key)(), now=now):
            rows.append((scope.key, verdict, verdict.candidate.id in known))
    if json:
        told = [
            {
                "id": verdict.candidate.id if here else None,
                "source": key.source,
                "scope": key.scope,
                "taken_at": to_text(verdict.candidate.taken_at),
                "verdict": "keep",
                "reasons": list(verdict.reasons),
            }
            for key, verdict, here in rows
        ]
        print_json("forget", {"at": to_text(when), "snapshots": told, "refused": made.refused})
    else:
        cells = [
            (v.candidate.id[:8] if here else "to come", str(key), day(v.candidate.taken_at), "; ".join(v.reasons))
            for key, v, here in rows
        ]
        # A date that was given is meant with its whole day, so that its end is asked for.
        whole = when == when.replace(hour=0, minute=0, second=0, microsecond=0)
        then = f"at the end of {when - timedelta(days=1):%Y-%m-%d}" if whole else f"on {when:%Y-%m-%d %H:%M}"
        out.print(f"kept {then} UTC, if every night until then goes well: {len(rows)}")
        print_table("", ("id", "scope", "taken", "reasons"), cells)
    return Exit.PARTLY if made.refused else Exit.DONE
