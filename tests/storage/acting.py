"""What tests of forgetting, freeing and erasing share: a process that stays dead, and backups beside one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from io import BytesIO
from itertools import count
from typing import TypeVar

from storage.archive import Archive
from storage.backend import Backend, Memory
from storage.errors import ObjectMissing
from storage.index import Index, pack_digest
from storage.lease import TTL
from storage.objects import Oid
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import Clock, Died, Files, draft, opened, put_around

T = TypeVar("T")


class Beside:
    """A backend that calls `before` ahead of each call, with its number from 1, and `after` behind it."""

    def __init__(
        self, inner: Backend, before: Callable[[int], None], after: Callable[[int], None] = lambda _: None
    ) -> None:
        self.inner, self._before, self._after, self.calls = inner, before, after, 0

    @property
    def url(self) -> str:
        return self.inner.url

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        return self._around(lambda: self.inner.put_new(name, chunks))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._around(lambda: self.inner.get(name, offset, length))

    def size(self, name: str) -> int | None:
        return self._around(lambda: self.inner.size(name))

    def list(self, prefix: str) -> Iterator[str]:
        return self._around(lambda: iter(list(self.inner.list(prefix))))

    def delete(self, name: str) -> None:
        self._around(lambda: self.inner.delete(name))

    def _around(self, effect: Callable[[], T]) -> T:
        self.calls += 1
        number = self.calls
        self._before(number)
        found = effect()
        self._after(number)
        return found


class Mortal(Beside):
    """A backend whose process dies behind so many changes. Who is dead cleans nothing up: later calls die, too."""

    def __init__(self, inner: Backend, changes: int) -> None:
        super().__init__(inner, self._gone)
        self._left = changes

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        made = super().put_new(name, chunks)
        self._left -= 1
        return made

    def delete(self, name: str) -> None:
        super().delete(name)
        self._left -= 1

    def _gone(self, number: int) -> None:
        if self._left <= 0:
            raise Died(f"before call {number}")


B = TypeVar("B", bound=Backend)


def deaths(base: Memory, operation: Callable[[Archive], object], fresh: Callable[[Memory], B]) -> Iterator[B]:
    """What is there after dying behind change 0, 1, 2 … of the operation, until it outlives them all.

    Reading changes nothing: dying behind a call that reads is dying behind the change before it. Each time the
    operation begins with a `fresh` copy of the archive.
    """
    for changes in count():
        backend = fresh(base)
        archive = opened(backend)
        put_around(archive, lambda below: Mortal(below, changes))  # noqa: B023 - called at once
        try:
            operation(archive)
        except Died:
            yield backend
            continue
        return


class Runner:
    """A backup in the making that takes one step at a time: what each file is, then the commit. Runs again as a
    night does, when what it reused is gone."""

    def __init__(self, backend: Backend, key: ScopeKey, files: Files, night: datetime) -> None:
        self._archive = opened(backend)
        self._key, self._files, self._night = key, files, night
        self.found: Snapshot | None = None
        self.again = 0
        self._steps = self._work()

    def step(self) -> None:
        """Do the next thing; nothing where it is done."""
        next(self._steps, None)

    def finish(self) -> Snapshot:
        """Do all that is left."""
        for _ in self._steps:
            pass
        assert self.found is not None
        return self.found

    def _work(self) -> Iterator[None]:
        for self.again in range(5):
            try:
                writer = Writer(self._archive, self._key, proven=self.again > 0)
                yield
                for path, data in self._files.items():
                    writer.add(path, BytesIO(data), promised=Promise(size=len(data)))
                    yield
                self.found = writer.commit(draft(self._key, self._night), clock=Clock(self._night))
                return
            except ObjectMissing:
                yield
        raise AssertionError("five times in vain")


def listed(archive: Archive) -> set[Oid]:
    """Every object that a pack's footer lists."""
    packs = [pack for pack in map(pack_digest, archive.backend.list("packs/")) if pack]
    index = Index(archive.backend, archive.scheme)
    index.load(packs)
    return {oid for pack in packs for oid in index.oids(pack) or ()}


def later(now: datetime, times: int = 1) -> datetime:
    """When the lease of who died has run out."""
    return now + times * (TTL + timedelta(minutes=1))
