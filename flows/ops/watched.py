"""What a flow does around its work: dead-man switches are pinged at begin and end, and it ends with a look.

Nothing of it changes what the flow returns or raises. A process that is killed sends nothing: that is what a
dead-man switch notices.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from flows import config as configuration
from flows.clock import SystemClock
from flows.config import Settings
from flows.errors import ConfigError
from flows.night import NightFailed
from flows.ops.send import Sign, ping
from flows.ops.tables import PingTable

log = logging.getLogger(__name__)


class Ending(Protocol):
    """What a flow returns: a state of Prefect's."""

    data: Any

    def is_completed(self) -> bool:
        """Whether it ended well."""


P = ParamSpec("P")
E = TypeVar("E", bound=Ending)


def _never() -> bool:
    return False


def watched(
    of: str, *, looks: bool = True, part: Callable[[], bool] = _never
) -> Callable[[Callable[P, E]], Callable[P, E]]:
    """Wrap a flow's function, below `@flow`. `of`: whose pings. `looks`: False where the work is itself a look.

    `part`: whether this run is part of another, which pings and looks itself. A rehearsal (`at`) does neither, and
    the night of a single `scope` pings nothing: it must not stand for the night of all.
    """

    def around(work: Callable[P, E]) -> Callable[P, E]:
        signature = inspect.signature(work, eval_str=True)

        @wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> E:
            given = signature.bind(*args, **kwargs).arguments
            settings = None if given.get("at") is not None or part() else _settings(given)
            if settings is None:
                return work(*args, **kwargs)
            _ping(settings, of, given, lambda _: Sign.BEGUN)
            try:
                ended = work(*args, **kwargs)
            except Exception:
                _after(settings, of, given, None, looks)
                raise
            _after(settings, of, given, ended, looks)
            return ended

        # Prefect looks up what annotations name in the module of the function that it is given, which is this one.
        vars(run)["__signature__"] = signature
        return run

    return around


def _after(settings: Settings, of: str, given: Mapping[str, Any], ended: Ending | None, looks: bool) -> None:
    _ping(settings, of, given, lambda table: Sign.WELL if _well(ended, table) else Sign.FAILED)
    if looks:
        from flows.ops.look import look  # noqa: PLC0415 - late: most runs are a part of a night

        look(settings, now=SystemClock().now())


def _ping(settings: Settings, of: str, given: Mapping[str, Any], sign: Callable[[PingTable], Sign]) -> None:
    if given.get("scope") is None:
        ping(settings, of, given.get("source"), sign, sleep=SystemClock().sleep)


def _well(ended: Ending | None, table: PingTable) -> bool:
    """Whether it ended well, for a switch of one source: what is that source's of the night."""
    if ended is None or ended.is_completed() or table.source is None or not isinstance(ended.data, NightFailed):
        return ended is not None and ended.is_completed()
    return all(line.source != table.source for line in ended.data.night.bad)


def _settings(given: Mapping[str, Any]) -> Settings | None:
    """None where there is no sound configuration: the flow says so itself, and nobody is known to be told."""
    try:
        return configuration.load(configuration.find(given.get("config")))
    except ConfigError:
        return None
