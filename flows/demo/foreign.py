"""The second host of the demo: a bucket that serves signed links and refuses requests with credentials.

It checks that a signature is there, not that it is right.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from flows.demo.message import Request, Response
from flows.demo.world import World


def handle(world: World, request: Request) -> Response:
    """A signed link must be fetched without apiKey or Authorization, or the signature does not fit."""
    if request.has_credentials:
        return _error(400, "InvalidArgument", "Only one auth mechanism allowed")
    if request.method != "GET" or "X-Amz-Signature" not in parse_qs(request.query):
        return _error(403, "AccessDenied", "Access Denied")
    job = world.job_of_file(request.path.rpartition("/")[2])
    built = world.file_of(job) if job else None
    if built is None:
        return _error(404, "NoSuchKey", "The specified key does not exist.")
    headers = {"ETag": f'"{built.crc32:032x}"', "Accept-Ranges": "bytes"}
    answer = Response(200, b"", "application/zip", headers, file=built.path)
    if wanted := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
        first = int(wanted[1])
        if first >= built.size:
            return _error(416, "InvalidRange", "The requested range is not satisfiable")
        answer.status, answer.offset = 206, first
        answer.headers["Content-Range"] = f"bytes {first}-{built.size - 1}/{built.size}"
    if cut := world.faults.take("truncate_after", job.plan.target if job else ""):
        answer.cut_after = cut
    return answer


def _error(status: int, code: str, message: str) -> Response:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    body = f"{head}\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, body.encode(), "application/xml")
