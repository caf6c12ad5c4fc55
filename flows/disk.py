"""Room on a disk, looked for before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from storage.errors import BackendFailed

MARGIN = 256 << 20  # bytes that stay free on the disk


def check_disk(folder: Path, needed: int) -> None:
    """Raises BackendFailed where `folder`'s disk cannot take `needed` more bytes and keep a margin."""
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise BackendFailed(
            f"{folder}: {free} bytes free, {needed + MARGIN} needed",
            hint="free space, or lay the spool elsewhere ([state] folder); the job is remembered",
        )
