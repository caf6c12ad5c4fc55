"""A file from an open answer into the spool: one thread receives, a second one writes, a third one measures.

Knows neither HTTP nor any system. What to do about a file that differs from its promise is the engine's business.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from flows.errors import SourceUnavailable
from flows.sources.base import Download
from storage.aside import syncing
from storage.errors import BackendFailed
from storage.verify import Measured, Meter

QUEUE = 16  # pieces (of 1 MiB) between two threads: what a slow disk may fall behind
READ = 1 << 20


def receive(
    download: Download,
    path: Path,
    *,
    offset: int = 0,
    most: int | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Write the answer's bytes to `path` and measure the whole file. Durable when it returns.

    `offset` bytes are already there and were asked to be skipped: they are measured again and kept if the answer
    begins behind them, thrown away if it begins at 0. Raises SourceUnavailable where the answer is shorter or
    longer than its headers said, or breaks, and BackendFailed where the disk refuses; what arrived stays in
    `path`. Beyond `most` bytes nothing more is read: the caller's comparison then fails. Memory: some
    QUEUE pieces.
    """
    meter = Meter()
    try:
        with path.open("r+b" if path.exists() else "x+b") as stream:
            if download.start == offset:
                for piece in _read(stream, offset):
                    meter.update(piece)
            elif download.start != 0:
                raise SourceUnavailable(f"asked for bytes from {offset}, the answer begins at {download.start}")
            stream.seek(download.start)
            stream.truncate()
            _pump(download.chunks, stream, meter, on_bytes, most)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as exc:
        raise BackendFailed(f"{path}: {exc.strerror or exc}") from exc
    measured = meter.result()
    endless = most is not None and measured.size > most
    if not endless and download.total is not None and measured.size != download.total:
        raise SourceUnavailable(f"{measured.size} bytes came, {download.total} were announced", answered=True)
    return measured


def _pump(
    chunks: Iterator[bytes | bytearray],
    stream: BinaryIO,
    meter: Meter,
    on_bytes: Callable[[int], None],
    most: int | None,
) -> None:
    done = 0
    failed: list[BaseException] = []
    with (
        syncing(stream.fileno()) as wrote,
        _aside(stream.write, failed) as write,
        _aside(meter.update, failed) as measure,
    ):
        for piece in chunks:
            write.put(piece)
            measure.put(piece)
            on_bytes(len(piece))
            wrote(len(piece))
            done += len(piece)
            if failed or (most is not None and done > most):
                break
    if failed:
        raise failed[0]


@contextmanager
def _aside(
    work: Callable[[bytes | bytearray], object], failed: list[BaseException]
) -> Iterator[queue.Queue[bytes | bytearray | None]]:
    """A thread that does `work` with what is put; all is done at the end. What it raises stands in `failed`."""
    pieces: queue.Queue[bytes | bytearray | None] = queue.Queue(QUEUE)

    def run() -> None:
        while (piece := pieces.get()) is not None:
            if failed:
                continue  # drain, so that the receiver never waits for a place
            try:
                work(piece)
            except BaseException as exc:  # raised by the receiving thread
                failed.append(exc)

    thread = threading.Thread(target=run, name="spool", daemon=True)
    thread.start()
    try:
        yield pieces
    finally:
        pieces.put(None)
        thread.join()


def _read(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0:
        piece = stream.read(min(READ, length))
        if not piece:
            raise SourceUnavailable("the spool holds less than was said")
        length -= len(piece)
        yield piece
