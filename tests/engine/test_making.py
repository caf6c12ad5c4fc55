"""The first key file: whole, or not there."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flows.making import make_key_file
from storage.keytext import holder_secret

FULL = """
import resource, signal, sys
from pathlib import Path
from flows.errors import ConfigError
from flows.making import make_key_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    make_key_file(Path(sys.argv[1]))
except ConfigError as error:
    print(error, "|", error.hint)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
@pytest.mark.parametrize("room", [0, 30])
def test_a_full_disk_leaves_no_half_key(tmp_path: Path, room: int) -> None:
    """It is told, and nothing lies there; once there is room, the same call makes a key, and another leaves it."""
    path = tmp_path / "strongroom.key"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(room)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.startswith(f"{path}: File too large | free space")
    assert list(tmp_path.iterdir()) == []
    assert make_key_file(path)
    made = path.read_text()
    assert holder_secret(made) is not None and path.stat().st_mode & 0o777 == 0o600
    assert not make_key_file(path)
    assert path.read_text() == made
