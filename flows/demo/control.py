"""Steer a demo world in another process: time, nights, switches, sizes. No key is asked; it is a demo.

It speaks plain JSON of its own, not the dialect of any real system. POST /demo/control takes:
`advance_s` (move the clock), `nights` (move it by days on which people work), `faults` (see faults.py; null
resets), `bulk_bytes` (added to each later export), `serve_file` (path the next completed export serves),
`queue_s` and `run_s` (seconds of a job's life), `wipe_jobs` (true forgets the history).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.demo.message import Request, Response
from flows.demo.world import World
from flows.demo.worldclock import iso_millis

_KEYS = ("advance_s", "nights", "faults", "bulk_bytes", "serve_file", "queue_s", "run_s", "wipe_jobs")


def handle(world: World, request: Request, log: dict[str, Any]) -> Response:
    """POST /demo/control applies every key given, in the order of `_KEYS`; GET /demo/requests shows `log`."""
    if (request.method, request.path) == ("GET", "/demo/requests"):
        return _answer(log)
    if (request.method, request.path) != ("POST", "/demo/control"):
        return _answer({"error": "know only POST /demo/control and GET /demo/requests"}, 404)
    try:
        wishes = json.loads(request.body or b"{}")
        if not isinstance(wishes, dict):
            raise ValueError("wants a JSON object")
        if unknown := sorted(set(wishes) - set(_KEYS)):
            raise ValueError(f"unknown key {unknown[0]}, known are {', '.join(_KEYS)}")
        for key in _KEYS:
            if key in wishes:
                _apply(world, key, wishes[key])
    except (ValueError, TypeError) as problem:
        return _answer({"error": str(problem)}, 400)
    return _answer({"now": iso_millis(world.now()), "faults": world.faults.active()})


def _apply(world: World, key: str, value: Any) -> None:
    if key == "advance_s":
        world.advance(float(value))
    elif key == "nights":
        world.pass_nights(int(value))
    elif key == "faults" and value is None:
        world.faults.reset()
    elif key == "faults":
        world.faults.set(**value)
    elif key == "bulk_bytes":
        world.bulk_bytes = int(value)
    elif key == "serve_file":
        world.serve_file = _readable(value)
    elif key == "queue_s":
        world.queue_s = float(value)
    elif key == "run_s":
        world.run_s = float(value)
    elif key == "wipe_jobs" and value:
        world.wipe_jobs()


def _readable(value: Any) -> Path | None:
    if value is None:
        return None
    path = Path(str(value))
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path


def _answer(value: Any, status: int = 200) -> Response:
    return Response(status, (json.dumps(value) + "\n").encode())
