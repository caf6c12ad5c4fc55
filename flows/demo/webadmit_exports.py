"""WebAdMIT's identities, export templates and export files: listing, starting, asking.

There is no page, no cancel, no delete and no progress; a link is issued only to who asks for one finished file.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from flows.demo.message import Response
from flows.demo.webadmit_answers import Call, json_answer, not_found, server_error, unfitting
from flows.demo.webadmit_answers import document as body_of
from flows.demo.webadmit_formats import EXTENSIONS
from flows.demo.webadmit_office import Export, Identity, Template
from flows.demo.webadmit_runs import BATCH, EXPORT, Run, has_files, status, wire

_ELSEWHERE = 20  # what is added to an export's id where it is not the one of the address


def identities(call: Call) -> dict[str, Any]:
    fields = ("id", "type", "association", "institution", "organization", "cycle")
    listed = call.world.office.readable(call.person)
    told = [{name: getattr(identity, name) for name in fields} for identity in listed]
    return {"href": "/api/v1/user_identities", "user_identities": told}


def exports(call: Call, identity_id: str) -> dict[str, Any]:
    identity = identity_of(call, identity_id)
    listed = call.world.office.exports_of(identity.id)
    return {"href": call.request.path, "exports": [_export(export) for export in listed]}


def all_exports(call: Call) -> dict[str, Any]:
    """Across identities, and without telling whose they are."""
    office = call.world.office
    listed = [e for identity in office.readable(call.person) for e in office.exports_of(identity.id)]
    return {"href": "/api/v1/exports", "exports": [_export(export) for export in listed]}


def start(call: Call, identity_id: str, export_id: str) -> Response:
    """While the export is running, whoever started it, its run is the answer and no new one begins."""
    identity = identity_of(call, identity_id)
    export = _export_of(call, identity, export_id)
    callback = body_of(call.request).get("callback", call.request.parameter("callback"))
    if not isinstance(callback, str):
        raise unfitting(f"The property '#/callback' of type {type(callback).__name__} did not match type: string")
    run = begin(call, export)
    run.callback = run.callback or callback
    return started(call, run, {"export_files": told(call, run)})


def begin(call: Call, template: Export | Template) -> Run:
    """The run that a POST gets: the one that is there, or a new one."""
    world, kind = call.world, EXPORT if isinstance(template, Export) else BATCH
    target = f"{kind}/{template.id}"
    with world.lock:  # of two that ask at once, the second gets the run of the first
        if world.faults.take("colleague_first", target):
            lived = timedelta(seconds=world.init_s + world.queue_s + world.run_s) / 2
            world.start_elsewhere(template.id, ago_s=lived.total_seconds(), by="colleague")
        running = None if world.faults.take("no_dedup", target) else world.running(kind, template.id)
        return running or world.start(template, call.person)


def started(call: Call, run: Run, value: dict[str, Any]) -> Response:
    """The answer to a POST that did its work, if it gets through."""
    faults = call.world.faults
    if faults.take("key_rotated", run.target):
        call.world.rotate_key(call.person)
    if faults.take("lose_start_answer", run.target):
        return Response(0, drop=True)
    if faults.take("start_500", run.target):
        return server_error()
    code = faults.take("post_code", run.target) or 201
    return json_answer(value, code, extra=faults.take("extra_fields"))


def check(call: Call, export_id: str, file_id: str) -> dict[str, Any]:
    """One run, by its own address, which has no identity in it; with a new link once there is a file."""
    world = call.world
    run = world.runs.get(int(file_id))
    mine = run is not None and _is_mine(call, run) and run.template_id == int(export_id)
    if run is None or not mine or world.faults.take("run_forgotten", run.target):
        raise not_found(world, "Export file", file_id)
    found = told(call, run)
    if has_files(run, world.now()) and not world.faults.take("no_link", run.target):
        found["download_url"] = _link(call, run)
    elif world.faults.take("null_link", run.target):
        found["download_url"] = None
    return {"export_files": found}


def recent(call: Call, identity_id: str) -> dict[str, Any]:
    """All recent runs of an identity, whoever started them; never a link. The newest comes first."""
    identity = identity_of(call, identity_id)
    listed = [run for run in list(call.world.runs.values()) if run.identity_id == identity.id]
    listed.sort(key=lambda run: run.id, reverse=True)
    if shown := call.world.faults.take("short_list"):
        listed = listed[:shown]
    if call.world.faults.take("shuffled_list"):
        Random(f"{call.world.seed}:{call.world.server_now()}:{len(listed)}").shuffle(listed)
    return {"href": call.request.path, "export_files": [told(call, run) for run in listed]}


def undocumented(call: Call, identity_id: str, export_id: str) -> list[dict[str, Any]]:
    """The runs of one export as a bare array, the newest first: seen in one client, in no documentation."""
    export = _export_of(call, identity_of(call, identity_id), export_id)
    listed = [run for run in list(call.world.runs.values()) if run.template_id == export.id]
    return [told(call, run) for run in sorted(listed, key=lambda run: run.id, reverse=True)]


def identity_of(call: Call, identity_id: str) -> Identity:
    for identity in call.world.office.readable(call.person):
        if identity.id == int(identity_id):
            return identity
    raise not_found(call.world, "User identity", identity_id)


def told(call: Call, run: Run) -> dict[str, Any]:
    """A run as its JSON, without a link."""
    faults = call.world.faults
    word = status(run, call.world.now())
    forced = faults.take("status_word", run.target)
    style = faults.peek("status_style")
    snake = style == "seed" or (style == "mixed" and (run.id + len(word)) % 2 == 0)
    off = _ELSEWHERE if faults.take("export_id_off", run.target) else 0
    href = f"/api/v1/exports/{run.template_id}/export_files/{run.id}"
    return {
        "id": run.id,
        "href": faults.take("strange_href", run.target) or href,
        "export_id": run.template_id + off,
        "status": forced or (word if snake else wire(word)),
    }


def _export(export: Export) -> dict[str, Any]:
    fields = ("id", "name", "list_type", "format", "mime_type")
    return {name: getattr(export, name) for name in fields}


def _export_of(call: Call, identity: Identity, export_id: str) -> Export:
    export = call.world.office.exports.get(int(export_id))
    if export is None or export.identity_id != identity.id:
        raise not_found(call.world, "Export", export_id)
    return export


def _is_mine(call: Call, run: Run) -> bool:
    return any(identity.id == run.identity_id for identity in call.world.office.readable(call.person))


def _link(call: Call, run: Run) -> str:
    export = run.template
    if not isinstance(export, Export):
        raise TypeError(f"run {run.id} is of no export")
    filename = f"{export.name}.{EXTENSIONS[export.format]}"
    return call.world.link(run, run.files[0], filename=filename, mime_type=export.mime_type)
