"""Retention at work: what the policies say of an archive's snapshots, carried out, with the catalog following.

The same for a night's end, for the weekly upkeep, and for the command line.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from flows.config import Settings
from flows.errors import ConfigError
from storage import erase, prune
from storage.archive import Archive, Damaged
from storage.catalog import Catalog
from storage.errors import BackendFailed, Busy, StorageError
from storage.planning import Nights, Plan, ScopePlan, plan
from storage.policy import Policy
from storage.prune import Freed
from storage.records import PRUNE
from storage.snapshot import ScopeKey, Snapshot
from storage.tombstone import Tombstone

ARCHIVE = "archive"  # what a notice is of that is no scope's
LOOK = "`strongroom forget` shows the plan, and the number to confirm where it is meant"
SURE = "back up; or, where the clock is right: `strongroom prune --apply --confirm 0`"
NONE: Mapping[ScopeKey, StorageError] = MappingProxyType({})
log = logging.getLogger(__name__)

PolicyOf = Callable[[ScopeKey], Policy]


@dataclass(frozen=True, slots=True)
class Carried:
    """What was done of a plan."""

    forgotten: tuple[Tombstone, ...] = ()
    erased: tuple[Tombstone, ...] = ()
    bytes_freed: int = 0  # by erasing; what is forgotten is freed later


def policies(settings: Settings | None) -> PolicyOf:
    """The policy of each scope; without a configuration everything is kept."""
    if settings is None:
        return lambda _: Policy()
    return lambda key: settings.policy(key.source, key.scope)


def named(archive: Archive, names: Iterable[str]) -> list[ScopeKey]:
    """The scopes of these names, such as lab/user, each once. Raises ConfigError for one that was never kept."""
    known = {str(key): key for key in archive.scopes()}
    names = list(dict.fromkeys(names))
    if wrong := [name for name in names if name not in known]:
        raise ConfigError(f"{', '.join(wrong)}: {never_kept(known)}", hint="a scope is named as SOURCE/SCOPE")
    return [known[name] for name in names]


def never_kept(known: Iterable[str]) -> str:
    """What is said of the name of no scope."""
    listed = list(known)
    there = ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")
    return f"no snapshot of it was ever kept; there are: {there or 'none'}"


def not_configured(settings: Settings | None, keys: Iterable[ScopeKey]) -> list[str]:
    """The sources of these scopes that the configuration does not have; none where there is no configuration."""
    if settings is None:
        return []
    known = {table.name for table in settings.sources}
    return [source for source in dict.fromkeys(key.source for key in keys) if source not in known]


def lets_go(policy: Policy) -> bool:
    """Whether a policy ever lets a snapshot go."""
    return not policy.keeps_all() or policy.keep_at_most is not None


def plan_for(
    archive: Archive,
    keys: Iterable[ScopeKey],
    policy_of: PolicyOf,
    *,
    now: datetime,
    nights_of: Callable[[ScopeKey], Nights | None] = lambda _: None,
) -> Plan:
    """What would go of those scopes that the archive knows."""
    known = set(archive.scopes())
    return plan(archive, [key for key in keys if key in known], policy_of, nights_of, now=now)


def carry_out(archive: Archive, catalog: Catalog | None, made: Plan, *, clock: Callable[[], datetime]) -> Carried:
    """Forget and erase what the plan says; whoever calls has asked the fuse. Retry: yes, with a plan made anew.

    Scopes that are refused are passed over. Raises StorageError, with what was done before it done; what goes
    wrong with one scope alone is raised when the others are done. The watch is told of it.
    """
    forgotten: list[Tombstone] = []
    erased: list[Tombstone] = []
    freed = 0
    tried: list[ScopePlan] = []
    failed: dict[ScopeKey, StorageError] = {}
    try:
        for scope in made.scopes:
            try:
                if scope.forgets:
                    forgotten += prune.forget(archive, scope, now=clock(), clock=clock)
                for reason, expired in _must_go(scope).items():
                    going = erase.plan_erase(archive, snapshots=expired, now=clock())
                    done = erase.erase(archive, going, reason=reason, by=who(), clock=clock)
                    erased += done.tombstones
                    freed += done.bytes_freed
            except Busy:  # who has it is at this work, too
                raise
            except StorageError as exc:
                log.warning("%s: not all was done: %s", scope.key, exc)
                failed[scope.key] = exc
            tried.append(scope)
            if isinstance(failed.get(scope.key), BackendFailed):  # the next scope would meet the same
                break
    finally:
        for tomb in (*forgotten, *erased):
            log.info("%s number %d, %s: %s: %s", tomb.key, tomb.number, tomb.id[:8], tomb.why, tomb.reason)
        if catalog is not None:
            follow(archive, catalog, erased=bool(erased))
            # Of those that were tried: what stood in the way of others is not gone.
            note(catalog, Plan(tuple(tried)), now=clock(), failed=failed)
    for error in failed.values():
        raise error
    return Carried(tuple(forgotten), tuple(erased), freed)


def note(
    catalog: Catalog, made: Plan, *, now: datetime, fuse: str = "", failed: Mapping[ScopeKey, StorageError] = NONE
) -> None:
    """Tell the watch what stands in the way of a plan, until a later one of the same scopes goes through."""
    try:
        catalog.notices.say(PRUNE, in_the_way(made, fuse, failed), now=now)
    except StorageError as exc:  # the plan's end says it, too
        log.warning("the watch is not told: %s", exc)


def freed_by(free: Callable[[], Freed], catalog: Catalog | None, *, clock: Callable[[], datetime]) -> Freed:
    """What `free` does; the watch is told what stands in its way, as by `note`. Raises what it raises."""
    try:
        freed = free()
    except Busy:  # who has it is at this work, too
        raise
    except StorageError as exc:
        _note_space(catalog, _why(exc), exc.hint or LOOK, clock())
        raise
    _note_space(catalog, freed.waits, SURE, clock())
    return freed


def _note_space(catalog: Catalog | None, why_not: str, hint: str, now: datetime) -> None:
    wrong = {ARCHIVE: (f"space is not freed: {why_not}", hint)} if why_not else {}
    try:
        if catalog is not None:
            catalog.notices.say(PRUNE, {ARCHIVE: wrong}, now=now)
    except StorageError as exc:
        log.warning("the watch is not told: %s", exc)


def in_the_way(
    made: Plan, fuse: str, failed: Mapping[ScopeKey, StorageError] = NONE
) -> dict[str, dict[str, tuple[str, str]]]:
    """What stands in the way, of each scope of the plan; nothing where all goes through.

    A fuse is a source's, and so is a place that refuses: thirty scopes of it are one trouble.
    """
    said: dict[str, dict[str, tuple[str, str]]] = {}
    for scope in made.scopes:
        of, wrong = str(scope.key), said.setdefault(str(scope.key), {})
        if fuse and (scope.forgets or scope.erases):
            wrong[scope.key.source] = f"retention let nothing go: {fuse}", LOOK
        if (error := failed.get(scope.key)) is not None:
            about = scope.key.source if isinstance(error, BackendFailed) else of
            wrong[about] = f"retention did not go through: {_why(error)}", error.hint or LOOK
        if scope.refused:
            wrong[of] = f"retention let nothing go: {scope.refused}", scope.hint or LOOK
        elif scope.waits and of not in wrong:
            wrong[of] = scope.waits, LOOK
    return said


def _why(error: StorageError) -> str:
    """What is told to people far away: what is damaged may be called by the name of a record."""
    return str(error) if isinstance(error, BackendFailed) else f"{type(error).__name__}; the log says of what"


def _must_go(scope: ScopePlan) -> dict[str, list[Snapshot]]:
    """What must go, by the reason."""
    going: dict[str, list[Snapshot]] = {}
    for verdict in scope.erases:
        going.setdefault("; ".join(verdict.reasons), []).append(scope.snapshots[verdict.candidate.id])
    return going


def follow(archive: Archive, catalog: Catalog, *, erased: bool = False) -> None:
    """Enter in the catalog what was done to the archive, and what one that was killed had not entered. Retry: yes.

    A catalog that cannot be written is told: the archive is the truth, and `catalog rebuild` makes a new one.
    """
    damaged: list[Damaged] = []
    try:
        catalog.reindex(archive, damaged=damaged)
        if erased:
            catalog.settle()
    except StorageError as exc:
        log.warning("the archive was changed, and the catalog does not know yet: %s; `strongroom doctor`", exc)
    for bad in damaged:
        log.warning("%s: %s; `strongroom scrub --all` says whom it hits", bad.name, bad.problem)


def who() -> str:
    """Who decides: the user of this process, at this host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
