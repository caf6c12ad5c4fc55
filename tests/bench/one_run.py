"""One backup in a process of its own, for the benchmarks to measure: by the engine alone, or by the Prefect flow.

    python -m tests.bench.one_run CONFIG SOURCE SCOPE NOTES [--prefect]

Writes what it noted about itself to the file NOTES, as JSON. It is no benchmark by itself.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import lab


class Phases:
    """Wall and CPU seconds of methods, each less those of the measured methods that it calls."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._inner = [[0.0, 0.0]]

    def time(self, owner: type, method: str, phase: str) -> None:
        """Measure that method from now on."""
        inner: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(inner)
        def outer(*args: Any, **named: Any) -> Any:
            began = time.monotonic(), time.process_time()
            self._inner.append([0.0, 0.0])
            try:
                return inner(*args, **named)
            finally:
                took = time.monotonic() - began[0], time.process_time() - began[1]
                below = self._inner.pop()
                mine = self.spent.setdefault(phase, [0.0, 0.0])
                for at in (0, 1):
                    mine[at] += took[at] - below[at]
                    self._inner[-1][at] += took[at]

        setattr(owner, method, outer)


def by_engine(config: Path, source: str, scope: str) -> dict[str, Any]:
    """From the begin of a run to its record, without Prefect."""
    from flows.lifecycle import Engine
    from flows.sources.rspace import RSpace
    from flows.workbench import open_engine
    from storage.reader import Reader
    from storage.writer import Writer

    phases = Phases()
    phases.time(Engine, "download", "download")
    phases.time(RSpace, "inspect", "ZIP test")
    phases.time(Writer, "add", "packs")
    phases.time(Writer, "commit", "last pack, manifest")
    phases.time(Reader, "prove", "read-back")
    phases.time(Engine, "keep", "rest")
    make_archive(config)
    with open_engine(config, source, scope) as engine:
        idle = lab.resident()
        engine.begin(trigger="bench")
        engine.login()
        with engine.lease():
            job = engine.start()
            status = engine.wait(job)
            spooled = engine.download(job, status)
            found = engine.keep(job, status, spooled)
            engine.finish(job, found)
    if found.manifest.draft.quality != "verified":
        raise SystemExit(f"the snapshot is {found.manifest.draft.quality}, promised verified")
    return {"idle": idle, "phases": phases.spent, "size": found.manifest.size}


def by_flow(config: Path, source: str, scope: str) -> dict[str, Any]:
    """The real flow, on the Prefect server of the configuration's state folder."""
    from flows import config as configuration
    from flows.server_at_hand import adopt, ensure_server

    make_archive(config)
    settings = configuration.load(config)
    adopt(ensure_server(settings.state), settings.state)
    from flows.backup import backup

    idle = lab.resident()
    state = backup(source, scope, str(config), None, return_state=True)
    if state.name != "Verified":
        raise SystemExit(f"the run ended {state.name} ({state.message}), promised Verified")
    return {"idle": idle}


def make_archive(config: Path) -> None:
    """The archive that the configuration names."""
    from flows import config as configuration
    from storage.archive import Archive
    from storage.backend import open_url

    settings = configuration.load(config)
    Archive.create(open_url(settings.file.archive.url, base=settings.folder), now=datetime.now(UTC))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.one_run", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("source")
    parser.add_argument("scope")
    parser.add_argument("notes", type=Path)
    parser.add_argument("--prefect", action="store_true")
    given = parser.parse_args()
    notes = (by_flow if given.prefect else by_engine)(given.config, given.source, given.scope)
    used = resource.getrusage(resource.RUSAGE_SELF)
    notes["peak"] = lab.high_water() or lab.in_bytes(used.ru_maxrss)
    given.notes.write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    main()
