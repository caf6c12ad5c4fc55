"""What a dialect owes the engine: one protocol for every system, with the differences as data.

The engine owns deadlines, back-off, the lease, the download loop, hashing, the commit and redaction. A dialect
owns its vendor's words: paths, states, the shape of answers, what the content must look like.

How three systems, as unlike as they get, fit (contracts rspace.md, mayan.md, webadmit.md):

==========  ======================  =============================  ==================================
verb        RSpace                  Mayan EDMS                     WebAdMIT
==========  ======================  =============================  ==================================
login       status + whoami         /users/current/: an anonymous  user_identities
                                    call looks like an empty site
roster      users, or groups, that  cabinets that the user sees    exports of an identity
            the key may export
discover    a search becomes ids    the scope itself               identity and template by *name*,
                                                                   each night anew
prepare     the records that are    newest document, file and      ids in "recent files", so that an
            there now               download ids, server's Date    adopted run is told from our own
start       POST, the answer holds  files: nothing to start, a     POST; the answer may be somebody
            the job id              ref at once; version export:   else's running job (adopted)
                                    POST, the answer holds nothing
recover     the EXPORT event of     the listing, by the baseline   recent files, by the baseline
            today
poll        GET the job             READY at once; version         one listing for all jobs of an
                                    exports by their events        identity
files       one ZIP; size, CRC-32   100,000 files and as many      one to several; no promise at all
                                    JSON documents, lazily; size,
                                    SHA-256: `known` ones are
                                    named, not fetched
open        job again, then its     download path with the token   job again, then its link, within
            link, with the key      JSON: made by the dialect      30 s, by a client without the key
witness     the records that were   files and documents counted    nothing to ask
            there all the time, in  by the listing
            the file and in the
            EXPORT event's list
unchanged   activity and newest     nothing newer by the baseline  never
            modification
inspect     manifest.txt            page count of a PDF            columns of a CSV, and the like
records     paths tell them         paths tell them                rows of CSV and Excel files
cleanup     nothing                 delete the download entry      nothing
==========  ======================  =============================  ==================================

A scope has one job at a time. Where a system has many small ones (a Mayan version export per document), a job
here is the whole of them: `files` names what they will give, and `open` asks for one, waits for it and streams it,
so that no file waits in the vendor's download area while others are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from flows.export import Account, ExportFile, Intent, JobRef, Pace, Scope, Status
from storage.verify import Check, Promise


class Notebook(Protocol):
    """What a dialect must remember of a job, so that whoever goes on with it knows what was asked for."""

    folder: Path  # on the spool's disk, for copies that are too large for memory

    def read(self) -> dict[str, Any]:
        """What was written last, by this run or by one that died; {} where nothing was."""

    def write(self, notes: Mapping[str, Any]) -> None:
        """Instead of what was there. Durable when it returns: write before you ask."""


class AtHand(Protocol):
    """What needs not be fetched: files of this job in the spool, and of the snapshot that tonight goes on from.

    That is the scope's newest one whose bytes were all proven. What cannot be read is not at hand; never raises.
    """

    notebook: Notebook

    def has(self, sha256: str) -> bool:
        """Whether that snapshot holds a file of this SHA-256: then naming it is enough, and no byte is fetched."""

    def promise(self, name: str) -> Promise | None:
        """Size and SHA-256 of that snapshot's file of this name; None where it has none."""

    def before(self, name: str) -> bytes | None:
        """That snapshot's file of this name, whole; None for one of more than 16 MiB."""

    def arrived(self, name: str) -> bytes | None:
        """The file of this name that an earlier run of this very job fetched; None for one of more than 16 MiB."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a system can and cannot do, as plain data that the engine reads; never `if system == …`."""

    recognised_by: Literal["job id", "listing", "nothing to wait for"]
    second_start: Literal["refused", "same job", "new job"]  # while one runs
    promises: Literal["nothing", "size", "size and digest"]
    ranges: bool  # a download may go on from an offset
    cancels: bool
    pace: Pace
    file_by_file: bool = False  # a file that cannot be had costs itself, and not the others: the night is partial
    error_is_end_s: float | None = None  # a job that answers with an error for so long has failed; None: never
    silent_about: str = "the system does not say"  # why a promise is missing, for the check that would need it
    stuck: str = ""  # what an administrator must do about a job that never ends; {names} are the handle's


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a job's files are kept. Made by the engine after the durable commit, and by nobody else."""

    snapshot: str
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """An open answer: the file's bytes as they come over the wire."""

    chunks: Iterator[bytes | bytearray]
    start: int  # offset of the first byte; 0 where the server ignored the offset that was asked for
    total: int | None  # bytes of the whole file, as the answer's headers say; None: they do not
    validator: str = ""  # names this very version of the file, for going on from an offset; "": cannot be done


