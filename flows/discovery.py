"""What a night is about to do: every configured scope, and those that every-scopes stand for tonight.

Asks each system once a night. That it cannot be asked must not cost a backup: whoever is known is tried then, and
the night says that it was not told who is there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from flows import roster
from flows.clock import Clock
from flows.config import Settings, SourceTable
from flows.credentials import connection
from flows.errors import ConfigError, Exit, verdict
from flows.export import Scope, without_secrets
from flows.night import Found
from flows.orchestration import Ask
from flows.patience import patiently
from flows.sources.base import Roster
from storage.archive import Archive
from storage.catalog import Catalog
from storage.latest import newest_counted
from storage.records import KnownScope
from storage.snapshot import ScopeKey

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NightPlan:
    """What to run, and what is known about it."""

    queues: Mapping[str, Sequence[Ask]]  # by credential: one after another
    fresh: tuple[Ask, ...]  # have a snapshot that counts and is new enough
    found: tuple[Found, ...]
    labels: Mapping[Ask, str]  # who is meant, where the system says so

    @property
    def asks(self) -> list[Ask]:
        """Everything to run."""
        return [ask for queue in self.queues.values() for ask in queue]


@dataclass(frozen=True, slots=True)
class Tonight:
    """The scopes of one source, by name, and how they were found."""

    scopes: tuple[str, ...]
    found: tuple[Found, ...] = ()
    labels: Mapping[str, str] | None = None


def plan_night(
    settings: Settings,
    archive: Archive,
    catalog: Catalog,
    source: str | None,
    *,
    scope: str | None = None,
    own: bool = True,
    since: datetime | None,
    clock: Clock,
    patient: bool,
) -> NightPlan:
    """Every scope of one source or of all; those of which a snapshot counts that is newer than `since` are fresh.

    `scope`: only this one, as it is configured. `own`: False leaves out those that have schedules of their own.
    `patient`: wait while a system is away. Raises ConfigError, StorageError; a system's trouble is in the plan.
    """
    if scope is not None and source is None:
        raise ConfigError(f"scope {scope!r}: of which source?", hint="name the source, too")
    queues: dict[str, list[Ask]] = {}
    fresh: list[Ask] = []
    found: list[Found] = []
    labels: dict[Ask, str] = {}
    for table in settings.sources if source is None else (settings.source(source),):
        credential = f"{table.url} {sorted(str(ref) for ref in table.secret_refs().values())}"
        known = catalog.known_scopes(table.name, now=clock.now())
        wanted = chosen(table, scope, own=own)
        here = tonight(settings, table, known, wanted=wanted, clock=clock, patient=patient)
        found += here.found
        for name in here.scopes:
            ask = Ask(table.name, name)
            labels[ask] = (here.labels or {}).get(name, "")
            if since is not None and _is_fresh(archive, ScopeKey(table.name, name), since, clock.now()):
                fresh.append(ask)
            else:
                queues.setdefault(credential, []).append(ask)
    return NightPlan(queues, tuple(fresh), tuple(found), labels)


def _is_fresh(archive: Archive, key: ScopeKey, since: datetime, now: datetime) -> bool:
    newest = newest_counted(archive, key, now=now)
    return newest is not None and newest.manifest.draft.taken_at >= since


def chosen(table: SourceTable, scope: str | None, *, own: bool) -> frozenset[str]:
    """The names of the configured scopes that are meant. Raises ConfigError: no scope of that name."""
    names = [one.name for one in table.scopes()]
    if scope is None:
        return frozenset(names) - (set() if own else table.own_schedules().keys())
    if scope not in names:
        raise ConfigError(f"source {table.name}: no scope {scope!r}; there are: {', '.join(names) or 'none'}")
    return frozenset({scope})


def tonight(
    settings: Settings,
    table: SourceTable,
    known: Collection[KnownScope],
    *,
    wanted: Collection[str] | None = None,
    clock: Clock,
    patient: bool,
) -> Tonight:
    """The scopes of one source, in the configuration's order, every-scopes replaced by those they stand for.

    `wanted`: the names of those that are meant, of all that are configured; None: all of them.
    """
    configured = table.scopes()
    scopes = [scope for scope in configured if wanted is None or scope.name in wanted]
    every = [scope for scope in scopes if scope.every]
    if not every:
        return Tonight(tuple(scope.name for scope in scopes))
    answers = _ask(settings, table, every, clock=clock, patient=patient)
    alone = {scope.name for scope in configured if not scope.every}
    names: dict[str, None] = {}
    found: list[Found] = []
    labels: dict[str, str] = {}
    for scope in scopes:
        if not scope.every:
            names[scope.name] = None
            continue
        answer = answers[scope.name]
        listed = answer.scopes if isinstance(answer, Roster) else None
        mustered = roster.muster(scope, partial(table.dialect.member, scope), listed, known, alone=alone)
        names |= dict.fromkeys(mustered.run)
        found.append(_found(table.name, scope.name, answer, mustered))
        if isinstance(answer, Roster):
            labels |= answer.labels
    return Tonight(tuple(names), tuple(found), labels)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why nobody could be asked."""

    reason: str
    hint: str
    exit: Exit


def _ask(
    settings: Settings, table: SourceTable, every: Sequence[Scope], *, clock: Clock, patient: bool
) -> dict[str, Roster | _Trouble]:
    """Who each every-scope stands for, or why that cannot be said: no error of any kind leaves here."""
    secrets: tuple[str, ...] = ()
    answers: dict[str, Roster | _Trouble] = {}
    try:
        link = connection(settings, table)
        secrets = tuple(link.secrets.values())
        system = table.dialect.connect(link)
        try:
            patiently(system.login, clock, table.pace()) if patient else system.login()
            for scope in every:
                try:
                    ask = partial(system.roster, scope)
                    answers[scope.name] = patiently(ask, clock, table.pace()) if patient else ask()
                except Exception as error:  # one list may be refused where another is not
                    answers[scope.name] = _trouble(error, secrets)
        finally:
            system.close()
    except Exception as error:  # the outer edge: known members are tried whatever it is
        trouble = _trouble(error, secrets)
        for scope in every:
            answers.setdefault(scope.name, trouble)
    return answers


def _trouble(error: Exception, secrets: tuple[str, ...]) -> _Trouble:
    _, code, hint = verdict(error)
    if code is Exit.UNEXPECTED:
        log.exception("the roster: unexpected", exc_info=error)
    return _Trouble(without_secrets(str(error), secrets), without_secrets(hint, secrets), code)


def _found(source: str, every: str, answer: Roster | _Trouble, mustered: roster.Muster) -> Found:
    if isinstance(answer, _Trouble):
        return Found(
            source, every, None, tried=len(mustered.run), trouble=answer.reason, hint=answer.hint, exit=answer.exit
        )
    return Found(source, every, len(answer.scopes), mustered.first, mustered.new, mustered.vanished, answer.notes)
