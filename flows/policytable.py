"""`[policy]`, of the whole archive, of a source, or of a scope: how much to keep."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from storage.policy import COUNTS, DAY, Policy, Span, problems

Count = Annotated[int, Field(ge=-1, le=100_000)]


def _span(value: object) -> object:
    if isinstance(value, str):
        return Span.parse(value)
    if isinstance(value, Span):
        return value
    raise ValueError(f"{value!r} is no span; expected text such as '14d' or '1y6m'")


def _tags(value: object) -> object:
    """A list of lists; one of texts is that many sets of one tag."""
    if not isinstance(value, list | tuple):
        raise ValueError("expected lists of tags, such as [['year-end'], ['audit', 'signed']]")
    sets = [[one] if isinstance(one, str) else one for one in value]
    if not all(isinstance(one, list) and one and all(isinstance(tag, str) for tag in one) for one in sets):
        raise ValueError("expected lists of tags, such as [['year-end'], ['audit', 'signed']]")
    return tuple(frozenset(one) for one in sets)


SpanText = Annotated[Span, BeforeValidator(_span)]


class PolicyTable(BaseModel):
    """How many snapshots of a scope to keep; 0 or left out: the rule is off; no rule: keep all; -1: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    timezone: str = "UTC"  # IANA name
    keep_last: Count = 0
    keep_hourly: Count = 0
    keep_daily: Count = 0
    keep_weekly: Count = 0
    keep_monthly: Count = 0
    keep_yearly: Count = 0
    keep_within: SpanText | None = None  # such as "14d", "1y6m"
    keep_within_hourly: SpanText | None = None
    keep_within_daily: SpanText | None = None
    keep_within_weekly: SpanText | None = None
    keep_within_monthly: SpanText | None = None
    keep_within_yearly: SpanText | None = None
    keep_tags: Annotated[tuple[frozenset[str], ...], BeforeValidator(_tags)] = ()
    keep_at_least: SpanText = DAY  # whatever is younger stays
    keep_at_most: SpanText | None = None  # whatever is older goes, unless it is held

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no IANA time zone, such as Europe/Vienna")
        return value

    @model_validator(mode="after")
    def _sound(self) -> PolicyTable:
        policy = self.policy()
        found = problems(policy)
        if policy.keeps_all() and any(name in self.model_fields_set for name in COUNTS):
            found.append("every count is 0, which keeps all; leave them out if that is meant")
        if found:
            raise ValueError("; ".join(found))
        return self

    def policy(self) -> Policy:
        """As retention takes it."""
        return Policy(**{name: getattr(self, name) for name in type(self).model_fields})
