"""What can go wrong at a source, named by what to do next, and the exit codes of the command line.

SourceError
├── SourceUnavailable   no answer, or one that may be better later: retry
│   └── SourceBusy      the system runs an export for this credential already: retry after it
├── SourceRefused       the credential is not allowed to do that: fix it or its rights
│   ├── RequestWrong    nobody is: fix the scope in the configuration
│   └── Narrowed        it may be done without a part, and the scope allows that: ask so
├── SourceUnexpected    an answer that the contract does not know: tell us, with the message
├── NothingThere        the scope names nothing that could be exported now
├── FileGone            the export file is no longer there: start a new export
└── RunFailed           a run's end that is not an accident, with its verdict: never retried by itself

Every class carries a `hint`: what to try, in one sentence without a full stop. No message and no hint ever holds
a secret, a link or the name of an export file that would serve as one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from storage import errors as storage_errors
from storage.records import Ended
from storage.verify import Check

if TYPE_CHECKING:
    from flows.export import Intent


class Exit(IntEnum):
    """Exit codes, the same for every command. Source of the numbers: restic's and borg's where they have one."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    PARTLY = 3
    VERIFICATION = 4
    STALE = 5
    NO_ARCHIVE = 10
    BUSY = 11
    AUTHENTICATION = 12
    VENDOR = 13
    QUARANTINED = 14
    KEY_MISSING = 15
    KEY_WRONG = 16
    INTERRUPTED = 130


EXIT_MEANINGS = {
    Exit.DONE: "done",
    Exit.UNEXPECTED: "unexpected error",
    Exit.USAGE: "wrong usage or configuration",
    Exit.PARTLY: "partly done",
    Exit.VERIFICATION: "verification failed",
    Exit.STALE: "critical, such as a scope without a recent verified snapshot",
    Exit.NO_ARCHIVE: "no archive there",
    Exit.BUSY: "busy: the credential is in use",
    Exit.AUTHENTICATION: "credential or permission refused",
    Exit.VENDOR: "the system did not deliver the export",
    Exit.QUARANTINED: "kept, but quarantined: a check failed, or it is unlike those before",
    Exit.KEY_MISSING: "the archive is encrypted, and no key was given",
    Exit.KEY_WRONG: "the key given does not open the archive",
    Exit.INTERRUPTED: "interrupted",
}


class ConfigError(Exception):
    """strongroom.toml, or an option, is wrong. The message names file and key."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SourceError(Exception):
    """Base of what a source can do to us."""

    default_hint = ""
    exit = Exit.VENDOR
    ended = Ended.FAILED

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint
        self.retry_after_s = retry_after_s


class SourceUnavailable(SourceError):
    """No answer, a broken one, or a server error. Retry: yes.

    `answered` tells a server that says 5xx from a network that says nothing; `sent` is false where the request
    cannot have reached anybody.
    """

    default_hint = "run again later: what was started is remembered, and no second export is started"

    def __init__(
        self,
        message: str,
        *,
        answered: bool = False,
        sent: bool = True,
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.answered = answered
        self.sent = sent


class SourceBusy(SourceUnavailable):
    """The system runs an export for this credential already. Retry: yes, after it has ended."""

    default_hint = "another export runs with this credential, perhaps from the web page; wait for it to end"
    exit = Exit.BUSY


class SourceRefused(SourceError):
    """The credential is wrong, or it may not do what was asked. Retry: no, until somebody changes something."""

    default_hint = "check the credential, and that its user may export this scope"
    exit = Exit.AUTHENTICATION


class RequestWrong(SourceRefused):
    """The system will not do what the scope says, whoever asks. Retry: no, until the scope is changed."""

    default_hint = "correct the scope in strongroom.toml"
    exit = Exit.USAGE


class Narrowed(RequestWrong):
    """The question was refused whole because of a part that the scope allows to leave out. Nothing was started.

    Retry: with `instead`, the question without that part.
    """

    def __init__(self, message: str, instead: Intent) -> None:
        super().__init__(message)
        self.instead = instead


class NothingThere(SourceError):
    """The scope names nothing that could be exported now, such as a search without a hit. Retry: another night."""

    default_hint = "look there whether the scope holds anything"
    exit = Exit.PARTLY
    ended = Ended.EMPTY


class SourceUnexpected(SourceError):
    """An answer that the dialect does not know. Retry: no; nothing is guessed."""

    default_hint = "the system may be newer than this version of Strongroom knows"


class FileGone(SourceError):
    """The export file is no longer there. Retry: with a new export."""

    default_hint = "export files live for a day or two; run again to start a new export"
    ended = Ended.EXPIRED


class RunFailed(SourceError):
    """The engine's own verdict on a run: how it ended and with which exit code. Retry: the next run decides.

    `checks` are the answers that led to it, for the record.
    """

    def __init__(
        self,
        message: str,
        *,
        ended: Ended = Ended.FAILED,
        exit: Exit = Exit.VENDOR,
        hint: str = "",
        checks: tuple[Check, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.ended = ended
        self.exit = exit
        self.checks = checks


def verdict(error: BaseException) -> tuple[Ended, Exit, str]:
    """How a run ends by this error: end, exit code, hint. Anything unknown is *unexpected*, never a success."""
    match error:
        case SourceError():
            return error.ended, error.exit, error.hint
        case storage_errors.ArchiveMissing():
            return Ended.FAILED, Exit.NO_ARCHIVE, error.hint
        case storage_errors.Busy():
            return Ended.FAILED, Exit.BUSY, error.hint
        case storage_errors.ObjectCorrupt() | storage_errors.ObjectMissing():
            return Ended.FAILED, Exit.VERIFICATION, error.hint
        case storage_errors.KeyMissing():
            return Ended.FAILED, Exit.KEY_MISSING, error.hint
        case storage_errors.KeyWrong():
            return Ended.FAILED, Exit.KEY_WRONG, error.hint
        case storage_errors.SnapshotUnknown() | storage_errors.NotEncrypted():
            return Ended.FAILED, Exit.USAGE, error.hint
        case storage_errors.StorageError():
            return Ended.FAILED, Exit.UNEXPECTED, error.hint
        case ConfigError():
            return Ended.FAILED, Exit.USAGE, error.hint
        case Exception():
            return Ended.FAILED, Exit.UNEXPECTED, "this is a fault of Strongroom's: please report it with the log"
        case _:  # KeyboardInterrupt, Prefect's TerminationSignal and the like
            return Ended.INTERRUPTED, Exit.INTERRUPTED, "run again: it goes on with the same job"


def without_traceback(error: Exception) -> str:
    """An error of ours as one text: message, then hint."""
    hint = getattr(error, "hint", "")
    return f"{error}; hint: {hint}" if hint else str(error)
