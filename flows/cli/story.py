"""The demo's story: some nights of a made-up lab and of an admissions office, through the real flows on Prefect.

The nights are the demo's own: their servers' clock moves on a day at a time, and the flows are told to rehearse
that date. Rehearsed nights let nothing go, so the demo does that itself, in the archive that it made. Everything
else is what a user's own night does.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flows.cli.console import complain, day, number, out, print_json, print_table, say
from flows.cli.make import join_prefect, leave_prefect, overall
from flows.clock import SystemClock
from flows.demo import Admissions, DemoServer, WebAdmitServer, World, announce
from flows.demo.webadmit_office import DIRECTOR
from flows.errors import Exit
from storage.archive import Archive
from storage.backend import open_url
from storage.restore import Lost, restore

OWN_FILE = "the server's own file"
KEYS = {"lab": "STRONGROOM_DEMO_KEY", "admissions": "STRONGROOM_DEMO_ADMISSIONS_KEY"}

CONFIGURATION = """\
# Made by `strongroom demo`: a lab and an admissions office on servers that live as long as the demo.
[archive]
url = "archive"

[policy]
timezone = "Europe/Vienna"
keep_last = 3

[[source]]
name = "lab"
system = "rspace"
url = "{lab}"
api_key = {{ env = "{lab_key}" }}
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

[[source]]
name = "admissions"
system = "webadmit"
url = "{office}"
api_key = {{ env = "{office_key}" }}
poll_first_s = 0.2
poll_longest_s = 1.0

[[source.scope]]
export = "Nightly applicants"
organization = "Demo School of Nursing"

[[source.scope]]
pdf = "Full applications"
organization = "Demo School of Nursing"
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
    world = World(seed=1, start=start)
    with DemoServer(world) as lab, WebAdmitServer(Admissions(1, clock=world.clock)) as office:
        told = announce(lab, office)
        facts = told["rspace"]
        os.environ[KEYS["lab"]] = facts["api_key"]
        os.environ[KEYS["admissions"]] = told["webadmit"]["api_key"]
        path = folder / configuration.FILE_NAME
        path.write_text(
            CONFIGURATION.format(
                lab=lab.url,
                lab_key=KEYS["lab"],
                group=facts["group_id"],
                records=facts["record_ids"][:5],
                office=office.url,
                office_key=KEYS["admissions"],
            ),
            encoding="utf-8",
        )
        settings = configuration.load(path)
        Archive.create(open_url(settings.file.archive.url, base=settings.folder), now=datetime.now(UTC))
        say(f"a made-up lab answers as RSpace at {lab.url}, an admissions office as WebAdMIT at {office.url}")
        # Its own Prefect server, whatever is configured for real work: a demo must not fill somebody's history.
        for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
            os.environ.pop(name, None)
        # What is forgotten between the nights is part of no run.
        os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
        ui = join_prefect(settings, passing=True).ui_url
        try:
            codes = [_night(world, path, place) for place in range(1, nights + 1)]
            archive = open_archive(settings)
            _print_snapshots(archive)
            served = {"lab": partial(_of_lab, world), "admissions": partial(_of_office, office.world)}
            code = max(_prove(archive, name, folder, own, world.now()) for name, own in served.items())
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
            {"id": s.id, "source": s.key.source, "scope": s.key.scope, "quality": s.manifest.draft.quality}
            for s in archive.snapshots()
        ]
        print_json("demo", {"folder": str(folder), "exit_code": int(final), "snapshots": kept})
    return final


def _night(world: World, path: Path, place: int) -> int:
    from flows.backup import nightly

    if place > 1:
        world.pass_nights(1)
    clock = SystemClock(world.now())
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


def _prove(
    archive: Archive, source: str, folder: Path, served: Callable[[str], bytes | None], now: datetime
) -> int:
    """Restore a source's newest snapshot and compare it with the very file that its server made."""
    found = archive.find("latest", source=source, now=now)
    (result,) = restore(archive, found, folder / "restored")
    if isinstance(result, Lost):
        complain(result.problem)
        return Exit.VERIFICATION
    own = served(result.entry.path)
    restored = hashlib.sha256(result.path.read_bytes()).hexdigest()
    theirs = "gone" if own is None else hashlib.sha256(own).hexdigest()
    said = f"restored {found.key} of {day(found.manifest.draft.taken_at)}"
    out.print(f"{said}: sha256 {restored[:16]}…", markup=False)
    out.print(f"{OWN_FILE:<{len(said)}}: sha256 {theirs[:16]}…", markup=False)
    if restored != theirs:
        complain("the restored file differs from the one on the server")
        return Exit.VERIFICATION
    out.print("bit for bit the same", style="green")
    return Exit.DONE


def _of_lab(world: World, name: str) -> bytes | None:
    """The file of that name, as the lab's server made it."""
    job = world.job_of_file(name)
    built = world.file_of(job) if job else None
    return built.path.read_bytes() if built else None


def _of_office(office: Admissions, name: str) -> bytes | None:
    """What the newest run that we started has made of the template that a file is called after."""
    runs = [*office.runs.values(), *office.batches.values()]
    ours = [run for run in runs if run.started_by == DIRECTOR and Path(name).stem == run.template.name]
    newest = max(ours, key=lambda run: run.began_at, default=None)
    return office.body(newest, newest.files[0]) if newest else None
