"""The pictures of the page, as SVG that takes the page's colours and fonts, light or dark.

matplotlib draws with colours that stand for a role; here they become variables of the page's style sheet. Styles
become attributes, because the page allows no style but its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # only what matplotlib just drew is read

from markupsafe import Markup

from flows.ops.report.series import FreeRoom, Kept, Worked
from flows.ops.words import MONTHS, unit_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT, GRID, FIRST, SECOND, BAD = (f"#0101{n:02}" for n in range(1, 6))
_ROLES = {TEXT: "muted", GRID: "line", FIRST: "first", SECOND: "second", BAD: "bad"}
_WIDTH, _HEIGHT, _DPI = 5.6, 2.3, 72
_FONT = 10.5
_KEPT = {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "fill-opacity", "stroke-opacity",
         "opacity", "font-size", "text-anchor"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture says to who does not see it."""

    name: str  # of the picture, for ids
    title: str
    told: str


def kept(words: Words, days: Sequence[Kept]) -> Markup:
    """The size of the newest snapshots, and the bytes that are stored for all."""
    divisor, unit = unit_for(max(max(one.whole, one.stored) for one in days))
    x = [one.day.toordinal() for one in days]

    def draw(axes: Axes) -> None:
        axes.step(x, [one.whole / divisor for one in days], where="post", color=FIRST, linewidth=1.8)
        stored = [one.stored / divisor for one in days]
        axes.fill_between(x, stored, step="post", color=SECOND, alpha=0.16, linewidth=0)
        axes.step(x, stored, where="post", color=SECOND, linewidth=1.8)
        axes.set_ylim(bottom=0)

    return _picture(words, draw, days[0].day, days[-1].day, unit)


def room(words: Words, there: FreeRoom, today: date) -> Markup:
    """Free room until today, and the straight line from there on."""
    ahead = 365 if there.full_on is None else min((there.full_on - today).days, 365)
    last = today if there.a_day is None else today + timedelta(days=max(ahead, 14))
    points = [(day, free) for day, free in there.past if day <= today] or [(today, there.free)]
    divisor, unit = unit_for(max(free for _, free in points))

    def draw(axes: Axes) -> None:
        x = [day.toordinal() for day, _ in points]
        y = [free / divisor for _, free in points]
        axes.fill_between(x, y, color=SECOND, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=SECOND, linewidth=1.8)
        if there.a_day is not None:
            left = max(there.free - there.a_day * (last - today).days, 0)
            axes.plot(
                [today.toordinal(), last.toordinal()],
                [there.free / divisor, left / divisor],
                color=BAD if there.full_on and (there.full_on - today).days <= 365 else SECOND,
                linewidth=1.6,
                linestyle=(0, (3, 2)),
            )
        axes.axvline(today.toordinal(), color=GRID, linewidth=1)
        axes.set_ylim(bottom=0)

    return _picture(words, draw, points[0][0], last, unit)


def durations(words: Words, days: Sequence[Worked]) -> Markup:
    """The longest run of each day, and the median."""
    most = max(one.longest for one in days)
    unit, name = next(
        (timedelta(**{one: 1}), one) for one in ("hours", "minutes", "seconds")
        if most >= 2 * timedelta(**{one: 1}) or one == "seconds"
    )  # fmt: skip
    busy = [one for one in days if one.runs]
    x = [one.day.toordinal() for one in busy]

    def draw(axes: Axes) -> None:
        axes.vlines(x, 0, [one.longest / unit for one in busy], color=SECOND, linewidth=_bar(days), alpha=0.45)
        axes.plot(x, [one.median / unit for one in busy], color=FIRST, linewidth=1.8)
        axes.set_ylim(bottom=0)

    return _picture(words, draw, days[0].day, days[-1].day, {"hours": "h", "minutes": "min", "seconds": "s"}[name])


def fetched(words: Words, days: Sequence[Worked]) -> Markup:
    """The bytes that came in each day."""
    divisor, unit = unit_for(max(one.fetched for one in days))
    busy = [one for one in days if one.fetched]

    def draw(axes: Axes) -> None:
        x = [one.day.toordinal() for one in busy]
        axes.vlines(x, 0, [one.fetched / divisor for one in busy], color=FIRST, linewidth=_bar(days))
        axes.set_ylim(bottom=0)

    return _picture(words, draw, days[0].day, days[-1].day, unit)