@dataclass(frozen=True, slots=True)
class Roster:
    """What an every-scope stands for now."""

    scopes: tuple[Scope, ...]
    notes: tuple[str, ...] = ()  # whom it leaves out and why, a sentence each
    labels: Mapping[str, str] = field(default_factory=dict)  # who is meant, by the scope's name


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest verified snapshot of a scope, as far as a source needs to know it."""

    server_time: datetime | None  # by the system's clock, at the login of that run
    files: tuple[str, ...]


class Source(Protocol):
    """One configured account on one system. Verbs may be called from any process, in any order that makes sense.

    Every verb may raise SourceUnavailable (retry), SourceRefused, SourceUnexpected.
    """

    capabilities: Capabilities

    def login(self) -> Account:
        """Who we are and what we talk to. Proves the credential; called first in each run. Retry: yes."""

    def roster(self, every: Scope) -> Roster:
        """The scopes that `every` (a scope with `every` true) stands for now: what the credential may export.

        Retry: yes."""

    def discover(self, wanted: Scope) -> Scope:
        """`wanted` with everything that must be looked up resolved. Raises SourceRefused where it names nothing
        or several things, NothingThere where a search finds nothing. Retry: yes."""

    def unchanged(self, scope: Scope, account: Account, kept: Kept) -> str:
        """Why nothing can have changed since `kept`, in words; "" where it has, or where the system cannot be
        trusted to say. Retry: yes."""

    def look(self, wanted: Scope, account: Account) -> tuple[str, ...]:
        """A short look at whether the account may read a scope: what is worth a note. Raises SourceRefused that
        says what is missing, NothingThere. Changes nothing; () where the system does not tell. Retry: yes."""

    def prepare(self, scope: Scope, account: Account, *, now: datetime) -> Intent:
        """Look, change nothing, and remember what `start` and `recover` need. The engine saves it. Retry: yes."""

    def start(self, intent: Intent, *, now: datetime) -> JobRef:
        """Ask for the export. Retry: no, a second call may start a second job; `recover` first.

        Raises SourceBusy where the system runs one for this credential. An error that proves that nothing was
        started is SourceRefused; one that leaves it open is SourceUnavailable, with `sent` false where the
        question cannot have arrived. Narrowed: nothing was started, and the scope allows to ask for less.
        """

    def recover(self, intent: Intent, *, asked_at: datetime, ours: Callable[[str], bool]) -> JobRef | None:
        """The job that an earlier `start` of this intent may have made; None where there is none to be found.

        `ours`: whether the archive has a file of that name already, which is then another question's. Retry: yes.
        """

    def poll(self, refs: Sequence[JobRef]) -> Mapping[str, Status]:
        """The status of each job, by `JobRef.key`; one request for all where the system has a listing. Retry: yes.

        An unknown vendor word raises SourceUnexpected: nothing is taken for done or for running by default.
        """

    def files(self, intent: Intent, ref: JobRef, status: Status, at_hand: AtHand) -> Iterable[ExportFile]:
        """What a ready job offers, lazily; what is at hand needs no detail calls.

        May raise in the middle. Retry: yes, from the beginning; what was offered before is offered again.
        """

    def open(
        self, ref: JobRef, file: ExportFile, *, offset: int = 0, validator: str = ""
    ) -> AbstractContextManager[Download]:
        """Open one file, by a link asked for in this very call. Raises FileGone. Retry: yes.

        With `offset`, only where `capabilities.ranges`; the answer says in `start` whether it was honoured.
        """

    def inspect(self, intent: Intent, status: Status, file: ExportFile, path: Path) -> list[Check]:
        """What the content of a file must show, beyond its bytes being right: structure, and that it is what was
        asked for. Local; never raises for what a file holds."""

    def witness(self, intent: Intent, ref: JobRef, status: Status, fetched: Mapping[str, Path]) -> list[Check]:
        """What only the system can say of the whole job once it is ready, such as the records it put in.

        `fetched`: where the files lie, by name; a file that the archive holds already is not among them. It is
        read from the spool each time. Asked before the commit; what the system cannot say is *not available*, with
        the reason. Retry: yes.
        """

    def records(self, intent: Intent, fetched: Mapping[str, Path]) -> int | None:
        """How many records the files hold, such as rows, where no paths tell them; None where they do, or nobody
        can count them. Watched from night to night. Local; never raises for what a file holds."""

    def never_holds(self, scope: Scope) -> tuple[str, ...]:
        """What an export of this scope never holds, in words for the user."""

    def cancel(self, ref: JobRef) -> None:
        """Best effort; nothing where the system has no such call."""

    def cleanup(self, ref: JobRef, receipt: Receipt) -> None:
        """Remove at the system what only this job made there. Retry: yes."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a dialect needs to reach its system, secrets resolved. Never stored, never printed."""

    url: str
    secrets: Mapping[str, str]  # by the names of Dialect.secrets
    ca_file: Path | None = None
    proxy: str | None = None
    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    start_timeout_s: float = 900  # planning an export happens inside the request that starts it
    login: str = ""  # how user name and password are used, where a system has several ways; "": its usual one
    requests_per_s: float | None = None  # at most; None: the dialect's, 0: no limit
    link_hosts: tuple[str, ...] | None = None  # where links to files may lead, and below; None: the dialect's
    renew: Callable[[], Mapping[str, str]] | None = None  # the secrets once more: a token may have run out

    def __repr__(self) -> str:
        return f"Connection({self.url})"


