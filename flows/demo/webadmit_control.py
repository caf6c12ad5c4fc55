"""Steer the demo's WebAdMIT in another process, and ask what clients did to it. No key is asked; it is a demo.

POST /demo/control on the API's port takes: `advance_s`, `nights` (move the clock), `faults` (see
webadmit_faults.py; null resets, aimed ones too), `faults_for` ("export/<id>" or "template/<id>" -> switches; null
for one or for all clears), `init_s`, `queue_s` and `run_s` (seconds of a run's life), `pdf_bytes` (added to each
PDF), `serve_file` (path; the next run that a client starts serves it), `rotate_key` (username), `rollover` (true,
or {"transfer": bool, "retire": bool}: a new cycle opens), `add_export` ({"identity", "name", "list_type",
"format"}), `remove_export` (id), `start_elsewhere` (id of an export or a PDF template, or {"id", "ago_s", "by",
"ends"}), `close_stuck` (true: what hangs has failed).

GET /demo/requests: every request to API and store, in the order of the answers. GET /demo/report: whose key
reached the store, links issued and altered, most runs at once, requests by kind, callbacks sent, runs. GET
/demo/announce: addresses, and the keys as they are now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flows.demo.control import Show, aim_faults, readable, set_faults, steer
from flows.demo.message import Request, Response
from flows.demo.webadmit_runs import status
from flows.demo.webadmit_world import Admissions
from flows.demo.worldclock import iso_millis


def handle(world: Admissions, request: Request, shown: dict[str, Show]) -> Response:
    """POST /demo/control applies every key given, in the order of `_KEYS`; GET /demo/<name> shows."""
    return steer(
        request,
        keys={key: partial(apply, world) for key, apply in _KEYS.items()},
        shown=shown,
        state=lambda: {
            "now": iso_millis(world.now()),
            "faults": world.faults.active(),
            "faults_for": world.faults.aimed(),
        },
    )


def report(world: Admissions, kinds: dict[str, int]) -> dict[str, Any]:
    """What clients did so far. `kinds`: how many requests there were, by kind."""
    now = world.now()
    with world.lock:
        runs = [*world.runs.values(), *world.batches.values()]
    return {
        "key_leaked": bool(world.leaked),
        "leaked": list(world.leaked),
        "links_issued": world.links_issued,
        "links_altered": world.links_altered,
        "most_runs_at_once": world.most_at_once(),
        "requests": kinds,
        "callbacks": [{"url": s.url, "body": s.body, "answer": s.answer} for s in world.callbacks.sent],
        "runs": [
            {
                "id": run.id,
                "kind": run.kind,
                "template": run.template_id,
                "started_by": run.started_by,
                "status": status(run, now),
            }
            for run in runs
        ],
    }


def _rollover(world: Admissions, value: Any) -> None:
    if value is True:
        world.roll_over()
    elif value:
        world.roll_over(**value)


def _add_export(world: Admissions, value: Any) -> None:
    world.office.add_export(value["identity"], value["name"], value.get("list_type"), value["format"])


def _remove_export(world: Admissions, value: Any) -> None:
    if world.office.exports.pop(int(value), None) is None:
        raise ValueError(f"remove_export: {value}: no such export")


def _start_elsewhere(world: Admissions, value: Any) -> None:
    wish = dict(value) if isinstance(value, dict) else {"id": value}
    world.start_elsewhere(int(wish.pop("id")), **wish)


def _number(name: str, kind: type) -> Callable[[Admissions, Any], None]:
    return lambda world, value: setattr(world, name, kind(value))


# in the order in which they are applied
_KEYS: dict[str, Callable[[Admissions, Any], object]] = {
    "advance_s": lambda world, value: world.advance(float(value)),
    "nights": lambda world, value: world.pass_nights(int(value)),
    "faults": lambda world, value: set_faults(world.faults, value),
    "faults_for": lambda world, value: aim_faults(world.faults, value),
    "init_s": _number("init_s", float),
    "queue_s": _number("queue_s", float),
    "run_s": _number("run_s", float),
    "pdf_bytes": _number("pdf_bytes", int),
    "serve_file": lambda world, value: setattr(world, "serve_file", readable(value)),
    "rotate_key": lambda world, value: world.rotate_key(value),
    "rollover": _rollover,
    "add_export": _add_export,
    "remove_export": _remove_export,
    "start_elsewhere": _start_elsewhere,
    "close_stuck": lambda world, value: world.close_stuck() if value else 0,
}