def _bar(days: Sequence[object]) -> float:
    """The width of a day's bar, in points, with a gap beside it."""
    return max(0.7 * (_WIDTH - 0.7) * _DPI / len(days), 0.4)


def ticks(first: date, last: date) -> list[tuple[date, str]]:
    """At most six days to name on an axis: Mondays of a short time, firsts of months or years of a longer one."""
    days = [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
    if len(days) <= 45:
        named = [(day, f"{day.day} {MONTHS[day.month - 1]}") for day in days if day.weekday() == 0]
    elif len(days) <= 1100:
        named = [(day, MONTHS[day.month - 1]) for day in days if day.day == 1]
    else:
        named = [(day, str(day.year)) for day in days if (day.month, day.day) == (1, 1)]
    step = -(-len(named) // 6) or 1
    shown = named[::-1][::step][::-1]
    if len(days) <= 45 or len(days) > 1100:
        return shown
    new_year = [at == 0 or day.year != shown[at - 1][0].year for at, (day, _) in enumerate(shown)]
    return [(day, f"{name} {day.year}" if new else name) for (day, name), new in zip(shown, new_year, strict=True)]


def _picture(words: Words, draw: Callable[[Axes], None], first: date, last: date, unit: str) -> Markup:
    from matplotlib import rc_context  # noqa: PLC0415 - half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": words.name, "font.size": _FONT}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        named = ticks(first, last)
        axes.set_xticks([day.toordinal() for day, _ in named], [name for _, name in named])
        axes.set_xlim(first.toordinal() - 0.6, last.toordinal() + 0.6)
        axes.locator_params(axis="y", nbins=4)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.4g} {unit}" if value else "0")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=TEXT, pad=5)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return _inline(drawn.getvalue(), words)


def _inline(svg: str, words: Words) -> Markup:
    """A picture as an element of the page."""
    root = ET.fromstring(svg)  # noqa: S314 - it is ours
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style") or (_local(child.tag) == "defs" and not len(child)):
                parent.remove(child)
    text = "".join(f"{value} " for one in root.iter() for value in one.attrib.values())
    wanted = set(re.findall(r"#([\w-]+)\)?", text))
    for one in root.iter():
        one.tag = _local(one.tag)
        one.text = one.text if one.tag == "text" else None
        one.tail = None
        one.attrib = dict(_attributes(one.attrib, words.name, wanted))
    for unit in ("width", "height"):
        root.attrib.pop(unit, None)
    root.attrib |= {"role": "img", "class": "chart", "aria-labelledby": f"{words.name}-t {words.name}-d"}
    for at, (tag, told, end) in enumerate((("title", words.title, "t"), ("desc", words.told, "d"))):
        element = ET.Element(tag, {"id": f"{words.name}-{end}"})
        element.text = told
        root.insert(at, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escapes


def _attributes(given: dict[str, str], name: str, wanted: set[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in given.items():
        local = _local(key)
        if local == "style":
            rules = (rule.partition(":") for rule in value.split(";"))
            found += [(k.strip(), _colour(v.strip())) for k, _, v in rules if k.strip() in _KEPT]
        elif local == "id":
            found += [("id", f"{name}-{value}")] if value in wanted else []
        elif local == "href":
            found.append(("href", value.replace("#", f"#{name}-", 1)))
        elif local == "d":
            found.append(("d", " ".join(_short(value).split())))
        elif local == "transform" and value.startswith("rotate(-0"):
            continue
        elif local not in ("version", "type"):
            found.append((local, _short(value.replace("url(#", f"url(#{name}-"))))
    return found


def _colour(value: str) -> str:
    role = _ROLES.get(value)
    return f"var(--{role})" if role else value


def _short(value: str) -> str:
    """Numbers with one decimal: a tenth of a pixel."""
    return re.sub(r"(?<![\w-])-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
