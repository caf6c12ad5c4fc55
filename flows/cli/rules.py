"""Retention rules as options of the command line: instead of those that the configuration has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from flows.errors import ConfigError
from storage.policy import COUNTS, SPANS, Policy, Span, problems

_PANEL = "Other rules than the configured ones, in restic's words"


def _count(kind: str) -> typer.models.OptionInfo:
    words = f"Keep the newest N{'' if kind == 'last' else f', one for each of so many {kind}'}; -1: all."
    found: typer.models.OptionInfo = typer.Option(
        f"--keep-{kind}", min=-1, metavar="N", help=words, rich_help_panel=_PANEL
    )
    return found


def _span(kind: str) -> typer.models.OptionInfo:
    what = f"one for each of the {kind}" if kind else "all"
    found: typer.models.OptionInfo = typer.Option(
        f"--keep-within{f'-{kind}' if kind else ''}",
        metavar="SPAN",
        help=f"Keep {what} within a span such as 14d or 1y6m, seen from the newest.",
        rich_help_panel=_PANEL,
    )
    return found


Last = Annotated[int | None, _count("last")]
Hourly = Annotated[int | None, _count("hourly")]
Daily = Annotated[int | None, _count("daily")]
Weekly = Annotated[int | None, _count("weekly")]
Monthly = Annotated[int | None, _count("monthly")]
Yearly = Annotated[int | None, _count("yearly")]
Within = Annotated[str | None, _span("")]
WithinHourly = Annotated[str | None, _span("hourly")]
WithinDaily = Annotated[str | None, _span("daily")]
WithinWeekly = Annotated[str | None, _span("weekly")]
WithinMonthly = Annotated[str | None, _span("monthly")]
WithinYearly = Annotated[str | None, _span("yearly")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--keep-tag", metavar="TAG,…", help="Keep what has all of these tags; may be given again.",
                 rich_help_panel=_PANEL),
]  # fmt: skip
Zone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Cut days, weeks, months and years there.",
                 rich_help_panel=_PANEL),
]  # fmt: skip

Given = Mapping[str, "int | str | list[str] | None"]  # by the names that a policy has for them


def is_given(given: Given) -> bool:
    """Whether any rule was given."""
    return any(value for name, value in given.items() if name != "timezone") or any(
        given[name] == 0 for name in COUNTS
    )


def replaced(policy: Policy, given: Given) -> Policy:
    """The policy with the rules that were given, all of them, instead of its own. Raises ConfigError."""
    zone = given["timezone"]
    if zone:
        policy = replace(policy, timezone=str(zone))
    if is_given(given):
        rules: dict[str, int | Span | tuple[frozenset[str], ...] | None] = {}
        for name in COUNTS:
            value = given[name]
            rules[name] = value if isinstance(value, int) else 0
        for name in SPANS:
            rules[name] = _parsed(name, given[name])
        sets = given["keep_tags"]
        rules["keep_tags"] = tuple(map(_tags, sets)) if isinstance(sets, list) else ()
        policy = policy.with_rules(**rules)
    if is_given(given) or zone:
        found = problems(policy)
        if found:
            raise ConfigError("; ".join(found))
    return policy


def _parsed(name: str, text: object) -> Span | None:
    if text is None:
        return None
    try:
        return Span.parse(str(text))
    except ValueError as exc:
        raise ConfigError(f"--{name.replace('_', '-')} {exc}") from exc


def _tags(text: str) -> frozenset[str]:
    tags = frozenset(tag.strip() for tag in text.split(",") if tag.strip())
    if not tags:
        raise ConfigError(f"--keep-tag {text!r}: names no tag")
    return tags


def told(policy: Policy) -> str:
    """A policy in one line."""
    if policy.keeps_all() and policy.keep_at_most is None:
        return policy.unset
    rules = [rule.name if rule.span else f"{rule.kind} {_many(rule.limit)}" for rule in policy.rules()]
    rules += [f"tags {'+'.join(sorted(tags))}" for tags in policy.keep_tags]
    said = ", ".join(rules) if rules else "everything"
    most = f"; nothing older than {policy.keep_at_most}" if policy.keep_at_most else ""
    return f"keep {said} ({ZoneInfo(policy.timezone).key}){most}"


def _many(limit: int) -> str:
    return "without limit" if limit < 0 else str(limit)
