"""From an open answer into the spool: every chunking gives the same file, and what breaks is said."""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.disk import MARGIN, check_disk
from flows.download import QUEUE, receive
from flows.errors import Exit, SourceUnavailable, verdict
from flows.sources.base import Download
from storage.errors import BackendFailed
from storage.verify import Measured

DATA = bytes(range(256)) * 40

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _measured(data: bytes) -> Measured:
    return Measured(len(data), zlib.crc32(data), hashlib.sha256(data).hexdigest())


@same_folder
@given(st.lists(st.binary(max_size=3000), max_size=40))
def test_any_chunking_gives_the_same_file(tmp_path: Path, chunks: list[bytes]) -> None:
    """Size, CRC-32 and SHA-256 are those of the bytes on disk, which are those that came."""
    path = tmp_path / "file"
    data = b"".join(chunks)
    arrived: list[int] = []

    got = receive(Download(iter(chunks), 0, len(data)), path, on_bytes=arrived.append)

    assert path.read_bytes() == data
    assert got == _measured(data)
    assert arrived == [len(chunk) for chunk in chunks]


@same_folder
@given(st.integers(0, len(DATA)), st.booleans(), st.integers(1, 4000))
def test_going_on_from_an_offset_gives_the_whole_file(
    tmp_path: Path, offset: int, honoured: bool, chunk: int
) -> None:
    """Whether the server honours the offset or begins anew, the file and its figures are whole."""
    path = tmp_path / "file"
    path.write_bytes(DATA[:offset] + b"left over from longer ago")
    start = offset if honoured else 0
    rest = DATA[start:]
    chunks = (rest[i : i + chunk] for i in range(0, len(rest), chunk))

    got = receive(Download(chunks, start, len(DATA)), path, offset=offset)

    assert path.read_bytes() == DATA
    assert got == _measured(DATA)


def test_an_answer_from_an_odd_offset_is_refused(tmp_path: Path) -> None:
    """Neither the beginning nor where we asked: nothing is written over what is there."""
    path = tmp_path / "file"
    path.write_bytes(DATA[:100])

    with pytest.raises(SourceUnavailable, match="asked for bytes from 100, the answer begins at 50"):
        receive(Download(iter([DATA[50:]]), 50, len(DATA)), path, offset=100)

    assert path.read_bytes() == DATA[:100]


def test_a_spool_shorter_than_the_offset_is_noticed(tmp_path: Path) -> None:
    """An offset beyond what is there cannot be gone on from."""
    path = tmp_path / "file"
    path.write_bytes(DATA[:10])

    with pytest.raises(SourceUnavailable, match="holds less"):
        receive(Download(iter([DATA[100:]]), 100, len(DATA)), path, offset=100)


class Wrong(NamedTuple):
    announced: int
    came: int


@pytest.mark.parametrize("wrong", [Wrong(100, 99), Wrong(100, 101), Wrong(0, 1), Wrong(1, 0)])
def test_a_body_of_another_length_than_announced_is_refused(tmp_path: Path, wrong: Wrong) -> None:
    """Short or long: both figures are in the message."""
    with pytest.raises(SourceUnavailable, match=f"^{wrong.came} bytes came, {wrong.announced} were announced$"):
        receive(Download(iter([b"x" * wrong.came]), 0, wrong.announced), tmp_path / "file")


def test_a_body_of_unknown_length_is_taken_as_it_comes(tmp_path: Path) -> None:
    """Without Content-Length the promise decides, later."""
    assert receive(Download(iter([b"abc"]), 0, None), tmp_path / "file") == _measured(b"abc")


def test_an_earlier_longer_file_leaves_no_tail(tmp_path: Path) -> None:
    """Writing begins by cutting off what was there."""
    path = tmp_path / "file"
    path.write_bytes(DATA)

    receive(Download(iter([b"short"]), 0, 5), path)

    assert path.read_bytes() == b"short"


def test_what_arrived_before_a_break_stays(tmp_path: Path) -> None:
    """A broken connection leaves its part in the spool, and the error is the connection's."""

    def breaking() -> Iterator[bytes]:
        yield DATA
        raise SourceUnavailable("the connection broke")

    with pytest.raises(SourceUnavailable, match="broke"):
        receive(Download(breaking(), 0, None), tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == DATA


def test_a_callback_that_raises_ends_the_writer(tmp_path: Path) -> None:
    """Nothing keeps running behind an error, whoever raised it."""

    def refuse(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        receive(Download(iter([DATA] * 5), 0, None), tmp_path / "file", on_bytes=refuse)

    assert "spool" not in {thread.name for thread in threading.enumerate()}


FULL = """
import resource, signal, sys
from pathlib import Path
from flows.download import receive
from flows.sources.base import Download
from storage.errors import BackendFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
given = 0
def chunks():
    global given
    for _ in range(400):
        given += 1
        yield bytes(1 << 20)
try:
    receive(Download(chunks(), 0, None), Path(sys.argv[1]))
except BackendFailed as error:
    print(given, error, "|", error.hint)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_ends_the_download_soon(tmp_path: Path) -> None:
    """The writer's error reaches the receiver: no hang, not much more is fetched, and the hint names the disk."""
    path = tmp_path / "file"

    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=30, check=True
    )

    given, _, told = done.stdout.strip().partition(" ")
    assert int(given) <= 3 + QUEUE + 4
    assert told.startswith(f"{path}: File too large | look at free space")


def test_a_disk_error_is_no_fault_of_the_system(tmp_path: Path) -> None:
    """A folder that is gone gives a storage error with a hint, not a bug report."""
    with pytest.raises(BackendFailed) as caught:
        receive(Download(iter([b"x"]), 0, 1), tmp_path / "gone" / "file")

    assert "No such file" in str(caught.value)
    assert "permissions" in verdict(caught.value)[2]


def test_too_little_room_is_said_with_both_figures(tmp_path: Path) -> None:
    """What is free, what is needed with the margin, and what to do; the job is remembered."""
    free = shutil.disk_usage(tmp_path).free

    with pytest.raises(BackendFailed) as caught:
        check_disk(tmp_path, free * 2)

    assert str(caught.value).endswith(f"bytes free, {free * 2 + MARGIN} needed")
    assert "[state] folder" in caught.value.hint
    assert verdict(caught.value)[1] is Exit.UNEXPECTED


def test_enough_room_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin counts: exactly enough passes, one byte less does not."""
    free = shutil.disk_usage(tmp_path)._replace(free=MARGIN + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)

    check_disk(tmp_path, 1000)
    with pytest.raises(BackendFailed):
        check_disk(tmp_path, 1001)
