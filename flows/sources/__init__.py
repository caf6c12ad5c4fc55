"""The systems that can be backed up, by the name that configuration uses. One line per dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from flows.sources.base import Dialect, Record, no_record

_MODULES = {  # each has its Dialect under its own name in capitals
    "rspace": "flows.sources.rspace",
    "mayan": "flows.sources.mayan",
    "webadmit": "flows.sources.webadmit",
    "gitlab": "flows.sources.gitlab",
}


class _Dialects(Mapping[str, Dialect]):
    """Loaded when asked for: a run talks to one system, and the code of all takes longer to load than to run."""

    def __getitem__(self, system: str) -> Dialect:
        found: Dialect = getattr(import_module(_MODULES[system]), system.upper())
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __contains__(self, system: object) -> bool:
        return system in _MODULES


DIALECTS: Mapping[str, Dialect] = _Dialects()


def record_of(system: str) -> Callable[[str], Record | None]:
    """How paths in snapshots of that system tell of its records; an archive may know systems that we do not."""
    return DIALECTS[system].record_of if system in DIALECTS else no_record
