"""One run of the real engine, and retention after it, that kills its own process (SIGKILL) at a chosen step.

Usage: driver CONFIG SOURCE SCOPE STEP COUNT before|after AT, where STEP is `module:Class.method`; the process dies
at call number COUNT (from 1) of that method. With COUNT 0 it lives. AT: the instant by its clock. After the
run comes what ends a night: what the policy lets go is forgotten. Prints the number of calls of each step.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.clock import SystemClock
from flows.config import load
from flows.retaining import carry_out, plan_for, policies
from flows.workbench import open_archive, open_catalog, open_engine

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


def forget(config: str, clock: SystemClock) -> None:
    """What the policies let go."""
    settings = load(Path(config))
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        made = plan_for(archive, archive.scopes(), policies(settings), now=clock.now())
        carry_out(archive, catalog, made, clock=clock.now)


def main() -> None:
    """Run."""
    config, source, scope, fatal, count, when, at = sys.argv[1:]
    night = datetime.fromisoformat(at)
    for step in {*STEPS, *([fatal] if ":" in fatal else [])}:
        watch(step, fatal, int(count), when)
    with open_engine(config, source, scope, at=night) as engine:
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
    forget(config, SystemClock(night))
    print(json.dumps({"ended": record.ended, "reason": record.reason, "calls": CALLS}))


if __name__ == "__main__":
    main()
