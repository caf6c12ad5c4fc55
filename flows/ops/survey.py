"""What is known of all backups at an instant, as values: `surveying.py` asks for it once, everybody else reads it.

Pure. Instants are aware; newest comes first in every tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.records import Ended, Notice
from storage.snapshot import ScopeKey

IMPORT = "import"  # the trigger of what is no night


@dataclass(frozen=True, slots=True)
class Ran:
    """A run. `ended` is "" while it is under way."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    ended: str  # one of `records.Ended`
    exit: int
    reason: str
    hint: str
    trigger: str  # schedule, deployment, cli, IMPORT
    snapshot: str  # id; "" for none
    bytes_fetched: int
    phase: str = ""  # what one does that is under way
    dead: bool = False  # its process is certainly gone, and it has no end

    @property
    def well(self) -> bool:
        """Whether it ended as a night should: something verified, or nothing to do."""
        return self.ended in (Ended.VERIFIED, Ended.UNCHANGED, Ended.SKIPPED)


@dataclass(frozen=True, slots=True)
class Shot:
    """A live snapshot, and how it stands (`storage.standing`)."""

    id: str
    number: int
    taken_at: datetime
    committed_at: datetime
    quality: str
    files: int
    size: int  # bytes of its files
    stored_bytes: int  # of packs that it added
    counts: bool
    why_not: str = ""  # why it does not count
    settle: str = ""  # the command that settles it; "" where nothing waits for a person
    held: str = ""  # why it is held; "" where it is not
    settled: bool = False  # it was quarantined, and a person, or the nights since, have settled it


@dataclass(frozen=True, slots=True)
class ScopeSeen:
    """A scope that is configured, or has a run or a snapshot."""

    key: ScopeKey
    system: str
    configured: bool  # False: taken out, imported, or a member that is no longer known
    every: str  # name of the every-scope that it is a member of; ""
    within: timedelta  # so old may the last good news be
    due_at: datetime | None  # the last night that should have begun; None without a schedule
    next_at: datetime | None
    newest: Shot | None  # that counts
    shots: tuple[Shot, ...]  # live ones, by time taken
    runs: tuple[Ran, ...]  # since the survey's `since`, by start; the newest in any case
    unchanged_at: datetime | None  # when a run last found that nothing had changed
    job: str = ""  # our id of an export that is in flight

    def good_at(self, now: datetime) -> datetime | None:
        """When it was last known to be backed up: the newest that counts was taken, or found to be up to date.

        An instant after `now` tells nothing: some clock was wrong.
        """
        if self.newest is None:
            return None
        known = [self.newest.taken_at, self.unchanged_at]
        return max((at for at in known if at is not None and at <= now), default=min(self.newest.taken_at, now))

    def stale(self, now: datetime) -> bool:
        """Whether the last good news is older than the limit, or never came."""
        good = self.good_at(now)
        return good is None or now - good > self.within

    @property
    def under_way(self) -> Ran | None:
        """The run that goes on now; None also for one whose process is gone."""
        run = next(iter(self.runs), None)
        return run if run and not run.ended and not run.dead else None

    @property
    def last(self) -> Ran | None:
        """The newest run that ended, or died."""
        return next((run for run in self.runs if run.ended or run.dead), None)


@dataclass(frozen=True, slots=True)
class EverySeen:
    """An every-scope: whom it stands for, as far as nights have learned."""

    key: ScopeKey
    members: int
    within: timedelta  # so old may the last answer to who there is be


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A scrub."""

    id: str
    started_at: datetime
    ended_at: datetime
    asked: str
    packs: int
    packs_read: int
    bytes_read: int
    findings: int


@dataclass(frozen=True, slots=True)
class Drilled:
    """A restore for practice."""

    id: str
    key: ScopeKey
    snapshot: str
    ended_at: datetime
    outcome: str
    passed: bool
    files: int
    bytes: int
    seconds: float
    problem: str


@dataclass(frozen=True, slots=True)
class Disk:
    """Room where something of ours grows."""

    what: str  # archive, state
    path: str
    free: int  # bytes
    total: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything. `since`: how far back `runs`, `scrubs` and `drills` go."""

    at: datetime
    since: datetime
    archive: str  # its URL
    archive_id: str
    encrypted: bool
    scopes: tuple[ScopeSeen, ...]  # as configured, members after their every-scope; then others
    everies: tuple[EverySeen, ...]
    disks: tuple[Disk, ...]
    packs: int
    packs_bytes: int  # of all packs
    never_read: int  # packs
    oldest_unread_at: datetime | None
    grown: tuple[tuple[datetime, int], ...]  # committed at, bytes of packs that were added, of all snapshots ever
    scrubs: tuple[Scrubbed, ...]  # the newest in any case
    drills: tuple[Drilled, ...]  # the newest, and the newest that passed, in any case
    damaged: tuple[str, ...]  # sentences: what cannot be read, gaps in chains, what catalog or archive lacks
    # Runs, scrubs and drills dated after `at`, which are nowhere else here: they tell nothing of what is now.
    ahead: tuple[tuple[datetime, str], ...] = ()
    notices: tuple[Notice, ...] = ()  # of what is configured: what nights last said of lists and of retention

    @property
    def configured(self) -> Iterator[ScopeSeen]:
        """The scopes that should have nights."""
        return (scope for scope in self.scopes if scope.configured)

    @property
    def watched(self) -> frozenset[str]:
        """Names of the scopes and every-scopes that should have nights."""
        return frozenset(
            [str(scope.key) for scope in self.configured] + [str(every.key) for every in self.everies]
        )

    @property
    def archive_disk(self) -> Disk | None:
        """The one that the archive is on; None where that is none of ours."""
        return next((disk for disk in self.disks if disk.what == "archive"), None)

    @property
    def last_passed(self) -> Drilled | None:
        """The newest drill that passed."""
        return next((drill for drill in self.drills if drill.passed), None)
