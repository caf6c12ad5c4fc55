"""strongroom.toml into frozen settings: every default, unit and range in one place.

Secrets are named here, never held: `credentials.py` resolves them when a connection is made.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator

from flows.configtables import ArchiveTable, ScheduleTable, SecretRef, StateTable, Table, UpkeepTable
from flows.configwords import problem
from flows.errors import ConfigError
from flows.export import Pace, Scope
from flows.ops.tables import Hours, MetricsTable, NotifyTable, PingTable, ReportTable, WatchTable
from flows.policytable import PolicyTable
from flows.roster import member_called
from flows.sources import DIALECTS
from flows.sources.base import Dialect
from storage.policy import Policy
from storage.turns import Within

FILE_NAME = "strongroom.toml"
ENVIRONMENT = "STRONGROOM_CONFIG"  # names the file where no option does

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # of a source: it is part of paths, on every file system
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]


# Keys of a scope that no dialect knows.
OURS: dict[str, type[BaseModel]] = {"policy": PolicyTable, "schedule": ScheduleTable}


class SourceTable(Table):
    """`[[source]]`"""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    system: str
    url: Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$")]
    api_key: SecretRef | None = None
    token: SecretRef | None = None
    username: SecretRef | str | None = None
    password: SecretRef | None = None
    session: SecretRef | None = None  # a cookie's value, for servers whose login only a browser can do
    login: Literal["", "basic"] = ""  # "basic": send user name and password each time; Mayan EDMS
    requests_per_s: Annotated[float, Field(ge=0, le=1000)] | None = None  # 0: no limit; Mayan EDMS, WebAdMIT
    # Where links may lead that a system gives to its files, and everything below; GitLab, WebAdMIT.
    link_hosts: tuple[str, ...] | None = None
    schedule: ScheduleTable | None = None  # a scope may have its own
    verified_within_h: Hours | None = None  # instead of the one in [watch]
    policy: PolicyTable | None = None  # instead of the default one, whole
    ca_file: str | None = None  # PEM, for a server whose certificate your own authority signed
    proxy: Annotated[str, Field(pattern=r"^https?://[^\s/@]+/?$")] | None = None  # http://host:port, no password
    connect_timeout_s: Seconds = 10
    read_timeout_s: Seconds = 60
    start_timeout_s: Seconds = 900  # RSpace plans the whole export before it answers
    poll_first_s: Seconds | None = None  # None: the dialect's pace
    poll_longest_s: Seconds | None = None
    ceiling_s: Seconds = 12 * 3600  # an export that runs longer ends the run
    patience_s: Seconds = 1800  # so long without a good answer ends the run
    lease_wait_s: Seconds = 4 * 3600  # how long to wait for another run with the same credential
    busy_wait_s: Seconds = 1800  # how long to wait while the system runs an export for this credential already
    fresh_for_s: Seconds = 20 * 3600  # a finished export older than this is not tonight's
    # A scope that the system says is unchanged is skipped, but at least every so many days it is exported all the
    # same; 0: never skip.
    skip_unchanged_days: Annotated[int, Field(ge=0, le=90)] = 0
    download_tries: Annotated[int, Field(ge=1, le=20)] = 4
    scope: tuple[Mapping[str, Any], ...] = ()

    @field_validator("url", "proxy")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        port = urlsplit(value or "").port  # raises ValueError for a host or port that is none
        if port == 0:
            raise ValueError("port 0 is none")
        return value

    @field_validator("link_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for host in value or ():
            if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host):
                raise ValueError(f"{host!r} is no name of hosts, such as amazonaws.com")
        return value

    @field_validator("scope", "link_hosts", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @property
    def dialect(self) -> Dialect:
        """The dialect of its system."""
        return DIALECTS[self.system]

    def scopes(self) -> list[Scope]:
        """The configured scopes, every-scopes as they stand."""
        return [self.dialect.scope(_plain(table)) for table in self.scope]

    def policy_of(self, name: str) -> PolicyTable | None:
        """The policy of the scope of that name, or of the every-scope that covers it; else the source's."""
        found = self._table_of(name).get("policy")
        return self.policy if found is None else PolicyTable.model_validate(found)

    def schedule_of(self, name: str) -> ScheduleTable | None:
        """When that scope's nights are: its own schedule, that of the every-scope that covers it, the source's."""
        found = self._table_of(name).get("schedule")
        return self.schedule if found is None else ScheduleTable.model_validate(found)

    def own_schedules(self) -> dict[str, ScheduleTable]:
        """The scopes that have a schedule of their own, by name: the source's leaves them out."""
        pairs = zip(self.scope, self.scopes(), strict=True)
        return {
            scope.name: ScheduleTable.model_validate(table["schedule"])
            for table, scope in pairs
            if "schedule" in table
        }

    def _table_of(self, name: str) -> Mapping[str, Any]:
        """The table of the scope of that name, else of the every-scope that covers it; else an empty one."""
        pairs = list(zip(self.scope, self.scopes(), strict=True))
        own = (table for table, scope in pairs if scope.name == name)
        every = (
            table
            for table, scope in pairs
            if scope.every and member_called(partial(self.dialect.member, scope), name) is not None
        )
        return next(chain(own, every), {})

    def called(self, name: str) -> Scope | None:
        """The configured scope of that name, else the member of an every-scope that would have it, else None."""
        scopes = self.scopes()
        members = (member_called(partial(self.dialect.member, scope), name) for scope in scopes if scope.every)
        named = (scope for scope in scopes if scope.name == name)
        return next((scope for scope in chain(named, members) if scope is not None), None)

    def secret_refs(self) -> dict[str, SecretRef | str]:
        """The secrets that are named, by their key."""
        named = {key: getattr(self, key) for key in ("api_key", "token", "username", "password", "session")}
        return {key: ref for key, ref in named.items() if ref is not None}

    def pace(self) -> Pace:
        """The dialect's pace, with what is configured instead."""
        usual = self.dialect.pace
        return Pace(
            first_s=self.poll_first_s or usual.first_s,
            longest_s=self.poll_longest_s or usual.longest_s,
            growth=usual.growth,
            ceiling_s=self.ceiling_s,
            patience_s=self.patience_s,
        )

    @property
    def fresh_for(self) -> timedelta:
        """As the rules take it."""
        return timedelta(seconds=self.fresh_for_s)


