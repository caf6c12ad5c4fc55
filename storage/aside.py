"""Work done one step behind, in a second thread: hashing and writing let go of the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


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
