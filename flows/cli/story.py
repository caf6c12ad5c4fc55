"""The demo's story: some nights of a made-up lab, through the real flows on a real Prefect server.

The nights are the demo's own: its server's clock moves on a day at a time, and the flows are told to rehearse
that date. Rehearsed nights let nothing go, so the demo does that itself, in the archive that it made. Everything
else is what a user's own night does.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from flows.cli.console import complain, day, number, out, print_json, print_table, say
from flows.cli.make import join_prefect, leave_prefect, overall
from flows.clock import SystemClock
from flows.demo import DemoServer, World, announce
from flows.errors import Exit
from storage.archive import Archive
from storage.backend import open_url
from storage.restore import Lost, restore

KEY = "STRONGROOM_DEMO_KEY"

CONFIGURATION = """\
# Made by `strongroom demo`: a lab on a server that lives as long as the demo.
[archive]
url = "archive"

[policy]
timezone = "Europe/Vienna"
keep_last = 3

[[source]]
name = "lab"
system = "rspace"
url = "{url}"
api_key = {{ env = "{key}" }}
poll_first_s = 0.2
poll_longest_s = 1.0

[[source.scope]]
kind = "user"                # the key's own records

[[source.scope]]
kind = "group"
id = {group}
format = "html"

[[source.scope]]
kind = "selection"
name = "paper"
ids = {records}
"""


def tell(folder: Path, *, nights: int, start: datetime, stay: bool, json: bool) -> int:
    """Show it; the first night is at `start`.

    Exit code of the worst night; VERIFICATION where the restored file differs.
    """
    from flows import config as configuration
    from flows.server_at_hand import stop_server
    from flows.workbench import open_archive

    began = time.monotonic()
    out.quiet = json
    with DemoServer(World(seed=1, start=start)) as server:
        facts = announce(server)["rspace"]
        os.environ[KEY] = facts["api_key"]
        path = folder / configuration.FILE_NAME
        path.write_text(
            CONFIGURATION.format(
                url=facts["url"], key=KEY, group=facts["group_id"], records=facts["record_ids"][:5]
            ),
            encoding="utf-8",
        )
        settings = configuration.load(path)
        Archive.create(open_url(settings.file.archive.url, base=settings.folder), now=datetime.now(UTC))
        say(f"a made-up lab answers as RSpace at {facts['url']}")
        # Its own Prefect server, whatever is configured for real work: a demo must not fill somebody's history.
        for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
            os.environ.pop(name, None)
        # What is forgotten between the nights is part of no run.
        os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
        ui = join_prefect(settings, passing=True).ui_url
        try:
            codes = [_night(server, path, place) for place in range(1, nights + 1)]
            archive = open_archive(settings)
            _print_snapshots(archive)
            code = _prove(archive, server, folder)
            say(f"{nights} nights in {time.monotonic() - began:.0f} s; everything is in {folder}")
            if stay:
                say(f"Prefect UI: {ui} (Ctrl-C ends the demo)")
                signal.sigwait({signal.SIGINT, signal.SIGTERM})
            else:
                say(f"look around: strongroom snapshots -c {path}; with --stay, the Prefect UI stays up")
        finally:
            leave_prefect()
            stop_server(settings.state)
    final = code or overall(codes)
    if json:
        kept = [
            {"id": s.id, "scope": s.key.scope, "quality": s.manifest.draft.quality} for s in archive.snapshots()
        ]
        print_json("demo", {"folder": str(folder), "exit_code": int(final), "snapshots": kept})
    return final


def _night(server: DemoServer, path: Path, place: int) -> int:
    from flows.backup import nightly

    if place > 1:
        server.world.pass_nights(1)
    clock = SystemClock(server.world.now())
    state = nightly(None, str(path), clock.now(), return_state=True)
    out.print(f"night {place}, {clock.now():%Y-%m-%d}: {state.message}", markup=False)
    _let_go(path, clock)
    return Exit.DONE if state.is_completed() else Exit.PARTLY


def _let_go(path: Path, clock: SystemClock) -> None:
    """Forget what the policy lets go by that night."""
    from flows import config as configuration
    from flows.retaining import carry_out, plan_for, policies
    from flows.workbench import open_archive, open_catalog

    settings = configuration.load(path)
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        made = plan_for(archive, archive.scopes(), policies(settings), now=clock.now())
        if not made.fuse():
            carry_out(archive, catalog, made, clock=clock.now)


def _print_snapshots(archive: Archive) -> None:
    rows = []
    for found in archive.snapshots():
        manifest = found.manifest
        rows.append(
            (
                found.id[:8],
                str(found.key),
                day(manifest.draft.taken_at),
                manifest.draft.quality.value,
                number(manifest.size),
                number(manifest.stored_bytes),
            )
        )
    forgotten = len(archive.tombstones())
    print_table("", ("id", "scope", "taken", "quality", "size", "stored bytes"), rows)
    say(f"{forgotten} snapshots were forgotten by keep_last = 3; their tombstones say so")


def _prove(archive: Archive, server: DemoServer, folder: Path) -> int:
    """Restore the newest snapshot and compare it with the very file that the server made."""
    found = archive.find("latest", now=server.world.now())
    (result,) = restore(archive, found, folder / "restored")
    if isinstance(result, Lost):
        complain(result.problem)
        return Exit.VERIFICATION
    job = server.world.job_of_file(result.entry.path)
    built = server.world.file_of(job) if job else None
    restored = hashlib.sha256(result.path.read_bytes()).hexdigest()
    served = hashlib.sha256(built.path.read_bytes()).hexdigest() if built else "gone"
    out.print(
        f"restored {found.key} of {day(found.manifest.draft.taken_at)}: sha256 {restored[:16]}…", markup=False
    )
    out.print(f"the server's own file:{' ' * 20}sha256 {served[:16]}…", markup=False)
    if restored != served:
        complain("the restored file differs from the one on the server")
        return Exit.VERIFICATION
    out.print("bit for bit the same", style="green")
    return Exit.DONE
