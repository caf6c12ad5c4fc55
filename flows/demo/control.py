"""Steer a demo world in another process: time, nights, switches, sizes. No key is asked; it is a demo.

It speaks plain JSON of its own, not the dialect of any real system. POST /demo/control takes:
`advance_s` (move the clock), `nights` (move it by days on which people work), `faults` (see faults.py; null
resets, aimed ones too), `faults_for` (target -> switches for its exports alone; null for one target or for all
clears), `bulk_bytes` (added to each later export), `serve_file` (path the next completed export serves),
`queue_s` and `run_s` (seconds of a job's life), `wipe_jobs` (true forgets the history), `close_zombies` (true: an
administrator sets them to FAILED), `rotate_log` (true: what is older is no longer in the activity log),
`delete_work` (username -> how many documents stay: somebody deletes the others, and the files that they showed).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flows.demo.message import Request, Response
from flows.demo.switches import Switches
from flows.demo.world import World
from flows.demo.worldclock import iso_millis

Show = Callable[[], dict[str, Any]]


def handle(world: World, request: Request, log: dict[str, Any]) -> Response:
    """POST /demo/control applies every key given, in the order of `_KEYS`; GET /demo/requests shows `log`."""
    return steer(
        request,
        keys={key: partial(apply, world) for key, apply in _KEYS.items()},
        shown={"requests": lambda: log},
        state=lambda: {
            "now": iso_millis(world.now()),
            "faults": world.faults.active(),
            "faults_for": world.faults.aimed(),
        },
    )


def steer(
    request: Request, *, keys: Mapping[str, Callable[[Any], object]], shown: Mapping[str, Show], state: Show
) -> Response:
    """GET /demo/<name of shown>, and POST /demo/control: every key given, in the order of `keys`, then `state`."""
    if request.method == "GET" and (show := shown.get(request.path.removeprefix("/demo/"))):
        return _answer(show())
    if (request.method, request.path) != ("POST", "/demo/control"):
        readable = " and ".join(f"GET /demo/{name}" for name in shown)
        return _answer({"error": f"know only POST /demo/control and {readable}"}, 404)
    try:
        wishes = json.loads(request.body or b"{}")
        if not isinstance(wishes, dict):
            raise ValueError("wants a JSON object")
        if unknown := sorted(set(wishes) - set(keys)):
            raise ValueError(f"unknown key {unknown[0]}, known are {', '.join(keys)}")
        for key, apply in keys.items():
            if key in wishes:
                apply(wishes[key])
    except (ValueError, TypeError, AttributeError, KeyError) as problem:
        return _answer({"error": str(problem)}, 400)
    return _answer(state())


def set_faults(faults: Switches, value: Any) -> None:
    """Set switches; null resets all, aimed ones too."""
    if value is None:
        faults.reset()
    else:
        faults.set(**value)


def aim_faults(faults: Switches, value: Any) -> None:
    """Target -> switches; null for one target or for all clears."""
    if value is None:
        faults.stop_aiming()
        return
    for target, switches in value.items():
        if switches is None:
            faults.stop_aiming(target)
        else:
            faults.aim(target, **switches)


def _delete_work(world: World, value: Any) -> None:
    try:
        for username, keep in value.items():
            world.delete_work(username, keep=int(keep))
    except StopIteration:
        raise ValueError(f"delete_work: no such user among {', '.join(value)}") from None


def _serve_file(world: World, value: Any) -> None:
    world.serve_file = readable(value)


def _bulk_bytes(world: World, value: Any) -> None:
    world.bulk_bytes = int(value)


def _queue_s(world: World, value: Any) -> None:
    world.queue_s = float(value)


def _run_s(world: World, value: Any) -> None:
    world.run_s = float(value)


def _if_true(act: Callable[[World], object]) -> Callable[[World, Any], None]:
    def apply(world: World, value: Any) -> None:
        if value:
            act(world)

    return apply


# in the order in which they are applied
_KEYS: dict[str, Callable[[World, Any], None]] = {
    "advance_s": lambda world, value: world.advance(float(value)),
    "nights": lambda world, value: world.pass_nights(int(value)),
    "faults": lambda world, value: set_faults(world.faults, value),
    "faults_for": lambda world, value: aim_faults(world.faults, value),
    "bulk_bytes": _bulk_bytes,
    "serve_file": _serve_file,
    "queue_s": _queue_s,
    "run_s": _run_s,
    "wipe_jobs": _if_true(World.wipe_jobs),
    "close_zombies": _if_true(World.close_zombies),
    "rotate_log": _if_true(World.rotate_log),
    "delete_work": _delete_work,
}


def readable(value: Any) -> Path | None:
    """The file of that path, or none for null. Raises ValueError where there is no such file."""
    if value is None:
        return None
    path = Path(str(value))
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path


def _answer(value: Any, status: int = 200) -> Response:
    return Response(status, (json.dumps(value) + "\n").encode())
