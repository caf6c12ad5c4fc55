"""Promised against measured: size, CRC-32 and SHA-256 of a stream in one pass, and the verdict on a snapshot.

Decides nothing about what a file means (a dialect does) and reads no ZIP (`ziptest.py` does).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_AVAILABLE = "not available"


class Quality(StrEnum):
    """What a snapshot is worth. Only *verified* ones count for retention."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Promise:
    """What a system says about a file before we have it. None: it does not say."""

    size: int | None = None  # bytes
    crc32: int | None = None  # unsigned 32 bit
    sha256: str | None = None  # 64 lower-case hex digits


@dataclass(frozen=True, slots=True)
class Measured:
    """What we computed over the bytes that arrived."""

    size: int  # bytes
    crc32: int  # unsigned 32 bit; 8 hex digits in manifests
    sha256: str  # 64 lower-case hex digits


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of one file (or of all: `file` is ""), and its answer.

    `count` is above 1 where `fold` put equal answers about many files into one.
    """

    name: str
    outcome: Outcome
    file: str = ""
    promised: str = ""
    got: str = ""
    reason: str = ""
    count: int = 1

    def sentence(self) -> str:
        """The check as a message: thing, got, promised."""
        thing = f"{self.file}: {self.name}" if self.file else self.name
        facts = ", ".join(part for part in (self.got, self.promised and f"promised {self.promised}") if part)
        return " ".join(part for part in (thing, facts, self.reason and f"({self.reason})") if part)


class Meter:
    """Measures a stream as it passes: `update` per chunk, `result` at any time. Memory: none of the bytes."""

    def __init__(self) -> None:
        self._size = 0
        self._crc32 = 0
        self._sha256 = hashlib.sha256()

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next chunk into all three figures."""
        self._size += len(chunk)
        self._crc32 = zlib.crc32(chunk, self._crc32)
        self._sha256.update(chunk)

    def result(self) -> Measured:
        """The figures so far. CRC-32 is the ZIP one, unsigned (PKWARE APPNOTE 4.4.7; zlib.crc32)."""
        return Measured(self._size, self._crc32, self._sha256.hexdigest())


def measure(chunks: Iterable[bytes]) -> Measured:
    """Size, CRC-32 and SHA-256 of a stream in one pass. Consumes `chunks`; memory: one chunk."""
    meter = Meter()
    for chunk in chunks:
        meter.update(chunk)
    return meter.result()


def compare(promise: Promise, measured: Measured, *, file: str, silent: str) -> list[Check]:
    """One check per promise that exists in the field: size, crc32, sha256.

    What the system did not promise is *not available*, with `silent` (why the system says nothing) as its
    reason, except SHA-256, which is left out where it was not promised: no reader waits for it there.
    """
    rows = [
        ("size", None if promise.size is None else str(promise.size), str(measured.size)),
        ("crc32", None if promise.crc32 is None else f"{promise.crc32:08x}", f"{measured.crc32:08x}"),
    ]
    if promise.sha256 is not None:
        rows.append(("sha256", promise.sha256.lower(), measured.sha256))
    checks = []
    for name, promised, got in rows:
        if promised is None:
            checks.append(Check(name, Outcome.NOT_AVAILABLE, file, got=got, reason=silent))
        else:
            outcome = Outcome.PASSED if promised == got else Outcome.FAILED
            checks.append(Check(name, outcome, file, promised=promised, got=got))
    return checks


def judge(checks: Iterable[Check], *, partial: bool = False) -> Quality:
    """The quality of a snapshot: any failed check quarantines it; else *partial* where the system said so."""
    if any(check.outcome is Outcome.FAILED for check in checks):
        return Quality.QUARANTINED
    return Quality.PARTIAL if partial else Quality.VERIFIED


def fold(checks: Iterable[Check], *, limit: int = 40) -> list[Check]:
    """At most about `limit` rows, whatever the number of files: equal answers about many files become one row.

    Failed checks are folded last and keep the first file's name and figures, so that a reader always sees an
    example. Idempotent; the counts add up to the number of checks that came in. Memory: the rows.
    """
    few: list[Check] = []
    groups: dict[tuple[str, Outcome, str], tuple[Check, int, int]] = {}  # the first, how many, and rows
    for check in checks:
        if len(few) <= limit:
            few.append(check)
        kind = check.name, check.outcome, check.reason
        first, count, rows = groups.get(kind, (check, 0, 0))
        groups[kind] = first, count + check.count, rows + 1
    if len(few) <= limit:
        return few
    return [_folded(*group) for group in groups.values()]


def _folded(first: Check, count: int, rows: int) -> Check:
    if rows == 1 or first.outcome is Outcome.FAILED:
        return replace(first, count=count)
    return replace(first, file="", promised="", got="", count=count)
