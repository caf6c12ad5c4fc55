"""The memory of what was told: whole or not at all, private, and no obstacle when it is damaged."""

from __future__ import annotations

import fcntl
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.ops import told
from flows.ops.alarm import Level
from flows.ops.telling import Told

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
MEMORY = {"stale lab/user:7": Told(Level.CRITICAL, NOW, NOW, "lab/user:7: last verified never", NOW, open=False)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """By its owner alone, and nothing is left beside it."""
    path = tmp_path / "told.json"
    assert told.read(path) == {}
    (tmp_path / "told.json.part").write_text("left by one that was killed")

    told.write(path, MEMORY)

    assert told.read(path) == MEMORY
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["told.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"format": 1, "told": {"a": {"le',
        b'{"format": 2, "told": {}}',
        b'{"format": 1, "told": {"a": {"level": "loud"}}}',
        b'{"format": 1, "told": ["a"]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """It says nothing, is logged, and can be looked at."""
    path = tmp_path / "told.json"
    path.write_bytes(content)

    assert told.read(path) == {}

    assert "what was told before is told again" in caplog.text
    assert (tmp_path / "told.json.damaged").read_bytes() == content
    assert not path.exists()


def test_one_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who comes second waits until the first has ended, and not for ever."""
    waited: list[float] = []
    path = tmp_path / "told.json"

    with told.alone(path, sleep=waited.append):
        lock = os.open(tmp_path / "told.json.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert waited == []
        with caplog.at_level(logging.WARNING), told.alone(path, sleep=waited.append):
            assert sum(waited) == told.PATIENCE_S
    assert "another look has been telling" in caplog.text
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)


def test_a_disk_that_takes_no_lock_does_not_stop_the_telling(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "state").write_text("")

    with told.alone(tmp_path / "state" / "told.json", sleep=lambda _: None):
        assert told.read(tmp_path / "state" / "told.json") == {}
