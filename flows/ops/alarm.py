"""An alarm: one thing that is wrong, as a value that a person and a machine can read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

# The kinds that are about a scope, or an every-scope, and only while that is configured.
OF_SCOPES = ("stale", "failed", "died", "missed", "slow", "odd size", "listing", "vanished")


class Level(IntEnum):
    """How bad, as plugins of Nagios count. Source: Monitoring Plugins Development Guidelines, *Return Codes*."""

    WARNING = 1  # somebody should look this week
    CRITICAL = 2  # data may not be backed up, or not be readable


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong. No secret is in any of its texts.

    Nor is a name of a record, but in the reason of a run that kept nothing, as far as the system told one: with
    `[state] record_names = false` there is no reason either.
    """

    kind: str  # one word of `watch.KINDS`: stale, failed, waiting, …
    about: str  # lab/user:7, archive, disk:/srv, …
    level: Level
    sentence: str  # thing, got, promised
    hint: str = ""  # what to try, with the command

    @property
    def id(self) -> str:
        """The same as long as it is the same trouble."""
        return f"{self.kind} {self.about}"

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "kind": self.kind,
            "about": self.about,
            "level": self.level.name.lower(),
            "sentence": self.sentence,
            "hint": self.hint,
        }
