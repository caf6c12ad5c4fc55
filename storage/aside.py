"""Work done beside, in a second thread: hashing, writing and syncing let go of the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

SYNC = 64 << 20  # bytes after which the disk is asked to keep what it has
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has the second one alone


def one_behind(consume: Callable[[bytes], object], parts: Iterator[bytes]) -> Iterator[bytes]:
    """`parts` again, each handed to `consume` in a second thread, in order, before the next but one is asked for.

    When this is used up, everything was consumed. Raises what `consume` raised. Memory: two parts.
    """
    with ThreadPoolExecutor(1) as aside:
        before = None
        for data in parts:
            if before is not None:
                before.result()
            before = aside.submit(consume, data)
            yield data
        if before is not None:
            before.result()


@contextmanager
def syncing(handle: int) -> Iterator[Callable[[int], None]]:
    """Have the disk begin while a file is still written: the sync at its end then finds little left to do.

    Gives what to call with the bytes of each write. Raises OSError where the disk refuses: no later sync would.
    """
    fresh = 0
    running: Future[None] | None = None
    with ThreadPoolExecutor(1) as aside:

        def wrote(count: int) -> None:
            nonlocal fresh, running
            fresh += count
            if fresh >= SYNC and (running is None or running.done()):
                if running is not None:
                    running.result()
                fresh, running = 0, aside.submit(_sync, handle)

        yield wrote
        if running is not None:
            running.result()
