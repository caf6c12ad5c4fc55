"""One run of the real engine that kills its own process (SIGKILL) at a chosen step.

Usage: driver CONFIG SOURCE SCOPE STEP COUNT before|after, where STEP is `module:Class.method`; the process dies
at call number COUNT (from 1) of that method. With COUNT 0 it lives. Prints the number of calls of each step.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections import Counter
from typing import Any

from flows.workbench import open_engine

CALLS: Counter[str] = Counter()

# Every boundary at which something leaves the process: requests, files of the archive, commits of the catalog.
STEPS = (
    "flows.sources.client:Client._request",
    "flows.sources.rspace:RSpace.login",
    "flows.sources.rspace:RSpace.prepare",
    "flows.sources.rspace:RSpace.start",
    "flows.sources.rspace:RSpace.poll",
    "flows.sources.rspace:RSpace.open",
    "flows.sources.rspace:RSpace.witness",
    "storage.backend:LocalDisk.put_new",
    "storage.backend:LocalDisk.delete",
    "storage.catalog:Catalog.begin_run",
    "storage.catalog:Catalog.note_phase",
    "storage.catalog:Catalog.take_lease",
    "storage.jobs:Jobs.save_intent",
    "storage.jobs:Jobs.mark_asked",
    "storage.jobs:Jobs.save_ref",
    "storage.jobs:Jobs.save_status",
    "storage.catalog:Catalog.record_run",
    "storage.catalog:Catalog.record_snapshot",
    "storage.jobs:Jobs.close",
    "storage.catalog:Catalog.drop_lease",
)


def watch(step: str, fatal: str, count: int, when: str) -> None:
    """Count the calls of `step`; die at the fatal one, before it does anything or after it has done it."""
    module, _, path = step.partition(":")
    owner_name, _, method = path.partition(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original = getattr(owner, method)

    def counted(*args: Any, **kwargs: Any) -> Any:
        CALLS[step] += 1
        mine = step == fatal and CALLS[step] == count
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, counted)


def main() -> None:
    """Run."""
    config, source, scope, fatal, count, when = sys.argv[1:]
    for step in STEPS:
        watch(step, fatal, int(count), when)
    with open_engine(config, source, scope) as engine:
        engine.begin(trigger="cli")
        try:
            engine.login()
            with engine.lease():
                job = engine.start()
                status = engine.wait(job)
                spooled = engine.download(job, status)
                found = engine.keep(job, status, spooled)
                record = engine.finish(job, found)
        except Exception as error:
            record = engine.log.fail(error)
    print(json.dumps({"ended": record.ended, "reason": record.reason, "calls": CALLS}))


if __name__ == "__main__":
    main()