class Content(Protocol):
    """The files of one snapshot, for who gives them back. Reading raises ObjectMissing and ObjectCorrupt."""

    def __contains__(self, name: str, /) -> bool:
        """Whether it is there by its name; it may still not be readable."""

    def names(self) -> Iterator[str]:
        """Their paths, sorted."""

    def kept(self, name: str) -> Promise | None:
        """Size and SHA-256 of a file; None where the snapshot has none of this name, or its objects are gone."""

    def small(self, name: str) -> bytes:
        """A file, whole, proven. For documents about files: memory is the file's size."""

    def lying(self, names: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """These files on the disk, proven, by name; gone at the end. Raises BackendFailed for a full disk."""


class Ledger(Protocol):
    """What was asked of a target, and what it made: the memory of a restore that may be killed at any time."""

    def of(self, unit: str) -> Mapping[str, Any]:
        """All that was noted of it, newer facts in the place of older ones; empty where nothing was."""

    def note(self, unit: str, **facts: Any) -> None:
        """On the disk when it returns."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What giving a snapshot back will do to a target, known before anything is done."""

    units: tuple[str, ...]  # what is given, one after another, by its path in the snapshot
    makes: Mapping[str, int]  # what is made there, such as documents, files, bytes
    there: Mapping[str, int]  # what is there already: used, or left alone
    lacking: tuple[str, ...]  # what of this snapshot cannot come back, a sentence each
    notes: tuple[str, ...] = ()  # what differs there and stays as it is
    never: tuple[str, ...] = ()  # what no restore brings back, in words for the user


class Receiver(Protocol):
    """A target that takes snapshots back. What is there and was not made by the same restore is never changed.

    Every verb may raise SourceUnavailable (retry), SourceRefused, SourceUnexpected.
    """

    def login(self) -> Account:
        """As `Source.login`."""

    def look(self, content: Content, only: Sequence[str]) -> Outlook:
        """What there is to do, for the units whose paths begin with one of `only`; all for none. Changes nothing.

        Retry: yes. Memory: a row for each unit."""

    def prepare(self, ledger: Ledger) -> None:
        """Make what units refer to, as `look` saw it. Retry: yes."""

    def give(
        self, unit: str, content: Content, ledger: Ledger, on_bytes: Callable[[int], None]
    ) -> tuple[str, ...]:
        """Make one unit, or go on with it; what the target refuses of it, a sentence each.

        Retry: yes, also by another process with the same ledger: nothing is doubled. Raises RunFailed where the
        target takes it and does nothing; then, and where it refuses something, a later call tries again. Raises
        ObjectMissing, ObjectCorrupt before anything of the unit is made.
        """

    def finish(self, ledger: Ledger) -> None:
        """Make what must wait until every unit was given. Retry: yes."""

    def compare(self, unit: str, content: Content, ledger: Ledger) -> tuple[str, ...]:
        """How the unit differs at the target from the snapshot, a sentence each. Retry: yes."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the system's that a path inside a file tells of."""

    id: str  # as the system writes it, such as SD123
    label: str  # for people


def no_record(_: str) -> Record | None:
    """Of a system whose files tell of no records by their paths."""
    return None


@dataclass(frozen=True, slots=True)
class Imports:
    """What is asked of an export file that somebody already has."""

    inspect: Callable[[Scope, Path, str, datetime | None], list[Check]]
    made_at: Callable[[Path], datetime]  # when it says that it was exported; else the file's own time


@dataclass(frozen=True, slots=True)
class Dialect:
    """A system as configuration knows it: its name, its secrets, how scopes are written, how to connect."""

    system: str
    secrets: tuple[frozenset[str], ...]  # sets of secrets, any one of which is enough
    kinds: tuple[str, ...]  # of scopes
    pace: Pace
    scope: Callable[[Mapping[str, Any]], Scope]  # from a [[source.scope]] table; ValueError names the key
    member: Callable[[Scope, str], Scope]  # one scope, by its id, of those that an every-scope stands for
    parse_scope: Callable[[str], Scope]  # from the command line, such as "group:1234"; ValueError says the form
    connect: Callable[[Connection], Source]
    imports: Imports | None = None  # None: there are no export files that somebody may already have
    record_of: Callable[[str], Record | None] = no_record  # by a path in a snapshot
    give_back: Callable[[Connection], Receiver] | None = None  # None: the system takes nothing back
    whose: tuple[str, ...] = ()  # options of a scope that say, beside kind and id, what is meant
    personal: bool = False  # what it gives is about people throughout: `doctor` warns of a plain archive
