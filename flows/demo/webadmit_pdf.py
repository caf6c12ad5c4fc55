"""WebAdMIT's PDF Manager: templates, batches and their zip files. Its statuses are called `state`, in snake_case.

A zip is not in the API: its address answers 302 to the object store, which must be asked without the key.
"""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any

from flows.demo.message import Response
from flows.demo.webadmit_answers import Call, document, not_found, unfitting
from flows.demo.webadmit_exports import begin, identity_of, started
from flows.demo.webadmit_office import Identity, Template
from flows.demo.webadmit_runs import Run, changed_at, has_files, status
from flows.demo.webadmit_world import Admissions

_WRAPPER = "pdf_manager_batch"


def templates(call: Call, identity_id: str) -> dict[str, Any]:
    identity = identity_of(call, identity_id)
    listed = call.world.office.templates_of(identity.id)
    return {"href": call.request.path, "pdf_manager_templates": [_template(one) for one in listed]}


def template(call: Call, identity_id: str, template_id: str) -> dict[str, Any]:
    found = _template_of(call, identity_of(call, identity_id), int(template_id))
    return {"href": call.request.path, "pdf_manager_template": _template(found)}


def start(call: Call, identity_id: str) -> Response:
    """Wants its wrapper, a template of this identity, and https for a callback."""
    identity = identity_of(call, identity_id)
    wish = document(call.request).get(_WRAPPER)
    if not isinstance(wish, dict):
        raise unfitting(f"The property '#/' did not contain a required property of '{_WRAPPER}'")
    number, callback = wish.get("pdf_manager_template_id"), wish.get("callback", "")
    if not isinstance(number, int) or isinstance(number, bool):
        raise unfitting(
            f"The property '#/{_WRAPPER}' did not contain a required property of 'pdf_manager_template_id'"
            if number is None
            else f"The property '#/{_WRAPPER}/pdf_manager_template_id' of type {type(number).__name__} "
            "did not match the following type: integer"
        )
    if "callback" in wish and not (isinstance(callback, str) and callback.startswith("https://")):
        raise unfitting(
            f"The property '#/{_WRAPPER}/callback' value \"{callback}\" did not match the regex '^https://'"
        )
    run = begin(call, _template_of(call, identity, number))
    run.callback = run.callback or callback
    return started(call, run, {_WRAPPER: told(call, run)})


def batches(call: Call, identity_id: str) -> dict[str, Any]:
    """Without `download_hrefs`, of which there could be many."""
    identity = identity_of(call, identity_id)
    found = [run for run in list(call.world.batches.values()) if run.identity_id == identity.id]
    found.sort(key=lambda run: run.id, reverse=True)
    listed = [told(call, run) for run in found]
    for one in listed:
        del one["download_hrefs"]
    return {"href": call.request.path, "pdf_manager_batches": listed}


def batch(call: Call, identity_id: str, batch_id: str) -> dict[str, Any]:
    identity = identity_of(call, identity_id)
    run = call.world.batches.get(int(batch_id))
    if run is None or run.identity_id != identity.id or call.world.faults.take("run_forgotten", run.target):
        raise not_found(call.world, "Pdf manager batch", batch_id)
    return {_WRAPPER: told(call, run)}


def download(call: Call, identity_id: str, zip_id: str) -> Response:
    """302 to a link that is as short-lived as any."""
    identity = identity_of(call, identity_id)
    for run in list(call.world.batches.values()):
        if run.identity_id != identity.id or not has_files(run, call.world.now()):
            continue
        for stored in run.files:
            if stored.id == int(zip_id):
                name = f"{run.template.name}_{stored.part + 1}.zip"
                link = call.world.link(run, stored, filename=name, mime_type="application/zip")
                page = f'<html><body>You are being <a href="{html.escape(link)}">redirected</a>.</body></html>'
                return Response(302, page.encode(), "text/html; charset=utf-8", {"Location": link})
    raise not_found(call.world, "Pdf manager zip file", zip_id)


def told(call: Call, run: Run) -> dict[str, Any]:
    """A batch as its JSON, with the switches that make it strange."""
    faults, now = call.world.faults, call.world.now()
    has = has_files(run, now) and not faults.take("no_link", run.target)
    found = _batch(run, faults.take("status_word", run.target) or status(run, now), changed_at(run, now), has)
    if href := faults.take("strange_href", run.target):
        found["href"] = href
    return found


def callback(world: Admissions, run: Run, state: str) -> dict[str, Any]:
    """What is posted to a callback: the same as a GET gets."""
    now = world.now()
    return {_WRAPPER: _batch(run, state, changed_at(run, now), has_files(run, now))}


def _batch(run: Run, state: str, at: datetime, has: bool) -> dict[str, Any]:
    root = f"/api/v1/user_identities/{run.identity_id}"
    return {
        "href": f"{root}/pdf_manager_batches/{run.id}",
        "id": run.id,
        "updated_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "state": state,
        "download_hrefs": [
            f"{root}/pdf_manager_zip_files/{stored.id}/download" for stored in (run.files if has else ())
        ],
        "pdf_manager_template": {
            "href": f"{root}/pdf_manager_templates/{run.template_id}",
            "id": run.template_id,
            "name": run.template.name,
        },
    }


def _template(found: Template) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "list_name": found.list_name}


def _template_of(call: Call, identity: Identity, template_id: int) -> Template:
    found = call.world.office.templates.get(template_id)
    if found is None or found.identity_id != identity.id:
        raise not_found(call.world, "Pdf manager template", template_id)
    return found
