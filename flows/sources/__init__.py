"""The systems that can be backed up, by the name that configuration uses. One line per dialect."""

from __future__ import annotations

from collections.abc import Callable

from flows.sources.base import Dialect, Record, no_record
from flows.sources.gitlab import GITLAB
from flows.sources.mayan import MAYAN
from flows.sources.rspace import RSPACE
from flows.sources.webadmit import WEBADMIT

DIALECTS: dict[str, Dialect] = {dialect.system: dialect for dialect in (RSPACE, MAYAN, WEBADMIT, GITLAB)}


def record_of(system: str) -> Callable[[str], Record | None]:
    """How paths in snapshots of that system tell of its records; an archive may know systems that we do not."""
    return DIALECTS[system].record_of if system in DIALECTS else no_record