class File(Table):
    """The whole file."""

    archive: ArchiveTable = ArchiveTable()
    state: StateTable = StateTable()
    policy: PolicyTable = PolicyTable()
    upkeep: UpkeepTable = UpkeepTable()
    watch: WatchTable = WatchTable()
    notify: NotifyTable = NotifyTable()
    ping: tuple[PingTable, ...] = ()
    metrics: MetricsTable = MetricsTable()
    report: ReportTable = ReportTable()
    source: tuple[SourceTable, ...] = ()

    @field_validator("source", "ping", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Settings:
    """A configuration that was read and found sound. Paths are absolute; nothing was opened yet."""

    def __init__(self, path: Path, file: File) -> None:
        self.path = path
        self.file = file
        self.folder = path.parent
        self.state = (path.parent / Path(file.state.folder).expanduser()).absolute()

    def beside(self, file: str | Path) -> Path:
        """Where a file lies that the configuration names: a relative one from its own folder."""
        return (self.folder / Path(file).expanduser()).absolute()

    @property
    def catalog_path(self) -> Path:
        """The catalog."""
        return self.state / "catalog.db"

    @property
    def spool(self) -> Path:
        """Where downloads wait until they are proven."""
        return self.state / "spool"

    @property
    def scratch(self) -> Path:
        """Where drills restore to."""
        return self.state / "drill"

    @property
    def report(self) -> Path:
        """Where a night leaves the page: `[report] file`, beside the configuration; else in the state folder."""
        named = self.file.report.file
        return self.state / "report.html" if named is None else self.beside(named)

    @property
    def nightly_scrub(self) -> Within:
        """How much a scrub reads where nothing else is said."""
        return Within(self.file.upkeep.scrub_within_days)

    @property
    def sources(self) -> tuple[SourceTable, ...]:
        """All sources."""
        return self.file.source

    def source(self, name: str) -> SourceTable:
        """One source. Raises ConfigError."""
        for source in self.sources:
            if source.name == name:
                return source
        names = ", ".join(source.name for source in self.sources) or "none"
        raise ConfigError(f"{self.path}: no source {name!r}; there are: {names}")

    def scope(self, source: SourceTable, text: str) -> Scope:
        """The scope to run: a configured one by its name, a member of an every-scope, or what `text` describes.

        Raises ConfigError, also for an every-scope, which stands for several.
        """
        names = ", ".join(scope.name for scope in source.scopes()) or "none"
        found = source.called(text)
        if found is None:
            try:
                parsed = source.dialect.parse_scope(text)
            except ValueError as exc:
                raise ConfigError(str(exc), hint=f"scopes configured for {source.name}: {names}") from exc
            found = source.called(parsed.name) or parsed  # the same number may be written in several ways
        if found.every:
            raise ConfigError(
                f"scope {text!r}: stands for every {found.kind}, and is not run by itself",
                hint=f"`strongroom run {source.name}` runs all scopes of {source.name}; or name one {found.kind}",
            )
        return found

    def policy(self, source: str, scope: str) -> Policy:
        """The retention policy of a scope: its own, else its source's, else the default one. Each stands whole.

        A source that is not configured, because it was taken out or imported, keeps everything: nobody said
        how much of it may go.
        """
        for table in self.sources:
            if table.name == source:
                return (table.policy_of(scope) or self.file.policy).policy()
        said = f"source {source} is not in {self.path.name}: everything of it is kept"
        return Policy(timezone=self.file.policy.timezone, unset=said)


def find(given: str | Path | None = None) -> Path:
    """The configuration's path: the one given, else $STRONGROOM_CONFIG, else strongroom.toml here."""
    return Path(given or os.environ.get(ENVIRONMENT) or FILE_NAME).absolute()


def load(path: Path) -> Settings:
    """Read and check the file. Raises ConfigError that names file, key, and what was expected."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{path}: not found", hint="`strongroom init` writes one; or name it with --config"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    try:
        file = File.model_validate(data)
    except ValidationError as exc:
        problems = [problem(error) for error in exc.errors()]
        raise ConfigError("\n".join(f"{path}: {line}" for line in problems)) from exc
    _check_sources(path, file)
    _check_pings(path, file)
    return Settings(path.absolute(), file)


def _check_pings(path: Path, file: File) -> None:
    names = [source.name for source in file.source]
    for number, ping in enumerate(file.ping, start=1):
        if ping.source is not None and (ping.of != "nightly" or ping.source not in names):
            there = ", ".join(names) or "none"
            hint = f"only pings of nightly have one; there are: {there}"
            raise ConfigError(f"{path}: ping {number}: source = {ping.source!r} of {ping.of}", hint=hint)
        scheduled = [source.name for source in file.source if source.schedule is not None]
        if ping.of == "nightly" and ping.source is None and len(scheduled) > 1:
            hint = f"one [[ping]] with a URL of its own for each source: {', '.join(scheduled)}"
            raise ConfigError(f"{path}: ping {number}: one source's night would answer for another's", hint=hint)


def _check_sources(path: Path, file: File) -> None:
    seen: set[str] = set()
    for source in file.source:
        where = f"{path}: source {source.name!r}"
        if source.name in seen:
            raise ConfigError(f"{where}: there are two of this name")
        seen.add(source.name)
        if source.system not in DIALECTS:
            raise ConfigError(f"{where}: system = {source.system!r}: this version knows {', '.join(DIALECTS)}")
        named = frozenset(source.secret_refs())
        if named not in source.dialect.secrets:
            wanted = " or ".join(" + ".join(sorted(choice)) for choice in source.dialect.secrets)
            hint = f'for example {sorted(source.dialect.secrets[0])[0]} = {{ env = "NAME" }}'
            raise ConfigError(f"{where}: needs {wanted}, has {', '.join(sorted(named)) or 'none'}", hint=hint)
        names: set[str] = set()
        for number, table in enumerate(source.scope, start=1):
            _check_ours(f"{where}: scope {number}", table)
            try:
                scope = source.dialect.scope(_plain(table))
            except ValueError as exc:
                raise ConfigError(f"{where}: scope {number}: {exc}") from exc
            if scope.name in names:
                hint = "give one of them another name = …"
                if scope.every:
                    hint += ", which then stands before the names of its members"
                raise ConfigError(f"{where}: two scopes are called {scope.name!r}", hint=hint)
            names.add(scope.name)
        _check_members(where, source)


def _plain(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scope's table as its dialect knows it."""
    return {key: value for key, value in table.items() if key not in OURS}


def _check_ours(where: str, table: Mapping[str, Any]) -> None:
    for key, model in OURS.items():
        if key not in table:
            continue
        try:
            model.model_validate(table[key])
        except ValidationError as exc:
            lines = [problem({**error, "loc": (key, *error["loc"])}) for error in exc.errors()]
            raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from exc


def _check_members(where: str, source: SourceTable) -> None:
    """No scope may take the name, and so the snapshots, of somebody whom an every-scope stands for."""
    scopes = source.scopes()
    for every in (scope for scope in scopes if scope.every):
        member = partial(source.dialect.member, every)
        for scope in (scope for scope in scopes if not scope.every):
            one = member_called(member, scope.name)
            whose = [key for key in source.dialect.whose if scope.options.get(key) != every.options.get(key)]
            if one is not None and ((one.kind, one.id) != (scope.kind, scope.id) or whose):
                hint = "give it another name = …"
                named = f"{every.name!r} calls {one.kind} {one.id} so{f', of another {whose[0]}' if whose else ''}"
                raise ConfigError(f"{where}: a scope is called {scope.name!r}, and {named}", hint=hint)
