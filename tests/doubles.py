"""What tests of storage put in place of the world: backends that fail on request, clocks, and small archives.

No mocks: a double here either wraps the real thing or builds one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, TypeVar

from storage import keys, keytext
from storage.archive import Archive
from storage.backend import Backend, Memory
from storage.encrypted import Encrypted
from storage.index import Index, Location
from storage.listing import Entry, Recipe
from storage.objects import Oid
from storage.planning import ScopePlan
from storage.policy import Policy
from storage.prune import forget
from storage.records import Ended, RunRecord
from storage.retention import Candidate, Verdict
from storage.snapshot import Draft, ScopeKey, Snapshot, to_text
from storage.verify import Check, Outcome, Promise, Quality, measure
from storage.writer import Writer

START = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
NIGHT = timedelta(days=1)
LAB = ScopeKey("lab", "group 1234")
OFFICE = ScopeKey("office", "all")

SECRET = keytext.holder_text(bytes(range(32)))  # opens every encrypted archive of the tests; costs no Argon2

T = TypeVar("T")
B = TypeVar("B", bound=Backend)
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Cases:
    """Archives of one kind, and how many of a matrix's cases are tried with them."""

    name: str
    secret: str | None = None
    share: int = 1  # one in so many

    def some(self, cases: Iterable[T]) -> list[T]:
        """Those that are tried, in their order: the same each time."""
        found = list(cases)
        chosen = random.Random(len(found)).sample(range(len(found)), -(-len(found) // self.share))
        return [found[at] for at in sorted(chosen)]

    def __str__(self) -> str:
        return self.name


PLAIN = Cases("plain")
SOME_ENCRYPTED, ALL_ENCRYPTED = Cases("encrypted", SECRET, 8), Cases("all-encrypted", SECRET)


class Died(BaseException):
    """The process is gone at this call. No `except Exception` may outlive it."""


@dataclass
class _Script:
    verb: str  # "" for any
    after: int  # calls of the verb that pass before
    error: BaseException
    when: str  # before or after the effect
    used: bool = False


class FaultyBackend:
    """A backend that goes wrong at a chosen call, before or after its effect; else it is `inner`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.calls = 0
        self._scripts: list[_Script] = []

    @property
    def url(self) -> str:
        return self.inner.url

    def die(self, call: int, when: str) -> FaultyBackend:
        """Die at the `call`-th call of any verb, from 1."""
        return self.fail("", after=call - 1, error=Died(f"{when} call {call}"), when=when)

    def fail(self, verb: str, *, after: int = 0, error: BaseException, when: str = "before") -> FaultyBackend:
        """Raise `error` once, when `after` calls of `verb` have passed."""
        self._scripts.append(_Script(verb, after, error, when))
        return self

    @property
    def unused(self) -> int:
        """Scripted faults that never came to pass: a test that leaves some tests nothing."""
        return sum(1 for script in self._scripts if not script.used)

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._around("put_new", lambda: self.inner.put_new(name, chunks))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._around("get", lambda: self.inner.get(name, offset, length))

    def size(self, name: str) -> int | None:
        return self._around("size", lambda: self.inner.size(name))

    def list(self, prefix: str) -> Iterator[str]:
        return self._around("list", lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        self._around("delete", lambda: self.inner.delete(name))

    def _around(self, verb: str, effect: Callable[[], T]) -> T:
        self.calls += 1
        due = []
        for script in self._scripts:
            if script.verb in ("", verb) and not script.used:
                if script.after == 0:
                    due.append(script)
                script.after -= 1
        for script in due:
            script.used = True
            if script.when == "before":
                raise script.error
        result = effect()
        for script in due:
            raise script.error
        return result


class Clock:
    """Says one instant after another, `step` apart, whenever it is called."""

    def __init__(self, start: datetime = START, step: timedelta = timedelta(seconds=1)) -> None:
        self._next, self._step = start, step

    def __call__(self) -> datetime:
        now = self._next
        self._next += self._step
        return now


class ReadOnly:
    """A copy of an archive that nobody may write to, such as a mounted snapshot."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.url, self.get, self.size, self.list = inner.url, inner.get, inner.size, inner.list

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        raise AssertionError(f"{name}: written to a read-only archive")

    def delete(self, name: str) -> None:
        raise AssertionError(f"{name}: deleted from a read-only archive")


class Below:
    """What is stored of an archive, under the names that it stands for: where damage is done."""

    def __init__(self, archive: Archive) -> None:
        self._names = archive.backend
        self._stored = stored_in(archive)
        self.url = self._stored.url

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._stored.put_new(self.name(name), chunks)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._stored.get(self.name(name), offset, length)

    def size(self, name: str) -> int | None:
        return self._stored.size(self.name(name))

    def list(self, prefix: str) -> Iterator[str]:
        return self._names.list(prefix)

    def delete(self, name: str) -> None:
        self._stored.delete(self.name(name))

    def name(self, name: str) -> str:
        """What it is called there."""
        return self._names.stored_name(name) if isinstance(self._names, Encrypted) else name


def stored_in(archive: Archive) -> Backend:
    """The place where the archive's bytes lie, below their encryption."""
    return archive.backend.stored if isinstance(archive.backend, Encrypted) else archive.backend


def put_around(archive: Archive, double: Callable[[Backend], B]) -> B:
    """Put a double around the place where the archive's bytes lie, below their encryption; it."""
    made = double(stored_in(archive))
    archive.backend = archive.backend.like(made) if isinstance(archive.backend, Encrypted) else made
    return made


def copy(backend: Backend) -> Memory:
    """The same files in memory."""
    twin = Memory()
    for name in backend.list(""):
        twin.put_new(name, [backend.get(name)])
    return twin


def overwrite(backend: Backend, name: str, data: bytes) -> None:
    """Put other bytes under a name that is there: what only damage does."""
    backend.delete(name)
    backend.put_new(name, [data])


def contents(backend: Backend) -> dict[str, bytes]:
    """Every file by name."""
    return {name: backend.get(name) for name in backend.list("")}


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not shrink, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def draft(key: ScopeKey = LAB, taken_at: datetime = START, **other: Any) -> Draft:
    """A draft with every field filled."""
    fields: dict[str, Any] = {
        "key": key,
        "system": "rspace",
        "request": {"kind": "group", "id": 1234, "format": "xml"},
        "run_id": f"{taken_at:%Y%m%d-%H%M%S}-0000abcd",
        "job_id": f"{taken_at:%Y%m%d-%H%M%S}-0000ef01",
        "job": {"id": 23},
        "vendor": {"version": "2.10", "account": "mrossi"},
        "taken_at": taken_at,
        "quality": Quality.VERIFIED,
        "checks": (Check("size", Outcome.PASSED, "a.zip", "3", "3"),),
        "notes": ("files linked from elsewhere are not in it",),
        "tool": {"strongroom": "0.1.0"},
    }
    return Draft(**{**fields, **other})


def write(
    archive: Archive, files: Files, *, key: ScopeKey = LAB, night: int = 0, quality: Quality = Quality.VERIFIED
) -> Snapshot:
    """One snapshot of these files, taken `night` days after START."""
    writer = Writer(archive, key)
    for path, data in files.items():
        writer.add(path, BytesIO(data), promised=Promise(size=len(data)))
    at = START + night * NIGHT
    return writer.commit(draft(key, at, quality=quality), clock=Clock(at + timedelta(minutes=5)))


def backup(
    archive: Archive, at: datetime, told: datetime | None, *, key: ScopeKey = LAB, kept: datetime | None = None,
    quality: Quality = Quality.VERIFIED, checks: tuple[Check, ...] = (), fetched: bool = True,
) -> Snapshot:  # fmt: skip
    """One dated `at` by our clock and `told` by the system's, committed at `kept`, or five minutes later."""
    writer = Writer(archive, key)
    data = f"{at}{told}".encode()
    writer.add("f", BytesIO(data), promised=Promise(size=len(data)))
    vendor = {"server_time": to_text(told) if told else ""} if fetched else {}
    other: dict[str, Any] = {"vendor": vendor, **({} if fetched else {"job": {}})}
    made = draft(key, at, quality=quality, checks=checks, **other)
    return writer.commit(made, clock=Clock(kept or at + timedelta(minutes=5)))


def new_archive(backend: Backend | None = None, secret: str | None = None) -> Archive:
    """An empty archive, encrypted where there is a secret."""
    return Archive.create(Memory() if backend is None else backend, now=START, secret=secret, holder="night")


def secret_of(backend: Backend) -> str | None:
    """What opens the archive that lies there."""
    return SECRET if any(backend.list(keys.FOLDER)) else None


def opened(backend: Backend) -> Archive:
    """The archive that lies there, plain or encrypted with SECRET."""
    return Archive.open(backend, secret_of(backend))


def read(archive: Archive, found: Snapshot) -> dict[str, bytes]:
    """The files of a snapshot, proven."""
    reader = archive.reader(found)
    return {entry.path: b"".join(reader.chunks(entry)) for entry in archive.entries(found)}


def pack_of(archive: Archive, found: Snapshot, path: str) -> str:
    """The digest of the pack that holds the last object of a file's content."""
    (entry,) = (one for one in archive.entries(found) if one.path == path)
    index = Index(archive.backend, archive.scheme)
    index.load(found.manifest.packs)
    return located(index, list(archive.reader(found).oids(entry))[-1]).pack


def located(index: Index, oid: Oid) -> Location:
    """Where an object lies that is there."""
    place = index.place(oid)
    assert place is not None
    return index.locate(place)


def drop(archive: Archive, found: Snapshot, *, now: datetime, why: str = "told to") -> None:
    """Forget this snapshot, whatever a policy says."""
    told = Verdict(Candidate(found.id, found.number, found.manifest.draft.taken_at, True), False, (why,))
    made = tuple(archive.decisions(found.key))
    forget(archive, ScopePlan(found.key, Policy(), {found.id: found}, {}, (told,), {}, "", made), now=now)


def run_record(run_id: str = "20260301-023000-0000abcd", **other: Any) -> RunRecord:
    """The record of a run that went well."""
    fields: dict[str, Any] = {
        "id": run_id,
        "key": LAB,
        "system": "rspace",
        "request": {"kind": "group", "id": 1234},
        "trigger": "schedule",
        "flow_run": "",
        "job": "20260301-023000-0000ef01",
        "started_at": START,
        "ended_at": START + timedelta(minutes=9),
        "ended": Ended.VERIFIED,
        "exit_code": 0,
        "checks": (Check("crc32", Outcome.FAILED, "a.zip", "0000abcd", "0000abce"),),
        "bytes_fetched": 3,
    }
    return RunRecord(**{**fields, **other})


def entry_of(path: str, data: bytes) -> Entry:
    """A listing's line for these bytes, kept as one object of that content."""
    oid = Oid(hashlib.sha256(data).digest())
    return Entry(path, measure([data]), Promise(size=len(data)), Recipe("concat", (oid,)), "application/zip")
