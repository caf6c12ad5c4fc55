"""A night as values: what became of each scope and each every-scope, in words and as one exit code.

Pure. The same sentence is the message of the nightly run's state in Prefect and the last line of `strongroom run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flows.errors import Exit
from storage.records import LISTING, VANISHED, Ended

if TYPE_CHECKING:
    from storage.tables import Run

MAX_NAMED = 5  # scopes that a sentence names; the others are on the page
MAX_NEW = 20  # newcomers that a remark names

# *failed* says little where the exit code says more.
_FAILED = {
    Exit.AUTHENTICATION: "refused",
    Exit.BUSY: "busy",
    Exit.USAGE: "wrong configuration",
    Exit.VERIFICATION: "verification failed",
    Exit.NO_ARCHIVE: "no archive",
}
_ORDER = ("verified", "unchanged", "skipped", "partial")  # then what is worse, as it came


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one scope, or of the listing of an every-scope."""

    source: str
    scope: str
    ended: str  # as recorded (Ended), else what Prefect says of the run, VANISHED, or LISTING and a word
    exit: Exit = Exit.DONE
    reason: str = ""
    hint: str = ""
    label: str = ""  # who is meant, where the system says so
    flow_run: str = ""  # Prefect's id of it
    snapshot: str = ""
    bytes_fetched: int = 0

    @classmethod
    def of(cls, run: Run, label: str = "") -> Line:
        """A run that ended, as the catalog has it."""
        code = Exit(run.exit_code or 0)
        return cls(
            run.source, run.scope, run.ended, code, run.reason, run.hint, label, run.flow_run, run.snapshot,
            run.bytes_fetched,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Source and scope."""
        return f"{self.source}/{self.scope}"

    @property
    def shown(self) -> str:
        """The name, and who is meant."""
        return f"{self.name} ({self.label})" if self.label else self.name

    @property
    def word(self) -> str:
        """How it ended, in one or two words."""
        return _FAILED.get(self.exit, self.ended) if self.ended == Ended.FAILED else self.ended

    @property
    def well(self) -> bool:
        """Whether nobody needs to look."""
        return self.exit is Exit.DONE

    @property
    def listing(self) -> bool:
        """Whether it is about an every-scope, which is no scope that could be backed up."""
        return self.ended.startswith(LISTING)


@dataclass(frozen=True, slots=True)
class Found:
    """What a night learned of an every-scope."""

    source: str
    every: str  # its name
    listed: int | None  # how many the system says; None: it could not be asked
    first: bool = False
    new: tuple[str, ...] = ()  # names of scopes
    vanished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # the system's: whom it leaves out, and why
    tried: int = 0  # where it could not be asked: how many known ones are tried all the same
    trouble: str = ""  # why it could not be asked
    hint: str = ""
    exit: Exit = Exit.DONE

    @property
    def name(self) -> str:
        """Source and every-scope."""
        return f"{self.source}/{self.every}"

    def lines(self) -> list[Line]:
        """What is not well, a line each."""
        lines = [
            Line(
                self.source,
                scope,
                VANISHED,
                Exit.PARTLY,
                f"no longer listed for {self.every}; its snapshots stay",
                "list its id in except = […] once that is right",
            )
            for scope in self.vanished
        ]
        if self.listed is None:
            reason = f"{self.trouble}; those known from earlier nights are tried: {self.tried}"
            lines.append(Line(self.source, self.every, f"{LISTING} failed", self.exit, reason, self.hint))
        elif not self.listed:
            hint = "check whom the credential may export, and `except`"
            lines.append(Line(self.source, self.every, f"{LISTING} empty", Exit.PARTLY, "nobody is listed", hint))
        return lines

    def notices(self) -> dict[str, dict[str, tuple[str, str]]]:
        """What the watch is told, by kind: about -> (sentence, hint). Without a list nobody knows who vanished."""
        told: dict[str, dict[str, tuple[str, str]]] = {LISTING: {}}
        if self.listed is not None:
            told[VANISHED] = {}
        for line in self.lines():
            kind = LISTING if line.listing else VANISHED
            told[kind][line.name] = f"{line.ended}: {line.reason}" if line.listing else line.reason, line.hint
        return told

    def remarks(self) -> list[str]:
        """What is worth saying and no trouble, a sentence each."""
        said = []
        if self.first and self.listed:
            said.append(f"{self.name}: listed for the first time: {self.listed}")
        if self.new:
            more = f" and {len(self.new) - MAX_NEW} more" if len(self.new) > MAX_NEW else ""
            said.append(f"{self.name}: taken in: {', '.join(self.new[:MAX_NEW])}{more}")
        return said + [f"{self.name}: {note}" for note in self.notes]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "listed": self.listed,
            "first": self.first,
            "new": list(self.new),
            "vanished": list(self.vanished),
            "notes": list(self.notes),
            "trouble": self.trouble,
        }


@dataclass(frozen=True, slots=True)
class Night:
    """A night, or a part of one that was asked for by hand."""

    lines: tuple[Line, ...]
    found: tuple[Found, ...] = ()

    @property
    def bad(self) -> list[Line]:
        """The lines that somebody should look at."""
        return [line for line in self.lines if not line.well]

    @property
    def remarks(self) -> list[str]:
        """What is worth saying of the every-scopes and no trouble."""
        return [remark for found in self.found for remark in found.remarks()]

    def sentence(self) -> str:
        """`23 scopes: 20 verified, 1 refused, 1 lost, 1 quarantined; not well: lab/user:9, …`"""
        scopes = [line for line in self.lines if not line.listing]
        parts = [f"{_count(len(scopes), 'scope')}: {_words(scopes)}" if scopes else "no scope"]
        listings = Counter(line.word for line in self.lines if line.listing)
        parts += [f"{count} {word}" for word, count in listings.items()]
        if names := [line.name for line in self.bad]:
            more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            parts.append(f"not well: {', '.join(names[:MAX_NAMED])}{more}")
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """For machines: the same facts."""
        return {
            "summary": self.sentence(),
            "scopes": [{**asdict(line), "exit": int(line.exit), "word": line.word} for line in self.lines],
            "roster": {found.name: found.to_json() for found in self.found},
        }


class NightFailed(Exception):
    """A night in which something is not well: what a failed state of Prefect's carries is an exception."""

    def __init__(self, night: Night) -> None:
        super().__init__(night.sentence())
        self.night = night


def _words(lines: Iterable[Line]) -> str:
    counts = Counter(line.word for line in lines)
    ordered = [word for word in _ORDER if word in counts] + [word for word in counts if word not in _ORDER]
    return ", ".join(f"{counts[word]} {word}" for word in ordered)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
