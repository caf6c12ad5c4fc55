"""RSpace's three export calls: start, poll, download, with the answers of the real code.

It plans nothing itself (rspace_plan) and keeps no state (world).
"""

from __future__ import annotations

import re
from datetime import timedelta
from random import Random
from typing import Any

from flows.demo import jobs, rspace_plan
from flows.demo.jobs import STORAGE_TIME, Job, Outcome
from flows.demo.message import Request, Response, json_response
from flows.demo.rspace_call import Call, to_number
from flows.demo.rspace_errors import Refusal, api_error, unauthorized
from flows.demo.world import World
from flows.demo.worldclock import iso_millis

_FILE_NAME = re.compile(r"^[\w\-]+(\.zip)?(\.csv)?(\.eln)?$", re.ASCII)
_PAGE = b"<!doctype html><html><head><title>Log in</title></head><body><h1>Please log in</h1></body></html>\n"


def start(call: Call, format_: str, scope: str, id_: str | None = None) -> Response:
    """The checks in the order of the real code: form, scope, running export, disk, planning, launch."""
    world, user, request = call.world, call.user, call.request
    faults = world.faults
    wish = rspace_plan.read_wish(request, format_, scope, id_)
    covered = rspace_plan.permit(world, user, wish)
    if world.running_job(user.id):
        raise Refusal(429, 42901, "There is already a running export job")
    target = wish.target
    if faults.take("no_disk_space", target):
        raise Refusal(500, 50001, "Insufficient disk space to begin export")
    if delay_s := faults.take("planning_delay_s", target):
        world.wait(delay_s)
    origin = links_origin(world, request)
    plan = rspace_plan.plan(world, user, wish, covered, origin)
    if faults.take("launch_refused", target):
        raise Refusal(500, 50004, "couldn't launch export job")
    job = world.start_job(plan)
    # the launcher has handed the job over but not looked again: STARTING, or FAILED if it was not accepted
    status = "FAILED" if job.outcome is Outcome.LAUNCH_FAILED else "STARTING"
    answer = json_response(_body(job, status, -1.0, link=(f"{origin}/api/v1/jobs/{job.id}", "self")), 202)
    answer.drop = bool(faults.take("lose_start_answer", target))
    return answer


def poll(call: Call, id_: str) -> Response:
    world, user, request = call.world, call.user, call.request
    number = to_number(id_)
    if world.faults.take("history_wiped"):
        world.wipe_jobs()
    job = world.jobs.get(number)
    if job is None:
        raise Refusal(404, 50301, "No job execution with this Id")
    if job.user_id != user.id:
        raise unauthorized(f"Unauthorized attempt by {user.username} to retrieve job by id")
    now = world.now()
    progress = jobs.progress(job, now)
    if progress.status == "STARTED" and world.faults.take("comma_locale", job.plan.target):
        raise Refusal(422, 42201, 'For input string: "8,33"')
    if progress.status == "FAILED":
        reason = Refusal(500, 50001, "The job failed with an internal error", errors=_step_errors(job))
        return json_response(_body(job, "FAILED", -1.0, result=api_error(reason, now)))
    if progress.status != "COMPLETED":
        return json_response(_body(job, progress.status, progress.percent))
    if job.outcome is Outcome.NO_RESULT:
        message = "Value for key=[result] is not of type: [class java.lang.String], it is [null]"
        raise Refusal(500, 50001, message)
    if job.foreign_enclosure and world.file_of(job) is None:
        raise Refusal(500, 50001, f"Couldn't find export on S3 for {job.zip_name}")
    link = (_enclosure(world, request, job), "enclosure")
    return json_response(_body(job, "COMPLETED", 100.0, result=_result(world, job), link=link))


def download(call: Call, name: str) -> Response:
    """Any valid key may fetch any name: there is no ownership check, and no range, tag or date either."""
    if not _FILE_NAME.match(name):
        raise Refusal(422, 42201, f"Invalid file name {name}")
    zip_name = name if re.search(r"\.(zip|csv|eln)$", name) else f"{name}.zip"
    world = call.world
    job = world.job_of_file(zip_name)
    built = world.file_of(job) if job else None
    if job is None or built is None:
        message = (
            "Export could not be downloaded because the file does not exist: it may have already been removed"
            " by the server's clean-up: Archive file does not exist."
        )
        raise Refusal(500, 50001, message)
    headers = {"Content-Disposition": f'attachment; filename="{zip_name}"'}
    answer = Response(200, b"", "application/octet-stream", headers, file=built.path)
    if page := world.faults.take("html_page", job.plan.target):
        answer.file, answer.headers, answer.content_type = None, {}, "text/html;charset=utf-8"
        answer.body = _PAGE.ljust(built.size) if page == "padded" else _PAGE
    if cut := world.faults.take("truncate_after", job.plan.target):
        answer.cut_after = cut
    return answer


def links_origin(world: World, request: Request) -> str:
    """Links carry the configured server prefix, which may differ from the address the client uses."""
    return str(world.faults.take("url_prefix") or request.origin).rstrip("/")


def _body(
    job: Job, status: str, percent: float, *, result: Any = None, link: tuple[str, str] | None = None
) -> dict[str, Any]:
    links = [{"link": link[0], "rel": link[1]}] if link else []
    return {"id": job.id, "status": status, "percentComplete": percent, "result": result, "_links": links}


def _result(world: World, job: Job) -> dict[str, Any]:
    """expiryDate slides: it is counted from this poll, not from the completion."""
    built = world.file_of(job)
    crc32 = None if built is None else (built.crc32 + job.wrong_crc) & 0xFFFFFFFF
    return {
        "expiryDate": iso_millis(world.now() + STORAGE_TIME),
        "size": None if built is None else built.size,
        "checksum": None if crc32 is None else str(crc32),
        "algorithm": None if built is None else "CRC32",
    }


def _enclosure(world: World, request: Request, job: Job) -> str:
    if not job.foreign_enclosure:
        return f"{links_origin(world, request)}/api/v1/export/{job.zip_name}"
    # signed anew at each poll
    signature = Random(f"{job.random_seed}:{world.now()}").randbytes(32).hex()
    expires = int(timedelta(hours=48).total_seconds())
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={expires}&X-Amz-Signature={signature}"
    return f"{world.foreign_origin}/rspace-exports/{job.zip_name}?{query}"


def _step_errors(job: Job) -> list[str]:
    """One per step that told why; a job whose state was set by hand has none."""
    return [] if job.outcome is Outcome.LAUNCH_FAILED or not job.failure else [job.failure]
