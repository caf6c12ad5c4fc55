"""What a dialect must remember of a job, in the job's folder of the spool: it goes when the job is over."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "notebook.json"


class Notebook:
    """See `sources.base.Notebook`. One process writes at a time: the holder of the credential's lease."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[str, Any]:
        """See `sources.base.Notebook`. What cannot be read was never written whole, and says nothing."""
        try:
            found = json.loads((self.folder / NAME).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, notes: Mapping[str, Any]) -> None:
        """See `sources.base.Notebook`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / NAME
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as stream:
            json.dump(notes, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
