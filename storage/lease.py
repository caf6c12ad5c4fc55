"""The lease on freeing space: one prune at a time on an archive, whichever host it runs on.

A lease lies in the archive as small files `leases/<n>.json`, made by create-if-absent: the highest number counts.
Whoever takes, renews or gives back puts the next number, and fails if somebody was quicker. It ends when it runs
out, and at once where the process that holds it is of this host and gone. There is no unlock command.

Backups need no lease (FORMAT.md section 11 says why).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage import canonical
from storage.backend import Backend
from storage.errors import Busy, ObjectCorrupt, ObjectMissing
from storage.holder import Holder, this_process
from storage.snapshot import from_text, to_text

FOLDER = "leases/"
TTL = timedelta(minutes=15)
_NAME = re.compile(r"leases/([0-9]{8,12})\.json")
_HINT = "wait for it to end; if its host is gone for good, the lease runs out by itself"


@dataclass(frozen=True, slots=True)
class Held:
    """What one file of a lease says."""

    number: int
    holder: str  # JSON of the process; "" once it was given back
    taken_at: datetime
    expires_at: datetime

    def free(self, now: datetime) -> bool:
        """Whether anybody may take it. A clock that went back does not make it last longer than it may."""
        if not self.holder or not self.taken_at - TTL <= now < self.expires_at:
            return True
        try:
            return Holder.decode(self.holder).dead()
        except (ValueError, KeyError, TypeError):
            return False


class Lease:
    """A lease that is held: `renew` before each step that deletes."""

    def __init__(self, backend: Backend, number: int, clock: Callable[[], datetime]) -> None:
        self._backend = backend
        self._number = number
        self._clock = clock
        self._until = clock() + TTL

    def renew(self) -> None:
        """Make sure that it is still ours. Raises Busy where it ran out, by any clock, and others took it."""
        now = self._clock()
        if max(_numbers(self._backend), default=0) != self._number:
            raise Busy("the lease on freeing space: somebody else has it now", hint=_HINT)
        if now < self._until - TTL / 2 and now >= self._until - 2 * TTL:
            return
        self._put(now, this_process().encode(), now + TTL)
        self._until = now + TTL

    def give_back(self) -> None:
        """Let others take it at once. Losing it meanwhile is no error."""
        now = self._clock()
        try:
            self._put(now, "", now)
        except Busy:
            return

    def _put(self, now: datetime, holder: str, until: datetime) -> None:
        number = self._number + 1
        if not _put_new(self._backend, number, holder, now, until):
            raise Busy("the lease on freeing space: it ran out, and somebody else has it now", hint=_HINT)
        self._backend.delete(name_of(self._number))
        self._number = number


@contextmanager
def held(backend: Backend, clock: Callable[[], datetime]) -> Iterator[Lease]:
    """Hold the lease. Raises Busy where somebody else does. Retry: yes, later."""
    now = clock()
    there = sorted(_numbers(backend))
    last = _read(backend, there[-1]) if there else None
    if last is not None and not last.free(now):
        raise Busy(f"{backend.url}: space is being freed already, by {_who(last)} since {last.taken_at:%H:%M} UTC",
                   hint=_HINT)  # fmt: skip
    number = there[-1] + 1 if there else 1
    if not _put_new(backend, number, this_process().encode(), now, now + TTL):
        raise Busy(f"{backend.url}: somebody else began to free space at this moment", hint=_HINT)
    for old in there:
        backend.delete(name_of(old))
    lease = Lease(backend, number, clock)
    try:
        yield lease
    finally:
        lease.give_back()


def name_of(number: int) -> str:
    """Where the file of that number lies."""
    return f"{FOLDER}{number:08d}.json"


def is_lease(name: str) -> bool:
    """Whether a file of a lease is called so."""
    return _NAME.fullmatch(name) is not None


def decode(data: bytes, name: str) -> Held:
    """The lease in `data`. Raises ValueError."""
    value = canonical.unseal(data)
    if value.get("kind") != "lease" or value.get("format") != 1:
        raise ValueError("not the lease that its name promises")
    found = Held(
        canonical.count(value.get("number")),
        canonical.text(value.get("holder")),
        from_text(canonical.text(value.get("taken_at"))),
        from_text(canonical.text(value.get("expires_at"))),
    )
    if name_of(found.number) != name:
        raise ValueError(f"holds number {found.number}")
    return found


def _numbers(backend: Backend) -> Iterator[int]:
    for name in backend.list(FOLDER):
        if match := _NAME.fullmatch(name):
            yield int(match[1])


def _read(backend: Backend, number: int) -> Held | None:
    """None where it cannot be read: damaged, nobody can hold by it, and the next number is free."""
    try:
        return decode(backend.get(name_of(number)), name_of(number))
    except (ValueError, ObjectMissing, ObjectCorrupt):
        return None


def _put_new(backend: Backend, number: int, holder: str, now: datetime, until: datetime) -> bool:
    """Whether the number is ours now, and the highest."""
    value = {
        "format": 1,
        "kind": "lease",
        "number": number,
        "holder": holder,
        "taken_at": to_text(now),
        "expires_at": to_text(until),
    }
    if not backend.put_new(name_of(number), [canonical.seal(value)]):
        return False
    if max(_numbers(backend)) == number:
        return True
    backend.delete(name_of(number))  # who was slow put a number that others are past, and have deleted
    return False


def _who(last: Held) -> str:
    try:
        return str(Holder.decode(last.holder))
    except (ValueError, KeyError, TypeError):
        return "somebody"
