"""The demo server as a process of its own: what it announces, and how it ends."""

from __future__ import annotations

import json
import signal
import threading
from datetime import datetime
from types import FrameType
from typing import Any

from flows.demo.roster import SMALLEST
from flows.demo.server import DemoServer
from flows.demo.webadmit_server import WebAdmitServer
from flows.demo.webadmit_world import Admissions
from flows.demo.world import World
from flows.demo.worldclock import START


def announce(server: DemoServer, admissions: WebAdmitServer | None = None) -> dict[str, Any]:
    """What somebody needs to use these servers: address, the PI's key and ids, and the control addresses."""
    lab = server.world.lab
    pi = next(u for u in lab.users.values() if u.is_pi)
    told: dict[str, Any] = {
        "rspace": {
            "url": server.url,
            "api_key": pi.api_key,
            "user_id": pi.id,
            "group_id": next(g.id for g in lab.groups.values() if g.pi_id == pi.id),
            "record_ids": [d.id for d in lab.documents_of(pi.id)][:3],
            "users": [{"id": u.id, "username": u.username, "api_key": u.api_key} for u in lab.users.values()],
            "groups": [{"id": g.id, "name": g.name} for g in lab.groups.values()],
        },
        "control": f"{server.url}/demo/control",
    }
    if admissions is not None:
        told["webadmit"] = admissions.announce()
    return told


def serve_forever(
    port: int,
    seed: int = 1,
    *,
    poll_free: bool = False,
    users: int = SMALLEST,
    groups: int = 1,
    never_logged_in: int = 0,
    system_folders: bool = False,
    start: datetime = START,
    webadmit_port: int = 0,
) -> None:
    """Print one JSON line (see `announce`), then serve until SIGTERM or SIGINT. Call from the main thread.

    With `poll_free` a job is finished by the time of the first poll; the others are the world's, as `start` is,
    the time there at first. WebAdMIT's offices are beside the lab, on ports of their own and by the same clock.
    """
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    world = World(
        seed,
        users=users,
        groups=groups,
        never_logged_in=never_logged_in,
        system_folders=system_folders,
        start=start,
    )
    office = Admissions(seed, clock=world.clock)
    if poll_free:
        world.queue_s = world.run_s = 0.0
        office.init_s = office.queue_s = office.run_s = 0.0
    with DemoServer(world, port) as server, WebAdmitServer(office, webadmit_port) as admissions:
        print(json.dumps(announce(server, admissions)), flush=True)
        stop.wait()
