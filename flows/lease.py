"""One credential exports one thing at a time, whatever started it: a lease in the catalog, renewed while we live.

A holder that died loses it at once, one that hangs loses it when it runs out. There is no unlock command.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from flows.clock import Clock, SystemClock
from storage.catalog import Catalog
from storage.errors import Busy, StorageError
from storage.holder import Holder, this_process

TTL = timedelta(minutes=2)
LOOK_S = 1.0  # how often a waiting run looks whether the lease is free
_in_process: dict[str, threading.Lock] = {}  # by credential: the catalog knows processes, not their threads


@contextmanager
def held(
    catalog: Catalog,
    credential: str,
    *,
    wait_s: float,
    clock: Clock | None = None,
    on_wait: Callable[[Holder], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lease on `credential`. Waits up to `wait_s` for another holder, then raises Busy.

    Always by the machine's clock, whatever night is being rehearsed: leases are between processes.
    """
    clock = clock or SystemClock()
    me = this_process()
    with _alone(credential, me, wait_s, on_wait):
        _take(catalog, credential, me, wait_s, clock, on_wait)
        stop = threading.Event()
        keeper = threading.Thread(
            target=_renew, args=(catalog, credential, me, clock, stop), name="lease", daemon=True
        )
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()
            catalog.drop_lease(credential, me)


@contextmanager
def _alone(credential: str, me: Holder, wait_s: float, on_wait: Callable[[Holder], None]) -> Iterator[None]:
    """One thread of this process at a time."""
    lock = _in_process.setdefault(credential, threading.Lock())
    if not lock.acquire(blocking=False):
        on_wait(me)
        if not lock.acquire(timeout=wait_s):
            raise Busy(f"{credential}: in use by another run of this process for more than {wait_s:.0f} s")
    try:
        yield
    finally:
        lock.release()


def _take(
    catalog: Catalog, credential: str, me: Holder, wait_s: float, clock: Clock, on_wait: Callable[[Holder], None]
) -> None:
    deadline = clock.now() + timedelta(seconds=wait_s)
    told = False
    while (other := catalog.take_lease(credential, me, now=clock.now(), ttl=TTL)) is not None:
        if clock.now() >= deadline:
            raise Busy(f"{credential}: in use by {other} for more than {wait_s:.0f} s")
        if not told:
            on_wait(other)
            told = True
        clock.sleep(LOOK_S)


def _renew(catalog: Catalog, credential: str, me: Holder, clock: Clock, stop: threading.Event) -> None:
    while not stop.wait(TTL.total_seconds() / 4):
        try:
            catalog.take_lease(credential, me, now=clock.now(), ttl=TTL)
        except StorageError:
            continue  # a full disk for a moment; the next renewal is half a minute away, the lease four
